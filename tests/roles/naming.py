"""Parameters made of data, and the same model read twice: with its classes, and as from a checkpoint's header."""

from collections.abc import Mapping

from torch import nn

from decay_audit.model.parameters import Owner, Parameter, Use
from decay_audit.roles import classify
from decay_audit.roles.words import Classified, Role
from decay_audit.sources.module import read

FAMILY: Mapping[Role, str] = {
    "conv_weight": "matrix",
    "linear_weight": "matrix",
    "recurrent_weight": "matrix",
    "adapter_weight": "matrix",
    "embedding": "embedding",
    "bias": "bias",
    "norm_weight": "norm",
    "norm_bias": "norm",
    "position_embedding": "position, token or scale",
    "relative_position_bias": "position, token or scale",
    "token": "position, token or scale",
    "layer_scale": "position, token or scale",
    "scale": "position, token or scale",
    "activation": "position, token or scale",
    "state_space": "position, token or scale",
    "unclassified": "none",
}
"""The kind of each role. Two roles of one kind are seldom treated differently, and names alone may confuse them."""


def classify_model(model: nn.Module) -> dict[str, Classified]:
    """Classify every parameter of a live model, by name."""
    return {item.parameter.name: item for item in classify(read(model).parameters)}


def classify_tensor(
    name: str,
    shape: tuple[int, ...],
    *types: str,
    siblings: Mapping[str, tuple[int, ...]] | None = None,
    dtype: str = "float32",
    uses: tuple[Use, ...] | None = None,
    quantized: frozenset[str] = frozenset(),
    **settings: int,
) -> Classified:
    """Classify one parameter made of data; without types, it is as in a checkpoint's header."""
    owner_name, _, leaf = name.rpartition(".")
    tensors = {leaf: shape, **(siblings or {})}
    owner = Owner(name=owner_name, types=types, tensors=tensors, settings=settings, quantized=quantized)
    parameter = Parameter(name=name, raw_name=name, shape=shape, dtype=dtype, owner=owner, uses=uses)
    return classify([parameter])[0]


def as_header(model: nn.Module) -> tuple[Parameter, ...]:
    """See a model's parameters as the header of its checkpoint shows them: no classes, no settings."""
    saved = model.state_dict().keys()
    owners: dict[str, Owner] = {}

    def without_class(owner: Owner) -> Owner:
        if owner.name not in owners:
            prefix = f"{owner.name}." if owner.name else ""
            owners[owner.name] = Owner(
                name=owner.name,
                parent=without_class(owner.parent) if owner.parent else None,
                tensors={leaf: shape for leaf, shape in owner.tensors.items() if prefix + leaf in saved},
                quantized=owner.quantized,
                has_base_layer=owner.has_base_layer,
            )
        return owners[owner.name]

    return tuple(
        Parameter(
            name=parameter.name,
            raw_name=parameter.raw_name,
            shape=parameter.shape,
            dtype=parameter.dtype,
            owner=without_class(parameter.owner),
            trainable=None,
        )
        for parameter in read(model).parameters
    )
