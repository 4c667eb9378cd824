"""Check the answer to a GET request, and read its body up to a limit: what a server sends is not trusted."""

import time
from collections.abc import Mapping
from http.client import HTTPResponse
from typing import Final
from urllib.parse import urljoin

from decay_audit.errors import TargetError
from decay_audit.sources.remote.urls import public_name
from decay_audit.text import format_bytes

MAX_BODY: Final = 16 * 2**20
"""The most bytes that are downloaded of a file from a server without range requests, or of a list of files."""
_CHUNK: Final = 1 << 18
"""The most bytes of a body that are read at once."""
_TEMPORARY: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Status codes after which a request is sent again."""


class NoSuchFileError(Exception):
    """The server has no such file."""


class TemporaryError(Exception):
    """The request may be sent again.

    Args:
        reason: a few words.
        pause: the seconds that the server asks to wait.
    """

    def __init__(self, reason: str, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.pause = pause


def check_status(response: HTTPResponse, url: str, hints: Mapping[int, str]) -> None:
    """Refuse an answer that is not the file.

    Raises:
        NoSuchFileError, TemporaryError, TargetError: by the status code.
    """
    status, name = response.status, public_name(url)
    if status in (404, 410):
        raise NoSuchFileError
    if status in _TEMPORARY:
        after = response.getheader("Retry-After", "")
        raise TemporaryError(f"the server answered {status} {response.reason}", float(after) if after.isdigit() else 0)
    if status == 401:
        hint = hints.get(401, "write them into the URL: https://USER:PASSWORD@HOST/FILE")
        raise TargetError(f"{name} needs a user and a password, or a token (401)", hint)
    if status == 403:
        hint = hints.get(403, "check your credentials, and that the URL has not expired")
        raise TargetError(f"{name} may not be read (403)", hint)
    if status == 416:
        raise TargetError(f"{name} is empty or became shorter (416)", "check the file, then try again")
    if status not in (200, 206):
        raise TargetError(f"{name} cannot be read: the server answered {status} {response.reason}", "check the URL")
    if response.getheader("Content-Encoding", "identity") != "identity":
        raise TargetError(f"{name} is sent compressed, so that no part of it can be read", "download it first")


def size_of_range(response: HTTPResponse, url: str, first: int, last: int | None) -> int | None:
    """Read the size of the file from an answer to a range; None if the answer is the whole file.

    Raises:
        TargetError: it is another range than was asked for.
    """
    if response.status == 200:
        return None
    unit, _, rest = response.getheader("Content-Range", "").partition(" ")
    span, _, total = rest.partition("/")
    begin, _, end = span.partition("-")
    if unit != "bytes" or not all(number.isascii() and number.isdigit() for number in (begin, end, total)):
        raise TargetError(f"{public_name(url)}: the server does not say which bytes it sends", "download it first")
    expected = min(int(total) - 1 if last is None else last, int(total) - 1)
    if (int(begin), int(end)) != (first, expected):
        raise TargetError(
            f"{public_name(url)}: the server sent bytes {begin} to {end} instead of {first} to {expected}",
            "download it first",
        )
    return int(total)


def expected_length(first: int | None, last: int | None, size: int | None) -> int | None:
    """The number of bytes that a body must have; None if it is a whole file."""
    if first is None or size is None:
        return None
    return min(size - 1 if last is None else last, size - 1) - first + 1


def read_body(response: HTTPResponse, url: str, expected: int | None, deadline: float) -> bytes:
    """Read a body of exactly `expected` bytes; or a whole file, which must be small.

    Raises:
        TargetError: the body is too large, or has another length.
        TemporaryError: it ended early, or took too long.
    """
    limit = MAX_BODY if expected is None else expected
    if (length := response.length) is not None and length > limit:
        raise _too_long(url, expected, format_bytes(length))
    body = bytearray()
    while chunk := response.read1(min(_CHUNK, limit + 1 - len(body))):
        body += chunk
        if len(body) > limit:
            raise _too_long(url, expected, f"more than {format_bytes(limit)}")
        if time.monotonic() > deadline:
            raise TemporaryError("the server is too slow")
    if (expected is not None and len(body) != expected) or response.length:
        raise TemporaryError("the server closed the connection before its answer was complete")
    return bytes(body)


def _too_long(url: str, expected: int | None, size: str) -> TargetError:
    if expected is None:
        return TargetError(
            f"the server of {public_name(url)} does not send parts of a file: all of it, {size}, would be downloaded",
            "download it, or name a copy on a server that answers range requests",
        )
    return TargetError(
        f"{public_name(url)}: the server sent {size} instead of {format_bytes(expected)}", "download it first"
    )


def next_page(response: HTTPResponse, url: str) -> str:
    """The URL with rel="next" in the header Link."""
    for link in response.getheader("Link", "").split(","):
        target, _, relation = link.partition(";")
        if 'rel="next"' in relation:
            return urljoin(url, target.strip(" <>"))
    return ""
