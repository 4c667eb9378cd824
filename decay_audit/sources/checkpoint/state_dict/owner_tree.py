"""The names of tensors become the tree of the modules that own them, as far as names show it."""

from collections.abc import Mapping
from typing import Final

from decay_audit.model.parameters import Owner
from decay_audit.sources.checkpoint.contents import MalformedError

Shape = tuple[int, ...]

_NO_TENSORS: Final[Mapping[str, Shape]] = {}
_OWNERS_PER_TENSOR: Final = 4
"""A limit for damaged files: in a model modules are nested, but most tensors are in the same modules as others."""


def build_owner_tree(shapes: Mapping[str, Shape], module_types: Mapping[str, str]) -> Mapping[str, Owner]:
    """Make an owner for each distinct prefix of a name, with the shapes of the tensors directly in it.

    Args:
        shapes: of all tensors, by name.
        module_types: class names by owner name, where known.

    Raises:
        MalformedError: far more owners than tensors.
    """
    by_prefix = _group_by_prefix(shapes)
    owners: dict[str, Owner] = {}
    for prefix in by_prefix:
        if prefix not in owners:
            _add(prefix, by_prefix, module_types, owners)
        if len(owners) > _OWNERS_PER_TENSOR * len(shapes) + 1000:
            raise MalformedError("the names in it are nested more deeply than those of a model")
    return owners


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


def _add(
    prefix: str,
    by_prefix: Mapping[str, Mapping[str, Shape]],
    module_types: Mapping[str, str],
    owners: dict[str, Owner],
) -> Owner:
    """Add an owner, and before it the owners above it."""
    parent = None
    if prefix:
        parent_name = prefix.rpartition(".")[0]
        parent = owners.get(parent_name) or _add(parent_name, by_prefix, module_types, owners)
    types = (module_types[prefix],) if prefix in module_types else ()
    tensors = by_prefix.get(prefix, _NO_TENSORS)
    owner = owners[prefix] = Owner(name=prefix, types=types, parent=parent, tensors=tensors)
    return owner
