"""The closed sets of words that naming speaks: roles, layers, confidence, and the values that carry them."""

from typing import Literal, get_args

from msgspec import Struct

from decay_audit.model.parameters import Parameter

Role = Literal[
    "conv_weight",
    "linear_weight",
    "recurrent_weight",
    "embedding",
    "position_embedding",
    "relative_position_bias",
    "token",
    "bias",
    "norm_weight",
    "norm_bias",
    "layer_scale",
    "scale",
    "activation",
    "state_space",
    "adapter_weight",
    "unclassified",
]
Layer = Literal[
    "conv",
    "depthwise_conv",
    "linear",
    "attention",
    "recurrent",
    "embedding",
    "batch_norm",
    "layer_norm",
    "group_norm",
    "instance_norm",
    "rms_norm",
    "other_norm",
    "activation",
    "other",
]
EvidenceKind = Literal["usage", "owner", "pattern", "header"]
Confidence = Literal["certain", "likely", "guess"]

ROLES: tuple[Role, ...] = get_args(Role)
LAYERS: tuple[Layer, ...] = get_args(Layer)
EVIDENCE_KINDS: tuple[EvidenceKind, ...] = get_args(EvidenceKind)  # strongest first
CONFIDENCES: tuple[Confidence, ...] = get_args(Confidence)  # strongest first

MEANT: dict[str, Role] = {
    "gain": "norm_weight",
    "shift": "norm_bias",
    "position": "position_embedding",
    "relative position": "relative_position_bias",
    "slope": "activation",
    "weight": "linear_weight",
    "adapter": "adapter_weight",
}
"""The role, or the commonest of the roles, that reports call by another word: what someone who read one may write."""


class Evidence(Struct, frozen=True, kw_only=True):
    """One reason to think that a parameter has a role.

    Attributes:
        detail: what was seen, e.g. `torch.nn.BatchNorm2d` or `native_batch_norm.weight`.
        role: the role that it speaks for.
        layer: the layer that it speaks for.
        confidence: how far it can be trusted on its own.
    """

    kind: EvidenceKind
    detail: str
    role: Role
    layer: Layer
    confidence: Confidence


class Classified(Struct, frozen=True, kw_only=True, eq=False, gc=False):
    """A parameter with its role, its layer, and the evidence, strongest first."""

    parameter: Parameter
    role: Role
    layer: Layer
    confidence: Confidence
    evidence: tuple[Evidence, ...]
