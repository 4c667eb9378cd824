"""What the pages share: the Jinja2 environment with autoescape, the files of templates, JSON inside a page."""

import base64
import gzip
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment

_FOLDER = Path(__file__).parent
_LONGEST_PLAIN_DATA = 2**20
"""More data than this is compressed; browsers decompress it."""


def environment() -> "Environment":
    """Make the environment of the templates; it escapes every value."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("decay_audit.reports.formats.html"),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def embed(data: str) -> tuple[str, str]:
    """Return the media type and the content of a script element that holds JSON; the content has no `<`."""
    if len(data) <= _LONGEST_PLAIN_DATA:
        return "application/json", data.replace("<", "\\u003c")
    packed = gzip.compress(data.encode(), compresslevel=6, mtime=0)
    return "application/gzip;base64", base64.b64encode(packed).decode("ascii")


def text(name: str) -> str:
    """Read a file of this folder."""
    return (_FOLDER / name).read_text(encoding="utf-8")
