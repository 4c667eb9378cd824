"""A plan becomes a function of conditions, such as `isinstance(module, nn.LayerNorm)`, that a person would write.

- classes: a class by its qualified name -> how code imports it and refers to it
- kinds: plans -> kinds of parameters: those with the same class, leaf name, dimensions and group
- conditions: kinds -> every condition that could be written, with its cost and the kinds for which it holds
- search: kinds, conditions -> for each group the cheapest conditions that select it
- branches: the conditions -> the lines of `if` and `elif`, and the tuples that are too long to stand in them
- layers: a ruleset with layer decay -> the function that numbers layers, and the groups by layer
- policy: a ruleset -> the lines of a function of any model, one branch for each rule
- summary: plans -> the docstring of the function
- optimizer_function: optimizers -> the function `make_optimizer`
- rule_code: the values from which the module is written
- source: plans -> the text of the module
"""
