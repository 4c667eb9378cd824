"""Call another codebase's own grouping function on a live model, and return how it treats each parameter.

`CODEBASES` lists the codebases whose function can be installed and called. Nothing here uses a ruleset or reads a file.
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
    """How to call a codebase's grouping function.

    Attributes:
        distributions: the packages that may provide it, by their names on PyPI.
        module: the module to import.
        group: takes that module, a model, a configuration and a base coefficient; gives groups of tensors.
    """

    distributions: Sequence[str]
    module: str
    group: Callable[[Any, nn.Module, Any, float], Iterable[tuple[Sequence[Tensor], Treatment]]]


class CodebaseUnavailableError(DecayAuditError):
    """A codebase's function cannot be called, or raises an error; the message says why."""


def version(codebase: str) -> str:
    """Give a codebase's name and the version that is installed.

    Raises:
        CodebaseUnavailableError: the codebase is not installed, or has no function that can be called.
    """
    if codebase not in CODEBASES:
        raise CodebaseUnavailableError(f"{codebase} has no function that can be called here")
    for distribution in CODEBASES[codebase].distributions:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return f"{codebase} {importlib.metadata.version(distribution)}"
    raise CodebaseUnavailableError(f"{codebase} is not installed")


def treatments(codebase: str, model: nn.Module, configuration: Any, base: float) -> dict[str, Treatment]:  # noqa: ANN401
    """Call a codebase's function, and return its treatment of every parameter, by the parameter's name.

    Args:
        configuration: plain values, in the form in which the codebase takes them.
        base: the optimizer's weight_decay; the configuration may give multiples of it.

    Raises:
        CodebaseUnavailableError: the codebase cannot be imported, or its function raises an error.
    """
    names = {id(tensor): name for name, tensor in model.named_parameters()}
    grouping = CODEBASES[codebase]
    try:
        # the functions log every parameter
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            groups = list(grouping.group(importlib.import_module(grouping.module), model, configuration, base))
    except ImportError as error:
        raise CodebaseUnavailableError(f"{codebase} cannot be imported: {error}") from error
    except Exception as error:
        raise CodebaseUnavailableError(
            f"{codebase} raised an error on this model: {type(error).__name__}: {error}"
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
    """Yield the groups of torchtitan. Each lr_scale is relative to the last group, which takes all other parameters."""
    param_groups = [module.ParamGroupConfig(**group) for group in configuration]
    built, _patterns = module.OptimizersContainer._build_param_groups(model, param_groups, {})
    last = configuration[-1]["optimizer_kwargs"].get("lr")
    for name, groups in built.items():
        for group in groups:
            scale = group["lr"] / last if last and group.get("lr") else None
            use = name.lower() if len(built) > 1 else None
            yield group["params"], Treatment(weight_decay=group.get("weight_decay"), lr_scale=scale, use=use)


CODEBASES: dict[str, Codebase] = {
    "mmengine": Codebase(distributions=("mmengine", "mmengine-lite"), module="mmengine.optim", group=_mmengine),
    "torchtitan": Codebase(
        distributions=("torchtitan",), module="torchtitan.components.optimizer.optimizer", group=_torchtitan
    ),
}
