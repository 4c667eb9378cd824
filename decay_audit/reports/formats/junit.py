"""JUnit XML, for CI servers: a test suite for each report, a failed test case for each finding."""

from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape, quoteattr

from decay_audit.checks.codes import Finding
from decay_audit.reports.findings.summary import location, parameter_names
from decay_audit.reports.report import Report
from decay_audit.text import escape_control

_MAX_NAMES = 40
_START = '<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n'
_END = "</testsuites>\n"


def render(report: Report) -> str:
    """Write the findings as test cases. Errors fail; warnings and notes pass, with their text as output."""
    return _START + "".join(f"{line}\n" for line in _suite(report)) + _END


def render_error(target: str, message: str) -> str:
    """Write the suite of an audit that could not be run: one test case, with an error."""
    name = quoteattr(escape_control(target))
    return (
        f'{_START}  <testsuite name={name} tests="1" failures="0" errors="1" skipped="0">\n'
        f'    <testcase classname={name} name="could not be run">\n'
        f"      <error message={quoteattr(message.partition(chr(10))[0])}>{escape(message)}</error>\n"
        f"    </testcase>\n  </testsuite>\n{_END}"
    )


def join(texts: Sequence[str]) -> str:
    """Join documents into one with all their test suites."""
    return _START + "".join(text.removeprefix(_START).removesuffix(_END) for text in texts) + _END


def _suite(report: Report) -> Iterator[str]:
    target = quoteattr(escape_control(report.inventory.target))
    failures = sum(finding.severity == "error" for finding in report.findings)
    count = len(report.findings) + len(report.excepted) or 1  # without a finding, one test case that passes
    counts = f'tests="{count}" failures="{failures}" errors="0" skipped="{len(report.excepted)}"'
    yield f"  <testsuite name={target} {counts}>"
    if not (report.findings or report.excepted):
        yield f'    <testcase classname={target} name="no findings"/>'
    for finding in (*report.findings, *report.excepted):
        yield from _case(finding, report, target)
    yield "  </testsuite>"


def _case(finding: Finding, report: Report, target: str) -> Iterator[str]:
    message = escape_control(finding.message)
    yield f"    <testcase classname={target} name={quoteattr(f'{finding.code} {message}')}>"
    text = escape("\n".join(_details(finding, report)))
    if finding.exception:
        yield f"      <skipped message={quoteattr(escape_control(finding.exception))}/>"
    elif finding.severity == "error":
        yield f"      <failure type={quoteattr(finding.code)} message={quoteattr(message)}>{text}</failure>"
    else:
        yield f"      <system-out>{finding.severity}: {text}</system-out>"
    yield "    </testcase>"


def _details(finding: Finding, report: Report) -> Iterator[str]:
    yield escape_control(finding.message)
    if finding.parameters:
        yield parameter_names(finding, _MAX_NAMES)
    if text := location(finding, report):
        yield escape_control(text)
    if finding.fix:
        yield f"fix: {escape_control(finding.fix)}"
