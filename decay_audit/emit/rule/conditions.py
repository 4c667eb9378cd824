"""List the conditions that emitted code could test to tell kinds of parameters apart, each with a cost.

A condition costs less the easier it is to read and the likelier it holds on another size of the model: a class, the end
of a name, the number of dimensions, a part of the name, a conjunction of two, and last the whole name.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Literal

from msgspec import Struct

from decay_audit.emit.python.literals import string
from decay_audit.emit.rule.classes import TORCH_NN, find_reference
from decay_audit.emit.rule.kinds import Kind

Form = Literal["suffix", "class", "class name", "expression", "part", "name"]

FIRST_COST = {"suffix": 1.0, "class": 1.0, "class name": 1.7, "expression": 0.0, "part": 1.8, "name": 3.0}
FURTHER_COST = {"suffix": 0.55, "class": 0.6, "class name": 1.0, "expression": 0.0, "part": 1.6, "name": 1.0}
"""Costs of the first condition of a form in a branch, and of each further condition, which adds a word to a tuple."""

IMPORT_COST = 0.4  # of a class outside torch.nn
PRIVATE_COST = 0.8  # of a class with `._` in its path
CONTAINER_COST = 0.8  # of a class that is the container of a kind
ATTRIBUTE_COST = 1.2  # of a test for an attribute of the tensor
DIMENSIONS_COST = 2.6  # of a test on the number of dimensions
COST_OF_RULESET_DIMENSIONS = 0.8  # of the same test if the ruleset tests dimensions, too
CONJUNCTION_COST = 0.5  # of an `and`

MOST_DIMENSIONS = 64
"""No tensor of torch has more dimensions."""

GENERIC_LEAVES = frozenset({"weight", "bias", "kernel", "data"})
"""Leaf names that do not say what a parameter does."""

_BATCH_NORMS = frozenset({"nn.BatchNorm1d", "nn.BatchNorm2d", "nn.BatchNorm3d"})
"""Distributed training replaces these by nn.SyncBatchNorm, which is not derived from them."""

_WRAPPER_NAMES = "module _orig_mod _fsdp_wrapped_module _checkpoint_wrapped_module parametrizations"
"""Names that wrappers add, as one text. Parts that occur anywhere in the text, such as `wrapped`, are not used."""
_PART = re.compile(r"[A-Za-z_][A-Za-z_0-9]{2,}")


class Condition(Struct, frozen=True, kw_only=True):
    """A condition on one parameter.

    Attributes:
        form: conditions of the same form can be merged: two suffixes become one tuple, and so do two classes.
        value: the suffix, the class as an expression, the part, the first name, or a whole Python expression.
        names: the names, for a condition that lists names.
        holds_for: the kinds for which the condition holds, as a bit mask: bit `index` stands for `kinds[index]`.
        cost: the cost besides that of the form.
        imports: the module and the name of each import that the condition needs.
    """

    form: Form
    value: str
    holds_for: int
    names: tuple[str, ...] = ()
    cost: float = 0.0
    imports: tuple[tuple[str, str], ...] = ()


def price(conditions: Iterable[Condition]) -> float:
    """Add up the cost of the conditions of one branch."""
    total, forms = 0.0, set()
    for condition in conditions:
        total += condition.cost + (FURTHER_COST if condition.form in forms else FIRST_COST)[condition.form]
        forms.add(condition.form)
    return total


def list_conditions(kinds: Sequence[Kind], ruleset_keys: Collection[str]) -> tuple[Condition, ...]:
    """List the conditions that hold for at least one kind, except whole names.

    Args:
        ruleset_keys: the keys that the conditions of the ruleset use. With `ndim`, tests on dimensions cost less.
    """
    simple = [
        *_suffixes(kinds),
        *_classes(kinds),
        *_attributes(kinds),
        *_dimensions(kinds, cost=COST_OF_RULESET_DIMENSIONS if "ndim" in ruleset_keys else DIMENSIONS_COST),
        *_parts(kinds),
    ]
    return (*simple, *_conjunctions(simple))


def whole_names(kind: Kind, index: int) -> Condition:
    """Make the condition that lists the names of a kind."""
    return Condition(
        form="name", value=kind.names[0], names=kind.names, holds_for=1 << index, cost=1.5 * (len(kind.names) - 1)
    )


def is_specific(condition: Condition) -> bool:
    """Whether the condition names a class or a rare leaf, so that it rarely holds for parameters of a new kind."""
    match condition.form:
        case "class" | "class name" | "name":
            return True
        case "suffix":
            return condition.value.lstrip(".") not in GENERIC_LEAVES
        case _:
            return False


def _mask(kinds: Sequence[Kind], holds: Iterable[bool]) -> int:
    """Make a bit mask of the kinds for which a condition holds."""
    return sum(1 << index for index, (_, answer) in enumerate(zip(kinds, holds, strict=True)) if answer)


def _suffixes(kinds: Sequence[Kind]) -> Iterator[Condition]:
    """Yield conditions on the ends of names.

    A leaf of one or two letters gets a dot in front: without it, `w` would also select `raw`.
    """
    leaves = dict.fromkeys(kind.leaf for kind in kinds)
    suffixes = dict.fromkeys(leaf if len(leaf) > 2 or leaf.isdecimal() else f".{leaf}" for leaf in leaves)
    at_root = {name for kind in kinds for name in kind.names if "." not in name}
    for suffix in (*suffixes, *(f".{leaf}" for leaf in leaves if leaf in suffixes and leaf not in at_root)):
        holds = _mask(kinds, (all(name.endswith(suffix) for name in kind.names) for kind in kinds))
        holds_for_some = _mask(kinds, (any(name.endswith(suffix) for name in kind.names) for kind in kinds))
        if holds and holds == holds_for_some:
            yield Condition(form="suffix", value=suffix, holds_for=holds, cost=0.01 * suffix.startswith("."))


def _classes(kinds: Sequence[Kind]) -> Iterator[Condition]:
    """Yield conditions on classes; if code cannot import a class, a condition on the name of the class."""
    for name in dict.fromkeys(name for kind in kinds for name in kind.classes):
        reference = find_reference(name)
        if reference is not None:
            yield Condition(
                form="class",
                value=reference.expression,
                holds_for=_mask(kinds, (name in kind.classes for kind in kinds)),
                cost=_cost_of_class(name) + CONTAINER_COST * any(name in kind.containers for kind in kinds),
                imports=((reference.module, reference.name),),
            )
        else:
            simple_name = name.rpartition(".")[2]
            holds = _mask(kinds, (_simple_class_name(kind) == simple_name for kind in kinds))
            if holds:
                yield Condition(form="class name", value=simple_name, holds_for=holds)


def _simple_class_name(kind: Kind) -> str:
    return kind.classes[0].rpartition(".")[2] if kind.classes else ""


def _cost_of_class(name: str) -> float:
    cost = 0.0 if name.startswith(TORCH_NN) else IMPORT_COST
    return cost + PRIVATE_COST * ("._" in name)


def _attributes(kinds: Sequence[Kind]) -> Iterator[Condition]:
    for attribute in dict.fromkeys(attribute for kind in kinds for attribute in kind.attributes):
        if attribute.isidentifier() and attribute.isascii():
            yield Condition(
                form="expression",
                value=f"getattr(p, {string(attribute)}, False)",
                holds_for=_mask(kinds, (attribute in kind.attributes for kind in kinds)),
                cost=ATTRIBUTE_COST,
            )


def _dimensions(kinds: Sequence[Kind], cost: float) -> Iterator[Condition]:
    counts = sorted({kind.ndim for kind in kinds if kind.ndim is not None})
    for count in counts:
        yield _dimension_condition(kinds, f"p.ndim == {count}", {count}, DIMENSIONS_COST + CONJUNCTION_COST)
        yield _dimension_condition(kinds, f"p.ndim < {count}", range(count), cost)
        yield _dimension_condition(kinds, f"p.ndim >= {count}", range(count, MOST_DIMENSIONS + 1), cost)


def _dimension_condition(kinds: Sequence[Kind], value: str, counts: Collection[int], cost: float) -> Condition:
    holds = _mask(kinds, (kind.ndim in counts for kind in kinds))
    return Condition(form="expression", value=value, holds_for=holds, cost=cost)


def _parts(kinds: Sequence[Kind]) -> Iterator[Condition]:
    """Yield conditions on parts of names, and on words between underscores."""
    parts: dict[str, None] = {}
    for kind in kinds:
        for part in kind.names[0].split("."):
            parts |= dict.fromkeys(word for word in (part, *part.split("_")) if _PART.fullmatch(word))
    for part in parts:
        if part not in _WRAPPER_NAMES and part not in GENERIC_LEAVES - {"bias"}:
            holds = _mask(kinds, (part in kind.names[0] for kind in kinds))
            yield Condition(form="part", value=part, holds_for=holds)


def _conjunctions(simple: Sequence[Condition]) -> Iterator[Condition]:
    """Yield conditions that join two conditions of different forms with `and`."""
    lefts = [condition for condition in simple if condition.form in ("class", "suffix", "part")]
    rights = [condition for condition in simple if condition.form != "class"]
    for left in lefts:
        for right in rights:
            holds = left.holds_for & right.holds_for
            if left.form != right.form and holds not in (0, left.holds_for, right.holds_for):
                yield Condition(
                    form="expression",
                    value=f"{write_operand([left])} and {write_operand([right])}",
                    holds_for=holds,
                    cost=price([left]) + price([right]) + CONJUNCTION_COST,
                    imports=left.imports + right.imports,
                )


def write_operand(conditions: Sequence[Condition]) -> str:
    """Write conditions of one form as one Python expression."""
    values = [condition.value for condition in conditions]
    texts = [*map(string, values)]
    match conditions[0].form:
        case "suffix":
            operand = f"name.endswith({_write_tuple(texts)})"
        case "class":
            operand = f"isinstance(module, {_write_tuple(with_sync_batch_norm(values))})"
        case "class name" | "name":
            tested = "bare_name" if conditions[0].form == "name" else "type(module).__name__"
            operand = f"{tested} == {texts[0]}" if len(texts) == 1 else f"{tested} in {_write_tuple(texts)}"
        case "part" if len(values) > 2:
            operand = f"any(part in name for part in {_write_tuple(texts)})"
        case "part":
            operand = " or ".join(f"{text} in name" for text in texts)
        case "expression":
            operand = " or ".join(values)
    return operand


def with_sync_batch_norm(classes: Sequence[str]) -> list[str]:
    """Add nn.SyncBatchNorm, which replaces batch norms in distributed training."""
    last = max((index for index, name in enumerate(classes) if name in _BATCH_NORMS), default=None)
    if last is None or "nn.SyncBatchNorm" in classes:
        return [*classes]
    return [*classes[: last + 1], "nn.SyncBatchNorm", *classes[last + 1 :]]


def _write_tuple(values: Sequence[str]) -> str:
    return values[0] if len(values) == 1 else f"({', '.join(values)})"
