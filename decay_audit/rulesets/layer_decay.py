"""Layer-wise learning rates: rules that number layers, and parameters, become a factor for each parameter."""

import operator
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from decay_audit.errors import PlanError
from decay_audit.roles.words import Classified
from decay_audit.rulesets.conditions import NameForm, When
from decay_audit.rulesets.matching import Test, compile_when
from decay_audit.rulesets.ruleset import LayerDecay, LayerRule
from decay_audit.text import escape_control

LAST: Literal["last"] = "last"

Captured = Sequence[str | None]
Number = Callable[[Captured], int]
Depth = int | Literal["last"] | None
Unknown = Callable[[str, Classified], None]

_TOKEN = re.compile(r"\s*(?:(\d{1,9})|\\(\d)|(//|[-+*()]))")
_SUMS: dict[str, Callable[[int, int], int]] = {"+": operator.add, "-": operator.sub}
_PRODUCTS: dict[str, Callable[[int, int], int]] = {"*": operator.mul, "//": operator.floordiv}


def factors(subjects: Sequence[Classified], decay: LayerDecay, names: NameForm, unknown: Unknown) -> list[float]:
    """Compute rate ** (last - layer) for each parameter; 1 for those that have no layer.

    `last` is the highest number that a rule gives to any parameter of the model, or that a rule or the default has as
    a plain number; where a rule or the default says `last`, it is one more than that.

    Args:
        unknown: told of each rule that asked what the source cannot know.

    Raises:
        PlanError: a rule's arithmetic fails on what its pattern captured.
    """
    if decay.when is not None and not _any_meets(subjects, decay, names, unknown):
        return [1.0] * len(subjects)
    by_rules = decay.layers is not None
    depths = _by_rules(subjects, decay, names, unknown) if by_rules else _by_model(subjects, decay.location, unknown)
    last = _last(depths, decay)
    return [_factor(decay.rate, last, depth) for depth in depths]


def compile_number(text: int | str) -> Number:
    r"""Make the function from captured groups to a layer number that `text` says, e.g. `\1 + 1`.

    Raises:
        ValueError: it is not arithmetic with `+ - * //` on whole numbers and captured groups.
    """
    if isinstance(text, int):
        return lambda _: text
    tokens = list(_tokens(text))
    number, rest = _sum(tokens)
    if rest:
        raise ValueError(f"`{rest[0]}` is not expected there")
    return number


def groups_needed(text: int | str) -> int:
    r"""The highest group that a layer number refers to: 2 for `\1 + \2`."""
    return max((int(token[1:]) for token in _tokens(str(text)) if token.startswith("\\")), default=0)


def _any_meets(subjects: Sequence[Classified], decay: LayerDecay, names: NameForm, unknown: Unknown) -> bool:
    """Whether the model is one that the layers are meant for; nobody can say of those that have no answer."""
    test = compile_when(decay.when or When(), names)
    answers = [(subject, test(subject)) for subject in subjects]
    if any(answer for _, answer in answers):
        return True
    for subject, answer in answers:
        if answer is None:
            unknown(f"layer_decay ({decay.location})", subject)
    return False


def _factor(rate: float, last: int, depth: Depth) -> float:
    return rate ** (last - depth) if isinstance(depth, int) else 1.0


def _by_model(subjects: Sequence[Classified], place: str, unknown: Unknown) -> list[Depth]:
    """The numbers that the model's own grouping gives; parameters that it does not name are behind its last layer."""
    for subject in subjects:
        if not subject.parameter.owner.types:  # a checkpoint has no hooks to ask
            unknown(f"layer_decay ({place})", subject)
    if not subjects:
        return []
    *_, root = subjects[0].parameter.owner.lineage()
    layers = root.declaration.layers if root.declaration else {}
    highest = max(layers.values(), default=None)
    return [layers.get(subject.parameter.name, highest) for subject in subjects]


def _by_rules(subjects: Sequence[Classified], decay: LayerDecay, names: NameForm, unknown: Unknown) -> list[Depth]:
    compiled = [(compile_when(rule.when, names), rule, _numbering(rule, names)) for rule in decay.layers or ()]
    return [_depth(subject, compiled, decay.default, unknown) for subject in subjects]


def _depth(
    subject: Classified,
    compiled: Sequence[tuple[Test, LayerRule, Callable[[Classified], Depth]]],
    default: Depth,
    unknown: Unknown,
) -> Depth:
    for test, rule, number in compiled:
        answer = test(subject)
        if answer:
            return number(subject)
        if answer is None:
            unknown(f"layer_decay ({rule.location or rule.layer})", subject)
    return default


def _numbering(rule: LayerRule, names: NameForm) -> Callable[[Classified], Depth]:
    if rule.layer == LAST:
        return lambda _: LAST
    number, given = compile_number(rule.layer), rule.when.name_regex or ()
    patterns = [re.compile(pattern) for pattern in ((given,) if isinstance(given, str) else given)]

    def numbered(subject: Classified) -> int:
        name = subject.parameter.raw_name if names == "raw" else subject.parameter.name
        found = next((match for pattern in patterns if (match := pattern.search(name))), None)
        try:
            return number(found.groups() if found else ())
        except (ValueError, TypeError, IndexError, ZeroDivisionError) as error:
            captured = ", ".join(map(repr, found.groups())) if found else "nothing"
            raise PlanError(
                f"{rule.location}: the layer `{rule.layer}` of {escape_control(subject.parameter.name)} is no number: "
                f"captured {captured}",
                r"let the pattern capture digits, e.g. `name_regex: '^blocks\.(\d+)'`",
            ) from error

    return numbered


def _last(depths: Sequence[Depth], decay: LayerDecay) -> int:
    said = [rule.layer for rule in decay.layers or ()]
    plain = [number for number in (*said, decay.default) if isinstance(number, int)]
    highest = max((*plain, *(depth for depth in depths if isinstance(depth, int))), default=0)
    return highest + 1 if LAST in (*said, decay.default) else highest


def _tokens(text: str) -> Iterator[str]:
    position = 0
    while position < len(text.rstrip()):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ValueError(f"`{text[position:].strip()}` is not a whole number, a group such as \\1, or + - * //")
        yield match[0].strip()
        position = match.end()


def _sum(tokens: Sequence[str]) -> tuple[Number, Sequence[str]]:
    return _chain(tokens, _SUMS, _product)


def _product(tokens: Sequence[str]) -> tuple[Number, Sequence[str]]:
    return _chain(tokens, _PRODUCTS, _atom)


def _chain(
    tokens: Sequence[str],
    signs: dict[str, Callable[[int, int], int]],
    part: Callable[[Sequence[str]], tuple[Number, Sequence[str]]],
) -> tuple[Number, Sequence[str]]:
    """Parse parts joined by the signs of one precedence, from left to right."""
    number, rest = part(tokens)
    while rest and rest[0] in signs:
        if rest[0] == "//" and rest[1:2] == ["0"]:
            raise ValueError("it divides by zero")
        right, after = part(rest[1:])
        number, rest = _joined(number, signs[rest[0]], right), after
    return number, rest


def _joined(left: Number, sign: Callable[[int, int], int], right: Number) -> Number:
    return lambda captured: sign(left(captured), right(captured))


def _atom(tokens: Sequence[str]) -> tuple[Number, Sequence[str]]:
    if not tokens:
        raise ValueError("it ends where a number is expected")
    first, rest = tokens[0], tokens[1:]
    if first == "(":
        inner, rest = _sum(rest)
        if not rest or rest[0] != ")":
            raise ValueError("a `(` is not closed")
        return inner, rest[1:]
    if first.isdigit():
        value = int(first)
        return lambda _: value, rest
    if not first.startswith("\\"):
        raise ValueError(f"`{first}` stands where a number is expected")
    group = int(first[1:]) - 1
    return lambda captured: int(captured[group] or ""), rest
