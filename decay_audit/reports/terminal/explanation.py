"""The reports of `explain`: one parameter, with the reasons for its role and its decision; or the meaning of a code."""

from collections.abc import Iterator
from difflib import get_close_matches
from math import isclose

from msgspec import to_builtins

from decay_audit.checks.codes import CODES
from decay_audit.errors import DecayAuditError
from decay_audit.model.observations import Movement, Observation, UpdateFormula
from decay_audit.reports.options import Options
from decay_audit.reports.terminal import layout
from decay_audit.reports.terminal.layout import paint
from decay_audit.reports.terminal.over_run import parameter_texts
from decay_audit.reports.totals import amount
from decay_audit.roles.words import NOUNS, Classified, Layer, Role
from decay_audit.rulesets.conditions import When
from decay_audit.rulesets.explanation import Explanation, RuleAnswer
from decay_audit.text import escape_control, first_few, format_coefficient, format_shape

_MAX_PRESETS = 6
_SETTLED_TOLERANCE = 0.05
"""If the rates of the first step and of later steps differ relatively by more than this, both are shown."""
_ANSWERS = {True: "yes", False: "no", None: "?"}
_MOVEMENTS: dict[Movement, str] = {
    "proportional": "removes the same fraction of every element",
    "without_lr": "removes the same fraction of every element, whatever lr is",
    "sign": "removes the same amount from every element",
    "constant": "subtracts the same amount from every element",
    "other_point": "pulls it towards values other than 0",
    "normalized": "removes an amount that depends on the gradient or on a norm",
    "cautious": "removes a fraction, but only where the gradient has the sign of the weight",
    "scheduled": "removes a fraction that changes from step to step",
    "other": "moves it in another way than by a fixed fraction or a fixed amount",
    "vanishing": "would remove a fraction, but rounding to its dtype undoes that",
    "none": "does not change it",
    "unstable": "makes it infinite or NaN",
    "unknown": "has an unknown effect: the class is not known, and no step was measured",
}


def render(explanation: Explanation, options: Options) -> str:
    """Write what a parameter is and why, which rule decided, and what other rulesets do with it."""
    classified = explanation.decision.classified
    sections = {
        "role": _role(classified),
        "declared": _declaration(classified),
        "tied to": map(escape_control, classified.parameter.tied_to),
        "ruleset": _ruleset(explanation),
        "presets": _presets(explanation, len(explanation.other_rulesets) if options.verbose else _MAX_PRESETS),
        "observed": map(_observation, explanation.observations),
        **{f"with {escape_control(update.optimizer)}": _update(update) for update in explanation.updates},
        **({} if explanation.horizon is None else {"over run": parameter_texts(explanation.horizon)}),
    }
    indent = max(map(len, sections)) + 2
    lines = [_title(classified, options)]
    for title, texts in sections.items():
        head = title
        for text in texts:
            lines.extend(layout.paragraph(f"  {head:<{indent}}", text, options.width))
            head = ""
    return "\n".join([*lines, ""])


def render_code(code: str, options: Options) -> str:
    """Write what a code means.

    Raises:
        DecayAuditError: there is no such code.
    """
    if code not in CODES:
        near = get_close_matches(code, CODES, n=1, cutoff=0.0)
        raise DecayAuditError(f"no code {code}", f"did you mean {near[0]}? codes: {', '.join(CODES)}")
    entry = CODES[code]
    head = paint(f"{code} {entry.severity}", entry.severity, color=options.color)
    return "\n".join([f"{head}  {entry.title}", "", *layout.paragraph("  ", entry.explanation, options.width), ""])


def condition(when: When) -> str:
    """Write a rule's condition: `role is norm_weight or norm_bias`; `anything` for an empty one."""
    return _condition(to_builtins(when)) or "anything"


def _title(classified: Classified, options: Options) -> str:
    parameter = classified.parameter
    shape = "not initialized" if parameter.lazy else format_shape(parameter.shape)
    frozen = "   frozen" if parameter.trainable is False else ""
    owner = " ".join(escape_control(word) for word in (parameter.owner.type_name, parameter.owner.name) if word)
    name = paint(escape_control(parameter.name), "title", color=options.color)
    raw = f"   ({escape_control(parameter.raw_name)})" if parameter.raw_name != parameter.name else ""
    elements = f"   {amount(parameter.numel)} elements" if parameter.numel > 1 else ""
    return f"{name}{raw}   {shape}   {parameter.dtype}{elements}{frozen}" + (f"   of {owner}" if owner else "")


def _role_of_layer(role: Role, layer: Layer, confidence: str) -> str:
    noun = NOUNS[role][0]
    return f"{noun} ({confidence})" if layer == "other" or layer in noun else f"{noun} of {layer} ({confidence})"


def _role(classified: Classified) -> Iterator[str]:
    yield _role_of_layer(classified.role, classified.layer, classified.confidence)
    for evidence in classified.evidence:
        agrees = (evidence.role, evidence.layer) == (classified.role, classified.layer)
        other = "" if agrees else f"; suggests {_role_of_layer(evidence.role, evidence.layer, evidence.confidence)}"
        yield f"{evidence.kind}: {escape_control(evidence.detail)}{other}"
    if classified.parameter.uses == ():
        yield "usage: the traced forward pass does not use it"


def _declaration(classified: Classified) -> Iterator[str]:
    if declared := classified.parameter.declared_no_decay:
        yield f"no weight decay, by {escape_control(declared)}"


def _ruleset(explanation: Explanation) -> Iterator[str]:
    decision, name = explanation.decision, escape_control(explanation.ruleset.name)
    if not decision.grouped:
        yield f"{name} puts frozen parameters in no param group"
    elif decision.decays:
        yield f"decayed by {name}, weight_decay {format_coefficient(decision.weight_decay)}"
    else:
        yield f"spared by {name}"
    if decision.lenient:
        yield "lenient: if an optimizer differs, the finding is only a note"
    yield from (_rule(answer, explanation) for answer in explanation.rule_answers)


def _rule(answer: RuleAnswer, explanation: Explanation) -> str:
    when = next((rule.when for rule in explanation.ruleset.rules if rule.name == answer.rule), None)
    text = f": {escape_control(condition(when))}" if when else ""
    return f"{_ANSWERS[answer.answer]:<3}  {escape_control(answer.location)} {escape_control(answer.rule)}{text}"


def _presets(explanation: Explanation, limit: int) -> Iterator[str]:
    for decays, words in ((True, "decayed by"), (False, "spared by"), (None, "not decided by")):
        names = [escape_control(other.ruleset) for other in explanation.other_rulesets if other.decays is decays]
        if names:
            yield f"{words} {first_few(names, limit)}"


def _observation(observation: Observation) -> str:
    group = f"{escape_control(observation.optimizer)} group {observation.group}"
    lr = "" if observation.lr is None else f", lr {format_coefficient(observation.lr)}"
    text = f"{group}: weight_decay {format_coefficient(observation.weight_decay)}{lr}"
    if observation.movement is None and not observation.measured_rate:
        return text
    rate = observation.measured_rate
    if rate and observation.lr is not None and observation.movement in {None, "proportional"}:
        effect = f"removes {100 * observation.lr * rate:.4g} % of the weight"
        settled = observation.settled_rate
        if settled is not None and not isclose(settled, rate, rel_tol=_SETTLED_TOLERANCE):
            effect += f", and {100 * observation.lr * settled:.4g} % once momentum has settled"
    else:
        effect = _MOVEMENTS[observation.movement or "proportional"]
    return f"{text}; a step with a gradient of zero {effect}"


def _update(update: UpdateFormula) -> Iterator[str]:
    """Write the formula of a step, what a step with a gradient of zero does, and the source of the formula."""
    steps = "; ".join(update.steps)
    yield f"{steps}: {update.zero_gradient}" if update.zero_gradient else steps
    if update.source:
        yield f"as in {update.source}"


def _condition(when: object) -> str:
    match when:
        case dict():
            return " and ".join(_condition_on_key(str(key), value) for key, value in when.items())
        case list() | tuple():
            return " or ".join(map(_condition, when))
        case bool():
            return str(when).lower()
        case None:
            return "any"
        case _:
            return str(when)


def _condition_on_key(key: str, value: object) -> str:
    match key, value:
        case "not", _:
            return f"not ({_condition(value)})"
        case "any" | "all", list() | tuple():
            return (" or " if key == "any" else " and ").join(f"({_condition(item)})" for item in value)
        case "shape", list() | tuple():
            return f"shape is {value}"
        case "declared_no_decay", _:
            return f"the model declares that it does not decay{'' if value == 'any' else f' ({_condition(value)})'}"
        case _:
            return f"{key} is {_condition(value)}"
