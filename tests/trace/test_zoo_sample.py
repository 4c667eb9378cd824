"""Unusual architectures of the zoo: structure, use and state dict agree, or a recorded reason explains why not."""

from functools import cache

import pytest

from benchmarks.zoo.answers import Answers, answer
from benchmarks.zoo.models import names
from benchmarks.zoo.readings import reading
from benchmarks.zoo.reasons import REASONS, reason
from benchmarks.zoo.sample import SAMPLE
from decay_audit import load_rules

pytestmark = pytest.mark.filterwarnings("ignore")  # other libraries warn in their constructors


@cache
def answers(name: str) -> Answers:
    return answer(reading(name), (load_rules("torch-default"),))


@pytest.mark.parametrize("name", SAMPLE)
def test_structure_and_use_agree_on_the_roles_of_an_unusual_architecture(name: str) -> None:
    result = answers(name)
    assert result.failure is None
    assert result.traced
    assert result.parameters > 0
    assert result.used > 0.8 * result.parameters
    assert result.answered > 0.5 * result.used
    unexplained = [case for case in result.disagreements if reason(case) == "not explained yet"]
    assert unexplained == []
    assert result.unclassified == ()
    assert sum(wrong for _, wrong in result.header.values()) <= 0.005 * result.parameters
    assert sum(result.decayed["torch-default"].values()) == result.parameters


def test_every_architecture_of_the_sample_exists() -> None:
    assert set(SAMPLE) <= set(names())
    assert len(SAMPLE) == len(set(SAMPLE)) >= 80


def test_every_reason_names_the_roles_that_it_explains() -> None:
    assert all(row.structure and row.use for row in REASONS)
