"""`check --show-settings`: the options of each audit, with their values and where each comes from."""

from collections.abc import Iterable, Iterator

from decay_audit.api.options import AuditOptions, declared_options
from decay_audit.cli.audits import Audit
from decay_audit.text import format_coefficient


def show(audits: Iterable[Audit]) -> str:
    """Write a table for each audit."""
    return "\n".join("".join(f"{line}\n" for line in _lines(audit)) for audit in audits)


def _lines(audit: Audit) -> Iterator[str]:
    rows = [
        (
            declared.name.strip("_").replace("_", "-"),
            _text(getattr(audit.request, declared.name)),
            audit.origins[declared.name],
        )
        for declared in declared_options(AuditOptions)
        if declared.name in audit.origins
    ]
    name_width, value_width = (max(len(row[column]) for row in rows) for column in (0, 1))
    yield audit.label
    for name, value, origin in rows:
        yield f"  {name:<{name_width}}  {value:<{value_width}}  {origin}"


def _text(value: object) -> str:
    match value:
        case None | ():
            return "-"
        case bool():
            return str(value).lower()
        case float():
            return format_coefficient(value)
        case tuple():
            return ", ".join(map(str, value))
        case _:
            return str(value)
