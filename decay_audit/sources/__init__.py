"""From a target to an Inventory: the parameters of a model, and the optimizers that were saved with them.

    target        a target string -> FileTarget, ModuleTarget or CheckpointTarget
    module/       a FileTarget or ModuleTarget -> a built model and its Inventory; also a live `nn.Module`
    trace/        a model and example inputs -> where its forward pass uses each parameter
    invariance/   a model and example inputs -> which parameters can be multiplied by 2 without a change of the output
    remote/       a URL -> a file that is read by byte ranges
    checkpoint/   a CheckpointTarget -> its Inventory, from headers only and without torch
    run/          a training script -> the models and optimizers that it makes

Nothing here depends on roles or rules.
"""
