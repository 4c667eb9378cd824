"""The entries of a lock as phrases, for findings and for the report of `diff`."""

from collections import Counter
from collections.abc import Mapping, Sequence

from decay_audit.checks.lock.entries import Entry
from decay_audit.roles.words import NOUNS
from decay_audit.text import count_noun, join_words

_NOUNS: Mapping[str, tuple[str, str]] = {str(role): nouns for role, nouns in NOUNS.items()}


def count_roles(entries: Sequence[Entry]) -> str:
    """Count entries by role: `2 norm weights and 1 bias`."""
    counts = Counter(entry.role for entry in entries)
    return join_words([count_noun(count, *_NOUNS.get(role, (role, role))) for role, count in counts.items()])


def decision_text(entry: Entry) -> str:
    """Write the coefficient, the lr factor and the optimizer of a decision: `weight_decay 0.05, lr x0.5, adamw`."""
    texts = [
        {"0": "spared", "frozen": "frozen, in no group"}.get(entry.weight_decay, f"weight_decay {entry.weight_decay}"),
        "" if entry.lr_scale == "1" else f"lr x{entry.lr_scale}",
        entry.use,
    ]
    return ", ".join(filter(None, texts))


def decision_and_rule(entry: Entry) -> str:
    """Write the decision and the rule that decided: `spared by rule norms`."""
    return f"{decision_text(entry)} by {rule_text(entry)}"


def rule_text(entry: Entry) -> str:
    """Name the rule that decided, or the default."""
    return "the default" if entry.rule == "default" else f"rule {entry.rule}"


def role_text(entry: Entry) -> str:
    """Write the role as words: `norm weight`."""
    return entry.role.replace("_", " ")


def optimizer_text(entry: Entry) -> str:
    """Write what the optimizers do: `weight_decay 0.05 in AdamW`."""
    if entry.observed == "none":
        return "in no optimizer"
    return " and ".join(map(_observation_text, entry.observed.split(",")))


def _observation_text(observed: str) -> str:
    """Write `AdamW:0.05:x0.1` as a phrase."""
    type_, _, rest = observed.partition(":")
    decay, _, scale = rest.partition(":")
    return f"{'spared' if decay == '0' else f'weight_decay {decay}'}{f', lr {scale}' if scale else ''} in {type_}"
