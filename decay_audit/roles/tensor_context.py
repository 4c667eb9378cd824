"""Collect the names and shapes around a parameter: its own name, the words of its path, its siblings.

Reparametrizations (weight norm, spectral norm, pruning, parametrize) are resolved to the tensor that they stand for.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod

from msgspec import Struct
from msgspec.structs import replace

from decay_audit.model.parameters import BASE_LAYER, Owner, Parameter
from decay_audit.roles.conventions.convention import NO_DIGITS

_PARAMETER_LISTS = frozenset({"torch.nn.ParameterList", "torch.nn.ParameterDict"})
_ITEM_OF_NESTED_LIST = re.compile(r"\.\d+\.\d+$")
_WRAPPED = frozenset({BASE_LAYER, "original_module"})  # what a wrapper calls the module that it wraps
_ADAPTER_BASE = ".BaseTunerLayer"  # of peft: each of its kinds of adapters derives from it
_MAX_COMPARED = 64
"""In a module with at most this many tensors, each is compared with all others."""
_NEIGHBOURS = 16
"""In a larger module, a tensor is compared with this many before it and after it: a bias stands next to its weight."""
_CONTAINERS = frozenset({"Sequential", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict"})


class TensorContext(Struct, frozen=True, kw_only=True):
    """One tensor, with the names and shapes around it. Path words have no numbers, so that blocks look alike.

    Attributes:
        leaf: the tensor's name, e.g. `weight` also for `weight_orig` and `parametrizations.weight.original`.
        nested: whether its module is an item of a list in a list, e.g. `stages.0.1`.
        in_adapter: whether the tensor belongs to an adapter, and not to the layer that the adapter wraps.
        is_magnitude: whether it is the magnitude that weight normalization separates from the weight.
        types: qualified class names of the module that the tensor belongs to; empty if the source cannot know.
        path: the words of that module's dotted name, nearest first.
        classes: simple class names of that module and of those above it, nearest first, without containers and root.
        tensors: shapes of all tensors of the module, this one among them, by name.
        quantized: the names of the tensors of the module that have a dtype of quantized weights.
    """

    leaf: str
    shape: tuple[int, ...]
    dtype: str
    lazy: bool = False
    nested: bool = False
    in_adapter: bool = False
    is_magnitude: bool = False
    types: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    tensors: Mapping[str, tuple[int, ...]] = {}
    quantized: frozenset[str] = frozenset()
    settings: Mapping[str, int | float | str | bool] = {}

    @property
    def module_name(self) -> str:
        """The nearest word above the leaf: `norm` for `blocks.3.norm1.weight`."""
        return self.path[0] if self.path else ""

    @property
    def class_name(self) -> str:
        """Simple name of the module's class; "" if unknown."""
        return self.types[0].rpartition(".")[2] if self.types else ""

    @property
    def squeezed_ndim(self) -> int:
        """How many dimensions are larger than 1: one for a gain of shape (1, C, 1, 1)."""
        return _squeezed_ndim(self.shape)

    @property
    def numel(self) -> int:
        """How many elements the shape holds."""
        return prod(self.shape)


class NearSiblings(Mapping[str, tuple[int, ...]]):
    """The tensors of a module that has very many: all can be looked up, and only the nearest are iterated over.

    A list of parameters or a flat export has all tensors in one module. If each were compared with all others, the
    time would grow with the square of their number.
    """

    __slots__ = ("nearest", "tensors")

    def __init__(self, tensors: Mapping[str, tuple[int, ...]], nearest: Sequence[str]) -> None:
        self.tensors = tensors
        self.nearest = nearest

    def __getitem__(self, name: str) -> tuple[int, ...]:
        return self.tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.nearest)

    def __len__(self) -> int:
        return len(self.tensors)


def sibling_finder() -> Callable[[Owner, str], Mapping[str, tuple[int, ...]]]:
    """Make a function that takes an owner and the name of its tensor, and returns the tensors to compare it with."""
    names_of: dict[Owner, tuple[tuple[str, ...], Mapping[str, int]]] = {}

    def siblings(owner: Owner, leaf: str) -> Mapping[str, tuple[int, ...]]:
        if len(owner.tensors) <= _MAX_COMPARED:
            return owner.tensors
        listed = names_of.get(owner)
        if listed is None:
            names = tuple(owner.tensors)
            names_of[owner] = listed = (names, {name: index for index, name in enumerate(names)})
        names, index_of = listed
        index = index_of.get(leaf, 0)
        return NearSiblings(owner.tensors, names[max(0, index - _NEIGHBOURS) : index + _NEIGHBOURS + 1])

    return siblings


def tensor_context(
    parameter: Parameter, siblings: Callable[[Owner, str], Mapping[str, tuple[int, ...]]] | None = None
) -> TensorContext:
    """Collect the names and shapes around a parameter.

    Args:
        siblings: the `sibling_finder` of a model; it lists the tensors of each owner only once.
    """
    owner = parameter.owner
    tensor = TensorContext(
        leaf=parameter.leaf,
        shape=parameter.shape,
        dtype=parameter.dtype,
        lazy=parameter.lazy,
        nested=_ITEM_OF_NESTED_LIST.search(owner.name) is not None,
        in_adapter=_in_adapter(owner),
        types=owner.types,
        path=path_words(owner.name),
        classes=_class_names(owner),
        tensors=(siblings or sibling_finder())(owner, parameter.leaf),
        quantized=owner.quantized,
        settings=owner.settings,
    )
    if _holds_originals(owner.name):
        return _resolve_parametrization(tensor, owner)
    if not _PARAMETER_LISTS.isdisjoint(owner.types) or parameter.leaf.isdigit():
        return _resolve_list_member(tensor, owner)
    return _resolve_suffix(tensor)


def _in_adapter(owner: Owner) -> bool:
    """Whether the owner is part of an adapter, and not of the layer that the adapter wraps."""
    for module in owner.lineage():
        if module.has_base_layer or any(name.endswith(_ADAPTER_BASE) for name in module.types):
            inside = owner.name[len(module.name) :].lstrip(".").partition(".")[0]
            return inside not in _WRAPPED
    return False


def path_words(dotted: str) -> tuple[str, ...]:
    """Split a dotted name into its words, last first, without numbers and without the words that wrappers add."""
    parts = reversed(dotted.translate(NO_DIGITS).split("."))
    return tuple(part for part in parts if part.strip("_") and part not in _WRAPPED)


def _class_names(owner: Owner) -> tuple[str, ...]:
    names = (module.type_name for module in owner.lineage() if module.parent is not None)
    return tuple(name for name in names if name and name not in _CONTAINERS)


def _holds_originals(owner_name: str) -> bool:
    """Whether the owner is a list of originals, as `torch.nn.utils.parametrize` makes: `x.parametrizations.weight`."""
    return owner_name.split(".")[-2:-1] == ["parametrizations"]


def _resolve_parametrization(tensor: TensorContext, owner: Owner) -> TensorContext:
    """Give `x.parametrizations.weight.original0` the name, the module and the siblings of `x.weight`."""
    module = owner.parent.parent if owner.parent else None
    leaf = owner.name.rpartition(".")[2]
    others = [shape for name, shape in tensor.tensors.items() if name != tensor.leaf and name.startswith("original")]
    return replace(
        tensor,
        leaf=leaf,
        is_magnitude=_is_magnitude(tensor.shape, others),
        types=module.types if module else (),
        path=tensor.path[2:],
        classes=_class_names(module) if module else (),
        tensors={**module.tensors, leaf: tensor.shape} if module else {leaf: tensor.shape},
        settings=module.settings if module else {},
    )


def _is_magnitude(shape: tuple[int, ...], others: list[tuple[int, ...]]) -> bool:
    """Whether a shape has fewer dimensions than another original, as the magnitude of weight norm has."""
    return any(_squeezed_ndim(shape) < _squeezed_ndim(other) for other in others)


def _squeezed_ndim(shape: tuple[int, ...]) -> int:
    return sum(size > 1 for size in shape)


def _resolve_list_member(tensor: TensorContext, owner: Owner) -> TensorContext:
    """Name a member of a ParameterList like the list, and a member of a ParameterDict like the dict and its key.

    Both belong to the module that holds the list.
    """
    name = tensor.module_name or tensor.leaf
    return replace(
        tensor,
        leaf=name if tensor.leaf.isdigit() else f"{name}_{tensor.leaf}",
        types=owner.parent.types if owner.parent else (),
        path=tensor.path[1:],
        tensors={},
    )


def _resolve_suffix(tensor: TensorContext) -> TensorContext:
    """Remove the suffixes of torch.nn.utils: `_g` and `_v` of weight_norm, `_orig` of spectral_norm and pruning."""
    match = re.fullmatch(r"(\w+)_(g|v|orig)", tensor.leaf)
    if match is None:
        return tensor
    leaf, kind = match.groups()
    if kind != "orig" and not _is_split_weight(tensor.tensors, leaf):
        return tensor
    return replace(tensor, leaf=leaf, is_magnitude=kind == "g", tensors={**tensor.tensors, leaf: tensor.shape})


def _is_split_weight(tensors: Mapping[str, tuple[int, ...]], leaf: str) -> bool:
    """Whether `x_g` and `x_v` are length and direction of one weight, and not two tensors of the same kind."""
    length, direction = tensors.get(f"{leaf}_g"), tensors.get(f"{leaf}_v")
    if length is None or direction is None:
        return False
    return leaf == "weight" or _squeezed_ndim(length) < _squeezed_ndim(direction)
