"""Find the action of each parameter in a real forward pass, from the autograd graph and without the tracer.

The graph says which operators lie between a parameter and the place where it meets data; the tensors that autograd
saved for the backward pass say whether that data was normalized.
"""

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from msgspec import Struct
from torch import Tensor, nn

from decay_audit.roles.words import Role

Action = str
"""What a parameter does to data: a key of ROLES_OF_ACTION; a parameter with another action is not judged."""

ROLES_OF_ACTION: Mapping[Action, frozenset[Role]] = {
    "matrix": frozenset({"conv_weight", "linear_weight", "recurrent_weight", "adapter_weight"}),
    "table": frozenset({"embedding", "position_embedding", "relative_position_bias", "token"}),
    "vector summand": frozenset({"bias", "norm_bias", "state_space", "position_embedding", "token"}),
    "matrix summand": frozenset({"bias", "position_embedding", "relative_position_bias", "token", "state_space"}),
    "norm gain": frozenset({"norm_weight", "scale", "state_space"}),
    "norm shift": frozenset({"norm_bias", "bias"}),
    "gain": frozenset({"scale", "layer_scale", "norm_weight", "activation", "state_space", "token"}),
    "token": frozenset({"token", "position_embedding"}),
    "slope": frozenset({"activation"}),
}
"""For each action, the roles that are right for a parameter with it."""

# Multiplications of matrices, each with the slots of its factors. A slot is a position in `next_functions` of a node.
_FACTORS = {"MmBackward0": (0, 1), "BmmBackward0": (0, 1), "AddmmBackward0": (1, 2), "BaddbmmBackward0": (1, 2),
            "AddbmmBackward0": (1, 2), "MvBackward0": (0, 1), "AddmvBackward0": (1, 2), "DotBackward0": (0, 1),
            "LinearBackward0": (0, 1)}  # fmt: skip
_KEEPS = ("View", "Transpose", "TBackward", "Permute", "Unsqueeze", "Squeeze", "Expand", "Clone", "Slice",
          "Select", "AsStrided", "ReshapeAlias", "UnsafeView", "ToCopy", "Repeat", "Alias", "Split", "Unbind",
          "Chunk")  # fmt: skip
_POINTWISE = ("Exp", "Neg", "Sigmoid", "Softplus", "Tanh", "Mul", "Div", "Add", "Sub", "Reciprocal", "Sqrt", "Pow",
              "Clamp", "Relu", "Abs")  # fmt: skip
"""Pointwise operators. With one operand that is not a constant, each number keeps its place."""
_SUMMANDS = {"AddBackward0", "SubBackward0", "RsubBackward1", "RsubBackward0"}
_OTHER_FACTOR = {
    "MulBackward0": ("_saved_other", "_saved_self"),
    "DivBackward0": ("_saved_other", "_saved_self"),
    "AddcmulBackward0": ("", "_saved_tensor2", "_saved_tensor1"),  # the first operand is added
}
"""Elementwise products. For each slot, the attribute of the node that has saved the other factor."""
_ADDED = ("AddcmulBackward0", 0)
_MEASURES = ("Pow", "Abs", "LinalgVectorNorm", "Norm", "Square")
"""Operators that make a distance of a difference."""


class ActionOnData(Struct, frozen=True, kw_only=True):
    """An operator in which data meets a parameter, or a tensor that is computed from it alone."""

    action: Action
    via: tuple[str, ...]


class _Graph:
    """The autograd graph of some outputs, with edges from each node to the nodes that use its result."""

    def __init__(self, outputs: list[Tensor]) -> None:
        self.users: dict[Any, list[tuple[Any, int]]] = defaultdict(list)
        self.leaves: dict[int, Any] = {}
        queue = deque(output.grad_fn for output in outputs if output.grad_fn is not None)
        seen = set(queue)
        self.order: list[Any] = []
        while queue:
            node = queue.popleft()
            self.order.append(node)
            if hasattr(node, "variable"):
                self.leaves[id(node.variable)] = node
            for slot, (source, _) in enumerate(node.next_functions):
                if source is None:
                    continue
                self.users[source].append((node, slot))
                if source not in seen:
                    seen.add(source)
                    queue.append(source)

    def dependents(self, starts: list[Any]) -> set[Any]:
        """Return these nodes, and all nodes whose results depend on theirs."""
        queue, seen = deque(starts), set(starts)
        while queue:
            for user, _ in self.users[queue.popleft()]:
                if user not in seen:
                    seen.add(user)
                    queue.append(user)
        return seen


def parameter_actions(module: nn.Module, args: tuple[Any, ...]) -> dict[str, tuple[ActionOnData, ...]]:
    """Run the module on real inputs, and find the operators in which each parameter meets data."""
    inputs = [arg.requires_grad_() for arg in args if isinstance(arg, Tensor) and _is_float(arg)]
    with torch.enable_grad():
        outputs = [tensor for tensor in _tensors(module(*args)) if tensor.grad_fn is not None]
    graph = _Graph(outputs)
    sources = [graph.leaves[id(tensor)] for tensor in inputs if id(tensor) in graph.leaves]
    lookups = [node for node in graph.order if type(node).__name__.startswith("Embedding")]
    data = graph.dependents([*sources, *lookups])
    actions: dict[str, tuple[ActionOnData, ...]] = {}
    for name, parameter in module.named_parameters():
        node = graph.leaves.get(id(parameter))
        if node is not None:
            actions[name] = tuple(dict.fromkeys(_parameter_actions(graph, data, node, parameter)))
    return actions


def _parameter_actions(graph: _Graph, data: set[Any], start: Any, parameter: Tensor) -> Iterator[ActionOnData]:  # noqa: ANN401
    queue: deque[tuple[Any, tuple[str, ...]]] = deque([(start, ())])
    seen = {start}
    while queue:
        node, via = queue.popleft()
        for user, slot in graph.users[node]:
            kind = type(user).__name__
            if user in data:
                yield ActionOnData(action=_action(graph, user, slot, parameter, via), via=(*via, kind))
            elif user not in seen:
                seen.add(user)
                alone = sum(source is not None for source, _ in user.next_functions) == 1
                pointwise = alone and kind.startswith(_POINTWISE) and not _is_by_constant(user, slot)
                kept = kind.startswith(_KEEPS) or pointwise
                queue.append((user, via if kept else (*via, kind)))


def _is_by_constant(node: Any, slot: int) -> bool:  # noqa: ANN401
    """Whether a product is with a tensor of constants: a state that starts at zero hides what the parameter does."""
    other = getattr(node, _OTHER_FACTOR.get(type(node).__name__, ("", ""))[slot] or "_", None)
    return isinstance(other, Tensor) and other.numel() > 1


def _action(  # noqa: PLR0911 - a table
    graph: _Graph,
    node: Any,  # noqa: ANN401
    slot: int,
    parameter: Tensor,
    via: tuple[str, ...],
) -> Action:
    kind, wide_dimensions = type(node).__name__, sum(size > 1 for size in parameter.shape)
    if kind.startswith("Embedding"):
        return "table" if slot == 0 and not via else "derived"
    if via:  # computed from the parameter: what meets data is something else
        return "derived"
    if kind in _FACTORS and slot in _FACTORS[kind]:
        return "matrix" if wide_dimensions > 1 else "vector factor"
    if kind.startswith("Convolution"):
        return (
            ("matrix" if wide_dimensions > 1 else "vector factor")
            if slot == 1
            else "vector summand"
            if slot == 2
            else "input"
        )
    if "NormBackward" in kind:
        return "norm gain" if slot == 1 else "norm shift" if slot == 2 else "input"
    if kind in _FACTORS or (kind in _SUMMANDS and not _is_distance(graph, node)) or (kind, slot) == _ADDED:
        return "vector summand" if wide_dimensions <= 1 else "matrix summand"
    if kind.startswith("PreluKernel"):
        return "slope" if slot == 1 else "input"
    if kind in _OTHER_FACTOR:
        return _factor(graph, node, slot, wide_dimensions)
    return "token" if kind in {"CatBackward0", "StackBackward0", "WhereBackward0"} else kind


def _is_distance(graph: _Graph, node: Any) -> bool:  # noqa: ANN401
    """Whether only the size of a difference is used, as by a distance."""
    measured = any(type(user).__name__.startswith(_MEASURES) for user, _ in graph.users[node])
    return "Sub" in type(node).__name__ and measured


def _factor(graph: _Graph, node: Any, slot: int, wide_dimensions: int) -> Action:  # noqa: ANN401
    summed = any(type(user).__name__.startswith("SumBackward") for user, _ in graph.users[node])
    if summed and wide_dimensions > 0:
        return "matrix" if wide_dimensions > 1 else "vector factor"
    if wide_dimensions > 1:
        return "matrix gain"
    met = getattr(node, _OTHER_FACTOR[type(node).__name__][slot], None)
    return "norm gain" if isinstance(met, Tensor) and _is_normalized(met.detach()) else "gain"


def _is_normalized(data: Tensor) -> bool:
    """Whether the mean square over the features is 1 everywhere: over the last dimension, the second, or the image."""
    if data.numel() < 2 or data.dim() < 2 or data.is_complex():
        return False
    square = data.double() ** 2
    dims: list[tuple[int, ...]] = [(-1,), (1,), tuple(range(2, data.dim())), tuple(range(1, data.dim()))]
    dims += [(0, *range(2, data.dim()))]
    means = (square.mean(dim) for dim in dims if dim and all(data.shape[size] > 1 for size in dim))
    return any(bool(((mean - 1).abs() < 0.02).all()) for mean in means)


def _is_float(tensor: Tensor) -> bool:
    return tensor.dtype.is_floating_point or tensor.dtype.is_complex


def _tensors(value: Any) -> Iterator[Tensor]:  # noqa: ANN401
    match value:
        case Tensor():
            yield value
        case dict():
            yield from _tensors(tuple(value.values()))
        case list() | tuple():
            for item in value:
                yield from _tensors(item)
        case _ if hasattr(value, "__dict__"):
            yield from (item for item in vars(value).values() if isinstance(item, Tensor))
