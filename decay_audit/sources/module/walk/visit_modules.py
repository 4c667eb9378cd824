"""Visit every module of a model once, in order, and collect its parameters: ties and wrappers are resolved."""

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace
from torch import Tensor, nn

from decay_audit.model.parameters import BASE_LAYER, Declaration, Owner, Parameter
from decay_audit.sources.module.walk.describe_module import (
    DECLARING_METHODS,
    ModuleClass,
    describe_class,
    describe_scripted,
    plain_attributes,
    read_declaration,
)
from decay_audit.sources.module.walk.describe_tensor import as_parameter, quantized_tensors, shapes_of
from decay_audit.sources.module.walk.timm_layers import layer_numbers

MAX_VISITS = 256
"""The most visits of one module: if modules are shared at every level, a module has exponentially many names."""


class _Visit(Struct, frozen=True, gc=False):
    """A module under one of its names.

    Attributes:
        raw: the prefix of raw names: empty, or it ends with a dot.
        name: the prefix of canonical names, in the same form.
        parent: the owner above this module.
        declaring: the owners that declare what should not decay, from here up to the root.
        above: the visit of the module that contains this module.
    """

    module: nn.Module
    raw: str
    name: str
    parent: Owner | None
    declaring: tuple[Owner, ...]
    above: "_Visit | None"


class ModelContents(Struct, frozen=True, kw_only=True):
    """The contents of a model, collected by the visits. Keys of type `int` are ids of tensors or of modules.

    Attributes:
        overridden: the names from the `named_parameters()` of the model's class; None if it is that of nn.Module.
        parameters: by the id of the tensor, each under its first name.
        tensors: keeps the tensors alive, so that no id is used twice.
        tied_names: the further names of each tensor.
        names: canonical names that are in use.
        visits: how often each module was visited.
        classes: the description of each class of modules.
        quantized: names of modules whose weights are packed.
        unregistered: the modules in plain lists and dicts, with the name of the attribute that holds them.
    """

    overridden: Mapping[int, str] | None
    parameters: dict[int, Parameter] = {}
    tensors: list[Tensor] = []
    tied_names: dict[int, list[str]] = {}
    names: set[str] = set()
    visits: dict[int, int] = {}
    classes: dict[type, ModuleClass] = {}
    notes: list[str] = []
    quantized: list[str] = []
    unregistered: list[tuple[str, list[nn.Module]]] = []


def visit_modules(model: nn.Module) -> ModelContents:
    """Visit every module, depth first and in order, without recursion."""
    contents = ModelContents(overridden=_overridden_names(model))
    visits = contents.visits
    stack = [_Visit(model, "", "", None, (), None)]
    while stack:
        visit = stack.pop()
        key = id(visit.module)
        count = visits[key] = visits.get(key, 0) + 1
        if count == 1:
            stack += _first_visit(visit, contents)
        elif count <= MAX_VISITS and not _is_inside_itself(visit):
            stack += _further_visit(visit, contents)
    return contents


def _overridden_names(model: nn.Module) -> Mapping[int, str] | None:
    """Return the names from an overridden `named_parameters()`, as FSDP1 and activation checkpointing have it."""
    if type(model).named_parameters is nn.Module.named_parameters:
        return None
    return {id(tensor): name for name, tensor in model.named_parameters()}


def _first_visit(visit: _Visit, contents: ModelContents) -> list[_Visit]:
    """Collect the module's own parameters, and return the visits of its children."""
    module, owner, declaring = visit.module, visit.parent, visit.declaring
    module_type = type(module)
    module_class = contents.classes.get(module_type)
    if module_class is None:
        module_class = contents.classes[module_type] = describe_class(module_type)
    if module_class.quantized:
        contents.quantized.append(visit.name[:-1])
    direct, children = module._parameters, module._modules
    if not direct and not children:
        return []
    wraps = module_class.wraps
    if wraps is not None and children.get(wraps) is None:
        wraps = None
    if wraps is None or direct:
        owner = _owner(visit, module_class, contents)
        declaring = (owner, *declaring) if owner.declaration is not None else declaring
        if direct:
            _collect_parameters(visit, owner, declaring, contents)
    return _child_visits(visit, wraps, owner, declaring) if children else []


def _collect_parameters(visit: _Visit, owner: Owner, declaring: tuple[Owner, ...], contents: ModelContents) -> None:
    """Collect the parameters that a module holds itself; a tensor that is collected already gets a further name."""
    parameters, names = contents.parameters, contents.names
    for leaf, tensor in visit.module._parameters.items():
        if tensor is None:
            continue
        key, name, raw = id(tensor), visit.name + leaf, visit.raw + leaf
        if key in parameters:
            _add_tied_name(key, name, contents)
            continue
        if name in names:  # a wrapper's own tensor has the name of a tensor of the model inside
            name = raw
        names.add(name)
        contents.tensors.append(tensor)
        raw = raw if contents.overridden is None else contents.overridden.get(key, raw)
        parameters[key] = as_parameter(tensor, name, raw, owner.tensors[leaf], owner, declaring)


def _further_visit(visit: _Visit, contents: ModelContents) -> list[_Visit]:
    """Add further names to the tensors, and return the visits of the module's children."""
    for leaf, tensor in visit.module._parameters.items():
        if tensor is not None:
            _add_tied_name(id(tensor), visit.name + leaf, contents)
    wraps = contents.classes[type(visit.module)].wraps
    return _child_visits(visit, wraps, None, ())


def _add_tied_name(key: int, name: str, contents: ModelContents) -> None:
    tied_names = contents.tied_names.setdefault(key, [])
    if name not in contents.names:
        contents.names.add(name)
        tied_names.append(name)


def _child_visits(visit: _Visit, wraps: str | None, owner: Owner | None, declaring: tuple[Owner, ...]) -> list[_Visit]:
    """Return the visits of the children, the last child first, because they go on a stack."""
    raw, name = visit.raw, visit.name
    visits = [
        _Visit(child, f"{raw}{key}.", f"{name}{key}.", owner, declaring, visit)
        if key != wraps
        else _Visit(child, f"{raw}{key}.", name, visit.parent, visit.declaring, visit)
        for key, child in visit.module._modules.items()
        if child is not None
    ]
    visits.reverse()
    return visits


def _is_inside_itself(visit: _Visit) -> bool:
    above = visit.above
    while above is not None:
        if above.module is visit.module:
            return True
        above = above.above
    return False


def _owner(visit: _Visit, module_class: ModuleClass, contents: ModelContents) -> Owner:
    module, name = visit.module, visit.name
    settings, containers = plain_attributes(module)
    contents.unregistered.extend((name + attribute, modules) for attribute, modules in containers)
    types = module_class.types
    if module_class.scripted:
        types, settings = describe_scripted(module)
    return Owner(
        name=name[:-1],
        types=types,
        parent=visit.parent,
        tensors=shapes_of(module),
        settings=settings,
        quantized=quantized_tensors(module),
        has_base_layer=BASE_LAYER in module._modules,
        declaration=_declaration(visit, module_class, contents),
    )


def _declaration(visit: _Visit, module_class: ModuleClass, contents: ModelContents) -> Declaration | None:
    """Read what the module's `no_weight_decay()` methods declare; for the root, also the numbers of its layers.

    A method is user code and may raise anything: the exception becomes a note, and the reading continues.
    """
    declaration = None
    if module_class.declares_no_decay or not visit.module.__dict__.keys().isdisjoint(DECLARING_METHODS):
        try:
            declaration = read_declaration(visit.module)
        except Exception as error:  # noqa: BLE001
            contents.notes.append(_note_on_error(f"{visit.name}no_weight_decay()", error))
    if visit.parent is not None:
        return declaration
    try:
        layers = layer_numbers(visit.module)
    except Exception as error:  # noqa: BLE001
        contents.notes.append(_note_on_error("group_matcher()", error))
        return declaration
    return replace(declaration or Declaration(), layers=layers) if layers else declaration


def _note_on_error(method: str, error: Exception) -> str:
    return f"{method} raised {type(error).__name__}: {error}; it is ignored"
