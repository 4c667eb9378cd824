"""Values as people read them: roles, counts, shares, coefficients, shapes and names that come from a model."""

from collections.abc import Iterable

from decay_audit.roles.words import Role
from decay_audit.text import format_coefficient

SHORT: dict[Role, str] = {
    "conv_weight": "weight",
    "linear_weight": "weight",
    "recurrent_weight": "weight",
    "embedding": "embedding",
    "position_embedding": "position",
    "relative_position_bias": "relative position",
    "token": "token",
    "bias": "bias",
    "norm_weight": "gain",
    "norm_bias": "shift",
    "layer_scale": "layer scale",
    "scale": "scale",
    "activation": "slope",
    "state_space": "state space",
    "adapter_weight": "adapter",
    "unclassified": "unclassified",
}
"""The role beside its layer, as a table says it."""

COUNTED: dict[Role, tuple[str, str]] = {
    "conv_weight": ("conv weight", "conv weights"),
    "linear_weight": ("linear weight", "linear weights"),
    "recurrent_weight": ("recurrent weight", "recurrent weights"),
    "embedding": ("embedding", "embeddings"),
    "position_embedding": ("position embedding", "position embeddings"),
    "relative_position_bias": ("relative position bias", "relative position biases"),
    "token": ("token", "tokens"),
    "bias": ("bias", "biases"),
    "norm_weight": ("norm gain", "norm gains"),
    "norm_bias": ("norm shift", "norm shifts"),
    "layer_scale": ("layer scale", "layer scales"),
    "scale": ("scale", "scales"),
    "activation": ("activation slope", "activation slopes"),
    "state_space": ("state space parameter", "state space parameters"),
    "adapter_weight": ("adapter weight", "adapter weights"),
    "unclassified": ("unclassified parameter", "unclassified parameters"),
}
"""The role on its own, one and many."""

_UNITS = (("T", 1e12, 2, 999.995e9), ("B", 1e9, 2, 999.995e6), ("M", 1e6, 2, 999.95e3), ("k", 1e3, 1, 1e3))
"""Each with its size, the digits behind the point, and the least amount, which the unit below would round to 1000."""


def amount(numel: int) -> str:
    """Say a number of elements in about four digits: `34.43 M`, `57.5 k`, `640`."""
    for unit, size, digits, least in _UNITS:
        if numel >= least:
            return f"{numel / size:.{digits}f} {unit}"
    return str(numel)


def share(part: int, whole: int) -> str:
    """Say a part in percent; 0 % means nothing and 100 % means all, however close another share comes."""
    if part in (0, whole) or not whole:
        return "100 %" if part else "0 %"
    percent = 100 * part / whole
    if percent < 0.05:
        return "<0.1 %"
    return ">99.9 %" if percent >= 99.95 else f"{percent:.1f} %"


def factors(scales: Iterable[float]) -> str:
    """Say factors on learning rates in four digits, as a range where they differ: `x0.1`, `x0.02376..0.75`."""
    each = sorted(scales)
    ends = dict.fromkeys(format_coefficient(float(f"{end:.4g}")) for end in (each[0], each[-1]))
    return f"x{'..'.join(ends)}"
