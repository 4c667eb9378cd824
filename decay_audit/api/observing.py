"""Observe what optimizers do: live ones (made or in memory), saved ones (from a checkpoint), and measured steps."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from decay_audit.api.loading import LoadedTarget, load
from decay_audit.api.request import LiveModel, Request
from decay_audit.errors import DecayAuditError
from decay_audit.model.horizon import Horizon
from decay_audit.model.inventory import Inventory
from decay_audit.model.observations import Observation, Optimizer, observe_groups
from decay_audit.model.optimizer_pairs import pair_optimizers
from decay_audit.optimizers.saved_positions import name_positions
from decay_audit.sources import target as targets

if TYPE_CHECKING:
    import torch

    from decay_audit.optimizers.find import NamedOptimizers
    from decay_audit.optimizers.horizon import DecayOfCoefficient, StepsByGroup
    from decay_audit.optimizers.watch_construction import ConstructionLog

CPU_ELEMENTS = 2_000_000_000
"""The most elements of a model that is built on the CPU because a step needs the values of tensors."""


class ObservedOptimizers(Struct, frozen=True, kw_only=True):
    """Optimizers, live ones first, and what each does to each of its parameters.

    Attributes:
        checkpoint: what was read from the file that `--checkpoint` names.
        horizon: what decay comes to over the run; None if its length is not known.
        decay_with: computes what it would come to for a parameter with another coefficient; None as above.
    """

    optimizers: tuple[Optimizer, ...] = ()
    observations: tuple[Observation, ...] = ()
    checkpoint: Inventory | None = None
    horizon: Horizon | None = None
    decay_with: "DecayOfCoefficient | None" = None


def observe(loaded: LoadedTarget, request: Request) -> ObservedOptimizers:
    """Read the optimizer of the request, and those that were saved with the parameters.

    Raises:
        DecayAuditError: the expression cannot be evaluated or makes no optimizer, or there is no model for it; or the
            schedule cannot be made or stepped.
    """
    observed = _observe(loaded, request)
    return _with_run(observed, loaded, request)


def _observe(loaded: LoadedTarget, request: Request) -> ObservedOptimizers:
    if request.live is not None:
        return _observe_in_memory(request.live, loaded.inventory, measure=request.measure)
    checkpoint = _checkpoint_inventory(loaded, request)
    if request.optimizer is None and request.measure:
        raise DecayAuditError("--measure needs an optimizer to step", "name it: --optimizer EXPRESSION")
    live = _observe_made_optimizers(loaded, request) if request.optimizer else ObservedOptimizers()
    saved = _name_saved_positions((checkpoint or loaded.inventory).optimizers, live.optimizers, loaded.inventory)
    saved_observations = tuple(observation for optimizer in saved for observation in observe_groups(optimizer))
    return ObservedOptimizers(
        optimizers=(*live.optimizers, *saved),
        observations=(*live.observations, *saved_observations),
        checkpoint=checkpoint,
    )


def _with_run(observed: ObservedOptimizers, loaded: LoadedTarget, request: Request) -> ObservedOptimizers:
    """Add what decay comes to over the run of `--steps`, if that option is given."""
    live = request.live
    scheduled = request.schedule is not None or (live is not None and live.schedule is not None)
    if request.steps is None:
        if scheduled or request.epoch_steps is not None:
            raise DecayAuditError("the length of the run is not known", "add --steps N, the number of optimizer steps")
        return observed
    if request.steps < 1 or (request.epoch_steps is not None and request.epoch_steps < 1):
        raise DecayAuditError("a run or an epoch of fewer steps than 1", "--steps and --epoch-steps take numbers >= 1")
    if not observed.optimizers:
        raise DecayAuditError(
            "--steps needs an optimizer, because what decay comes to depends on lr", "name it: --optimizer EXPRESSION"
        )
    from decay_audit.optimizers import horizon

    run = Horizon(steps=request.steps, epoch_steps=request.epoch_steps, schedule_every=request.schedule_every)
    steps_by_group: horizon.StepsByGroup = {}
    if scheduled:
        request.progress("stepping the schedule")
        run, steps_by_group = _step_schedule(run, loaded, request)
    facts = (observed.optimizers, observed.observations, loaded.inventory.parameters, run, steps_by_group)
    return replace(observed, horizon=horizon.over_run(*facts), decay_with=horizon.decay_with_other_coefficients(*facts))


def _step_schedule(run: Horizon, loaded: LoadedTarget, request: Request) -> "tuple[Horizon, StepsByGroup]":
    """Step the schedule of the request on stand-ins for its live optimizers, and name it in the horizon."""
    from decay_audit.optimizers import find
    from decay_audit.optimizers.horizon import schedules
    from decay_audit.sources import module

    live, built = request.live, loaded.built
    optimizers = loaded.made_optimizers.optimizers if loaded.made_optimizers is not None else ()
    if live is not None and live.optimizer is not None:
        optimizers = find.find(live.optimizer)
    if not optimizers:
        raise DecayAuditError("--schedule needs a live optimizer", "name it: --optimizer EXPRESSION")
    stand_ins = schedules.stand_ins_for(optimizers)
    in_module = module.activate(module.context_of_namespace(built.namespace if built else {}))
    with in_module, schedules.refuse_changes_of(optimizers):
        if live is not None:
            value = schedules.onto_stand_ins(live.schedule, optimizers, stand_ins)
        elif built is not None:
            names = {"optimizer": next(iter(stand_ins.values())) if len(stand_ins) == 1 else [*stand_ins.values()]}
            value = module.evaluate_expression(request.schedule or "", built, **names)
        schedule, steps_by_group = schedules.record_steps(value, stand_ins, run)
    return replace(run, schedule=schedule.name, schedule_every=schedule.every), steps_by_group


def measured_data(optimizer: "torch.optim.Optimizer", *, known_classes: bool) -> dict[str, Any]:
    """Measure steps of an optimizer of a running script, as plain data for a RecordedMeasurement.

    Args:
        known_classes: measure it even if the table has its class.
    """
    from decay_audit.optimizers.measure import measure

    names: dict[int, str] = {}
    for index, group in enumerate(optimizer.param_groups):
        for position, tensor in enumerate(group["params"]):
            names.setdefault(id(tensor), f"{index}/{position}")
    try:
        observed = measure((("optimizer", optimizer),), names, known_classes=known_classes)
    except DecayAuditError as error:
        return {"effects": {}, "failure": error.message}
    effects = {
        observation.parameter: {
            "movement": observation.movement,
            "measured_rate": observation.measured_rate,
            "settled_rate": observation.settled_rate,
        }
        for observation in observed.observations
        if observation.movement not in (None, "unknown")
    }
    return {"effects": effects, "failure": observed.optimizers[0].failed_measurement}


def _observe_in_memory(live: LiveModel, inventory: Inventory, *, measure: bool | None) -> ObservedOptimizers:
    if live.optimizer is None:
        return ObservedOptimizers()
    from decay_audit.optimizers import find

    return observe_live(live.model, inventory, find.find(live.optimizer), measure=measure)


def _name_saved_positions(
    saved: tuple[Optimizer, ...], live: tuple[Optimizer, ...], inventory: Inventory
) -> tuple[Optimizer, ...]:
    """Give each position of a saved optimizer the parameter that the live optimizer has there, if the shapes agree."""
    shapes = {parameter.name: parameter.shape for parameter in inventory.parameters}
    pairs = pair_optimizers(live, saved)
    live_by_saved = {id(saved_optimizer): live_optimizer for live_optimizer, saved_optimizer in pairs}
    return tuple(
        name_positions(optimizer, live_by_saved[id(optimizer)], shapes) if id(optimizer) in live_by_saved else optimizer
        for optimizer in saved
    )


def _checkpoint_inventory(loaded: LoadedTarget, request: Request) -> Inventory | None:
    """Read the file that `--checkpoint` names, for the optimizer states in it."""
    if request.checkpoint is None:
        return None
    from decay_audit.sources import checkpoint
    from decay_audit.sources.checkpoint import onto_model

    path = targets.path_of(request.checkpoint, use_cache=not request.no_cache)
    if not targets.exists(path):
        raise DecayAuditError(f"no such file: {request.checkpoint}", "--checkpoint takes a file or a folder")
    saved = checkpoint.read(path, target=path.name, key=request.key, model=loaded.inventory)
    if not saved.optimizers:
        raise DecayAuditError(
            f"{path.name} holds no optimizer state of this model", "save `optimizer.state_dict()` with the model"
        )
    fitted = onto_model.fit(saved, loaded.inventory)
    first, *others = fitted.optimizers
    return replace(fitted, optimizers=(replace(first, notes=(*first.notes, *fitted.notes)), *others))


def _observe_made_optimizers(loaded: LoadedTarget, request: Request) -> ObservedOptimizers:
    if loaded.built is None or loaded.made_optimizers is None:
        raise DecayAuditError("a checkpoint alone cannot make an optimizer", "name its model as well: --model TARGET")
    request.progress("measuring steps of the optimizer" if request.measure else "reading the optimizer")
    built, made_optimizers = loaded.built, loaded.made_optimizers
    observed = observe_live(
        built.model,
        loaded.inventory,
        made_optimizers.optimizers,
        log=made_optimizers.log,
        measure=request.measure,
        before=made_optimizers.parameters_before,
        other_models=loaded.other_models,
    )
    # the user chose the device, or it is the CPU already
    is_final = request.device != "auto" or built.inventory.built_on == "cpu"
    if is_final or not _needs_values(observed, loaded.inventory):
        return observed
    request.progress("building on the CPU: a step needs the values of tensors")
    request = replace(request, device="cpu", trace=None)
    return _observe_made_optimizers(load(request), request)


def _needs_values(observed: ObservedOptimizers, inventory: Inventory) -> bool:
    """Whether a step failed because the optimizer holds tensors on the meta device, and the CPU can hold the model."""
    failed = any("meta" in optimizer.failed_measurement for optimizer in observed.optimizers)
    return failed and sum(parameter.numel for parameter in inventory.parameters) <= CPU_ELEMENTS


def observe_live(
    model: "torch.nn.Module",
    inventory: Inventory,
    optimizers: "NamedOptimizers",
    *,
    log: "ConstructionLog | None" = None,
    measure: bool | None = None,
    before: "Mapping[str, torch.Tensor]" = MappingProxyType({}),
    other_models: "Sequence[torch.nn.ModuleDict]" = (),
) -> ObservedOptimizers:
    """Read live optimizers: what each group holds, and, if it is measured, what a step does.

    Args:
        log: what was recorded while the optimizers were made.
        measure: True measures every optimizer, False none, None those of unknown classes.
        before: the model's parameters before the optimizers were made, by name.
        other_models: the models of `--with`, whose parameters are in the inventory, too.

    Raises:
        OptimizerError: an optimizer cannot be read.
    """
    from decay_audit.optimizers import foreign, live
    from decay_audit.optimizers.measure import measure as measure_steps
    from decay_audit.sources import module

    names = module.names_of_all(model, inventory, other_models)
    if measure is False:
        observed = live.observe(optimizers, names, log)
    else:
        observed = measure_steps(optimizers, names, log, known_classes=measure is True)
    with_sources = foreign.with_sources(observed.optimizers, optimizers, model, names, before)
    return ObservedOptimizers(optimizers=with_sources, observations=observed.observations)
