"""Limits of a traced pass: operators, lines of Python code, and the time without an operator.

Operators and lines are counted, so that a pass stops at the same place on every machine. Time is only the last resort,
for a forward pass that waits: `time.sleep`, `input()`.
"""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from msgspec import Struct

SECONDS_WITHOUT_OPERATOR = 5
"""After one to two times this long without an operator, the pass is stopped."""

_LIBRARIES = (str(Path(torch.__file__).parent), str(Path(__file__).parent))
"""Folders whose code is not counted: it ends by itself."""


class TraceLimitError(BaseException):
    """The forward pass exceeds a limit. No `except Exception` of the model catches it."""


class Limits(Struct, frozen=True, kw_only=True):
    """How much work a traced pass may do.

    Attributes:
        calls: how many operators it may call.
        lines: how many lines of Python code it may run, without those of torch.
    """

    calls: int = 200_000
    lines: int = 50_000_000


class LineCounter:
    """Count the lines of Python code that run inside a `with` statement; raise TraceLimitError if they are too many.

    It does not count while a debugger or a coverage tool uses Python's trace function.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.count = 0
        self.active = False

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count the lines that run inside this `with` statement."""
        if sys.gettrace() is not None:
            yield
            return
        self.active = True
        sys.settrace(self._enter)
        try:
            yield
        finally:
            self.active = False
            sys.settrace(None)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Do not count inside this `with` statement, where the tracer does its own work for an operator."""
        if not self.active:
            yield
            return
        sys.settrace(None)
        try:
            yield
        finally:
            sys.settrace(self._enter)

    def _enter(self, frame: FrameType, event: str, argument: Any) -> Callable[..., Any] | None:  # noqa: ANN401, ARG002
        return None if frame.f_code.co_filename.startswith(_LIBRARIES) else self._step

    def _step(self, frame: FrameType, event: str, argument: Any) -> Callable[..., Any]:  # noqa: ANN401, ARG002
        self.count += 1
        if self.count > self.limit:
            raise TraceLimitError(f"the forward pass runs more than {self.limit:,} lines of Python code")
        return self._step


@contextmanager
def stall_guard(progress: Callable[[], int]) -> Iterator[None]:
    """Raise TraceLimitError inside this `with` statement if a counter stands still: the forward pass waits.

    It needs the main thread and a free alarm signal, and does nothing without them.

    Args:
        progress: returns the counter.
    """
    alarm = getattr(signal, "SIGALRM", None)
    in_main_thread = threading.current_thread() is threading.main_thread()
    if alarm is None or not in_main_thread or signal.getsignal(alarm) is not signal.SIG_DFL:
        yield
        return
    last = progress()

    def check(_signal: int, _frame: FrameType | None) -> None:
        nonlocal last
        current = progress()
        if current == last:
            raise TraceLimitError(f"the forward pass calls no operator for {SECONDS_WITHOUT_OPERATOR} seconds")
        last = current

    signal.signal(alarm, check)
    signal.setitimer(signal.ITIMER_REAL, SECONDS_WITHOUT_OPERATOR, SECONDS_WITHOUT_OPERATOR)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(alarm, signal.SIG_DFL)
