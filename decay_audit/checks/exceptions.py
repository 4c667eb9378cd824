"""Exceptions: findings that a project accepts, with a reason. They are removed from the findings of an audit.

An exception is a finding itself if it has expired, covers nothing, or covers more parameters than it says.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from fnmatch import translate

from msgspec import Struct
from msgspec.structs import replace

from decay_audit.checks.codes import Finding, finding
from decay_audit.text import count_noun


class FindingException(Struct, frozen=True, kw_only=True):
    """A finding that a project accepts.

    Attributes:
        code: the code of the finding.
        parameters: globs of names; none for a finding that names no parameters.
        reason: why the project accepts the finding.
        until: the last day on which the exception is valid; None for no limit.
        target: the exception is only for the audit with this target or name; "" for all audits.
        covers: how many parameters the exception covered when it was written; None if it does not say.
        where: the file and line of the exception, for messages.
    """

    code: str
    parameters: tuple[str, ...] = ()
    reason: str
    until: date | None = None
    target: str = ""
    covers: int | None = None
    where: str = ""

    @property
    def label(self) -> str:
        """The code, and the parameters if there are any."""
        return f"{self.code} on {', '.join(self.parameters)}" if self.parameters else self.code


class FilteredFindings(Struct, frozen=True, kw_only=True):
    """The findings of one audit after the exceptions.

    Attributes:
        counting: the findings that still count, without the parameters that an exception covers.
        excepted: the findings, or the parts of them, that an exception covers; each has its reason.
        covered: the names that each exception covers, by its position; "" stands for a finding without parameters.
    """

    counting: tuple[Finding, ...]
    excepted: tuple[Finding, ...] = ()
    covered: Mapping[int, frozenset[str]]


def apply_exceptions(
    findings: Iterable[Finding], exceptions: Sequence[FindingException], audit_names: Iterable[str], today: date
) -> FilteredFindings:
    """Split the findings of one audit into those that exceptions cover and those that still count.

    Args:
        audit_names: the target and the name of the audit.
    """
    names = {"", *audit_names}
    valid = {
        position: (exception, re.compile("|".join(map(translate, exception.parameters))))
        for position, exception in enumerate(exceptions)
        if exception.target in names and not (exception.until and exception.until < today)
    }
    counting: list[Finding] = []
    excepted: list[Finding] = []
    covered: dict[int, set[str]] = {position: set() for position in valid}
    for original in findings:
        remaining = original.parameters or ("",)
        for position, (exception, pattern) in valid.items():
            if exception.code != original.code or bool(exception.parameters) != bool(original.parameters):
                continue
            excepted_names = tuple(name for name in remaining if not exception.parameters or pattern.fullmatch(name))
            if excepted_names:
                covered[position].update(excepted_names)
                remaining = tuple(name for name in remaining if name not in set(excepted_names))
                parameters = tuple(filter(None, excepted_names))
                excepted.append(replace(original, parameters=parameters, exception=exception.reason))
        if len(remaining) == len(original.parameters or ("",)):
            counting.append(original)
        elif remaining:
            counting.append(_without_excepted(original, remaining))
    return FilteredFindings(
        counting=tuple(counting),
        excepted=tuple(excepted),
        covered={position: frozenset(names) for position, names in covered.items()},
    )


def _without_excepted(original: Finding, remaining: tuple[str, ...]) -> Finding:
    excepted = len(original.parameters) - len(remaining)
    verb = "has" if excepted == 1 else "have"
    return replace(
        original,
        parameters=remaining,
        message=f"{original.message} ({excepted:,} of {len(original.parameters):,} {verb} an exception)",
    )


def check_exceptions(
    exceptions: Sequence[FindingException], covered: Sequence[Mapping[int, frozenset[str]]], today: date
) -> tuple[Finding, ...]:
    """Find exceptions that are expired (DA705), cover nothing (DA704), or cover more than was written down (DA706).

    Args:
        covered: for each audit, the field `covered` that `apply_exceptions` returned.
    """
    findings = []
    for position, exception in enumerate(exceptions):
        counts = [len(names) for by_position in covered if (names := by_position.get(position, frozenset()))]
        if exception.until and exception.until < today:
            findings.append(_expired_finding(exception))
        elif not counts:
            findings.append(_unused_finding(exception))
        elif exception.covers is not None and max(counts) > exception.covers:
            findings.append(_grown_finding(exception, max(counts)))
    return tuple(findings)


def _expired_finding(exception: FindingException) -> Finding:
    return finding(
        "DA705",
        f"the exception for {exception.label} ended on {exception.until}: {exception.reason}",
        expected=f"until {exception.until}",
        found="expired",
        where=exception.where,
        fix="mend the finding, or give the exception another date",
    )


def _unused_finding(exception: FindingException) -> Finding:
    return finding(
        "DA704",
        f"the exception for {exception.label} covers nothing: {exception.reason}",
        expected="a finding",
        found="none",
        where=exception.where,
        fix="delete the exception",
    )


def _grown_finding(exception: FindingException, count: int) -> Finding:
    parameters = count_noun(count, "parameter")
    return finding(
        "DA706",
        f"the exception for {exception.label} covers {parameters}, not {exception.covers:,} as it says",
        expected=str(exception.covers),
        found=str(count),
        where=exception.where,
        fix=f"look at the new ones, then write `covers = {count}`",
    )


def make_baseline(findings: Iterable[Finding], names: Iterable[str], target: str) -> tuple[FindingException, ...]:
    """Make exceptions that cover exactly these findings, one for each code.

    Args:
        names: the names of all parameters of the model. A pattern with `*` for the numbers of blocks is used where it
            matches only parameters of the findings.
        target: the target or the name of the audit.
    """
    names_by_pattern: dict[str, set[str]] = {}
    for name in names:
        names_by_pattern.setdefault(_pattern(name), set()).add(name)
    covered: dict[str, set[str]] = {}
    for original in findings:
        covered.setdefault(original.code, set()).update(original.parameters)
    return tuple(
        FindingException(
            code=code,
            parameters=tuple(
                dict.fromkeys(
                    _pattern(name) if names_by_pattern.get(_pattern(name), set()) <= code_parameters else _literal(name)
                    for name in sorted(code_parameters)
                )
            ),
            reason="baseline: the finding was there when the check was introduced",
            target=target,
            covers=len(code_parameters) or None,
        )
        for code, code_parameters in covered.items()
    )


def as_toml(exception: FindingException, heading: str = "tool.decay-audit.exceptions") -> str:
    """Write an exception as an entry of the list `heading` in a TOML file."""
    values: dict[str, object] = {
        "code": exception.code,
        "parameters": list(exception.parameters) or None,
        "reason": exception.reason,
        "until": exception.until and exception.until.isoformat(),
        "target": exception.target or None,
        "covers": exception.covers,
    }
    lines = (f"{key} = {json.dumps(value)}\n" for key, value in values.items() if value is not None)
    return "".join((f"[[{heading}]]\n", *lines))


def _pattern(name: str) -> str:
    """Write a name with `*` for the numbers of blocks."""
    return ".".join("*" if word.isdigit() else _literal(word) for word in name.split("."))


def _literal(name: str) -> str:
    """Write a name as a glob that matches it alone."""
    return re.sub(r"([*?\[])", r"[\1]", name)
