"""An optimizer that exists becomes data from which code can make it again, with other coefficients.

- copies: the values: a class, the arguments of its constructor, and the settings of each group
- live: live optimizers -> copies; `constructor` finds the arguments of their constructors
- saved: optimizers of a checkpoint -> copies
- expressions: a value of an argument or of a setting -> Python, where code can write it
- proof: the optimizers that the code makes are compared with those that exist
"""
