"""Statements are broken into lines as `ruff format` would break them."""

from collections.abc import Sequence

from decay_audit.emit.literals import LINE


def bracketed(start: str, items: Sequence[str], end: str, indent: int) -> list[str]:
    """Write items between brackets: on one line, on one line of their own, or one a line.

    >>> bracketed("f(", ["a", "b"], ")", 4)
    ['    f(a, b)']
    """
    margin = " " * indent
    joined = ", ".join(items)
    if len(margin + start + joined + end) <= LINE:
        return [margin + start + joined + end]
    if len(margin) + 4 + len(joined) <= LINE and not start.endswith(("[", "{")) and not start.endswith("= ("):
        return [margin + start, f"{margin}    {joined}", margin + end]
    return [margin + start, *(f"{margin}    {item}," for item in items), margin + end]


def condition(keyword: str, operands: Sequence[str], indent: int) -> list[str]:
    """Write `if a or b:`, on one line or one operand a line."""
    margin = " " * indent
    line = f"{margin}{keyword} {' or '.join(operands)}:"
    if len(line) <= LINE or len(operands) == 1:
        return [line]
    first, *rest = operands
    return [
        f"{margin}{keyword} (",
        f"{margin}    {first}",
        *(f"{margin}    or {operand}" for operand in rest),
        f"{margin}):",
    ]


def from_import(module: str, names: Sequence[str]) -> list[str]:
    """Write `from module import a, b`, on one line or one name a line."""
    line = f"from {module} import {', '.join(names)}"
    return [line] if len(line) <= LINE else [f"from {module} import (", *(f"    {name}," for name in names), ")"]
