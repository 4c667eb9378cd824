"""A web server on this machine that serves a folder, and misbehaves as a URL asks it to.

`/ranges/x.pt` answers range requests as RFC 9110 says; the first part of another path names what goes wrong.
"""

import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MISSING = "404.safetensors"


class WebServer(ThreadingHTTPServer):
    """The server, with a list of the requests that it got: path, range and bytes of the body that were sent."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, folder: Path, host: str, handler: "type[Handler]") -> None:
        super().__init__((host, 0), handler)
        self.folder = folder
        self.requests: list[tuple[str, str, int]] = []
        self.headers: list[dict[str, str]] = []
        self.away = ""
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()

    def url(self, path: str, user: str = "") -> str:
        host, port = self.server_address[:2]
        return f"http://{user}{host!s}:{port}/{path}"

    @property
    def sent(self) -> int:
        return sum(count for _, _, count in self.requests)

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that went away."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: WebServer

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        server = self.server
        with server.lock:
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
            server.headers.append(dict(self.headers))
        try:
            behaviour, _, name = self.path.partition("?")[0].lstrip("/").partition("/")
            getattr(self, behaviour)(name)
        finally:
            with server.lock:
                server.at_once -= 1

    def body(self, name: str) -> bytes | None:
        path = self.server.folder / name
        if path.is_file():
            return path.read_bytes()
        self.answer(404, b"no such file")
        return None

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.server.requests.append((self.path, self.headers.get("Range", ""), len(body)))
        self.send_response(status)
        for header, value in {"Content_Length": str(len(body)), **headers}.items():
            self.send_header(header.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def part(self, name: str) -> tuple[bytes, str, str] | None:
        """The bytes of the range, its Content-Range, and the ETag."""
        content = self.body(name)
        if content is None:
            return None
        span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        assert span, "every request asks for a range"
        first, last = int(span[1]), min(int(span[2] or 10**18), len(content) - 1)
        return content[first : last + 1], f"bytes {first}-{last}/{len(content)}", f'"{md5(content).hexdigest()}"'

    def is_first(self) -> bool:
        request = (self.path, self.headers["Range"])
        return request not in [(path, span) for path, span, _ in self.server.requests]

    def ranges(self, name: str) -> None:
        if (part := self.part(name)) is not None:
            self.answer(206, part[0], Content_Range=part[1], ETag=part[2])

    def slow(self, name: str) -> None:
        time.sleep(0.15)
        self.ranges(name)

    def busy(self, name: str) -> None:
        """The first answer to each request is 503."""
        if self.is_first():
            return self.answer(503, b"busy", Retry_After="0")
        return self.ranges(name)

    def dropped(self, name: str) -> None:
        """The first answer to each request ends in the middle."""
        part = self.part(name)
        assert part is not None
        if self.is_first():
            self.answer(206, part[0][: len(part[0]) // 2], Content_Length=str(len(part[0])), Content_Range=part[1])
            self.close_connection = True
        else:
            self.answer(206, part[0], Content_Range=part[1])

    def always_dropped(self, name: str) -> None:
        self.server.requests.append((name, "", 0))
        self.close_connection = True

    def silent(self, name: str) -> None:
        self.server.requests.append((name, "", 0))
        time.sleep(3)
        self.close_connection = True

    def whole(self, name: str) -> None:
        """Ignore the range."""
        if (content := self.body(name)) is not None:
            self.answer(200, content)

    def endless(self, name: str) -> None:
        """Ignore the range, and send zeros for ever, without a length."""
        self.send_response(200)
        self.end_headers()
        self.close_connection = True
        while True:
            self.wfile.write(bytes(1 << 16))
            self.server.requests.append((name, "", 1 << 16))

    def other_range(self, name: str) -> None:
        part = self.part(name)
        assert part is not None
        self.answer(206, part[0], Content_Range=part[1].replace("bytes ", "bytes 1"))

    def too_long(self, name: str) -> None:
        part = self.part(name)
        assert part is not None
        self.answer(206, part[0] + bytes(1 << 20), Content_Range=part[1])

    def huge(self, name: str) -> None:
        """Claim that the file has a terabyte, and send it as far as it goes."""
        part = self.part(name)
        assert part is not None
        self.answer(206, part[0], Content_Range=re.sub(r"/\d+", f"/{10**12}", part[1]))

    def changing(self, name: str) -> None:
        part = self.part(name)
        assert part is not None
        self.answer(206, part[0], Content_Range=part[1], ETag=f'"{os.urandom(4).hex()}"')

    def locked(self, name: str) -> None:
        if self.headers.get("Authorization"):
            return self.ranges(name)
        return self.answer(401, b"who are you")

    def forbidden(self, name: str) -> None:
        self.answer(403, b"no")

    def moved(self, name: str) -> None:
        self.answer(302, b"", Location=f"/ranges/{name}")

    def away(self, name: str) -> None:
        self.answer(302, b"", Location=self.server.away)

    def to_file(self, name: str) -> None:
        self.answer(302, b"", Location=f"file://{self.server.folder / name}")

    def round(self, name: str) -> None:
        self.answer(302, b"", Location=f"/round/{name}")

    def zipped(self, name: str) -> None:
        part = self.part(name)
        assert part is not None
        self.answer(206, part[0], Content_Range=part[1], Content_Encoding="gzip")


@contextmanager
def serve(
    folder: Path, host: str = ".".join(("127", "0", "0", "1")), handler: type[Handler] = Handler
) -> Iterator[WebServer]:
    server = WebServer(folder, host, handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
