"""Saying: a Report becomes text, a tree, JSON, Markdown, CSV, SARIF or GitHub annotations.

Each format is a function from a Report to text, imported when it is asked for. Nothing here reads, decides or prints.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, assert_never

from decay_audit.errors import DecayAuditError
from decay_audit.model.choices import Format
from decay_audit.reports.options import Options
from decay_audit.reports.report import Report

if TYPE_CHECKING:
    from decay_audit.rulesets.conformance import Conformance
    from decay_audit.rulesets.diff import RulesetComparison, RulesetMatch
    from decay_audit.rulesets.explanation import Explanation
    from decay_audit.rulesets.ruleset import RuleSet

__all__ = [
    "Format",
    "Options",
    "check",
    "code",
    "comparison",
    "conformance",
    "explanation",
    "join",
    "matches",
    "notes",
    "only",
    "python",
    "render",
    "rulesets",
    "schema",
    "verdict",
    "yaml",
]

PLAIN = Options()


def render(report: Report, format: Format | str = Format.TEXT, options: Options = PLAIN) -> str:  # noqa: A002, PLR0911
    """Say a report in a format.

    Raises:
        ValueError: the format is none of `Format`.
    """
    match Format(format):
        case Format.TEXT:
            from decay_audit.reports.terminal import table

            return table.render(report, options)
        case Format.TREE:
            from decay_audit.reports.terminal import tree

            return tree.render(report, options)
        case Format.JSON:
            from decay_audit.reports.formats import as_json

            return as_json.render(report)
        case Format.MARKDOWN:
            from decay_audit.reports.formats import markdown

            return markdown.render(report, options)
        case Format.CSV:
            from decay_audit.reports.formats import as_csv

            return as_csv.render(report)
        case Format.SARIF:
            from decay_audit.reports.formats import sarif

            return sarif.render(report, options)
        case Format.GITHUB:
            from decay_audit.reports.formats import github

            return github.render(report, options)
        case _ as never:
            assert_never(never)


def check(report: Report, format: Format | str = Format.TEXT, options: Options = PLAIN) -> str:  # noqa: A002
    """Say what a check found: as text the findings alone, in every other format the whole report."""
    if Format(format) is not Format.TEXT:
        return render(report, format, options)
    from decay_audit.reports.terminal import finding_list

    return finding_list.render(report, options)


def verdict(report: Report) -> str:
    """Sum up the findings in one line: `1 error, 2 warnings in 95 tensors`."""
    from decay_audit.reports.terminal import finding_list

    return finding_list.verdict(report)


def notes(report: Report) -> tuple[str, ...]:
    """List what a person should know about the reading, each once."""
    from decay_audit.reports.terminal import finding_list

    return finding_list.notes(report)


def join(texts: Sequence[str], format: Format | str) -> str:  # noqa: A002
    """Join the reports of several audits into one document of their format."""
    from decay_audit.reports import several

    return several.join(texts, Format(format))


def only(report: Report, *, globs: Sequence[str] = (), roles: Sequence[str] = (), grep: str | None = None) -> Report:
    """Keep the parameters of these roles whose name matches any glob and the regular expression.

    Raises:
        DecayAuditError: a role is not known, the regular expression is none, or nothing is left.
    """
    from decay_audit.reports import shown_parameters

    return shown_parameters.only(report, globs=globs, roles=roles, grep=grep)


def explanation(story: "Explanation", options: Options = PLAIN) -> str:
    """Tell one parameter's whole story."""
    from decay_audit.reports.terminal import explanation as stories

    return stories.explanation(story, options)


def comparison(
    compared: "RulesetComparison",
    target: str,
    format: Format | str = Format.TEXT,  # noqa: A002
    options: Options = PLAIN,
) -> str:
    """Say where rulesets differ on one model.

    Raises:
        DecayAuditError: the format is neither text nor json.
    """
    from decay_audit.reports.terminal import diff

    return diff.render(compared, target, _text_or_json(format), options)


def conformance(found: "Conformance", options: Options = PLAIN) -> str:
    """Say what an imported ruleset takes of a model, and what its codebase does otherwise."""
    from decay_audit.reports.terminal import conformance

    return conformance.render(found, options)


def matches(found: "Sequence[RulesetMatch]", format: Format | str = Format.TEXT, options: Options = PLAIN) -> str:  # noqa: A002
    """Say which rulesets reproduce what an optimizer does.

    Raises:
        DecayAuditError: the format is neither text nor json.
    """
    from decay_audit.reports.terminal import diff

    return diff.matches(found, _text_or_json(format), options)


def _text_or_json(format: Format | str) -> Format:  # noqa: A002
    if Format(format) not in (Format.TEXT, Format.JSON):
        raise DecayAuditError(f"a comparison has no format {Format(format).value}", "it comes as text or json")
    return Format(format)


def code(known: str, options: Options = PLAIN) -> str:
    """Tell what a code means.

    Raises:
        DecayAuditError: there is no such code.
    """
    from decay_audit.reports.terminal import explanation as story

    return story.code(known, options)


def rulesets(known: "Sequence[RuleSet]", options: Options = PLAIN) -> str:
    """List rulesets: what each spares, and where it comes from."""
    from decay_audit.reports.terminal import ruleset_list

    return ruleset_list.render(known, options)


def python(text: str, options: Options = PLAIN) -> str:
    """Colour Python for a terminal."""
    from decay_audit.reports.terminal.highlight import highlight

    return highlight(text, "python", options)


def yaml(text: str, options: Options = PLAIN) -> str:
    """Colour YAML for a terminal."""
    from decay_audit.reports.terminal.highlight import highlight

    return highlight(text, "yaml", options)


def schema() -> dict[str, Any]:
    """Make the JSON Schema of the JSON report, the one that ships as report.schema.json."""
    from decay_audit.reports.formats import as_json

    return as_json.schema()
