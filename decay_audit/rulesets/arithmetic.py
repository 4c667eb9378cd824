"""Compute arithmetic that is written in a file, from its Python syntax tree. No code is run."""

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

OPERATIONS: Mapping[type[ast.AST], Callable[..., Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}
"""The operators that are computed, by their nodes in a syntax tree."""


def evaluate(node: ast.expr, operand: Callable[[ast.expr], float]) -> float:
    """Compute an expression. `operand` computes its parts that are not arithmetic, such as names and numbers.

    >>> evaluate(ast.parse("2 * (3 + 1)", mode="eval").body, ast.literal_eval)
    8

    Raises:
        ArithmeticError: the expression divides by zero, or overflows.
    """
    result: float
    match node:
        case ast.BinOp() if type(node.op) in OPERATIONS:
            result = OPERATIONS[type(node.op)](evaluate(node.left, operand), evaluate(node.right, operand))
        case ast.UnaryOp() if type(node.op) in OPERATIONS:
            result = OPERATIONS[type(node.op)](evaluate(node.operand, operand))
        case _:
            result = operand(node)
    return result
