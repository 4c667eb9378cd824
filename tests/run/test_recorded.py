"""What is rebuilt from a record equals what is read from the live model and optimizer, field by field."""

import ast
from pathlib import Path

import msgspec
import pytest
import torch
from torch import nn

from decay_audit.model.parameters import Owner, Parameter
from decay_audit.optimizers import find, live, recorded
from decay_audit.sources import module
from decay_audit.sources.run import grouping, inventory
from decay_audit.sources.run.hooks.decay_audit_recorder import choose, plain
from tests.menagerie import EMPTY, MENAGERIE
from tests.run.recorders import record

FOLDED = {"traced"}
"""Modules of which torch may fold constants away, so that their settings are not always there."""
RECORDER = Path(plain.__file__).parent
ALLOWED = [
    "atexit",
    "contextlib",
    "functools",
    "gc",
    "importlib",
    "inspect",
    "json",
    "math",
    "os",
    "random",
    "socket",
    "sys",
    "threading",
    "time",
    "torch",
    "traceback",
    "types",
    "typing",
    "weakref",
]


def as_data(parameter: Parameter) -> object:
    """All fields of a parameter, and of its owner and the modules above: they have no `==` of their own."""
    owners = [msgspec.structs.asdict(owner) | {"parent": None, "declaration": None} for owner in _lineage(parameter)]
    declarations = [owner.declaration and msgspec.structs.asdict(owner.declaration) for owner in _lineage(parameter)]
    return msgspec.structs.asdict(parameter) | {"owner": owners}, declarations


def _lineage(parameter: Parameter) -> list[Owner]:
    return [*parameter.owner.lineage()]


@pytest.mark.parametrize("name", sorted(set(MENAGERIE) - set(EMPTY) - FOLDED))
def test_a_recorded_model_is_read_as_a_live_one(name: str) -> None:
    model = MENAGERIE[name]()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.01)
    made = record([optimizer], model)
    (audited,) = grouping.group_by_audit(made)
    contents = inventory.read(made, audited.models, "model", audited.free_tensors)
    expected = module.read(model)
    assert [as_data(each) for each in contents.inventory.parameters] == [as_data(each) for each in expected.parameters]


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW, torch.optim.Adam, torch.optim.RMSprop])
def test_a_recorded_optimizer_is_observed_as_a_live_one(kind: type[torch.optim.Optimizer]) -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2))
    groups = [{"params": model[0].parameters(), "weight_decay": 0.05}, {"params": model[1].parameters(), "lr": 0.5}]
    optimizer = kind(groups, lr=0.1)  # type: ignore[call-arg]
    made = record([optimizer], model)
    (audited,) = grouping.group_by_audit(made)
    contents = inventory.read(made, audited.models, "model")
    optimizers, observations = recorded.observe(made, audited.optimizers, contents.names)
    expected = live.observe(find.find(optimizer), module.names_by_tensor(model, module.read(model)))
    (seen,), (wanted,) = optimizers, expected.optimizers
    assert [msgspec.structs.replace(each, weight_decay_is_default=None) for each in seen.groups] == [
        msgspec.structs.replace(each, weight_decay_is_default=None) for each in wanted.groups
    ]
    seen = msgspec.structs.replace(seen, file="", line=0)
    assert msgspec.structs.replace(seen, groups=(), name="") == msgspec.structs.replace(wanted, groups=(), name="")
    assert [msgspec.structs.replace(each, optimizer="") for each in observations] == [
        msgspec.structs.replace(each, optimizer="") for each in expected.observations
    ]


class InOne(torch.optim.Optimizer):
    """One optimizer that steps several others, and has the groups of all."""

    def __init__(self, *optimizers: torch.optim.Optimizer, in_list: bool) -> None:
        if in_list:
            self.optimizers = [*optimizers]
        else:
            self.first, self.second = optimizers
        self.param_groups = [group for optimizer in optimizers for group in optimizer.param_groups]
        self.state, self.defaults = {}, {}  # type: ignore[assignment]

    def step(self, closure: object = None) -> None:  # type: ignore[override]
        raise NotImplementedError


def decay_by_hand(*_: object) -> None:
    """Stand for a function that decays weights after each step."""


@pytest.mark.parametrize("in_list", [True, False])
def test_of_an_optimizer_that_wraps_several_their_classes_and_hooks_are_recorded(*, in_list: bool) -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2))
    first = torch.optim.SGD(model[0].parameters(), lr=0.1)
    second = torch.optim.AdamW(model[1].parameters())
    second.register_step_post_hook(decay_by_hand)
    both = InOne(first, second, in_list=in_list)
    made = record([both], model)
    (audited,) = grouping.group_by_audit(made)
    ((seen,), _) = recorded.observe(made, audited.optimizers, inventory.read(made, audited.models, "model").names)
    expected = live.observe((("both", both),), module.names_by_tensor(model, module.read(model)))
    (wanted,) = expected.optimizers
    assert [group.member_class for group in seen.groups] == ["SGD", "AdamW"]
    assert [group.member_class for group in wanted.groups] == ["SGD", "AdamW"]
    assert seen.step_hooks == wanted.step_hooks == ("decay_by_hand",)


@pytest.mark.parametrize("shares", [True, False])
def test_an_optimizer_is_recorded_once_if_another_one_wraps_it(*, shares: bool) -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2))
    first, second = torch.optim.SGD(model[0].parameters(), lr=0.1), torch.optim.AdamW(model[1].parameters())
    both = InOne(first, second, in_list=True)
    if not shares:  # another optimizer that only refers to the two
        both.param_groups = [{"params": [nn.Parameter(torch.zeros(1))]}]
    alive = [each for each in (first, second, both) if all(each is not member for member in choose.members_of(both))]
    assert alive == ([both] if shares else [first, second, both])


def test_the_recorder_needs_the_standard_library_and_torch_alone() -> None:
    imported: set[str] = set()
    with_images = {RECORDER / "pretend" / name for name in ("data.py", "hub_data.py")}  # need NumPy and Pillow
    for path in set(RECORDER.rglob("*.py")) - with_images:
        for node in ast.walk(ast.parse(path.read_text(), feature_version=(3, 8))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                imported.add((node.module or "").partition(".")[0])
    assert imported <= set(ALLOWED)
