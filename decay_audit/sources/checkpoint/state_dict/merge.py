"""Merge the contents of all files into the parameters of one model, with tied names and owners, without buffers."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from decay_audit.model.inventory import ExcludedTensor
from decay_audit.model.parameters import Owner, Parameter, is_quantized
from decay_audit.sources.checkpoint.contents import FileContents, MalformedError, Tensor
from decay_audit.sources.checkpoint.state_dict.buffers import buffer_reason
from decay_audit.sources.checkpoint.state_dict.canonical_names import CanonicalNames, sort_by_number
from decay_audit.sources.checkpoint.state_dict.owner_tree import build_owner_tree

DataAddress = tuple[int, str, int, tuple[int, ...], tuple[int, ...]]
"""The place of a tensor's data: index of the file, key of the storage, offset, shape and stride."""


class MergedModel(Struct, frozen=True, kw_only=True, eq=False):
    """The model in a checkpoint.

    Attributes:
        names_by_address: name of each parameter by the address of its data, for optimizers that hold tensors.
        canonical_names: makes the canonical name of a name in the checkpoint.
        in_model_order: whether `parameters` are in the model's own order.
    """

    parameters: tuple[Parameter, ...]
    excluded: tuple[ExcludedTensor, ...]
    names_by_address: Mapping[DataAddress, str]
    canonical_names: CanonicalNames
    in_model_order: bool


def data_address(tensor: Tensor, file: int) -> DataAddress | None:
    """Return the address of the data; two tensors with one address are tied. None if the tensor has no data."""
    if tensor.storage is None or 0 in tensor.shape:
        return None
    return file, tensor.storage.key, tensor.offset, tensor.shape, tensor.stride


def merge(files: Sequence[FileContents]) -> MergedModel:
    """Make one model of the files.

    Raises:
        MalformedError: two files hold tensors of one name.
    """
    _check_distinct(files)
    canonical_names = CanonicalNames(name for file in files for name in file.tensors)
    tensors: dict[str, tuple[str, Tensor]] = {}
    ties: dict[str, list[str]] = {}
    names_by_address: dict[DataAddress, str] = {}
    for index, file in enumerate(files):
        for raw_name, tensor in file.tensors.items():
            canonical = canonical_names(raw_name)
            name = raw_name if canonical in tensors else canonical  # two names may have one canonical name
            address = data_address(tensor, index)
            first = names_by_address.setdefault(address, name) if address else name
            if first == name:
                tensors[name] = raw_name, tensor
            elif canonical != first:
                ties.setdefault(first, []).append(name)
    shapes = {name: tensor.shape for name, (_, tensor) in tensors.items()}
    shapes |= {name: shapes[first] for first, names in ties.items() for name in names}
    quantized = [name for name, (_, tensor) in tensors.items() if is_quantized(tensor.dtype)]
    owners = build_owner_tree(shapes, _module_types(files, canonical_names), quantized)
    parameters, excluded = _split(tensors, ties, owners, files, canonical_names)
    excluded += [
        ExcludedTensor(name=name, reason=reason) for file in files for name, reason in file.non_tensors.items()
    ]
    return MergedModel(
        parameters=tuple(parameters),
        excluded=tuple(excluded),
        names_by_address=names_by_address,
        canonical_names=canonical_names,
        in_model_order=_in_model_order(files),
    )


def _in_model_order(files: Sequence[FileContents]) -> bool:
    return all(file.in_model_order for file in files)


def _module_types(files: Sequence[FileContents], canonical_names: CanonicalNames) -> Mapping[str, str]:
    """Return class names by canonical module name.

    The conversion takes names of tensors: a tensor `x` is added to the module, and removed from the result.
    """
    return {
        canonical_names(f"{name}.x" if name else "x").rpartition(".")[0]: class_name
        for file in files
        for name, class_name in file.module_types.items()
    }


def _check_distinct(files: Sequence[FileContents]) -> None:
    if len(files) < 2 or len(set().union(*(file.tensors for file in files))) == sum(
        len(file.tensors) for file in files
    ):
        return
    seen: set[str] = set()
    for file in files:
        duplicate = next((name for name in file.tensors if name in seen), None)
        if duplicate is not None:
            raise MalformedError(f"two of its files hold the tensor {duplicate[:96]!r}")
        seen.update(file.tensors)


def _split(
    tensors: Mapping[str, tuple[str, Tensor]],
    ties: Mapping[str, Sequence[str]],
    owners: Mapping[str, Owner],
    files: Sequence[FileContents],
    canonical_names: CanonicalNames,
) -> tuple[list[Parameter], list[ExcludedTensor]]:
    """Separate the parameters from the buffers."""
    buffers = {canonical_names(name) for file in files for name in file.buffers}
    parameters: list[Parameter] = []
    excluded: list[ExcludedTensor] = []
    for name in tensors if _in_model_order(files) else sort_by_number(list(tensors)):
        raw_name, tensor = tensors[name]
        prefix, _, leaf = name.rpartition(".")
        owner = owners[prefix]
        tied_to = tuple(ties[name]) if name in ties else ()
        reason = "a buffer of its module" if name in buffers else buffer_reason(prefix, leaf, tensor, owner.tensors)
        if reason:
            excluded += [ExcludedTensor(name=excluded_name, reason=reason) for excluded_name in (name, *tied_to)]
            continue
        parameters.append(
            Parameter(
                name=name,
                raw_name=raw_name,
                shape=tensor.shape,
                dtype=tensor.dtype,
                owner=owner,
                trainable=tensor.trainable,
                tied_to=tied_to,
                attributes=tensor.attributes,
            )
        )
    return parameters, excluded
