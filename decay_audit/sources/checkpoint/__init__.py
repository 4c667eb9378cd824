"""Checkpoints: names, shapes and dtypes from headers alone, without torch, and without running code from a file.

How a path becomes an Inventory:

    path -> shards -> formats -> pickle -> state_dict -> optimizer_state -> Inventory -> onto_model

1. `shards` lists the files to read: one file, those of an `index.json`, or those of a folder; `engines` those of the
   folders that DeepSpeed, Megatron-LM and accelerate write.
2. `formats/` tells the format of each file by its first bytes, and reads its header. safetensors holds its tensors in a
   JSON header; the other formats hold a pickle.
3. `pickle/` interprets that pickle. Nothing is imported or called: unknown code becomes an opaque value.
4. `state_dict/` finds the state dict and the optimizer states in it, and merges the files into the parameters of one
   model.
5. `optimizer_state/` reads the param groups, and maps their positions to the names of parameters.
6. `onto_model` adds to the parameters what the model knows, if the user names the model, too.

The map:

    read         all steps, for one path: `read`
    shards       a path -> the files to read
    engines      a folder with the files of many processes -> the files to read
    onto_model   a checkpoint and its model -> the checkpoint with the model's names, owners, hints and order
    contents     the values between the steps: Shards, Tensor, Storage, SavedOptimizer, FileContents, MalformedError
    formats/     one module for each file format
    pickle/      the pickle interpreter
    state_dict/  from nested dicts or a module to the parameters of a model
    optimizer_state/  from saved param groups to Optimizer values
"""

from decay_audit.sources.checkpoint.read import read

__all__ = ["read"]
