"""From the object in a file to the parameters of a model.

`find` searches the object for state dicts, modules (`pickled_modules`) and optimizers, and chooses one state dict;
`deepspeed` adds the shapes that ZeRO saves elsewhere. `merge` makes one model of the state dicts of all files: names
come from `canonical_names`, owners from `owner_tree`, and `buffers` tells which tensors are not parameters.

    find             the largest state dict of a file, or the one at --key, and all optimizer states
    pickled_modules  a pickled module, of Python or TorchScript, as named tensors
    flattened_optimizer  the state of an optimizer in one flat dict, and the names of its slots
    deepspeed        shapes of parameters that ZeRO sharded
    merge            the state dicts of all files as the parameters of one model
    canonical_names  names without the parts that wrappers add
    owner_tree       the modules that own the tensors, from their names
    buffers          which tensors are not parameters, and why
"""
