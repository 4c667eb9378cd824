"""Parameters, or parts of them, that a group decays though no gradient reaches them: DA210."""

from collections.abc import Iterator, Sequence

from decay_audit.checks.codes import Finding, finding
from decay_audit.checks.finding_text import coefficient_text, count_by_kind
from decay_audit.checks.observed_plan import ObservedPlan, Pair, effective_weight_decay, has_known_decay
from decay_audit.model.parameters import Parameter
from decay_audit.rulesets.plan import Decision
from decay_audit.text import join_words

_PRUNED_ENDING, _MASK_ENDING = "_orig", "_mask"
"""torch.nn.utils.prune gives these endings to the names of a pruned parameter, and of the buffer with its mask."""
_MAX_GROUPS = 5
"""How many groups one finding names."""


def check_without_gradient(observed: ObservedPlan) -> Iterator[Finding]:
    """Find parameters that the traced forward pass does not use, and pruned ones, in groups with weight decay."""
    if observed.origin != "live":
        return
    decayed = [
        pair
        for pair in observed.pairs()
        if pair[0].classified.parameter.trainable is not False
        and has_known_decay(pair[1])
        and effective_weight_decay(pair[1])
    ]
    traced = any(decision.classified.parameter.uses for decision in observed.plan.decisions)
    unused = [pair for pair in decayed if traced and pair[0].classified.parameter.uses == ()]
    if unused:
        yield _unused_finding(observed, unused)
    if pruned := [pair for pair in decayed if _is_pruned(pair[0].classified.parameter)]:
        yield _pruned_finding(observed, pruned)


def _is_pruned(parameter: Parameter) -> bool:
    """Whether torch.nn.utils.prune made the parameter: `weight_orig`, with its mask in `weight_mask`."""
    leaf = parameter.leaf
    return leaf.endswith(_PRUNED_ENDING) and leaf.removesuffix(_PRUNED_ENDING) + _MASK_ENDING in parameter.owner.tensors


def _unused_finding(observed: ObservedPlan, pairs: Sequence[Pair]) -> Finding:
    decisions = _unique(pairs)
    are, them = ("is", "it") if len(decisions) == 1 else ("are", "them")
    return finding(
        "DA210",
        f"{count_by_kind(decisions)} {are} in a group with weight decay, and the traced forward pass does not use "
        f"{them}: if the gradient is zeros and not None, a step decays {them}",
        (decision.name for decision in decisions),
        expected="used by the forward pass, or in no group",
        found=_coefficients(pairs),
        where=_groups(observed, pairs),
        fix=f"leave {them} out of the optimizer, or trace an input for which the model uses {them}",
    )


def _pruned_finding(observed: ObservedPlan, pairs: Sequence[Pair]) -> Finding:
    decisions = _unique(pairs)
    are = "is" if len(decisions) == 1 else "are"
    return finding(
        "DA210",
        f"{count_by_kind(decisions)} {are} pruned: the elements that the mask sets to zero have a gradient of zero, "
        "and still decay",
        (decision.name for decision in decisions),
        expected="pruned elements as they were",
        found=_coefficients(pairs),
        where=_groups(observed, pairs),
        fix="nothing, if the mask is final; else make pruning permanent first (torch.nn.utils.prune.remove)",
    )


def _unique(pairs: Sequence[Pair]) -> list[Decision]:
    return list({decision.name: decision for decision, _ in pairs}.values())


def _coefficients(pairs: Sequence[Pair]) -> str:
    coefficients = sorted({effective_weight_decay(observation) for _, observation in pairs})
    return f"weight_decay {join_words([coefficient_text(coefficient) for coefficient in coefficients])}"


def _groups(observed: ObservedPlan, pairs: Sequence[Pair]) -> str:
    return observed.group_names(observation for _, observation in pairs)
