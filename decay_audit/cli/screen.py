"""The edges of the process: what goes to standard output, to standard error, or whole into a file; options of that."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer
from msgspec import Struct

from decay_audit import files

if TYPE_CHECKING:
    from decay_audit.reports import Options

SAYING = "Saying"
_STYLES = {"error": "1;31", "hint": "1;36"}


class Color(StrEnum):
    """When to colour."""

    auto = "auto"
    always = "always"
    never = "never"


def _remember(context: typer.Context, parameter: typer.CallbackParam, value: object) -> object:
    """Keep an option for what is said of an error, when the verb is gone."""
    context.meta[str(parameter.name)] = value
    return value


Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write to a file instead of standard output.",
        rich_help_panel=SAYING,
        show_default=False,
        dir_okay=False,
    ),
]


class Saying(Struct, frozen=True, kw_only=True):
    """How to say it, and how much."""

    color: Annotated[
        Color, typer.Option("--color", help="When to colour.", rich_help_panel=SAYING, callback=_remember)
    ] = Color.auto
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", metavar="", help="No progress, verdict or notes.", rich_help_panel=SAYING)
    ] = False
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose",
            "-v",
            metavar="",
            help="Say more; with an error, its trace.",
            rich_help_panel=SAYING,
            callback=_remember,
        ),
    ] = False


def colored(stream: TextIO, color: Color = Color.auto) -> bool:
    """Whether to colour what goes to `stream`; an option beats NO_COLOR, which beats FORCE_COLOR (no-color.org)."""
    if color is not Color.auto:
        return color is Color.always
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (stream.isatty() and os.environ.get("TERM") != "dumb")


def width() -> int | None:
    """Columns of the terminal, or None where standard output is not one."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def look(
    saying: Saying, output: Path | None = None, *, full: bool = False, titled: bool = False, artifact: str = ""
) -> "Options":
    """How a report should look where it goes: a file and a pipe get no colour and no width."""
    from decay_audit.reports import Options

    return Options(
        width=None if output else width(),
        color=output is None and colored(sys.stdout, saying.color),
        full=full,
        verbose=saying.verbose,
        titled=titled,
        artifact=artifact,
    )


def write(text: str, output: Path | None) -> None:
    """Write a report to standard output, or to a file that appears whole or not at all."""
    text = text if not text or text.endswith("\n") else f"{text}\n"
    if output is None:
        _encode(sys.stdout, text)
        return
    with files.atomic_write(output) as path, path.open("w", encoding="utf-8", newline="") as file:
        file.writelines(_parts(text))


def _encode(stream: TextIO, text: str) -> None:
    """Write text even where the console's encoding (cp1252, say) has no letter for all of it."""
    encoding = stream.encoding or "utf-8"
    for part in _parts(text):
        stream.write(part.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


def _parts(text: str) -> Iterator[str]:
    """Cut a text, so that a report of a checkpoint of many tensors is not copied as a whole to be encoded."""
    return (text[at : at + 2**20] for at in range(0, len(text), 2**20))


def say(text: str, *, style: str = "", color: Color = Color.auto, quiet: bool = False) -> None:
    """Say one thing on standard error: a verdict, a warning, a note. Control characters are made visible."""
    if quiet:
        return
    head, colon, rest = visible(text).partition(":")
    if style and colored(sys.stderr, color):
        head = f"\033[{_STYLES[style]}m{head}\033[0m"
    _encode(sys.stderr, f"{head}{colon}{rest}\n")


def fail(message: str, hint: str, color: Color = Color.auto) -> None:
    """Print an error and its way out."""
    say(f"error: {message}", style="error", color=color)
    if hint:
        say(f"hint: {hint}", style="hint", color=color)


def visible(text: str) -> str:
    """Make control characters visible, but for line ends: a name must not drive the terminal."""
    return "".join(one if one.isprintable() or one == "\n" else one.encode("unicode_escape").decode() for one in text)


@contextmanager
def progress(saying: Saying) -> Iterator[Callable[[str], None]]:
    """A spinner on standard error while something takes its time; nothing at all where nobody watches."""
    if saying.quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.text import Text

    with Console(stderr=True, no_color=not colored(sys.stderr, saying.color)).status(Text("reading")) as status:
        yield lambda text: status.update(Text(visible(text)))
