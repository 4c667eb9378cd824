"""Observing what was asked for: live optimizers from an expression, those a checkpoint saved, a step measured."""

from pathlib import Path

from msgspec import Struct

from decay_audit.api.loading import Loaded, Request
from decay_audit.errors import DecayAuditError
from decay_audit.observations import Observation, Optimizer, held


class Observed(Struct, frozen=True, kw_only=True):
    """Optimizers, live ones first, and what each does to each parameter that it holds."""

    optimizers: tuple[Optimizer, ...] = ()
    observations: tuple[Observation, ...] = ()


def observe(loaded: Loaded, request: Request) -> Observed:
    """Read the optimizer that the request names, and those that were saved with the parameters.

    Raises:
        DecayAuditError: the expression cannot be evaluated or makes no optimizer, or there is no model for it.
    """
    saved = loaded.inventory.optimizers or _saved(loaded, request)
    read = tuple(each for optimizer in saved for each in held(optimizer))
    if request.optimizer is None:
        if request.measure:
            raise DecayAuditError("--measure needs an optimizer to step", "name it: --optimizer EXPRESSION")
        return Observed(optimizers=saved, observations=read)
    live = _live(loaded, request, request.optimizer)
    return Observed(optimizers=(*live.optimizers, *saved), observations=(*live.observations, *read))


def _saved(loaded: Loaded, request: Request) -> tuple[Optimizer, ...]:
    """Read the optimizer states of the checkpoint beside a model, by the model's names."""
    if request.checkpoint is None:
        return ()
    from decay_audit.sources import checkpoint, fitting

    path = Path(request.checkpoint)
    if not path.exists():
        raise DecayAuditError(f"no such file: {request.checkpoint}", "--checkpoint takes a file or a folder")
    saved = checkpoint.read(path, target=path.name, key=request.key)
    if not saved.optimizers:
        raise DecayAuditError(
            f"{path.name} holds no optimizer state", "save it beside the model: optimizer.state_dict()"
        )
    return fitting.fit(saved, loaded.inventory).optimizers


def _live(loaded: Loaded, request: Request, expression: str) -> Observed:
    built = loaded.built
    if built is None:
        raise DecayAuditError(
            "a checkpoint has no parameters to give to an optimizer", "name the model as well: --model TARGET"
        )
    from decay_audit.optimizers import construction, live, measure
    from decay_audit.sources import module

    request.progress("making the optimizer")
    with construction.watch() as record:
        found = live.find(module.make(expression, built))
    tensors = dict(built.model.named_parameters())
    names = {id(tensors[one.raw_name]): one.name for one in loaded.inventory.parameters if one.raw_name in tensors}
    observed = live.observe(found, names, record)
    if not request.measure:
        return Observed(optimizers=observed.optimizers, observations=observed.observations)
    request.progress("measuring steps without a gradient")
    return Observed(optimizers=observed.optimizers, observations=measure.measure(found, names, record))
