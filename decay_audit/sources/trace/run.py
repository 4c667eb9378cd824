"""Run a model's forward pass under a recorder and leave the model as it was. Knows torch, and no roles."""

import random
import traceback
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from msgspec import Struct
from msgspec.structs import replace
from torch import nn

from decay_audit.model.inventory import Inventory
from decay_audit.model.parameters import Use
from decay_audit.sources.trace.dispatch import MAX_CALLS, TraceLimitError, recording, through
from decay_audit.sources.trace.example_inputs import Inputs, served
from decay_audit.sources.trace.example_inputs.declared import appetite
from decay_audit.sources.trace.example_inputs.resize import corrected
from decay_audit.sources.trace.tensor_state import Ledger
from decay_audit.text import first_few

CORRECTIONS = 3  # of one guess at the inputs
ALIKE = 4  # failures in the same words: yet another size does not help
SHOWN = 5  # names in a note
TRIES = 40  # to find inputs that one module accepts


class Trace(Struct, frozen=True, kw_only=True):
    """What one forward pass showed.

    Attributes:
        uses: by the framework's name of a parameter, in the order of the pass; no key: never touched.
        complete: the pass reached its end, so that what it never touched is known.
        notes: what a person should know about it, one sentence each.
    """

    uses: Mapping[str, tuple[Use, ...]]
    complete: bool
    notes: tuple[str, ...] = ()


def trace(model: nn.Module, inputs: Inputs) -> Trace:
    """Run the forward pass on fake tensors and say which operator slots each parameter flows into.

    The pass runs in evaluation mode, and once more in training mode if parameters are left that it did not touch
    (auxiliary heads, mask tokens). Nothing is computed but small constants. The model is left as it was: flags,
    buffers, gradients, hooks, plain attributes and the random state.

    Whatever the model's code raises ends the pass and becomes a note; what was seen until then stands.
    """
    names = dict(model.named_parameters())
    if any(isinstance(parameter, nn.parameter.UninitializedParameter) for parameter in names.values()):
        return Trace(uses={}, complete=False, notes=("not traced: lazy parameters have no shape yet",))
    ledger = Ledger(names)
    with _untouched(model), recording(ledger):
        _dress(model, ledger)
        outcome = _main_pass(model, inputs, ledger, names)
        alone = _parts(model, ledger, names, broken=outcome.stumbled)
    notes = [*outcome.notes]
    if ledger.assumed:
        asked = ", ".join(sorted(ledger.assumed))
        notes.append(
            f"the forward pass asks about values ({asked}), which a trace does not have: it took one of the ways"
        )
    if alone:
        notes.append(f"traced on their own, as the whole pass did not touch them: {', '.join(alone)}")
    if outcome.failure is not None:
        notes.append(
            f"the trace ended early, with {len(ledger.uses)} of {len(names)} parameters seen: {outcome.failure}"
        )
    complete = outcome.failure is None
    return Trace(uses={name: tuple(uses) for name, uses in ledger.uses.items()}, complete=complete, notes=tuple(notes))


class _Outcome(Struct, frozen=True, kw_only=True):
    failure: str | None
    stumbled: bool  # at least one attempt broke off
    notes: tuple[str, ...]


def _main_pass(model: nn.Module, inputs: Inputs, ledger: Ledger, names: Mapping[str, Any]) -> _Outcome:
    """Run the whole model, and once more in training mode if parameters are left that it did not touch."""
    failure, accepted = _first_that_runs(_inner(model), inputs, ledger, names)
    if failure is None and len(ledger.uses) < len(names):
        _run(_inner(model), accepted, ledger, training=True)
    stumbled = failure is not None or accepted is not inputs
    return _Outcome(failure=failure, stumbled=stumbled, notes=accepted.notes)


def _first_that_runs(
    model: nn.Module, inputs: Inputs, ledger: Ledger, names: Collection[str]
) -> tuple[str | None, Inputs]:
    """Run on the first inputs that the model accepts; else say why it did not take the very first."""
    failures: list[tuple[tuple[object, ...], str]] = []
    for offered in (inputs, *inputs.otherwise):
        arguments = _form(offered)
        if max(Counter(one for one in failures if one[0] == arguments).values(), default=0) >= ALIKE:
            continue
        tried: Inputs | None = offered
        left = CORRECTIONS if offered.guessed else 0
        while tried is not None and len(failures) < TRIES:
            failure = _run(model, tried, ledger, training=False)
            if failure is None:
                return None, tried
            failures.append((arguments, failure))
            if all(name in ledger.uses for name in names):
                return failures[0][1], inputs  # other inputs would show nothing new
            tried = corrected(tried, failure) if left > 0 else None
            left -= 1
    return failures[0][1], inputs


def _form(inputs: Inputs) -> tuple[object, ...]:
    """Say which arguments there are, and of how many dimensions."""
    given = (*enumerate(inputs.args), *inputs.kwargs.items())
    return tuple((name, value.dim() if isinstance(value, torch.Tensor) else None) for name, value in given)


def _parts(model: nn.Module, ledger: Ledger, names: Mapping[str, Any], *, broken: bool) -> list[str]:
    """Run the parts that say what they eat and that the whole pass did not touch: towers of other modalities.

    Args:
        broken: a pass did not reach its end, so that it may have left a part half done.
    """
    alone = []
    for name, part in model.named_modules():
        held = [f"{name}.{own}" for own, _ in part.named_parameters() if f"{name}.{own}" in names]
        seen = sum(one in ledger.uses for one in held)
        if not name or seen == len(held) or (seen and not broken):
            continue
        meals = appetite(part)
        if meals and ledger.calls < MAX_CALLS:
            _first_that_runs(part, served(meals), ledger, held)
            alone.append(name)
    return alone


def with_uses(inventory: Inventory, traced: Trace) -> Inventory:
    """Fill in the parameters' uses: () for one that a complete pass never touched, which a note names too."""
    missing = () if traced.complete else None
    parameters = tuple(
        replace(parameter, uses=traced.uses.get(parameter.raw_name, missing)) for parameter in inventory.parameters
    )
    idle = [parameter.name for parameter in parameters if parameter.uses == ()]
    notes = (*inventory.notes, *traced.notes, *([_never_touched(idle)] if idle else []))
    return replace(inventory, parameters=parameters, notes=notes)


def _never_touched(names: list[str]) -> str:
    return f"the forward pass never touched {first_few(names, SHOWN)}"


def _declared(value: Any, ledger: Ledger) -> Any:  # noqa: ANN401
    match value:
        case torch.Tensor():
            return ledger.declare_data(value)
        case list():
            return [_declared(item, ledger) for item in value]
        case tuple():
            return tuple(_declared(item, ledger) for item in value)
        case dict():
            return {key: _declared(item, ledger) for key, item in value.items()}
        case _:
            return value


def _inner(model: nn.Module) -> nn.Module:
    """Unwrap what only distributes or compiles a model; its forward needs processes or code generation."""
    while True:
        if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
            continue
        compiled = getattr(model, "_orig_mod", None)
        if not isinstance(compiled, nn.Module):
            return model
        model = compiled


def _run(model: nn.Module, inputs: Inputs, ledger: Ledger, *, training: bool) -> str | None:
    """Run one pass; return why it ended early, or None."""
    for module in model.modules():
        module.training = training
    args, kwargs = _declared(inputs.args, ledger), {**_declared(dict(inputs.kwargs), ledger), **inputs.constants}
    ledger.running = True
    try:
        model(*args, **kwargs)
    except TraceLimitError as error:
        return str(error)
    except Exception as error:
        if _ours(error):
            raise
        # The model's own code, on tensors without values: it may raise anything.
        return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"[:300]
    finally:
        ledger.running = False
    return None


def _ours(error: Exception) -> bool:
    """Whether the tracer itself raised it, which is a bug and not a fact about the model."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    code = frame.f_code
    return Path(code.co_filename).parent == Path(__file__).parent and code is not through.__code__


def _dress(model: nn.Module, ledger: Ledger) -> None:
    """Put stand-ins in the place of parameters and of meta tensors, wherever modules keep them."""
    for module in model.modules():
        for holder in (vars(module), *(value for value in vars(module).values() if isinstance(value, dict))):
            for name, value in holder.items():
                if isinstance(value, torch.Tensor):
                    holder[name] = ledger.stand_in(value)
        for value in vars(module).values():
            if isinstance(value, list) and any(isinstance(item, torch.Tensor) for item in value):  # recurrent weights
                value[:] = [ledger.stand_in(item) if isinstance(item, torch.Tensor) else item for item in value]


@contextmanager
def _untouched(model: nn.Module) -> Iterator[None]:
    """Put every module's attributes, one container deep, and the random state back as they were."""
    saved = [(vars(module), _snapshot(vars(module))) for module in model.modules()]
    state = random.getstate()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(state)
        for attributes, snapshot in saved:
            _restore(attributes, snapshot)


def _snapshot(attributes: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {name: (value, _content(value)) for name, value in attributes.items()}


def _content(value: Any) -> Any:  # noqa: ANN401
    """Copy a container one deep, whatever its class makes of copying."""
    kind = next((kind for kind in (dict, list, set) if isinstance(value, kind)), None)
    return kind(value) if kind is not None else None


def _same(value: Any, content: Any) -> bool:  # noqa: ANN401
    """Whether a container still holds the very things that it held; one that was frozen always does."""
    pairs = (value.items(), content.items()) if isinstance(content, dict) else (value, content)
    flat = [[part for one in side for part in (one if isinstance(content, dict) else (one,))] for side in pairs]
    return len(flat[0]) == len(flat[1]) and all(one is other for one, other in zip(*flat, strict=True))


def _restore(attributes: dict[str, Any], snapshot: dict[str, tuple[Any, Any]]) -> None:
    for name in attributes.keys() - snapshot.keys():
        del attributes[name]
    for name, (value, content) in snapshot.items():
        attributes[name] = value
        if content is None or _same(value, content):
            continue
        match value:
            case dict() | set():
                value.clear()
                value.update(content)
            case list():
                value[:] = content
