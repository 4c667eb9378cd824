"""How many parameters each rule of an imported ruleset decides, and which ones the codebase treats differently."""

from collections import Counter
from collections.abc import Iterator

from decay_audit.reports.folding import MAX_PATTERNS, fold_names
from decay_audit.reports.options import Options
from decay_audit.reports.terminal import layout
from decay_audit.rulesets.conformance import Conformance, Treatment
from decay_audit.rulesets.plan import DEFAULT
from decay_audit.text import count_noun, escape_control, first_few, format_coefficient


def render(conformance: Conformance, options: Options) -> str:
    """Write how many parameters each rule decides, and how the codebase treats parameters differently."""
    return "\n".join((*_rule_counts(conformance, options), *_differences(conformance, options)))


def _rule_counts(conformance: Conformance, options: Options) -> Iterator[str]:
    counts = conformance.plan.counts_by_rule()
    rules = [*(rule.name for rule in conformance.plan.ruleset.rules), DEFAULT]
    text = ", ".join(f"{escape_control(rule)} {counts.get(rule, 0)}" for rule in dict.fromkeys((*rules, *counts)))
    yield from layout.paragraph(f"{escape_control(conformance.target)}: parameters by rule: ", text, options.width)


def _differences(conformance: Conformance, options: Options) -> Iterator[str]:
    if conformance.not_compared:
        yield from layout.paragraph("not compared: ", escape_control(conformance.not_compared), options.width)
        return
    codebase = escape_control(conformance.codebase)
    parameters = count_noun(len(conformance.plan.decisions), "parameter")
    if not conformance.differences:
        yield f"the ruleset decides {parameters} as {codebase} does"
        return
    yield f"the ruleset decides {len(conformance.differences)} of {parameters} differently from {codebase}"
    counts = Counter((difference.theirs, difference.ours) for difference in conformance.differences)
    for (theirs, ours), _ in counts.most_common():
        names = [
            difference.parameter
            for difference in conformance.differences
            if (difference.theirs, difference.ours) == (theirs, ours)
        ]
        head = f"  {_treatment(theirs)} in the codebase, {_treatment(ours)} in the ruleset: "
        patterns = [escape_control(pattern) for pattern in fold_names(names, shorten=True)]
        yield from layout.paragraph(head, first_few(patterns, MAX_PATTERNS), options.width)


def _treatment(treatment: Treatment | None) -> str:
    if treatment is None:
        return "in no group"
    coefficient = (
        "the optimizer's default" if treatment.weight_decay is None else format_coefficient(treatment.weight_decay)
    )
    rate = "" if treatment.lr_scale in (None, 1.0) else f", lr x{treatment.lr_scale:.4g}"
    return f"{coefficient}{rate}{f', {escape_control(treatment.use)}' if treatment.use else ''}"
