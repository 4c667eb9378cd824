"""Published recipes pass the default ruleset; docs/recipes.md has all of them, here is a sample."""

import pytest
import torch
from torch import nn

from benchmarks import recipes
from benchmarks.recipes import HELD_APART, RECIPES, Recipe

SAMPLE = {
    ("timm create_optimizer_v2, adamw", "vit_tiny_patch16_224"),
    ("timm create_optimizer_v2, adamw", "resnet18"),
    ("timm create_optimizer_v2, adamw", "convnext_tiny"),
    ("timm create_optimizer_v2, adamw", "swin_tiny_patch4_window7_224"),
    ("transformers Trainer", "LlamaForCausalLM"),
    ("nanoGPT's split (ndim >= 2)", "CLIPModel"),
    ("nanoGPT's split (ndim >= 2)", "Mamba2Model"),
    ("torchvision split_normalization_params", "resnet18"),
    ("torch.optim, model.parameters()", "resnet18"),
}


def title(recipe: Recipe) -> str:
    return f"{recipe.optimizer}: {recipe.model}"


def sample() -> list[Recipe]:
    return [recipe for recipe in RECIPES if (recipe.optimizer, recipe.model) in SAMPLE]


def biases_and_norms(model: nn.Module) -> set[str]:
    """By torch alone: what its layers call a bias, and what is in a module whose class is called a norm."""
    names = {name for name, _ in model.named_parameters() if name.rpartition(".")[2] in ("bias", "in_proj_bias")}
    for prefix, module in model.named_modules():
        if "Norm" in type(module).__name__:
            names |= {f"{prefix}.{name}" for name, _ in module.named_parameters(recurse=False)}
    return names


def test_the_sample_is_of_the_recipes() -> None:
    assert len(sample()) == len(SAMPLE)
    assert len(RECIPES) >= 40


@pytest.mark.parametrize("recipe", sample(), ids=title)
def test_an_error_is_true(recipe: Recipe) -> None:
    pytest.importorskip(recipe.optimizer.split()[0] if recipe.optimizer[:2] in ("ti", "tr") else "transformers")
    errors = [finding for finding in recipes.audit(recipe) if finding.severity == "error"]
    assert bool(errors) == bool(recipe.why)
    concerned = {name for finding in errors for name in finding.parameters}
    model = recipe.build()
    optimizer: torch.optim.Optimizer = recipe.make(model)
    decays = {id(each) for group in optimizer.param_groups if group["weight_decay"] for each in group["params"]}
    decayed = {name for name, parameter in model.named_parameters() if id(parameter) in decays}
    assert {finding.code for finding in errors} <= {"DA101"}
    assert concerned == (decayed & biases_and_norms(model))


def test_the_page_has_every_recipe_and_a_reason_for_every_error() -> None:
    rows = [
        [cell.strip(" `") for cell in line.split("|")[1:-1]]
        for line in recipes.PAGE.read_text("utf-8").splitlines()
        if line.startswith("| ") and not line.startswith(("| ---", "| optimizer |"))
    ]
    both = (*RECIPES, *HELD_APART)
    assert [(row[0], row[1]) for row in rows] == [(recipe.optimizer, recipe.model) for recipe in both]
    assert [row[5] for row in rows] == [recipe.why.strip(" `") for recipe in both]
    assert all((row[2] != "-") == bool(row[5]) for row in rows)
