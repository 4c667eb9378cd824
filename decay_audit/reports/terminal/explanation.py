"""One parameter's story, and one code's, for a person."""

from collections.abc import Iterator
from difflib import get_close_matches

from msgspec import to_builtins

from decay_audit.checks.codes import CODES
from decay_audit.errors import DecayAuditError
from decay_audit.model.observations import Movement, Observation, UpdateFormula
from decay_audit.reports.options import Options
from decay_audit.reports.terminal import layout
from decay_audit.reports.terminal.layout import paint
from decay_audit.reports.wording import amount
from decay_audit.roles.words import NOUNS, Classified, Layer, Role
from decay_audit.rulesets.conditions import When
from decay_audit.rulesets.explanation import Explanation, RuleAnswer
from decay_audit.text import escape_control, first_few, format_coefficient, format_shape

_PRESETS = 6
_ANSWERS = {True: "yes", False: "no", None: "?"}
_MOVES: dict[Movement, str] = {
    "proportional": "removes the same fraction of every element",
    "sign": "removes the same amount of every element",
    "cautious": "removes a fraction only where the gradient has the weight's sign",
    "other": "moves it, neither by a fraction nor by an amount",
    "vanishing": "would remove a fraction, which rounding to its dtype undoes",
    "none": "leaves it as it is",
    "unstable": "makes it infinite or not a number",
}


def explanation(story: Explanation, options: Options) -> str:
    """Tell what a parameter is and why, which rule decided, and what others do with it."""
    sections = {
        "is": _identity(story.decision.classified),
        "declared": _declared(story),
        "tied to": map(escape_control, story.decision.classified.parameter.tied_to),
        "ruleset": _ruleset(story),
        "elsewhere": _elsewhere(story, len(story.other_rulesets) if options.verbose else _PRESETS),
        "observed": map(_observed, story.observations),
        **{f"with {escape_control(update.optimizer)}": _update(update) for update in story.updates},
    }
    indent = max(map(len, sections)) + 2
    lines = [_title(story.decision.classified, options)]
    for title, said in sections.items():
        head = title
        for text in said:
            lines.extend(layout.paragraph(f"  {head:<{indent}}", text, options.width))
            head = ""
    return "\n".join([*lines, ""])


def code(known: str, options: Options) -> str:
    """Tell what a code means.

    Raises:
        DecayAuditError: there is no such code.
    """
    if known not in CODES:
        near = get_close_matches(known, CODES, n=1, cutoff=0.0)
        raise DecayAuditError(f"no code {known}", f"did you mean {near[0]}? codes: {', '.join(CODES)}")
    meant = CODES[known]
    head = paint(f"{known} {meant.severity}", meant.severity, color=options.color)
    return "\n".join([f"{head}  {meant.title}", "", *layout.paragraph("  ", meant.explanation, options.width), ""])


def condition(when: When) -> str:
    """Say a rule's condition: `role is norm_weight or norm_bias`; `anything` for one that asks nothing."""
    return _condition(to_builtins(when)) or "anything"


def _title(subject: Classified, options: Options) -> str:
    parameter = subject.parameter
    shape = "not initialized" if parameter.lazy else format_shape(parameter.shape)
    frozen = "   frozen" if parameter.trainable is False else ""
    owner = " ".join(escape_control(word) for word in (parameter.owner.type_name, parameter.owner.name) if word)
    name = paint(escape_control(parameter.name), "title", color=options.color)
    raw = f"   ({escape_control(parameter.raw_name)})" if parameter.raw_name != parameter.name else ""
    size = f"   {amount(parameter.numel)} elements" if parameter.numel > 1 else ""
    return f"{name}{raw}   {shape}   {parameter.dtype}{size}{frozen}" + (f"   of {owner}" if owner else "")


def _what(role: Role, layer: Layer, confidence: str) -> str:
    word = NOUNS[role][0]
    return f"{word} ({confidence})" if layer == "other" or layer in word else f"{word} of {layer} ({confidence})"


def _identity(subject: Classified) -> Iterator[str]:
    yield _what(subject.role, subject.layer, subject.confidence)
    for one in subject.evidence:
        agrees = (one.role, one.layer) == (subject.role, subject.layer)
        says = "" if agrees else f"; it says {_what(one.role, one.layer, one.confidence)}"
        yield f"{one.kind}: {escape_control(one.detail)}{says}"
    if subject.parameter.uses == ():
        yield "usage: the traced forward pass never touched it"


def _declared(story: Explanation) -> Iterator[str]:
    if declared := story.decision.classified.parameter.declared_no_decay:
        yield f"not to decay, in {escape_control(declared)}"


def _ruleset(story: Explanation) -> Iterator[str]:
    decision = story.decision
    verdict = f"decayed, weight_decay {format_coefficient(decision.weight_decay)}" if decision.decays else "spared"
    verdict = verdict if decision.grouped else "frozen, left out of every param group"
    yield f"{verdict} by {escape_control(story.ruleset.name)}"
    yield from (_step(step, story) for step in story.rules_asked)


def _step(step: RuleAnswer, story: Explanation) -> str:
    asked = next((rule.when for rule in story.ruleset.rules if rule.name == step.rule), None)
    about = f": {escape_control(condition(asked))}" if asked else ""
    return f"{_ANSWERS[step.answer]:<3}  {escape_control(step.location)} {escape_control(step.rule)}{about}"


def _elsewhere(story: Explanation, most: int) -> Iterator[str]:
    for decays, word in ((True, "decayed by"), (False, "spared by"), (None, "no answer from")):
        if names := [escape_control(one.ruleset) for one in story.other_rulesets if one.decays is decays]:
            yield f"{word} {first_few(names, most)}"


def _observed(one: Observation) -> str:
    lr = "" if one.lr is None else f", lr {format_coefficient(one.lr)}"
    held = f"{escape_control(one.optimizer)} group {one.group}: weight_decay {format_coefficient(one.weight_decay)}{lr}"
    if one.measured_rate and one.lr is not None and one.movement in {None, "proportional"}:
        return f"{held}; a step with a gradient of zero removes {100 * one.lr * one.measured_rate:.4g} % of the weight"
    return held if one.movement is None else f"{held}; a step with a gradient of zero {_MOVES[one.movement]}"


def _update(update: UpdateFormula) -> Iterator[str]:
    """The step, term by term, what is left of the weight where nothing else pulls, and where the formula is from."""
    steps = "; ".join(update.steps)
    yield f"{steps}: {update.zero_gradient}" if update.zero_gradient else steps
    if update.source:
        yield f"as in {update.source}"


def _condition(when: object) -> str:
    match when:
        case dict():
            return " and ".join(_key(str(key), value) for key, value in when.items())
        case list() | tuple():
            return " or ".join(map(_condition, when))
        case bool():
            return str(when).lower()
        case None:
            return "any"
        case _:
            return str(when)


def _key(key: str, value: object) -> str:
    match key, value:
        case "not", _:
            return f"not ({_condition(value)})"
        case "any", list() | tuple():
            return " or ".join(f"({_condition(one)})" for one in value)
        case "all", list() | tuple():
            return " and ".join(f"({_condition(one)})" for one in value)
        case "shape", list() | tuple():
            return f"shape is {value}"
        case _:
            return f"{key} is {_condition(value)}"
