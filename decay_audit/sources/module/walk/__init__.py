"""From a live model to its parameters as plain data: one pass over the modules, ties and wrappers resolved."""

from collections.abc import Iterator, Mapping

import torch
from msgspec import Struct
from msgspec.structs import replace
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from decay_audit.errors import TargetError
from decay_audit.model.inventory import Inventory
from decay_audit.model.parameters import Declaration, Owner, Parameter, declared_no_decay
from decay_audit.sources.module.walk import describe_module, fsdp_shapes
from decay_audit.sources.module.walk.timm_layers import layer_numbers
from decay_audit.text import count_noun, first_few

_MOST_PATHS = 256
"""How often one module is entered: modules shared at every level have exponentially many names."""


class _Visit(Struct, frozen=True, gc=False):
    """A module on one of its paths; its prefixes are empty or end in a dot."""

    module: nn.Module
    raw: str
    name: str
    parent: Owner | None
    declaring: tuple[Owner, ...]
    above: "_Visit | None"


class _Seen(Struct, frozen=True, kw_only=True):
    """What the pass gathers.

    Attributes:
        renamed: names by tensor, where the model says them itself.
        parameters: by tensor, at their first names.
        tensors: kept, so that no other object takes the identity of one.
        aliases: the further names of each tensor.
        names: canonical names that are taken.
        entered: how often each module was met.
        unregistered: modules that torch does not see, by the attribute that holds them.
    """

    renamed: Mapping[int, str] | None
    parameters: dict[int, Parameter] = {}
    tensors: list[Tensor] = []
    aliases: dict[int, list[str]] = {}
    names: set[str] = set()
    entered: dict[int, int] = {}
    kinds: dict[type, describe_module.Kind] = {}
    notes: list[str] = []
    quantized: list[str] = []
    unregistered: list[tuple[str, list[nn.Module]]] = []


def read(model: nn.Module, *, target: str = "model", built_on: str | None = None) -> Inventory:
    """Read the parameters of a model, in the order of `named_parameters()`, tied ones once.

    Args:
        target: what to call the model.
        built_on: how it was built, if decay-audit built it.

    Raises:
        TargetError: the model has no parameters.
    """
    seen = _walk(model)
    for key, names in seen.aliases.items():
        seen.parameters[key] = replace(seen.parameters[key], tied_to=tuple(names))
    seen.parameters.update(fsdp_shapes.whole(model, seen.parameters))
    if not seen.parameters:
        raise _nothing(target, seen)
    return Inventory(
        target=target, built_on=built_on, parameters=tuple(seen.parameters.values()), notes=tuple(_notes(seen))
    )


def _walk(model: nn.Module) -> _Seen:
    """Enter every module, depth first and in order, without recursion."""
    seen = _Seen(renamed=_overridden_names(model))
    entered = seen.entered
    stack = [_Visit(model, "", "", None, (), None)]
    while stack:
        visit = stack.pop()
        key = id(visit.module)
        times = entered[key] = entered.get(key, 0) + 1
        if times == 1:
            stack += _enter(visit, seen)
        elif times <= _MOST_PATHS and not _inside_itself(visit):
            stack += _enter_again(visit, seen)
    return seen


def _enter(visit: _Visit, seen: _Seen) -> list[_Visit]:
    """Take the module's own parameters, and give its children, the last first, as a stack wants them."""
    module, owner, declaring = visit.module, visit.parent, visit.declaring
    this = type(module)
    kind = seen.kinds.get(this) or seen.kinds.setdefault(this, describe_module.kind(module))
    if kind.quantized:
        seen.quantized.append(visit.name[:-1])
    own, children = module._parameters, module._modules
    if not own and not children:
        return []
    wraps = kind.wraps if kind.wraps is not None and children.get(kind.wraps) is not None else None
    if wraps is None or own:
        owner = _owner(visit, kind, seen)
        declaring = (owner, *declaring) if owner.declaration is not None else declaring
        if own:
            _take(visit, owner, declaring, seen)
    return _children(visit, wraps, owner, declaring) if children else []


def _take(visit: _Visit, owner: Owner, declaring: tuple[Owner, ...], seen: _Seen) -> None:
    """Take the parameters that a module holds itself; one that is known already only gets a further name."""
    parameters, names = seen.parameters, seen.names
    for leaf, tensor in visit.module._parameters.items():
        if tensor is None:
            continue
        key, name, raw = id(tensor), visit.name + leaf, visit.raw + leaf
        if key in parameters:
            _alias(key, name, seen)
            continue
        if name in names:  # a wrapper's own tensor, named like one of the model inside it
            name = raw
        names.add(name)
        seen.tensors.append(tensor)
        raw = raw if seen.renamed is None else seen.renamed.get(key, raw)
        parameters[key] = _parameter(tensor, name, raw, owner.tensors[leaf], owner, declaring)


def _enter_again(visit: _Visit, seen: _Seen) -> list[_Visit]:
    """Only note the further names of what is known already."""
    for leaf, tensor in visit.module._parameters.items():
        if tensor is not None:
            _alias(id(tensor), visit.name + leaf, seen)
    wraps = seen.kinds[type(visit.module)].wraps
    return _children(visit, wraps, None, ())


def _children(visit: _Visit, wraps: str | None, owner: Owner | None, declaring: tuple[Owner, ...]) -> list[_Visit]:
    raw, name = visit.raw, visit.name
    below = [
        _Visit(child, f"{raw}{key}.", f"{name}{key}.", owner, declaring, visit)
        if key != wraps
        else _Visit(child, f"{raw}{key}.", name, visit.parent, visit.declaring, visit)
        for key, child in visit.module._modules.items()
        if child is not None
    ]
    below.reverse()
    return below


def _alias(key: int, name: str, seen: _Seen) -> None:
    known = seen.aliases.setdefault(key, [])
    if name not in seen.names:
        seen.names.add(name)
        known.append(name)


def _owner(visit: _Visit, kind: describe_module.Kind, seen: _Seen) -> Owner:
    module, name, parent = visit.module, visit.name, visit.parent
    settings, kept = describe_module.plain(module)
    for attribute, held in kept:
        seen.unregistered.append((name + attribute, held))
    types = kind.types
    if kind.scripted:
        types, settings = describe_module.scripted(module)
    return Owner(
        name=name[:-1],
        types=types,
        parent=parent,
        tensors=_shapes(module),
        settings=settings,
        declaration=_with_layers(
            visit, _declares(visit, seen) if kind.hooked or "no_weight_decay" in module.__dict__ else None, seen
        ),
    )


def _declares(visit: _Visit, seen: _Seen) -> Declaration | None:
    """A hook is the user's code and may raise anything; that is said, and the reading goes on."""
    try:
        return describe_module.declares(visit.module)
    except Exception as error:  # noqa: BLE001
        seen.notes.append(f"{visit.name}no_weight_decay() raised {type(error).__name__}: {error}; it was not read")
        return None


def _with_layers(visit: _Visit, declares: Declaration | None, seen: _Seen) -> Declaration | None:
    """Add how the model as a whole numbers its layers; that hook may raise as well."""
    if visit.parent is not None:
        return declares
    try:
        layers = layer_numbers(visit.module)
    except Exception as error:  # noqa: BLE001
        seen.notes.append(f"group_matcher() raised {type(error).__name__}: {error}; it was not read")
        return declares
    return replace(declares or Declaration(), layers=layers) if layers else declares


def _shapes(module: nn.Module) -> Mapping[str, tuple[int, ...]]:
    """Shapes as torch stores them, without waking a tensor subclass; a lazy tensor has none yet."""
    own: Mapping[str, Tensor | None] = module._parameters
    if module._buffers:
        own = {**own, **module._buffers}
    with torch._C.DisableTorchFunctionSubclass():
        return {
            name: tuple(tensor.shape) if type(tensor) in _EAGER or not is_lazy(tensor) else ()
            for name, tensor in own.items()
            if tensor is not None
        }


def _inside_itself(visit: _Visit) -> bool:
    above = visit.above
    while above is not None:
        if above.module is visit.module:
            return True
        above = above.above
    return False


def _parameter(
    tensor: Tensor, name: str, raw: str, shape: tuple[int, ...], owner: Owner, declaring: tuple[Owner, ...]
) -> Parameter:
    marks = tensor.__dict__
    attributes = tuple(key for key, value in marks.items() if _is_set(key, value)) if marks else ()
    if plain := type(tensor) in _EAGER:
        dtype, trainable = tensor.dtype, tensor.requires_grad
    else:
        with torch._C.DisableTorchFunctionSubclass():
            dtype, trainable = tensor.dtype, tensor.requires_grad
    return Parameter(
        name=name,
        raw_name=raw,
        shape=shape,
        dtype=_DTYPES.get(dtype) or str(dtype).removeprefix("torch."),
        owner=owner,
        trainable=trainable,
        lazy=not plain and is_lazy(tensor),
        attributes=attributes,
        declared_no_decay=declared_no_decay(name, declaring, attributes) if declaring or attributes else None,
    )


def _is_set(name: str, value: object) -> bool:
    """Whether an attribute is there and true; a tensor of many elements has no truth and counts as there."""
    if name == "_is_param":  # torch's own mark of a Parameter of another class
        return False
    try:
        return bool(value)
    except Exception:  # noqa: BLE001
        return True


def _overridden_names(model: nn.Module) -> Mapping[int, str] | None:
    """What `named_parameters()` says where a class overrides it, as the activation wrappers do."""
    if type(model).named_parameters is nn.Module.named_parameters:
        return None
    return {id(tensor): name for name, tensor in model.named_parameters()}


def _notes(seen: _Seen) -> Iterator[str]:
    yield from seen.notes
    if lazy := [parameter.name for parameter in seen.parameters.values() if parameter.lazy]:
        yield f"{_these(lazy)}: lazy, without a shape until a first batch has passed through the model"
    if seen.renamed is not None and (hidden := seen.parameters.keys() - seen.renamed.keys()):
        names = sorted(seen.parameters[key].name for key in hidden)
        yield f"{_these(names)}: the model's own named_parameters() leaves them out"
    if seen.quantized:
        yield f"{_these(seen.quantized)}: quantized weights are packed, not parameters, and no optimizer takes them"
    for name, held in seen.unregistered:
        lost = [
            module for module in held if id(module) not in seen.entered and next(module.parameters(), None) is not None
        ]
        if lost:
            modules = count_noun(len(lost), "module")
            yield f"{name} keeps {modules} in a plain container: torch does not see their parameters"
    if any(times > _MOST_PATHS for times in seen.entered.values()):
        yield f"some modules are shared over more than {_MOST_PATHS} paths: not every tied name is listed"


def _these(names: list[str]) -> str:
    return first_few([name or "the model itself" for name in names], 3)


def _nothing(target: str, seen: _Seen) -> TargetError:
    if seen.quantized:
        return TargetError(
            f"{target} has no parameters: the weights of {_these(seen.quantized)} are quantized and packed",
            "read the model before it is quantized",
        )
    return TargetError(f"{target} has no parameters", "weight decay has nothing to act on: is it the whole model?")


_EAGER = frozenset({nn.Parameter, Tensor})
_DTYPES = {dtype: str(dtype).removeprefix("torch.") for dtype in vars(torch).values() if isinstance(dtype, torch.dtype)}
