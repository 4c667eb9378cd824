"""The awkward sample of the zoo: structure, use and the state dict agree but where a reason is written down."""

from functools import cache

import pytest

from benchmarks.zoo_answers import Answers, answer
from benchmarks.zoo_models import names
from benchmarks.zoo_readings import reading
from benchmarks.zoo_reasons import REASONS, reason
from benchmarks.zoo_sample import SAMPLE
from decay_audit import load_rules

pytestmark = pytest.mark.filterwarnings("ignore")  # what other libraries say of their constructors


@cache
def answers(name: str) -> Answers:
    return answer(reading(name), (load_rules("torch-default"),))


@pytest.mark.parametrize("name", SAMPLE)
def test_an_awkward_architecture_is_named_alike_by_structure_and_by_use(name: str) -> None:
    found = answers(name)
    assert found.failure is None
    assert found.traced
    assert found.parameters > 0
    assert found.touched > 0.8 * found.parameters
    assert found.answered > 0.5 * found.touched
    unexplained = [case for case in found.disagreements if reason(case) == "not explained yet"]
    assert unexplained == []
    assert found.unclassified == ()
    assert sum(wrong for _, wrong in found.header.values()) <= 0.005 * found.parameters
    assert sum(found.decayed["torch-default"].values()) == found.parameters


def test_the_sample_is_of_architectures_that_there_are() -> None:
    assert set(SAMPLE) <= set(names())
    assert len(SAMPLE) == len(set(SAMPLE)) >= 80


def test_a_reason_speaks_of_roles_and_not_of_everything() -> None:
    assert all(one.structure and one.use for one in REASONS)
