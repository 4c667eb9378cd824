"""The Python API: what a training script calls."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import decay_audit
from tests.menagerie import MENAGERIE

LR = 3e-4


def bert_like() -> nn.Module:
    return nn.Sequential(
        nn.Embedding(10, 4), nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), nn.LayerNorm(4), nn.Linear(4, 3)
    )


def coefficients(optimizer: torch.optim.Optimizer) -> dict[int, float]:
    return {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}


def test_param_groups_make_an_optimizer_that_spares_biases_and_norms() -> None:
    model = bert_like()
    groups = decay_audit.param_groups(model, rules="no-norm-no-bias", weight_decay=0.05)
    optimizer = torch.optim.AdamW(groups, lr=LR)
    got = {name: coefficients(optimizer)[id(tensor)] for name, tensor in model.named_parameters()}
    assert got == {name: 0.05 if tensor.ndim > 1 else 0.0 for name, tensor in model.named_parameters()}


def test_a_step_without_a_gradient_shrinks_what_the_plan_decays_by_lr_times_weight_decay_and_nothing_else() -> None:
    model = bert_like()
    optimizer = torch.optim.AdamW(decay_audit.param_groups(model, weight_decay=0.5), lr=LR)
    before = {name: tensor.detach().clone() for name, tensor in model.named_parameters()}
    for tensor in model.parameters():
        tensor.grad = torch.zeros_like(tensor)
    optimizer.step()
    decided = {decision.name: decision.decays for decision in decay_audit.plan(model).decisions}
    for name, tensor in model.named_parameters():
        expected = before[name] * (1 - LR * 0.5) if decided[name] else before[name]
        torch.testing.assert_close(tensor.detach(), expected)


@pytest.mark.parametrize("name", sorted(MENAGERIE))
def test_param_groups_hold_every_parameter_once_but_the_frozen_ones(name: str) -> None:
    model = MENAGERIE[name]()
    trainable = [tensor for tensor in model.parameters() if tensor.requires_grad]
    if not list(model.parameters()):
        with pytest.raises(decay_audit.DecayAuditError):
            decay_audit.param_groups(model)
        return
    grouped = [id(tensor) for group in decay_audit.param_groups(model) for tensor in group["params"]]
    assert sorted(grouped) == sorted(map(id, trainable))


def test_a_compiled_model_gets_the_groups_of_the_model_inside() -> None:
    model = bert_like()
    bare, compiled = decay_audit.param_groups(model), decay_audit.param_groups(torch.compile(model))  # type: ignore[arg-type]
    assert [[id(p) for p in group["params"]] for group in bare] == [
        [id(p) for p in group["params"]] for group in compiled
    ]


def test_learning_rates_are_scaled_in_the_groups_where_the_ruleset_scales_them() -> None:
    model = nn.Module()
    model.patch_embed = nn.Linear(3, 3)
    model.blocks = nn.ModuleList([nn.Linear(3, 3)])
    groups = decay_audit.param_groups(model, rules="mae", weight_decay=0.05, lr=1.0)
    with pytest.warns(UserWarning, match="torch ignores `lr_scale`: pass lr="):
        decay_audit.param_groups(model, rules="mae", weight_decay=0.05)
    scales = {id(p): group["lr"] for group in groups for p in group["params"]}
    assert scales[id(model.blocks[0].weight)] == pytest.approx(0.75)
    assert scales[id(model.patch_embed.weight)] == pytest.approx(0.75**2)


def test_the_stages_can_be_called_one_by_one() -> None:
    inventory = decay_audit.read(bert_like())
    classified = decay_audit.classify(inventory)
    ruleset = decay_audit.load_rules("torch-default")
    plan = decay_audit.plan(classified, ruleset, weight_decay=0.1)
    assert [decision.weight_decay for decision in plan.decisions] == [0.1] * len(inventory.parameters)


@pytest.mark.parametrize("coefficient", [float("nan"), float("inf"), -1.0])
def test_a_coefficient_that_is_no_number_from_0_up_is_refused(coefficient: float) -> None:
    with pytest.raises(decay_audit.DecayAuditError, match="weight_decay"):
        decay_audit.plan(nn.Linear(2, 2), weight_decay=coefficient)


def test_an_error_says_the_way_out_to_whoever_only_prints_it() -> None:
    with pytest.raises(decay_audit.DecayAuditError) as raised:
        decay_audit.load_rules("tim")
    assert str(raised.value).startswith("no ruleset is called `tim`\nhint: did you mean `timm`?")
    assert str(decay_audit.DecayAuditError("nothing more to say")) == "nothing more to say"


@pytest.mark.parametrize(
    ("thing", "kind"),
    [([1], "a list"), (nn.Linear, "the class Linear"), (None, "None"), ({"model": nn.Linear(2, 2)}, "a dict")],
)
def test_what_is_no_model_is_refused_by_its_type(thing: Any, kind: str) -> None:
    for verb in (decay_audit.param_groups, decay_audit.read, decay_audit.plan, decay_audit.audit):
        with pytest.raises(decay_audit.DecayAuditError, match=rf"the model is {kind}, not a torch.nn.Module"):
            verb(thing)


def test_every_name_of_the_stub_is_there_and_no_other() -> None:
    stub = ast.parse(Path(decay_audit.__file__).with_suffix(".pyi").read_text())
    names = {
        alias.asname for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names if alias.asname
    }
    assert set(dir(decay_audit)) == names
    assert {name: getattr(decay_audit, name).__name__ for name in names if name != "DEFAULT_RULES"} == {
        name: name for name in names if name != "DEFAULT_RULES"
    }
    with pytest.raises(AttributeError):
        getattr(decay_audit, "nothing")  # noqa: B009  (mypy would refuse the plain form, as it should)


def test_assert_decay_raises_with_the_findings_for_one_group_and_returns_the_report_for_split_ones() -> None:
    model = bert_like()
    one_group = torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=0.05)
    with pytest.raises(decay_audit.DecayAssertionError, match=r"DA101 error   .* norm parameters and .* biases"):
        decay_audit.assert_decay(model, one_group)
    split = torch.optim.AdamW(decay_audit.param_groups(model, weight_decay=0.05), lr=LR)
    assert decay_audit.assert_decay(model, split, measure=True).plan.ruleset.weight_decay == 0.05


def test_an_audit_leaves_model_and_optimizer_as_they_were() -> None:
    model = bert_like()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR)
    before = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    random = torch.random.get_rng_state()
    decay_audit.audit(model, optimizer, measure=True)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert torch.equal(random, torch.random.get_rng_state())
    assert not optimizer.state
    assert all(parameter.grad is None for parameter in model.parameters())


class Hiding(nn.Linear):
    """Shows its optimizer the weight alone, as models with a frozen part of their own do."""

    def named_parameters(self, *arguments: Any, **settings: Any) -> Iterator[tuple[str, nn.Parameter]]:
        return ((name, tensor) for name, tensor in super().named_parameters(*arguments, **settings) if name != "bias")


def test_what_a_models_own_named_parameters_leaves_out_has_a_group_and_is_missed_in_an_optimizer() -> None:
    model = Hiding(3, 2)
    grouped = [id(tensor) for group in decay_audit.param_groups(model) for tensor in group["params"]]
    assert grouped == [id(model.weight), id(model.bias)]
    report = decay_audit.audit(model, torch.optim.AdamW(model.parameters(), weight_decay=0.1))
    assert {finding.code: finding.parameters for finding in report.findings}["DA201"] == ("bias",)


def test_an_assertion_about_no_optimizer_fails() -> None:
    with pytest.raises(decay_audit.DecayAuditError, match="no optimizer"):
        decay_audit.assert_decay(bert_like(), None)


def test_a_report_prints_in_a_line() -> None:
    assert repr(decay_audit.audit(nn.Linear(2, 2))) == (
        "<Report 'model' under no-norm-no-bias: 2 parameters, 0 findings>"
    )
