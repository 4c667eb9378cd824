"""Roles: a Parameter becomes a Classified, with role, layer, confidence and evidence, by a pure function without torch.

- `classification`: collects the evidence and weighs it; its `classify` is the only entry.
- `by_usage/`: evidence from the operators that a parameter met in a traced forward pass.
- `by_owner`: evidence from the owner's torch.nn class.
- `by_name`: evidence from the names of tensor, module and class.
- `by_header`: evidence from shapes and siblings, which is all that a checkpoint's header has.
- `pairs`: a weight and its bias, or a gain and a shift, in one module.
- `layers`: the layer of an owner, if its class alone does not tell it.
- `tensor_context`: the tensor, its siblings and the names above it: the input of all readers but `by_usage`.
- `known_words`: tells quickly that no reader knows a word, for models whose names are all different.
- `conventions/`: tables of names, with their meaning, their source and examples.
- `words`: all roles with what each means (`MEANINGS`, also in docs/rules.md), layers and confidences, and the structs
  that have them as fields.

`by_usage` reads the parameter itself, the others read its `tensor_context`; `classification` takes the
strongest evidence. `classification` is imported when `classify` is first used, because a ruleset can be read without
the tables of names.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
