"""The Request of one run: its options, and a target or a live model. This module reads no file."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import asdict

from decay_audit.api.options import AuditOptions

if TYPE_CHECKING:
    import torch

    from decay_audit.rulesets.ruleset import RuleSet


def no_progress(_: str) -> None:
    """Show no progress."""


class LiveModel(Struct, frozen=True, kw_only=True, eq=False):
    """A model in memory, and its optimizers: one, a list, tuple or dict of them, an object that has them, or None.

    Attributes:
        schedule: the scheduler of the optimizers, several of them, or a function, as `--schedule` takes it; or None.
    """

    model: "torch.nn.Module"
    optimizer: object = None
    schedule: object = None


class Request(AuditOptions, frozen=True, kw_only=True, eq=False):
    """What to read and how to decide.

    Attributes:
        target: what the command line calls TARGET; "" for a live model.
        live: a model in memory with its optimizers, instead of `target` and `optimizer`.
        ruleset: a ruleset that is loaded already, instead of `rules`.
        progress: called with a message when a step begins, such as `importing torch`.
    """

    target: str = ""
    live: LiveModel | None = None
    ruleset: "RuleSet | None" = None
    progress: Callable[[str], None] = no_progress


def request_for(target: str, options: AuditOptions, progress: Callable[[str], None] = no_progress) -> Request:
    """Make the Request to audit a target with these options."""
    values = {name: _without_credentials(value) for name, value in asdict(options).items()}
    return Request(target=_without_credentials(target), progress=progress, **values)


def _without_credentials(value: Any) -> Any:  # noqa: ANN401 - of any option
    """Replace a URL by what may be shown of it; the reader of URLs keeps its credentials."""
    if not isinstance(value, str) or "://" not in value:
        return value
    from decay_audit.sources import remote

    return remote.hide_credentials(value)
