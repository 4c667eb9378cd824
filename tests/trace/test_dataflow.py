"""The benchmark reads the right action from the autograd graph for the parameters of torch's own layers."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from benchmarks.field.dataflow import ROLES_OF_ACTION, parameter_actions
from tests.trace.test_handwritten import Lambda, rms_norm


def actions(module: nn.Module, *args: Tensor) -> dict[str, set[str]]:
    found = parameter_actions(module.eval(), args)
    return {name: {item.action for item in items} for name, items in found.items()}


@pytest.mark.parametrize(
    ("module", "size", "expected"),
    [
        (nn.Linear(4, 3), (2, 4), {"weight": {"matrix"}, "bias": {"vector summand"}}),
        (nn.Linear(4, 3), (2, 5, 4), {"weight": {"matrix"}, "bias": {"vector summand"}}),
        (nn.Conv2d(4, 3, 3), (2, 4, 6, 6), {"weight": {"matrix"}, "bias": {"vector summand"}}),
        (nn.LayerNorm(4), (2, 4), {"weight": {"norm gain"}, "bias": {"norm shift"}}),
        (nn.GroupNorm(2, 4), (2, 4, 5), {"weight": {"norm gain"}, "bias": {"norm shift"}}),
        (nn.PReLU(4), (2, 4, 5), {"weight": {"slope"}}),
    ],
)
def test_a_layer_of_torch_does_what_its_documentation_says(
    module: nn.Module, size: tuple[int, ...], expected: dict[str, set[str]]
) -> None:
    assert actions(module, torch.randn(size)) == expected


def test_a_table_is_looked_up() -> None:
    assert actions(nn.Embedding(9, 4), torch.tensor([[1, 2]])) == {"weight": {"table"}}


@pytest.mark.parametrize(
    ("forward", "shapes", "expected"),
    [
        (rms_norm, [(6,)], ["norm gain"]),
        (lambda x, p: x * p, [(6,)], ["gain"]),
        (lambda x, p: x + p, [(6,)], ["vector summand"]),
        (lambda x, p: x + p, [(5, 6)], ["matrix summand"]),
        (lambda x, p: (x.unsqueeze(-2) * p).sum(-1), [(4, 6)], ["matrix"]),
        (lambda x, p: torch.cat([p.expand(2, -1, -1), x], 1), [(1, 2, 6)], ["token"]),
        (lambda x, p, q: x @ (p @ q), [(6, 3), (3, 6)], ["derived", "derived"]),
    ],
)
def test_code_by_hand_does_what_it_says(
    forward: Callable[..., Tensor], shapes: list[tuple[int, ...]], expected: list[str]
) -> None:
    model = Lambda(forward, *shapes)
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    assert list(actions(model, torch.randn(2, 5, 6)).values()) == [{action} for action in expected]


def test_what_a_parameter_does_allows_no_role_of_another_kind() -> None:
    assert not ROLES_OF_ACTION["matrix"] & ROLES_OF_ACTION["vector summand"]
    assert not ROLES_OF_ACTION["norm gain"] & ROLES_OF_ACTION["norm shift"]
