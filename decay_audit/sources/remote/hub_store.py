"""Files of a repository on the Hugging Face Hub, by its documented endpoints: a list of a folder, and `resolve`.

`HF_ENDPOINT` names another hub; `HF_TOKEN`, or the file that `hf auth login` wrote, gives the token. Only the hub
itself gets the token, and not the host that it redirects to.
"""

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import Final
from urllib.parse import quote, urlsplit

import msgspec
from msgspec import Struct

from decay_audit import files
from decay_audit.errors import TargetError
from decay_audit.sources.remote.store import ByteLimit, FolderListing, RemoteFile, cache_key
from decay_audit.sources.remote.urls import public_name
from decay_audit.sources.remote.web_answer import NoSuchFileError
from decay_audit.sources.remote.web_client import WebClient

_PUBLIC_HUB: Final = "https://huggingface.co"
_KINDS: Final = ("datasets", "spaces")
"""The kinds whose word stands before the repository in a URL; the URL of a model has no such word."""
_WEB_PATH_WORDS: Final = ("tree", "blob", "resolve")
"""What stands between a repository and a revision in the URL of a web page."""
_MAX_LIST_PAGES: Final = 25
"""The most pages of a list that are read; a page has up to 1,000 files."""


class HubRepository(Struct, frozen=True, kw_only=True):
    """A repository at a revision.

    Attributes:
        kind: `models`, `datasets` or `spaces`.
        name: `org/name`.
        revision: a branch, a tag or a commit.
        path: the file or folder in it; "" for the whole repository.
    """

    kind: str
    name: str
    revision: str
    path: str = ""


def endpoint() -> str:
    """The URL of the hub."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or _PUBLIC_HUB


def parse_hub_url(url: str) -> HubRepository:
    """Read `hf://[datasets/]org/name[@revision][/path]`.

    Raises:
        TargetError: it names no repository.
    """
    parts = [part for part in url.partition("://")[2].split("/") if part]
    kind = parts.pop(0) if parts and parts[0] in _KINDS else "models"
    name, rest = parts[:2], parts[2:]
    last, at_sign, revision = name[-1].partition("@") if name else ("", "", "")
    if at_sign and revision == "refs" and len(rest) >= 2:  # the slashes of refs/pr/1
        revision, rest = "/".join((revision, *rest[:2])), rest[2:]
    if not last or (at_sign and not revision) or ".." in parts or any("@" in part for part in name[:-1]):
        raise TargetError(
            f"{url} names no repository", "write hf://ORG/MODEL, hf://ORG/MODEL@REVISION or hf://ORG/MODEL/FILE"
        )
    return HubRepository(
        kind=kind,
        name="/".join((*name[:-1], last)),
        revision=revision.replace("%2F", "/") or "main",
        path="/".join(rest),
    )


def from_web_page(url: str) -> str | None:
    """Turn the URL of a page of the hub into hf://; None for any other URL.

    >>> from_web_page("https://huggingface.co/org/model/blob/main/x.safetensors")
    'hf://org/model@main/x.safetensors'
    >>> from_web_page("https://huggingface.co/org/model/tree/v1"), from_web_page("https://host/org/model")
    ('hf://org/model@v1', None)
    """
    page = urlsplit(url)
    if page.scheme != "https" or page.hostname not in ("huggingface.co", "hf.co", urlsplit(endpoint()).hostname):
        return None
    parts = [part for part in page.path.split("/") if part]
    start = 3 if parts[:1] and parts[0] in _KINDS else 2
    repository, rest = "/".join(parts[:start]), parts[start:]
    if len(parts) < start or (rest and (rest[0] not in _WEB_PATH_WORDS or len(rest) < 2)):
        return None
    revision = f"@{rest[1]}" if rest else ""
    return "/".join((f"hf://{repository}{revision}", *rest[2:]))


class _Lfs(Struct, frozen=True):
    oid: str = ""


class _HubFile(Struct, frozen=True):
    """An entry of a list of files, as the hub sends it."""

    type: str
    path: str
    size: int = 0
    oid: str = ""
    lfs: _Lfs | None = None


class HubStore:
    """Reads the files of a repository."""

    def __init__(self, repository: HubRepository, root: PurePosixPath) -> None:
        self._repository = repository
        self._root = root
        self._limit = ByteLimit()
        self._lock = Lock()
        self._listings: dict[PurePosixPath, FolderListing | None] = {}
        page = f"{endpoint()}/{'' if repository.kind == 'models' else f'{repository.kind}/'}{repository.name}"
        how = f"set HF_TOKEN to a token that may read it, or accept its terms on {public_name(page)}"
        self._url = page
        self._client = WebClient(_tokens(), hints={401: f"check the name; if it is private, {how}", 403: how})

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def find(self, path: PurePosixPath) -> RemoteFile | None:
        """Find a file in the list of its folder."""
        return None if path == self._root else (self.list(path.parent) or {}).get(path.name)

    def read(self, path: PurePosixPath, file: RemoteFile, offset: int, count: int) -> bytes:
        """Read a range. The hub redirects to the host of large files."""
        self._limit.add(count, path.name)
        answer = self._client.get(self._file_url(path), offset, offset + count - 1)
        if answer.size != file.size:
            raise TargetError(f"{path.name} has {answer.size} bytes, and the hub lists {file.size}", "try again")
        return answer.body[offset : offset + count] if answer.whole else answer.body

    def list(self, path: PurePosixPath) -> FolderListing | None:
        """List a folder, and keep the list. Its parent, listed first, tells whether it is a file or missing."""
        with self._lock:
            if path not in self._listings:
                self._listings[path] = self._list(path)
            return self._listings[path]

    def public_name(self, path: PurePosixPath) -> str:
        """Write hf:// with the revision."""
        kind = "" if self._repository.kind == "models" else f"{self._repository.kind}/"
        root = f"hf://{kind}{self._repository.name}@{self._repository.revision}"
        return "/".join(filter(None, (root, self._below(path))))

    @property
    def _revision(self) -> str:
        return quote(self._repository.revision, safe="")

    def _below(self, path: PurePosixPath) -> str:
        below = path.relative_to(self._root).as_posix()
        return "" if below == "." else below

    def _list(self, path: PurePosixPath) -> FolderListing | None:
        if path != self._root:
            if path.parent not in self._listings:
                self._listings[path.parent] = self._list(path.parent)
            parent = self._listings[path.parent]
            # a listing has None for a folder
            if parent is None or path.name not in parent or parent[path.name] is not None:
                return None
        kind, name = self._repository.kind, self._repository.name
        url = f"{endpoint()}/api/{kind}/{name}/tree/{self._revision}/{quote(self._below(path))}"
        listing: dict[str, RemoteFile | None] = {}
        for _ in range(_MAX_LIST_PAGES):
            try:
                answer = self._client.get(url)
                entries = msgspec.json.decode(answer.body, type=list[_HubFile])
            except NoSuchFileError:
                self._require_repository(path)
                return None
            except (msgspec.MsgspecError, UnicodeDecodeError):
                raise TargetError(f"{public_name(url)} is not a list of files", "check HF_ENDPOINT") from None
            for entry in entries:
                file_name = PurePosixPath(entry.path).name
                listing[file_name] = self._file(path / file_name, entry) if entry.type == "file" else None
            url = answer.next
            if not url:
                return listing
        raise TargetError(f"{self.public_name(path)} has too many files", "name a folder or a file in it")

    def _file(self, path: PurePosixPath, entry: _HubFile) -> RemoteFile:
        oid = entry.lfs.oid if entry.lfs else entry.oid
        return RemoteFile(size=entry.size, version=oid, cache_key=cache_key(self._file_url(path), oid, entry.size))

    def _file_url(self, path: PurePosixPath) -> str:
        return f"{self._url}/resolve/{self._revision}/{quote(self._below(path))}"

    def _require_repository(self, path: PurePosixPath) -> None:
        """Refuse a repository or a revision that the hub does not know.

        Raises:
            TargetError: it does not know the repository or the revision.
        """
        if path == self._root:
            name, revision = self._repository.name, self._repository.revision
            raise TargetError(f"the hub has no {name} at revision {revision}", "check the name and the revision")


class _Model(Struct, frozen=True):
    """An entry of a list of models, as the hub sends it."""

    id: str


def list_models(organisation: str) -> list[str]:
    """List the models of an organisation or a user, as `org/name`, by name.

    Raises:
        TargetError: the hub cannot be asked, or has too many.
    """
    client = WebClient(_tokens())
    url = f"{endpoint()}/api/models?author={quote(organisation, safe='')}&limit=1000"
    names: list[str] = []
    try:
        for _ in range(_MAX_LIST_PAGES):
            answer = client.get(url)
            names += [model.id for model in msgspec.json.decode(answer.body, type=list[_Model])]
            url = answer.next
            if not url:
                return sorted(name for name in names if name.startswith(f"{organisation}/"))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise TargetError(f"{public_name(url)} is not a list of models", "check HF_ENDPOINT") from None
    finally:
        client.close()
    raise TargetError(f"{organisation} has too many models", f"name a part of them: hf://{organisation}/NAME-*")


def _tokens() -> Mapping[str, str]:
    """The header with the user's token, for the hub alone."""
    token = os.environ.get("HF_TOKEN", "").strip() or _saved_token()
    hub = urlsplit(endpoint())
    return {f"{hub.scheme}://{hub.netloc}": f"Bearer {token}"} if token.isprintable() and token else {}


def _saved_token() -> str:
    if os.environ.get("HF_HUB_DISABLE_IMPLICIT_TOKEN", "").upper() in ("1", "TRUE", "YES", "ON"):
        return ""
    cache = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    home = os.environ.get("HF_HOME") or Path(cache) / "huggingface"
    try:
        return files.read_text(Path(os.environ.get("HF_TOKEN_PATH") or Path(home) / "token").expanduser(), 4096).strip()
    except (OSError, UnicodeDecodeError, RuntimeError):
        return ""
