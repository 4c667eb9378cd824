"""Choose the Store that reads a URL, and make the path of its file or folder."""

import atexit
from functools import cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from decay_audit.errors import TargetError
from decay_audit.sources.remote.remote_path import KnownFiles, RemotePath
from decay_audit.sources.remote.store import Store
from decay_audit.sources.remote.urls import full_url, public_name, split

if TYPE_CHECKING:
    from decay_audit.sources.remote.web_client import WebClient


def open_url(url: str, *, use_cache: bool = False) -> RemotePath:
    """Make the path of a URL. Nothing is read yet.

    Args:
        use_cache: whether what is read is kept in the user's cache folder, and read from there the next time.

    Raises:
        TargetError: the URL is malformed, or no backend is installed for its protocol.
    """
    store, path = _store_of(full_url(url))
    if use_cache:
        from decay_audit.sources.remote.header_cache import with_cache

        store = with_cache(store)
    return RemotePath.of(path, KnownFiles(store))


def _store_of(url: str) -> tuple[Store, PurePosixPath]:
    protocol = split(url).scheme
    if protocol == "hf":
        return _hub(url)
    if protocol in ("http", "https"):
        from decay_audit.sources.remote.hub_store import from_web_page

        page = from_web_page(url)
        return _hub(page) if page else _web(url)
    from decay_audit.sources.remote.fsspec_store import FsspecStore

    store = FsspecStore(url)
    return store, store.root


def _hub(url: str) -> tuple[Store, PurePosixPath]:
    from decay_audit.sources.remote.hub_store import HubStore, parse_hub_url

    repository = parse_hub_url(url)
    revision = quote(repository.revision, safe="")
    root = PurePosixPath("/", repository.kind, f"{repository.name}@{revision}")
    store = HubStore(repository, root)
    atexit.register(store.close)
    return store, root / repository.path


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
