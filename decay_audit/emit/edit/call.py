"""Find the call in a Python file that makes an optimizer of all parameters of a model. The file is not executed."""

import ast
import inspect
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from decay_audit.emit.edit.imports import find_object, resolve
from decay_audit.emit.edit.source import SourceFile
from decay_audit.errors import DecayAuditError
from decay_audit.optimizers.table.lookup import class_facts
from decay_audit.text import join_words

WRITE_IT_OUT = "write the call as AdamW(model.parameters(), lr=...), or paste the code that `decay-audit emit` prints"
"""What to do if the call is not understood."""


class ReplacedCall(Struct, frozen=True, kw_only=True, eq=False):
    """A call such as `AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)`.

    Attributes:
        class_name: the class, as the file names it.
        parameters: the argument that is replaced by param groups.
        model: the text of the expression for the model.
        only_trainable: the argument leaves frozen parameters out.
        statement: the statement of the module in which the call stands.
        default: the coefficient of the class if the call sets none; None if it is not known.
    """

    node: ast.Call
    class_name: str
    parameters: ast.expr
    model: str
    only_trainable: bool
    weight_decay: ast.keyword | None
    lr: ast.expr | None
    statement: ast.stmt
    default: float | None

    @property
    def literal_weight_decay(self) -> float | None:
        """The coefficient of the call if it is written as a number."""
        try:
            value = ast.literal_eval(self.weight_decay.value) if self.weight_decay else None
        except (ValueError, TypeError, SyntaxError):
            return None
        return float(value) if isinstance(value, int | float) else None


class _Candidate(Struct, frozen=True, kw_only=True, eq=False):
    """A call that makes an optimizer, or seems to. `path` is the path of its class; None if that is not known."""

    node: ast.Call
    path: str | None
    statement: ast.stmt


def find_call(source: SourceFile, line: int | None = None) -> ReplacedCall:
    """Find the only call that makes an optimizer, or the call on a given line.

    Raises:
        DecayAuditError: there is no such call, there are several, or the call is not understood.
    """
    candidates = [*_candidates(source)]
    if line is not None:
        candidates = [
            candidate
            for candidate in candidates
            if candidate.node.lineno <= line <= (candidate.node.end_lineno or line)
        ]
    if not candidates:
        where = source.name if line is None else f"{source.name}:{line}"
        raise DecayAuditError(f"{where}: no call makes an optimizer here; the file is not changed", WRITE_IT_OUT)
    if len(candidates) > 1:
        places = [f"line {candidate.node.lineno} ({ast.unparse(candidate.node.func)})" for candidate in candidates]
        raise source.refusal(
            candidates[0].node.lineno,
            f"the file makes several optimizers, on {join_words(places)}",
            f"name the line of the one to change: --diff {source.name}:{candidates[0].node.lineno}",
        )
    return _understand(source, candidates[0])


def _candidates(source: SourceFile) -> Iterator[_Candidate]:
    """Yield the calls that make an optimizer, without wrappers around one of them."""
    calls = [
        _Candidate(node=node, path=path, statement=statement)
        for statement in source.tree.body
        for node in ast.walk(statement)
        if isinstance(node, ast.Call)
        for path in (resolve(node.func, source.tree),)
        if (is_optimizer(path) if path is not None else _seems_optimizer(node))
    ]
    nodes = {id(candidate.node) for candidate in calls}
    for candidate in sorted(calls, key=lambda call: (call.node.lineno, call.node.col_offset)):
        if not any(id(node) in nodes for node in ast.walk(candidate.node) if node is not candidate.node):
            yield candidate


def is_optimizer(path: str) -> bool:
    """Whether a dotted path is that of an optimizer class: it can be imported, or the table has it."""
    value = find_object(path)
    if isinstance(value, type):
        from torch.optim import Optimizer

        return issubclass(value, Optimizer)
    name = path.rpartition(".")[2]
    return value is None and name[:1].isupper() and class_facts((path, name)) is not None


def _seems_optimizer(node: ast.Call) -> bool:
    """Whether a call of something unknown looks like that of an optimizer: it takes parameters and a learning rate."""
    takes_parameters = any(
        isinstance(inner, ast.Attribute) and inner.attr in ("parameters", "named_parameters")
        for argument in (*node.args[:1], *(keyword.value for keyword in node.keywords if keyword.arg == "params"))
        for inner in ast.walk(argument)
    )
    has_rate = any(keyword.arg == "lr" for keyword in node.keywords)
    return takes_parameters and (has_rate or "optim" in ast.unparse(node.func).lower())


def _understand(source: SourceFile, candidate: _Candidate) -> ReplacedCall:
    """Read the arguments of a call.

    Raises:
        DecayAuditError: the arguments are not understood.
    """
    node, line = candidate.node, candidate.node.lineno
    name = ast.unparse(node.func)
    if candidate.path is None:
        raise source.refusal(line, f"which class `{name}` is cannot be told without running the code", WRITE_IT_OUT)
    if any(isinstance(argument, ast.Starred) for argument in node.args):
        raise source.refusal(line, f"the arguments of `{name}` are unpacked with a star", WRITE_IT_OUT)
    if any(keyword.arg is None for keyword in node.keywords):
        raise source.refusal(line, f"`{name}` takes **keywords, in which weight_decay may be", WRITE_IT_OUT)
    arguments = {keyword.arg: keyword for keyword in node.keywords}
    declared = _declared(candidate.path)
    by_position = dict(zip(declared, node.args, strict=False)) if declared else {}
    if len(node.args) > 1 and not declared:
        raise source.refusal(line, f"which arguments `{name}` takes by position is not known", WRITE_IT_OUT)
    if "weight_decay" in by_position:
        raise source.refusal(line, "weight_decay is given by position", "write its name: weight_decay=...")
    argument = node.args[0] if node.args else arguments["params"].value if "params" in arguments else None
    if argument is None:
        raise source.refusal(line, f"`{name}` gets no parameters", WRITE_IT_OUT)
    model, only_trainable = _model(source, argument, line)
    return ReplacedCall(
        node=node,
        class_name=name,
        parameters=argument,
        model=model,
        only_trainable=only_trainable,
        weight_decay=arguments.get("weight_decay"),
        lr=arguments["lr"].value if "lr" in arguments else by_position.get("lr"),
        statement=candidate.statement,
        default=_default(declared),
    )


def _declared(path: str) -> dict[str, Any]:
    """List the arguments of a class with their defaults; {} if the class is not known."""
    value = find_object(path)
    if not isinstance(value, type):
        return {}
    return {name: parameter.default for name, parameter in inspect.signature(value).parameters.items()}


def _default(declared: dict[str, Any]) -> float | None:
    value = declared.get("weight_decay")
    return float(value) if isinstance(value, int | float) else None


def _model(source: SourceFile, argument: ast.expr, line: int) -> tuple[str, bool]:
    """Return the expression for the model, and whether the argument leaves frozen parameters out.

    Raises:
        DecayAuditError: the argument is not all parameters of a model.
    """
    inner, only_trainable = _without_filter(argument)
    match inner:
        case ast.Call(func=ast.Attribute(value=model, attr="parameters"), args=[], keywords=[]) if _is_plain(model):
            return source.code(model), only_trainable
        case ast.List() | ast.Tuple() | ast.ListComp() | ast.GeneratorExp():
            reason = "a list of parameters or of param groups"
        case ast.Call(func=ast.Attribute(attr="named_parameters")):
            reason = "pairs of names and parameters, which --diff does not replace"
        case ast.Call(func=ast.Name(id=function)):
            raise source.refusal(
                line,
                f"the optimizer takes what `{function}` returns, which may be param groups already",
                f"compare them with the ruleset: --verify {source.name}:{function}",
            )
        case _:
            reason = f"`{source.code(argument)}`"
    raise source.refusal(line, f"the optimizer does not take all parameters of one model, but {reason}", WRITE_IT_OUT)


def _without_filter(argument: ast.expr) -> tuple[ast.expr, bool]:
    """Return what `filter(lambda p: p.requires_grad, ...)` and the like filter, and whether there is a filter."""
    match argument:
        case ast.Call(func=ast.Name(id="filter"), args=[ast.Lambda(body=body, args=arguments), inner], keywords=[]):
            names = [argument.arg for argument in arguments.args]
            if len(names) == 1 and _is_requires_grad(body, names[0]):
                return inner, True
        case (
            ast.ListComp(elt=ast.Name(id=name), generators=[generator])
            | ast.GeneratorExp(elt=ast.Name(id=name), generators=[generator])
        ):
            match generator:
                case ast.comprehension(target=ast.Name(id=variable), iter=inner, ifs=[test]):
                    if variable == name and _is_requires_grad(test, name):
                        return inner, True
                case _:
                    pass
        case ast.Call(func=ast.Name(id="list" | "iter" | "tuple"), args=[inner], keywords=[]):
            return _without_filter(inner)
        case _:
            pass
    return argument, False


def _is_requires_grad(test: ast.expr, name: str) -> bool:
    return ast.unparse(test) == f"{name}.requires_grad"


def _is_plain(expression: ast.expr) -> bool:
    """Whether an expression is a name, or attributes and indexes of one, so that it has one value."""
    match expression:
        case ast.Name():
            return True
        case ast.Attribute(value=value) | ast.Subscript(value=value, slice=ast.Constant()):
            return _is_plain(value)
        case _:
            return False
