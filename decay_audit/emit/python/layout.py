"""Write statements as lines of code, broken as `ruff format` breaks them."""

from collections.abc import Sequence

from decay_audit.emit.python.literals import LINE_LENGTH


def write_brackets(start: str, items: Sequence[str], end: str, indent: int) -> list[str]:
    """Write items between brackets: all on one line, the items on a second line, or one item a line.

    >>> write_brackets("f(", ["a", "b"], ")", 4)
    ['    f(a, b)']
    """
    margin = " " * indent
    joined = ", ".join(items)
    if len(margin + start + joined + end) <= LINE_LENGTH:
        return [margin + start + joined + end]
    # only the arguments of a call may share a second line; a list, a dict or a tuple has one item a line
    if len(margin) + 4 + len(joined) <= LINE_LENGTH and not start.endswith(("[", "{")) and not start.endswith("= ("):
        return [margin + start, f"{margin}    {joined}", margin + end]
    return [margin + start, *(f"{margin}    {item}," for item in items), margin + end]


def write_condition(keyword: str, operands: Sequence[str], indent: int, operator: str = "or") -> list[str]:
    """Write `if a or b:` on one line, or with one operand a line."""
    margin = " " * indent
    line = f"{margin}{keyword} {f' {operator} '.join(operands)}:"
    if len(line) <= LINE_LENGTH or len(operands) == 1:
        return [line]
    first, *rest = operands
    return [
        f"{margin}{keyword} (",
        f"{margin}    {first}",
        *(f"{margin}    {operator} {operand}" for operand in rest),
        f"{margin}):",
    ]


def write_import(module: str, names: Sequence[str]) -> list[str]:
    """Write `from module import a, b` on one line, or with one name a line."""
    line = f"from {module} import {', '.join(names)}"
    return [line] if len(line) <= LINE_LENGTH else [f"from {module} import (", *(f"    {name}," for name in names), ")"]
