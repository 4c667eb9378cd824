"""Files behind any other protocol that fsspec opens: s3://, gs://, az://, ... with the credentials of its backend."""

import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any, Final, TypeVar

from decay_audit.errors import TargetError
from decay_audit.sources.remote.store import ByteLimit, FolderListing, RemoteFile, cache_key
from decay_audit.sources.remote.urls import public_name
from decay_audit.sources.remote.web_client import DEFAULT_RETRIES

_EXTRAS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("s3", "s3a"), "s3"),
    **dict.fromkeys(("gs", "gcs"), "gs"),
    **dict.fromkeys(("az", "abfs", "abfss", "adl"), "az"),
}
"""The extra of decay-audit that installs the backend of a protocol."""
_NOT_READ: Final = frozenset(
    {
        *("file", "local", "dir", "data", "reference", "zip", "tar", "libarchive", "asynclocal", "asyncwrapper"),
        *("simplecache", "filecache", "blockcache", "cached", "http", "https"),
    }
)
"""Protocols of fsspec that lead to this machine or to another file system."""
_VERSIONS: Final = ("ETag", "etag", "generation", "md5Hash", "content_md5", "version_id", "LastModified", "mtime")
"""Entries of a listing that change when a file changes, the best first."""
_ETAGS: Final = ("ETag", "etag", "generation", "md5Hash", "content_md5")
"""Those of them that differ for any two contents; two contents may have the same time."""

Result = TypeVar("Result")


class FsspecStore:
    """Reads the files below a URL through a file system of fsspec.

    Raises:
        TargetError: fsspec does not know the protocol, or its backend is not installed.
    """

    def __init__(self, url: str) -> None:
        self._protocol = url.partition("://")[0].lower()
        self._limit = ByteLimit()
        name = public_name(url)
        if self._protocol in _NOT_READ:
            raise TargetError(f"{name} is not a remote file", "name the file by its path")
        try:
            from fsspec.core import url_to_fs

            self._files, path = url_to_fs(url)
        except ImportError as error:
            extra = _EXTRAS.get(self._protocol)
            hint = f"pip install 'decay-audit[{extra}]'" if extra else str(error)
            raise TargetError(f"{name} needs the backend of fsspec for {self._protocol}://", hint) from None
        except (OSError, ValueError, TypeError) as error:
            raise TargetError(f"{name} cannot be opened: {_first_line(error)}", "check the URL") from None
        self._begin = "/" if str(path).startswith("/") else ""
        self.root = PurePosixPath("/", str(path).strip("/"))
        self._server = " ".join(
            public_name(str(name))
            for name in (
                *(getattr(self._files, name, None) for name in ("endpoint_url", "account_name", "host")),
                *(os.environ.get(name) for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")),
            )
            if name
        )

    def find(self, path: PurePosixPath) -> RemoteFile | None:
        """Ask the backend for the size and the version of a file; None if there is no such file."""
        entry = self._call(path, lambda: self._files.info(self._backend_path(path)))
        return None if entry is None else self._file(path, entry)

    def read(self, path: PurePosixPath, file: RemoteFile, offset: int, count: int) -> bytes:  # noqa: ARG002
        """Read `count` bytes from `at` on."""
        self._limit.add(count, path.name)
        content = self._call(
            path, lambda: self._files.cat_file(self._backend_path(path), start=offset, end=offset + count)
        )
        if content is None:
            raise TargetError(f"{path.name} disappeared while it was read", "try again")
        return bytes(content)

    def list(self, path: PurePosixPath) -> FolderListing | None:
        """List a folder; None if there is no such folder, or it is a file."""
        folder_path = self._backend_path(path)
        entries = self._call(path, lambda: self._files.ls(folder_path, detail=True))
        names = [(PurePosixPath(str(entry["name"])), entry) for entry in entries or ()]
        folder = PurePosixPath(folder_path)
        if not names or any(
            name == folder and entry.get("type") == "file" and entry.get("size") for name, entry in names
        ):
            return None  # nothing, or the file itself
        return {name.name: self._file(path / name.name, entry) for name, entry in names if name != folder}

    def public_name(self, path: PurePosixPath) -> str:
        """Return the URL of a path. It never has credentials: the backend reads them elsewhere."""
        return f"{self._protocol}://{self._backend_path(path)}"

    def _file(self, path: PurePosixPath, entry: Mapping[str, Any]) -> RemoteFile | None:
        if entry.get("type") != "file":
            return None
        size = int(entry.get("size") or 0)
        key = cache_key(self.public_name(path), _first_value(entry, _ETAGS), size, self._server)
        return RemoteFile(size=size, version=_first_value(entry, _VERSIONS), cache_key=key)

    def _backend_path(self, path: PurePosixPath) -> str:
        return f"{self._begin}{path.as_posix().lstrip('/')}"

    def _call(self, path: PurePosixPath, function: Callable[[], Result]) -> Result | None:
        """Call a function of the file system; None if there is no such file.

        Raises:
            TargetError: the file may not be read, or the file system fails several times.
        """
        name = self.public_name(path)
        for attempt in range(DEFAULT_RETRIES.attempts):
            try:
                return function()
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return None
            except PermissionError as error:
                raise TargetError(f"{name} may not be read: {_first_line(error)}", self._credentials_hint()) from None
            except (OSError, TimeoutError) as error:
                if attempt + 1 == DEFAULT_RETRIES.attempts:
                    message = f"{name} cannot be read: {_first_line(error)} (tried {attempt + 1} times)"
                    raise TargetError(message, "check the connection, then try again") from None
                time.sleep(DEFAULT_RETRIES.pause * 2**attempt)
            except Exception as error:  # noqa: BLE001 - each backend has errors of its own
                raise TargetError(f"{name} cannot be read: {_first_line(error)}", self._credentials_hint()) from None
        raise AssertionError("a policy has at least one attempt")

    def _credentials_hint(self) -> str:
        if _EXTRAS.get(self._protocol) == "s3":
            return "set the credentials of AWS; for a public bucket, set FSSPEC_S3_ANON=true"
        return f"set the credentials that fsspec's backend for {self._protocol}:// reads"


def _first_value(entry: Mapping[str, Any], keys: Iterable[str]) -> str:
    return next((str(entry[key]) for key in keys if entry.get(key)), "")


def _first_line(error: Exception) -> str:
    """The first line of a backend's message, without what may be a secret: its URLs."""
    words = (str(error).splitlines() or [type(error).__name__])[0][:200].split()
    return " ".join(public_name(word) if "://" in word else word for word in words)
