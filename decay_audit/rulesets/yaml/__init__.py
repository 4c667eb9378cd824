"""A rules file becomes a RuleSet, and every mistake in it is reported at once with its line.

- `rules_file`: finds a preset or a file, follows `extends`, and makes the RuleSet; the steps below in order
- `preset_files`: where the presets are
- `nodes`: text becomes nodes that know their lines (YAML 1.2)
- `form`: what a rules file may hold, as types
- `typed`: nodes become values of those types; mistakes are collected
- `validators`: what types cannot say: regular expressions compile, names are unique, ...
- `examples`: the examples of a file are decided and compared with what they promise
- `json_schema`: the JSON Schema, from the types of form
"""
