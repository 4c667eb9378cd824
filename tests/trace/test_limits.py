"""A trace that does not reach the end says so, and keeps the uses recorded before."""

import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from decay_audit import read
from decay_audit.sources.trace import limits
from decay_audit.sources.trace.dataflow import propagate
from decay_audit.sources.trace.example_inputs import size_errors
from decay_audit.sources.trace.limits import Limits
from tests.trace.traced import parameters, roles, traced


class ValueDependent(nn.Module):
    """Its control flow depends on tensor values."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.gate, self.last = nn.Linear(4, 4), nn.Linear(4, 3), nn.Linear(4, 4)
        self.experts = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        if x.sum() > 0:
            x = x + 1
        _, chosen = self.gate(x).topk(2)
        for number, expert in enumerate(self.experts):
            rows, _ = torch.where(chosen == number)
            x = x.index_add(0, rows, expert(x[rows]))
        return self.last(x[x[:, 0] > 0])  # type: ignore[no-any-return]


def test_of_control_flow_that_depends_on_values_one_branch_is_traced_and_a_note_says_so() -> None:
    result = traced(ValueDependent(), (5, 4))
    assert result.complete
    assert {"experts.2.weight", "last.bias"} <= result.uses.keys()
    assert "one branch was traced" in result.notes[0]


def test_a_pass_that_fails_keeps_the_uses_recorded_before_and_says_why() -> None:
    class Broken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            y = self.first(x).detach().numpy()
            return self.second(torch.from_numpy(y))  # type: ignore[no-any-return]

    result = traced(Broken(), (5, 4))
    assert not result.complete
    assert "2 of 4 parameters" in result.notes[0]
    uses = {parameter.name: parameter.uses for parameter in parameters(Broken(), (5, 4))}
    assert uses["first.weight"]
    assert uses["second.weight"] is None


def test_an_endless_pass_is_stopped() -> None:
    class Endless(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.p = nn.Parameter(torch.zeros(4))

        def forward(self, x: Tensor) -> Tensor:
            while True:
                x = x * self.p

    result = traced(Endless(), (5, 4), limits=Limits(calls=1000))
    assert not result.complete
    assert "more than 1,000 operators" in result.notes[0]
    assert result.uses.keys() == {"p"}


class Counts(nn.Module):
    """Uses its parameter, and then runs code without operators."""

    def __init__(self) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.zeros(4))

    def forward(self, x: Tensor) -> Tensor:
        x = x * self.p
        self.run()
        return x

    def run(self) -> None:
        while True:
            pass


class Swallows(Counts):
    def run(self) -> None:
        count = 0
        while True:
            try:
                count += 1
            except Exception:  # noqa: BLE001
                count = 0


class Recurses(Counts):
    def run(self) -> None:
        for _ in range(2):
            self.run_deeper(30)

    def run_deeper(self, depth: int) -> None:
        if depth:
            self.run_deeper(depth - 1)
            self.run_deeper(depth - 1)


@pytest.mark.parametrize("model", [Counts(), Swallows(), Recurses()])
def test_a_loop_without_operators_is_stopped_at_the_same_line_each_time(model: Counts) -> None:
    for _ in range(2):
        result = traced(model, (5, 4), limits=Limits(lines=10_000))
        assert "more than 10,000 lines of Python code" in result.notes[0]
        assert result.uses.keys() == {"p"}
    assert sys.gettrace() is None


def test_lines_of_torch_and_of_short_loops_are_not_too_many() -> None:
    model = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    assert traced(model, (2, 5, 8), limits=Limits(lines=5_000)).complete


class Waits(Counts):
    def run(self) -> None:
        time.sleep(60)


@pytest.fixture
def free_alarm() -> Iterator[None]:
    """No other test has left a handler of alarms: with one, no time is measured."""
    handler = signal.signal(signal.SIGALRM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGALRM, handler)


@pytest.mark.usefixtures("free_alarm")
def test_a_pass_that_waits_is_stopped_and_no_other_input_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SECONDS_WITHOUT_OPERATOR", 0.5)
    started = time.monotonic()
    inventory = read(Waits())
    assert time.monotonic() - started < 30
    assert inventory.parameters[0].uses
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL


class SlowList(nn.Linear):
    """A model whose parameters take long to list, as on a busy machine."""

    def named_parameters(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, nn.Parameter]]:
        time.sleep(0.2)
        yield from super().named_parameters(*args, **kwargs)


@pytest.mark.usefixtures("free_alarm")
def test_only_the_forward_pass_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SECONDS_WITHOUT_OPERATOR", 0.1)
    assert traced(SlowList(4, 4), (5, 4)).complete


def test_a_handler_of_alarms_that_the_user_has_set_stays_and_no_time_is_measured() -> None:
    def handler(_signal: int, _frame: object) -> None: ...

    signal.signal(signal.SIGALRM, handler)
    try:
        assert traced(nn.Linear(4, 4), (5, 4)).complete
        assert signal.getsignal(signal.SIGALRM) is handler
    finally:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)


def test_an_interrupt_ends_the_trace_and_leaves_no_hooks() -> None:
    class Interrupted(Counts):
        def run(self) -> None:
            raise KeyboardInterrupt

    model = Interrupted()
    before = model.p
    with pytest.raises(KeyboardInterrupt):
        read(model)
    assert model.p is before
    assert model.training
    assert sys.gettrace() is None
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL


def test_lines_are_not_counted_while_a_debugger_traces_them() -> None:
    class Debugged(Counts):
        def run(self) -> None:
            for _ in range(100):
                pass

    def debugger(_frame: object, _event: str, _argument: object) -> None: ...

    previous = sys.gettrace()
    sys.settrace(debugger)
    try:
        assert traced(Debugged(), (5, 4), limits=Limits(lines=10)).complete
        assert sys.gettrace() is debugger
    finally:
        sys.settrace(previous)


def test_an_error_of_the_tracer_is_not_reported_as_one_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(propagate, "MATRIX_SLOTS", None)
    with pytest.raises(TypeError):
        traced(nn.Linear(4, 4), (5, 4))


def test_an_error_in_the_code_of_example_inputs_is_not_reported_as_one_of_the_model() -> None:
    class Correcting(nn.Module):
        def forward(self, x: Tensor) -> Any:
            return size_errors.corrected(None, "got [8, 80] X [320, 4]")  # type: ignore[arg-type]

    with pytest.raises(AttributeError):
        traced(Correcting(), (5, 4))


def test_lazy_parameters_are_not_traced_and_stay_lazy() -> None:
    model = nn.Sequential(nn.LazyLinear(4))
    result = traced(model, (5, 4))
    assert not result.complete
    assert "lazy" in result.notes[0]
    assert isinstance(model[0], nn.LazyLinear)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
def test_a_scripted_model_is_traced_or_the_trace_says_that_it_is_incomplete() -> None:
    result = traced(torch.jit.script(nn.Sequential(nn.Linear(4, 4), nn.ReLU())), (5, 4))
    assert result.complete == (result.uses.keys() == {"0.weight", "0.bias"})


def test_a_module_that_the_pass_does_not_reach_is_traced_separately() -> None:
    class Tower(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 3)
            self.example_input_array = torch.zeros(2, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(x)  # type: ignore[no-any-return]

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.text, self.vision = nn.Linear(4, 4), Tower()

        def forward(self, x: Tensor, image: Tensor | None = None) -> Tensor:
            y = self.text(x)
            return y if image is None else y + self.vision(image).sum()  # type: ignore[no-any-return]

    assert roles(Both(), (2, 4))["vision.fc.weight"] == "linear_weight certain"
    assert "vision" in traced(Both(), (2, 4)).notes[0]


def test_a_loop_over_the_chosen_experts_visits_all_of_them() -> None:
    class Mixture(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate = nn.Linear(4, 3)
            self.experts = nn.ModuleDict({f"expert_{number}": nn.Linear(4, 4) for number in range(3)})

        def forward(self, x: Tensor) -> Tensor:
            chosen = self.gate(x).softmax(-1).sum(0) > 0.1
            for number in chosen.nonzero():
                x = x + self.experts[f"expert_{number[0]}"](x)
            return x

    result = traced(Mixture(), (5, 4))
    assert result.complete
    assert len(result.uses) == 8


def test_a_layer_that_the_pass_casts_keeps_the_names_of_its_parameters() -> None:
    class Router(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            self.gate = self.gate.to(torch.float64)
            return self.gate(x)  # type: ignore[no-any-return]

    model = Router()
    assert traced(model, (5, 4)).uses.keys() == {"gate.weight", "gate.bias"}
    assert model.gate.weight.dtype == torch.float32


def test_modules_are_not_traced_separately_after_the_limit_was_reached() -> None:
    class Endless(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.p = nn.Parameter(torch.zeros(4))
            self.part = nn.Linear(4, 4)
            self.part.dummy_inputs = {"input": torch.zeros(2, 4)}  # type: ignore[assignment]

        def forward(self, x: Tensor) -> Tensor:
            while True:
                x = x * self.p

    assert traced(Endless(), (5, 4), limits=Limits(calls=1000)).uses.keys() == {"p"}


def test_a_module_that_a_failed_pass_reached_in_part_is_traced_separately() -> None:
    class Tower(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(3, 3), nn.Linear(3, 3)
            self.example_input_array = torch.zeros(2, 3)

        def forward(self, x: Tensor, *, broken: bool = False) -> Tensor:
            x = self.first(x)
            if broken:
                raise ValueError
            return self.last(x)  # type: ignore[no-any-return]

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tower = Tower()

        def forward(self, x: Tensor) -> Tensor:
            return self.tower(x, broken=True)  # type: ignore[no-any-return]

    result = traced(Model(), (2, 3))
    assert not result.complete
    assert len(result.uses) == 4


class Pairs(nn.Module):
    """Splits a long table by its columns."""

    def forward(self, x: Tensor) -> Tensor:
        first, second = x.unbind(1)
        return first + second


def test_a_pass_that_iterates_over_very_many_rows_is_stopped() -> None:
    class Iterating(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return sum((row for row in self.first(x)), torch.zeros(4))

    result = traced(Iterating(), (50_000, 4))
    assert not result.complete
    assert "iterates over 50000 rows" in result.notes[0]
    assert traced(Pairs(), (50_000, 2)).complete
    assert len(result.uses) == 2
