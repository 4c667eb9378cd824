"""A report as one self-contained page of HTML: findings, a map of the modules, a table that folds, the emitted code.

    context     Report -> the values that the template writes
    cell        Report -> the output of a cell of a notebook
    templates/  page.html.jinja (the page), page.css, page.js (map, table, filters, drawer)
    vendor/     the libraries in the page, as published; vendored.json has their versions, licences and hashes

The page needs no network. It contains the JSON reports, so it is enough to keep the page. Names of a model enter it as
escaped text or as JSON, never as markup.
"""

import base64
import gzip
import json
import re
from collections.abc import Sequence
from pathlib import Path

from decay_audit.reports.formats.html.context import context_of, extras_of
from decay_audit.reports.options import Options
from decay_audit.reports.report import Report

_FOLDER = Path(__file__).parent
_LONGEST_PLAIN_DATA = 2**20
"""More data than this is compressed; browsers decompress it."""

_SOURCE_MAP = re.compile(r"\n?(//# sourceMappingURL=\S+|/\*# sourceMappingURL=\S+ \*/)\s*$")


def render(reports: Sequence[Report], documents: Sequence[str], options: Sequence[Options]) -> str:
    """Write reports as one page.

    Args:
        documents: the JSON of each report.
        options: how each report is rendered; their `page` has what only a page shows.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("decay_audit.reports.formats.html"),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pairs = list(zip(reports, options, strict=True))
    contexts = [context_of(report, option) for report, option in pairs]
    report_type, report_data = _embed("[" + ",\n".join(document.rstrip("\n") for document in documents) + "]")
    extras_type, extras_data = _embed(json.dumps([extras_of(option.page) for option in options]))
    page: str = environment.get_template("page.html.jinja").render(
        title=", ".join(dict.fromkeys(context.target for context in contexts)),
        reports=contexts,
        css=_text("templates/page.css"),
        vendored_css=_vendored("tabulator.min.css"),
        libraries=[_vendored(name) for name in ("d3-hierarchy.min.js", "tabulator.min.js")],
        script=_text("templates/page.js"),
        report_type=report_type,
        report_data=report_data,
        extras_type=extras_type,
        extras_data=extras_data,
    )
    return page + "\n"


def _embed(data: str) -> tuple[str, str]:
    """Return the media type and the content of a script element that holds JSON; the content has no `<`."""
    if len(data) <= _LONGEST_PLAIN_DATA:
        return "application/json", data.replace("<", "\\u003c")
    packed = gzip.compress(data.encode(), compresslevel=6, mtime=0)
    return "application/gzip;base64", base64.b64encode(packed).decode("ascii")


def _text(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _vendored(name: str) -> str:
    """Read a library as published, without the address of a source map that is not there."""
    return _SOURCE_MAP.sub("", _text(f"vendor/{name}"))
