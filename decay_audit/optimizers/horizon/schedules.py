"""Step a schedule on stand-ins for the optimizers, and record the settings of each step of a run.

A stand-in has the groups of its optimizer, with all their settings, and a step that does nothing. So the optimizers
stay as they are, and a run of many steps takes seconds.
"""

import copy
import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch
from msgspec import Struct
from msgspec.structs import replace
from torch.optim import lr_scheduler

from decay_audit.errors import OptimizerError
from decay_audit.model.choices import ScheduleInterval
from decay_audit.model.horizon import EqualSteps, Horizon, StepSettings
from decay_audit.optimizers.find import NamedOptimizers, wrapper_chain
from decay_audit.optimizers.horizon import StepsByGroup
from decay_audit.optimizers.horizon.closed_forms import rates_of_all_steps
from decay_audit.optimizers.table.group_keys import COEFFICIENT_KEYS
from decay_audit.text import describe_value

_ACCEPTED = (
    "accepted: a scheduler of torch or timm; a list of them; a function of the optimizer that returns one; a function "
    "f(optimizer, step) that writes into the groups"
)


_NUMBERS = ("lr", *COEFFICIENT_KEYS, "momentum", "betas")
"""The settings that are compared to find out whether a schedule changed a group."""


class StandInOptimizer(torch.optim.Optimizer):
    """A copy of the groups of an optimizer. Its step does nothing."""

    def __init__(self, original: torch.optim.Optimizer) -> None:
        settings = [{key: value for key, value in group.items() if key != "params"} for group in original.param_groups]
        groups = [{**copy.deepcopy(group), "params": [torch.zeros(0, requires_grad=True)]} for group in settings]
        super().__init__(groups, dict(getattr(original, "defaults", {})))
        for group, own in zip(original.param_groups, self.param_groups, strict=True):
            own["params"] = [*group["params"]]  # code that writes groups may look at their parameters

    def step(self, closure: object = None) -> None:  # type: ignore[override]
        """Do nothing."""

    def zero_grad(self, set_to_none: bool = True) -> None:  # noqa: FBT001, FBT002 - as in torch
        """Do nothing: the gradients are those of the real parameters."""


class Schedule(Struct, frozen=True, kw_only=True, eq=False):
    """A schedule that is ready to be stepped.

    Attributes:
        name: its class, or the name of its function.
        every: whether it moves after every step or after every epoch.
        move_to: gives the groups the settings of the step, or of the epoch, with this index; to be called with 0, 1, 2
            and so on.
        scheduler: the scheduler itself, if it is one of torch and moves nothing but the lr of its optimizer.
    """

    name: str
    every: ScheduleInterval
    move_to: Callable[[int], object]
    scheduler: Any = None


def stand_ins_for(optimizers: NamedOptimizers) -> dict[str, StandInOptimizer]:
    """Make a stand-in for each optimizer, by its name."""
    return {name: StandInOptimizer(optimizer) for name, optimizer in optimizers}


def onto_stand_ins(value: object, optimizers: NamedOptimizers, stand_ins: Mapping[str, StandInOptimizer]) -> object:
    """Copy a scheduler of live optimizers. The copy changes the stand-ins instead."""
    memo: dict[int, Any] = {
        id(wrapper): stand_ins[name] for name, optimizer in optimizers for wrapper in wrapper_chain(optimizer)
    }
    return copy.deepcopy(value, memo)


@contextmanager
def refuse_changes_of(optimizers: NamedOptimizers) -> Iterator[None]:
    """Undo what a schedule writes to the optimizers themselves, and raise an error: it must write to the stand-ins.

    Raises:
        OptimizerError: the schedule changed the settings of an optimizer, as a function does that captures it.
    """
    groups = [group for _, optimizer in optimizers for group in optimizer.param_groups]
    before = [(group, _settings(group)) for group in groups]
    try:
        yield
    finally:
        changed = [(group, settings) for group, settings in before if not _equal(_settings(group), settings)]
        for group, settings in changed:
            group.update(settings)
    if changed:
        raise OptimizerError(
            "the schedule holds the optimizer in a variable of its own, so a copy of it cannot be stepped",
            "pass a scheduler that has the optimizer as an attribute, or a function of the optimizer and the step",
        )


def _settings(group: dict[str, Any]) -> dict[str, Any]:
    settings = {key: value for key, value in group.items() if key != "params"}
    return {key: value.clone() if isinstance(value, torch.Tensor) else value for key, value in settings.items()}


def _equal(settings: dict[str, Any], others: dict[str, Any]) -> bool:
    return all(bool(torch.as_tensor(settings[key] == value).all()) for key, value in others.items() if key in _NUMBERS)


def record_steps(
    value: object, stand_ins: Mapping[str, StandInOptimizer], run: Horizon
) -> tuple[Schedule, StepsByGroup]:
    """Step a schedule through a run, and return it with the settings of each group in each step.

    Args:
        value: what the user names as the schedule.
        run: the length of the run, and whether the schedule is stepped every step or every epoch (timm's schedulers

            declare that themselves).

    Raises:
        OptimizerError: the value is no schedule of these optimizers, needs what only training knows, or raises.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns where no step of an optimizer comes first
        try:
            schedule = _prepare(value, [*stand_ins.values()], run)
            size = _require_epoch_steps(schedule, run) if schedule.every == "epoch" else 1
            counts = [min(size, run.steps - first) for first in range(0, run.steps, size)]
            return schedule, _record(schedule, counts, stand_ins)
        except OptimizerError:
            raise
        except Exception as error:
            raise OptimizerError(f"the schedule raised {type(error).__name__}: {error}", _ACCEPTED) from error


def _record(schedule: Schedule, counts: Sequence[int], stand_ins: Mapping[str, StandInOptimizer]) -> StepsByGroup:
    """Record what the groups are in each step: by a formula of the scheduler, or by stepping it.

    Args:
        counts: how many steps of the optimizers follow each step of the schedule.
    """
    recorders = {
        (name, index): _Recorder(group)
        for name, stand_in in stand_ins.items()
        for index, group in enumerate(stand_in.param_groups)
    }
    rates = rates_of_all_steps(schedule.scheduler, len(counts)) if schedule.scheduler is not None else None
    if rates is not None:
        return {
            (name, index): recorder.steps_at_rates(rates[index], counts)
            if stand_ins[name] is schedule.scheduler.optimizer
            else recorder.unchanged_steps(sum(counts))
            for (name, index), recorder in recorders.items()
        }
    for index, count in enumerate(counts):
        schedule.move_to(index)
        for recorder in recorders.values():
            recorder.add(count)
    return {place: tuple(recorder.steps()) for place, recorder in recorders.items()}


class _Recorder:
    """The settings of one group, step by step; steps in a row with equal settings are counted."""

    def __init__(self, group: dict[str, Any]) -> None:
        self.group = group
        self.coefficient_key = next((key for key in COEFFICIENT_KEYS if key in group), "weight_decay")
        self.values: list[tuple[Any, ...]] = []
        self.counts: list[int] = []

    def add(self, count: int) -> None:
        get = self.group.get
        settings = (get("lr"), get(self.coefficient_key), get("momentum"), get("dampening"), get("nesterov"))
        if isinstance(settings[0], torch.Tensor):  # schedules change it in place
            settings = (settings[0].item(), *settings[1:])
        if self.values and self.values[-1] == settings:
            self.counts[-1] += count
        else:
            self.values.append(settings)
            self.counts.append(count)

    def unchanged_steps(self, count: int) -> tuple[EqualSteps, ...]:
        """Make the steps of a group that stays as it is."""
        self.add(count)
        return tuple(self.steps())

    def steps_at_rates(self, rates: Sequence[float], counts: Sequence[int]) -> tuple[EqualSteps, ...]:
        """Make the steps of a group of which nothing but lr changes."""
        settings = self.unchanged_steps(1)[0].settings
        others = {name: getattr(settings, name) for name in StepSettings.__struct_fields__ if name != "lr"}
        starts = [0, *(index for index in range(1, len(rates)) if rates[index] != rates[index - 1]), len(rates)]
        if len(starts) == len(rates) + 1:  # each step has a rate of its own
            return tuple(
                EqualSteps(settings=StepSettings(lr=rate, **others), count=count)
                for rate, count in zip(rates, counts, strict=True)
            )
        return tuple(
            EqualSteps(settings=StepSettings(lr=rates[start], **others), count=sum(counts[start:end]))
            for start, end in pairwise(starts)
        )

    def steps(self) -> Iterator[EqualSteps]:
        for (lr, coefficient, momentum, dampening, nesterov), count in zip(self.values, self.counts, strict=True):
            settings = StepSettings(
                lr=None if lr is None else float(lr),
                weight_decay=float(coefficient or 0),
                momentum=float(momentum or 0),
                dampening=float(dampening or 0),
                nesterov=bool(nesterov),
            )
            yield EqualSteps(settings=settings, count=count)


def _prepare(value: object, stand_ins: Sequence[StandInOptimizer], run: Horizon, *, called: bool = False) -> Schedule:
    """Find out what a value is, and how it is stepped.

    Args:
        called: whether the value is what a function of the user returned.
    """
    if isinstance(value, Mapping):
        if "scheduler" not in value:
            return _prepare([*value.values()], stand_ins, run)
        interval = value.get("interval", "epoch")  # as in Lightning
        return _prepare(
            value["scheduler"], stand_ins, replace(run, schedule_every="step" if interval == "step" else "epoch")
        )
    if isinstance(value, list | tuple) and value:
        return _combine([_prepare(item, stand_ins, run) for item in value])
    if hasattr(value, "step") and not isinstance(value, type):
        return _scheduler(value, stand_ins, run)
    if callable(value) and not isinstance(value, type):
        optimizer: Any = stand_ins[0] if len(stand_ins) == 1 else [*stand_ins]
        count = _required_arguments(value)
        if count == 2:
            return Schedule(name=_name(value), every=run.schedule_every, move_to=lambda index: value(optimizer, index))
        if count < 2 and not called:
            result = value(optimizer) if count else value()
            return _prepare(result, stand_ins, run, called=True)
    raise OptimizerError(f"the schedule is {describe_value(value)}", _ACCEPTED)


def _combine(schedules: Sequence[Schedule]) -> Schedule:
    if len({schedule.every for schedule in schedules}) > 1:
        raise OptimizerError("one schedule moves every step and another every epoch", "name one schedule at a time")
    names = dict.fromkeys(schedule.name for schedule in schedules)

    def move_to(index: int) -> None:
        for schedule in schedules:
            schedule.move_to(index)

    return Schedule(name=", ".join(names), every=schedules[0].every, move_to=move_to)


def _scheduler(value: Any, stand_ins: Sequence[StandInOptimizer], run: Horizon) -> Schedule:  # noqa: ANN401
    name = type(value).__name__
    if any(isinstance(part, lr_scheduler.ReduceLROnPlateau) for part in (value, *vars(value).values())):
        raise OptimizerError(f"{name} depends on a metric that only training knows", "name another schedule, or none")
    optimizer = getattr(value, "optimizer", None)
    if optimizer is not None and not any(optimizer is stand_in for stand_in in stand_ins):
        raise OptimizerError(
            f"{name} is the schedule of another optimizer",
            "make it with the name `optimizer`: 'torch.optim.lr_scheduler:StepLR(optimizer, 30)'",
        )
    if hasattr(value, "step_update"):
        return _scheduler_of_timm(value, run.epoch_steps)
    if _required_arguments(value.step):
        raise OptimizerError(f"{name}.step() needs arguments that only training knows", _ACCEPTED)
    return Schedule(
        name=name,
        every=run.schedule_every,
        move_to=lambda index: value.step() if index else None,
        scheduler=value if isinstance(value, lr_scheduler.LRScheduler) else None,
    )


def _scheduler_of_timm(value: Any, epoch_steps: int | None) -> Schedule:  # noqa: ANN401 - timm is not imported
    """Step a scheduler of timm as timm's training script does: after each update, and at the end of each epoch."""
    name = type(value).__name__
    if getattr(value, "t_in_epochs", False):
        return Schedule(name=name, every="epoch", move_to=lambda index: value.step(index) if index else None)

    def move_to(index: int) -> None:
        if index:
            value.step_update(index)
        if index and epoch_steps and index % epoch_steps == 0:
            value.step(index // epoch_steps)

    return Schedule(name=name, every="step", move_to=move_to)


def _require_epoch_steps(schedule: Schedule, run: Horizon) -> int:
    if run.epoch_steps is None:
        raise OptimizerError(
            f"{schedule.name} moves every epoch, and the number of steps in an epoch is not known",
            "add --epoch-steps M",
        )
    return run.epoch_steps


def _required_arguments(function: Callable[..., object]) -> int:
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # a function written in C
        return 1
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(item.kind in positional and item.default is inspect.Parameter.empty for item in parameters)


def _name(function: object) -> str:
    name = getattr(function, "__name__", type(function).__name__)
    return "a function" if name == "<lambda>" else name
