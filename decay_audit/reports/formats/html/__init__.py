"""A report as one self-contained page of HTML: findings, a map of the modules, a table that folds, the emitted code.

    context     Report -> the values that the template writes
    comparison  a comparison of models or rulesets -> a page of its own
    environment what the pages share: templates, JSON inside a page
    cell        Report -> the output of a cell of a notebook
    templates/  page.html.jinja and comparison.html.jinja (the pages), page.css, page.js (map, table, filters, drawer)
    vendor/     the libraries in the page, as published; vendored.json has their versions, licences and hashes

The page needs no network. It contains the JSON reports, so it is enough to keep the page. Names of a model enter it as
escaped text or as JSON, never as markup.
"""

import json
import re
from collections.abc import Sequence

from decay_audit.reports.formats.html.context import context_of, extras_of
from decay_audit.reports.formats.html.environment import embed, environment, text
from decay_audit.reports.options import Options
from decay_audit.reports.report import Report
from decay_audit.text import escape_control

_SOURCE_MAP = re.compile(r"\n?(//# sourceMappingURL=\S+|/\*# sourceMappingURL=\S+ \*/)\s*$")


def render(
    reports: Sequence[Report],
    documents: Sequence[str],
    options: Sequence[Options],
    broken: Sequence[tuple[str, str]] = (),
) -> str:
    """Write reports as one page.

    Args:
        documents: the JSON of each report.
        options: how each report is rendered; their `page` has what only a page shows.
        broken: the audits that could not be run: the target of each, and the message.
    """
    pairs = list(zip(reports, options, strict=True))
    contexts = [context_of(report, option) for report, option in pairs]
    report_type, report_data = embed("[" + ",\n".join(document.rstrip("\n") for document in documents) + "]")
    extras_type, extras_data = embed(json.dumps([extras_of(option.page) for option in options]))
    page: str = (
        environment()
        .get_template("page.html.jinja")
        .render(
            title=", ".join(dict.fromkeys([*(context.target for context in contexts), *(name for name, _ in broken)])),
            reports=contexts,
            broken=[(escape_control(target), escape_control(message)) for target, message in broken],
            css=text("templates/page.css"),
            vendored_css=_vendored("tabulator.min.css"),
            libraries=[_vendored(name) for name in ("d3-hierarchy.min.js", "tabulator.min.js")],
            script=text("templates/page.js"),
            report_type=report_type,
            report_data=report_data,
            extras_type=extras_type,
            extras_data=extras_data,
        )
    )
    return page + "\n"


def _vendored(name: str) -> str:
    """Read a library as published, without the address of a source map that is not there."""
    return _SOURCE_MAP.sub("", text(f"vendor/{name}"))
