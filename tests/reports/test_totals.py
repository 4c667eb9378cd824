"""Numbers as people read them, and names that do nothing but name."""

import math

import pytest
from hypothesis import given, strategies as st

from decay_audit.reports.terminal.layout import break_name, cell_width, paragraph
from decay_audit.reports.totals import amount, factors, share
from decay_audit.text import count_noun, escape_control, format_coefficient


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (5e-4, "5e-4"),
        (1e-4, "1e-4"),
        (0.05, "0.05"),
        (0.1, "0.1"),
        (0.01, "0.01"),
        (0.001, "1e-3"),
        (2.5e-5, "2.5e-5"),
        (0.0375, "0.0375"),
        (1.0, "1"),
        (10.0, "10"),
        (0.1 * 0.05, "5e-3"),
        (1e22, "1e22"),
        (math.inf, "inf"),
        (math.nan, "nan"),
    ],
)
def test_a_coefficient_is_short(value: float, text: str) -> None:
    assert format_coefficient(value) == text


@given(st.floats(min_value=1e-12, max_value=1e3))
def test_a_coefficient_is_exact_to_twelve_digits(value: float) -> None:
    assert math.isclose(float(format_coefficient(value)), value, rel_tol=1e-11)


@pytest.mark.parametrize(
    ("numel", "text"),
    [
        (0, "0"),
        (640, "640"),
        (999, "999"),
        (1000, "1.0 k"),
        (57536, "57.5 k"),
        (999_949, "999.9 k"),
        (999_999, "1.00 M"),
        (34_426_698, "34.43 M"),
        (6_738_415_616, "6.74 B"),
        (2 * 10**12, "2.00 T"),
    ],
)
def test_an_amount_has_about_four_digits(numel: int, text: str) -> None:
    assert amount(numel) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 10, "0 %"),
        (10, 10, "100 %"),
        (0, 0, "0 %"),
        (1, 10**6, "<0.1 %"),
        (10**6 - 1, 10**6, ">99.9 %"),
        (1, 3, "33.3 %"),
    ],
)
def test_a_share_says_nothing_and_all_only_where_it_is_so(part: int, whole: int, text: str) -> None:
    assert share(part, whole) == text


def test_factors_are_written_in_four_digits_and_as_a_range_where_they_differ() -> None:
    assert factors([0.1]) == "x0.1"
    assert factors([0.75**13, 0.75, 0.75**2]) == "x0.02376..0.75"
    assert factors([10.0, 1.0]) == "x1..10"


def test_things_are_counted_in_words() -> None:
    assert count_noun(1, "tensor") == "1 tensor"
    assert count_noun(1234, "tensor") == "1,234 tensors"
    assert count_noun(2, "bias", "biases") == "2 biases"


@given(st.text())
def test_a_visible_name_prints_and_tells_every_name_apart(name: str) -> None:
    shown = escape_control(name)
    assert shown.isprintable()
    assert shown.encode("utf-8", "surrogatepass").decode() == shown
    assert _read(shown) == name


def _read(shown: str) -> str:
    escaped = "".join(letter if letter == "\\" or letter.isascii() else f"\\U{ord(letter):08x}" for letter in shown)
    return escaped.encode("ascii").decode("unicode_escape")


@given(st.text(alphabet="ab._,名", max_size=60), st.integers(2, 30))
def test_a_break_name_name_loses_nothing_and_fits(name: str, width: int) -> None:
    lines = break_name(name, width)
    assert "".join(lines) == name
    assert all(cell_width(line) <= width for line in lines)


@given(st.lists(st.text(alphabet="ab名", min_size=1, max_size=9), min_size=1), st.integers(12, 40))
def test_a_paragraph_loses_nothing_and_fits(words: list[str], width: int) -> None:
    lines = list(paragraph("- ", " ".join(words), width))
    assert " ".join(line[2:] for line in lines) == " ".join(words)
    assert all(cell_width(line) <= width or " " not in line[2:] for line in lines)


def test_wide_characters_take_two_columns() -> None:
    assert cell_width("名前") == 4
    assert cell_width("naïve") == 5
