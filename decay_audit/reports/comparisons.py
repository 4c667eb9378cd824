"""Render the reports of commands that compare rulesets, models or a codebase, as text or JSON; some also as a page."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from decay_audit.errors import DecayAuditError
from decay_audit.model.choices import Format
from decay_audit.reports.options import DEFAULT_OPTIONS, Options

if TYPE_CHECKING:
    from decay_audit.checks.lock.changes import ModelComparison
    from decay_audit.rulesets.conformance import Conformance
    from decay_audit.rulesets.diff import RulesetComparison, RulesetMatch
    from decay_audit.rulesets.ruleset import RuleSet


def render_comparison(
    comparison: "RulesetComparison",
    target: str,
    format: Format | str = Format.TEXT,  # noqa: A002
    options: Options = DEFAULT_OPTIONS,
) -> str:
    """Render where rulesets differ on one model.

    Raises:
        DecayAuditError: the format is not text, json or html.
    """
    from decay_audit.reports.document import comparisons
    from decay_audit.reports.formats import as_json
    from decay_audit.reports.terminal import ruleset_comparison

    if Format(format) is Format.TEXT:
        return ruleset_comparison.render(comparison, target, options)
    document = as_json.render_comparison(comparisons.ruleset_comparison_document(comparison, target))
    if _is_json(format):
        return document
    from decay_audit.reports.formats.html import comparison as pages

    return pages.render_ruleset_comparison(comparison, target, document)


def render_model_comparison(
    comparison: "ModelComparison",
    format: Format | str = Format.TEXT,  # noqa: A002
    options: Options = DEFAULT_OPTIONS,
) -> str:
    """Render what differs between the decisions on two models.

    Raises:
        DecayAuditError: the format is not text, json or html.
    """
    from decay_audit.reports.document import comparisons
    from decay_audit.reports.formats import as_json
    from decay_audit.reports.terminal import model_comparison

    if Format(format) is Format.TEXT:
        return model_comparison.render(comparison, options)
    document = as_json.render_comparison(comparisons.model_comparison_document(comparison))
    if _is_json(format):
        return document
    from decay_audit.reports.formats.html import comparison as pages

    return pages.render_model_comparison(comparison, document)


def render_matches(
    matches: "Sequence[RulesetMatch]",
    format: Format | str = Format.TEXT,  # noqa: A002
    options: Options = DEFAULT_OPTIONS,
    target: str = "",
    packages: "Sequence[str]" = (),
) -> str:
    """Render which rulesets reproduce what an optimizer does.

    Args:
        target: the model that the optimizer is for; only JSON has it.
        packages: the Python packages of the model's classes. In the text, presets of these codebases come first.

    Raises:
        DecayAuditError: the format is neither text nor json.
    """
    from decay_audit.reports.document import comparisons
    from decay_audit.reports.formats import as_json
    from decay_audit.reports.terminal import ruleset_matches

    if _text_or_json(format) is Format.JSON:
        return as_json.render_comparison(comparisons.matches_document(matches, target))
    return ruleset_matches.render(matches, options, packages)


def _is_json(format: Format | str) -> bool:  # noqa: A002
    """Whether a comparison is rendered as JSON and not as a page; every other format is refused."""
    return Format(format) is not Format.HTML and _text_or_json(format) is Format.JSON


def _text_or_json(format: Format | str) -> Format:  # noqa: A002
    if Format(format) not in (Format.TEXT, Format.JSON):
        raise DecayAuditError(f"a comparison has no format {Format(format).value}", "its formats are text and json")
    return Format(format)


def render_conformance(conformance: "Conformance", options: Options = DEFAULT_OPTIONS) -> str:
    """Render how many parameters each imported rule decides, and which ones the codebase treats differently."""
    from decay_audit.reports.terminal.conformance import render

    return render(conformance, options)


def render_rulesets(
    rulesets: "Sequence[RuleSet]",
    options: Options = DEFAULT_OPTIONS,
    format: Format | str = Format.TEXT,  # noqa: A002
) -> str:
    """Render a list of rulesets: what each does and, of a few of them, also what they spare and where they come from.

    Raises:
        DecayAuditError: the format is neither text nor json.
    """
    from decay_audit.reports.document import comparisons
    from decay_audit.reports.formats import as_json
    from decay_audit.reports.terminal import ruleset_list

    if _text_or_json(format) is Format.JSON:
        return as_json.render_comparison(comparisons.rulesets_document(rulesets))
    return ruleset_list.render(rulesets, options)
