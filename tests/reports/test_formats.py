"""What every format promises, of any report."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest
import torch
from hypothesis import given, strategies as st
from msgspec.structs import replace

import decay_audit
from decay_audit import reports
from decay_audit.checks.codes import finding
from decay_audit.errors import DecayAuditError
from decay_audit.reports import Format, Options
from decay_audit.reports.formats import markdown
from decay_audit.reports.options import FileLocation, SourceLocations
from decay_audit.reports.report import Report
from decay_audit.reports.terminal import frame
from decay_audit.text import escape_control
from tests.menagerie import EMPTY, MENAGERIE
from tests.reports import samples

SCHEMA = Path(reports.__file__).parent / "report.schema.json"
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]")
IN_REPOSITORY = SourceLocations(
    files={"house.yaml": "policy/house.yaml"}, target=FileLocation(file="src/a,b:c%.py", line=7)
)
LONG = Options(width=80, full=True, verbose=True)

SHAPE_OF_JSON = {
    "": "schema_version versions target source ruleset parameters groups totals optimizers run findings notes",
    "source": "kind files built_on",
    "ruleset": "name title source weight_decay rules",
    "ruleset.rules": "name lenient matched line",
    "parameters": "name raw_name shape dtype numel layer role confidence evidence owner owner_type trainable tied_to "
    "declared_no_decay decay weight_decay rule lenient lr_scale use kept timescale_steps half_life_steps "
    "kept_note scale_invariant inert scaling_note rests_at feeds observed",
    "parameters.evidence": "kind detail",
    "parameters.observed": "optimizer group weight_decay lr measured settled law",
    "groups": "weight_decay lr_scale use parameters numel",
    "totals": "parameters numel decayed_parameters decayed_numel hidden by_role",
    "optimizers": "name class groups semantics origin",
    "optimizers.groups": "weight_decay lr implicit kept timescale_steps half_life_steps kept_note parameters",
    "findings": "code severity parameters message expected found where fix confidence exception",
    "versions": "decay_audit torch ruleset",
}
"""The contract, written down a second time."""


def of(name: str) -> Report:
    inventory = decay_audit.read(MENAGERIE[name]())
    plan = decay_audit.plan(inventory)
    return Report(inventory=inventory, plan=plan, findings=(finding("DA301", "a rule matched nothing"),))


MODELS = sorted(set(MENAGERIE) - EMPTY)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.filterwarnings("ignore")
def test_every_format_says_every_model_of_the_menagerie(name: str) -> None:
    report = of(name)
    for form in Format:
        for options in (Options(), LONG, Options(width=20, color=True)):
            assert reports.render(report, form, options).endswith("\n")
    document = json.loads(reports.render(report, Format.JSON))
    jsonschema.validate(document, json.loads(SCHEMA.read_text()))
    parameters = report.inventory.parameters
    assert [record["name"] for record in document["parameters"]] == [parameter.name for parameter in parameters]
    assert document["totals"]["numel"] == sum(parameter.numel for parameter in parameters)
    rows = list(csv.DictReader(io.StringIO(reports.render(report, Format.CSV))))
    assert sum(int(row["numel"]) for row in rows) == sum(parameter.numel for parameter in parameters)
    full = reports.render(report, Format.TEXT, Options(full=True))
    assert all(escape_control(parameter.name) in full for parameter in parameters)


@pytest.mark.parametrize("form", list(Format))
def test_no_name_can_act_on_a_terminal(form: Format) -> None:
    hostile = "x\x1b]0;t\x07\x9b31m\u202e\r\n\x7f[bold]"
    parameters = [
        samples.classified(
            f"{hostile}.weight", (3,), "norm_weight", "layer_norm", raw_name=hostile, tied_to=(hostile,)
        ),
        samples.classified(f"b.{hostile}", (3,), "bias", "linear", declared_no_decay=hostile, type=hostile),
    ]
    plain = samples.report(parameters, replace(samples.HOUSE, name=hostile, title=hostile, source=hostile))
    report = replace(
        plain,
        inventory=replace(plain.inventory, target=hostile, notes=(hostile,), files=(hostile,)),
        findings=(finding("DA301", hostile, (f"{hostile}.weight",), where=hostile, fix=hostile),),
    )
    assert not CONTROL.search(reports.render(report, form, LONG))
    assert not CONTROL.search(reports.render_findings(report, form, LONG))
    assert not CONTROL.search(reports.verdict(report))


@pytest.mark.parametrize("form", [Format.TEXT, Format.TREE])
def test_without_a_width_no_name_is_broken_and_without_color_nothing_is_styled(form: Format) -> None:
    name = ".".join(f"module_{i}" for i in range(60)) + ".weight"
    report = samples.report([samples.classified(name, (3, 3), "linear_weight", "linear")])
    text = reports.render(report, form)
    assert name in text or name.removesuffix(".weight") in text
    assert "\x1b" not in text
    assert "\x1b" in reports.render(report, form, Options(color=True))


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120])
def test_a_name_that_goes_on_over_lines_loses_nothing(width: int) -> None:
    names = [f"encoder.layers.{i}.self_attention.output_projection_{'x' * (7 * i)}.weight" for i in range(12)]
    report = samples.report([samples.classified(name, (3, 3), "linear_weight", "linear") for name in names])
    text = reports.render(report, Format.TEXT, Options(width=width, full=True))
    firsts = [line.strip().partition("  ")[0] for line in text.splitlines()]
    assert all(name in "".join(firsts) for name in names)


def test_a_command_is_never_broken_over_lines() -> None:
    fix = f"decay-audit emit {'very_long_' * 9}model.py:net --rules house --weight-decay 0.05 --optimizer AdamW"
    report = replace(samples.awkward(), findings=(finding("DA101", "a " * 60, fix=fix),))
    lines = list(frame.finding_lines(report, Options(width=40)))
    assert lines[-1] == f"{' ' * 14}fix: {fix}"
    assert max(map(len, lines[:-1])) <= 40


@pytest.mark.parametrize("form", [Format.JSON, Format.CSV, Format.SARIF])
def test_a_machine_reads_the_same_whatever_the_terminal(form: Format) -> None:
    report = samples.awkward()
    assert reports.render(report, form) == reports.render(report, form, Options(width=20, color=True, full=True))


def test_styles_change_nothing_but_the_styling() -> None:
    report = samples.awkward()
    for form in (Format.TEXT, Format.TREE):
        for width in (None, 80):
            styled = reports.render(report, form, Options(width=width, color=True))
            assert re.sub(r"\x1b\[[0-9;]*m", "", styled) == reports.render(report, form, Options(width=width))


def test_the_json_has_the_keys_of_the_contract() -> None:
    document = json.loads(reports.render(samples.awkward(), Format.JSON))
    for path, keys in SHAPE_OF_JSON.items():
        for record in _at(document, path.split(".") if path else []):
            assert list(record) == keys.split(), path


def _at(value: Any, path: list[str]) -> list[dict[str, Any]]:
    if isinstance(value, list):
        return [record for item in value for record in _at(item, path)]
    return _at(value[path[0]], path[1:]) if path else [value]


def test_the_schema_that_ships_is_the_one_of_the_values() -> None:
    assert json.loads(SCHEMA.read_text()) == reports.schema()
    jsonschema.Draft202012Validator.check_schema(reports.schema())


@pytest.mark.parametrize(
    "spoil",
    [
        lambda document: document.update(extra=1),
        lambda document: document.pop("groups"),
        lambda document: document.update(schema_version=1),
        lambda document: document["parameters"][0].update(role="weight"),
        lambda document: document["parameters"][0].update(numel=-1),
        lambda document: document["totals"].update(numel="1"),
    ],
)
def test_the_schema_refuses_another_document(spoil: Any) -> None:
    document = json.loads(reports.render(samples.awkward(), Format.JSON))
    jsonschema.validate(document, reports.schema())
    spoil(document)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, reports.schema())


def test_the_json_says_the_plan() -> None:
    report = samples.awkward()
    document = json.loads(reports.render(report, Format.JSON))
    for record, decision in zip(document["parameters"], report.plan.decisions, strict=True):
        assert (record["decay"], record["weight_decay"], record["rule"]) == (
            decision.decays,
            decision.weight_decay,
            decision.rule,
        )
    grouped = [name for group in document["groups"] for name in group["parameters"]]
    assert sorted(grouped) == sorted(decision.name for decision in report.plan.decisions if decision.grouped)
    roles = document["totals"]["by_role"].values()
    assert sum(role["numel"] for role in roles) == document["totals"]["numel"]
    assert sum(role["decayed_parameters"] for role in roles) == document["totals"]["decayed_parameters"]
    lazy = next(record for record in document["parameters"] if record["name"] == "lazy.weight")
    assert (lazy["shape"], lazy["numel"]) == ([], 0)


def test_the_json_tells_commands_from_edits_and_names_the_exception() -> None:
    report = samples.awkward()
    first = report.findings[0]
    findings = (first, replace(first, fix="rename it"), replace(first, fix=""))
    accepted = (replace(first, exception="on purpose"),)
    document = json.loads(reports.render(replace(report, findings=findings, excepted=accepted), Format.JSON))
    assert [record["fix"] and record["fix"]["kind"] for record in document["findings"]] == [
        "command",
        "edit",
        None,
        "command",
    ]
    assert [record["exception"] for record in document["findings"]] == [None, None, None, "on purpose"]
    assert document["findings"][0]["confidence"] == "certain"
    jsonschema.validate(document, reports.schema())


def test_half_a_surrogate_pair_is_no_trouble() -> None:
    report = samples.report([samples.classified("a\ud800.weight", (3, 3), "linear_weight", "linear")])
    for form in Format:
        reports.render(report, form).encode()
    document = json.loads(reports.render(report, Format.JSON))
    assert document["parameters"][0]["name"] == "a\ud800.weight"


def test_numbers_that_are_not_finite_are_null() -> None:
    report = samples.awkward()
    observations = tuple(replace(each, weight_decay=float("nan"), lr=float("inf")) for each in report.observations)
    document = json.loads(reports.render(replace(report, observations=observations), Format.JSON))
    jsonschema.validate(document, reports.schema())
    assert document["parameters"][0]["observed"][0]["weight_decay"] is None


def test_a_spreadsheet_runs_nothing() -> None:
    names = ["=cmd|' /C calc'!A0.w", "+1.w", "-1.w", "@x.w", "\t=1.w", 'quote".w', "a,b.w"]
    report = samples.report([samples.classified(name, (3,), "bias", "linear") for name in names])
    rows = list(csv.DictReader(io.StringIO(reports.render(report, Format.CSV))))
    assert all(not cell.startswith(("=", "+", "-", "@", "\t", "\r")) for row in rows for cell in row.values())
    assert [row["name"].removeprefix("'") for row in rows] == [escape_control(name) for name in names]


def test_markdown_stays_below_the_limit_of_a_job_summary() -> None:
    parameters = [samples.classified(f"{i}x.{'名' * 40}.{i * 7919}y", (i + 1,), "bias", "linear") for i in range(9000)]
    text = reports.render(samples.report(parameters), Format.MARKDOWN, Options(full=True))
    assert len(text.encode()) <= 1024 * 1024
    assert "more lines do not fit" in text.splitlines()[-1]


@given(st.text(min_size=1, max_size=12))
def test_a_cell_of_markdown_is_one_cell(name: str) -> None:
    cell = markdown.code_span(name)
    assert "\n" not in cell
    assert not re.search(r"(?<!\\)(\\\\)*\|", cell)
    fence = re.match("`+", cell)
    assert fence is not None
    assert cell.count(fence[0]) >= 2
    assert fence[0] not in cell[len(fence[0]) : -len(fence[0])]
    assert not re.search(r"[<>`|*\[\]]", markdown.escape_markup(name))


def test_github_gets_one_line_for_each_code() -> None:
    text = reports.render(samples.awkward(), Format.GITHUB, Options(locations=IN_REPOSITORY))
    assert [line.partition(" ")[0] for line in text.splitlines()] == ["::error", "::warning", "::notice"]
    rule, *others = text.splitlines()
    assert "file=policy/house.yaml,line=9,title=DA101" in rule
    assert all("file=src/a%2Cb%3Ac%25.py,line=7,title=DA" in line for line in others)


def test_an_accepted_finding_is_suppressed_in_sarif_and_skipped_in_junit() -> None:
    report = samples.awkward()
    first, *others = report.findings
    accepted = replace(report, findings=tuple(others), excepted=(replace(first, exception="on <purpose>"),))
    results = json.loads(reports.render(accepted, Format.SARIF))["runs"][0]["results"]
    assert [result["suppressions"][0]["justification"] for result in results if "suppressions" in result] == [
        "on <purpose>"
    ]
    suite = ElementTree.fromstring(reports.render(accepted, Format.JUNIT))[0]
    assert [skipped.attrib["message"] for skipped in suite.iter("skipped")] == ["on <purpose>"]


def test_junit_fails_a_case_for_each_error_and_counts_them() -> None:
    report = samples.awkward()
    suite = ElementTree.fromstring(reports.render(report, Format.JUNIT))[0]
    errors = [finding for finding in report.findings if finding.severity == "error"]
    assert int(suite.attrib["failures"]) == len([*suite.iter("failure")]) == len(errors)
    assert int(suite.attrib["tests"]) == len([*suite.iter("testcase")]) == len(report.findings)
    clean = ElementTree.fromstring(reports.render(replace(report, findings=()), Format.JUNIT))[0]
    assert (clean.attrib["tests"], clean.attrib["failures"], len([*clean.iter("testcase")])) == ("1", "0", 1)


def test_gitlab_gets_an_issue_for_each_finding_with_a_fingerprint_of_its_own() -> None:
    report = samples.awkward()
    issues = json.loads(reports.render(report, Format.GITLAB, Options(locations=IN_REPOSITORY)))
    assert [issue["check_name"] for issue in issues] == [finding.code for finding in report.findings]
    assert len({issue["fingerprint"] for issue in issues}) == len(issues)
    assert {issue["location"]["path"] for issue in issues} == {"policy/house.yaml", "src/a,b:c%.py"}
    assert {issue["severity"] for issue in issues} <= {"info", "minor", "major", "critical", "blocker"}


@pytest.mark.parametrize("form", list(Format))
def test_several_reports_make_one_document(form: Format) -> None:
    text = reports.render(samples.awkward(), form)
    joined, alone = reports.join([text, text], form), reports.join([text], form)
    if form is not Format.JSON:
        assert alone == text
    if form is Format.JSON:
        assert (json.loads(alone), json.loads(joined)) == ([json.loads(text)], [json.loads(text)] * 2)
        jsonschema.validate(json.loads(joined), reports.schema())
    elif form is Format.GITLAB:
        assert json.loads(joined) == json.loads(text) * 2
    elif form is Format.JUNIT:
        assert len(ElementTree.fromstring(joined)) == 2
    elif form is Format.SARIF:
        runs = json.loads(joined)["runs"]
        assert [run["results"] for run in runs] == [run["results"] for run in json.loads(text)["runs"]] * 2
    elif form is Format.CSV:
        rows = list(csv.reader(io.StringIO(joined)))
        assert len(rows) == 2 * len(samples.awkward().plan.decisions) + 1
    else:
        assert joined.count(text) == 2


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ValueError, match="yaml"):
        reports.render(samples.awkward(), "yaml")


def test_a_selection_says_how_many_it_hides() -> None:
    report = samples.report(samples.llama(4))
    chosen = reports.filter_parameters(
        report, globs=["model.layers.*", "lm_head.*"], roles=["linear_weight"], grep=r"[qk]_proj|head"
    )
    assert [decision.name for decision in chosen.plan.decisions][-3:] == [
        "model.layers.3.self_attn.q_proj.weight",
        "model.layers.3.self_attn.k_proj.weight",
        "lm_head.weight",
    ]
    assert chosen.hidden + len(chosen.plan.decisions) == len(report.plan.decisions)
    assert f"9 parameters shown, {chosen.hidden} hidden" in reports.render(chosen)
    assert reports.verdict(chosen) == reports.verdict(report)
    assert reports.filter_parameters(report) is report


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        ({"roles": ["norm_wieght"]}, "did you mean `norm_weight`?"),
        ({"roles": ["x"]}, "roles: conv_weight"),
        ({"grep": "("}, "regular expression"),
        ({"globs": ["nothing"]}, "--only"),
    ],
)
def test_a_selection_of_nothing_is_refused(asked: dict[str, Any], hint: str) -> None:
    with pytest.raises(DecayAuditError) as refused:
        reports.filter_parameters(samples.report(samples.llama(1)), **asked)
    assert hint in refused.value.hint


def test_an_unknown_code_is_refused() -> None:
    with pytest.raises(DecayAuditError) as refused:
        reports.render_code("DA302X")
    assert "DA302" in refused.value.hint


def test_the_totals_are_those_of_the_model() -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.Linear(8, 2))
    inventory = decay_audit.read(model)
    text = reports.render(Report(inventory=inventory, plan=decay_audit.plan(inventory)))
    total = sum(parameter.numel() for parameter in model.parameters())
    assert f"{total} elements in 6 parameters" in text
    assert f"decayed  {3 * 8 * 9 + 16} elements in 2 parameters" in text
    assert f"spared   {8 + 16 + 2} elements in 4 parameters" in text
