"""Evaluate a Python expression of the user among the names of their module."""

from collections.abc import Mapping
from types import CodeType, ModuleType

from decay_audit.errors import TargetError
from decay_audit.sources.module.user_code.import_context import Namespace, activate, context_of_namespace
from decay_audit.sources.module.user_code.load import missing_name, names_of
from decay_audit.sources.module.user_code.user_errors import as_target_error

_FILENAME = "<expression>"


def evaluate(expression: str, namespace: Mapping[str, object], **names: object) -> object:
    """Evaluate an expression among the names of a module, in that module's import context.

    Args:
        namespace: `BuiltModel.namespace`, or any mapping.
        names: further names for the expression, e.g. `model`.

    Raises:
        TargetError: it is not an expression, or evaluating it raises; the exception is chained.
    """
    context = context_of_namespace(namespace)
    scope = Namespace(namespace.module, context) if isinstance(namespace, Namespace) else dict(namespace)
    scope.update({**namespace, **names})
    try:
        with activate(context):
            return evaluate_in(scope, expression)
    except TargetError:
        raise
    except (Exception, SystemExit) as error:
        raise as_target_error(error, f"`{expression}`", context) from error


def evaluate_in(scope: dict[str, object], expression: str) -> object:
    """Evaluate an expression in a context that is active already.

    Raises:
        TargetError: it is not an expression, or uses a name that does not exist.
        Exception: whatever the user's code raises.
    """
    code = _compile(expression)
    try:
        return eval(code, scope)  # noqa: S307  # a target is an expression that the user asks us to run
    except NameError as error:
        if error.name is None or not _raised_by_expression(error):
            raise
        raise _unknown_name(scope, error.name) from error
    except AttributeError as error:
        if error.name is None or not isinstance(error.obj, ModuleType) or not _raised_by_expression(error):
            raise
        raise missing_name(error.obj.__name__, error.name, names_of(error.obj)) from error


def _compile(expression: str) -> CodeType:
    try:
        return compile(expression, _FILENAME, "eval")
    except (SyntaxError, ValueError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise TargetError(
            f"`{expression}` is not a Python expression: {reason}",
            "accepted: a name, a call such as `Net(width=64)`, or any other single expression",
        ) from error


def _raised_by_expression(error: BaseException) -> bool:
    """Whether the expression itself raised the error, and not code that it called."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_code.co_filename == _FILENAME


def _unknown_name(scope: dict[str, object], name: str) -> TargetError:
    if isinstance(scope, Namespace):
        return missing_name(scope.context.program, name, {**scope, **names_of(scope.module)})
    return missing_name("the expression's namespace", name, scope)
