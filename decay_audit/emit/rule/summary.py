"""Plans become the docstring of the emitted function, which says what does not decay."""

from collections.abc import Iterable, Sequence

from decay_audit.roles.words import NOUNS, Role
from decay_audit.rulesets.plan import Decision, Plan
from decay_audit.text import join_words

_NORMS: frozenset[Role] = frozenset({"norm_weight", "norm_bias"})
MOST_ROLES = 4
"""How many roles the sentence names; the others are called `others`."""
GENERAL_SENTENCE = "Make the param groups of `model`."


def summarize(plans: Sequence[Plan], width: int) -> str:
    """Write one sentence of at most `width` characters.

    >>> summarize([], 80)
    'Make the param groups of `model`.'
    """
    grouped = [decision for plan in plans for decision in plan.decisions if decision.grouped]
    not_decayed = _nouns(decision for decision in grouped if not decision.decays)
    decayed = _nouns(decision for decision in grouped if decision.decays)
    uses = [use for use in dict.fromkeys(decision.use for decision in grouped) if use is not None]
    if uses:
        split = f"Split the parameters of `model` between {join_words(uses)}."
        return _if_it_fits(split if len(uses) > 1 else f"Give all parameters of `model` to {uses[0]}.", width)
    if not grouped or not (not_decayed or decayed):
        return GENERAL_SENTENCE
    if not not_decayed:
        return "Decay every parameter of `model`."
    if not decayed:
        return "Decay no parameter of `model`."
    words = [f"some {noun}" if noun in decayed else noun for noun in not_decayed]
    for count in range(min(MOST_ROLES, len(words)), 0, -1):
        listed = [*words[:count], *(["others"] if count < len(words) else [])]
        sentences = [f"Decay {everything} but {join_words(listed)}." for everything in ("all parameters", "all")]
        if sentence := next((sentence for sentence in sentences if len(sentence) <= width), ""):
            return sentence
    return GENERAL_SENTENCE


def _if_it_fits(sentence: str, width: int) -> str:
    plain = len(sentence) <= width and sentence.isprintable() and not set(sentence) & set('"\\')
    return sentence if plain else GENERAL_SENTENCE


def _nouns(decisions: Iterable[Decision]) -> list[str]:
    """Name the roles of the decisions in the plural, biases and norms first."""
    roles = {decision.classified.role for decision in decisions}
    return [
        *(["biases"] if "bias" in roles else []),
        *(["norms"] if roles & _NORMS else []),
        *(plural for role, (_, plural) in NOUNS.items() if role in roles - _NORMS - {"bias"}),
    ]
