"""Build the tree of the modules that own the tensors, as far as the names of the tensors show it."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from msgspec import Struct

from decay_audit import work
from decay_audit.model.parameters import BASE_LAYER, Owner
from decay_audit.sources.checkpoint.contents import MalformedError

Shape = tuple[int, ...]

_NO_TENSORS: Final[Mapping[str, Shape]] = {}
"""The tensors of an owner that holds only other modules."""
_OWNERS_PER_TENSOR: Final = 4
"""The most owners for each tensor. Most tensors of a model share their owners; those of a damaged file may not."""
_USUAL_OWNERS_PER_TENSOR: Final = 2
"""So many owners for each tensor cost nothing; more cost work."""
_EXTRA_OWNERS: Final = 1000
"""How many more owners a file may have: a small model may be nested deeply."""


def build_owner_tree(
    shapes: Mapping[str, Shape], module_types: Mapping[str, str], quantized: Collection[str] = ()
) -> Mapping[str, Owner]:
    """Make an owner for each distinct prefix of a name, with the shapes of the tensors directly in it.

    Args:
        shapes: the shapes of all tensors, by name.
        module_types: class names by owner name, where known.
        quantized: the names of the tensors with a dtype of quantized weights.

    Raises:
        MalformedError: there are far more owners than tensors.
        TargetError: the owners need more work than a file of its size may cause.
    """
    contents = _Contents(
        tensors=_group_by_prefix(shapes),
        module_types=module_types,
        quantized=_leaves_by_prefix(quantized),
        adapting=_adapting(shapes),
    )
    owners: dict[str, Owner] = {}
    usual = _USUAL_OWNERS_PER_TENSOR * len(shapes)
    for prefix in contents.tensors:
        if prefix not in owners:
            before = len(owners)
            _add(prefix, contents, owners)
            if len(owners) > usual:
                work.spend(work.UNITS_PER_OWNER * (len(owners) - before))
        if len(owners) > _OWNERS_PER_TENSOR * len(shapes) + _EXTRA_OWNERS:
            raise MalformedError("the names in it are nested more deeply than those of a model")
    return owners


class _Contents(Struct, frozen=True, kw_only=True):
    """What is known about the owners, by their names. `adapting` lists the owners that hold a base layer."""

    tensors: Mapping[str, Mapping[str, Shape]]
    module_types: Mapping[str, str]
    quantized: Mapping[str, frozenset[str]]
    adapting: frozenset[str]


def _leaves_by_prefix(names: Iterable[str]) -> Mapping[str, frozenset[str]]:
    leaves: dict[str, set[str]] = defaultdict(set)
    for name in names:
        prefix, _, leaf = name.rpartition(".")
        leaves[prefix].add(leaf)
    return {prefix: frozenset(names_below) for prefix, names_below in leaves.items()}


def _adapting(names: Iterable[str]) -> frozenset[str]:
    """Find the owners that hold a module named BASE_LAYER: the layer that adapters are added to."""
    part = f".{BASE_LAYER}."  # a dot before each name lets a base layer at the root match; [1:] takes the dot away
    return frozenset(f".{name}".rpartition(part)[0][1:] for name in names if part in f".{name}")


def _group_by_prefix(shapes: Mapping[str, Shape]) -> Mapping[str, Mapping[str, Shape]]:
    """List the tensors of each owner. To save memory, owners of one tensor share a dict if leaf and shape are equal."""
    by_prefix: dict[str, dict[str, Shape]] = {"": {}}
    shared: dict[tuple[str, Shape], dict[str, Shape]] = {}
    for name, shape in shapes.items():
        prefix, _, leaf = name.rpartition(".")
        tensors = by_prefix.get(prefix)
        if tensors is None:
            by_prefix[prefix] = shared.setdefault((leaf, shape), {leaf: shape})
        elif len(tensors) == 1:
            by_prefix[prefix] = {**tensors, leaf: shape}  # a copy: the dict of one tensor may be shared
        else:
            tensors[leaf] = shape
    return by_prefix


def _add(prefix: str, contents: _Contents, owners: dict[str, Owner]) -> Owner:
    """Add an owner, and before it the owners above it."""
    parent = None
    if prefix:
        parent_name = prefix.rpartition(".")[0]
        parent = owners.get(parent_name) or _add(parent_name, contents, owners)
    types = (contents.module_types[prefix],) if prefix in contents.module_types else ()
    owner = owners[prefix] = Owner(
        name=prefix,
        types=types,
        parent=parent,
        tensors=contents.tensors.get(prefix, _NO_TENSORS),
        quantized=contents.quantized.get(prefix, frozenset()),
        has_base_layer=prefix in contents.adapting,
    )
    return owner
