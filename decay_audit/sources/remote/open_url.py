"""Choose the Store that reads a URL, and make the path of its file or folder."""

import atexit
from functools import cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote

from decay_audit.errors import TargetError
from decay_audit.sources.remote.remote_path import KnownFiles, RemotePath
from decay_audit.sources.remote.store import Store
from decay_audit.sources.remote.urls import public_name, split

if TYPE_CHECKING:
    from decay_audit.sources.remote.web_client import WebClient


def open_url(url: str) -> RemotePath:
    """Make the path of a URL. Nothing is read yet.

    Raises:
        TargetError: the URL is malformed, or no backend is installed for its protocol.
    """
    protocol = url.partition("://")[0].lower()
    if protocol in ("http", "https"):
        store, path = _web(url)
    else:
        raise TargetError(f"{public_name(url)} is behind a protocol that is not read", "download it first")
    return RemotePath.of(path, KnownFiles(store))


def _web(url: str) -> tuple[Store, PurePosixPath]:
    from decay_audit.sources.remote.web_store import WebStore

    parts = split(url)
    path = PurePosixPath("/", parts.hostname or "", unquote(parts.path).lstrip("/"))
    if not parts.hostname or len(path.parts) < 3:
        raise TargetError(f"{public_name(url)} names no file", "write https://HOST/FILE")
    if ".." in path.parts:
        raise TargetError(f"{public_name(url)} has .. in it", "write the URL without ..")
    return WebStore(parts, _client()), path


@cache
def _client() -> "WebClient":
    from decay_audit.sources.remote.web_client import WebClient

    client = WebClient()
    atexit.register(client.close)
    return client
