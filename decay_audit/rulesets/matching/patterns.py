"""Search for the regular expressions of a ruleset within a time limit, because some of them backtrack for ever.

Only patterns with two or more repeats can be so slow; all others are searched without a limit.
"""

import re
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from re import _constants as codes, _parser as parser  # type: ignore[attr-defined]
from time import process_time
from types import FrameType
from typing import Any, Final

from decay_audit.errors import RulesError

SECONDS: Final = 2.0
"""The processor time that one pattern may take for names that are slow to search."""
_SECONDS_FOR_EACH_NAME: Final = 50e-6
"""The processor time that each searched name adds to what is left of a pattern's time."""
_SHORT: Final = 20
"""A search in a text of so few characters is not interrupted: it ends soon, and its time is counted afterwards."""
_PROBE_SECONDS: Final = 0.2
_PROBE_LENGTH: Final = 1000
_MAX_PROBES: Final = 64
"""`is_slow` searches at most so many texts of this length, within so many seconds."""

_REPEATS: Final = frozenset({codes.MAX_REPEAT, codes.MIN_REPEAT})
"""The nodes of greedy and lazy repeats in the parser of `re`."""
_CATEGORY_LETTERS: Final = {"DIGIT": "0", "SPACE": " ", "WORD": "a"}
r"""A character of each category: `\d`, `\s`, `\w`."""

TextMatcher = Callable[[str], re.Match[str] | None]
"""Searches a text, and returns the match; None without one."""


class _TooSlowError(Exception):
    """A search took longer than its limit."""


@lru_cache(maxsize=4096)
def searcher(pattern: str) -> TextMatcher:
    """Make the function that searches a text for a pattern.

    The function raises a RulesError if the pattern takes too long. In a thread, or on Windows, it is raised only
    after the search.
    """
    search = re.compile(pattern).search
    return _TimedSearch(pattern, search) if _repeat_count(parser.parse(pattern)) > 1 else search


class _TimedSearch:
    """A search whose processor time, for all texts together, is limited."""

    def __init__(self, pattern: str, search: TextMatcher, seconds: float = SECONDS) -> None:
        self._pattern = pattern
        self._search = search
        self._limit = seconds
        self._left = seconds

    def __call__(self, text: str) -> re.Match[str] | None:
        start = process_time()
        try:
            match = self._search(text) if len(text) <= _SHORT else _interruptible(self._search, text, self._left)
        except _TooSlowError:
            self._refuse(text)
        self._left = min(self._limit, self._left + _SECONDS_FOR_EACH_NAME) - (process_time() - start)
        if self._left <= 0:
            self._refuse(text)
        return match

    def _refuse(self, text: str) -> None:
        self._left = self._limit
        raise RulesError(
            f"the pattern `{self._pattern}` takes more than {self._limit:g} seconds, e.g. for the name {text[:96]!r}",
            "write it without a repeat in a repeat, or two repeats that match the same characters",
        )


def _interruptible(search: TextMatcher, text: str, seconds: float) -> re.Match[str] | None:
    """Search, and raise _TooSlowError after so much processor time. `re` looks for signals while it backtracks."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        return search(text)
    previous = signal.signal(signal.SIGVTALRM, _interrupt)
    signal.setitimer(signal.ITIMER_VIRTUAL, max(seconds, 1e-3))
    try:
        return search(text)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, previous)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise _TooSlowError


def is_slow(pattern: str) -> bool:
    r"""Tell whether a pattern is slow for one of the texts that make its repeats backtrack.

    >>> is_slow(r"^(\w+)+$"), is_slow(r"^blocks\.(\d+)\.(\w+)$")
    (True, False)
    """
    tree = parser.parse(pattern)
    if _repeat_count(tree) < 2:
        return False
    timed = _TimedSearch(pattern, re.compile(pattern).search, _PROBE_SECONDS)
    try:
        for index, probe in enumerate(_probes(tree)):
            if index < _MAX_PROBES:
                timed(probe)
    except RulesError:
        return True
    return False


def literals(pattern: str) -> tuple[str, ...]:
    r"""List texts that every match of a pattern contains; () if none is certain.

    >>> literals(r"^blk_(\d+)[._]attn\.w"), literals(r"a|b"), literals(r"(?i)norm")
    (('blk_', 'attn.w'), (), ())
    """
    tree = parser.parse(pattern)
    return () if tree.state.flags & re.IGNORECASE else tuple(filter(None, _runs(tree)))


def _runs(tree: Any) -> Iterator[str]:  # noqa: ANN401
    """Join the literal characters that follow each other, and that no alternative or option can leave out."""
    run = ""
    for code, argument in tree:
        if code is codes.LITERAL:
            run += chr(argument)
            continue
        yield run
        run = ""
        if code is codes.SUBPATTERN and not argument[1] & re.IGNORECASE:
            yield from _runs(argument[-1])
        elif code in _REPEATS and argument[0] > 0:
            yield from _runs(argument[2])
    yield run


def _repeat_count(tree: Any) -> int:  # noqa: ANN401 - the parser of `re` has no public types
    """Count the repeats that can match texts of very different length."""
    count = 0
    for code, argument in tree:
        if code in _REPEATS:
            low, high, body = argument
            branches = sum(inner is codes.BRANCH for inner, _ in _nodes(body))  # they may match the same characters
            count += (high is codes.MAXREPEAT or high - low > 8) + branches + _repeat_count(body)
        else:
            count += sum(map(_repeat_count, _bodies(code, argument)))
    return count


def _nodes(tree: Any) -> Iterator[tuple[Any, Any]]:  # noqa: ANN401
    for code, argument in tree:
        yield code, argument
        for body in (argument[2],) if code in _REPEATS else _bodies(code, argument):
            yield from _nodes(body)


def _bodies(code: Any, argument: Any) -> Sequence[Any]:  # noqa: ANN401
    """List the patterns in a node of the tree."""
    if code is codes.SUBPATTERN:
        return (argument[-1],)
    if code is codes.BRANCH:
        return tuple(argument[1])
    if code in (codes.ASSERT, codes.ASSERT_NOT):
        return (argument[1],)
    if code is codes.GROUPREF_EXISTS:
        return tuple(body for body in argument[1:] if body is not None)
    return (argument,) if code is codes.ATOMIC_GROUP else (argument[2],) if code is codes.POSSESSIVE_REPEAT else ()


def _probes(tree: Any, before: str = "") -> Iterator[str]:  # noqa: ANN401
    """Write texts in which one repeat matches very often, and the rest of the pattern does not match."""
    for code, argument in tree:
        if code in _REPEATS:
            for sample in _samples(argument[2]):
                for end in ("!", "\n\0"):
                    yield before + sample * (_PROBE_LENGTH // max(len(sample), 1)) + end
            yield from _probes(argument[2], before)
        for body in _bodies(code, argument):
            yield from _probes(body, before)
        before += next(iter(_samples([(code, argument)])))


def _samples(tree: Any) -> list[str]:  # noqa: ANN401
    """Write short texts that a pattern matches: one for each alternative at its end."""
    samples = [""]
    for code, argument in tree:
        if code is codes.BRANCH:
            branches = [sample for body in argument[1] for sample in _samples(body)]
        elif code in _REPEATS:
            branches = [sample * max(argument[0], 1) for sample in _samples(argument[2])]
        elif code is codes.SUBPATTERN:
            branches = _samples(argument[-1])
        else:
            branches = [_letter(code, argument)]
        samples = [f"{start}{branch}" for start in samples[:1] for branch in branches]
    return samples[:8]


def _letter(code: Any, argument: Any) -> str:  # noqa: ANN401
    if code is codes.LITERAL:
        return chr(argument)
    if code is codes.NOT_LITERAL:
        return "a" if argument != ord("a") else "b"
    if code is codes.ANY:
        return "a"
    if code is codes.IN:
        return _member(argument)
    return ""


def _member(members: Any) -> str:  # noqa: ANN401
    """Return a character that a character class such as `[a-z]` matches."""
    (code, argument), *_ = members
    if code is codes.NEGATE:
        excluded = {chr(value) for kind, value in members[1:] if kind is codes.LITERAL}
        return next((letter for letter in "a0_.- " if letter not in excluded), "~")
    if code is codes.RANGE:
        return chr(argument[0])
    if code is codes.CATEGORY:
        # `Y_` is the end of CATEGORY_: CATEGORY_DIGIT ends with Y_DIGIT, and CATEGORY_NOT_DIGIT does not
        return next((letter for name, letter in _CATEGORY_LETTERS.items() if str(argument).endswith(f"Y_{name}")), ".")
    return chr(argument)
