"""The style of conditions, executed: on the model, in wrappers, on other sizes, and on models that it must refuse."""

import ast
import copy
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from hypothesis import given, strategies as st
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

import decay_audit
from decay_audit import emit
from decay_audit.emit.verification import placeholder_model
from tests.emit.plans import DECAYED, FILE, SPARED, Fields, make_decision, make_plan, plan_for, ruff_complaints
from tests.emit.test_names_style import FIELDS, NAMES


class Mixer(nn.Module):
    """A module with a bare parameter that decays."""

    def __init__(self) -> None:
        super().__init__()
        self.mixing = nn.Parameter(torch.zeros(4, 4))


def net(depth: int = 2, width: int = 4) -> nn.Sequential:
    blocks = [nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width)) for _ in range(depth)]
    return nn.Sequential(nn.Conv2d(3, width, 1), nn.BatchNorm2d(width), *blocks)


def groups_of(code: str, model: Any, **arguments: float) -> list[dict[str, Any]]:
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    return cast("list[dict[str, Any]]", namespace["param_groups"](model, **arguments))


def decayed(groups: list[dict[str, Any]], model: Any) -> set[str]:
    names = {id(p): name for name, p in model.named_parameters()}
    return {names[id(p)] for group in groups if group["weight_decay"] for p in group["params"]}


MATRICES = {"0.weight", "2.0.weight", "3.0.weight"}


def test_the_whole_text_for_a_small_model() -> None:
    plan = decay_audit.plan(net(), weight_decay=0.05)
    assert emit.write_code(plan, target="net.py:net", optimizer="AdamW", lr=3e-4) == WHOLE_TEXT


def test_the_same_code_splits_another_depth_and_width() -> None:
    code = emit.write_code(decay_audit.plan(net()))
    deeper = net(depth=5, width=7)
    weights = {name for name, p in deeper.named_parameters() if p.ndim > 1}
    assert decayed(groups_of(code, deeper), deeper) == weights


@pytest.mark.parametrize(
    "wrap",
    [
        nn.DataParallel,
        lambda model: torch.compile(model, backend="eager"),
        lambda model: nn.DataParallel(cast("nn.Module", torch.compile(model, backend="eager"))),
        checkpoint_wrapper,
        lambda model: nn.Sequential(*(checkpoint_wrapper(child) for child in model)),
        nn.SyncBatchNorm.convert_sync_batchnorm,
        torch.ao.quantization.QuantWrapper,
        torch.optim.swa_utils.AveragedModel,
    ],
)
def test_the_code_splits_what_wraps_the_model_alike(wrap: Any) -> None:
    code = emit.write_code(decay_audit.plan(net()))
    wrapped = wrap(net())
    shapes = [p.shape for group in groups_of(code, wrapped) if group["weight_decay"] for p in group["params"]]
    assert sorted(shapes) == sorted(p.shape for p in net().parameters() if p.ndim > 1)


def test_weight_decay_is_an_argument_and_every_group_sets_it() -> None:
    code = emit.write_code(decay_audit.plan(net(), weight_decay=0.05), optimizer="AdamW", lr=3e-4)
    assert [group["weight_decay"] for group in groups_of(code, net(), weight_decay=0.3)] == [0.3, 0.0]
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    optimizer = namespace["make_optimizer"](net(), lr=0.5, weight_decay=0.2)
    assert [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups] == [(0.5, 0.2), (0.5, 0.0)]


def test_a_tied_parameter_is_in_one_group_once() -> None:
    model = nn.Module()
    model.embedding = nn.Embedding(5, 3)
    model.norm = nn.LayerNorm(3)
    model.head = nn.Linear(3, 5)
    model.head.weight = model.embedding.weight
    groups = groups_of(emit.write_code(decay_audit.plan(model)), model)
    parameters = [id(p) for group in groups for p in group["params"]]
    assert sorted(parameters) == sorted(map(id, model.parameters()))


def test_frozen_parameters_are_skipped_and_included_as_the_ruleset_says() -> None:
    model = net()
    model[0].requires_grad_(requires_grad=False)
    skipping = groups_of(emit.write_code(decay_audit.plan(model, "no-norm-no-bias")), model)
    including = groups_of(emit.write_code(decay_audit.plan(model, "detectron2")), model)
    assert sum(len(group["params"]) for group in skipping) == len(list(model.parameters())) - 2
    assert "if not p.requires_grad" not in emit.write_code(decay_audit.plan(model, "keller-muon"))
    assert including


def test_a_group_that_stays_empty_is_left_out() -> None:
    code = emit.write_code(decay_audit.plan(net()))
    only_weights = nn.Sequential(nn.Linear(2, 2, bias=False))
    assert [group["weight_decay"] for group in groups_of(code, only_weights)] == [1e-4]


def test_each_group_keeps_the_order_of_the_model() -> None:
    model = net(depth=12)
    order = {id(p): place for place, p in enumerate(model.parameters())}
    for group in groups_of(emit.write_code(decay_audit.plan(model)), model):
        places = [order[id(p)] for p in group["params"]]
        assert places == sorted(places)


def test_a_class_that_was_not_met_is_refused_by_name() -> None:
    model = net()
    code = emit.write_code(decay_audit.plan(model))
    model.append(Mixer())
    with pytest.raises(ValueError, match=r"no param group for 4\.mixing of Mixer"):
        groups_of(code, model)
    opened = emit.write_code(decay_audit.plan(net()), guard=False)
    assert "4.mixing" in decayed(groups_of(opened, model), model)


def test_a_ruleset_of_names_and_dimensions_becomes_its_own_rule_and_refuses_no_class() -> None:
    code = emit.write_code(decay_audit.plan(net(), "nanogpt"))
    assert "isinstance" not in code
    assert "p.ndim" in code
    model = net()
    model.append(Mixer())
    assert decayed(groups_of(code, model), model) == {*MATRICES, "4.mixing"}


def test_code_from_a_file_asks_for_names_alone() -> None:
    fields_of = {"a.weight": DECAYED, "a.bias": SPARED, "norm.weight": SPARED, "norm.bias": SPARED}
    plan = make_plan(make_decision(name, fields, owner=FILE) for name, fields in fields_of.items())
    code = emit.write_code(plan)
    assert "module" not in code.replace("nn.Module", "")
    emit.verify(code, plan)


def test_parameters_that_only_their_names_tell_apart_are_listed_under_wrappers_too() -> None:
    model = nn.Sequential(*[nn.Linear(4, 4, bias=False) for _ in range(6)])
    plan = plan_for(model, lambda name, _: SPARED if name in ("1.weight", "3.weight", "4.weight") else DECAYED)
    code = emit.write_code(plan)
    emit.verify(code, plan, model)
    for wrapped in (nn.DataParallel(model), nn.Sequential(*(checkpoint_wrapper(child) for child in model))):
        names = {id(p): name for name, p in model.named_parameters()}
        groups = groups_of(code, wrapped)
        spared = {names[id(p)] for group in groups if not group["weight_decay"] for p in group["params"]}
        assert spared == {"1.weight", "3.weight", "4.weight"}


@given(st.dictionaries(NAMES, FIELDS, min_size=1, max_size=12))
def test_executed_code_equals_the_plan_whatever_the_names(fields_of: dict[str, Fields]) -> None:
    plan = make_plan(make_decision(name, fields, owner=FILE) for name, fields in fields_of.items())
    emit.verify(emit.write_code(plan), plan, placeholder_model(plan))


@given(st.dictionaries(NAMES, FIELDS, min_size=1, max_size=5), st.text(), st.text())
def test_nothing_in_a_name_or_a_target_becomes_code(fields_of: dict[str, Fields], target: str, rule: str) -> None:
    plan = make_plan(
        make_decision(name, Fields(weight_decay=fields.weight_decay, rule=rule), owner=FILE)
        for name, fields in fields_of.items()
    )
    tree = ast.parse(emit.write_code(plan, target=target))
    kinds = {type(node) for node in tree.body}
    assert kinds <= {ast.Expr, ast.Import, ast.ImportFrom, ast.FunctionDef, ast.Assign}


def test_input_of_another_order_makes_the_same_code() -> None:
    plan = decay_audit.plan(net())
    assert emit.write_code(plan) == emit.write_code(decay_audit.plan(copy.deepcopy(net())))


def test_odd_names_are_written_as_ruff_formats_them(tmp_path: Path) -> None:
    odd = ["it's", 'say "so"', "both ' and \"", "\n", "é", "\\", "{i}.0", *(f"a.{i}.b" for i in range(4))]
    for count, rule in enumerate(("norms", "two\nlines")):
        fields_of = {name: Fields(weight_decay=0.05 * (place % 2), rule=rule) for place, name in enumerate(odd)}
        plan = make_plan(make_decision(name, fields, owner=FILE) for name, fields in fields_of.items())
        (tmp_path / f"odd_{count}.py").write_text(emit.write_code(plan, target="x\ny", optimizer="AdamW", lr=1e-3))
    assert ruff_complaints(tmp_path) == ""


def test_two_optimizers_get_their_own_groups() -> None:
    model = net()
    matrices, others = Fields(weight_decay=0.1, use="muon"), Fields(weight_decay=0.0, use="adamw")
    plan = plan_for(model[2:], lambda _, p: matrices if p.ndim == 2 else others)
    code = emit.write_code(plan, optimizer="AdamW", lr=3e-4, settings=["muon.lr=0.02"])
    emit.verify(code, plan, model[2:])
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    optimizers = namespace["make_optimizer"](model[2:])
    classes = {use: type(optimizer).__name__ for use, optimizer in optimizers.items()}
    assert classes == {
        "muon": "Muon",
        "adamw": "AdamW",
    }
    assert [optimizer.defaults["lr"] for optimizer in optimizers.values()] == [0.02, 3e-4]


def test_a_saved_state_fits_a_model_that_is_split_by_the_same_code() -> None:
    code = emit.write_code(decay_audit.plan(net()), optimizer="SGD", lr=0.1, settings=["momentum=0.9"])
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    state = namespace["make_optimizer"](net()).state_dict()
    namespace["make_optimizer"](net()).load_state_dict(state)


WHOLE_TEXT = '''"""Weight decay as param groups, written by decay-audit."""

# ruleset     no-norm-no-bias
# checked on  net.py:net: 3 decayed, 9 not

from typing import Any

from torch import nn, optim

NO_DECAY_CLASSES = (nn.BatchNorm2d, nn.SyncBatchNorm, nn.LayerNorm)


def param_groups(model: nn.Module, weight_decay: float = 0.05) -> list[dict[str, Any]]:
    """Decay all parameters but biases and norms."""
    decay, no_decay = [], []
    for name, p in model.named_parameters():
        if not p.requires_grad:
            continue
        module = model.get_submodule(name.rpartition(".")[0])
        if name.endswith("bias") or isinstance(module, NO_DECAY_CLASSES):
            no_decay.append(p)
        elif isinstance(module, (nn.Conv2d, nn.Linear)):
            decay.append(p)
        else:
            raise ValueError(f"no param group for {name} of {type(module).__name__}")
    groups: list[dict[str, Any]] = [
        {"params": decay, "weight_decay": weight_decay},
        {"params": no_decay, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def make_optimizer(
    model: nn.Module, lr: float = 3e-4, weight_decay: float = 0.05
) -> optim.Optimizer:
    """Make the optimizer over the groups of `param_groups`."""
    return optim.AdamW(param_groups(model, weight_decay), lr=lr)
'''
