"""Rulesets against each other, and against an optimizer: on real models."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from decay_audit import api, reports, roles, rulesets
from decay_audit.errors import PlanError
from decay_audit.model.observations import Observation
from decay_audit.roles.words import Classified
from decay_audit.rulesets import diff
from decay_audit.rulesets.ruleset import RuleSet
from decay_audit.sources.module import read
from tests.parity.models import MODELS


def subjects(model: nn.Module) -> tuple[Classified, ...]:
    return roles.classify(read(model).parameters)


def presets(*names: str) -> list[RuleSet]:
    return [rulesets.load(name) for name in names]


def observed(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[Observation]:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [
        Observation(
            parameter=names[id(parameter)], optimizer="optimizer", group=index, weight_decay=group["weight_decay"]
        )
        for index, group in enumerate(optimizer.param_groups)
        for parameter in group["params"]
    ]


@pytest.fixture(scope="module")
def swin() -> tuple[Classified, ...]:
    return subjects(MODELS["swin_tiny_patch4_window7_224"]())


def test_a_ruleset_does_not_differ_from_itself(swin: tuple[Classified, ...]) -> None:
    compared = diff.compare(swin, presets("timm", "timm"))
    assert compared.differences == ()
    assert [(gap.parameters, gap.numel) for gap in compared.gaps] == [(0, 0)]


def test_a_difference_says_the_role_the_parameters_and_both_rules(swin: tuple[Classified, ...]) -> None:
    compared = diff.compare(swin, presets("dino", "megatron", "hf-trainer"), 0.05)
    (tables,) = [difference for difference in compared.differences if difference.role == "relative_position_bias"]
    assert len(tables.parameters) == 12
    assert tables.numel == sum(
        parameter.parameter.numel for parameter in swin if parameter.parameter.name in tables.parameters
    )
    assert [(side.weight_decay, side.rule) for side in tables.sides] == [
        (0.05, "default"),
        (0.05, "default"),
        (0.0, "listed-names"),
    ]


def test_one_base_coefficient_is_used_for_all_so_that_only_policies_differ(swin: tuple[Classified, ...]) -> None:
    compared = diff.compare(swin, presets("hf-trainer", "timm"))
    assert compared.weight_decay == 1e-5
    assert all({side.weight_decay for side in difference.sides} == {0.0, 1e-5} for difference in compared.differences)


def test_the_gaps_between_three_are_those_of_each_pair(swin: tuple[Classified, ...]) -> None:
    names = ("timm", "torch-default", "no-bias")
    compared = diff.compare(swin, presets(*names), weight_decay=0.1)
    for gap in compared.gaps:
        pair = diff.compare(swin, presets(names[gap.first], names[gap.second]), weight_decay=0.1)
        assert gap.parameters == sum(len(difference.parameters) for difference in pair.differences)
        assert gap.numel == sum(difference.numel for difference in pair.differences)


def test_learning_rates_and_optimizers_are_differences_too() -> None:
    model = subjects(MODELS["language"]())
    compared = diff.compare(model, presets("keller-muon", "torch-default"))
    assert {side.use for difference in compared.differences for side in difference.sides} == {"muon", "adamw", None}
    compared = diff.compare(model, presets("maskrcnn-benchmark", "nemo"), weight_decay=0.1)
    assert {side.lr_scale for difference in compared.differences for side in difference.sides} == {1.0, 2.0}


def test_what_differs_only_by_learning_rates_is_said_once_with_their_range() -> None:
    from timm.models import create_model

    from decay_audit import reports

    model = subjects(create_model("vit_tiny_patch16_224", num_classes=2))
    compared = diff.compare(model, presets("timm", "mae"), 0.05)
    assert len({side.lr_scale for difference in compared.differences for side in difference.sides}) == 14
    text = reports.render_comparison(compared, "vit")
    assert text.count("linear weights") == 1
    assert "0.05, lr x0.03168..0.75" in text
    assert "blocks.{0-11}.attn.{qkv,proj}.weight" in text
    (gap,) = compared.gaps
    assert f"differ in {gap.parameters} of {len(model)} parameters" in text
    assert len(text.splitlines()) < 60


def test_a_ruleset_without_an_answer_is_named_and_the_others_are_compared(swin: tuple[Classified, ...]) -> None:
    compared = diff.compare(swin, presets("timm", "mingpt", "hf-trainer"), 0.05)
    assert [refusal.ruleset for refusal in compared.refused] == ["mingpt"]
    assert compared.refused[0].reason.startswith("no rule of mingpt matches")
    without = diff.compare(swin, presets("timm", "hf-trainer"), 0.05)
    assert (compared.differences, compared.gaps) == (without.differences, without.gaps)


def test_one_ruleset_with_an_answer_is_too_few(swin: tuple[Classified, ...]) -> None:
    with pytest.raises(PlanError, match="no rule of mingpt matches") as caught:
        diff.compare(swin, presets("timm", "mingpt"))
    assert "the preset is only for the models of its own codebase" in caught.value.hint


def test_which_finds_the_codebase_that_made_an_optimizer() -> None:
    from timm.optim import param_groups_weight_decay  # type: ignore[attr-defined, unused-ignore]

    model = MODELS["convnext_atto"]()
    optimizer = torch.optim.AdamW(param_groups_weight_decay(model, 0.07))
    best, *others = diff.rank_rulesets(
        subjects(model), observed(model, optimizer), presets("no-bias", "timm", "mingpt")
    )
    assert (best.ruleset.name, best.weight_decay, best.exact) == ("timm", 0.07, True)
    assert not any(match.exact for match in others)
    assert others[-1].refused.startswith("no rule of mingpt")


def test_which_tells_apart_what_also_scales_learning_rates_or_routes() -> None:
    from timm.models import create_model

    model = create_model("vit_tiny_patch16_224", num_classes=2, depth=2)
    spared = {"cls_token", "pos_embed"}
    groups: list[dict[str, Any]] = [
        {"params": [tensor for name, tensor in model.named_parameters() if tensor.ndim > 1 and name not in spared]},
        {
            "params": [tensor for name, tensor in model.named_parameters() if tensor.ndim == 1 or name in spared],
            "weight_decay": 0.0,
        },
    ]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.05)
    found = diff.rank_rulesets(subjects(model), observed(model, optimizer), presets("mae", "timm"))
    assert [(match.ruleset.name, match.exact, match.scales, match.routes) for match in found] == [
        ("timm", True, False, False),
        ("mae", True, True, False),
    ]
    language = MODELS["language"]()
    everything = torch.optim.AdamW(language.parameters(), weight_decay=0.1)
    found = diff.rank_rulesets(
        subjects(language), observed(language, everything), presets("keller-muon", "torch-default")
    )
    assert [(match.ruleset.name, match.routes) for match in found] == [("torch-default", False), ("keller-muon", True)]


def rates(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, tuple[str, float]]:
    names = {id(tensor): name for name, tensor in model.named_parameters()}
    return {
        names[id(tensor)]: ("optimizer", group["lr"]) for group in optimizer.param_groups for tensor in group["params"]
    }


def test_a_preset_decides_exactly_only_where_its_learning_rates_are_the_optimizers_too() -> None:
    from timm.optim import param_groups_layer_decay, param_groups_weight_decay  # type: ignore[attr-defined, unused-ignore]

    model = MODELS["vit_tiny_patch16_224"]()
    hook: Any = model.no_weight_decay
    layered = param_groups_layer_decay(model, 0.05, no_weight_decay_list=hook(), layer_decay=0.75)
    scaled = torch.optim.AdamW([{**group, "lr": 1e-3 * group["lr_scale"]} for group in layered])
    plain = torch.optim.AdamW(param_groups_weight_decay(model, 0.05, no_weight_decay_list=hook()), lr=1e-3)
    exactly = "these presets decide exactly as the optimizer does"
    for optimizer, expected in ((scaled, "timm-layer-decay"), (plain, "timm")):
        found = diff.rank_rulesets(
            subjects(model),
            observed(model, optimizer),
            presets("timm", "timm-layer-decay"),
            rates=rates(model, optimizer),
        )
        assert [(match.ruleset.name, match.exact, match.same_rates) for match in found] == [
            (expected, True, True),
            ({"timm": "timm-layer-decay", "timm-layer-decay": "timm"}[expected], True, False),
        ]
        same, _, other = reports.render_matches(found).partition("these decay the same, but ")
        assert same.startswith(exactly)
        assert expected in same
        assert other.startswith(
            "also scale" if expected == "timm" else "have one learning rate where the optimizer has"
        )


def test_which_says_what_the_nearest_ruleset_would_do_otherwise() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
    linear, norm = model
    weights: list[Tensor] = [linear.get_parameter("weight"), norm.get_parameter("weight")]
    groups: list[dict[str, Any]] = [
        {"params": weights, "weight_decay": 0.1},
        {"params": [linear.get_parameter("bias")]},
    ]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    (match,) = diff.rank_rulesets(subjects(model), observed(model, optimizer), presets("no-norm-no-bias"))
    assert [(mismatch.parameter, mismatch.expected, mismatch.observed) for mismatch in match.mismatches] == [
        ("1.weight", 0.0, 0.1),
        ("1.bias", 0.0, None),
    ]
    assert match.numel == 8


def test_an_optimizer_that_decays_nothing_tells_nothing() -> None:
    model = nn.Linear(4, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    assert diff.rank_rulesets(subjects(model), observed(model, optimizer), presets("timm")) == ()


def saved(model: nn.Module, groups: list[dict[str, Any]], folder: Path) -> str:
    """A checkpoint whose optimizer has taken a step, with groups in an order of their own."""
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
    for tensor in model.parameters():
        tensor.grad = torch.zeros_like(tensor)
    optimizer.step()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, folder / "last.pt")
    return str(folder / "last.pt")


@pytest.fixture
def mixed(tmp_path: Path) -> tuple[str, Any]:
    """Gains in one group and shifts in another: no shape tells which is which."""
    model = nn.Sequential(nn.Linear(4, 8, bias=False), nn.LayerNorm(8), nn.Linear(8, 4, bias=False), nn.LayerNorm(4))
    named = dict(model.named_parameters())
    gains = [named[name] for name in ("1.weight", "3.weight")]
    weights = [tensor for tensor in model.parameters() if tensor.ndim == 2]
    shifts = [tensor for name, tensor in named.items() if name.endswith("bias")]
    groups: list[dict[str, Any]] = [
        {"params": weights, "weight_decay": 0.1},
        {"params": shifts, "weight_decay": 0.0},
        {"params": gains, "weight_decay": 0.01},
    ]
    return saved(model, groups, tmp_path), model


def test_a_parameter_at_an_unknown_position_is_not_said_to_be_in_no_group(mixed: tuple[str, Any]) -> None:
    request = api.Request(target=mixed[0])
    found = api.which(api.load(request), request)
    by_name = {match.ruleset.name: match for match in found}
    assert not any(match.exact for match in found)
    assert (by_name["nanogpt"].mismatches, by_name["nanogpt"].unmatched) == ((), 2)
    everything = by_name["torch-default"]
    assert (everything.parameters, everything.unplaced, everything.mismatches, everything.unmatched) == (2, 4, (), 4)
    text = reports.render_matches(found)
    assert text.startswith("compared 2 of 6 parameters: the saved optimizer does not say at")
    assert "in no group" not in text


def test_json_tells_a_preset_that_fits_from_one_whose_coefficients_are_too_few(mixed: tuple[str, Any]) -> None:
    request = api.Request(target=mixed[0])
    by_name = {
        match["ruleset"]: match
        for match in json.loads(reports.render_matches(api.which(api.load(request), request), "json"))["matches"]
    }
    assert {
        name: by_name["nanogpt"][name] for name in ("parameters", "unplaced", "mismatches", "unmatched", "exact")
    } == {
        "parameters": 2,
        "unplaced": 4,
        "mismatches": [],
        "unmatched": 2,
        "exact": False,
    }
    assert by_name["torchvision"]["needs_model"]


def test_a_preset_that_fits_where_no_position_is_known_is_not_said_to_be_exactly_it(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
    weights = [tensor for tensor in model.parameters() if tensor.ndim == 2]
    rest = [tensor for tensor in model.parameters() if tensor.ndim == 1]
    groups: list[dict[str, Any]] = [{"params": rest, "weight_decay": 0.0}, {"params": weights, "weight_decay": 0.1}]
    optimizer = torch.optim.SGD(groups, lr=0.1)  # no step: nothing in the state has a shape
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "last.pt")
    request = api.Request(target=str(tmp_path / "last.pt"))
    found = api.which(api.load(request), request)
    text = reports.render_matches(found)
    assert [match.parameters for match in found if match.ruleset.name == "nanogpt"] == [0]
    assert text.startswith(
        "compared only the number of parameters with each weight_decay, of 4 parameters: the saved optimizer"
    )
    assert "these presets agree with everything that could be compared, with weight_decay 0.1:\n" in text
    assert "exactly" not in text
    nearest = reports.render_matches([match for match in found if match.ruleset.name == "torch-default"])
    assert nearest.endswith("torch-default, weight_decay 0.1   3 of 4 parameters differ")


def test_presets_that_a_checkpoint_cannot_answer_are_counted_with_the_way_out(mixed: tuple[str, Any]) -> None:
    request = api.Request(target=mixed[0])
    found = api.which(api.load(request), request)
    text = reports.render_matches(found)
    assert f"{sum(match.needs_model for match in found)} presets need classes, declarations or attributes" in text
    assert "torchvision" not in text
    assert "torchvision" in reports.render_matches(found, options=reports.Options(full=True))


def test_a_preset_whose_rules_make_no_difference_is_told_apart() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1)
    found = diff.rank_rulesets(
        subjects(model), observed(model, optimizer), presets("tf-resnet", "keller-muon", "torch-default")
    )
    assert [(match.ruleset.name, match.no_effect) for match in found] == [
        ("torch-default", False),
        ("tf-resnet", True),
        ("keller-muon", True),
    ]
    exact, _, no_effect = reports.render_matches(found).partition(
        "these agree too, but only because none of their rules matches this model"
    )
    assert "torch-default" in exact
    assert "tf-resnet" in no_effect


def test_a_matrix_of_many_fits_a_narrow_terminal(swin: tuple[Classified, ...]) -> None:
    names = ("timm", "hf-trainer", "mmengine", "open-clip", "dinov2", "torchvision-swin", "flash-attention")
    compared = diff.compare(swin, presets(*names), 0.05)
    wide, narrow = (
        reports.render_comparison(compared, "x", options=reports.Options(width=width)) for width in (None, 60)
    )
    heads, *rows = narrow.partition("parameters that differ\n")[2].splitlines()
    assert heads.split() == ["1", "2", "3", "4", "5", "6", "7"]
    assert [row.split()[:2] for row in rows] == [[str(number), name] for number, name in enumerate(names, start=1)]
    assert max(map(len, (heads, *rows))) <= 60
    assert wide.partition("parameters that differ\n")[2].splitlines()[0].split() == list(names)


def test_a_ruleset_that_is_left_out_is_said_with_the_reason(swin: tuple[Classified, ...]) -> None:
    text = reports.render_comparison(diff.compare(swin, presets("timm", "mingpt", "torch-default"), 0.05), "x")
    assert "left out: no rule of mingpt matches " in text


def test_headings_fit_a_narrow_terminal_as_the_lines_below_them_do() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1)
    narrow = reports.Options(width=60)
    found = diff.rank_rulesets(
        subjects(model), observed(model, optimizer), presets("tf-resnet", "torch-default", "keller-muon")
    )
    compared = diff.compare(subjects(model), presets("timm", "hf-trainer"))
    texts = (
        reports.render_matches(found, options=narrow),
        reports.render_comparison(compared, "a" * 40, options=narrow),
    )
    assert [line for text in texts for line in text.splitlines() if len(line) > 60] == []
    assert texts[1].splitlines()[:3] == ["a" * 40, "  28 elements in 4 parameters", "  weight_decay 1e-5"]


def test_of_presets_that_say_the_same_that_of_the_models_codebase_comes_first_and_the_rest_is_counted() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
    matrices, others = ([t for t in model.parameters() if (t.ndim > 1) is many] for many in (True, False))
    groups: list[dict[str, Any]] = [{"params": matrices}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.05)
    found = diff.rank_rulesets(
        subjects(model),
        observed(model, optimizer),
        presets("dino", "timm", "hf-trainer-4.48", "swin", "no-norm-no-bias"),
    )
    same = [match.ruleset.name for match in found if match.exact]
    assert len(same) == 5
    for name in ("timm", "swin"):
        heading, first, *more = reports.render_matches(found, packages=("torch", name)).splitlines()
        assert heading.startswith("these presets decide exactly as the optimizer does")
        assert first.split()[0] == name
        assert more[-1].startswith("  2 more say the same of this model: ")
    whole = reports.render_matches(found, options=reports.Options(full=True))
    assert "more say the same" not in whole
    assert len(whole.splitlines()) == 6
