"""The style of names, executed: on the model, on what wraps it, and on models that it must refuse."""

import ast
import builtins
import copy
import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from hypothesis import HealthCheck, given, settings, strategies as st
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

from decay_audit import emit
from decay_audit.emit.optimizer import TORCH_CLASSES
from decay_audit.emit.verification import placeholder_model
from decay_audit.errors import DecayAuditError
from decay_audit.rulesets.plan import Plan
from tests.emit.plans import (
    DECAYED,
    FILE,
    MODULE,
    SPARED,
    Fields,
    make_decision,
    make_plan,
    matrices,
    plan_for,
    ruff_complaints,
)

PARTS = st.one_of(
    st.sampled_from(["blocks", "weight", "0", "1", "2", "3", "10", "007", "module", "w1"]),
    st.text(st.sampled_from("ab\"'\\\n\r\t\0{}[]#éβ\u2028\u202e\ud800😀 "), min_size=1, max_size=4),
)
NAMES = st.lists(PARTS, min_size=1, max_size=4).map(".".join)
FIELDS = st.builds(
    Fields,
    weight_decay=st.sampled_from([0.0, 0.05, 1e-05, 1 / 3]),
    rule=st.sampled_from(["norms", 'it\'s "odd"', "# fmt: off", "two\nlines"]),
    location=st.sampled_from(["", "a.yaml:3", "coding: utf-7"]),
)


def small() -> nn.Sequential:
    blocks = nn.Sequential(*[nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)) for _ in range(4)])
    return nn.Sequential(nn.Conv1d(3, 4, 1), blocks, nn.Linear(4, 2))


def run(code: str, model: Any, **arguments: float) -> list[dict[str, Any]]:
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    return cast("list[dict[str, Any]]", namespace["param_groups"](model, **arguments))


def names_code(plan: Plan, **arguments: Any) -> str:
    return emit.write_code(plan, style="names", **arguments)


def optimizer_of(code: str, model: nn.Module) -> Any:
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    return namespace["make_optimizer"](model)


def coefficients(groups: Iterable[dict[str, Any]], model: Any) -> dict[str, float]:
    names = {id(tensor): name for name, tensor in model.named_parameters()}
    return {names[id(tensor)]: group["weight_decay"] for group in groups for tensor in group["params"]}


def planned_coefficients(plan: Plan) -> dict[str, float]:
    return {decision.name: decision.weight_decay for decision in plan.decisions if decision.grouped}


def test_the_whole_text_for_a_small_model() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2), *[nn.Linear(2, 2, bias=False) for _ in range(3)])
    assert names_code(plan_for(model), target="net.py:Net", optimizer="AdamW", lr=3e-4) == WHOLE_TEXT


@given(st.dictionaries(NAMES, FIELDS, min_size=1, max_size=30))
def test_executed_code_equals_the_plan_whatever_the_names(fields_of: dict[str, Fields]) -> None:
    plan = make_plan(make_decision(name, fields) for name, fields in fields_of.items())
    model = placeholder_model(plan)
    groups = run(names_code(plan), model)
    assert coefficients(groups, model) == {name: fields.weight_decay for name, fields in fields_of.items()}


@given(st.sets(st.tuples(*[st.integers(0, 5)] * 3), min_size=1))
def test_folding_numbers_covers_each_name_once(indexes: set[tuple[int, int, int]]) -> None:
    plan = make_plan(make_decision(f"a.{i}.b.{j}.{k}.weight", DECAYED) for i, j, k in sorted(indexes))
    names = _params(names_code(plan))
    assert len(names) == len(set(names))
    assert set(names) == {decision.name for decision in plan.decisions}


def test_a_full_grid_becomes_one_line() -> None:
    plan = make_plan(make_decision(f"layers.{i}.{j}.weight", DECAYED) for i in range(1, 4) for j in range(2))
    assert '*[f"layers.{i}.{j}.weight" for i in range(1, 4) for j in range(2)],' in names_code(plan)


def test_the_tensors_come_in_the_order_of_the_model() -> None:
    model = small()
    groups = run(names_code(plan_for(model)), model)
    order = {id(tensor): place for place, tensor in enumerate(model.parameters())}
    for group in groups:
        places = [order[id(tensor)] for tensor in group["params"]]
        assert places == sorted(places)


@pytest.mark.parametrize(
    "wrap",
    [
        nn.DataParallel,
        lambda model: nn.DataParallel(nn.DataParallel(model)),
        lambda model: torch.compile(model, backend="eager"),
        lambda model: nn.DataParallel(cast("nn.Module", torch.compile(model, backend="eager"))),
        checkpoint_wrapper,
        lambda model: nn.Sequential(model[0], checkpoint_wrapper(model[1]), model[2]),
    ],
)
def test_code_written_for_a_bare_model_splits_a_wrapped_one_alike(wrap: Any) -> None:
    model = small()
    plan = plan_for(model)
    assert coefficients(run(names_code(plan), wrap(model)), model) == planned_coefficients(plan)


def test_a_part_that_is_really_called_module_is_kept() -> None:
    model = nn.Module()
    model.weight = nn.Parameter(torch.zeros(2, 2))
    model.module = nn.Linear(2, 2)
    plan = plan_for(model)
    code = names_code(plan)
    assert coefficients(run(code, model), model) == planned_coefficients(plan)
    assert coefficients(run(code, nn.DataParallel(model)), model) == planned_coefficients(plan)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda model: model.append(nn.Linear(2, 2)), r"unknown=\['3.weight', '3.bias'\]"),
        (lambda model: model.pop(2), r"missing=\['2.weight', '2.bias'\]"),
        (lambda model: [model.pop(0) for _ in range(3)], "missing="),
    ],
)
def test_another_model_is_refused_with_the_names(change: Any, message: str) -> None:
    model = small()
    code = names_code(plan_for(model))
    change(model)
    with pytest.raises(ValueError, match=message):
        run(code, model)


def test_two_tensors_under_one_bare_name_are_refused() -> None:
    model = nn.Module()
    model.a = nn.Linear(2, 2, bias=False)
    plan = plan_for(model)
    model.add_module("_orig_mod", nn.Module())
    cast("nn.Module", model._orig_mod).add_module("a", nn.Linear(2, 2, bias=False))
    with pytest.raises(ValueError, match=r"two parameters are called a\.weight"):
        run(names_code(plan), model)


def test_frozen_parameters_are_in_no_group_and_must_stay_frozen() -> None:
    model = small()
    model[0].requires_grad_(requires_grad=False)
    plan = plan_for(model)
    code = names_code(plan)
    assert coefficients(run(code, model), model) == planned_coefficients(plan)
    assert "0.weight" not in planned_coefficients(plan)
    emit.verify(code, plan, model)
    emit.verify(code, plan)
    model[0].requires_grad_(requires_grad=True)
    with pytest.raises(ValueError, match=r"frozen when this was written, and no longer: \['0.weight', '0.bias'\]"):
        run(code, model)


def test_what_is_frozen_later_is_skipped_as_the_ruleset_asks() -> None:
    model = small()
    code = names_code(plan_for(model))
    model[2].requires_grad_(requires_grad=False)
    assert not {"2.weight", "2.bias"} & coefficients(run(code, model), model).keys()


def test_a_tie_that_the_model_makes_is_one_parameter() -> None:
    model = small()
    model[2].bias = model[0].bias = nn.Parameter(torch.zeros(4))
    plan = plan_for(model)
    code = names_code(plan)
    emit.verify(code, plan, model)
    assert sum(len(group["params"]) for group in run(code, model)) == len(list(model.parameters()))
    model[2].bias = nn.Parameter(torch.zeros(4))
    with pytest.raises(ValueError, match=r"unknown=\['2.bias'\]"):
        run(code, model)


@pytest.mark.parametrize("in_file", [["wte.weight", "head.weight"], ["wte.weight"], ["head.weight"]])
def test_code_from_a_file_meets_ties_that_the_file_cannot_tell(in_file: list[str]) -> None:
    model = nn.Module()
    model.wte = nn.Embedding(5, 3)
    model.head = nn.Linear(3, 5, bias=False)
    model.head.weight = model.wte.weight
    groups = run(names_code(make_plan(make_decision(name, DECAYED, (5, 3), owner=FILE) for name in in_file)), model)
    assert coefficients(groups, model) == {"wte.weight": DECAYED.weight_decay}


def test_tied_names_of_a_file_with_two_coefficients_are_refused() -> None:
    model = nn.Module()
    model.wte = nn.Embedding(5, 3)
    model.head = nn.Linear(3, 5, bias=False)
    model.head.weight = model.wte.weight
    fields_of = {"wte.weight": SPARED, "head.weight": DECAYED}
    code = names_code(make_plan(make_decision(name, fields, (5, 3), owner=FILE) for name, fields in fields_of.items()))
    with pytest.raises(ValueError, match=r"tied, but in several groups: \['wte.weight', 'head.weight'\]"):
        run(code, model)


def test_learning_rates_are_scaled_from_the_one_given() -> None:
    model = small()

    def decide(name: str, tensor: nn.Parameter) -> Fields:
        return Fields(weight_decay=0.05, lr_scale=0.75 if name.startswith("1") else 1.0)

    plan = plan_for(model, decide)
    code = names_code(plan, optimizer="AdamW", lr=0.2)
    emit.verify(code, plan, model)
    assert sorted(group["lr"] for group in run(code, model)) == [0.2 * 0.75, 0.2]
    assert sorted(group["lr"] for group in run(code, model, lr=4.0)) == [3.0, 4.0]
    assert sorted(group["lr"] for group in optimizer_of(code, model).param_groups) == [0.2 * 0.75, 0.2]
    with pytest.raises(DecayAuditError, match="scales learning rates"):
        names_code(plan, optimizer="AdamW")


def test_each_use_gets_its_optimizer() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3), nn.Linear(3, 2))

    def decide(name: str, tensor: nn.Parameter) -> Fields:
        return Fields(weight_decay=0.1, use="muon") if tensor.ndim == 2 else Fields(weight_decay=0.0, use="adamw")

    plan = plan_for(model, decide)
    code = names_code(plan, optimizer="AdamW", lr=0.02)
    emit.verify(code, plan, model)
    optimizers = optimizer_of(code, model)
    assert {use: type(optimizer).__name__ for use, optimizer in optimizers.items()} == {
        "muon": "Muon",
        "adamw": "AdamW",
    }
    assert {id(tensor) for group in optimizers["muon"].param_groups for tensor in group["params"]} == {
        id(model[0].weight),
        id(model[2].weight),
    }


def test_a_setting_of_one_use_reaches_its_optimizer_alone() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3))
    plan = plan_for(model, lambda _, tensor: Fields(weight_decay=0.1, use="muon" if tensor.ndim == 2 else "adamw"))
    settings = ["muon.lr=0.5", "muon.momentum=0.8", "adamw.betas=(0.5, 0.6)"]
    code = names_code(plan, optimizer="AdamW", lr=0.02, settings=settings)
    emit.verify(code, plan, model)
    optimizers = optimizer_of(code, model)
    assert (optimizers["muon"].defaults["lr"], optimizers["muon"].defaults["momentum"]) == (0.5, 0.8)
    assert (optimizers["adamw"].defaults["lr"], optimizers["adamw"].defaults["betas"]) == (0.02, (0.5, 0.6))
    for wrong, message in (("sgd.lr=1", "the groups are for muon, adamw"), ("muon.lr=0.7", "muon.lr is given twice")):
        with pytest.raises(DecayAuditError, match=message):
            names_code(plan, optimizer="AdamW", settings=[*settings, wrong])


def test_groups_for_several_optimizers_say_what_to_do_with_them() -> None:
    plan = plan_for(small(), lambda _, tensor: Fields(weight_decay=0.1, use="muon" if tensor.ndim == 2 else "adamw"))
    assert "Torch ignores that key" in names_code(plan)
    assert "--optimizer AdamW --lr 3e-4" in emit.notes(plan)[0]
    assert emit.notes(plan, "SGD")[0].startswith("adamw is torch.optim.AdamW, muon is torch.optim.Muon; ")
    assert emit.notes(plan_for(small())) == ()
    assert "Torch ignores that key" not in names_code(plan_for(small()))


def test_the_classes_are_those_of_torch_that_know_weight_decay() -> None:
    assert set(TORCH_CLASSES) == {
        name
        for name, value in vars(torch.optim).items()
        if isinstance(value, type) and "weight_decay" in inspect.signature(value).parameters
    }


@pytest.mark.parametrize("name", TORCH_CLASSES)
def test_every_class_of_torch_makes_the_groups_of_the_plan(name: str) -> None:
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 2, bias=False))
    plan = plan_for(model, lambda name, _: DECAYED if name == "0.weight" else SPARED)
    code = names_code(plan, optimizer=name, lr=0.1)
    emit.verify(code, plan, model)
    emit.verify(code, plan)
    optimizer = optimizer_of(code, model)
    assert type(optimizer) is getattr(torch.optim, name)
    assert coefficients(optimizer.param_groups, model) == planned_coefficients(plan)
    assert {group["lr"] for group in optimizer.param_groups} == {0.1}


@pytest.mark.parametrize("path", ["timm.optim.Lion", "timm.optim:Lion", "timm/optim.py:Lion"])
def test_a_class_from_elsewhere_is_imported_by_its_path(path: str) -> None:
    model = small()
    plan = plan_for(model)
    code = names_code(plan, optimizer=path, lr=1e-4, settings=["betas=(0.9, 0.98)"])
    emit.verify(code, plan, model)
    assert optimizer_of(code, model).defaults["betas"] == (0.9, 0.98)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("momentum=0.9", 0.9),
        ("momentum=1e-3", 0.001),
        ("maximize=True", True),
        ("foreach=None", None),
    ],
)
def test_settings_reach_the_optimizer_as_they_are_written(setting: str, value: object) -> None:
    optimizer = optimizer_of(names_code(plan_for(small()), optimizer="SGD", lr=0.1, settings=[setting]), small())
    assert optimizer.defaults[setting.partition("=")[0]] == value


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"optimizer": "adamw"}, "did you mean AdamW"),
        ({"optimizer": "SparseAdam"}, "that takes param groups and weight_decay"),
        ({"optimizer": "LBFGS"}, "that takes param groups and weight_decay"),
        ({"optimizer": "torch.optim.Nope"}, "torch.optim has no optimizer Nope"),
        ({"optimizer": "AdamW(model) or print"}, "is not an optimizer class"),
        ({"optimizer": "import"}, "is not an optimizer class"),
        ({"optimizer": ""}, "is not an optimizer class"),
        ({"optimizer": "a..b"}, "is not an optimizer class"),
        ({"optimizer": "SGD", "lr": float("nan")}, "finite number"),
        ({"optimizer": "SGD", "lr": -1.0}, "finite number"),
        ({"optimizer": "SGD", "settings": ["momentum"]}, "name=value"),
        ({"optimizer": "SGD", "settings": ["lambda=1"]}, "name=value"),
        ({"optimizer": "SGD", "settings": ["momentum =1"]}, "name=value"),
        ({"optimizer": "SGD", "settings": ["weight_decay=1"]}, "--weight-decay"),
        ({"optimizer": "SGD", "settings": ["momentum=0", "momentum=1"]}, "given twice"),
        ({"optimizer": "SGD", "lr": 0.1, "settings": ["lr=1"]}, "given twice"),
        ({"optimizer": "SGD", "settings": ["momentum=1e999"]}, "a value is a number"),
        ({"optimizer": "SGD", "settings": ["momentum={1: 2}"]}, "a value is a number"),
        ({"settings": ["momentum=0.9"]}, "--optimizer AdamW"),
        ({"lr": 0.1}, "--optimizer AdamW"),
        ({"optimizer": "SGD", "settings": ["muon.lr=0.1"]}, "write lr=0.1"),
        ({"optimizer": "own.py"}, "name the class in it: own.py:CLASS"),
        ({"optimizer": "a:b:c"}, "is not an optimizer class"),
    ],
)
def test_an_optimizer_that_is_none_is_refused_before_anything_is_written(arguments: Any, message: str) -> None:
    with pytest.raises(DecayAuditError) as error:
        names_code(plan_for(small()), **arguments)
    assert message in f"{error.value} {error.value.hint}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"optimizer": "SGD", "settings": ["betas=(0.9, 0.9)"]}, "TypeError"),
        ({"optimizer": "SGD", "settings": ["momentum=__import__('os')"]}, "does not run"),
        ({"optimizer": "AdamW", "settings": ["eps=-1.0"]}, "Invalid epsilon"),
        ({"optimizer": "Muon"}, "Muon only supports 2D"),
        ({"optimizer": "no_such_package.Lion"}, "ModuleNotFoundError"),
        ({"optimizer": "timm.optim.Nope"}, "AttributeError"),
        ({"optimizer": "torch.nn.Identity"}, "does not read weight_decay"),
    ],
)
def test_an_optimizer_that_cannot_be_made_fails_the_verification(arguments: Any, message: str) -> None:
    plan = plan_for(small())
    code = names_code(plan, **arguments)
    for model in (small(), None):
        with pytest.raises(DecayAuditError, match=message):
            emit.verify(code, plan, model)


def test_an_optimizer_without_weight_decay_fails_the_verification(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "careless.py").write_text(
        "import torch\n"
        "class Plain(torch.optim.Optimizer):\n"
        "    def __init__(self, params):\n"
        "        super().__init__(params, {'lr': 0.1})\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    plan = plan_for(small())
    with pytest.raises(DecayAuditError, match="Plain does not read weight_decay"):
        emit.verify(names_code(plan, optimizer="careless.Plain"), plan)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"weight_decay": 0.05', '"weight_decay": 0.06'),
        ('"weight_decay": 0.0,', '"weight_decay": 0.05,'),
        ("return groups", "return groups[:1]"),
        ("return groups", "return groups + groups"),
        ("return groups", "groups[0]['params'].append(torch.nn.Parameter(torch.zeros(1)))\n    return groups"),
        ("return groups", "groups[0]['params'].reverse()\n    groups[0]['lr'] = 1.0\n    return groups"),
        ("return groups", "groups[0]['use'] = 'muon'\n    return groups"),
        ('"2.bias"', '"3.bias"'),
        ("return groups", "return groups +"),
    ],
)
def test_code_that_differs_from_the_plan_never_passes(old: str, new: str) -> None:
    model = small()
    plan = plan_for(model)
    code = names_code(plan)
    emit.verify(code, plan, model)
    assert old in code
    for tested_model in (model, None):
        with pytest.raises(DecayAuditError):
            emit.verify(code.replace(old, new), plan, tested_model)


@given(st.dictionaries(NAMES, FIELDS, min_size=1, max_size=5), st.text(), st.text())
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_nothing_in_a_name_a_target_or_a_ruleset_becomes_code(
    fields_of: dict[str, Fields], target: str, rule: str
) -> None:
    plan = make_plan(
        make_decision(name, Fields(weight_decay=fields.weight_decay, rule=rule)) for name, fields in fields_of.items()
    )
    tree = ast.parse(names_code(plan, target=target))
    assert [type(node) for node in tree.body] == [ast.Expr, ast.Import, ast.FunctionDef]
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert called <= {"all", "len", "ValueError", "range"} & vars(builtins).keys()


def test_the_text_is_as_ruff_formats_it(tmp_path: Path) -> None:
    odd = ["it's", 'say "so"', "both ' and \"", "\n", "é", "\\", "{i}.0", "a.0.b", "a.1.b", "a.2.b"]
    deep = [f"{'encoder.' * 8}{i}.{'attention.' * width}weight" for i in range(3) for width in range(6)]
    grid = [
        f"{'stage.' * width}{i}.{j}.{k}.w" for i in range(3) for j in range(3) for k in range(3) for width in (1, 7)
    ]
    layers = {name: Fields(weight_decay=0.05, lr_scale=0.5**place) for place, name in enumerate(odd)}
    uses = {name: Fields(weight_decay=0.0, use=["muon", "adamw"][place % 2]) for place, name in enumerate(odd)}
    cases: list[tuple[dict[str, Fields], dict[str, Any]]] = [
        (dict.fromkeys([*odd, *deep, *grid], DECAYED), {"target": "x\ny", "optimizer": "AdamW"}),
        ({"weight": DECAYED, "bias": SPARED}, {"optimizer": "SGD", "lr": 0.1, "settings": ["momentum=.9"]}),
        (layers, {"optimizer": "timm.optim.Lion", "lr": 1e-5, "settings": ["betas=(.9, .99)", "foreach=False"]}),
        (layers, {}),
        (uses, {"optimizer": "AdamW", "lr": 1e-3}),
        (uses, {"optimizer": "AdamW"}),
    ]
    for place, (fields_of, arguments) in enumerate(cases):
        for owner in (FILE, MODULE):
            decisions = [make_decision(name, fields, owner=owner) for name, fields in fields_of.items()]
            frozen = [make_decision(f"frozen.{i}", SPARED, trainable=False) for i in range(2 * place)]
            code = names_code(make_plan([*decisions, *frozen]), **arguments)
            (tmp_path / f"case_{place}_{owner is FILE}.py").write_text(code)
    assert ruff_complaints(tmp_path) == ""


def test_what_the_header_says_of_saved_state_is_what_torch_does() -> None:
    model = small()
    tensors = list(model.parameters())
    one_group = torch.optim.AdamW(tensors, weight_decay=0.05).state_dict()
    split = optimizer_of(names_code(plan_for(model), optimizer="AdamW"), model)
    with pytest.raises(ValueError, match="different number of parameter groups"):
        split.load_state_dict(one_group)
    first, second = tensors[: len(tensors) // 2], tensors[len(tensors) // 2 :]
    ours = torch.optim.AdamW([{"params": first, "weight_decay": 0.05}, {"params": second, "weight_decay": 0.0}])
    theirs = torch.optim.AdamW([{"params": second, "weight_decay": 0.0}, {"params": first, "weight_decay": 0.05}])
    assert len(first) == len(second)
    ours.load_state_dict(theirs.state_dict())
    assert [group["weight_decay"] for group in ours.param_groups] == [0.0, 0.05]


def test_a_plan_without_groups_cannot_be_emitted() -> None:
    model = small().requires_grad_(requires_grad=False)
    with pytest.raises(DecayAuditError, match="every parameter is frozen"):
        names_code(plan_for(model))


def test_emitting_and_verifying_leave_the_model_as_it_was() -> None:
    model = small()
    before = copy.deepcopy(model.state_dict())
    plan = plan_for(model, matrices)
    emit.verify(names_code(plan, optimizer="AdamW"), plan, model)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(tensor.grad is None for tensor in model.parameters())


def _params(code: str) -> list[str]:
    """The names that the first group of the code lists, as Python evaluates them."""
    function = next(node for node in ast.parse(code).body if isinstance(node, ast.FunctionDef))
    groups = next(node for node in function.body if isinstance(node, ast.Assign))
    evaluated = eval(compile(ast.Expression(groups.value), "groups", "eval"))
    return list(evaluated[0]["params"])


WHOLE_TEXT = '''"""Weight decay as param groups: written and run by decay-audit, and compared with the ruleset."""

# target   net.py:Net
# ruleset  house, weight_decay 0.05
# decayed  16 elements in 4 parameters
# spared   6 elements in 3 parameters
#
# torch loads the state of an optimizer by position. If a checkpoint has other groups, loading it
# raises an error or mixes up the parameters: `decay-audit migrate` rewrites the checkpoint.

import torch


def param_groups(model: torch.nn.Module) -> list[dict]:
    """Split the parameters of `model`; raise ValueError if it is another model."""
    groups = [
        {
            "weight_decay": 0.05,
            "params": [
                # default (house.yaml:9)
                "0.weight",
                *[f"{i}.weight" for i in range(2, 5)],
            ],
        },
        {
            "weight_decay": 0.0,
            "params": [
                # norms (house.yaml:4)
                "0.bias",
                "1.bias",
                "1.weight",
            ],
        },
    ]
    group_of = {name: group for group in groups for name in group["params"]}

    # Remove the prefixes that torch.compile and distributed wrappers add to the names.
    wrappers = {"_checkpoint_wrapped_module", "_fsdp_wrapped_module", "_orig_mod"}
    tensors = {}
    for name, tensor in model.named_parameters():
        bare = ".".join(part for part in name.split(".") if part not in wrappers)
        if tensors.setdefault(name if name in group_of else bare, tensor) is not tensor:
            raise ValueError(f"two parameters are called {bare}")
    while tensors and not group_of.keys() <= tensors.keys():
        if not all(name.startswith("module.") for name in tensors):
            break
        tensors = {name.removeprefix("module."): tensors[name] for name in tensors}

    missing = [name for name in group_of if name not in tensors]
    unknown = [name for name in tensors if name not in group_of]
    if missing or unknown:
        raise ValueError(f"this is another model: {missing=} {unknown=}")

    for group in groups:
        group["params"] = [
            tensor
            for name, tensor in tensors.items()
            if group_of[name] is group and tensor.requires_grad
        ]
    return groups


def make_optimizer(model: torch.nn.Module) -> torch.optim.Optimizer:
    """Make the optimizer over the groups of `param_groups`."""
    return torch.optim.AdamW(param_groups(model), lr=0.0003)
'''
