"""Tell which texts are URLs, and write a URL without its credentials."""

import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

from decay_audit.errors import TargetError

_PROTOCOL = re.compile(r"[A-Za-z][A-Za-z0-9+.:-]+://")
"""The beginning of a URL. One letter before the colon is a drive of Windows."""
_WITHOUT_HOST: Final = frozenset({"hf"})
"""Protocols whose URLs name no host: an `@` in them begins a revision."""
_ACCOUNT_IS_NAME: Final = frozenset({"abfs", "abfss", "az", "adl"})
"""Protocols whose URLs have the name of a container before the `@`."""


def is_url(text: str) -> bool:
    """Whether a text begins as a URL does.

    >>> is_url("s3://bucket/model.safetensors"), is_url("train.py:make('s3://x')"), is_url("C://x.pt")
    (True, False, False)
    """
    return _PROTOCOL.match(text) is not None


def public_name(url: str) -> str:
    """Write a URL without user, password, query and fragment: what messages and reports may show.

    >>> public_name("https://me:secret@host/a/model.pt?token=secret")
    'https://host/a/model.pt'
    >>> public_name("hf://org/model@v1.0")
    'hf://org/model@v1.0'
    """
    protocol, _, rest = url.partition("://")
    rest, *_ = re.split(r"[?#]", rest, maxsplit=1)
    host, slash, path = rest.partition("/")
    if protocol in _ACCOUNT_IS_NAME:
        user, at_sign, name = host.rpartition("@")
        host = f"{user.partition(':')[0]}{at_sign}{name}"
    elif protocol not in _WITHOUT_HOST:
        host = host.rpartition("@")[2]
    return f"{protocol}://{host}{slash}{path}"


_full_urls: dict[str, str] = {}
"""The URLs with their credentials, by what may be shown of them."""


def hide_credentials(text: str) -> str:
    """Keep a URL for `full_url`, and return what may be shown of it; return any other text as it is.

    Two URLs that differ in what is not shown get different names.
    """
    if not is_url(text) or text in _full_urls:
        return text
    name = public_url = public_name(text)
    number = 1
    while _full_urls.get(public_url, text) != text:
        number += 1
        public_url = f"{name}#{number}"
    if public_url != text:
        _full_urls[public_url] = text
    return public_url


def full_url(public_url: str) -> str:
    """Return the URL that `hide_credentials` was given."""
    return _full_urls.get(public_url, public_url)


def split(url: str) -> SplitResult:
    """Split a URL into its parts.

    Raises:
        TargetError: it is malformed, or is a chain of protocols.
    """
    if "::" in url.partition("://")[0]:
        raise TargetError(f"{public_name(url)} is a chain of protocols", "name the file by the last of its URLs alone")
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises ValueError for a port that is not a number
    except ValueError as error:
        raise TargetError(f"{public_name(url)} is not a URL: {error}", "write https://HOST/FILE") from None
    return parts
