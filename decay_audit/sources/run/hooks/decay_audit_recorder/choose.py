"""Choose the models of an optimizer.

The model is the last module that was asked for its parameters and holds all tensors of the optimizer. If there is no
such module, several modules are chosen that hold the tensors together.
"""

import gc
from typing import Any, Dict, Iterable, List, Mapping, Set, Tuple

import torch
from torch import nn

from . import variables
from .hooks import listed_modules

NamedModule = Tuple[str, nn.Module]

_MAX_MODELS = 8
"""The most models that are chosen for one optimizer."""
_WRAPPED_CHILDREN = {"DataParallel": "module", "DistributedDataParallel": "module", "OptimizedModule": "_orig_mod"}
"""For each class of wrappers the name of the submodule that it wraps."""
_COEFFICIENT_KEYS = ("weight_decay", "wd")


def groups_of(optimizer: Any) -> List[Dict[str, Any]]:
    """The param groups of an optimizer; none if `param_groups` is not a list."""
    groups = getattr(optimizer, "param_groups", None)
    return [group for group in groups if isinstance(group, dict)] if isinstance(groups, list) else []


def tensors_of(group: Mapping[str, Any]) -> List[torch.Tensor]:
    """The tensors of a group."""
    tensors = group.get("params", ())
    return (
        [tensor for tensor in tensors if isinstance(tensor, torch.Tensor)] if isinstance(tensors, (list, tuple)) else []
    )


def summary(group: Mapping[str, Any]) -> Dict[str, Any]:
    """The coefficient, the learning rate and the ids of the tensors of a group, for a later comparison."""
    coefficient = next((group[key] for key in _COEFFICIENT_KEYS if key in group), None)
    tensors = [id(tensor) for tensor in tensors_of(group)]
    return {"weight_decay": number(coefficient), "lr": number(group.get("lr")), "ids": tensors}


def number(value: Any) -> Any:
    """The value of a finite number or of a tensor with one element; None for anything else."""
    if isinstance(value, torch.Tensor):
        if value.is_meta or value.numel() != 1:
            return None
        value = value.item()
    try:
        return float(value) if abs(float(value)) < float("inf") else None
    except (TypeError, ValueError):
        return None


def wrapper_chain(optimizer: Any) -> List[Any]:
    """List an optimizer, the optimizer that it wraps, and so on, outermost first.

    A wrapper is an object with exactly one other optimizer among its attributes.
    """
    chain = [optimizer]
    while True:
        values = list(getattr(chain[-1], "__dict__", {}).values())
        wrapped = {id(value): value for value in values if is_optimizer(value)}
        if len(wrapped) != 1 or next(iter(wrapped)) in {id(member) for member in chain}:
            return chain
        chain.append(next(iter(wrapped.values())))


def members_of(optimizer: Any) -> List[Any]:
    """The optimizers that an optimizer wraps, if they are several, such as Muon and AdamW in one class.

    They are among its attributes or in lists and dicts there, and their tensors are also in its own groups.
    """
    values = list(getattr(optimizer, "__dict__", {}).values())
    values += [item for value in values if isinstance(value, (list, tuple)) for item in value]
    values += [item for value in values if type(value) is dict for item in value.values()]
    inner = {id(value): value for value in values if value is not optimizer and is_optimizer(value)}
    members = [member for member in inner.values() if set() < _tensor_ids(member) <= _tensor_ids(optimizer)]
    return members if len(members) > 1 else []


def member_class(optimizer: Any, group: Mapping[str, Any]) -> str:
    """The class of the wrapped optimizer that holds the tensors of a group, if an optimizer wraps several; else ""."""
    tensors = {id(tensor) for tensor in tensors_of(group)}
    owners = [member for member in members_of(optimizer) if tensors and tensors <= _tensor_ids(member)]
    return type(owners[0]).__name__ if len(owners) == 1 else ""


def step_hooks(optimizer: Any) -> List[str]:
    """The names of functions that code registered to run before or after each step, without torch's and ours."""
    members = [*wrapper_chain(optimizer), *members_of(optimizer)]
    hooks = [
        hook
        for member in members
        for name in ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")
        for hook in getattr(member, name, {}).values()
    ]
    own = [hook for hook in hooks if not str(getattr(hook, "__module__", "")).startswith(("torch.", __package__ or ""))]
    return list(dict.fromkeys(getattr(hook, "__name__", type(hook).__name__) for hook in own))


def _tensor_ids(optimizer: Any) -> Set[int]:
    return {id(tensor) for group in groups_of(optimizer) for tensor in tensors_of(group)}


def is_optimizer(value: Any) -> bool:
    """Whether a value has param groups and a `step` method."""
    if isinstance(value, (str, int, float, dict, list, tuple, set, torch.Tensor, nn.Module, type)):
        return False
    return isinstance(getattr(value, "param_groups", None), list) and callable(getattr(value, "step", None))


def models_of(optimizer: Any, call_stack: "variables.CallStack") -> List[NamedModule]:
    """Choose the modules that hold the tensors of an optimizer, each with the name of its variable."""
    order = [id(tensor) for group in groups_of(optimizer) for tensor in tensors_of(group)]
    tensor_ids = set(order)
    if not tensor_ids:
        return []
    listed = listed_modules.modules()
    for module in listed:
        if tensor_ids <= parameter_ids(module):
            return [_with_variable_name(module, call_stack)]
    chosen = _cover(tensor_ids, [*listed, *all_modules()])
    chosen.sort(key=lambda module: min(map(order.index, parameter_ids(module) & tensor_ids)))
    return [_with_variable_name(module, call_stack) for module in chosen]


def names_of_tensors(models: Iterable[NamedModule]) -> Dict[int, str]:
    """The names of all parameters of the models, by the ids of the tensors."""
    models = list(models)
    names: Dict[int, str] = {}
    for name, module in models:
        prefix = name + "." if len(models) > 1 else ""
        for key, tensor in nn.Module.named_parameters(module):
            names.setdefault(id(tensor), prefix + key)
    return names


def parameter_ids(module: nn.Module) -> Set[int]:
    """The ids of a module's parameters."""
    try:
        return {
            id(tensor)
            for module_inside in modules_in(module)
            for tensor in module_inside._parameters.values()
            if tensor is not None
        }
    except AttributeError:  # the constructor of nn.Module has not run
        return set()


def modules_in(root: nn.Module) -> List[nn.Module]:
    """The module and all its submodules. `root.modules()` is not called: the user's class may have another one."""
    by_id: Dict[int, nn.Module] = {}
    stack = [root]
    while stack:
        module = stack.pop()
        if id(module) not in by_id:
            by_id[id(module)] = module
            stack.extend(child for child in module.__dict__.get("_modules", {}).values() if child is not None)
    return list(by_id.values())


def all_modules() -> List[nn.Module]:
    """All modules in this process whose constructor has run."""
    return [
        value for value in gc.get_objects() if issubclass(type(value), nn.Module) and "_parameters" in value.__dict__
    ]


def unwrapped(module: nn.Module) -> nn.Module:
    """The model that DataParallel, DistributedDataParallel or torch.compile wraps."""
    while True:
        child = _WRAPPED_CHILDREN.get(type(module).__name__)
        inner = None if child is None else module._modules.get(child)
        if inner is None:
            return module
        module = inner


def _cover(tensor_ids: Set[int], candidates: List[nn.Module]) -> List[nn.Module]:
    """Choose modules that together hold the tensors: in each round the module that holds most of the remaining tensors.

    Of several such modules the smallest is chosen: a parent may also hold a frozen copy, such as an EMA.
    """
    modules = {id(module): (module, parameter_ids(module)) for module in candidates}
    chosen: List[nn.Module] = []
    remaining = set(tensor_ids)
    while remaining and len(chosen) < _MAX_MODELS:
        ranked = [(len(ids & remaining), -len(ids), module) for module, ids in modules.values() if ids & remaining]
        if not ranked:
            break
        _, _, best = max(ranked, key=lambda entry: entry[:2])
        chosen.append(best)
        remaining -= modules[id(best)][1]
    return chosen


def name_of_model(module: nn.Module, call_stack: "variables.CallStack") -> str:
    """The name of a variable that holds a module, or a wrapper of it; "" if there is none."""
    inner = unwrapped(module)

    def is_model(value: Any) -> bool:
        return value is module or value is inner or (isinstance(value, nn.Module) and unwrapped(value) is inner)

    return call_stack.name_where(is_model)


def _with_variable_name(module: nn.Module, call_stack: "variables.CallStack") -> NamedModule:
    name = name_of_model(module, call_stack) or variables.referring_name(module)
    return name or type(unwrapped(module)).__name__, module
