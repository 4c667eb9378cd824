"""Turn recorded optimizers into Optimizer and Observation values, as `live` does with live ones.

This module does not import torch: the script ran in another process, perhaps with another version of torch.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from decay_audit.errors import OptimizerError
from decay_audit.model.horizon import EqualSteps, StepSettings
from decay_audit.model.observations import ForeignSource, Observation, Optimizer, ParamGroup
from decay_audit.model.records import (
    Record,
    RecordedEffect,
    RecordedGroup,
    RecordedOptimizer,
    RecordedOptimizerClass,
    RecordedTensor,
)
from decay_audit.optimizers.table.describe import Described, describe_optimizer, with_step_hooks
from decay_audit.optimizers.table.group_keys import (
    COEFFICIENT_KEYS,
    FOREACH_DEVICES,
    LR_KEYS,
    NOT_LOOKED_UP,
)
from decay_audit.optimizers.table.lookup import class_facts
from decay_audit.text import format_shape

_LOW_PRECISION = ("float16", "bfloat16")
RecordedObservations = tuple[tuple[Optimizer, ...], tuple[Observation, ...]]
"""The optimizers of a record as data, and what each does to each of its parameters."""


class _Names(Struct, frozen=True, kw_only=True):
    """The recorded tensors and their names. A tensor is given by its index in `Record.tensors`.

    Attributes:
        of_tensor: the names of the model's parameters, by tensor.
        in_no_optimizer: the trainable parameters that no optimizer holds.
        tensors: `Record.tensors`.
    """

    of_tensor: Mapping[int, str]
    in_no_optimizer: Sequence[int]
    tensors: Sequence[RecordedTensor]


def observe(
    record: Record, optimizers: Iterable[tuple[str, RecordedOptimizer]], names: Mapping[int, str]
) -> RecordedObservations:
    """Read recorded optimizers as data.

    Args:
        optimizers: the recorded optimizers, each with its name.
        names: canonical names of the model's parameters, by tensor.

    Raises:
        OptimizerError: an optimizer has no groups, or a hyperparameter is not a finite number.
    """
    in_optimizers = {
        tensor for optimizer in record.optimizers for group in optimizer.groups for tensor in group.tensors
    }
    in_no_optimizer = [tensor for tensor in names if tensor not in in_optimizers and record.tensors[tensor].trainable]
    known_names = _Names(of_tensor=names, in_no_optimizer=in_no_optimizer, tensors=record.tensors)
    recorded_optimizers = [*optimizers]
    results = [_observe_optimizer(name, recorded, known_names) for name, recorded in recorded_optimizers]
    return (
        tuple(
            replace(optimizer, file=recorded.file, line=recorded.line)
            for (optimizer, _), (_, recorded) in zip(results, recorded_optimizers, strict=True)
        ),
        tuple(observation for _, observations in results for observation in observations),
    )


def steps_of_groups(
    optimizers: Iterable[tuple[str, RecordedOptimizer]],
) -> dict[tuple[str, int], tuple[EqualSteps, ...]]:
    """Return the settings of each step that the groups of recorded optimizers took, as `horizon.over_run` takes them.

    The keys are the name of the optimizer and the index of the group; steps in a row with equal settings are one value.
    A group without a recorded step is left out: only `run --until N` and `run --until end` record them.
    """
    return {
        (name, index): tuple(
            EqualSteps(
                settings=StepSettings(
                    lr=lr,
                    weight_decay=coefficient or 0.0,
                    momentum=momentum or 0.0,
                    dampening=dampening or 0.0,
                    nesterov=nesterov,
                ),
                count=count,
            )
            for (lr, coefficient, momentum, dampening, nesterov), count in steps
        )
        for name, optimizer in optimizers
        for index, steps in enumerate(optimizer.steps)
        if steps
    }


def with_measurements(
    observed: RecordedObservations,
    record: Record,
    optimizers: Sequence[tuple[str, RecordedOptimizer]],
    names: Mapping[int, str],
    *,
    known_classes: bool,
) -> RecordedObservations:
    """Add the effects of steps, which were measured in the script's process.

    Args:
        observed: what `observe` returned.
        optimizers, names: as for `observe`.
        known_classes: whether optimizers of known classes were to be measured, too. If not, it is no failure that the
            script's Python cannot measure them.
    """
    effects: dict[tuple[str, str], RecordedEffect] = {}
    failures: dict[str, str] = {}
    for recorded, measurement in zip(record.optimizers, record.measurements, strict=False):
        name = next((name for name, other in optimizers if other is recorded), "")
        failures[name] = measurement.failure
        for key, effect in measurement.effects.items():
            group, position = map(int, key.split("/"))
            effects[name, names.get(recorded.groups[group].tensors[position], "")] = effect
    return (
        tuple(
            replace(optimizer, failed_measurement=failures.get(optimizer.name, ""))
            if known_classes or not optimizer.class_is_known
            else optimizer
            for optimizer in observed[0]
        ),
        tuple(
            _with_effect(observation, effects.get((observation.optimizer, observation.parameter)))
            for observation in observed[1]
        ),
    )


def _with_effect(observation: Observation, effect: RecordedEffect | None) -> Observation:
    if effect is None:
        return observation
    return replace(
        observation,
        movement=effect.movement,
        measured_rate=effect.measured_rate,
        settled_rate=effect.settled_rate,
    )


def _observe_optimizer(name: str, recorded: RecordedOptimizer, names: _Names) -> Described:
    if not recorded.groups:
        raise OptimizerError(
            f"{name} ({recorded.chain[0].type}) has no param groups", "create it with the model's parameters"
        )
    decaying = _decaying_class(recorded.chain)
    groups = _with_sources(
        recorded, tuple(_group(name, recorded, i, names) for i in range(len(recorded.groups))), names
    )
    described, observations = describe_optimizer(
        name,
        groups,
        display_name=display_name(recorded),
        import_path=recorded.chain[-1].path,
        group_keys=tuple(dict.fromkeys(key for member in recorded.chain for key in member.defaults)),
        decaying_class=decaying.types,
        attributes=decaying.attributes,
    )
    return with_step_hooks(described, recorded.step_hooks), observations


def display_name(optimizer: RecordedOptimizer) -> str:
    """Return the class of an optimizer, around the classes that it wraps: `Lookahead(AdamW)`."""
    types = [member.type for member in optimizer.chain]
    return "(".join(types) + ")" * (len(types) - 1)


def _decaying_class(chain: Sequence[RecordedOptimizerClass]) -> RecordedOptimizerClass:
    """Find the class whose step decides the decay: the first in the chain that does more than call the next one."""
    for member in chain:
        facts = class_facts(member.types)
        if facts is None or facts.form != "delegated":
            return member
    return chain[-1]


def _group(name: str, recorded: RecordedOptimizer, index: int, names: _Names) -> ParamGroup:
    group = recorded.groups[index]
    label = f"group {index} of {name} ({recorded.chain[0].type})"
    key = next((key for key in COEFFICIENT_KEYS if key in group.hyperparameters), "")
    coefficient = _number(group.hyperparameters[key], key, label) if key else 0.0
    parameters = tuple(names.of_tensor.get(tensor, "") for tensor in group.tensors)
    tensors = [names.tensors[tensor] for tensor in group.tensors]
    return ParamGroup(
        weight_decay=coefficient,
        lr=_largest_lr(recorded, index, label),
        parameters=parameters,
        hyperparameters={
            key: tuple(value) if isinstance(value, list) else value
            for key, value in group.hyperparameters.items()
            if key != "param_names"
        },
        weight_decay_is_default=_is_default(recorded, group, coefficient),
        coefficient_key=key,
        member_class=group.member,
        foreign_tensors=tuple(
            _dtype_and_shape(names.tensors[tensor]) for tensor in group.tensors if tensor not in names.of_tensor
        ),
        missing_keys=_missing_keys(recorded.chain[-1], group),
        flat_parameters=tuple(name for name, facts in zip(parameters, tensors, strict=True) if facts.flat),
        distributed_parameters=tuple(
            name for name, facts in zip(parameters, tensors, strict=True) if facts.distributed
        ),
        updates_together=_updates_together(group.hyperparameters, [facts.device for facts in tensors]),
    )


def _dtype_and_shape(tensor: RecordedTensor) -> str:
    return f"{tensor.dtype} {format_shape(tensor.shape)}"


def _updates_together(group: Mapping[str, Any], devices: Iterable[str]) -> bool:
    """Whether the step of a torch class uses foreach or fused kernels: on request, and by default on a GPU."""
    if "foreach" not in group or group.get("differentiable"):
        return False
    if group["foreach"] or group.get("fused"):
        return True
    return group["foreach"] is None and FOREACH_DEVICES.issuperset(devices)


def _largest_lr(recorded: RecordedOptimizer, index: int, label: str) -> float | None:
    """Return the largest of the learning rates that a group has, was made with, or keeps under other keys.

    At the first step, a warm-up may have made the present learning rate tiny.
    """
    group = recorded.groups[index].hyperparameters
    if group.get("lr") is None:
        return None
    constructed = recorded.construction[index].lr if index < len(recorded.construction) else None
    scheduled = [group[key] for key in LR_KEYS if isinstance(group.get(key), int | float)]
    rates: list[float] = [_number(group["lr"], "lr", label), *scheduled, *([constructed] if constructed else [])]
    return max(rates)


def _missing_keys(innermost: RecordedOptimizerClass, group: RecordedGroup) -> tuple[str, ...]:
    if not group.is_inner:
        return ()
    return tuple(
        key
        for key in innermost.defaults
        if key not in group.hyperparameters and (innermost.type, key) not in NOT_LOOKED_UP
    )


def _number(value: Any, key: str, label: str) -> float:  # noqa: ANN401 - of the user's code
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise OptimizerError(f"{label}: {key} is {value!r}", f"{key} must be a finite number")
    if value < 0 and key in COEFFICIENT_KEYS:
        raise OptimizerError(f"{label}: {key} is {value!r}", f"{key} must be 0 or more: below 0 weights grow")
    return float(value)


def _is_default(recorded: RecordedOptimizer, group: RecordedGroup, coefficient: float) -> bool | None:
    """Whether no code set the coefficient; None if it equals the default and the construction was not seen."""
    defaults = [default for member in recorded.chain if (default := _default_weight_decay(member)) is not None]
    if defaults and coefficient not in defaults:
        return False
    if group.keys is not None:
        return not (any(key in COEFFICIENT_KEYS for key in (*recorded.set_names, *group.keys)))
    return None if defaults else False


def _default_weight_decay(recorded: RecordedOptimizerClass) -> float | None:
    if isinstance(recorded.default_weight_decay, str):  # the constructor did not show it
        facts = class_facts(recorded.types)
        return facts.default if facts else None
    return recorded.default_weight_decay


def _with_sources(recorded: RecordedOptimizer, groups: tuple[ParamGroup, ...], names: _Names) -> tuple[ParamGroup, ...]:
    """Add `foreign_sources` to the groups: where each tensor that is no parameter of the model comes from."""
    foreign = [tensor for group in recorded.groups for tensor in group.tensors if tensor not in names.of_tensor]
    if not foreign:
        return groups
    sources = _sources(recorded, foreign, names)
    return tuple(
        replace(
            group,
            foreign_sources=tuple(
                sources[tensor] for tensor in recorded_group.tensors if tensor not in names.of_tensor
            ),
        )
        for group, recorded_group in zip(groups, recorded.groups, strict=True)
    )


def _sources(recorded: RecordedOptimizer, foreign: Sequence[int], names: _Names) -> dict[int, ForeignSource]:
    """Find the source of each foreign tensor: the parameter that it was, or one of its shape in no optimizer."""
    former = {int(tensor): name for tensor, name in recorded.former_names.items()}
    sources = {tensor: ForeignSource(kind="replaced", name=former[tensor]) for tensor in foreign if tensor in former}
    rest = [tensor for tensor in foreign if tensor not in sources]
    free: dict[tuple[int, ...], list[int]] = {}
    for tensor in names.in_no_optimizer:
        free.setdefault(names.tensors[tensor].shape, []).append(tensor)
    counts = Counter(names.tensors[tensor].shape for tensor in rest)
    if any(count > len(free.get(shape, ())) for shape, count in counts.items()):
        return sources | {tensor: ForeignSource(kind="unknown") for tensor in rest}
    for tensor in rest:
        parameter = free[names.tensors[tensor].shape].pop(0)
        is_copy = names.tensors[tensor].dtype == "float32" and names.tensors[parameter].dtype in _LOW_PRECISION
        kind = "float32 copy" if is_copy else "same shapes"
        sources[tensor] = ForeignSource(kind=kind, name=names.of_tensor[parameter])  # type: ignore[arg-type]
    return sources
