"""Checks that types cannot express: regular expressions compile, names are unique, one amount for each rule."""

import re
from collections.abc import Callable, Iterator, Mapping

from msgspec import Struct

from decay_audit.rulesets.conditions import COMPARISON, When
from decay_audit.rulesets.layer_decay import LAST, compile_number, groups_needed
from decay_audit.rulesets.yaml.form import AmountForm, ExampleForm, FileForm, LayerForm, RuleForm
from decay_audit.rulesets.yaml.nodes import ListNode, MappingNode, Node, ScalarNode

Violation = tuple[int, str]
"""The line and the text of a mistake."""

PROMISES = ("decay", "weight_decay", "lenient", "rule", "lr_scale", "use")
"""The keys of an example that say what the ruleset should decide."""
RESERVED_NAMES = ("default", "frozen", "error")
"""Reports write these in place of a rule's name, so no rule may have such a name."""


def violations(node: MappingNode, form: type[Struct]) -> Iterator[Violation]:
    """Yield the line and the text of each mistake in a mapping that will be read as `form`."""
    for check in _CHECKS.get(form, ()):
        yield from check(node)


def _compiling_regexes(node: MappingNode) -> Iterator[Violation]:
    for key in ("name_regex", "leaf_regex", "owner_class"):
        for item in _scalars(node.get(key)):
            try:
                re.compile(item.spelling)
            except (re.error, OverflowError, RecursionError) as error:
                yield item.line, f"`{item.spelling}` is not a regular expression: {error}"


def _comparisons(node: MappingNode) -> Iterator[Violation]:
    for key in ("ndim", "effective_ndim", "numel"):
        for item in _scalars(node.get(key)):
            if not COMPARISON.fullmatch(item.spelling):
                yield (
                    item.line,
                    f"`{key}` is `{item.spelling}`; it must be a whole number or a comparison such as `>=2`",
                )


def _non_empty_condition(node: MappingNode) -> Iterator[Violation]:
    if not node.entries:
        yield node.line, "the condition is empty and would match everything; give it a key, or use `default`"
    for key in ("any", "all"):
        if isinstance(inner := node.get(key), ListNode) and not inner.items:
            yield inner.line, f"`{key}` is an empty list"


def _one_amount(node: MappingNode) -> Iterator[Violation]:
    amounts = [key for key in ("decay", "weight_decay") if node.get(key) is not None]
    if not amounts:
        yield node.line, "no amount: give `decay` (true, false or a multiple of the base) or `weight_decay`"
    yield from _not_both(node)


def _not_both(node: MappingNode) -> Iterator[Violation]:
    if node.get("decay") is not None and node.get("weight_decay") is not None:
        yield node.line, "both `decay` and `weight_decay`: give the multiple of the base, or the absolute coefficient"


def _any_promise(node: MappingNode) -> Iterator[Violation]:
    if all(node.get(key) is None for key in PROMISES):
        yield node.line, f"the example promises nothing: give one of {', '.join(PROMISES)}"


def _base_and_default(node: MappingNode) -> Iterator[Violation]:
    if node.get("extends") is not None:
        return
    if node.get("weight_decay") is None:
        yield node.line, "the file has no `weight_decay`, the base coefficient, and no `extends` to bring one"
    if node.get("default") is None:
        yield node.line, "the file has no `default`, e.g. `default: {decay: true}`, and no `extends` to bring one"


def _distinct_rule_names(node: MappingNode) -> Iterator[Violation]:
    first_lines: dict[object, int] = {}
    rules = node.get("rules")
    for rule in rules.items if isinstance(rules, ListNode) else ():
        name = rule.get("name") if isinstance(rule, MappingNode) else None
        if not isinstance(name, ScalarNode):
            continue
        if name.value in RESERVED_NAMES:
            yield name.line, f"a rule cannot be called `{name.spelling}`: reports use that word where no rule decides"
        if name.value in first_lines:
            yield name.line, f"a rule is called `{name.spelling}` already, in line {first_lines[name.value]}"
        first_lines.setdefault(name.value, name.line)


def _layer_number(node: MappingNode) -> Iterator[Violation]:
    layer = node.get("layer")
    if not isinstance(layer, ScalarNode) or not isinstance(layer.value, int | str) or layer.value == LAST:
        return
    try:
        compile_number(layer.value)
        needed = groups_needed(layer.value)
    except ValueError as error:
        yield layer.line, f"`layer` is `{layer.spelling}`; {error}"
        return
    when = node.get("when")
    for pattern in _scalars(when.get("name_regex") if isinstance(when, MappingNode) else None):
        if (groups := _groups(pattern.spelling)) is not None and groups < needed:
            yield layer.line, f"`layer` asks for \\{needed}, but `{pattern.spelling}` captures {groups} groups"
    if needed and (not isinstance(when, MappingNode) or when.get("name_regex") is None):
        yield layer.line, f"`layer` asks for \\{needed}, but its `when` has no `name_regex` to capture it"


def _groups(pattern: str) -> int | None:
    try:
        return re.compile(pattern).groups
    except (re.error, OverflowError, RecursionError):
        return None


def _scalars(node: Node | None) -> Iterator[ScalarNode]:
    for item in node.items if isinstance(node, ListNode) else (node,):
        if isinstance(item, ScalarNode) and isinstance(item.value, str):
            yield item


_CHECKS: Mapping[type[Struct], tuple[Callable[[MappingNode], Iterator[Violation]], ...]] = {
    When: (_compiling_regexes, _comparisons, _non_empty_condition),
    AmountForm: (_one_amount,),
    RuleForm: (_one_amount,),
    ExampleForm: (_not_both, _any_promise),
    LayerForm: (_layer_number,),
    FileForm: (_base_and_default, _distinct_rule_names),
}
"""The checks of each form."""
