"""Find the parameters of a model in the objects that files hold.

`find` searches the object for state dicts, modules (`pickled_modules`) and optimizers, and chooses one state dict;
`deepspeed` adds the shapes that ZeRO saves elsewhere. `merge` makes one model from the state dicts of all files, with
names from `canonical_names` and owners from `owner_tree`; `buffers` recognizes tensors that are not parameters.

    find             the largest state dict of a file, or the one at --key, and all optimizer states
    pickled_modules  a pickled module, of Python or TorchScript -> named tensors
    flattened_optimizer  the flat state dict of an optimizer -> `state` and `param_groups`
    deepspeed        adds the shapes of parameters that ZeRO sharded
    stages           the names of a pipeline's stages -> those of the whole model
    merge            the state dicts of all files -> the parameters of one model
    canonical_names  names without the parts that wrappers add
    owner_tree       the modules that own the tensors, from their names
    buffers          a tensor -> the reason why it is not a parameter
"""
