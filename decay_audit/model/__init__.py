"""The values that all stages share. They do not depend on torch, roles or rules.

- parameters: Parameter, the module that owns it, how a forward pass uses it, and what scaling it does to the output
- inventory: all parameters of a target, and how they were read
- traced_uses: the uses of parameters in a traced forward pass, added to an inventory
- observations: optimizers, their param groups, and what a step does to each parameter
- horizon: a whole run: the settings of all its steps, and what decay alone leaves of a weight
- optimizer_pairs: each live optimizer, paired with the saved state that it would load
- position_order: whether the positions of a saved optimizer without names are certain
- group_order: the param groups of new code, compared with those of a saved optimizer
- records: what the recorder of a training script writes: modules, tensors and optimizers by index
- training_facts: what was seen while a script ran: groups that changed, parameters without a gradient
- wrapper_classes: modules that only wrap a model: DataParallel, torch.compile, FSDP
- choices: closed sets of words for options: devices, severities, colours, formats
"""
