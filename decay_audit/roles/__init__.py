"""Roles: a Parameter becomes a Classified, with role, layer, confidence and evidence, by a pure function without torch.

- `classify`: collects the evidence and weighs it; the only entry.
- `by_usage`: evidence from the operators that a parameter met in a traced forward pass.
- `by_owner`: evidence from the owner's torch.nn class.
- `by_name`: evidence from the names of tensor, module and class.
- `by_header`: evidence from shapes and siblings, which is all that a checkpoint's header has.
- `pairs`: two tensors of one module that are two halves of one thing.
- `layers`: the layer, where the class alone does not settle it.
- `tensor_context`: what the last four look at: the tensor, its siblings, the names above it.
- `conventions/`: the names themselves, as tables: what they mean, where they come from, examples.
- `words`: the closed sets of roles, layers and confidences, and the values that carry them.

A parameter goes to `by_usage` as it is, and as its `tensor_context` to the others; `classify` takes the strongest.
"""

from decay_audit.roles.classify import classify

__all__ = ["classify"]
