"""The state of a pickle interpreter: a window on the bytes, the stack, the memo, and the limits on all of them.

The opcodes are in `interpreter`, which runs the machine.
"""

import sys
from collections.abc import Callable
from typing import Final, Protocol

from decay_audit.sources.checkpoint.contents import MalformedError, Storage
from decay_audit.sources.checkpoint.pickle.allowlist import ALLOWED
from decay_audit.sources.checkpoint.pickle.inert_values import Global

MAX_BYTES: Final = 64 * 2**20
"""The most bytes of one pickle that are loaded."""
_MAX_OBJECTS: Final = 2_500_000
"""The most objects of one pickle."""
_MAX_LINE: Final = 4096
"""The longest line in the text of protocol 0."""
_SMALLER_HINT: Final = "save the state dicts in a file of their own, without logs, lists and datasets"
"""The hint of a pickle that is too long."""
_TRUSTED_HINT: Final = "if you trust the file, load it with torch and save only its state_dict()"
"""The hint of a pickle that makes too many objects."""


class ByteStream(Protocol):
    """Bytes in order.

    `more` returns at least `missing` bytes; b"" if fewer are left. `skip` moves past bytes; False if fewer are left.
    """

    def more(self, missing: int) -> bytes: ...  # noqa: D102

    def skip(self, count: int) -> bool: ...  # noqa: D102


Operation = Callable[["Machine", int], int]
"""Runs one opcode: takes the machine and the position after the opcode, returns the position of the next opcode."""

Sizes = tuple[int, int, tuple[int, ...], tuple[int, ...]]
"""The sizes of a tensor: elements of its storage, offset, shape and stride."""


class Machine:
    """The state of one run.

    Args:
        content: all bytes of the pickle, or a stream of them.
        persistent_load: returns the value of a persistent id.
        make_storage: makes a storage of its class, key and length. If given, `tensor_fast_path` reads the opcodes of
            one tensor at once.
    """

    __slots__ = (
        *("bytes_read", "data", "make_storage", "marks", "memo", "opaque", "persistent_load", "stack", "stream"),
        *("storage_types", "tensor_sizes"),
    )

    def __init__(
        self,
        content: ByteStream | bytes,
        *,
        persistent_load: Callable[[object], object],
        make_storage: Callable[[Global, str, int], Storage] | None = None,
    ) -> None:
        self.data = content if isinstance(content, bytes) else b""
        self.bytes_read = len(self.data)
        self.stream = None if isinstance(content, bytes) else content
        self.persistent_load = persistent_load
        self.make_storage = make_storage
        self.opaque: dict[str, Global] = {}
        self.storage_types: dict[tuple[bytes, ...], Global] = {}  # a cache of `tensor_fast_path`
        self.tensor_sizes: dict[tuple[bytes, ...], Sizes] = {}  # another cache; not empty if the fast path was used
        self.reset()

    def reset(self) -> None:
        """Begin another pickle: nothing is left on the stack or in the memo."""
        self.stack: list[object] = []
        self.marks: list[list[object]] = []
        self.memo: dict[int, object] = {}
        self.storage_types = {}

    def need(self, position: int, count: int) -> int:
        """Load bytes until there are `count` bytes from `position` on. Return the new position of the first of them."""
        while (missing := count - (len(self.data) - position)) > 0:
            if self.bytes_read + missing > MAX_BYTES:
                raise MalformedError(f"its pickle is too long: at most {MAX_BYTES} bytes are read", _SMALLER_HINT)
            chunk = self.stream.more(missing) if self.stream else b""
            if not chunk:
                raise MalformedError(f"its pickle ends early: {_more_bytes(missing)} needed")
            self.bytes_read += len(chunk)
            self.data = self.data[position:] + chunk
            position = 0
        return position

    def skip(self, position: int, count: int) -> int:
        """Move past `count` bytes from `position` on without loading them, and return the position after them."""
        missing = count - (len(self.data) - position)
        if missing <= 0:
            return position + count
        if not (self.stream and self.stream.skip(missing)):
            raise MalformedError(f"its pickle ends early: {_more_bytes(missing)} needed")
        self.data = b""
        return 0

    def line(self, position: int) -> tuple[bytes, int]:
        """Return the text up to the next newline, and where the next opcode begins."""
        while (end := self.data.find(b"\n", position, position + _MAX_LINE)) < 0:
            if len(self.data) - position >= _MAX_LINE:
                raise MalformedError(f"a line of its pickle is longer than {_MAX_LINE} bytes")
            position = self.need(position, len(self.data) - position + 1)
        return self.data[position:end], end + 1

    def find_global(self, qualified: str) -> Global:
        """Return the inert value of a GLOBAL, and record a name that is not on the allowlist."""
        value = ALLOWED.get(qualified) or self.opaque.get(qualified)
        if value is None:
            value = self.opaque[qualified] = Global(qualified=qualified)
        return value

    def check_limits(self, steps: int, blocks: int) -> None:
        """Stop a pickle that makes far more objects than its bytes can need.

        Args:
            steps: opcodes interpreted so far.
            blocks: memory blocks that were allocated before the first opcode.
        """
        # torch writes a tensor in more than 100 bytes, for which a few objects are made
        allowed = min(500_000 + self.bytes_read // 8, _MAX_OBJECTS)
        if sys.getallocatedblocks() - blocks > allowed or len(self.stack) + len(self.marks) > _MAX_OBJECTS:
            raise MalformedError("its pickle makes more objects than a checkpoint of its size can need", _TRUSTED_HINT)
        if steps > 4_000_000 + self.bytes_read // 2:
            raise MalformedError("its pickle has more operations than a checkpoint of its size can need", _TRUSTED_HINT)


def _more_bytes(count: int) -> str:
    return "1 more byte is" if count == 1 else f"{count} more bytes are"
