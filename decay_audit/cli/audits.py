"""The audits of a command: one for the TARGET on the command line, or those of `[tool.decay-audit]`."""

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import Struct
from msgspec.structs import replace

from decay_audit.api.options import AuditOptions, Option
from decay_audit.errors import DecayAuditError
from decay_audit.text import first_few

if TYPE_CHECKING:
    from decay_audit.api import Request
    from decay_audit.checks.exceptions import FindingException


AuditNames = Annotated[
    tuple[str, ...],
    Option("Findings", "Run only the audit of pyproject.toml with this name or target; repeatable.", metavar="NAME"),
]


class Audit(Struct, frozen=True, kw_only=True):
    """What to compare.

    Attributes:
        title: tells it from other audits of its target; may be empty.
        name: its name in pyproject.toml; may be empty.
    """

    request: "Request"
    title: str = ""
    name: str = ""

    @property
    def label(self) -> str:
        """The target, with the title."""
        return f"{self.request.target} ({self.title})" if self.title else self.request.target


def audits_of(
    context: typer.Context, target: str | None, options: AuditOptions, progress: Callable[[str], None]
) -> list[Audit]:
    """List the audits that a command is asked for.

    Raises:
        DecayAuditError: there is no target, and no audit in a pyproject.toml. Nothing would be done, so this does not
            pass.
    """
    from decay_audit import api

    request = api.request_for(target or "", options, progress)
    return [Audit(request=request)] if target else _configured(request, _typed_options(context))


def configured_exceptions() -> "tuple[FindingException, ...]":
    """List the exceptions of the nearest pyproject.toml."""
    from decay_audit.cli import config

    file = config.find(Path.cwd())
    return config.load(file).exceptions if file else ()


def choose(audits: list[Audit], names: Sequence[str]) -> list[Audit]:
    """Choose audits by name, title or target; without a name, take all.

    Raises:
        DecayAuditError: no audit has such a name.
    """
    chosen: list[Audit] = []
    for name in names:
        of_name = [audit for audit in audits if name in (audit.name, audit.title, audit.request.target, audit.label)]
        if not of_name:
            known = [audit.name or audit.label for audit in audits]
            near = get_close_matches(name, known, n=1, cutoff=0.4)
            hint = f"did you mean `{near[0]}`? " if near else ""
            raise DecayAuditError(f"no audit is called `{name}`", f"{hint}audits: {first_few(known, 8)}")
        chosen += [audit for audit in of_name if audit not in chosen]
    return chosen if names else audits


def _typed_options(context: typer.Context) -> frozenset[str]:
    """Name the options that are on the command line. They win over those of an audit."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return frozenset(name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE")


def _configured(request: "Request", typed_options: frozenset[str]) -> list[Audit]:
    """List the audits of the nearest pyproject.toml, each a request with the options that it sets itself.

    Raises:
        DecayAuditError: there is none. Nothing would be checked, so this does not pass.
    """
    from decay_audit.cli import config

    file = config.find(Path.cwd())
    audits = config.load(file).audits if file else ()
    if file is None or not audits:
        raise DecayAuditError(
            "nothing to check: no TARGET, and no [[tool.decay-audit.audits]] in a pyproject.toml here or above",
            "decay-audit check model.py",
        )
    return [
        Audit(
            request=replace(
                request,
                target=config.path_from(file.parent, audit.target),
                **{
                    name: value
                    for name, value in config.from_folder(audit.options, file.parent).items()
                    if name not in typed_options
                },
            ),
            title=config.title(audit, audits),
            name=audit.name or "",
        )
        for audit in audits
    ]
