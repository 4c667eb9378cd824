"""Write reports to standard output, or to a file for each `--output`, in the format of its suffix."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from decay_audit.api.options import OutputOptions
from decay_audit.cli import screen
from decay_audit.errors import DecayAuditError
from decay_audit.model.choices import SUFFIXES, TEXT_SUFFIXES, Format

if TYPE_CHECKING:
    from decay_audit.reports import Options

Render = Callable[[Format, "Options"], Iterable[str]]
"""A function that makes a document in a format: a text, or texts that follow each other."""

_SUMMARY_VARIABLE = "GITHUB_STEP_SUMMARY"
"""The environment variable that holds the path of the job summary in GitHub Actions."""


def formats(output: OutputOptions) -> tuple[tuple[str, Format], ...]:
    """List the outputs with the format of each. `--format` is for the outputs that have no suffix of a format.

    Raises:
        DecayAuditError: all outputs have the suffix of a format, and one contradicts `--format`; or no format is known
            for an output.
    """
    paths = output.output or (screen.STANDARD_OUTPUT,)
    option_is_used = any(_suffix(path) is None for path in paths)
    return tuple((path, _format(path, output.format, option_is_used=option_is_used)) for path in paths)


def _suffix(path: str) -> str | None:
    """Find the suffix of a format at the end of a path; None for standard output and for another suffix."""
    return next((suffix for suffix in SUFFIXES if path.lower().endswith(suffix)), None)


def _format(path: str, format_option: Format, *, option_is_used: bool) -> Format:
    suffix = _suffix(path)
    if path == screen.STANDARD_OUTPUT:
        return format_option
    if suffix is None:
        _require_format(path, format_option)
        return format_option
    accepted = SUFFIXES[suffix]
    if format_option in accepted:
        return format_option
    if format_option is not Format.TEXT and not option_is_used:
        raise DecayAuditError(
            f"{path} is a file of {accepted[0].value} by its suffix, and --format says {format_option.value}",
            f"leave out --format, or write the {format_option.value} to another file",
        )
    return accepted[0]


def _require_format(path: str, format_option: Format) -> None:
    """Refuse a suffix of no format, such as `.yaml`, unless `--format` names a format other than text."""
    suffix = Path(path).suffix.lower()
    if format_option is Format.TEXT and suffix not in TEXT_SUFFIXES:
        raise DecayAuditError(
            f"{path}: no format has the suffix {suffix}",
            f"formats by suffix: {', '.join(SUFFIXES)}; .txt for text; or name the format with --format",
        )


def write_comparison(render: Render, output: OutputOptions, *, has_page: bool = False) -> None:
    """Render and write a comparison for each output, as text or JSON, or as a page.

    Raises:
        DecayAuditError: an output has the suffix of another format.
    """
    destinations = comparison_formats(output, has_page=has_page)
    texts = [render(form, screen.report_options(replace(output, output=(path,)))) for path, form in destinations]
    for text, (path, form) in zip(texts, destinations, strict=True):
        screen.write(text, (path,), form)


def comparison_formats(output: OutputOptions, *, has_page: bool = False) -> tuple[tuple[str, Format], ...]:
    """List the outputs of a comparison with the format of each.

    Args:
        has_page: whether the comparison also comes as HTML.

    Raises:
        DecayAuditError: an output has the suffix of a format in which the comparison does not come.
    """
    accepted = (Format.TEXT, Format.JSON, *([Format.HTML] if has_page else []))
    destinations = formats(output)
    for path, form in destinations:
        if form not in accepted:
            words = "text, JSON or HTML" if has_page else "text or JSON"
            hint = "name it .json or .html" if has_page else "name it .json"
            raise DecayAuditError(f"{path}: a comparison comes as {words}, not as {form.value}", hint)
    return destinations


@contextmanager
def error_document(target: str, output: OutputOptions) -> Iterator[None]:
    """If JSON goes to standard output, also write a DecayAuditError in the `with` statement as a JSON document."""
    destinations = formats(output)
    try:
        yield
    except DecayAuditError as error:
        from decay_audit import reports

        if (screen.STANDARD_OUTPUT, Format.JSON) in destinations:
            screen.write(reports.render_error(target, error, Format.JSON), form=Format.JSON)
        raise


def write(render: Render, output: OutputOptions) -> None:
    """Render and write a document for each output. In GitHub Actions, also append the report to the job summary."""
    destinations = formats(output)
    documents = [
        (render(form, screen.report_options(replace(output, output=(path,)))), path) for path, form in destinations
    ]
    for (text, path), (_, form) in zip(documents, destinations, strict=True):
        screen.write(text, (path,), form)
    summary = os.environ.get(_SUMMARY_VARIABLE)
    if summary and any(form is Format.GITHUB for _, form in destinations):
        with Path(summary).open("a", encoding="utf-8", newline="") as file:
            file.writelines(render(Format.MARKDOWN, screen.report_options(replace(output, output=(summary,)))))
