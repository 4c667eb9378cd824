"""All roles, layers, kinds of evidence and confidences, and the structs that have them as fields.

Also writes a role for a report, and reads a role that a user typed.
"""

from difflib import get_close_matches
from typing import Literal, get_args

from msgspec import Struct

from decay_audit.errors import DecayAuditError
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
"""What a parameter does in the model; `MEANINGS` says it in words."""
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
"""The kind of layer to which a parameter belongs."""
EvidenceKind = Literal["usage", "owner", "pattern", "header"]
"""Where evidence comes from: a traced pass, the owner's class, a pattern of names, or the header of a file."""
Confidence = Literal["certain", "likely", "guess"]
"""How reliable a role is. Evidence from names and shapes alone is never certain."""

ROLES: tuple[Role, ...] = get_args(Role)
LAYERS: tuple[Layer, ...] = get_args(Layer)
EVIDENCE_KINDS: tuple[EvidenceKind, ...] = get_args(EvidenceKind)  # strongest first
CONFIDENCES: tuple[Confidence, ...] = get_args(Confidence)  # strongest first

NOUNS: dict[Role, tuple[str, str]] = {
    "conv_weight": ("conv weight", "conv weights"),
    "linear_weight": ("linear weight", "linear weights"),
    "recurrent_weight": ("recurrent weight", "recurrent weights"),
    "embedding": ("embedding", "embeddings"),
    "position_embedding": ("position embedding", "position embeddings"),
    "relative_position_bias": ("relative position bias", "relative position biases"),
    "token": ("learned token", "learned tokens"),
    "bias": ("bias", "biases"),
    "norm_weight": ("norm weight", "norm weights"),
    "norm_bias": ("norm bias", "norm biases"),
    "layer_scale": ("layer scale", "layer scales"),
    "scale": ("scale", "scales"),
    "activation": ("activation parameter", "activation parameters"),
    "state_space": ("state space parameter", "state space parameters"),
    "adapter_weight": ("adapter weight", "adapter weights"),
    "unclassified": ("unclassified parameter", "unclassified parameters"),
}
"""The noun for a parameter of each role, in the singular and the plural."""

MEANINGS: dict[Role, str] = {
    "conv_weight": "the kernel of a convolution",
    "linear_weight": "the matrix of a linear layer, of an attention projection, or a stack of such matrices (experts)",
    "recurrent_weight": "a matrix of an RNN, LSTM or GRU",
    "embedding": "a table whose rows are looked up, such as word embeddings",
    "position_embedding": "a table or tensor with a vector for each position",
    "relative_position_bias": "a table of offsets that are added to attention scores, by relative position",
    "token": "a learned vector that is used like an input: a class token, mask, query, register or prompt",
    "bias": "a bias of a layer that is not a norm",
    "norm_weight": "the gain of a norm layer (its `weight` or gamma)",
    "norm_bias": "the shift of a norm layer (its `bias` or beta)",
    "layer_scale": "a gain for each channel on a residual branch",
    "scale": "any other gain: a temperature, a logit scale, a gain for each head",
    "activation": "a parameter of an activation, such as the slope of PReLU",
    "state_space": "a tensor of a state space or of time mixing, such as A_log, D or dt_bias",
    "adapter_weight": "a matrix of an adapter, such as LoRA",
    "unclassified": "no class, name or use tells what it does",
}
"""What a parameter of each role does in the model."""
FAMILIES: dict[str, tuple[Role, ...]] = {
    "weight": ("conv_weight", "linear_weight", "recurrent_weight"),
    "norm": ("norm_weight", "norm_bias"),
    "embedding": ("embedding", "position_embedding"),
    "position": ("position_embedding", "relative_position_bias"),
}
"""Words for several roles at once."""


def label(role: Role) -> str:
    """Write a role as reports show it: its name with spaces, `norm weight`."""
    return role.replace("_", " ")


def read_roles(text: str) -> tuple[Role, ...]:
    """Read a role that a user typed: its name, the words of a report, or a family of roles.

    >>> read_roles("norm_weight"), read_roles("norm weights"), read_roles("norm")
    (('norm_weight',), ('norm_weight',), ('norm_weight', 'norm_bias'))

    Raises:
        DecayAuditError: there is no such role.
    """
    typed = " ".join(text.replace("_", " ").lower().split())
    spellings = _spellings()
    if typed in spellings:
        return spellings[typed]
    near = [spellings[word] for word in get_close_matches(typed, spellings, n=1)]
    names = " or ".join(f"`{role}`" for role in near[0]) if near else ""
    hint = f"did you mean {names}?" if near else f"roles: {', '.join(ROLES)}; families: {', '.join(FAMILIES)}"
    raise DecayAuditError(f"no role `{text.strip()}`", hint)


def _spellings() -> dict[str, tuple[Role, ...]]:
    """Map each accepted spelling to its roles. `embedding` is a role and a family; it is read as the family."""
    singles = {word: (role,) for role in ROLES for word in (label(role), *NOUNS[role])}
    families = {word: roles for family, roles in FAMILIES.items() for word in (family, f"{family}s")}
    return singles | families


class Evidence(Struct, frozen=True, kw_only=True):
    """One reason to think that a parameter has a role.

    Attributes:
        detail: the observation, e.g. `torch.nn.BatchNorm2d` or `native_batch_norm.weight`.
        role: the role that it supports.
        layer: the layer that it supports.
        confidence: how reliable it is without other evidence.
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
