"""One parameter as naming sees it: a Parameter in, its tensor name, words of its path and its siblings out.

Resolves reparametrizations (weight norm, spectral norm, pruning, parametrize) to the tensor that they stand for.
"""

import re
from collections.abc import Mapping
from math import prod

from msgspec import Struct
from msgspec.structs import replace

from decay_audit.model.parameters import Owner, Parameter
from decay_audit.roles.conventions import NO_DIGITS

_LISTS = frozenset({"torch.nn.ParameterList", "torch.nn.ParameterDict"})
_NESTED = re.compile(r"\.\d+\.\d+$")
_INNER = frozenset({"base_layer", "original_module"})  # what a wrapper calls the module that it wraps
_CONTAINERS = frozenset({"Sequential", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict"})


class Subject(Struct, frozen=True, kw_only=True):
    """What the evidence is drawn from. Numbers in the names above the leaf are dropped, so that blocks look alike.

    Attributes:
        leaf: the tensor's name, e.g. `weight` also for `weight_orig` and `parametrizations.weight.original`.
        nested: its module is a number in a list that is a number in a list.
        magnitude: it is the length that weight normalization split off, and not the weight.
        types: qualified class names of the module that the tensor belongs to; empty if the source cannot know.
        path: the words of that module's dotted name, nearest first.
        classes: simple class names of it and of the modules above it, nearest first, without containers and root.
        tensors: shapes of the tensors beside it, itself among them, by name.
    """

    leaf: str
    shape: tuple[int, ...]
    dtype: str
    lazy: bool = False
    nested: bool = False
    magnitude: bool = False
    types: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    tensors: Mapping[str, tuple[int, ...]] = {}
    settings: Mapping[str, int | float | str | bool] = {}

    @property
    def name(self) -> str:
        """The nearest word above the leaf: `norm` for `blocks.3.norm1.weight`."""
        return self.path[0] if self.path else ""

    @property
    def class_name(self) -> str:
        """Simple name of the module's class; "" if unknown."""
        return self.types[0].rpartition(".")[2] if self.types else ""

    @property
    def wide(self) -> int:
        """How many dimensions are larger than 1: a gain of shape (1, C, 1, 1) counts one."""
        return _wide(self.shape)

    @property
    def numel(self) -> int:
        """How many elements the shape holds."""
        return prod(self.shape)


def words(dotted: str) -> tuple[str, ...]:
    """Split a dotted name into its words, nearest first: numbers go, and parts that say nothing of the module."""
    parts = reversed(dotted.translate(NO_DIGITS).split("."))
    return tuple(part for part in parts if part.strip("_") and part not in _INNER)


def subject(parameter: Parameter) -> Subject:
    """Say what naming may look at."""
    owner = parameter.owner
    found = Subject(
        leaf=parameter.leaf,
        shape=parameter.shape,
        dtype=parameter.dtype,
        lazy=parameter.lazy,
        nested=_NESTED.search(owner.name) is not None,
        types=owner.types,
        path=words(owner.name),
        classes=_classes(owner),
        tensors=owner.tensors,
        settings=owner.settings,
    )
    if _parametrized(owner.name):
        return _behind_parametrization(found, owner)
    if not _LISTS.isdisjoint(owner.types) or parameter.leaf.isdigit():
        return _in_a_list(found, owner)
    return _behind_hooks(found)


def _classes(owner: Owner) -> tuple[str, ...]:
    named = (module.type_name for module in owner.lineage() if module.parent is not None)
    return tuple(name for name in named if name and name not in _CONTAINERS)


def _parametrized(owner_name: str) -> bool:
    """Whether the owner is a list of originals, as `torch.nn.utils.parametrize` makes: `x.parametrizations.weight`."""
    return owner_name.split(".")[-2:-1] == ["parametrizations"]


def _behind_parametrization(found: Subject, owner: Owner) -> Subject:
    module = owner.parent.parent if owner.parent else None
    tensor = owner.name.rpartition(".")[2]
    others = [shape for name, shape in found.tensors.items() if name != found.leaf and name.startswith("original")]
    return replace(
        found,
        leaf=tensor,
        magnitude=_is_magnitude(found.shape, others),
        types=module.types if module else (),
        path=found.path[2:],
        classes=_classes(module) if module else (),
        tensors={**module.tensors, tensor: found.shape} if module else {tensor: found.shape},
        settings=module.settings if module else {},
    )


def _is_magnitude(shape: tuple[int, ...], others: list[tuple[int, ...]]) -> bool:
    """Weight norm keeps a length for each row, or for all, beside the full weight."""
    return any(_wide(shape) < _wide(other) for other in others)


def _wide(shape: tuple[int, ...]) -> int:
    return sum(size > 1 for size in shape)


def _in_a_list(found: Subject, owner: Owner) -> Subject:
    """A ParameterList gives its own name to its members; a ParameterDict, its own and the key. Both are of a module."""
    name = found.name or found.leaf
    return replace(
        found,
        leaf=name if found.leaf.isdigit() else f"{name}_{found.leaf}",
        types=owner.parent.types if owner.parent else (),
        path=found.path[1:],
        tensors={},
    )


def _behind_hooks(found: Subject) -> Subject:
    """The old weight_norm keeps `weight_g`, `weight_v`; spectral_norm and pruning keep `weight_orig`."""
    split = re.fullmatch(r"(\w+)_(g|v|orig)", found.leaf)
    if split is None:
        return found
    tensor, kind = split.groups()
    if kind != "orig" and not {f"{tensor}_g", f"{tensor}_v"} <= found.tensors.keys():
        return found
    return replace(found, leaf=tensor, magnitude=kind == "g", tensors={**found.tensors, tensor: found.shape})
