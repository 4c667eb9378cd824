"""Files behind http:// and https://. A web server lists no folders: a file or an index is named."""

from pathlib import PurePosixPath
from threading import Lock
from typing import Final
from urllib.parse import SplitResult, quote

from decay_audit.errors import TargetError
from decay_audit.sources.remote.store import HEAD, ByteLimit, FolderListing, RemoteFile, cache_key
from decay_audit.sources.remote.urls import public_name
from decay_audit.sources.remote.web_answer import NoSuchFileError
from decay_audit.sources.remote.web_client import WebAnswer, WebClient

_SAFE: Final = "/:@!$&'()*+,;=~"
"""Characters of a path that are not escaped in a URL."""


class WebStore:
    """Reads the files of one host. The query of the URL, which may hold a token, is sent for each file."""

    def __init__(self, parts: SplitResult, client: WebClient) -> None:
        self._parts = parts
        self._client = client
        self._limit = ByteLimit()
        self._lock = Lock()
        self._whole: dict[PurePosixPath, bytes] = {}
        """Small files that came as a whole: their server does not send parts."""

    def find(self, path: PurePosixPath) -> RemoteFile | None:
        """Read the first bytes of a file."""
        try:
            answer = self._get(path, 0, HEAD - 1)
        except NoSuchFileError:
            return None
        head = answer.body[:HEAD]
        etag = answer.version if answer.version.startswith('"') else ""  # a date of change is no ETag
        key = cache_key(self._url(path), etag, answer.size)
        return RemoteFile(size=answer.size, version=answer.version, head=head, cache_key=key)

    def read(self, path: PurePosixPath, file: RemoteFile, offset: int, count: int) -> bytes:
        """Read a range."""
        if (whole := self._whole.get(path)) is not None:
            return whole[offset : offset + count]
        self._limit.add(count, path.name)
        try:
            answer = self._get(path, offset, offset + count - 1)
        except NoSuchFileError:
            raise TargetError(f"{path.name} disappeared while it was read", "try again") from None
        if (answer.size, answer.version) != (file.size, file.version):
            raise TargetError(f"{path.name} changed while it was read", "wait until it is written, then try again")
        return answer.body[offset : offset + count] if answer.whole else answer.body

    def list(self, path: PurePosixPath) -> FolderListing | None:  # noqa: ARG002
        """List nothing."""
        return None

    def public_name(self, path: PurePosixPath) -> str:
        """Write the URL of a path without credentials."""
        return public_name(self._url(path))

    def _get(self, path: PurePosixPath, first: int, last: int) -> WebAnswer:
        answer = self._client.get(self._url(path), first, last)
        if answer.whole:
            with self._lock:
                self._limit.add(answer.size, path.name)
                self._whole[path] = answer.body
        return answer

    def _url(self, path: PurePosixPath) -> str:
        below_host = "/".join(path.parts[2:])
        return self._parts._replace(path=f"/{quote(below_host, safe=_SAFE)}", fragment="").geturl()
