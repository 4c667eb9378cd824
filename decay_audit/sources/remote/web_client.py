"""GET requests over http and https: one policy of retries, redirects, time limits and refusals for all of them.

    answer = WebClient().get("https://host/x.safetensors", first=0, last=511)
    answer.body, answer.size, answer.version

It is built on the standard library, so that each limit on what a server may send is set here. Environment
variables name a proxy, as everywhere (`https_proxy`, `no_proxy`).
"""

import random
import ssl
import time
from base64 import b64encode
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from ipaddress import ip_address
from socket import gaierror
from threading import Lock
from typing import Final
from urllib.parse import SplitResult, unquote, urljoin
from urllib.request import getproxies, proxy_bypass

from msgspec import Struct

from decay_audit.errors import TargetError
from decay_audit.sources.remote.urls import public_name, split
from decay_audit.sources.remote.web_answer import (
    NoSuchFileError,
    TemporaryError,
    check_status,
    expected_length,
    next_page,
    read_body,
    size_of_range,
)

_MAX_REDIRECTS: Final = 5
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_REACHES: Final = ("this machine", "a private network", "the public internet")
"""From where an address can be reached, narrowest first. A redirect never leads to a narrower one."""


class RetryPolicy(Struct, frozen=True, kw_only=True):
    """How often and how patiently a request is sent.

    Attributes:
        attempts: how often it is sent.
        pause: the seconds before it is sent again; they double each time.
        longest_pause: the most seconds of a pause, also where the server asks for more.
        timeout: the seconds to wait for a connection, and for the next bytes.
        total: the seconds in which an answer must be complete.
    """

    attempts: int = 4
    pause: float = 0.4
    longest_pause: float = 20.0
    timeout: float = 20.0
    total: float = 120.0


DEFAULT_RETRIES: Final = RetryPolicy()


class WebAnswer(Struct, frozen=True, kw_only=True):
    """The answer to a request.

    Attributes:
        url: where it came from, after redirects.
        size: the size of the whole file in bytes.
        version: its ETag, or when it was modified; may be empty.
        whole: whether the body is the whole file, although a range was asked for.
        next: the URL of the next page, where the answer is one page of a list; may be empty.
    """

    url: str
    body: bytes
    size: int
    version: str
    whole: bool = False
    next: str = ""


class WebClient:
    """Sends requests, and keeps connections open between them. Threads may share it.

    Args:
        tokens: the header Authorization for each host that gets one, by `https://host`. No other host gets it.
        hints: what to do where the server answers 401 or 403.
    """

    def __init__(
        self,
        tokens: Mapping[str, str] | None = None,
        hints: Mapping[int, str] | None = None,
        retries: RetryPolicy | None = None,
    ) -> None:
        self._tokens = dict(tokens or {})
        self._hints = dict(hints or {})
        self._retries = retries
        self._idle: dict[tuple[str, str], list[HTTPConnection]] = {}
        self._redirected: dict[str, str] = {}
        """Where the redirects of a URL led to: later requests go there at once."""
        self._lock = Lock()

    def close(self) -> None:
        """Close the connections that are open."""
        with self._lock:
            for connection in (connection for connections in self._idle.values() for connection in connections):
                connection.close()
            self._idle.clear()

    def get(self, url: str, first: int | None = None, last: int | None = None) -> WebAnswer:
        """Get a file, or its bytes from `first` to `last`.

        Raises:
            NoSuchFileError: there is no such file.
            TargetError: the server refuses, cannot be reached, or does not send what it was asked for.
        """
        with self._lock:
            current_url = self._redirected.get(url, url)
        try:
            answer = self._get(current_url, first, last)
        except (TargetError, NoSuchFileError):
            if current_url == url:
                raise
            answer = self._get(url, first, last)  # the URL that the redirect led to may have expired
        if answer.url != url:
            with self._lock:
                self._redirected[url] = answer.url
        return answer

    def _get(self, url: str, first: int | None, last: int | None) -> WebAnswer:
        """Send the request until it is answered, as often as the policy says."""
        policy = self._retries or DEFAULT_RETRIES
        for attempt in range(policy.attempts):
            try:
                return self._follow(url, first, last, time.monotonic() + policy.total)
            except TemporaryError as error:
                if attempt + 1 == policy.attempts:
                    raise TargetError(
                        f"{public_name(url)} cannot be read: {error} (tried {policy.attempts} times)",
                        "check the connection, then try again",
                    ) from None
                pause = max(error.pause, policy.pause * 2**attempt * random.uniform(0.8, 1.2))  # noqa: S311
                time.sleep(min(pause, policy.longest_pause))
        raise AssertionError("a policy has at least one attempt")

    def _follow(self, url: str, first: int | None, last: int | None, deadline: float) -> WebAnswer:
        """Send the request, and follow redirects."""
        current_url, reach = url, ""
        for _ in range(_MAX_REDIRECTS + 1):
            parts = split(current_url)
            connection, new_reach = self._connect(parts)
            if reach and _REACHES.index(new_reach) < _REACHES.index(reach):
                connection.close()
                raise TargetError(
                    f"{public_name(url)} leads to {parts.hostname}, an address of {new_reach}: this is not followed",
                    "if you trust it, name that file itself",
                )
            reach = new_reach
            response = self._send(connection, parts, first, last)
            if response.status not in _REDIRECTS:
                return self._read(response, connection, parts, first, last, deadline)
            location = response.getheader("Location", "")
            response.close()
            connection.close()
            current_url = _join_redirect(url, current_url, location)
        raise TargetError(f"{public_name(url)} leads from one URL to the next without end", "check the URL")

    def _connect(self, parts: SplitResult) -> tuple[HTTPConnection, str]:
        """Open a connection, or take an idle one; and say who can reach the address."""
        with self._lock:
            idle = self._idle.get(_origin(parts), [])
            connection = idle.pop() if idle else None
        proxy = _proxy(parts)
        try:
            if connection is None:
                connection = _new_connection(parts, proxy, (self._retries or DEFAULT_RETRIES).timeout)
                connection.connect()
            return connection, reach(str(parts.hostname) if proxy else connection.sock.getpeername()[0])
        except ssl.SSLCertVerificationError as error:
            raise TargetError(
                f"the certificate of {parts.hostname} is not valid: {error.verify_message}",
                "check the name of the host",
            ) from None
        except gaierror as error:
            raise TargetError(
                f"{parts.hostname} is not known: {error.strerror}", "check the name of the host"
            ) from None
        except (OSError, HTTPException) as error:
            raise TemporaryError(_reason(error)) from None

    def _send(
        self, connection: HTTPConnection, parts: SplitResult, first: int | None, last: int | None
    ) -> HTTPResponse:
        headers = {"User-Agent": "decay-audit", "Accept-Encoding": "identity"}
        if token := self._tokens.get(f"{parts.scheme}://{parts.netloc}"):
            headers["Authorization"] = token
        if parts.username is not None:
            password = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            headers["Authorization"] = f"Basic {b64encode(password.encode()).decode()}"
        if first is not None:
            headers["Range"] = f"bytes={first}-{'' if last is None else last}"
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        through_proxy = parts.scheme == "http" and _proxy(parts)
        try:
            connection.request("GET", f"http://{_host(parts)}{path}" if through_proxy else path, headers=headers)
            return connection.getresponse()
        except (OSError, HTTPException) as error:
            connection.close()
            raise TemporaryError(_reason(error)) from None

    def _read(
        self,
        response: HTTPResponse,
        connection: HTTPConnection,
        parts: SplitResult,
        first: int | None,
        last: int | None,
        deadline: float,
    ) -> WebAnswer:
        """Check an answer, and read its body."""
        url = parts.geturl()
        try:
            check_status(response, url, self._hints)
            size = size_of_range(response, url, first, last) if first is not None else None
            body = read_body(response, url, expected_length(first, last, size), deadline)
        except (OSError, HTTPException) as error:
            connection.close()
            raise TemporaryError(_reason(error)) from None
        except BaseException:
            connection.close()
            raise
        finally:
            response.close()  # only then the connection takes another request
        if response.will_close:
            connection.close()
        else:
            with self._lock:
                self._idle.setdefault(_origin(parts), []).append(connection)
        return WebAnswer(
            url=url,
            body=body,
            size=len(body) if size is None else size,
            version=response.getheader("ETag") or response.getheader("Last-Modified") or "",
            whole=first is not None and size is None,
            next=next_page(response, url),
        )


def _origin(parts: SplitResult) -> tuple[str, str]:
    return parts.scheme, parts.netloc


def _host(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[2]


def _proxy(parts: SplitResult) -> str:
    """The URL of the proxy for a host; "" if there is none."""
    proxy = getproxies().get(parts.scheme, "")
    return "" if not proxy or proxy_bypass(parts.hostname or "") else proxy


def _new_connection(parts: SplitResult, proxy: str, timeout: float) -> HTTPConnection:
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    if not proxy:
        return kind(parts.hostname or "", parts.port, timeout=timeout)
    proxy_parts = split(proxy if "://" in proxy else f"http://{proxy}")
    connection = kind(proxy_parts.hostname or "", proxy_parts.port or 3128, timeout=timeout)
    if parts.scheme == "https":
        password = f"{unquote(proxy_parts.username or '')}:{unquote(proxy_parts.password or '')}"
        headers = (
            {"Proxy-Authorization": f"Basic {b64encode(password.encode()).decode()}"} if proxy_parts.username else {}
        )
        connection.set_tunnel(parts.hostname or "", parts.port, headers=headers)
    return connection


def reach(address: str) -> str:
    """Say who can reach an address."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:  # a name, which the proxy looks up
        return _REACHES[0 if address.lower().rstrip(".").endswith("localhost") else 2]
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    if parsed.is_loopback or parsed.is_unspecified:
        return _REACHES[0]
    return _REACHES[2 if parsed.is_global else 1]


def _join_redirect(first_url: str, current_url: str, location: str) -> str:
    """Return the URL that a redirect leads to.

    Raises:
        TargetError: it leads out of the web, or from https to http.
    """
    next_url = urljoin(current_url, location)
    protocol = next_url.partition("://")[0].lower()
    if not location or protocol not in ("http", "https") or (current_url.startswith("https") and protocol == "http"):
        raise TargetError(
            f"{public_name(first_url)} leads to a {protocol if location else 'missing'} URL: this is not followed",
            "check the URL",
        )
    return next_url


def _reason(error: Exception) -> str:
    """Say in a few words why a connection failed."""
    if isinstance(error, TimeoutError):
        return "the server did not answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "the server refused the connection"
    if isinstance(error, HTTPException | ConnectionError | ssl.SSLError):
        return "the server closed the connection before its answer was complete"
    return str(getattr(error, "strerror", None) or error).lower()
