"""Scale learning rates by layer: rules number the layers, and each parameter gets a factor on its learning rate."""

import ast
import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Literal

from decay_audit.errors import PlanError
from decay_audit.roles.words import Classified
from decay_audit.rulesets.arithmetic import evaluate
from decay_audit.rulesets.conditions import NameForm
from decay_audit.rulesets.matching import EntryFinder, compile_when
from decay_audit.rulesets.matching.patterns import searcher
from decay_audit.rulesets.ruleset import LayerDecay, LayerRule
from decay_audit.text import escape_control

LAST: Literal["last"] = "last"
"""The word for the last layer."""

Captured = tuple[str | None, ...]
"""The groups that a regular expression captured in a name."""
LayerNumber = int | Literal["last"] | None
"""The layer of a parameter; None for a parameter without a layer."""
EntriesWithoutFacts = tuple[LayerDecay | LayerRule, ...]
"""The entries of the ruleset that need facts which the source does not know."""

_GROUP_REFERENCE = re.compile(r"\\([1-9])(?![0-9])")
r"""A reference to a captured group: `\1`."""
_ARITHMETIC_TEXT = re.compile(r"[0-9\\+*/() -]{1,200}")
"""The characters of arithmetic on layer numbers."""
_ARITHMETIC_NODES = (ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.FloorDiv, ast.Constant, ast.Name, ast.Load)
"""The nodes that the syntax tree of such arithmetic may have."""
_ACCEPTED_NUMBERS = r"it must be a number, `last`, or arithmetic with + - * // on groups such as \1"
"""What a message says about the accepted forms."""


def factors(
    parameters: Sequence[Classified], decay: LayerDecay, names: NameForm
) -> list[tuple[float, EntriesWithoutFacts]]:
    """Compute rate ** (last - layer) for each parameter, and list the entries that need facts which are not known.

    The factor is 1 for a parameter without a layer. `last` is the highest number that a parameter gets, or that a rule
    or the default has. If a rule or the default has the word `last`, `last` is higher by 1: it is a layer of its own.

    Raises:
        PlanError: a rule's arithmetic fails on what its pattern captured, or a factor is too large for a float.
    """
    if decay.when is not None:
        holds = compile_when(decay.when, names)
        answers = [holds(parameter) for parameter in parameters]
        if not any(answers):  # the layers are meant for another model
            return [(1.0, (decay,) if answer is None else ()) for answer in answers]
    layers = _model_layers(parameters, decay) if decay.layers is None else _rule_layers(parameters, decay, names)
    last = _last_layer([layer for layer, _ in layers], decay)
    return [
        (_factor(decay, last - layer) if isinstance(layer, int) else 1.0, without_facts)
        for layer, without_facts in layers
    ]


def _factor(decay: LayerDecay, layers_above: int) -> float:
    try:
        return decay.rate**layers_above
    except OverflowError as error:
        raise PlanError(
            f"{decay.location}: the rate {decay.rate:g} to the power of {min(layers_above, 10**18):,} layers is too "
            "large for a number",
            "give a rate below 1, or smaller layer numbers",
        ) from error


def compile_number(text: int | str) -> Callable[[Captured], int]:
    r"""Make the function that computes a layer number from captured groups, by a text such as `\1 + 1`.

    Raises:
        ValueError: it is not arithmetic with `+ - * //` on whole numbers and captured groups.
    """
    if isinstance(text, int):
        return lambda _: text
    body = _parse(text)
    return cache(lambda captured: int(evaluate(body, lambda node: _operand(node, captured))))


def write_number(text: int | str, group: str) -> str:
    r"""Write a layer number as Python.

    >>> write_number(r"3+\1//2", "int(match[{}])")
    '3 + int(match[1]) // 2'

    Args:
        group: how the code reads a captured group; `{}` stands for its number.
    """
    if isinstance(text, int) or text == LAST:
        return str(text)
    return re.sub(r"\b_([1-9])\b", lambda match: group.format(match[1]), ast.unparse(_parse(text)))


def groups_needed(text: int | str) -> int:
    r"""Return the highest group that a layer number refers to: 2 for `\1 + \2`."""
    return max(map(int, _GROUP_REFERENCE.findall(str(text))), default=0)


def _parse(text: str) -> ast.expr:
    r"""Parse arithmetic; a group such as `\1` becomes the name `_1`."""
    try:
        if not _ARITHMETIC_TEXT.fullmatch(text):
            raise ValueError(_ACCEPTED_NUMBERS)
        body = ast.parse(_GROUP_REFERENCE.sub(r" _\1 ", text).strip(), mode="eval").body
    except SyntaxError as error:
        raise ValueError(_ACCEPTED_NUMBERS) from error
    for node in ast.walk(body):
        if not isinstance(node, _ARITHMETIC_NODES):
            raise ValueError(_ACCEPTED_NUMBERS)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.FloorDiv) and ast.unparse(node.right) == "0":
            raise ValueError("it divides by zero")
    return body


def _operand(node: ast.expr, captured: Captured) -> int:
    """Return the value of a number or of a captured group; a group that captured nothing raises ValueError."""
    return int(captured[int(node.id[1:]) - 1] or "") if isinstance(node, ast.Name) else int(ast.literal_eval(node))


def model_layers(parameters: Sequence[Classified]) -> dict[str, int]:
    """Number parameters by the model's `group_matcher()`; a parameter that it does not number is in the last layer.

    The result is empty for a model without this method.
    """
    *_, root = parameters[0].parameter.owner.lineage() if parameters else (None,)
    layers = root.declaration.layers if root is not None and root.declaration else {}
    highest = max(layers.values(), default=0)
    names = [classified.parameter.name for classified in parameters] if layers else []
    return {name: layers.get(name, highest) for name in names}


def _model_layers(parameters: Sequence[Classified], decay: LayerDecay) -> list[tuple[LayerNumber, EntriesWithoutFacts]]:
    layers = model_layers(parameters)
    return [  # a checkpoint has no owner classes, and so no `group_matcher()`
        (layers.get(classified.parameter.name), () if classified.parameter.owner.types else (decay,))
        for classified in parameters
    ]


def _rule_layers(
    parameters: Sequence[Classified], decay: LayerDecay, names: NameForm
) -> list[tuple[LayerNumber, EntriesWithoutFacts]]:
    finder = EntryFinder([(rule.when, rule) for rule in decay.layers or ()], names)
    numbering = {id(rule): _numbering(rule, names) for rule in decay.layers or ()}
    layers: list[tuple[LayerNumber, EntriesWithoutFacts]] = []
    for parameter in parameters:
        rule, without_facts = finder.first_match(parameter)
        layers.append((decay.default if rule is None else numbering[id(rule)](parameter), without_facts))
    return layers


def _numbering(rule: LayerRule, names: NameForm) -> Callable[[Classified], LayerNumber]:
    """Make the function that numbers the parameters for which a rule holds."""
    if rule.layer == LAST:
        return lambda _: LAST
    number, regex = compile_number(rule.layer), rule.when.name_regex or ()
    searches = [searcher(pattern) for pattern in ((regex,) if isinstance(regex, str) else regex)]

    def layer(classified: Classified) -> int:
        name = classified.parameter.raw_name if names == "raw" else classified.parameter.name
        match = next((match for search in searches if (match := search(name))), None)
        captured = match.groups() if match else ()
        try:
            return number(captured)
        except (ValueError, IndexError, ArithmeticError) as error:
            raise PlanError(
                f"{rule.location}: the layer `{rule.layer}` of {escape_control(classified.parameter.name)} is not a "
                f"number: captured {', '.join(map(repr, captured)) or 'nothing'}",
                r"let the pattern capture digits, e.g. `name_regex: '^blocks\.(\d+)'`",
            ) from error

    return layer


def _last_layer(layers: Sequence[LayerNumber], decay: LayerDecay) -> int:
    in_ruleset = [*(rule.layer for rule in decay.layers or ()), decay.default]
    numbers = [number for number in (*in_ruleset, *layers) if isinstance(number, int)]
    return max(numbers, default=0) + (LAST in in_ruleset)  # True adds 1
