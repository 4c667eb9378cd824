"""Write branches as `if`, `elif` and `else`. Values that are too long become constants above the function."""

from collections.abc import Mapping, Sequence
from itertools import chain

from msgspec import Struct

from decay_audit.emit.python import layout
from decay_audit.emit.python.literals import LINE_LENGTH, names as name_elements, string
from decay_audit.emit.rule.conditions import Condition, Form, with_sync_batch_norm, write_operand
from decay_audit.emit.rule.search import Branch

INDENT = 8
LONGEST_CLAUSE = LINE_LENGTH - INDENT - len("    or ") - len(":")
"""The most characters of an operand that fits into one line."""
PAIR = 2
"""With this number of operands, the formatter would break a long line inside the brackets of an operand; a constant
avoids that. Three or more operands are written on lines of their own."""

_CONSTANTS: dict[Form, tuple[str, str]] = {
    "suffix": ("SUFFIXES", "name.endswith({})"),
    "class": ("CLASSES", "isinstance(module, {})"),
    "class name": ("CLASS_NAMES", "type(module).__name__ in {}"),
    "part": ("PARTS", "any(part in name for part in {})"),
}
"""For each form, the ending of the constant that holds many values, and the expression that uses the constant."""


class Clause(Struct, frozen=True, kw_only=True):
    """One operand of an `if`, as Python.

    Attributes:
        text: the operand.
        constant: the lines of a constant that holds its values; () if it has no values that can be moved.
        text_with_constant: the operand that uses this constant.
    """

    text: str
    constant: tuple[str, ...] = ()
    text_with_constant: str = ""

    @property
    def is_long(self) -> bool:
        """Whether the operand does not fit into one line."""
        return len(self.text) > LONGEST_CLAUSE


class BranchCode(Struct, frozen=True, kw_only=True):
    """The lines of the branches, and what they need.

    Attributes:
        constants: the lines of each tuple or set above the function.
        uses_module: the lines need the variable `module`.
        uses_bare_names: the lines need the variable `bare_name`.
        before_loop: lines before the loop over parameters.
        helper: the lines of another function.
        standard_imports: the module and the name of each import from the standard library.
        uses_patterns: the lines need `re`.
    """

    lines: tuple[str, ...]
    constants: tuple[tuple[str, ...], ...]
    imports: frozenset[tuple[str, str]]
    uses_module: bool
    uses_bare_names: bool
    before_loop: tuple[str, ...] = ()
    helper: tuple[str, ...] = ()
    standard_imports: tuple[tuple[str, str], ...] = ()
    uses_patterns: bool = False


def write_branches(branches: Sequence[Branch], variables: Mapping[int, str], message: str) -> BranchCode:
    """Write the branches of the loop over parameters.

    Args:
        variables: the name of the list that collects each param group.
        message: the message, as a Python expression, about a parameter that no branch takes.
    """
    lines: list[str] = []
    constants: list[tuple[str, ...]] = []
    conditions = [condition for branch in branches for condition in branch.conditions]
    for branch in branches:
        keyword = "elif" if lines else "if"
        if branch.conditions:
            tests = _move_long_values(_clauses(branch.conditions, variables[branch.group].upper()), keyword, constants)
            lines += layout.write_condition(keyword, tests, INDENT)
        else:
            lines.append("        else:")
        lines.append(f"            {variables[branch.group]}.append(p)")
    if branches and branches[-1].conditions:
        only_classes = all(condition.form == "class" for condition in conditions)
        error = "TypeError" if only_classes else "ValueError"
        lines += ["        else:", f"            raise {error}({message})"]
    return BranchCode(
        lines=tuple(lines),
        constants=tuple(constants),
        imports=frozenset(chain.from_iterable(condition.imports for condition in conditions)),
        uses_module=any("(module" in line for line in lines),
        uses_bare_names=any(condition.form == "name" for condition in conditions),
    )


def _clauses(conditions: Sequence[Condition], prefix: str) -> list[Clause]:
    """Merge the conditions of each form into one clause."""
    conditions_by_form: dict[Form, list[Condition]] = {}
    for condition in conditions:
        conditions_by_form.setdefault(condition.form, []).append(condition)
    clauses: list[Clause] = []
    for form, conditions_of_form in conditions_by_form.items():
        if form == "expression":
            clauses += [
                Clause(
                    text=f"({condition.value})"
                    if " and " in condition.value and len(conditions) > 1
                    else condition.value
                )
                for condition in conditions_of_form
            ]
        else:
            clauses.append(_clause(form, conditions_of_form, prefix))
    return clauses


def _clause(form: Form, conditions: Sequence[Condition], prefix: str) -> Clause:
    values = [condition.value for condition in conditions]
    text = write_operand(conditions)
    if form == "name":
        names = [name for condition in conditions for name in condition.names]
        if len(names) == 1:
            return Clause(text=text)
        constant = (f"{prefix}_NAMES = {{", *name_elements(names, 4), "}")
        always_too_long = " " * LINE_LENGTH  # so that the set of names always becomes a constant
        return Clause(text=always_too_long, constant=constant, text_with_constant=f"bare_name in {prefix}_NAMES")
    items = with_sync_batch_norm(values) if form == "class" else [*map(string, values)]
    if len(items) == 1:
        return Clause(text=text)
    constant_name = f"{prefix}_{_CONSTANTS[form][0]}"
    return Clause(
        text=text,
        constant=tuple(layout.write_brackets(f"{constant_name} = (", items, ")", 0)),
        text_with_constant=_CONSTANTS[form][1].format(constant_name),
    )


def _move_long_values(clauses: Sequence[Clause], keyword: str, constants: list[tuple[str, ...]]) -> list[str]:
    """Write the clauses; move the values of a clause to a constant where the line would be too long."""
    current = [*clauses]
    for clause in sorted(clauses, key=lambda clause: -len(clause.text)):
        texts = [other.text for other in current]
        too_long = len(layout.write_condition(keyword, texts, INDENT)[0]) > LINE_LENGTH or (
            len(texts) == PAIR and len(layout.write_condition(keyword, texts, INDENT)) > 1
        )
        if clause.constant and (clause.is_long or too_long):
            constants.append(clause.constant)
            current[current.index(clause)] = Clause(text=clause.text_with_constant)
    return [clause.text for clause in current]
