"""Classified parameters written by hand, for rules to be asked about."""

from typing import Any

from decay_audit.model.parameters import Declaration, Owner, Parameter
from decay_audit.roles.words import Classified, Layer, Role

ROOT = Owner(types=("model.Net", "torch.nn.Module"))
LINEAR = ("torch.nn.Linear", "torch.nn.Module")
LAYER_NORM = ("model.Norm", "torch.nn.LayerNorm", "torch.nn.Module")


def subject(
    name: str = "block.norm.weight",
    shape: tuple[int, ...] = (8,),
    *,
    types: tuple[str, ...] = LINEAR,
    parent: Owner | None = ROOT,
    role: Role = "linear_weight",
    layer: Layer = "linear",
    declaration: Declaration | None = None,
    **more: Any,
) -> Classified:
    """A parameter whose owner is named as its name says, under a model that may declare something."""
    above = Owner(types=ROOT.types, declaration=declaration) if parent is ROOT else parent
    owner = Owner(name=name.rpartition(".")[0], types=types, parent=above)
    parameter = Parameter(
        name=name,
        raw_name=more.pop("raw_name", name),
        shape=shape,
        dtype=more.pop("dtype", "float32"),
        owner=owner,
        **more,
    )
    return Classified(parameter=parameter, role=role, layer=layer, confidence="certain", evidence=())


def unowned(name: str = "block.norm.weight", shape: tuple[int, ...] = (8,), **more: Any) -> Classified:
    """A parameter of a checkpoint: nobody knows its owner's class."""
    return subject(name, shape, types=(), parent=None, **more)
