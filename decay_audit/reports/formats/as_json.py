"""JSON: a report becomes its document, with a line for each parameter, group and finding; a comparison is indented.

The same report gives the same bytes.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from decay_audit.errors import DecayAuditError
from decay_audit.reports.document import (
    ErrorDocument,
    ReportDocument,
    comparisons,
    document_without_parameters,
    error_document,
    parameter_records,
)
from decay_audit.reports.report import Report

_COMPARISONS = (
    comparisons.ModelComparisonDocument,
    comparisons.RulesetComparisonDocument,
    comparisons.MatchesDocument,
    comparisons.RulesetsDocument,
)
_PARTS_AT_ONCE = 1000
"""How many parts of a document make a piece: most parts are the line of one parameter."""
_NOT_ASCII = re.compile("[\x7f-\U0010ffff]")


def render(report: Report) -> str:
    """Write a report as JSON."""
    return "".join(pieces(report))


def pieces(report: Report) -> Iterator[str]:
    """Write a report as JSON in pieces: the text of a large model as a whole takes more memory than the model."""
    waiting: list[str] = []
    for part in _parts(report):
        waiting.append(part)
        if len(waiting) == _PARTS_AT_ONCE:
            yield _escape_unprintable("".join(waiting))
            waiting.clear()
    yield _escape_unprintable("".join(waiting))


def _parts(report: Report) -> Iterator[str]:
    document = document_without_parameters(report)
    separator = "{"
    for name in document.__struct_fields__:
        values = parameter_records(report) if name == "parameters" else getattr(document, name)
        yield f'{separator}"{name}":'
        yield from _lines(values)
        separator = ",\n"
    yield "}\n"


def schema() -> dict[str, Any]:
    """Make the JSON Schema of all documents.

    These are a report, an error in place of a report, a list of both (the audits of pyproject.toml), and the documents
    of `diff`, `rules which` and `rules list`.
    """
    documents = (ReportDocument, ErrorDocument, *_COMPARISONS)
    forms, parts = msgspec.json.schema_components(documents, ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "decay-audit report, schema_version 2",
        "anyOf": [*forms, {"type": "array", "items": {"anyOf": [*forms[:2]]}}],
        "$defs": parts,
    }


def render_comparison(
    document: comparisons.ModelComparisonDocument
    | comparisons.RulesetComparisonDocument
    | comparisons.MatchesDocument
    | comparisons.RulesetsDocument,
) -> str:
    """Write the document of a comparison or of a list of rulesets, indented."""
    return _escape_unprintable(msgspec.json.format(_encode(document), indent=2)) + "\n"


def render_error(target: str, error: DecayAuditError) -> str:
    """Write the document of an error, in place of a report that could not be made."""
    return _escape_unprintable(_encode(error_document(target, error)) + "\n")


def _lines(value: object) -> Iterator[str]:
    """Encode a value; a list has a line for each of its members, so that a diff and a search show one line."""
    if not isinstance(value, tuple | Iterator):
        yield _encode(value)
        return
    separator = "[\n"
    for member in value:
        yield f"{separator}{_encode(member)}"
        separator = ",\n"
    yield "[]" if separator == "[\n" else "\n]"


def _encode(value: object) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except UnicodeEncodeError:  # a name from a checkpoint may hold half a surrogate pair, which UTF-8 cannot encode
        return json.dumps(msgspec.to_builtins(value), separators=(",", ":"))


def _escape_unprintable(text: str) -> str:
    """Escape what a terminal could act on and JSON may hold as it is: DEL, C1 controls, directional marks."""
    if text.isascii() and "\x7f" not in text:
        return text
    return _NOT_ASCII.sub(lambda match: match[0] if match[0].isprintable() else json.dumps(match[0])[1:-1], text)
