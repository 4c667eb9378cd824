"""Observing what was asked for: live optimizers from an expression, those a checkpoint saved, a step measured."""

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from decay_audit.api.loading import Loaded, Request, load
from decay_audit.errors import DecayAuditError
from decay_audit.model.inventory import Inventory
from decay_audit.model.observations import Observation, Optimizer, observe_groups
from decay_audit.model.optimizer_pairs import pair_optimizers
from decay_audit.optimizers.saved_positions import name_positions
from decay_audit.sources import target as targets

if TYPE_CHECKING:
    import torch

    from decay_audit.optimizers.watch_construction import ConstructionLog
    from decay_audit.sources.module import BuiltModel


class Observed(Struct, frozen=True, kw_only=True):
    """Optimizers, live ones first, and what each does to each parameter that it holds.

    Attributes:
        beside: the checkpoint that was named beside the target.
    """

    optimizers: tuple[Optimizer, ...] = ()
    observations: tuple[Observation, ...] = ()
    beside: Inventory | None = None


def observe(loaded: Loaded, request: Request) -> Observed:
    """Read the optimizer that the request names, and those that were saved with the parameters.

    Raises:
        DecayAuditError: the expression cannot be evaluated or makes no optimizer, or there is no model for it.
    """
    beside = _beside(loaded, request)
    if request.optimizer is None and request.measure:
        raise DecayAuditError("--measure needs an optimizer to step", "name it: --optimizer EXPRESSION")
    live = _live(loaded, request, request.optimizer) if request.optimizer else Observed()
    saved = _placed((beside or loaded.inventory).optimizers, live.optimizers, loaded.inventory)
    read = tuple(each for optimizer in saved for each in observe_groups(optimizer))
    return Observed(optimizers=(*live.optimizers, *saved), observations=(*live.observations, *read), beside=beside)


def _placed(saved: tuple[Optimizer, ...], live: tuple[Optimizer, ...], inventory: Inventory) -> tuple[Optimizer, ...]:
    """See positions without names as the live optimizer that would load them has them, where their shapes allow it."""
    shapes = {one.name: one.shape for one in inventory.parameters}
    loading = {id(then): now for now, then in pair_optimizers(live, saved)}
    return tuple(name_positions(one, loading[id(one)], shapes) if id(one) in loading else one for one in saved)


def _beside(loaded: Loaded, request: Request) -> Inventory | None:
    """Read the checkpoint that was named beside the target, for the optimizer states in it."""
    if request.checkpoint is None:
        return None
    from decay_audit.sources import checkpoint
    from decay_audit.sources.checkpoint import onto_model

    path = Path(request.checkpoint)
    if not targets.exists(path):
        raise DecayAuditError(f"no such file: {request.checkpoint}", "--checkpoint takes a file or a folder")
    saved = checkpoint.read(path, target=path.name, key=request.key, model=loaded.inventory)
    if not saved.optimizers:
        raise DecayAuditError(
            f"{path.name} holds no optimizer state of this model", "save it beside the model: optimizer.state_dict()"
        )
    fitted = onto_model.fit(saved, loaded.inventory)
    first, *others = fitted.optimizers
    return replace(fitted, optimizers=(replace(first, notes=(*first.notes, *fitted.notes)), *others))


def _live(loaded: Loaded, request: Request, expression: str) -> Observed:
    built = loaded.built
    if built is None:
        raise DecayAuditError(
            "a checkpoint has no parameters to give to an optimizer", "name the model as well: --model TARGET"
        )
    from decay_audit.optimizers import watch_construction

    request.progress("making the optimizer")
    with watch_construction.watch() as log:
        built, optimizers, source = made(expression, built, request)
    request.progress("measuring steps with a gradient of zero" if request.measure else "reading the optimizer")
    return observe_live(built.model, loaded.inventory, optimizers, log=log, measure=request.measure, source=source)


def made(expression: str, built: "BuiltModel", request: Request) -> "tuple[BuiltModel, object, str]":
    """Make the optimizer; code that needs numbers gets a model that was built for real.

    Returns:
        The model, the optimizer, and the beginning of a sentence about it: `make_it(model) returned`.
    """
    from decay_audit.sources import module

    try:
        return built, *module.evaluate_optimizer(expression, built)
    except DecayAuditError as error:
        if built.inventory.built_on == "cpu" or request.device != "auto" or "meta" not in str(error.__cause__):
            raise
    request.progress("building on the CPU: the optimizer needs real numbers")
    real = load(replace(request, device="cpu")).built
    assert real is not None  # the same target gave a model before
    return real, *module.evaluate_optimizer(expression, real)


def observe_live(
    model: "torch.nn.Module",
    inventory: Inventory,
    made: object,
    *,
    log: "ConstructionLog | None" = None,
    measure: bool = False,
    source: str = "",
) -> Observed:
    """Read live optimizers: what each group holds, and, if asked for, what a step with a gradient of zero does.

    Args:
        made: an optimizer, several, or what holds them, as `decay_audit.optimizers.find` accepts.
        log: what was recorded while they were built.
        source: the beginning of a sentence that ends in what `made` is, for the message of an error.

    Raises:
        OptimizerError: there is none among them, or it cannot be read or stepped.
    """
    from decay_audit.optimizers import find, live
    from decay_audit.optimizers.measure import measure as measure_steps
    from decay_audit.sources import module

    optimizers, names = find.find(made, source=source), module.names_by_tensor(model, inventory)
    observed = live.observe(optimizers, names, log)
    observations = measure_steps(optimizers, names, log) if measure else observed.observations
    return Observed(optimizers=observed.optimizers, observations=observations)
