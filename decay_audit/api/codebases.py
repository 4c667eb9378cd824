"""Another codebase's own function, called with its own configuration on a live model: what it makes of each parameter.

Knows the codebases whose grouping is a function that can be installed; no rule, and no file.
"""

import contextlib
import importlib
import importlib.metadata
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from msgspec import Struct
from torch import Tensor, nn

from decay_audit.errors import DecayAuditError
from decay_audit.rulesets.conformance import Treatment


class Codebase(Struct, frozen=True, kw_only=True):
    """How to ask a codebase.

    Attributes:
        distributions: what may provide it, by the names that pip knows.
        module: what is imported of it.
        ask: from that module, a model, a configuration and a base coefficient to groups of tensors.
    """

    distributions: Sequence[str]
    module: str
    ask: Callable[[Any, nn.Module, Any, float], Iterable[tuple[Sequence[Tensor], Treatment]]]


class CodebaseUnavailableError(DecayAuditError):
    """A codebase cannot be asked, or stops itself; the message says why."""


def version(codebase: str) -> str:
    """Give a codebase's name and the version that is installed.

    Raises:
        CodebaseUnavailableError: none is, or it has no function that could be called.
    """
    if codebase not in CODEBASES:
        raise CodebaseUnavailableError(f"{codebase} has no function that can be called here")
    for distribution in CODEBASES[codebase].distributions:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return f"{codebase} {importlib.metadata.version(distribution)}"
    raise CodebaseUnavailableError(f"{codebase} is not installed")


def treatments(codebase: str, model: nn.Module, configuration: Any, base: float) -> dict[str, Treatment]:  # noqa: ANN401
    """Ask a codebase what it makes of every parameter, by the name that the model gives it.

    Args:
        configuration: plain values, in the form in which the codebase takes them.
        base: the optimizer's weight_decay, where the configuration has multiples of it.

    Raises:
        CodebaseUnavailableError: the codebase cannot be imported, or stops on this model itself.
    """
    names = {id(tensor): name for name, tensor in model.named_parameters()}
    asked = CODEBASES[codebase]
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):  # they log each one
            groups = list(asked.ask(importlib.import_module(asked.module), model, configuration, base))
    except ImportError as error:
        raise CodebaseUnavailableError(f"{codebase} cannot be imported: {error}") from error
    except Exception as error:
        raise CodebaseUnavailableError(
            f"{codebase} stops on this model itself: {type(error).__name__}: {error}"
        ) from error
    return {names[id(tensor)]: treatment for tensors, treatment in groups for tensor in tensors}


def _mmengine(module: Any, model: nn.Module, configuration: Any, base: float) -> Iterator[Any]:  # noqa: ANN401
    optimizer = {"type": "SGD", "lr": 1.0, "weight_decay": base}
    construct = module.DefaultOptimWrapperConstructor(
        {"type": "OptimWrapper", "optimizer": optimizer}, paramwise_cfg=dict(configuration)
    )
    for group in construct(model).optimizer.param_groups:
        yield group["params"], Treatment(weight_decay=group["weight_decay"], lr_scale=group["lr"])


def _torchtitan(module: Any, model: nn.Module, configuration: Any, _: float) -> Iterator[Any]:  # noqa: ANN401
    """The last group is the one for the rest: learning rates are told as multiples of its own."""
    wanted = [module.ParamGroupConfig(**group) for group in configuration]
    built, _patterns = module.OptimizersContainer._build_param_groups(model, wanted, {})
    last = configuration[-1]["optimizer_kwargs"].get("lr")
    for name, groups in built.items():
        for group in groups:
            scale = group["lr"] / last if last and group.get("lr") else None
            use = name.lower() if len(built) > 1 else None
            yield group["params"], Treatment(weight_decay=group.get("weight_decay"), lr_scale=scale, use=use)


CODEBASES: dict[str, Codebase] = {
    "mmengine": Codebase(distributions=("mmengine", "mmengine-lite"), module="mmengine.optim", ask=_mmengine),
    "torchtitan": Codebase(
        distributions=("torchtitan",), module="torchtitan.components.optimizer.optimizer", ask=_torchtitan
    ),
}
