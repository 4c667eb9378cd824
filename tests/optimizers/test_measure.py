"""What a step with a gradient of zero does, and that measuring it changes nothing."""

import gc
import random
import threading
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any, ClassVar

import numpy
import pytest
import torch
from timm.optim.lookahead import Lookahead as TimmLookahead
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from decay_audit.model.observations import Observation
from decay_audit.optimizers.find import find
from decay_audit.optimizers.measure import measure
from decay_audit.optimizers.measure.probe_tensors import LARGEST_LIMIT, known_values, shrink_shape

Lookahead: Any = TimmLookahead


def net(dtype: torch.dtype = torch.float32, device: str = "cpu") -> nn.Sequential:
    layers = (nn.Linear(6, 8), nn.Conv2d(2, 4, 3), nn.LayerNorm(4))
    return nn.Sequential(*layers).to(device=device, dtype=dtype)


def measured(optimizer: object, model: nn.Module) -> dict[str, Observation]:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {observation.parameter: observation for observation in measure(find(optimizer), names).observations}


def movements(optimizer: object, model: nn.Module) -> set[str | None]:
    return {observation.movement for observation in measured(optimizer, model).values()}


class MatricesOnly(torch.optim.SGD):
    """Decays matrices only, whatever the groups say, as LARS implementations do inside their step."""

    @torch.no_grad()
    def step(self, closure: object = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and parameter.ndim > 1:
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])


class Cautious(torch.optim.SGD):
    """Decays only where the step on the gradient shrinks the weight."""

    @torch.no_grad()
    def step(self, closure: object = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                helps = (parameter.grad * parameter > 0).to(parameter.dtype)
                parameter.sub_(group["lr"] * group["weight_decay"] * helps * parameter)
                parameter.sub_(group["lr"] * parameter.grad)


class LayerwiseScaled(torch.optim.SGD):
    """Scales the step, decay included, by the norms of weight and gradient, as LARC does; not where these are 0."""

    @torch.no_grad()
    def step(self, closure: object = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                weight, gradient = parameter.norm(), parameter.grad.norm()
                if weight and gradient:
                    change = parameter.grad + group["weight_decay"] * parameter
                    trust = 0.02 * weight / (gradient + group["weight_decay"] * weight)
                    parameter.sub_(group["lr"] * trust * change)


class LateStarter(torch.optim.SGD):
    """Does nothing in its first six steps."""

    @torch.no_grad()
    def step(self, closure: object = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            group["count"] = group.get("count", 0) + 1
            for parameter in group["params"]:
                if group["count"] > 6:
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])


class NeedsClosure(torch.optim.SGD):
    """Steps only with a closure."""

    def step(self, closure: Callable[[], torch.Tensor] | None = None) -> torch.Tensor:  # type: ignore[override]
        assert closure is not None, "step() needs a closure"
        loss = closure()
        super().step()
        return loss


class Broken(torch.optim.SGD):
    def step(self, closure: object = None) -> None:  # type: ignore[override]
        raise ZeroDivisionError("the norm of the gradient is 0")


class DividesByZero(torch.optim.SGD):
    @torch.no_grad()
    def step(self, closure: object = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.div_(parameter.grad.norm())


class KeepsParameters(torch.optim.SGD):
    """Keeps its parameters outside its groups too, with locks that cannot be copied; halves what it keeps."""

    def __init__(self, model: nn.Module, place: str) -> None:
        parameters = list(model.parameters())
        super().__init__([{"params": parameters, "lock": threading.Lock()}], lr=0.1, weight_decay=0.1)
        self.defaults["lock"] = threading.Lock()
        if place == "pairs":
            self.references: Any = [(parameter, threading.Lock()) for parameter in parameters]
        elif place == "model":
            model.lock = threading.Lock()  # type: ignore[assignment]
            self.references = model
        elif place == "closure":
            self.references = lambda: parameters
        else:
            GLOBAL_PARAMETERS[:] = parameters
            self.references = None

    def reached(self) -> list[torch.Tensor]:
        if self.references is None:
            return GLOBAL_PARAMETERS
        if isinstance(self.references, list):
            return [parameter for parameter, _ in self.references]
        return (
            list(self.references()) if isinstance(self.references, FunctionType) else list(self.references.parameters())
        )

    @torch.no_grad()
    def step(self, closure: object = None) -> None:  # type: ignore[override]
        super().step()
        for parameter in self.reached():
            parameter.data.mul_(0.5)
            parameter.grad = None


GLOBAL_PARAMETERS: list[torch.Tensor] = []


def test_adamw_shrinks_by_lr_times_weight_decay() -> None:
    model = net()
    for observation in measured(torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.3), model).values():
        assert observation.movement == "proportional"
        assert observation.measured_rate == pytest.approx(0.3, rel=1e-6)


def test_adam_moves_every_element_alike_whatever_the_coefficient() -> None:
    for weight_decay in (0.1, 1e-3):
        model = net()
        assert movements(torch.optim.Adam(model.parameters(), weight_decay=weight_decay), model) == {"sign"}


def test_a_rule_inside_the_step_is_seen_for_each_parameter() -> None:
    model = net()
    observations = measured(MatricesOnly(model.parameters(), lr=0.1, weight_decay=0.1), model)
    assert {name: observation.movement for name, observation in observations.items()} == {
        "0.weight": "proportional",
        "0.bias": "none",
        "1.weight": "proportional",
        "1.bias": "none",
        "2.weight": "none",
        "2.bias": "none",
    }


def test_cautious_decay_is_distinguished_from_none() -> None:
    model = net()
    for observation in measured(Cautious(model.parameters(), lr=0.1, weight_decay=0.1), model).values():
        assert observation.movement == "cautious"
        assert observation.measured_rate == pytest.approx(0.1, rel=1e-3)


def test_decay_that_needs_a_gradient_is_distinguished_from_none() -> None:
    model = net()
    assert movements(LayerwiseScaled(model.parameters(), lr=0.1, weight_decay=0.1), model) == {"normalized"}
    assert movements(LayerwiseScaled(model.parameters(), lr=0.1), model) == {"none"}


def test_a_wrapper_that_cannot_step_alone_is_measured_by_the_optimizer_that_it_wraps() -> None:
    class CannotStep(Lookahead):  # type: ignore[misc]
        pass

    CannotStep.__module__ = "timm.optim"
    CannotStep.__qualname__ = "Lookahead"
    CannotStep.update_slow = None
    model = net()
    assert movements(CannotStep(torch.optim.AdamW(model.parameters()), k=1), model) == {"proportional"}


def test_schedule_free_steps_are_measured_from_the_start_of_a_run() -> None:
    class Averaging(torch.optim.SGD):
        """Its first step counts whole, the second half, and so on."""

        def __init__(self, parameters: Any, **options: float) -> None:
            super().__init__(parameters, **options)  # type: ignore[arg-type]
            self.defaults["k"] = 0
            for group in self.param_groups:
                group["k"] = 0

        @torch.no_grad()
        def step(self, closure: object = None) -> None:  # type: ignore[override]
            for group in self.param_groups:
                group["k"] += 1
                for parameter in group["params"]:
                    parameter.mul_(1 - group["lr"] * group["weight_decay"] / group["k"])

    model = net()
    optimizer = Averaging(model.parameters(), lr=0.1, weight_decay=0.1)
    for expected in (1, 2):
        assert {round(observation.measured_rate or 0, 6) for observation in measured(optimizer, model).values()} == {
            0.1
        }
        optimizer.step()
        assert optimizer.param_groups[0]["k"] == expected


def test_an_optimizer_that_warms_up_by_itself_is_measured_as_after_it() -> None:
    class WarmingUp(torch.optim.SGD):
        """As schedule-free optimizers do, at a rate that is not that of its groups."""

        def __init__(self, parameters: Any, **options: float) -> None:
            super().__init__([{"params": [*parameters], "warmup_steps": 100, "k": 0}], **options)  # type: ignore[arg-type]

        @torch.no_grad()
        def step(self, closure: object = None) -> None:  # type: ignore[override]
            for group in self.param_groups:
                group["k"] += 1
                rate = group["lr"] * (min(1, group["k"] / group["warmup_steps"]) if group["warmup_steps"] else 1)
                for parameter in group["params"]:
                    parameter.mul_(1 - rate * group["weight_decay"])

    model = net()
    optimizer = WarmingUp(model.parameters(), lr=0.1, weight_decay=0.1)
    assert {round(observation.measured_rate or 0, 6) for observation in measured(optimizer, model).values()} == {0.1}
    assert optimizer.param_groups[0]["warmup_steps"] == 100


def test_more_steps_are_taken_where_the_first_move_nothing() -> None:
    model = net()
    assert movements(LateStarter(model.parameters(), lr=0.1, weight_decay=0.1), model) == {"proportional"}


def test_an_optimizer_that_needs_a_closure_gets_one() -> None:
    model = net()
    assert movements(NeedsClosure(model.parameters(), lr=0.1, weight_decay=0.1), model) == {"proportional"}


def test_without_a_coefficient_nothing_moves() -> None:
    model = net()
    assert movements(torch.optim.AdamW(model.parameters(), weight_decay=0), model) == {"none"}


def test_bfloat16_rounds_small_products_away_and_float32_does_not() -> None:
    for dtype, expected in ((torch.bfloat16, "vanishing"), (torch.float32, "proportional")):
        model = net(dtype)
        observations = measured(torch.optim.AdamW(model.parameters(), lr=3e-4, weight_decay=0.1), model)
        assert {
            (observation.movement, round(observation.measured_rate or 0, 6)) for observation in observations.values()
        } == {(expected, 0.1)}


def test_a_step_that_overflows_in_float16_is_unstable_whatever_double_precision_gives() -> None:
    """AdamW's eps is 0 in float16, and a gradient of 0 divides by it; a larger one is not."""
    for eps, expected in ((1e-8, "unstable"), (1e-4, "vanishing")):
        model = net(torch.float16)
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, weight_decay=0.1, eps=eps)
        assert movements(optimizer, model) == {expected}
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
        assert all(bool(parameter.isfinite().all()) is (expected != "unstable") for parameter in model.parameters())


def test_an_lr_of_zero_does_not_hide_the_decay() -> None:
    model = net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: step / 100)
    assert optimizer.param_groups[0]["lr"] == 0
    assert {round(observation.measured_rate or 0, 6) for observation in measured(optimizer, model).values()} == {0.1}


def test_frozen_parameters_are_not_measured() -> None:
    model = net()
    model[0].weight.requires_grad_(False)
    observations = measured(torch.optim.AdamW(model.parameters(), weight_decay=0.1), model)
    assert observations["0.weight"].movement is None
    assert observations["1.weight"].movement == "proportional"


def test_a_model_on_meta_is_measured() -> None:
    model = net(device="meta")
    assert movements(torch.optim.AdamW(model.parameters(), weight_decay=0.1), model) == {"proportional"}


def test_a_large_model_on_meta_is_measured_on_small_probe_tensors() -> None:
    with torch.device("meta"):
        model = nn.Sequential(*(nn.Linear(16_384, 16_384) for _ in range(26)))
    assert sum(parameter.numel() for parameter in model.parameters()) > 6_900_000_000
    assert movements(torch.optim.AdamW(model.parameters(), weight_decay=0.1), model) == {"proportional"}


def test_states_that_the_constructor_makes_are_there_in_the_copy() -> None:
    model = net()
    assert movements(torch.optim.Adagrad(model.parameters(), weight_decay=0.1), model) == {"sign"}


def test_an_optimizer_in_the_middle_of_a_run_is_measured_without_its_momentum() -> None:
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    for _ in range(3):
        for parameter in model.parameters():
            parameter.grad = torch.randn_like(parameter)
        optimizer.step()
    assert {round(observation.measured_rate or 0, 6) for observation in measured(optimizer, model).values()} == {0.1}


@pytest.mark.parametrize(
    "flags", [{flag: True} for flag in ("fused", "foreach", "capturable", "amsgrad", "differentiable")]
)
def test_flags_that_need_another_device_are_turned_off_for_the_measurement(flags: dict[str, Any]) -> None:
    model = net()
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.1, **flags)
    assert movements(optimizer, model) == {"proportional"}


def test_a_step_that_raises_costs_its_own_optimizer_only() -> None:
    model = net()
    first, *others = model.parameters()
    optimizers = find([Broken([first], lr=0.1, weight_decay=0.1), torch.optim.AdamW(others, weight_decay=0.1)])
    live = measure(optimizers, {id(parameter): name for name, parameter in model.named_parameters()})
    assert [optimizer.failed_measurement for optimizer in live.optimizers] == [
        "Broken.step() raised ZeroDivisionError: the norm of the gradient is 0",
        "",
    ]
    assert [observation.movement for observation in live.observations] == ["unknown", *["proportional"] * 5]


class HasNativeState(torch.optim.SGD):
    """Owns memory outside Python, which its finalizer frees."""

    def __init__(self, parameters: Any, place: str) -> None:
        super().__init__(parameters, lr=0.1, weight_decay=0.1)
        self.handle = 7
        self.holder = Handle(7) if place == "attribute" else None
        self.nested = {"pair": [Pair(Handle(7))]} if place == "nested" else None

    @torch.no_grad()
    def step(self, closure: object = None) -> None:  # type: ignore[override]
        assert self.handle not in Handle.freed
        super().step()


class Handle:
    freed: ClassVar[set[int]] = set()

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        self.freed.add(self.number)


class Pair:
    def __init__(self, handle: Handle) -> None:
        self.handle = handle


class HasFinalizer(HasNativeState):
    def __del__(self) -> None:
        Handle.freed.add(self.handle)


@pytest.mark.parametrize("place", ["attribute", "nested", "itself"])
def test_no_finalizer_of_a_copy_runs(place: str) -> None:
    model = net()
    kind = HasFinalizer if place == "itself" else HasNativeState
    optimizer = kind(model.parameters(), place)
    (live,) = measure(find(optimizer), {id(parameter): name for name, parameter in model.named_parameters()}).optimizers
    gc.collect()
    assert "has a finalizer" in live.failed_measurement
    assert not Handle.freed
    optimizer.step()
    del optimizer, live
    gc.collect()
    assert Handle.freed == {7}
    Handle.freed.clear()


def test_the_same_optimizer_gets_the_same_verdict_each_time() -> None:
    class Stochastic(torch.optim.SGD):
        """Rounds at random, as some optimizers do for bfloat16."""

        @torch.no_grad()
        def step(self, closure: object = None) -> None:  # type: ignore[override]
            for group in self.param_groups:
                for parameter in group["params"]:
                    noise = torch.rand_like(parameter) + random.random() + float(numpy.random.random())
                    parameter.mul_(1 - group["lr"] * group["weight_decay"] * noise)

    model = net()
    optimizer = Stochastic(model.parameters(), lr=0.1, weight_decay=0.1)
    assert len({tuple(measured(optimizer, model).values()) for _ in range(3)}) == 1


def test_initial_values_that_are_kept_by_the_id_of_their_parameter_go_with_its_probe_tensor() -> None:
    class TowardsStart(torch.optim.SGD):
        def __init__(self, parameters: Any) -> None:
            super().__init__(parameters, lr=0.1)
            self.start = {id(parameter): parameter.detach().clone() for parameter in self.param_groups[0]["params"]}

        @torch.no_grad()
        def step(self, closure: object = None) -> None:  # type: ignore[override]
            for parameter in self.param_groups[0]["params"]:
                parameter.sub_(0.1 * (parameter - self.start[id(parameter)]))

    model = nn.Sequential(nn.Linear(300, 200), nn.Linear(200, 7))  # larger than a probe tensor, and smaller
    assert movements(TowardsStart(model.parameters()), model) == {"other_point"}


def test_what_a_step_prints_does_not_go_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    class Talkative(torch.optim.SGD):
        def step(self, closure: object = None) -> None:  # type: ignore[override]
            print("step")
            super().step()

    model = net()
    measured(Talkative(model.parameters(), lr=0.1), model)
    assert capsys.readouterr().out == ""


def test_only_classes_that_are_not_known_are_measured_on_request() -> None:
    model = net()
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    vectors = [parameter for parameter in model.parameters() if parameter.ndim == 1]
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    for kind, expected in ((torch.optim.SGD, {None}), (MatricesOnly, {"none", "proportional"})):
        optimizer = kind([{"params": vectors}, {"params": matrices}], lr=0.1, weight_decay=0.1)
        live = measure(find(optimizer), names, known_classes=False)
        assert {observation.movement for observation in live.observations} == expected
        assert [optimizer.class_is_known for optimizer in live.optimizers] == [kind is torch.optim.SGD]


def test_a_step_that_gives_infinities_is_unstable() -> None:
    model = net()
    assert movements(DividesByZero(model.parameters(), lr=0.1, weight_decay=0.1), model) == {"unstable"}


def test_measuring_changes_no_byte_of_anything() -> None:
    model = net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.1)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    torch.optim.lr_scheduler.StepLR(optimizer, 1)
    calls: list[object] = []
    optimizer.register_step_pre_hook(lambda *_: calls.append("own"))
    hook = register_optimizer_step_pre_hook(lambda *_: calls.append("global"))
    before = _bytes(model, optimizer)
    try:
        for _ in range(2):
            measured(optimizer, model)
    finally:
        hook.remove()
    assert _bytes(model, optimizer) == before
    assert calls == []
    assert getattr(optimizer, "_opt_called", False) is False


@pytest.mark.parametrize("place", ["pairs", "model", "closure", "global"])
def test_references_to_parameters_outside_the_groups_become_probe_tensors_too(place: str) -> None:
    model = net()
    optimizer = KeepsParameters(model, place)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    before = _bytes(model, optimizer), [id(parameter.grad) for parameter in model.parameters()]
    rates = {round(observation.measured_rate or 0, 3) for observation in measured(optimizer, model).values()}
    assert (_bytes(model, optimizer), [id(parameter.grad) for parameter in model.parameters()]) == before
    assert rates == ({0.1} if place == "global" else {5.05})  # a global name leads to no copy


def test_a_graph_before_its_backward_pass_is_not_disturbed() -> None:
    model = nn.Linear(3, 2)
    loss = model(torch.ones(1, 3)).sum()
    measured(torch.optim.AdamW(model.parameters()), model)
    loss.backward()
    assert model.weight.grad is not None
    assert model.weight.grad.equal(torch.ones(2, 3))


def _bytes(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[object]:
    def tensors() -> Iterator[torch.Tensor]:
        for parameter in model.parameters():
            yield parameter.detach()
            assert parameter.grad is not None
            yield parameter.grad
            yield from (value for value in optimizer.state[parameter].values())

    groups = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    numbers: tuple[Any, ...] = numpy.random.get_state()  # type: ignore[assignment]
    return [
        *(bytes(tensor.numpy().tobytes()) for tensor in tensors()),
        repr(groups),
        sorted(vars(optimizer)),
        torch.get_rng_state().numpy().tobytes(),
        random.getstate(),
        numbers[1].tobytes(),
        numbers[2:],
    ]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((), ()),
        ((7,), (7,)),
        ((3, 1, 4), (3, 1, 4)),
        ((0, 3), (0, 3)),
    ],
)
def test_small_shapes_are_kept(shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert shrink_shape(shape, LARGEST_LIMIT) == expected


@pytest.mark.parametrize(
    "shape", [(50257, 768), (4096, 4096), (512, 512, 3, 3), (1, 196, 1024), (10_000_000,), (8, 9**9)]
)
def test_large_shapes_keep_their_rank_their_ones_and_their_order(shape: tuple[int, ...]) -> None:
    small = shrink_shape(shape, LARGEST_LIMIT)
    assert len(small) == len(shape)
    assert torch.Size(small).numel() <= LARGEST_LIMIT
    assert [size for size in small if size == 1] == [size for size in shape if size == 1]
    assert sorted(range(len(shape)), key=lambda i: shape[i]) == sorted(range(len(shape)), key=lambda i: small[i])


def test_wide_and_narrow_stay_in_proportion() -> None:
    small = shrink_shape((50257, 768), LARGEST_LIMIT)
    assert small[0] / small[1] == pytest.approx(50257 / 768, rel=0.1)


def test_probe_tensors_are_exact_in_every_floating_dtype_and_never_zero() -> None:
    for dtype in (torch.bfloat16, torch.float16, torch.float32, torch.float64):
        filled = known_values((20, 30), dtype).double()
        assert filled.equal(known_values((20, 30), torch.float64))
        assert filled.abs().min() >= 0.5
        assert (filled > 0).any()
        assert (filled < 0).any()
