"""Make an Inventory of recorded models, as `sources.module.walk` makes it of live models."""

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from decay_audit.model.inventory import Inventory
from decay_audit.model.parameters import Declaration, Owner, Parameter, declared_no_decay
from decay_audit.model.records import Record, RecordedDeclaration, RecordedModel, RecordedModule
from decay_audit.model.wrapper_classes import wrapped_child
from decay_audit.text import count_noun, first_few

_MAX_VISITS = 256
"""The largest number of names under which one module is visited.

If modules are shared at every level, the number of names grows exponentially with the depth.
"""


class _ModuleVisit(Struct, frozen=True):
    """A module under one of its names, as in `sources.module.walk.visit_modules`."""

    module: int
    raw_name: str
    name: str
    parent: Owner | None
    declaring: tuple[Owner, ...]
    path: tuple[int, ...]


class RecordedContents(Struct, frozen=True, kw_only=True):
    """An inventory, and the names of its parameters by their position in `Record.tensors`."""

    inventory: Inventory
    names: Mapping[int, str]


class _Walk:
    """One pass over the modules of a record.

    Attributes:
        raw_names: the names that the models' own `named_parameters()` gives, by tensor.
        parameters: the parameters of the modules that were visited, by tensor.
        tied: the further names of a tensor.
        names: all names that are in use.
        visits: how many times each module was visited.
    """

    def __init__(self, record: Record, raw_names: Mapping[str, str]) -> None:
        self.record = record
        self.raw_names = raw_names
        self.parameters: dict[int, Parameter] = {}
        self.tied: dict[int, list[str]] = {}
        self.names: set[str] = set()
        self.visits: dict[int, int] = {}
        self.notes: list[str] = []

    def run(self, roots: Sequence[_ModuleVisit]) -> None:
        stack = [*reversed(roots)]  # a stack and no recursion: models may be deep
        while stack:
            visit = stack.pop()
            count = self.visits[visit.module] = self.visits.get(visit.module, 0) + 1
            if count == 1:
                stack += reversed([*self._first_visit(visit)])
            elif count <= _MAX_VISITS and visit.module not in visit.path:
                stack += reversed([*self._later_visit(visit)])

    def _first_visit(self, visit: _ModuleVisit) -> Iterator[_ModuleVisit]:
        module = self.record.modules[visit.module]
        children = dict(module.children)
        if not module.parameters and not children:
            return
        types = _types(module, self.record)
        wrapped = wrapped_child(types)
        if wrapped not in children:
            wrapped = None
        owner, declaring = visit.parent, visit.declaring
        if wrapped is None or module.parameters:  # a wrapper without parameters owns nothing
            owner = self._owner(visit, module, types)
            declaring = (owner, *declaring) if owner.declaration is not None else declaring
            self._collect(visit, owner, declaring)
        yield from _children(visit, module, wrapped, owner, declaring)

    def _collect(self, visit: _ModuleVisit, owner: Owner, declaring: tuple[Owner, ...]) -> None:
        for leaf, position in self.record.modules[visit.module].parameters:
            name, raw = visit.name + leaf, visit.raw_name + leaf
            if position in self.parameters:
                self._tie(position, name)
                continue
            if name in self.names:  # a wrapper's own tensor has the name of a tensor of the model inside
                name = raw
            self.names.add(name)
            tensor = self.record.tensors[position]
            self.parameters[position] = Parameter(
                name=name,
                raw_name=self.raw_names.get(str(position), raw),
                shape=tensor.shape,
                dtype=tensor.dtype,
                owner=owner,
                trainable=tensor.trainable,
                lazy=tensor.lazy,
                attributes=tensor.attributes,
                declared_no_decay=declared_no_decay(name, declaring, tensor.attributes),
            )

    def _later_visit(self, visit: _ModuleVisit) -> Iterator[_ModuleVisit]:
        module = self.record.modules[visit.module]
        for leaf, position in module.parameters:
            self._tie(position, visit.name + leaf)
        yield from _children(visit, module, wrapped_child(_types(module, self.record)), None, ())

    def _tie(self, position: int, name: str) -> None:
        names = self.tied.setdefault(position, [])
        if name not in self.names:
            self.names.add(name)
            names.append(name)

    def _owner(self, visit: _ModuleVisit, module: RecordedModule, types: tuple[str, ...]) -> Owner:
        shapes = {leaf: self.record.tensors[position].shape for leaf, position in module.parameters}
        declaration = module.declaration
        if declaration is not None:
            self.notes += [f"{visit.name}{failure}; it is ignored" for failure in declaration.failures]
        self.notes += [
            f"{visit.name}{attribute} holds {count_noun(count, 'module')} in a plain list or dict: torch does not "
            "register their parameters"
            for attribute, count in module.unregistered
        ]
        return Owner(
            name=visit.name[:-1],
            types=types,
            parent=visit.parent,
            tensors={**shapes, **module.buffers},
            settings=module.settings,
            declaration=_declaration(declaration),
        )


def read(
    record: Record, models: Sequence[RecordedModel], target: str, free_tensors: Sequence[int] = ()
) -> RecordedContents:
    """Make the inventory of models that are audited together. If there are several, names begin with the model's name.

    Args:
        target: the name of these models in reports.
        free_tensors: tensors of their optimizers that are in no module.
    """
    walk = _Walk(record, {key: name for model in models for key, name in model.raw_names.items()})
    if len(models) == 1 and not free_tensors:
        walk.run([_ModuleVisit(models[0].module, "", "", None, (), ())])
    else:
        root = Owner()
        walk.run([_ModuleVisit(model.module, f"{model.name}.", f"{model.name}.", root, (), ()) for model in models])
        for number, position in enumerate(free_tensors):
            walk.parameters[position] = _free_parameter(record, position, number, root, walk.names)
    untrained = _untrained(record, walk.parameters)
    parameters = {
        position: replace(
            parameter,
            tied_to=tuple(walk.tied.get(position, ())),
            trainable=False if position in untrained else parameter.trainable,
        )
        for position, parameter in walk.parameters.items()
    }
    notes = tuple(_notes(walk, parameters, [parameters[position].name for position in untrained]))
    return RecordedContents(
        inventory=Inventory(target=target, parameters=tuple(parameters.values()), notes=notes),
        names={position: parameter.name for position, parameter in parameters.items()},
    )


def _free_parameter(record: Record, position: int, number: int, root: Owner, names: set[str]) -> Parameter:
    tensor = record.tensors[position]
    name = tensor.name if tensor.name and tensor.name not in names else f"{tensor.name or 'tensor'}_{number}"
    names.add(name)
    return Parameter(
        name=name,
        raw_name=name,
        shape=tensor.shape,
        dtype=tensor.dtype,
        owner=root,
        trainable=tensor.trainable,
        attributes=tensor.attributes,
    )


def _declaration(declaration: RecordedDeclaration | None) -> Declaration | None:
    if declaration is None or declaration.failures:
        return None
    return Declaration(
        names=declaration.no_weight_decay,
        keywords=declaration.no_weight_decay_keywords,
        patterns=declaration.no_weight_decay_patterns,
    )


def _types(module: RecordedModule, record: Record) -> tuple[str, ...]:
    """The class names of a module; for a scripted module, those of the class that it was compiled from."""
    return module.scripted or record.classes[module.class_].types


def _children(
    visit: _ModuleVisit, module: RecordedModule, wrapped: str | None, owner: Owner | None, declaring: tuple[Owner, ...]
) -> Iterator[_ModuleVisit]:
    path = (*visit.path, visit.module)
    for key, child in module.children:
        raw = f"{visit.raw_name}{key}."
        if key == wrapped:
            yield _ModuleVisit(child, raw, visit.name, visit.parent, visit.declaring, path)
        else:
            yield _ModuleVisit(child, raw, f"{visit.name}{key}.", owner, declaring, path)


def _untrained(record: Record, parameters: Mapping[int, Parameter]) -> list[int]:
    """Find the trainable parameters that are in no optimizer and have no gradient: nothing trains them."""
    tensors = ((position, record.tensors[position]) for position in parameters)
    return [
        position
        for position, tensor in tensors
        if tensor.trainable and not tensor.in_optimizer and tensor.gradient == "none"
    ]


def _notes(walk: _Walk, parameters: Mapping[int, Parameter], untrained: Sequence[str]) -> Iterator[str]:
    if untrained:
        yield (
            f"{first_few(untrained, 3)}: trainable, but in no optimizer, and no gradient has reached "
            f"{'it' if len(untrained) == 1 else 'them'}: counted as frozen"
        )
    yield from dict.fromkeys(walk.notes)
    if lazy := [parameter.name for parameter in parameters.values() if parameter.lazy]:
        yield f"{first_few(lazy, 3)}: lazy, without a shape before the first forward pass"
