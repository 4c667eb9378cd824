"""Compare measured steps with the optimizer classes themselves, for every optimizer class of installed packages.

`python -m benchmarks.optimizer_survey MODULE... [--json FILE]` imports the modules, builds each optimizer class, and
measures it when it is new and after training steps. The oracle is the class itself: instances that differ only in the
coefficient step on real parameters, and the difference of their weights is what decay removed.
"""

import argparse
import contextlib
import json
import logging
import random
import signal
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch._dynamo  # now, and not in the middle of a class, whose time may run out
from torch import nn

from decay_audit.errors import OptimizerError
from decay_audit.optimizers.measure import measure
from tests.optimizers.survey import builders, model, optimizer_classes, wrappings
from tests.process_group import process_group

WEIGHT_DECAY = 0.1
LR = 0.01
STEPS = 8
"""How many steps with random gradients train an instance."""
SECONDS = 90
"""The longest processor time for one class."""
TOLERANCE = 0.15
"""Relative difference up to which a measured rate and that of the oracle agree. The gradient causes a part of it."""
NOTHING = 2e-3
"""Fraction of lr x weight_decay below which decay counts as nothing."""

Parameters = dict[str, torch.Tensor]


class Decay(NamedTuple):
    """What decay removed from one parameter in the last of several steps with random gradients.

    Attributes:
        rate: the removed fraction of the weight, divided by the learning rate.
        alike: whether the same fraction of each element was removed.
        varied: whether the elements differ in size; if not, a fraction and an amount cannot be told apart.
        by_coefficient: the factor on what is removed when the coefficient is doubled: 2 if in proportion, 1 if it has
            no effect.
    """

    rate: float
    alike: bool
    varied: bool
    by_coefficient: float


class ClassResult(NamedTuple):
    """The result for one class."""

    name: str
    new: dict[str, tuple[str, float]]
    trained: dict[str, tuple[str, float]]
    decay: dict[str, Decay]
    failure: str = ""
    wrong: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    seconds: float = 0.0


class OutOfTimeError(Exception):
    """A class took more than SECONDS."""


def build(kind: type[torch.optim.Optimizer], coefficient: float, seed: int = 0) -> tuple[nn.Module, Any]:
    """Build a model and an optimizer of the class, with the first of several usual arguments that it accepts."""
    failures = []
    for make in (*builders(kind), *wrappings(kind)):
        for options in ({"lr": LR, "weight_decay": coefficient}, {"weight_decay": coefficient}, {"lr": LR}, {}):
            torch.manual_seed(seed)
            random.seed(seed)
            root = model()
            try:
                optimizer = make(root, **options)
                for group in optimizer.param_groups:
                    group["weight_decay"] = group.get("weight_decay", coefficient)
                return root, optimizer
            except Exception as error:  # noqa: BLE001 - a class may raise anything about its arguments
                failures.append(f"{type(error).__name__}: {error}")
    raise OptimizerError(f"cannot be built: {failures[0]}"[:200])


def train(
    root: nn.Module,
    optimizer: torch.optim.Optimizer,
    steps: int,
    last: Callable[[torch.optim.Optimizer], None] | None = None,
) -> Parameters:
    """Take steps with random gradients; `last` changes the optimizer before the last step.

    Returns:
        The weights before the last step.
    """
    generator = torch.Generator().manual_seed(1)
    torch.manual_seed(2)
    if callable(switch := getattr(optimizer, "train", None)):
        switch()
    before: Parameters = {}
    for index in range(steps):
        gradients = [torch.randn(parameter.shape, generator=generator) * 0.05 for parameter in root.parameters()]

        def closure(gradients: list[torch.Tensor] = gradients) -> torch.Tensor:
            for parameter, gradient in zip(root.parameters(), gradients, strict=True):
                parameter.grad = gradient.clone()
            return torch.zeros((), requires_grad=True)

        closure()
        if index == steps - 1:
            before = {name: parameter.detach().clone() for name, parameter in root.named_parameters()}
            if last:
                last(optimizer)
        step(root, optimizer, closure)
    return before


def step(root: nn.Module, optimizer: torch.optim.Optimizer, closure: Callable[[], torch.Tensor]) -> None:
    """Step without a closure; if that raises, with a closure; if that raises, with a graph for second-order classes."""
    form = vars(optimizer).get("_survey_form")
    forms: list[Callable[[], Any]] = [
        optimizer.step,
        lambda: optimizer.step(lambda: closure().item()),
        lambda: _graph_step(root, optimizer),
    ]
    for index, take in enumerate(forms):
        if form is None or form == index:
            try:
                take()
            except Exception:
                if form is not None or index == len(forms) - 1:
                    raise
                closure()
                continue
            optimizer.__dict__["_survey_form"] = index
            return


def _graph_step(root: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    trained = [*root.parameters()]
    with torch.enable_grad():
        loss = torch.stack(
            [
                (parameter * (0 if parameter.grad is None else parameter.grad)).sum() + 0 * (parameter**2).sum()
                for parameter in trained
            ]
        ).sum()
        gradients = torch.autograd.grad(loss, trained, create_graph=True)
    for parameter, gradient in zip(trained, gradients, strict=True):
        parameter.grad = gradient
    optimizer.step()


def with_coefficient(factor: float) -> Callable[[torch.optim.Optimizer], None]:
    """Multiply the coefficient of every group."""

    def change(optimizer: torch.optim.Optimizer) -> None:
        for group in optimizer.param_groups:
            for key, value in group.items():
                if ("weight_decay" in key or key == "wd") and isinstance(value, float) and not isinstance(value, bool):
                    group[key] = value * factor

    return change


def oracle(kind: type[torch.optim.Optimizer], steps: int) -> dict[str, Decay]:
    """Compute what decay removes in the last step, from three instances of the class with the same history."""
    ends: dict[float, Parameters] = {}
    for factor in (0.0, 1.0, 2.0):
        root, optimizer = build(kind, WEIGHT_DECAY)
        before = train(root, optimizer, steps, with_coefficient(factor))
        ends[factor] = {name: parameter.detach().clone() for name, parameter in root.named_parameters()}
    lrs = {
        id(parameter): float(group.get("lr") or 1.0)
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    return {
        name: _decay(before[name], ends, name, lrs.get(id(parameter), LR))
        for name, parameter in root.named_parameters()
    }


def _decay(before: torch.Tensor, ends: Mapping[float, Parameters], name: str, lr: float) -> Decay:
    weight = before.double()
    removed = (ends[0.0][name] - ends[1.0][name]).double()
    twice = (ends[0.0][name] - ends[2.0][name]).double()
    square = (weight * weight).sum().clamp_min(1e-30)
    rate = ((removed * weight).sum() / square).item()
    error = (removed - rate * weight).abs().max().item()
    size = max((rate * weight).abs().max().item(), 1e-30)
    by_coefficient = ((twice * removed).sum() / (removed * removed).sum().clamp_min(1e-30)).item()
    return Decay(rate / lr, error <= TOLERANCE * size + 3e-7, _is_varied(weight), by_coefficient)


def _is_varied(weight: torch.Tensor) -> bool:
    sizes = weight.abs()
    return bool(sizes.std() > 0.2 * sizes.mean()) if weight.numel() > 1 else False


def laws(root: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, tuple[str, float]]:
    """Measure as an audit does: the movement and the rate of each parameter."""
    optimizer.__dict__.pop("_survey_form", None)
    names = {id(parameter): name for name, parameter in root.named_parameters()}
    live = measure((("it", optimizer),), names)
    if failure := live.optimizers[0].failed_measurement:
        raise OptimizerError(failure)
    return {
        observation.parameter: (observation.movement or "not measured", observation.measured_rate or 0.0)
        for observation in live.observations
    }


def contents(root: nn.Module, optimizer: torch.optim.Optimizer) -> list[str]:
    """Write as text everything that a measurement must not change."""
    tensors = [*root.parameters()]
    state = [
        (index, optimizer.state[key]) for index, key in enumerate(tensors) if key in getattr(optimizer, "state", {})
    ]
    groups = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    return [
        repr([parameter.tolist() for parameter in tensors]),
        repr(state),
        repr(groups),
        repr(sorted(vars(optimizer))),
    ]


def disagreements(
    measured: Mapping[str, tuple[str, float]], first: Mapping[str, Decay], later: Mapping[str, Decay]
) -> Iterator[str]:
    """Find the measured laws that the class does not follow, neither in its first step nor in a later step.

    A measured fraction must be that of a later step; "scheduled" is the law of a fraction that changes.
    """
    for name, (movement, rate) in measured.items():
        if name not in later:
            continue
        true = later[name]
        is_nothing = abs(true.rate) < NOTHING * WEIGHT_DECAY
        if movement == "none" and not is_nothing:
            yield f"{name}: none, but removes {true.rate:.3g}"
        if movement in ("proportional", "without_lr") and not _agrees(true, rate) and not is_nothing:
            yield f"{name}: {movement} {rate:.3g}, but removes {true.rate:.3g}{'' if true.alike else ' on average'}"
        if (
            movement in ("sign", "constant")
            and true.alike
            and first[name].alike
            and first[name].varied
            and not is_nothing
        ):
            yield f"{name}: {movement}, but removes the fraction {true.rate:.3g}"


def _agrees(true: Decay, rate: float) -> bool:
    return true.alike and abs(true.rate - rate) <= TOLERANCE * abs(rate)


def verdict(label: str, kind: type[torch.optim.Optimizer]) -> ClassResult:
    """Survey one class."""
    new: dict[str, tuple[str, float]] = {}
    trained: dict[str, tuple[str, float]] = {}
    decay: dict[str, Decay] = {}
    try:
        root, optimizer = build(kind, WEIGHT_DECAY)
        before = contents(root, optimizer)
        new = laws(root, optimizer)
        changed = ["new"] if contents(root, optimizer) != before else []
        first, decay = oracle(kind, 1), oracle(kind, STEPS)
        root, optimizer = build(kind, WEIGHT_DECAY)
        train(root, optimizer, STEPS)
        optimizer.__dict__.pop("_survey_form", None)
        before = contents(root, optimizer)
        trained = laws(root, optimizer)
        changed += ["trained"] if contents(root, optimizer) != before else []
    except OutOfTimeError:
        return ClassResult(label, new, trained, decay, "took too long")
    except Exception as error:  # noqa: BLE001 - a class may raise anything
        return ClassResult(label, new, trained, decay, f"{type(error).__name__}: {error}"[:300])
    wrong = [f"new, {text}" for text in disagreements(new, first, decay)]
    wrong += [f"trained, {text}" for text in disagreements(trained, first, decay)]
    return ClassResult(label, new, trained, decay, "", tuple(wrong), tuple(changed))


def survey(module: str) -> Iterator[ClassResult]:
    """Survey all classes of a package."""

    def stop(*_: object) -> None:
        raise OutOfTimeError

    signal.signal(signal.SIGPROF, stop)
    for name, kind in optimizer_classes(module.partition(".")[0], (module,)).items():
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            with contextlib.redirect_stdout(sys.stderr), process_group(), torch.compiler.set_stance("force_eager"):
                result = verdict(f"{module}.{name}", kind)
        except OutOfTimeError:
            result = ClassResult(f"{module}.{name}", {}, {}, {}, "took too long")
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        yield result


def summary(verdicts: list[ClassResult]) -> str:
    """Write a line of counts, then a line for each class that has a wrong law, changed, or could not be measured."""
    counts = Counter("measured" if result.new else "not measured" for result in verdicts)
    wrong = [result for result in verdicts if result.wrong]
    differ = [result for result in verdicts if result.trained and _kinds(result.new) != _kinds(result.trained)]
    lines = [
        f"{len(verdicts)} classes, {counts['measured']} measured, {len(wrong)} with a wrong law, "
        f"{sum(bool(result.changed) for result in verdicts)} changed, {len(differ)} differ once trained"
    ]
    lines += [f"  wrong {result.name}: {'; '.join(result.wrong[:3])}" for result in wrong]
    lines += [f"  differ {result.name}: {_kinds(result.new)} -> {_kinds(result.trained)}" for result in differ]
    lines += [f"  changed {result.name}: {result.changed}" for result in verdicts if result.changed]
    lines += [f"  not measured {result.name}: {result.failure}" for result in verdicts if result.failure]
    return "\n".join(lines)


def _kinds(measured: Mapping[str, tuple[str, float]]) -> list[str]:
    with_rate = ("proportional", "without_lr", "cautious")
    return sorted(
        {f"{movement} {rate:.2g}" if movement in with_rate else movement for movement, rate in measured.values()}
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("modules", nargs="+")
    parser.add_argument("--json")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    verdicts = [result for module in arguments.modules for result in survey(module)]
    print(summary(verdicts))
    if arguments.json:
        Path(arguments.json).write_text(json.dumps([result._asdict() for result in verdicts], indent=1))


if __name__ == "__main__":
    main()
