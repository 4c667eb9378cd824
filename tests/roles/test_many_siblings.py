"""A module with very many tensors: time is linear in their number, and a tensor's neighbours still count."""

from collections.abc import Callable
from time import process_time

import pytest

from decay_audit import roles
from decay_audit.model.parameters import Owner, Parameter

NAMES: dict[str, Callable[[int], str]] = {
    "list": lambda index: f"p{index}",
    "export": lambda index: f"layer{index // 2}_{'b' if index % 2 else 'w'}",
    "affine": lambda index: f"{'shift' if index % 2 else 'gain'}{index // 2}",
    "originals": lambda index: f"x{index}_orig",
    "distinct words": lambda index: "".join(chr(97 + int(digit)) for digit in str(index)),
}


def flat(count: int, form: str, shape: tuple[int, ...] = (3,)) -> list[Parameter]:
    names = [NAMES[form](index) for index in range(count)]
    owner = Owner(tensors=dict.fromkeys(names, shape))
    return [Parameter(name=name, raw_name=name, shape=shape, dtype="float32", owner=owner) for name in names]


def seconds(parameters: list[Parameter]) -> float:
    start = process_time()
    roles.classify(parameters)
    return process_time() - start


@pytest.mark.parametrize("form", NAMES)
def test_twice_as_many_parameters_in_one_module_take_about_twice_as_long(form: str) -> None:
    few, many = flat(1000, form), flat(8000, form)
    seconds(few)  # so that both are measured with the tables of words at hand
    assert seconds(many) < 30 * max(seconds(few), 0.01)  # 8 times in theory, 64 if each were compared with all


def test_a_weight_and_a_bias_that_stand_together_are_a_pair_among_many_others() -> None:
    shapes = {f"layer{index}_{kind}": shape for index in range(200) for kind, shape in (("w", (4, 3)), ("b", (4,)))}
    owner = Owner(tensors=shapes)
    classified = roles.classify(
        Parameter(name=name, raw_name=name, shape=shape, dtype="float32", owner=owner) for name, shape in shapes.items()
    )
    assert {item.role for item in classified if item.parameter.name.endswith("_b")} == {"bias"}
    assert {item.role for item in classified if item.parameter.name.endswith("_w")} == {"linear_weight"}
