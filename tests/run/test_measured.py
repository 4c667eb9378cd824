"""Steps that are measured in the script's process say the same as steps that are measured on live optimizers."""

import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import torch
from torch import nn
from torch.optim import Optimizer

from decay_audit.api.request import Request
from decay_audit.api.running import tool_settings
from decay_audit.model.observations import Observation
from decay_audit.model.records import Record, RecordedMeasurement
from decay_audit.optimizers import find, recorded
from decay_audit.optimizers.measure import measure
from decay_audit.sources import module
from decay_audit.sources.run import grouping, inventory
from decay_audit.sources.run.hooks.decay_audit_recorder import settings, tool
from tests.run.recorders import entries_of, record


class SignDecay(torch.optim.SGD):
    """Moves each element towards 0 by lr x weight_decay, whatever its size is."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            for tensor in group["params"]:
                tensor.sub_(group["lr"] * (tensor.grad + group["weight_decay"] * tensor.sign()))


class StepsByItsOwnMethods(Optimizer):
    """A wrapper like SAM: its own `step` raises, and `second_step` takes the step of the optimizer inside."""

    def __init__(self, params: Any, **settings: Any) -> None:
        super().__init__(params, settings)
        self.inner = torch.optim.SGD(self.param_groups, **settings)
        self.param_groups = self.inner.param_groups

    def step(self, closure: Any = None) -> Any:
        raise NotImplementedError

    def second_step(self) -> None:
        self.inner.step()


def model_and_groups() -> tuple[nn.Module, list[dict[str, Any]]]:
    model = nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2))
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    return model, [
        {"params": model[0].parameters(), "weight_decay": 0.05},
        {"params": model[1].parameters(), "weight_decay": 0.0},
    ]


def with_results(
    optimizer: Optimizer, model: nn.Module, monkeypatch: pytest.MonkeyPatch, *, stepping: Any = None, **changes: Any
) -> Record:
    """The record of an optimizer with what decay-audit measures in this process."""
    monkeypatch.setattr(settings, "TOOL", {**tool_settings(Request(target="")), **changes})
    results = tool.results(entries_of([optimizer]), stepping)
    measurements = msgspec.convert(results["measurements"], tuple[RecordedMeasurement, ...])
    return msgspec.structs.replace(record([optimizer], model), measurements=measurements, notes=tuple(results["notes"]))


def observed(made: Record, *, known_classes: bool = True) -> recorded.RecordedObservations:
    (audited,) = grouping.group_by_audit(made)
    names = inventory.read(made, audited.models, "model").names
    read = recorded.observe(made, audited.optimizers, names)
    return recorded.with_measurements(read, made, audited.optimizers, names, known_classes=known_classes)


def observations_of(made: Record) -> tuple[Observation, ...]:
    return observed(made)[1]


@pytest.mark.parametrize(
    ("kind", "known_classes", "is_failure"),
    [(SignDecay, False, True), (torch.optim.AdamW, False, False), (torch.optim.AdamW, True, True)],
)
def test_a_python_that_cannot_measure_is_a_failure_only_where_a_step_was_to_be_measured(
    kind: Callable[..., Optimizer], known_classes: bool, is_failure: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, groups = model_and_groups()
    made = with_results(kind(groups, lr=0.1), model, monkeypatch, python=[3, 8])
    (optimizer,) = observed(made, known_classes=known_classes)[0]
    assert bool(optimizer.failed_measurement) == is_failure


@pytest.mark.parametrize("kind", [SignDecay, torch.optim.AdamW, torch.optim.Adam])
def test_a_step_that_is_measured_in_the_script_is_that_of_the_live_optimizer(
    kind: type[Optimizer], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, groups = model_and_groups()
    optimizer = kind(groups, lr=0.1)  # type: ignore[call-arg]
    seen = observations_of(with_results(optimizer, model, monkeypatch, measure="all"))
    names = module.names_by_tensor(model, module.read(model))
    expected = measure(find.find(optimizer), names).observations
    assert [msgspec.structs.replace(each, optimizer="") for each in seen] == [
        msgspec.structs.replace(each, optimizer="") for each in expected
    ]
    assert all(each.movement for each in seen)


def test_only_an_unknown_class_is_measured_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    model, groups = model_and_groups()
    known = observations_of(with_results(torch.optim.AdamW(groups), model, monkeypatch))
    unknown = observations_of(with_results(SignDecay(model.parameters(), lr=0.1), model, monkeypatch))
    assert ({each.movement for each in known}, {each.movement for each in unknown}) == ({None}, {"none"})


def test_the_inner_optimizer_is_measured_where_the_script_steps_it_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    model, groups = model_and_groups()
    optimizer = StepsByItsOwnMethods(groups, lr=0.1, weight_decay=0.0)
    made = with_results(optimizer, model, monkeypatch, stepping=optimizer.inner)
    movements = {each.parameter: each.movement for each in observations_of(made)}
    assert movements == {"0.weight": "proportional", "0.bias": "proportional", "1.weight": "none", "1.bias": "none"}
    assert made.notes[0].startswith("of StepsByItsOwnMethods only the step of SGD was measured: ")
    assert with_results(optimizer, model, monkeypatch, stepping=optimizer).measurements[0].failure


def test_a_python_of_another_version_says_why_nothing_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    model, groups = model_and_groups()
    made = with_results(SignDecay(groups), model, monkeypatch, python=[3, 8])
    failure = "the script's Python cannot import decay-audit (which runs with Python 3.8)"
    assert made.measurements == (RecordedMeasurement(failure=failure),)


def test_measuring_changes_neither_the_weights_nor_the_random_numbers_of_the_script(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, groups = model_and_groups()
    optimizer = SignDecay(groups, lr=0.1)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    state, numbers = torch.get_rng_state(), random.getstate()
    with_results(optimizer, model, monkeypatch)
    assert torch.equal(torch.get_rng_state(), state)
    assert random.getstate() == numbers
    assert all(map(torch.equal, before, model.parameters()))
    assert not optimizer.state
