"""Describe optimizers, their models, modules and tensors as plain data with indices as references.

Each tensor, module and class is described once, so tied tensors have the same index.
"""

from typing import Any, Dict, List, Tuple

import torch
from torch import nn

from . import choose, plain, recording, variables

Data = Dict[str, Any]
"""A JSON object."""


class _Tables:
    """The tables of classes, modules and tensors.

    Attributes:
        index_of: maps the id of a class, module or tensor to its position in its table.
        alive: the values in the tables. This list keeps them alive, so that no other value gets the same id.
        containers: plain lists and dicts of modules. Each entry has the data of the module that has the list, the name
            of the attribute, and the modules in the list.
    """

    def __init__(self) -> None:
        self.classes: List[Data] = []
        self.modules: List[Data] = []
        self.tensors: List[Data] = []
        self.index_of: Dict[int, int] = {}
        self.alive: List[Any] = []
        self.containers: List[Tuple[Data, str, List[nn.Module]]] = []

    def add(self, table: List[Data], value: Any, data: Data) -> int:
        """Add the data of a value to a table, and return its position there."""
        self.index_of[id(value)] = len(table)
        self.alive.append(value)
        table.append(data)
        return len(table) - 1


def describe(entries: "List[recording.OptimizerEntry]", call_stack: "variables.CallStack") -> Data:
    """Describe optimizers and all that belongs to them."""
    tables = _Tables()
    models: Dict[int, int] = {}
    model_list: List[Data] = []
    optimizers = []
    for entry in entries:
        for name, module in entry.models:
            if id(module) not in models:
                models[id(module)] = len(model_list)
                model_list.append(_model(choose.name_of_model(module, call_stack) or name, module, tables))
        optimizers.append(_optimizer(entry, [models[id(module)] for _, module in entry.models], tables, call_stack))
    _add_gradients_outside_optimizers(tables)
    _add_unregistered(tables)
    return {
        "classes": tables.classes,
        "modules": tables.modules,
        "tensors": tables.tensors,
        "models": model_list,
        "optimizers": optimizers,
        "outside": _trained_outside(tables),
    }


def _add_unregistered(tables: _Tables) -> None:
    """Add to each module how many modules with parameters are in its plain lists and dicts, and in no model."""
    for data, name, members in tables.containers:
        unregistered = [
            member for member in members if id(member) not in tables.index_of and choose.parameter_ids(member)
        ]
        if unregistered:
            data.setdefault("unregistered", []).append([name, len(unregistered)])


def _model(name: str, module: nn.Module, tables: _Tables) -> Data:
    data: Data = {"name": name, "module": _module(module, tables), "raw_names": {}}
    if type(module).named_parameters is not nn.Module.named_parameters:
        own_names = ((id(tensor), own) for own, tensor in module.named_parameters())
        data["raw_names"] = {str(tables.index_of[key]): own for key, own in own_names if key in tables.index_of}
    for module_inside in choose.modules_in(module):
        for tensor, shape in plain.whole_shapes(module_inside):
            if id(tensor) in tables.index_of:
                tables.tensors[tables.index_of[id(tensor)]]["shape"] = shape
    return data


def _module(root: nn.Module, tables: _Tables) -> int:
    """Describe a module and all modules in it, without recursion: models may be deep."""
    stack = [root]
    while stack:
        module = stack.pop()
        if id(module) in tables.index_of:
            continue
        own_settings, containers = plain.plain_attributes(module)
        data: Data = {
            "class": _class(type(module), tables),
            "parameters": [
                [leaf, _tensor(tensor, tables)] for leaf, tensor in module._parameters.items() if tensor is not None
            ],
            "buffers": {
                leaf: plain.shape(tensor)
                for leaf, tensor in module._buffers.items()
                if isinstance(tensor, torch.Tensor)
            },
            "settings": own_settings,
            "declaration": plain.declaration(module),
        }
        if isinstance(module, torch.jit.ScriptModule):
            data["scripted"], data["settings"] = plain.scripted(module)
        tables.add(tables.modules, module, data)
        tables.containers += [(data, name, members) for name, members in containers]
        stack.extend(child for child in module._modules.values() if child is not None)
    for module in choose.modules_in(root):
        children = [(name, child) for name, child in module._modules.items() if child is not None]
        data = tables.modules[tables.index_of[id(module)]]
        data["children"] = [[name, tables.index_of[id(child)]] for name, child in children]
    return tables.index_of[id(root)]


def _class(cls: type, tables: _Tables) -> int:
    if id(cls) in tables.index_of:
        return tables.index_of[id(cls)]
    is_quantized = cls.__module__.startswith(("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized"))
    data = {
        "types": plain.type_names(cls),
        "scripted": issubclass(cls, torch.jit.ScriptModule),
        # the module with packed weights is a submodule of the quantized layer, which counts already
        "quantized": is_quantized and not cls.__name__.endswith("PackedParams"),
    }
    return tables.add(tables.classes, cls, data)


def _tensor(tensor: torch.Tensor, tables: _Tables) -> int:
    if id(tensor) in tables.index_of:
        return tables.index_of[id(tensor)]
    return tables.add(tables.tensors, tensor, plain.tensor(tensor))


def _optimizer(
    entry: "recording.OptimizerEntry", models: List[int], tables: _Tables, call_stack: "variables.CallStack"
) -> Data:
    optimizer = entry.reference()
    groups = choose.groups_of(optimizer)
    chain = choose.wrapper_chain(optimizer)
    inner_groups = choose.groups_of(chain[-1])
    ids_in_models = set(tables.index_of)
    data: Data = {
        "name": call_stack.name_of(optimizer) or variables.referring_name(optimizer) or "optimizer",
        "file": entry.file,
        "line": entry.line,
        "position": entry.position,
        "models": models,
        "chain": [plain.optimizer_class(member) for member in chain],
        "set_names": entry.set_names,
        "groups": [],
        "stepping": any(each is recording.STEPPING for each in [optimizer, *choose.members_of(optimizer)]),
        "step_hooks": choose.step_hooks(optimizer),
        "former_names": {},
    }
    for index, group in enumerate(groups):
        tensors = choose.tensors_of(group)
        data["groups"].append(
            {
                "hyperparameters": {key: plain.value(value) for key, value in group.items() if key != "params"},
                "tensors": [_tensor(tensor, tables) for tensor in tensors],
                "keys": entry.keys_of(group, index),
                "is_inner": any(group is inner for inner in inner_groups),
                "member": choose.member_class(optimizer, group),
            }
        )
        for tensor in tensors:
            tables.tensors[tables.index_of[id(tensor)]]["in_optimizer"] = True
            if id(tensor) not in ids_in_models:
                _name_tensor_outside_models(tensor, data, entry, tables, call_stack)
    data["construction"] = [
        {**group, "ids": None, "tensors": [tables.index_of.get(key, -1) for key in group["ids"]]}
        for group in entry.groups
    ]
    _add_gradients(groups, tables)
    return data


def _name_tensor_outside_models(
    tensor: torch.Tensor,
    data: Data,
    entry: "recording.OptimizerEntry",
    tables: _Tables,
    call_stack: "variables.CallStack",
) -> None:
    """Name a tensor that no model holds by the name that it had in a model before, or else by its variable."""
    index = tables.index_of[id(tensor)]
    former_name = entry.names.get(id(tensor))
    if former_name is not None:
        data["former_names"][str(index)] = former_name
    else:
        name = call_stack.name_of(tensor, in_containers=False)  # there may be many tensors: containers would take long
        tables.tensors[index]["name"] = name or variables.referring_name(tensor)


def _add_gradients(groups: List[Data], tables: _Tables) -> None:
    """Describe the gradients of an optimizer's tensors, if the first step is about to be taken.

    They are not described if the step is part of the backward pass, or if an engine keeps gradients elsewhere.
    """
    if recording.STEPPING is None or recording.IN_BACKWARD:
        return
    tensors = [tensor for group in groups for tensor in choose.tensors_of(group)]
    if any(tensor.grad is not None for tensor in tensors):
        for tensor in tensors:
            tables.tensors[tables.index_of[id(tensor)]]["gradient"] = plain.gradient(tensor)


def _add_gradients_outside_optimizers(tables: _Tables) -> None:
    """Describe the gradients of trainable parameters in no optimizer, if those of the optimizers are known."""
    if any(data.get("gradient") in ("zero", "some") for data in tables.tensors):
        for value in tables.alive:
            if isinstance(value, torch.Tensor) and value.requires_grad:
                data = tables.tensors[tables.index_of[id(value)]]
                if "gradient" not in data and not data.get("in_optimizer"):
                    data["gradient"] = plain.gradient(value)


def _trained_outside(tables: _Tables) -> List[List[Any]]:
    """Count the parameters with a gradient that are in no optimizer and in no model, by the class of their module."""
    if recording.STEPPING is None or recording.IN_BACKWARD:
        return []
    counts: Dict[str, int] = {}
    counted = set(tables.index_of)
    for module in choose.all_modules():
        for tensor in module._parameters.values():
            if tensor is not None and id(tensor) not in counted and _has_gradient(tensor):
                counted.add(id(tensor))
                name = type(module).__name__
                counts[name] = counts.get(name, 0) + 1
    return [[name, count] for name, count in counts.items()]


def _has_gradient(tensor: torch.Tensor) -> bool:
    return bool(tensor.requires_grad) and tensor.is_leaf and tensor.grad is not None
