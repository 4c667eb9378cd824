"""Parameters as data, and the same model seen twice: with its classes, and as a checkpoint's header would show it."""

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


def classified(model: nn.Module) -> dict[str, Classified]:
    """Name every parameter of a live model."""
    return {one.parameter.name: one for one in classify(read(model).parameters)}


def one(
    name: str,
    shape: tuple[int, ...],
    *types: str,
    beside: Mapping[str, tuple[int, ...]] | None = None,
    dtype: str = "float32",
    uses: tuple[Use, ...] | None = None,
    **settings: int,
) -> Classified:
    """Name one parameter, given as data; without types, as a checkpoint's header shows it."""
    owner_name, _, leaf = name.rpartition(".")
    owner = Owner(name=owner_name, types=types, tensors={leaf: shape, **(beside or {})}, settings=settings)
    parameter = Parameter(name=name, raw_name=name, shape=shape, dtype=dtype, owner=owner, uses=uses)
    return classify([parameter])[0]


def as_header(model: nn.Module) -> tuple[Parameter, ...]:
    """See a model's parameters as the header of its checkpoint shows them: no classes, no settings."""
    saved = model.state_dict().keys()
    owners: dict[str, Owner] = {}

    def owner(known: Owner) -> Owner:
        if known.name not in owners:
            prefix = f"{known.name}." if known.name else ""
            owners[known.name] = Owner(
                name=known.name,
                parent=owner(known.parent) if known.parent else None,
                tensors={leaf: shape for leaf, shape in known.tensors.items() if prefix + leaf in saved},
            )
        return owners[known.name]

    return tuple(
        Parameter(
            name=parameter.name,
            raw_name=parameter.raw_name,
            shape=parameter.shape,
            dtype=parameter.dtype,
            owner=owner(parameter.owner),
            trainable=None,
        )
        for parameter in read(model).parameters
    )
