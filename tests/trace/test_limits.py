"""Where a trace ends, it says so, and what it saw until then stands."""

import pytest
import torch
from torch import Tensor, nn

from decay_audit.sources.trace import dispatch, propagate, run
from tests.trace.reading import parameters, roles, traced


class Asking(nn.Module):
    """Asks about values on its way."""

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


def test_a_model_that_asks_about_values_is_traced_on_one_of_its_ways_and_a_note_says_so() -> None:
    found = traced(Asking(), (5, 4))
    assert found.complete
    assert {"experts.2.weight", "last.bias"} <= found.uses.keys()
    assert "took one of the ways" in found.notes[0]


def test_a_pass_that_breaks_leaves_what_it_saw_and_says_why() -> None:
    class Broken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.seen, self.unseen = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            y = self.seen(x).detach().numpy()
            return self.unseen(torch.from_numpy(y))  # type: ignore[no-any-return]

    found = traced(Broken(), (5, 4))
    assert not found.complete
    assert "2 of 4 parameters" in found.notes[0]
    uses = {parameter.name: parameter.uses for parameter in parameters(Broken(), (5, 4))}
    assert uses["seen.weight"]
    assert uses["unseen.weight"] is None


def test_a_pass_without_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.p = nn.Parameter(torch.zeros(4))

        def forward(self, x: Tensor) -> Tensor:
            while True:
                x = x * self.p

    monkeypatch.setattr(dispatch, "MAX_CALLS", 1000)
    found = traced(Endless(), (5, 4))
    assert not found.complete
    assert "more than 1000 operators" in found.notes[0]
    assert found.uses.keys() == {"p"}


def test_a_mistake_of_the_tracer_is_not_called_one_of_the_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(propagate, "MATRIX_SLOTS", None)
    with pytest.raises(TypeError):
        traced(nn.Linear(4, 4), (5, 4))


def test_lazy_parameters_are_not_traced_and_stay_lazy() -> None:
    model = nn.Sequential(nn.LazyLinear(4))
    found = traced(model, (5, 4))
    assert not found.complete
    assert "lazy" in found.notes[0]
    assert isinstance(model[0], nn.LazyLinear)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
def test_a_scripted_model_is_traced_or_said_not_to_be() -> None:
    found = traced(torch.jit.script(nn.Sequential(nn.Linear(4, 4), nn.ReLU())), (5, 4))
    assert found.complete == (found.uses.keys() == {"0.weight", "0.bias"})


def test_towers_that_the_pass_leaves_out_are_fed_on_their_own() -> None:
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


def test_a_loop_over_the_experts_that_were_hit_visits_each_of_them() -> None:
    class Mixture(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate = nn.Linear(4, 3)
            self.experts = nn.ModuleDict({f"expert_{number}": nn.Linear(4, 4) for number in range(3)})

        def forward(self, x: Tensor) -> Tensor:
            hit = self.gate(x).softmax(-1).sum(0) > 0.1
            for number in hit.nonzero():
                x = x + self.experts[f"expert_{number[0]}"](x)
            return x

    found = traced(Mixture(), (5, 4))
    assert found.complete
    assert len(found.uses) == 8


def test_a_layer_that_is_cast_on_the_way_keeps_its_parameters_names() -> None:
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


def test_parts_are_left_alone_once_the_pass_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.p = nn.Parameter(torch.zeros(4))
            self.part = nn.Linear(4, 4)
            self.part.dummy_inputs = {"input": torch.zeros(2, 4)}  # type: ignore[assignment]

        def forward(self, x: Tensor) -> Tensor:
            while True:
                x = x * self.p

    monkeypatch.setattr(dispatch, "MAX_CALLS", 1000)
    monkeypatch.setattr(run, "MAX_CALLS", 1000)
    assert traced(Endless(), (5, 4)).uses.keys() == {"p"}


def test_a_tower_that_a_broken_pass_left_half_done_is_run_on_its_own() -> None:
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

    found = traced(Model(), (2, 3))
    assert not found.complete
    assert len(found.uses) == 4


class Pairs(nn.Module):
    """Takes a long table apart by its columns."""

    def forward(self, x: Tensor) -> Tensor:
        first, second = x.unbind(1)
        return first + second


def test_a_pass_that_takes_everything_apart_is_ended() -> None:
    class Walking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return sum((row for row in self.first(x)), torch.zeros(4))

    found = traced(Walking(), (50_000, 4))
    assert not found.complete
    assert "walks over 50000 rows" in found.notes[0]
    assert traced(Pairs(), (50_000, 2)).complete
    assert len(found.uses) == 2
