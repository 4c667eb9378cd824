"""What a Store answers: what is known of a file, its bytes from a position on, and the files of a folder."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Final, Protocol

from msgspec import Struct

from decay_audit.errors import TargetError
from decay_audit.sources.remote.urls import public_name
from decay_audit.text import format_bytes

HEAD: Final = 512
"""The first bytes of a file, which tell its format: they are read with the first request."""
MAX_TOTAL: Final = 400 * 2**20
"""The most bytes that are read for one target: those of several of the largest headers."""


class RemoteFile(Struct, frozen=True, kw_only=True):
    """What is known of a file.

    Attributes:
        size: in bytes.
        version: a text that changes when the file changes, such as an ETag; "" if the server gives none.
        head: the first bytes, if they were read along.
        cache_key: made by `cache_key`; "" if no byte of the file may be kept.
    """

    size: int
    version: str = ""
    head: bytes = b""
    cache_key: str = ""


def cache_key(url: str, etag: str, size: int, server: str = "") -> str:
    """Make the text that stands for the bytes of a file; "" if the cache may not have them.

    Args:
        etag: what the server changes with each change of the bytes, such as an ETag or a hash; "" if it gives none.
        server: which server the URL leads to, where the URL does not tell it.

    >>> cache_key("https://host/model.pt?token=secret", '"a1"', 100), cache_key("https://host/model.pt", 'W/"a1"', 100)
    ('', '')
    """
    has_credentials = public_name(url) != url
    return "" if has_credentials or not etag or etag.startswith("W/") else repr((server, url, etag, size))


FolderListing = Mapping[str, RemoteFile | None]
"""The names in a folder: a file with what is known of it, and None for a folder."""


class Store(Protocol):
    """Reads the files below a URL. Paths are absolute; the first part is the host, the bucket or the repository."""

    def find(self, path: PurePosixPath) -> RemoteFile | None:
        """Tell what is known of a file; None if it does not exist, or is a folder.

        Raises:
            TargetError: the server refuses, or cannot be reached.
        """

    def read(self, path: PurePosixPath, file: RemoteFile, offset: int, count: int) -> bytes:
        """Read exactly `count` bytes from `offset` on.

        Raises:
            TargetError: the server refuses, cannot be reached, or sends other bytes than it was asked for.
        """

    def list(self, path: PurePosixPath) -> FolderListing | None:
        """List a folder; None if it does not exist, or the server lists none.

        Raises:
            TargetError: the server refuses, or cannot be reached.
        """

    def public_name(self, path: PurePosixPath) -> str:
        """Write the URL of a path without credentials."""


class ByteLimit:
    """Counts the bytes that are read for a target, and refuses more than `MAX_TOTAL`."""

    def __init__(self, limit: int = MAX_TOTAL) -> None:
        self.limit = limit
        self.count = 0

    def add(self, count: int, name: str) -> None:
        """Count bytes before they are read.

        Raises:
            TargetError: they are too many.
        """
        self.count += count
        if self.count > self.limit:
            raise TargetError(
                f"reading {name} would take more than {format_bytes(self.limit)} of headers",
                "if it is a real checkpoint, name one of its files, or download it first",
            )
