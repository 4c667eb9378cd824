"""Reports for a person at a terminal, or in a pipe. Lines are broken at the width of the terminal; no name is cut.

- text: the table of `inspect`, and the findings of `check`
- tree: the same model as a tree of its modules
- frame: the header, totals, notes and findings around both
- explanation: one parameter, or one code
- model_comparison: the decisions on two models
- ruleset_comparison, ruleset_matches, ruleset_list, conformance: reports about rulesets
- over_run: what decay comes to over a whole run, for frame and explanation
- layout: tables, paragraphs and colours; all of the above use it

Only layout imports Rich.
"""
