"""The table: what `weight_decay` means in each optimizer class. No library is imported to read it.

- decay_forms: the forms of weight decay (decoupled, coupled, ...), and ClassFacts, one row of the table
- classes: the rows of all libraries, as literal data; pytorch_optimizer: those of the library with the most classes
- group_keys: keys of param groups that single libraries use in their own way
- lookup: finds the form of decay from class names and a group's settings
- describe: param groups become an Optimizer with its Observations, by the facts of its class
"""
