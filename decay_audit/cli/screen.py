"""Write to standard output, to standard error, or to a file that is written completely or not at all."""

import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from decay_audit import files
from decay_audit.api.options import OutputOptions
from decay_audit.errors import DecayAuditError
from decay_audit.model.choices import Color, Format
from decay_audit.text import without_workflow_commands

if TYPE_CHECKING:
    from decay_audit.reports import Options

STANDARD_OUTPUT = "-"
"""The name of standard output among the files of `--output`."""
_STYLES = {"error": "1;31", "hint": "1;36"}
"""Codes of ANSI for the first word of a message: bold red, and bold cyan."""


def colored(stream: TextIO, color: Color = "auto") -> bool:
    """Whether to colour a stream. The option wins over NO_COLOR, and NO_COLOR over FORCE_COLOR (no-color.org)."""
    if color != "auto":
        return color == "always"
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (stream.isatty() and os.environ.get("TERM") != "dumb")


def width() -> int | None:
    """Columns of the terminal, or None if standard output is not a terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def report_options(output: OutputOptions, *, titled: bool = False, show_excepted: bool = False) -> "Options":
    """Choose how a report is printed. In a file or a pipe, it has no colour, and its lines are not cut or wrapped.

    Args:
        titled: whether the report begins with its target, because several reports are printed.
        show_excepted: whether findings that have an exception are listed, too.
    """
    from decay_audit.reports import Options

    to_screen = set(output.output) <= {STANDARD_OUTPUT}
    return Options(
        width=width() if to_screen else None,
        height=shutil.get_terminal_size().lines if to_screen and sys.stdout.isatty() else None,
        color=to_screen and colored(sys.stdout, output.color),
        full=output.full,
        verbose=output.verbose,
        titled=titled,
        show_excepted=show_excepted,
    )


def write(document: Iterable[str], outputs: Sequence[str] = (), form: str = Format.TEXT) -> None:
    """Write a document to standard output, or to files, each of which is written completely or not at all.

    Args:
        document: a text, or texts that follow each other, which are written one by one to a single output.
        form: the format of the text. A name in it must not become a command of a GitHub workflow, which reads the
            log. Text is always made safe, and other formats where the variable GITHUB_ACTIONS is set.
    """
    in_log = form in (Format.TEXT, Format.TABLE, Format.TREE) or bool(os.environ.get("GITHUB_ACTIONS"))
    destinations = outputs or (STANDARD_OUTPUT,)
    if len(destinations) > 1 or (in_log and STANDARD_OUTPUT in destinations):
        document = "".join(document)  # a command of a workflow may begin in one text and end in the next
    for output in destinations:
        pieces = _with_line_end(document)
        if output == STANDARD_OUTPUT:
            _print(
                without_workflow_commands(text, our_own=form == Format.GITHUB) if in_log else text for text in pieces
            )
            continue
        with files.atomic_write(Path(output)) as path, _open_text(path) as file:
            for text in pieces:
                file.writelines(_chunks(text))


def _with_line_end(document: Iterable[str]) -> Iterator[str]:
    """Yield the texts of a document; add a line end if the last one has none."""
    last = ""
    for text in (document,) if isinstance(document, str) else document:
        yield text
        last = text or last
    if last and not last.endswith("\n"):
        yield "\n"


def _open_text(path: Path) -> TextIO:
    """Open a file for UTF-8; what UTF-8 cannot write, such as a file name that is not UTF-8, is escaped."""
    return path.open("w", encoding="utf-8", errors="backslashreplace", newline="")


def _print(pieces: Iterable[str]) -> None:
    """Write texts that follow each other to standard output.

    Raises:
        DecayAuditError: it is full or closed.
    """
    try:
        for text in pieces:
            _write_encoded(sys.stdout, text)
    except BrokenPipeError:
        raise
    except OSError as error:
        discard_standard_output()
        message = f"standard output cannot be written: {error.strerror or 'it is closed'}"
        raise DecayAuditError(message, "write to a file with --output") from error


def discard_standard_output() -> None:
    """Drop the text that is still in the buffer: Python would try to write it again at exit, and fail."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _write_encoded(stream: TextIO, text: str) -> None:
    """Write text, with escapes for characters that the stream's encoding (such as cp1252) does not have."""
    encoding = stream.encoding or "utf-8"
    for part in _chunks(text):
        stream.write(part.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


def _chunks(text: str) -> Iterator[str]:
    """Cut a text into pieces of a million characters: encoding a long report as a whole would double its memory."""
    return (text[start : start + 2**20] for start in range(0, len(text), 2**20))


def print_message(text: str, *, style: str = "", color: Color = "auto", quiet: bool = False) -> None:
    """Print a verdict, a warning or a note on standard error. Control characters are made visible."""
    if quiet:
        return
    head, colon, rest = without_workflow_commands(visible(text)).partition(":")
    if style and colored(sys.stderr, color):
        head = f"\033[{_STYLES[style]}m{head}\033[0m"
    _write_encoded(sys.stderr, f"{head}{colon}{rest}\n")


def verdict_lines(verdicts: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    """Align verdicts: each is a word such as `ok` or `FAIL`, a target, and the counts of its findings."""
    word_width, target_width = (max((len(verdict[column]) for verdict in verdicts), default=0) for column in (0, 1))
    for word, target, text in verdicts:
        yield f"{word:<{word_width}} {target:<{target_width}}  {text}"


def print_error(message: str, hint: str, color: Color = "auto") -> None:
    """Print an error and its hint on standard error."""
    print_message(f"error: {message}", style="error", color=color)
    if hint:
        print_message(f"hint: {hint}", style="hint", color=color)


def visible(text: str) -> str:
    """Make control characters visible, except line ends: a name must not change the state of the terminal."""
    return "".join(
        character if character.isprintable() or character == "\n" else character.encode("unicode_escape").decode()
        for character in text
    )


@contextmanager
def progress(output: OutputOptions) -> Iterator[Callable[[str], None]]:
    """Say on standard error what is being done, and for how long; the line is gone at the end.

    Nothing is written if standard error is not a terminal.
    """
    if output.quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True, no_color=not colored(sys.stderr, output.color))
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("reading")
        yield lambda text: bar.update(task, description=visible(text))
