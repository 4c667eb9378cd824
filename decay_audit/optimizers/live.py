"""Read live optimizers as Optimizer and Observation values: what each group sets, by canonical parameter names.

Roles and rules are not used here. `find` decides what counts as an optimizer.
"""

from collections.abc import Mapping, Sequence
from math import isfinite
from numbers import Real

import torch
from msgspec import Struct
from msgspec.structs import replace

from decay_audit.errors import OptimizerError
from decay_audit.model.observations import Observation, Optimizer, ParamGroup
from decay_audit.optimizers.find import NamedOptimizers, member_optimizers, tensor_ids, wrapper_chain
from decay_audit.optimizers.identity import accepts, class_names, default_weight_decay, display_name, import_path
from decay_audit.optimizers.table.describe import Described, describe_optimizer, with_step_hooks
from decay_audit.optimizers.table.group_keys import COEFFICIENT_KEYS, FOREACH_DEVICES, NOT_LOOKED_UP
from decay_audit.optimizers.table.lookup import class_facts
from decay_audit.optimizers.watch_construction import ConstructionLog
from decay_audit.text import format_shape

_NOT_HYPERPARAMETERS = frozenset({"params", "param_names"})
"""Keys of a group that hold its parameters or their names."""


class LiveOptimizers(Struct, frozen=True, kw_only=True):
    """Live optimizers as data. A parameter has one observation for each group that holds it, so it may have none."""

    optimizers: tuple[Optimizer, ...]
    observations: tuple[Observation, ...]


def observe(
    optimizers: NamedOptimizers, names: Mapping[int, str], log: ConstructionLog | None = None
) -> LiveOptimizers:
    """Read optimizers as data.

    Args:
        optimizers: the optimizers with their names, as `find` returns them.
        names: `id(tensor)` -> canonical name, for every parameter of the model. The tensors must be alive.
        log: what was recorded while they were built. Without it, whether a coefficient is a default is often unknown.

    Raises:
        OptimizerError: there are no groups, or a hyperparameter is not a finite number.
    """
    results = [_observe_optimizer(name, optimizer, names, log) for name, optimizer in optimizers]
    return LiveOptimizers(
        optimizers=tuple(optimizer for optimizer, _ in results),
        observations=tuple(observation for _, observations in results for observation in observations),
    )


def _observe_optimizer(
    name: str, optimizer: torch.optim.Optimizer, names: Mapping[int, str], log: ConstructionLog | None
) -> Described:
    if not optimizer.param_groups:
        raise OptimizerError(
            f"{name} ({type(optimizer).__name__}) has no param groups", "create it with the model's parameters"
        )
    decaying = decaying_optimizer(optimizer)
    described, observations = describe_optimizer(
        name,
        tuple(_group(name, optimizer, index, names, log) for index in range(len(optimizer.param_groups))),
        display_name=display_name(optimizer),
        import_path=import_path(optimizer),
        group_keys=tuple(dict.fromkeys(key for wrapper in wrapper_chain(optimizer) for key in _defaults(wrapper))),
        decaying_class=class_names(decaying),
        attributes=_attributes(decaying),
    )
    described = with_step_hooks(described, _step_hooks(optimizer))
    if accepts(decaying, described.decoupled_by.partition("=")[0]):
        return described, observations
    return replace(described, decoupled_by=""), observations  # the class has an attribute of that name, no argument


def decaying_optimizer(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """Find the optimizer whose step decides the decay, in the chain of wrappers around an optimizer.

    It is the first optimizer of the chain that does more than call the next one. A wrapper that is not in the table of
    classes may do more, so it counts.
    """
    chain = wrapper_chain(optimizer)
    decaying: torch.optim.Optimizer = next((wrapper for wrapper in chain if not _delegates(wrapper)), chain[-1])
    return decaying


def _delegates(wrapper: object) -> bool:
    facts = class_facts(class_names(wrapper))
    return facts is not None and facts.form == "delegated"


def _group(
    name: str, optimizer: torch.optim.Optimizer, index: int, names: Mapping[int, str], log: ConstructionLog | None
) -> ParamGroup:
    group = optimizer.param_groups[index]
    label = f"group {index} of {name} ({type(optimizer).__name__})"
    key = next((key for key in COEFFICIENT_KEYS if key in group), "")
    coefficient = _number(group[key], key, label) if key else 0.0
    tensors = [tensor for tensor in group.get("params", ()) if isinstance(tensor, torch.Tensor)]
    return ParamGroup(
        weight_decay=coefficient,
        lr=_number(group["lr"], "lr", label) if group.get("lr") is not None else None,
        parameters=tuple(names.get(id(tensor), "") for tensor in tensors),
        hyperparameters={key: _plain_value(value) for key, value in group.items() if key not in _NOT_HYPERPARAMETERS},
        weight_decay_is_default=_is_default(optimizer, index, coefficient, log),
        coefficient_key=key,
        member_class=_member_class(optimizer, group),
        foreign_tensors=tuple(_dtype_and_shape(tensor) for tensor in tensors if id(tensor) not in names),
        missing_keys=_missing_keys(optimizer, group),
        flat_parameters=tuple(names.get(id(tensor), "") for tensor in tensors if _is_flat(tensor)),
        distributed_parameters=tuple(names.get(id(tensor), "") for tensor in tensors if _is_distributed(tensor)),
        updates_together=_updates_together(group, tensors),
    )


def _step_hooks(optimizer: object) -> tuple[str, ...]:
    """Name the functions that code registered to run before or after each step, without those of torch itself."""
    hooks = [
        hook
        for member in (*wrapper_chain(optimizer), *member_optimizers(optimizer))
        for attribute in ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")
        for hook in getattr(member, attribute, {}).values()
    ]
    of_user = [hook for hook in hooks if not (getattr(hook, "__module__", None) or "").startswith("torch.")]
    return tuple(dict.fromkeys(getattr(hook, "__name__", type(hook).__name__) for hook in of_user))


def _member_class(optimizer: object, group: Mapping[str, object]) -> str:
    """Name the class of the optimizer that has this group, if an optimizer wraps several, such as Muon and AdamW."""
    tensors = {id(tensor) for tensor in group.get("params", ())}  # type: ignore[attr-defined]
    owners = [member for member in member_optimizers(optimizer) if tensors and tensors <= tensor_ids(member)]
    return display_name(owners[0]) if len(owners) == 1 else ""


def _missing_keys(optimizer: object, group: Mapping[str, object]) -> tuple[str, ...]:
    """List the keys of the innermost optimizer's defaults that a group lacks; `add_param_group` would have set them."""
    innermost = wrapper_chain(optimizer)[-1]
    if not any(group is own_group for own_group in innermost.param_groups):  # the wrapper has groups of its own
        return ()
    name = type(innermost).__name__
    return tuple(key for key in _defaults(innermost) if key not in group and (name, key) not in NOT_LOOKED_UP)


def _defaults(optimizer: object) -> Mapping[str, object]:
    defaults = getattr(optimizer, "defaults", None)
    return defaults if isinstance(defaults, Mapping) else {}


def _attributes(optimizer: object) -> dict[str, object]:
    """Return integers and flags of the optimizer itself: a flag may choose the form of decay, as `adam_w_mode` does."""
    return {name: value for name, value in vars(optimizer).items() if isinstance(value, bool | int)}


def _number(value: object, key: str, label: str) -> float:
    """Return a hyperparameter as a float. torch also accepts tensors and NumPy numbers."""
    if isinstance(value, torch.Tensor):
        if value.is_meta or value.numel() != 1:
            raise OptimizerError(f"{label}: {key} is a tensor that holds no single number", f"give {key} as a number")
        value = value.item()
    if not isinstance(value, Real) or not isfinite(value):
        raise OptimizerError(f"{label}: {key} is {value!r}", f"{key} must be a finite number")
    if value < 0 and key in COEFFICIENT_KEYS:
        raise OptimizerError(f"{label}: {key} is {value!r}", f"{key} must be 0 or more: below 0 weights grow")
    return float(value)


def _plain_value(value: object) -> object:
    """Return a hyperparameter as data that can be compared and printed."""
    match value:
        case torch.Tensor():
            return value.item() if value.numel() == 1 and not value.is_meta else _dtype_and_shape(value)
        case None | bool() | int() | float() | str():
            return value
        case list() | tuple():
            return tuple(_plain_value(item) for item in value)
        case _:
            return getattr(value, "__qualname__", type(value).__qualname__)


def _dtype_and_shape(tensor: torch.Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {format_shape(tensor.shape)}"


def _is_distributed(tensor: torch.Tensor) -> bool:
    """Whether a tensor is a DTensor. torch.distributed.tensor is not imported for this: it may be missing."""
    return any(kind.__name__ == "DTensor" and kind.__module__.startswith("torch.") for kind in type(tensor).__mro__)


def _updates_together(group: Mapping[str, object], tensors: Sequence[torch.Tensor]) -> bool:
    """Whether torch.optim updates a group by its foreach or fused step: if asked to, or by default on a GPU."""
    if "foreach" not in group or group.get("differentiable"):
        return False
    if group["foreach"] or group.get("fused"):
        return True
    is_default = group["foreach"] is None
    return is_default and all(tensor.device.type in FOREACH_DEVICES for tensor in tensors)


def _is_flat(tensor: torch.Tensor) -> bool:
    """Whether a tensor is a FlatParameter: FSDP1 packs the parameters of a module into it (use_orig_params=False)."""
    return bool(getattr(tensor, "_is_flat_param", False))


def _is_default(
    optimizer: torch.optim.Optimizer, index: int, coefficient: float, log: ConstructionLog | None
) -> bool | None:
    """Whether the coefficient is a default that no code set; None if it equals the default and nothing was recorded."""
    chain = wrapper_chain(optimizer)
    recorded = [log.weight_decay_is_default(wrapper, index) for wrapper in chain] if log else []
    known = [is_default for is_default in recorded if is_default is not None]
    defaults = [default for default in map(default_weight_decay, chain) if default is not None]
    if defaults and coefficient not in defaults:  # code set it, perhaps in the group after the optimizer was created
        return False
    if known:
        return all(known)
    return None if defaults else False
