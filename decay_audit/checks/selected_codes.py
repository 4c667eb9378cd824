"""The options --select, --ignore and --fail-on: which codes count, and whether the findings fail the audit."""

from collections.abc import Iterable
from difflib import get_close_matches

from decay_audit.checks.codes import CODES, Finding
from decay_audit.errors import DecayAuditError
from decay_audit.model.choices import SEVERITIES, Severity


def select_codes(select: Iterable[str], ignore: Iterable[str]) -> frozenset[str]:
    """List the codes that are selected and not ignored. The longer prefix wins; `ignore` wins a tie.

    Args:
        select: prefixes of codes (`DA1`, `DA301`); each text may hold several, with commas. Without a
            prefix, all codes are selected.
        ignore: prefixes of codes to leave out.

    Raises:
        DecayAuditError: no code begins with a prefix.
    """
    selected, ignored = tuple(_prefixes(select)), tuple(_prefixes(ignore))
    return frozenset(
        code for code in CODES if _longest_match(code, selected or ("DA",)) > _longest_match(code, ignored)
    )


def has_failure(findings: Iterable[Finding], fail_on: Severity) -> bool:
    """Whether any finding has the severity `fail_on` or a worse one."""
    last_failing = SEVERITIES.index(fail_on)  # SEVERITIES go from the worst to the mildest
    return any(SEVERITIES.index(finding.severity) <= last_failing for finding in findings)


def _prefixes(options: Iterable[str]) -> Iterable[str]:
    for prefix in (part.strip().upper() for option in options for part in option.split(",") if part.strip()):
        if not any(code.startswith(prefix) for code in CODES):
            near = get_close_matches(prefix, CODES, n=1, cutoff=0.0)
            raise DecayAuditError(f"no code begins with {prefix}", f"did you mean {near[0]}? codes: {', '.join(CODES)}")
        yield prefix


def _longest_match(code: str, prefixes: Iterable[str]) -> int:
    return max((len(prefix) for prefix in prefixes if code.startswith(prefix)), default=0)
