"""The values that every stage speaks of. They know no torch, no role and no rule.

- parameters: Parameter, the module that owns it, and how a traced forward pass uses it
- inventory: all parameters of a target, and how they were read
- observations: optimizers, their param groups, and what a step does to each parameter
- optimizer_pairs: which live optimizer would load which saved one
- records: what the recorder of a training script writes: modules, tensors and optimizers by index
- training_facts: what a running script showed: groups that changed, gradients that did not come
- wrapper_classes: modules that only wrap a model: DataParallel, torch.compile, FSDP
- choices: closed sets of words for options: devices, severities, colours, formats
"""
