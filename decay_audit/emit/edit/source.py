"""A Python file as text with its syntax tree: where each node begins and ends, and how a part of it is replaced."""

import ast
import io
import tokenize
from collections.abc import Iterable
from itertools import accumulate
from pathlib import Path

from msgspec import Struct

from decay_audit.errors import DecayAuditError

LARGEST_FILE = 5_000_000
"""The most bytes of a file that is read."""

Replacement = tuple[int, int, str]
"""The first byte and the end of what is replaced, in UTF-8, and the new text."""


class SourceFile(Struct, frozen=True, kw_only=True, eq=False):
    """A Python file.

    Attributes:
        name: the path as the user wrote it.
        text: the content in UTF-8, in which `ast` counts columns.
        line_starts: for each line, the index of its first byte in `text`.
        encoding: the encoding of the file on disk.
        newline: how its lines end.
    """

    name: str
    text: bytes
    tree: ast.Module
    line_starts: tuple[int, ...]
    encoding: str
    newline: str

    @property
    def path(self) -> Path:
        """The path of the file."""
        return Path(self.name)

    def start(self, node: ast.expr | ast.stmt | ast.keyword) -> int:
        """Return the index of the first byte of a node."""
        return self.line_starts[node.lineno - 1] + node.col_offset

    def end(self, node: ast.expr | ast.stmt | ast.keyword) -> int:
        """Return the index after the last byte of a node."""
        return self.line_starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)

    def code(self, node: ast.expr | ast.stmt) -> str:
        """Return the text of a node; on one line if it has several."""
        text = self.text[self.start(node) : self.end(node)].decode()
        return ast.unparse(node) if "\n" in text or "\r" in text else text

    def replace(self, replacements: Iterable[Replacement]) -> str:
        """Return the text with parts replaced. They do not overlap; insertions at one offset keep their order."""
        parts, offset = [], 0
        for start, end, new in sorted(replacements, key=lambda replacement: replacement[:2]):
            parts += [self.text[offset:start], new.replace("\n", self.newline).encode()]
            offset = end
        return b"".join([*parts, self.text[offset:]]).decode()

    def refusal(self, line: int, reason: str, hint: str) -> DecayAuditError:
        """Make the error for a line that is not understood."""
        return DecayAuditError(f"{self.name}:{line}: {reason}; the file is not changed", hint)


def read(name: str) -> SourceFile:
    """Read a Python file.

    Raises:
        DecayAuditError: it cannot be read, or is not Python.
    """
    try:
        with Path(name).open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise DecayAuditError(
                f"{name} has more than {LARGEST_FILE:,} bytes", "name the file of the training script"
            )
        encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
        tree = ast.parse(content)
        text = content.decode(encoding).encode()
    except OSError as error:
        raise DecayAuditError(f"{name} cannot be read: {error.strerror or error}", "check the path") from error
    except SyntaxError as error:
        where = f"{name}:{error.lineno}" if error.lineno else name
        raise DecayAuditError(f"{where} is not Python that can be parsed: {error.msg}", "name a .py file") from error
    except (ValueError, RecursionError) as error:
        raise DecayAuditError(f"{name} is not Python that can be parsed: {error}", "name a .py file") from error
    if text.startswith(b"\xef\xbb\xbf"):
        raise DecayAuditError(f"{name} begins with a byte order mark twice", "save it as UTF-8")
    lines = text.splitlines(keepends=True)  # splits bytes where Python's own parser does
    return SourceFile(
        name=name,
        text=text,
        tree=tree,
        line_starts=tuple(accumulate((len(line) for line in lines), initial=0)),
        encoding=encoding,
        newline="\r\n" if lines and lines[0].endswith(b"\r\n") else "\n",
    )
