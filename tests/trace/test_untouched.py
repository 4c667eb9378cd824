"""A trace leaves the model, torch and the random state as they were, and computes nothing."""

import random
import resource
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from decay_audit import read
from decay_audit.sources.trace import ExampleInputs, make_example_inputs, trace, with_uses
from tests.trace.traced import slots, traced


class Busy(nn.Module):
    """Changes everything about itself that a forward pass can change."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        self.fc = nn.Linear(4, 4)
        self.drop = nn.Dropout(0.5)
        self.register_buffer("steps", torch.zeros(3))
        self.seen: list[int] = []
        self.cache: dict[str, Tensor] = {}
        self.spare = nn.Parameter(torch.ones(4))
        self.grid = torch.arange(4.0)

    steps: Tensor

    def forward(self, x: Tensor) -> Any:
        self.seen.append(len(x))
        self.steps += 1
        self.last = x
        self.cache["x"] = x
        self.register_buffer("late", torch.zeros(2))
        random.random()
        y = self.drop(self.fc(self.norm(x))) + torch.randn(4) + self.grid
        return y * self.spare if self.training else y


def snapshot(model: nn.Module) -> dict[str, Any]:
    return {
        "tensors": {name: tensor.clone() for name, tensor in model.state_dict().items()},
        "flags": [module.training for module in model.modules()],
        "gradients": [parameter.grad for parameter in model.parameters()],
        "attributes": [sorted(vars(module)) for module in model.modules()],
        "hooks": [len(module._forward_hooks) for module in model.modules()],
        "identities": [id(parameter) for parameter in model.parameters()],
        "random": (random.getstate(), torch.get_rng_state().tolist()),
        "gradient mode": torch.is_grad_enabled(),
    }


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    return bool(one == other)


@pytest.mark.parametrize("training", [True, False])
def test_a_trace_leaves_everything_as_it_was(training: bool) -> None:
    model = Busy().train(training)
    model.norm.eval()
    model.fc.register_forward_hook(lambda module, args, output: None)
    before = snapshot(model)
    assert traced(model, (2, 4)).complete
    after = snapshot(model)
    assert [key for key in before if not equal(before[key], after[key])] == []
    assert model.seen == []
    assert model.cache == {}
    assert not hasattr(model, "last")


def test_containers_that_refuse_changes_are_left_alone() -> None:
    class Frozen(dict[str, Any]):
        def clear(self) -> None:
            raise TypeError

        def update(self, *args: Any, **kwargs: Any) -> None:
            raise TypeError

        def __setitem__(self, key: str, value: Any) -> None:
            raise TypeError

    model = nn.Linear(4, 4)
    model.settings = Frozen(width=4)  # type: ignore[assignment]
    assert traced(model, (2, 4)).complete
    assert model.settings == {"width": 4}


def test_a_failed_trace_leaves_everything_as_it_was_too() -> None:
    model = Busy()
    before = snapshot(model)
    assert not traced(model, (2, 5)).complete
    after = snapshot(model)
    assert [key for key in before if not equal(before[key], after[key])] == []


def test_a_model_works_as_before_after_a_trace() -> None:
    model, x = Busy().eval(), torch.randn(2, 4)
    torch.manual_seed(1)
    expected = model(x)
    traced(model, (2, 4))
    torch.manual_seed(1)
    assert torch.equal(model(x), expected)
    model.train()(x).sum().backward()
    assert model.fc.weight.grad is not None


def test_a_second_pass_finds_what_only_training_uses() -> None:
    assert slots(Busy(), (2, 4))["spare"] == ["mul.other"]


def test_a_model_on_meta_and_one_on_the_cpu_show_the_same() -> None:
    with torch.device("meta"):
        on_meta = Busy()
    assert slots(on_meta, (2, 4)) == slots(Busy(), (2, 4))


def test_activations_of_sixteen_gibibytes_cost_no_memory() -> None:
    net = nn.Sequential(nn.Conv2d(3, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert traced(net, torch.empty(1024, 3, 256, 256, device="meta")).complete
    growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert growth < 200_000  # kilobytes; the activations would take 3 x 16 GiB


def test_uses_are_empty_for_a_parameter_that_the_pass_does_not_use_and_none_without_a_trace() -> None:
    class Part(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.idle = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.used(x)  # type: ignore[no-any-return]

    model = Part()
    inventory = read(model)
    assert [parameter.uses for parameter in inventory.parameters] == [None] * 4
    parameters = with_uses(inventory, trace(model, ExampleInputs(args=(torch.empty(2, 4),)))).parameters
    assert [bool(parameter.uses) for parameter in parameters] == [True, True, False, False]
    assert parameters[2].uses == ()
    assert with_uses(inventory, traced(model, (2, 4))).notes == ("the forward pass did not use idle.weight, idle.bias",)


def test_a_wrapped_model_is_traced_under_its_own_names() -> None:
    model = nn.DataParallel(nn.Sequential(nn.Linear(4, 4)))
    parameters = with_uses(read(model), traced(model, (2, 4))).parameters
    assert {parameter.raw_name: bool(parameter.uses) for parameter in parameters} == {
        "module.0.weight": True,
        "module.0.bias": True,
    }


@pytest.mark.parametrize(
    "name", ["resnet18", "vit_tiny_patch16_224", "convnextv2_atto", "swin_tiny_patch4_window7_224"]
)
def test_the_parameters_that_a_trace_uses_are_those_that_get_a_gradient(name: str) -> None:
    import timm

    model: Any = timm.create_model(name).eval()
    used = set(trace(model, make_example_inputs(model)).uses)
    model(torch.zeros(1, *model.default_cfg["input_size"])).sum().backward()
    assert used == {name for name, parameter in model.named_parameters() if parameter.grad is not None}
