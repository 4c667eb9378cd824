"""Python expressions of the user's, evaluated among the names of their module."""

import builtins
from collections.abc import Mapping
from types import CodeType, ModuleType

from decay_audit.errors import TargetError
from decay_audit.sources.module.user_code.import_context import Namespace, home_of, running
from decay_audit.sources.module.user_code.load import no_attribute
from decay_audit.sources.module.user_code.user_errors import failure


def evaluate(expression: str, namespace: Mapping[str, object], **names: object) -> object:
    """Evaluate an expression of the user's among the names of their module, in that module's surroundings.

    Args:
        namespace: `Built.namespace`, or any mapping.
        names: further names for the expression, e.g. `model`.

    Raises:
        TargetError: it is not an expression, or evaluating it raises; the exception is chained.
    """
    home = home_of(namespace)
    scope = Namespace(namespace.module, home) if isinstance(namespace, Namespace) else dict(namespace)
    scope.update({**namespace, **names})
    try:
        with running(home):
            return value_of(expression, scope)
    except TargetError:
        raise
    except (Exception, SystemExit) as error:
        raise failure(error, f"`{expression}`", home) from error


def value_of(expression: str, scope: dict[str, object]) -> object:
    """Evaluate an expression.

    Raises:
        TargetError: it is not an expression, or asks for a name that is not there.
        Exception: whatever the user's code raises.
    """
    code = _compiled(expression)
    try:
        return eval(code, scope)  # noqa: S307  # the user's own expression is what a target is
    except NameError as error:
        if error.name is None or not _is_ours(error):
            raise
        raise _no_name(scope, error.name) from error
    except AttributeError as error:
        if error.name is None or not isinstance(error.obj, ModuleType) or not _is_ours(error):
            raise
        raise no_attribute(error.obj.__name__, error.name, dir(error.obj)) from error


def _compiled(expression: str) -> CodeType:
    try:
        return compile(expression, "<expression>", "eval")
    except (SyntaxError, ValueError) as error:
        said = error.msg if isinstance(error, SyntaxError) else str(error)
        raise TargetError(
            f"`{expression}` is not a Python expression: {said}", "after the colon comes a name or an expression"
        ) from error


def _is_ours(error: BaseException) -> bool:
    """Whether the expression itself raised it, and not code that it called."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_code.co_filename == "<expression>"


def _no_name(scope: dict[str, object], name: str) -> TargetError:
    if isinstance(scope, Namespace):
        return no_attribute(scope.home.program, name, [*dir(scope.module), *scope, *dir(builtins)])
    return no_attribute("the expression's namespace", name, [*scope, *dir(builtins)])
