"""Render a Report in one of the formats: text, a tree, JSON, Markdown, CSV, HTML, SARIF, GitHub annotations, ...

- report: the Report, all results of one audit; options: how it is rendered; parameter_filter: which rows are shown
- columns: the cells of a table of parameters; folding: rows that differ only in a number or a word become one
- totals: counts, and numbers as people read them; module_tree: parameters become a tree of modules, equal blocks folded
- findings: the verdict and the notes, how findings name parameters, and the file and line of each
- document: the values of the JSON report, which CSV shares
- comparisons: the functions for the commands that compare rulesets or models
- formats/: one module for each format that a machine or a page reads
- terminal/: text and tree, and the reports of the other commands

Formats import the modules above them in this list, and never each other. The functions here import a format only when
it is needed. This package reads no model, makes no decisions and prints nothing.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, assert_never

from decay_audit.errors import DecayAuditError
from decay_audit.model.choices import SEVERITIES, Format
from decay_audit.reports.comparisons import (
    render_comparison,
    render_conformance,
    render_matches,
    render_model_comparison,
    render_rulesets,
)
from decay_audit.reports.options import DEFAULT_OPTIONS, Options
from decay_audit.text import escape_control

if TYPE_CHECKING:
    from decay_audit.reports.report import Report
    from decay_audit.rulesets.explanation import Explanation

__all__ = [
    "Format",
    "Options",
    "filter_parameters",
    "highlight",
    "join",
    "notes",
    "render",
    "render_cell",
    "render_code",
    "render_comparison",
    "render_conformance",
    "render_error",
    "render_explanation",
    "render_findings",
    "render_matches",
    "render_model_comparison",
    "render_page",
    "render_pieces",
    "render_rulesets",
    "rows",
    "scalars",
    "schema",
    "to_dict",
    "verdict",
]


def render(report: "Report", format: Format | str = Format.TEXT, options: Options = DEFAULT_OPTIONS) -> str:  # noqa: A002
    """Render a report in a format.

    Raises:
        ValueError: the format is none of `Format`.
    """
    match Format(format):
        case Format.TEXT:
            return _render_text(report, options)
        case Format.TABLE:
            from decay_audit.reports.terminal import text

            return text.render(report, options)
        case Format.TREE:
            from decay_audit.reports.terminal import tree

            return tree.render(report, options)
        case Format.MARKDOWN:
            from decay_audit.reports.formats import markdown

            return markdown.render(report, options)
        case Format.HTML:
            return render_page([report], [options])
        case machine_format:
            return _render_for_machines(report, machine_format, options)


def render_pieces(
    report: "Report",
    format: Format | str,  # noqa: A002
    options: Options = DEFAULT_OPTIONS,
) -> "Iterable[str]":
    """Render a report in a format, as texts that follow each other. JSON is made piece by piece.

    Raises:
        ValueError: the format is none of `Format`.
    """
    if Format(format) is Format.JSON:
        from decay_audit.reports.formats import as_json

        return as_json.pieces(report)
    return (render(report, format, options),)


def _render_text(report: "Report", options: Options) -> str:
    """Render the table; or the tree, where the table is longer than the terminal and the tree is shorter."""
    from decay_audit.reports.terminal import text

    table = text.render(report, options)
    if options.height is None or options.full or table.count("\n") < options.height:
        return table
    from decay_audit.reports.terminal import tree

    lines, tree_text = table.count("\n"), tree.render(report, options)
    if tree_text.count("\n") >= lines:
        return table
    return f"{tree_text}\nshown as a tree, because the table has {lines:,} lines: --format table shows the table\n"


def _render_for_machines(
    report: "Report",
    format: Literal[Format.JSON, Format.CSV, Format.SARIF, Format.GITHUB, Format.JUNIT, Format.GITLAB],  # noqa: A002
    options: Options,
) -> str:
    match format:
        case Format.JSON:
            from decay_audit.reports.formats import as_json

            return as_json.render(report)
        case Format.CSV:
            from decay_audit.reports.formats import as_csv

            return as_csv.render(report)
        case Format.SARIF:
            from decay_audit.reports.formats import sarif

            return sarif.render(report, options)
        case Format.GITHUB:
            from decay_audit.reports.formats import github

            return github.render(report, options)
        case Format.JUNIT:
            from decay_audit.reports.formats import junit

            return junit.render(report)
        case Format.GITLAB:
            from decay_audit.reports.formats import gitlab

            return gitlab.render(report, options)
        case _ as never:
            assert_never(never)


def render_page(reports: "Sequence[Report]", options: Sequence[Options], broken: Sequence[tuple[str, str]] = ()) -> str:
    """Render reports as one page of HTML, which carries their JSON, too.

    Args:
        broken: the audits that could not be run: the target of each, and the message.
    """
    from decay_audit.reports.formats import as_json, html

    return html.render(reports, [as_json.render(report) for report in reports], options, broken)


def render_cell(report: "Report") -> str:
    """Render a report as HTML for the output of a cell of a notebook."""
    from decay_audit.reports.formats.html import cell

    return cell.render(report)


def to_dict(report: "Report") -> dict[str, Any]:
    """Make the JSON document of a report, as a dict."""
    document: dict[str, Any] = json.loads(render(report, Format.JSON))
    return document


def rows(report: "Report") -> list[dict[str, Any]]:
    """Make a flat row for each parameter, with the columns of CSV."""
    from decay_audit.reports.formats import as_csv

    return as_csv.rows(report)


def scalars(report: "Report") -> dict[str, float]:
    """Make numbers to log: the shares of parameters and elements that decay, and the findings of each severity."""
    from decay_audit.reports import totals

    counts = Counter(finding.severity for finding in report.findings)
    shares = totals.decayed_shares(report.plan)
    return shares | {f"findings/{severity}": float(counts[severity]) for severity in SEVERITIES}


def render_findings(report: "Report", format: Format | str = Format.TEXT, options: Options = DEFAULT_OPTIONS) -> str:  # noqa: A002
    """Render the findings alone as text; in every other format, render the whole report."""
    if Format(format) is not Format.TEXT:
        return render(report, format, options)
    from decay_audit.reports.terminal import text

    return text.render_findings(report, options)


def render_error(target: str, error: DecayAuditError, format: Format | str) -> str:  # noqa: A002
    """Render what takes the place of a report that could not be made; "" if the format has no place for it."""
    from decay_audit.reports.formats import as_json, github, gitlab, junit, markdown, sarif

    if Format(format) is Format.JSON:
        return as_json.render_error(target, error)
    renderers: dict[Format, Callable[[str, str], str]] = {
        Format.MARKDOWN: markdown.render_error,
        Format.SARIF: sarif.render_error,
        Format.GITHUB: github.render_error,
        Format.JUNIT: junit.render_error,
        Format.GITLAB: gitlab.render_error,
    }
    text = f"{error.message}\nhint: {error.hint}" if error.hint else error.message
    message = "\n".join(map(escape_control, text.split("\n")))
    return renderers[Format(format)](target, message) if Format(format) in renderers else ""


def verdict(report: "Report") -> str:
    """Sum up the findings in one line: `1 error, 2 warnings in 95 parameters`."""
    from decay_audit.reports.findings import summary

    return summary.verdict(report)


def notes(report: "Report") -> tuple[str, ...]:
    """List the notes on how the target and the optimizers were read, each once."""
    from decay_audit.reports.findings import summary

    return summary.notes(report)


def join(texts: Sequence[str], format: Format | str) -> str:  # noqa: A002, PLR0911
    """Join the rendered reports of several audits into one document of their format.

    JSON reports become a list, even if there is only one; SARIF becomes one log with a run for each report; CSV becomes
    one table.
    """
    match Format(format):
        case Format.JSON:
            return "[" + ",\n".join(text.rstrip("\n") for text in texts) + "]\n"
        case Format.SARIF:
            from decay_audit.reports.formats import sarif

            return sarif.join(texts)
        case Format.JUNIT:
            from decay_audit.reports.formats import junit

            return junit.join(texts)
        case Format.GITLAB:
            return json.dumps([issue for text in texts for issue in json.loads(text)], indent=2) + "\n"
        case Format.CSV:
            return "".join((*texts[:1], *(text.partition("\n")[2] for text in texts[1:])))
        case Format.GITHUB:
            return "".join(texts)
        case _:
            return "\n".join(filter(None, texts))


def filter_parameters(
    report: "Report", *, globs: Sequence[str] = (), roles: Sequence[str] = (), grep: str | None = None
) -> "Report":
    """Keep the parameters of these roles whose name matches any of the globs and the regular expression.

    Raises:
        DecayAuditError: there is no such role, the regular expression is invalid, or no parameter is left.
    """
    from decay_audit.reports import parameter_filter

    return parameter_filter.filter_parameters(report, globs=globs, roles=roles, grep=grep)


def render_explanation(explanation: "Explanation", options: Options = DEFAULT_OPTIONS) -> str:
    """Render the explanation of one parameter."""
    from decay_audit.reports.terminal.explanation import render

    return render(explanation, options)


def render_code(code: str, options: Options = DEFAULT_OPTIONS) -> str:
    """Render what a code means, or list the codes that begin with it.

    Raises:
        DecayAuditError: there is no such code.
    """
    from decay_audit.reports.terminal import explanation

    return explanation.render_code(code, options)


def highlight(text: str, language: Literal["python", "yaml", "diff"], options: Options = DEFAULT_OPTIONS) -> str:
    """Colour code for a terminal, where the options ask for colour."""
    from decay_audit.reports.terminal import layout

    return layout.highlight(text, language, color=options.color)


def schema() -> dict[str, Any]:
    """Make the JSON Schema of the JSON report. report.schema.json has the same text."""
    from decay_audit.reports.formats import as_json

    return as_json.schema()
