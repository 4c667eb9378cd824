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
    from decay_audit.sources.run.find_optimizers import OptimizerCall, OptimizerCalls

_LONGEST = 48


def find(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="A folder, or a Python file.", show_default=False)
    ] = Path(),
    *,
    output: Annotated[OutputOptions, takes(names=("output", "quiet"))],
) -> None:
    """List where code makes optimizers of torch.optim, and the command that audits each.

    Nothing is imported or run: so this command does not know what the groups hold or what decays.
    """
    from decay_audit.sources.run import find_optimizers
    from decay_audit.text import count_noun

    if not path.exists():
        raise DecayAuditError(f"no such file or folder: {path}", "name the folder of a repository")
    result = find_optimizers.find(path)
    screen.write("\n".join(_lines(result)) if result.calls else "", output.output)
    files = count_noun(result.files, "Python file")
    calls = count_noun(len(result.calls), "place makes an optimizer", "places make an optimizer")
    screen.print_message(f"{calls} in {files}", quiet=output.quiet)


def _lines(result: "OptimizerCalls") -> Iterator[str]:
    rows = [
        (f"{call.file}:{call.line}", f"{call.type}({_short(call.parameters)})", _coefficient(call))
        for call in result.calls
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row, call in zip(rows, result.calls, strict=True):
        cells = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield f"{cells}  {_command(call, result.scripts)}".rstrip()


def _short(text: str) -> str:
    text = screen.visible(" ".join(text.split()))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _coefficient(call: "OptimizerCall") -> str:
    if call.weight_decay is not None:
        return f"weight_decay={_short(call.weight_decay)}"
    return "weight_decay may be set in the groups" if call.may_set_weight_decay else "weight_decay is the default"


def _command(call: "OptimizerCall", scripts: Mapping[str, Sequence[str]]) -> str:
    if call.is_script:
        return shell_join(["decay-audit", "run", call.file])
    if call.function and call.required_arguments == 1 and call.function != "__init__":
        return shell_join(["decay-audit", "check", "MODEL", "--optimizer", f"{call.file}:{call.function}"])
    importing_scripts = scripts.get(Path(call.file).stem)
    return shell_join(["decay-audit", "run", importing_scripts[0]]) if importing_scripts else ""
