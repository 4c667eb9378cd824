"""A cell of a page or a notebook wraps, so that a long list of block numbers stands in it as a whole."""

from decay_audit import reports
from decay_audit.model.choices import Format
from decay_audit.reports.formats.html import cell
from tests.reports import samples

SQUARES = [number**2 for number in range(40)]
REPORT = samples.report([samples.classified(f"p.{n}.w", (3, 3), "linear_weight", "linear") for n in SQUARES])
WHOLE = "{" + ",".join(map(str, [0, 1, *SQUARES[2:]])) + "}"


def test_a_row_of_a_page_has_every_number_of_a_list() -> None:
    page = reports.render(REPORT, Format.HTML)
    assert f"p.{WHOLE}.w" in page
    assert ",...," not in page


def test_a_cell_of_a_notebook_has_every_number_of_a_list() -> None:
    assert ",...," not in cell.render(REPORT)
    assert str(SQUARES[20]) in cell.render(REPORT)
