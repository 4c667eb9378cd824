"""The reports of `explain`: one parameter, with the reasons for its role and its decision; or the meaning of a code."""

import re
from collections.abc import Iterator
from difflib import get_close_matches
from math import isclose

from msgspec import to_builtins

from decay_audit.checks.codes import CODES
from decay_audit.checks.observed_plan import effective_weight_decay, has_known_decay
from decay_audit.checks.optimizers.coefficients import TOLERANCE
from decay_audit.errors import DecayAuditError
from decay_audit.model.observations import Movement, Observation, UpdateFormula
from decay_audit.reports.document.over_run_text import gain_texts, parameter_texts, scaling_texts
from decay_audit.reports.options import Options
from decay_audit.reports.terminal import layout
from decay_audit.reports.terminal.layout import paint
from decay_audit.reports.totals import amount
from decay_audit.roles.words import MEANINGS, NOUNS, Classified, Evidence, Layer, Role
from decay_audit.rulesets.conditions import When
from decay_audit.rulesets.explanation import Explanation, RuleAnswer
from decay_audit.rulesets.plan import DEFAULT
from decay_audit.text import escape_control, first_few, format_coefficient, format_shape

_MAX_PRESETS = 6
_SETTLED_TOLERANCE = 0.05
"""If the rates of the first step and of later steps differ relatively by more than this, both are shown."""
_USE = re.compile(r"(?P<operator>\w+)\.(?P<slot>\w+)(?P<tags> \(.*?\))?(?: via (?P<via>.*))?")
"""The detail of evidence from a traced forward pass: `operator.slot (tags) via operators`."""
_ANSWERS = {True: "yes", False: "no", None: "?"}
_MOVEMENTS: dict[Movement, str] = {
    "proportional": "removes the same fraction of every element",
    "without_lr": "removes the same fraction of every element, whatever lr is",
    "sign": "removes the same amount from every element",
    "constant": "moves every element by the same amount, whatever its value",
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
    """Write the decision on a parameter; then what it is and why, the rules, and what other rulesets do with it."""
    classified = explanation.decision.classified
    scaling = classified.parameter.scaling
    sections = {
        "tensor": [_tensor(classified)],
        "role": _role(classified),
        "gain": gain_texts(classified),
        "declared": _declaration(classified),
        "tied to": map(escape_control, classified.parameter.tied_to),
        "rules": _rules(explanation),
        "presets": _presets(explanation, len(explanation.other_rulesets) if options.verbose else _MAX_PRESETS),
        "observed": map(_observation, explanation.observations),
        **{f"with {escape_control(update.optimizer)}": _update(update) for update in explanation.updates},
        **({} if explanation.horizon is None else {"over run": parameter_texts(explanation.horizon)}),
        **({} if scaling is None else {"times 2": scaling_texts(scaling, explanation.rotations)}),
    }
    indent = max(map(len, sections)) + 2
    name = escape_control(explanation.decision.name)
    first, *more = layout.paragraph(f"{name} ", _answer(explanation), options.width)
    lines = [paint(name, "title", color=options.color) + first[len(name) :], *more]
    for title, texts in sections.items():
        head = title
        for text in texts:
            lines.extend(layout.paragraph(f"  {head:<{indent}}", text, options.width))
            head = ""
    return "\n".join([*lines, ""])


def render_code(code: str, options: Options) -> str:
    """Write what a code means; or list the codes that begin with `code`, each with its title.

    Raises:
        DecayAuditError: there is no such code.
    """
    if code in CODES:
        entry = CODES[code]
        head = paint(f"{code} {entry.severity}", entry.severity, color=options.color)
        return "\n".join([f"{head}  {entry.title}", "", *layout.paragraph("  ", entry.explanation, options.width), ""])
    codes = [known for known in CODES if known.startswith(code)]
    if not codes:
        near = get_close_matches(code, CODES, n=1, cutoff=0.7)
        hint = f"did you mean {near[0]}? " if near else ""
        raise DecayAuditError(f"no code {code}", f"{hint}`decay-audit explain --list` lists the codes")
    return "".join(f"{line}\n" for known in codes for line in _code_lines(known, options))


def _code_lines(code: str, options: Options) -> Iterator[str]:
    """Write the line of a code in a list; a long title goes on below its beginning."""
    head = f"{code} {CODES[code].severity:<7}"
    first, *rest = layout.paragraph(f"{head}  ", CODES[code].title, options.width)
    yield paint(head, CODES[code].severity, color=options.color) + first.removeprefix(head)
    yield from rest


def condition(when: When) -> str:
    """Write a rule's condition: `role is norm_weight or norm_bias`; `anything` for an empty one."""
    return _condition(to_builtins(when)) or "anything"


def _answer(explanation: Explanation) -> str:
    """Write what the ruleset decides, by which rule, and what the optimizers do."""
    decision, ruleset = explanation.decision, escape_control(explanation.ruleset.name)
    if not decision.grouped:
        return f"is frozen: {ruleset} puts it in no param group"
    rule = "its default" if decision.rule == DEFAULT else f"rule `{escape_control(decision.rule)}`"
    by = f"by {ruleset} ({rule})"
    decided = f"decays with weight_decay {format_coefficient(decision.weight_decay)} {by}"
    return "; ".join([decided if decision.decays else f"is spared {by}", *_optimizer_answers(explanation)])


def _optimizer_answers(explanation: Explanation) -> Iterator[str]:
    """Say which optimizers decay the parameter, each kind once; nothing of those whose effect is not known."""
    decision = explanation.decision
    known = [observation for observation in explanation.observations if has_known_decay(observation)]
    effects = dict.fromkeys((observation.origin, effective_weight_decay(observation)) for observation in known)
    for origin, coefficient in effects:
        optimizer = "the saved optimizer" if origin == "checkpoint" else "the optimizer"
        if isclose(coefficient, decision.weight_decay, rel_tol=TOLERANCE):
            yield f"{optimizer} does the same"
        elif coefficient:
            yield f"{optimizer} decays it with weight_decay {format_coefficient(coefficient)}"
        else:
            yield f"{optimizer} spares it"


def _tensor(classified: Classified) -> str:
    parameter = classified.parameter
    shape = "not initialized" if parameter.lazy else format_shape(parameter.shape)
    owner = " ".join(escape_control(word) for word in (parameter.owner.type_name, parameter.owner.name) if word)
    texts = (
        f"{shape}, {parameter.dtype}",
        f"{amount(parameter.numel)} elements" if parameter.numel > 1 else "",
        "frozen" if parameter.trainable is False else "",
        f"in {owner}" if owner else "",
        f"called {escape_control(parameter.raw_name)} in the model" if parameter.raw_name != parameter.name else "",
    )
    return ", ".join(filter(None, texts))


def _role_of_layer(role: Role, layer: Layer, confidence: str) -> str:
    noun = NOUNS[role][0]
    return f"{noun} ({confidence})" if layer == "other" or layer in noun else f"{noun} of {layer} ({confidence})"


def _role(classified: Classified) -> Iterator[str]:
    role = _role_of_layer(classified.role, classified.layer, classified.confidence)
    yield f"{role}: {MEANINGS[classified.role]}"
    for evidence in classified.evidence:
        agrees = (evidence.role, evidence.layer) == (classified.role, classified.layer)
        other = "" if agrees else f"; suggests {_role_of_layer(evidence.role, evidence.layer, evidence.confidence)}"
        yield f"{evidence.kind}: {_detail(evidence)}{other}"
    if classified.parameter.uses == ():
        yield "usage: the traced forward pass does not use it"


def _declaration(classified: Classified) -> Iterator[str]:
    if declared := classified.parameter.declared_no_decay:
        yield f"no weight decay, by {escape_control(declared)}"


def _detail(evidence: Evidence) -> str:
    """Write the detail of evidence; a use `add.other via view` in words: input `other` of add, after view."""
    use = _USE.fullmatch(evidence.detail) if evidence.kind == "usage" else None
    if use is None:
        return escape_control(evidence.detail)
    after = f", after {escape_control(use['via'])}" if use["via"] else ""
    return f"input `{use['slot']}` of {use['operator']}{escape_control(use['tags'] or '')}{after}"


def _rules(explanation: Explanation) -> Iterator[str]:
    yield from (_rule(answer, explanation) for answer in explanation.rule_answers)
    if explanation.decision.lenient:
        yield "the rule is lenient: if an optimizer differs, the finding is only a note"


def _rule(answer: RuleAnswer, explanation: Explanation) -> str:
    when = next((rule.when for rule in explanation.ruleset.rules if rule.name == answer.rule), None)
    text = f": {escape_control(condition(when))}" if when else ""
    return f"{_ANSWERS[answer.answer]:<3}  {escape_control(answer.location)} {escape_control(answer.rule)}{text}"


def _presets(explanation: Explanation, limit: int) -> Iterator[str]:
    for decays, words in ((True, "decayed by"), (False, "spared by"), (None, "an error in")):
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
