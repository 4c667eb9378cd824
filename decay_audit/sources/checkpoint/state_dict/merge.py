"""The tables of all files become the parameters of one model: ties merged, buffers left out, owners in a tree."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from decay_audit.model.inventory import ExcludedTensor
from decay_audit.model.parameters import Owner, Parameter
from decay_audit.sources.checkpoint.pickle.values import MalformedError, Table, Tensor
from decay_audit.sources.checkpoint.state_dict.buffers import reason
from decay_audit.sources.checkpoint.state_dict.canonical_names import Canonical, in_number_order
from decay_audit.sources.checkpoint.state_dict.owner_tree import grow

Place = tuple[int, str, int, tuple[int, ...], tuple[int, ...]]


class Model(Struct, frozen=True, kw_only=True, eq=False):
    """The parameters, what was left out, and where each parameter's data is: for optimizers that hold tensors."""

    parameters: tuple[Parameter, ...]
    excluded: tuple[ExcludedTensor, ...]
    places: Mapping[Place, str]
    canonical: Canonical
    ordered: bool


def place(tensor: Tensor, file: int) -> Place | None:
    """Say where the data is; two tensors at one place are one. None for those without elements of their own."""
    if tensor.storage is None or 0 in tensor.shape:
        return None
    return file, tensor.storage.key, tensor.offset, tensor.shape, tensor.stride


def merge(tables: Sequence[Table]) -> Model:
    """Make one model of the tables.

    Raises:
        MalformedError: two files hold tensors of one name.
    """
    _check_distinct(tables)
    canonical = Canonical(name for table in tables for name in table.tensors)
    found: dict[str, tuple[str, Tensor]] = {}
    ties: dict[str, list[str]] = {}
    places: dict[Place, str] = {}
    for file, table in enumerate(tables):
        for raw, tensor in table.tensors.items():
            plain = canonical(raw)
            name = raw if plain in found else plain
            where = place(tensor, file)
            first = places.setdefault(where, name) if where else name
            if first == name:
                found[name] = raw, tensor
            elif plain != first:
                ties.setdefault(first, []).append(name)
    shapes = {name: tensor.shape for name, (_, tensor) in found.items()}
    shapes |= {name: shapes[first] for first, names in ties.items() for name in names}
    owners = grow(shapes, _types(tables, canonical))
    parameters, excluded = _sorted_out(found, ties, owners, tables, canonical)
    excluded += [ExcludedTensor(name=name, reason=what) for table in tables for name, what in table.others.items()]
    return Model(
        parameters=tuple(parameters),
        excluded=tuple(excluded),
        places=places,
        canonical=canonical,
        ordered=_ordered(tables),
    )


def _ordered(tables: Sequence[Table]) -> bool:
    return all(table.ordered for table in tables)


def _types(tables: Sequence[Table], canonical: Canonical) -> Mapping[str, str]:
    return {
        canonical(f"{name}.x" if name else "x").rpartition(".")[0]: kind
        for table in tables
        for name, kind in table.types.items()
    }


def _check_distinct(tables: Sequence[Table]) -> None:
    if len(tables) < 2 or len(set().union(*(t.tensors for t in tables))) == sum(len(t.tensors) for t in tables):
        return
    seen: set[str] = set()
    for table in tables:
        twice = next((name for name in table.tensors if name in seen), None)
        if twice is not None:
            raise MalformedError(f"two of its files hold the tensor {twice[:96]!r}")
        seen.update(table.tensors)


def _sorted_out(
    found: Mapping[str, tuple[str, Tensor]],
    ties: Mapping[str, Sequence[str]],
    owners: Mapping[str, Owner],
    tables: Sequence[Table],
    canonical: Canonical,
) -> tuple[list[Parameter], list[ExcludedTensor]]:
    """Part the parameters from what is none."""
    buffers = {canonical(name) for table in tables for name in table.buffers}
    parameters: list[Parameter] = []
    excluded: list[ExcludedTensor] = []
    for name in found if _ordered(tables) else in_number_order(list(found)):
        raw, tensor = found[name]
        prefix, _, leaf = name.rpartition(".")
        owner = owners[prefix]
        tied = tuple(ties[name]) if name in ties else ()
        why = "a buffer of its module" if name in buffers else reason(prefix, leaf, tensor, owner.tensors)
        if why:
            excluded += [ExcludedTensor(name=each, reason=why) for each in (name, *tied)]
            continue
        parameters.append(
            Parameter(
                name=name,
                raw_name=raw,
                shape=tensor.shape,
                dtype=tensor.dtype,
                owner=owner,
                trainable=tensor.trainable,
                tied_to=tied,
                attributes=tensor.attributes,
            )
        )
    return parameters, excluded
