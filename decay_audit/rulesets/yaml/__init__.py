"""A rules file becomes a RuleSet, and every mistake in it is reported at once with its line.

- `rules_file`: finds a preset or a file, follows `extends`, and makes the RuleSet; the steps below in order
- `preset_files`: the folder, names and files of the presets
- `nodes`: YAML 1.2 text becomes nodes with line numbers
- `form`: what a rules file may hold, as types
- `typed`: nodes become values of those types; mistakes are collected
- `validators`: checks that types cannot express: regular expressions compile, names are unique, ...
- `examples`: the examples of a file are decided and compared with what they promise
- `json_schema`: the JSON Schema, from the types of form
"""
