"""The commands, one function each: a Request from the options, a Report from `api`, text from `reports`.

inspect   what each parameter is and what the ruleset decides
check     the verdict for CI, of a target or of the audits in pyproject.toml
run       the same, of what an unedited training script makes
lock      the decisions on a model, in a file that check compares with
find      where a repository makes its optimizers, and the command that audits each
emit      the param groups as Python
config    the JSON Schema of the table in pyproject.toml
diff      rulesets side by side
explain   all about one parameter, or one finding code
migrate   an optimizer state for new param groups
rules     the commands about rulesets: list, show, validate, schema, which, import
"""
