"""The commands: one function for each.

A function makes a Request from its options; `api` makes a Report for the Request, and `reports` the text.

inspect   what each parameter is and what the ruleset decides
check     the verdict for CI, of a target or of the audits in pyproject.toml
run       the same for the models and optimizers that an unedited training script makes
sweep     many checkpoints, one row each
lock      the decisions on a model, in a file that check compares with
find      where a repository makes its optimizers, and the command that audits each
emit      the param groups as Python
config    the JSON Schema of the table in pyproject.toml
diff      rulesets side by side
explain   how one parameter is decided, or what one finding code means
migrate   an optimizer state for new param groups
rules     the commands about rulesets: list, show, validate, schema, which, import
"""
