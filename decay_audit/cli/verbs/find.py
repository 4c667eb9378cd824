"""`decay-audit find`: where a repository makes its optimizers, and the command that audits each."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from decay_audit.api.options import OutputOptions
from decay_audit.cli import screen
from decay_audit.cli.command import takes
from decay_audit.errors import DecayAuditError, shell_join

if TYPE_CHECKING:
    from decay_audit.sources.run.find_optimizers import FoundCalls, OptimizerCall

_LONGEST = 48


def find(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="A folder, or a Python file.", show_default=False)
    ] = Path(),
    *,
    output: Annotated[OutputOptions, takes(names=("output", "quiet"))],
) -> None:
    """List where code makes optimizers of torch.optim, and the command that audits each.

    Nothing is imported or run: what the groups hold and what decays is not judged here.
    """
    from decay_audit.sources.run import find_optimizers
    from decay_audit.text import count_noun

    if not path.exists():
        raise DecayAuditError(f"no such file or folder: {path}", "name the folder of a repository")
    found = find_optimizers.find(path)
    screen.write("\n".join(_lines(found)) if found.calls else "", output.output)
    files = count_noun(found.files, "Python file")
    calls = count_noun(len(found.calls), "place makes an optimizer", "places make an optimizer")
    screen.print_message(f"{calls} in {files}", quiet=output.quiet)


def _lines(found: "FoundCalls") -> Iterator[str]:
    rows = [
        (f"{call.file}:{call.line}", f"{call.type}({_short(call.parameters)})", _coefficient(call))
        for call in found.calls
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row, call in zip(rows, found.calls, strict=True):
        cells = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield f"{cells}  {_command(call, found.scripts)}".rstrip()


def _short(text: str) -> str:
    text = screen.visible(" ".join(text.split()))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _coefficient(call: "OptimizerCall") -> str:
    if call.weight_decay is not None:
        return f"weight_decay={_short(call.weight_decay)}"
    return "weight_decay perhaps in the groups" if call.maybe_set else "weight_decay is the default"


def _command(call: "OptimizerCall", scripts: Mapping[str, Sequence[str]]) -> str:
    if call.is_script:
        return shell_join(["decay-audit", "run", call.file])
    if call.function and call.needs == 1 and call.function != "__init__":
        return shell_join(["decay-audit", "check", "MODEL", "--optimizer", f"{call.file}:{call.function}"])
    running = scripts.get(Path(call.file).stem)
    return shell_join(["decay-audit", "run", running[0]]) if running else ""
