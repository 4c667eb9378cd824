"""Dotted names become the tree of modules that hold the tensors, as far as names tell it."""

from collections.abc import Mapping
from typing import Final

from decay_audit.model.parameters import Owner
from decay_audit.sources.checkpoint.pickle.values import MalformedError

Shape = tuple[int, ...]

_NOTHING: Final[Mapping[str, Shape]] = {}
_PER_TENSOR: Final = 4  # a model nests its modules, but most of its tensors share theirs


def grow(shapes: Mapping[str, Shape], types: Mapping[str, str]) -> Mapping[str, Owner]:
    """Make an owner of each distinct prefix of a name, with the shapes of the tensors directly in it.

    Args:
        types: class names by owner name, as far as they are known.

    Raises:
        MalformedError: far more owners than tensors.
    """
    held = _held(shapes)
    owners: dict[str, Owner] = {}
    for prefix in held:
        if prefix not in owners:
            _add(prefix, held, types, owners)
        if len(owners) > _PER_TENSOR * len(shapes) + 1000:
            raise MalformedError("its names nest deeper than those of a model")
    return owners


def _held(shapes: Mapping[str, Shape]) -> Mapping[str, Mapping[str, Shape]]:
    """List the tensors of each owner. Owners of one tensor share one table for each leaf and shape: they are many."""
    held: dict[str, dict[str, Shape]] = {"": {}}
    single: dict[tuple[str, Shape], dict[str, Shape]] = {}
    for name, shape in shapes.items():
        prefix, _, leaf = name.rpartition(".")
        known = held.get(prefix)
        if known is None:
            held[prefix] = single.setdefault((leaf, shape), {leaf: shape})
        elif len(known) == 1:
            held[prefix] = {**known, leaf: shape}
        else:
            known[leaf] = shape
    return held


def _add(
    prefix: str, held: Mapping[str, Mapping[str, Shape]], types: Mapping[str, str], owners: dict[str, Owner]
) -> Owner:
    parent = None
    if prefix:
        above = prefix.rpartition(".")[0]
        parent = owners.get(above) or _add(above, held, types, owners)
    kinds = (types[prefix],) if prefix in types else ()
    owner = owners[prefix] = Owner(name=prefix, types=kinds, parent=parent, tensors=held.get(prefix, _NOTHING))
    return owner
