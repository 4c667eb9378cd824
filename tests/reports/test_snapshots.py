"""Every format, as it reads: whole texts."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from decay_audit import api, reports
from decay_audit.reports import Format, Options
from decay_audit.reports.options import FileLocation, SourceLocations
from decay_audit.reports.report import Report
from decay_audit.rulesets import explanation
from tests.reports import samples
from tests.reports.snapshots import matches_snapshot

RESNEXT = Path(__file__).parents[2] / "examples" / "resnext29.py"
SUFFIX = {Format.JSON: "json", Format.MARKDOWN: "md", Format.CSV: "csv", Format.SARIF: "sarif", Format.JUNIT: "xml"}


@pytest.fixture(scope="module")
def resnext() -> Report:
    request = api.Request(target=str(RESNEXT), weight_decay=5e-4)
    return api.run(request)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnext29.txt", Options()),
        ("resnext29-100.txt", Options(width=100)),
        ("resnext29-80.txt", Options(width=80)),
        ("resnext29-color.txt", Options(width=140, color=True)),
        ("resnext29-full.txt", Options(full=True)),
    ],
)
def test_the_table_of_the_example(name: str, options: Options, resnext: Report) -> None:
    assert matches_snapshot(name, reports.render(resnext, Format.TEXT, options))


LOCATIONS = SourceLocations(files={"house.yaml": "house.yaml"}, target=FileLocation(file="src/model.py"))


def test_the_tree_of_the_example(resnext: Report) -> None:
    assert matches_snapshot("resnext29-tree.txt", reports.render(resnext, Format.TREE))
    assert matches_snapshot("resnext29-tree-80.txt", reports.render(resnext, Format.TREE, Options(width=80)))


def test_a_selection_of_the_example(resnext: Report) -> None:
    chosen = reports.filter_parameters(resnext, globs=["stage_*"], roles=["norm_weight,bias"], grep="^stage_[12]")
    assert matches_snapshot("resnext29-selection.txt", reports.render(chosen))


@pytest.mark.parametrize("width", [None, 140, 100, 80, 50])
def test_the_table_of_a_language_model(width: int | None) -> None:
    text = reports.render(samples.report(samples.llama()), Format.TEXT, Options(width=width))
    assert matches_snapshot(f"llama{'' if width is None else f'-{width}'}.txt", text)


def test_the_tree_of_a_language_model() -> None:
    assert matches_snapshot("llama-tree.txt", reports.render(samples.report(samples.llama()), Format.TREE))


@pytest.mark.parametrize("form", [form for form in Format if form is not Format.HTML])  # test_page.py has the page
def test_an_awkward_report_in_every_format(form: Format) -> None:
    text = reports.render(samples.awkward(), form, Options(locations=LOCATIONS))
    assert matches_snapshot(f"awkward-{form}.{SUFFIX.get(form, 'txt')}", text)


def test_an_awkward_report_on_a_narrow_terminal() -> None:
    assert matches_snapshot(
        "awkward-80.txt", reports.render(samples.awkward(), Format.TEXT, Options(width=80, verbose=True))
    )


def test_the_findings_of_a_check() -> None:
    assert matches_snapshot("check.txt", reports.render_findings(samples.awkward()))
    assert matches_snapshot(
        "check-60-color.txt", reports.render_findings(samples.awkward(), Format.TEXT, Options(width=60, color=True))
    )


def test_the_explanation_of_a_parameter() -> None:
    report = samples.awkward()
    other = replace(samples.HOUSE, name="everything", rules=())
    explanations = [
        explanation.explain(report.plan, name, [other], report.observations)
        for name in ("h.0.ln.weight", "logit_scale", "frozen.weight", "h.0.fc.weight", "h.1.ln.weight", "wte.weight")
    ]
    text = "\n".join(reports.render_explanation(each, Options(width=100)) for each in explanations)
    assert matches_snapshot("explanations.txt", text)


def test_the_list_of_rulesets() -> None:
    other = replace(samples.HOUSE, name="everything-decays", rules=(), weight_decay=1e-4, source="")
    assert matches_snapshot("rulesets.txt", reports.render_rulesets([samples.HOUSE, other], Options(width=80)))


def test_colored_code() -> None:
    code = "NAMES = [\"[bold]x[/bold]\", 'it\\'s']  # a comment that is longer than the terminal\n"
    assert matches_snapshot("python-color.txt", reports.highlight(code, "python", Options(width=20, color=True)))
    assert reports.highlight(code, "python") == code
