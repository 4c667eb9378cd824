"""What findings are worded with: parameters by kind, coefficients, places of rules."""

from collections import Counter
from collections.abc import Iterable, Sequence

from decay_audit.roles.words import Role
from decay_audit.rulesets.plan import Decision
from decay_audit.text import count_noun, format_coefficient, join_words

_KINDS: dict[Role, tuple[str, str]] = {
    "norm_weight": ("norm parameter", "norm parameters"),
    "norm_bias": ("norm parameter", "norm parameters"),
    "bias": ("bias", "biases"),
    "conv_weight": ("weight", "weights"),
    "linear_weight": ("weight", "weights"),
    "recurrent_weight": ("weight", "weights"),
    "adapter_weight": ("adapter weight", "adapter weights"),
    "embedding": ("embedding", "embeddings"),
    "position_embedding": ("position embedding", "position embeddings"),
    "relative_position_bias": ("relative position table", "relative position tables"),
    "token": ("token", "tokens"),
    "layer_scale": ("layer scale", "layer scales"),
    "scale": ("scale", "scales"),
}
"""One and many, for what people speak of together; anything else is a parameter."""


def kinds(decisions: Sequence[Decision]) -> str:
    """Count parameters by kind, the most frequent first: `62 norm parameters and 1 bias`."""
    counts = Counter(_KINDS.get(one.classified.role, ("parameter", "parameters")) for one in decisions)
    return join_words([count_noun(count, one, many) for (one, many), count in counts.most_common()])


def number(value: float) -> str:
    """Spell a coefficient that may have been measured, to 6 significant digits: `5e-4`, `0.05`, `0`."""
    return format_coefficient(float(f"{value:.6g}"))


def places(decisions: Iterable[Decision]) -> str:
    """Name the rules that decided, each with its place: `rule norms (no-norm-no-bias.yaml:9)`."""
    rules = {f"{one.rule} ({one.location})" if one.location else one.rule: None for one in decisions}
    return f"{'rules' if len(rules) > 1 else 'rule'} {', '.join(rules)}"
