"""A pickle stream becomes inert values: nothing that it names is imported, nothing is called, memory is bounded.

The interpreter here owns the bytes, the memo and the limits; what each opcode does is in `opcodes`.
"""

import sys
from collections.abc import Callable
from struct import error as struct_error
from typing import Final, Protocol

from decay_audit.sources.checkpoint.pickle.allowlist import ALLOWED
from decay_audit.sources.checkpoint.pickle.values import MalformedError, Name, Storage

MAX_BYTES: Final = 64 * 2**20
MAX_OBJECTS: Final = 2_500_000
MAX_LINE: Final = 4096
LONG: Final = "save the state dicts without what is large beside them: logs, lists, data sets"
SLICE: Final = 1 << 16
STOP: Final = 0x2E


class Source(Protocol):
    """Bytes of a file, in order: as many as are missing or more (b"" where there are not so many), or passed over."""

    def more(self, missing: int) -> bytes: ...  # noqa: D102

    def jump(self, count: int) -> bool: ...  # noqa: D102


Step = Callable[["Machine", int], int]


class Machine:
    """The state of one run: a window on the bytes, the stack and what MARK put aside, and the memo.

    Args:
        source: the bytes of the stream, or what gives them by the page.
        persistent: makes the value of a persistent id.
        storage: makes a storage of its type, key and length; given, the runs of opcodes that torch writes for a tensor
            are matched as a whole.
    """

    __slots__ = (
        *("data", "frames", "marks", "memo", "opaque", "persistent", "read", "runs", "source", "stack", "storage"),
    )

    def __init__(
        self,
        source: Source | bytes,
        *,
        persistent: Callable[[object], object],
        storage: Callable[[Name, str, int], Storage] | None = None,
    ) -> None:
        self.data = source if isinstance(source, bytes) else b""
        self.read = len(self.data)
        self.source = None if isinstance(source, bytes) else source
        self.persistent = persistent
        self.storage = storage
        self.frames: dict[tuple[bytes, ...], Name] = {}
        self.runs: dict[tuple[bytes, ...], tuple[int, int, tuple[int, ...], tuple[int, ...]]] = {}
        self.stack: list[object] = []
        self.marks: list[list[object]] = []
        self.memo: dict[int, object] = {}
        self.opaque: dict[str, Name] = {}

    def need(self, at: int, count: int) -> int:
        """Hold at least `count` bytes from `at` on, and return where they are now."""
        while (missing := count - (len(self.data) - at)) > 0:
            if self.read + missing > MAX_BYTES:
                raise MalformedError(f"its pickle is long: at most {MAX_BYTES} bytes are read", LONG)
            chunk = self.source.more(missing) if self.source else b""
            if not chunk:
                raise MalformedError(f"the pickle ends early, or claims {count} bytes that are not there")
            self.read += len(chunk)
            self.data = self.data[at:] + chunk
            at = 0
        return at

    def skip(self, at: int, count: int) -> int:
        """Pass over `count` bytes from `at` on, and return where the next ones are; the file's are not read."""
        beyond = count - (len(self.data) - at)
        if beyond <= 0:
            return at + count
        if not (self.source and self.source.jump(beyond)):
            raise MalformedError(f"the pickle ends early, or claims {count} bytes that are not there")
        self.data = b""
        return 0

    def line(self, at: int) -> tuple[bytes, int]:
        """Give the text up to the next newline, and where the next opcode begins."""
        while (end := self.data.find(b"\n", at, at + MAX_LINE)) < 0:
            if len(self.data) - at >= MAX_LINE:
                raise MalformedError(f"a line of the pickle is longer than {MAX_LINE} bytes")
            at = self.need(at, len(self.data) - at + 1)
        return self.data[at:end], end + 1

    def name(self, qualified: str) -> Name:
        """Give the inert stand-in of a global; what is not on the list is remembered."""
        known = ALLOWED.get(qualified) or self.opaque.get(qualified)
        if known is None:
            known = self.opaque[qualified] = Name(qualified=qualified)
        return known

    def check(self, steps: int, blocks: int) -> None:
        """Stop a stream that grows beyond what its bytes can honestly need."""
        allowed = min(500_000 + self.read // 8, MAX_OBJECTS)
        if sys.getallocatedblocks() - blocks > allowed or len(self.stack) + len(self.marks) > MAX_OBJECTS:
            raise MalformedError("the pickle makes more objects than a checkpoint of its size can need")
        if steps > 4_000_000 + self.read // 2:
            raise MalformedError("the pickle runs more operations than a checkpoint of its size can need")


def run(machine: Machine, at: int, table: tuple[Step, ...]) -> tuple[object, int]:
    """Interpret one pickle from `at`, and return its value and where the bytes after it begin.

    Raises:
        MalformedError: the stream is cut, nonsense, or too large for its size.
    """
    machine.stack, machine.marks, machine.memo, machine.frames = [], [], {}, {}
    blocks, steps = sys.getallocatedblocks(), 0
    try:
        while True:
            for _ in range(SLICE):
                if at >= len(machine.data):
                    at = machine.need(at, 1)
                code = machine.data[at]
                if code == STOP:
                    return machine.stack.pop(), at + 1
                at = table[code](machine, at + 1)
            steps += SLICE
            machine.check(steps, blocks)
    except (IndexError, KeyError, ValueError, TypeError, AttributeError, OverflowError, struct_error) as error:
        raise MalformedError(
            f"its pickle is malformed ({type(error).__name__} near byte {machine.read - len(machine.data) + at})"
        ) from error
