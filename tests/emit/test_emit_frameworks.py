"""`emit --for`: what a framework's own code makes of the emitted text is what the ruleset decides.

timm is in the test extra; the other frameworks' own code runs where it is installed. The texts for mmengine and
torchtitan are also read back by our importers, which know nothing of the code that wrote them.
"""

import re
import sys
from collections.abc import Callable, Mapping
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import nn
from typer.testing import CliRunner

import decay_audit
from decay_audit import Plan
from decay_audit.cli import app
from decay_audit.emit import frameworks
from decay_audit.emit.frameworks.settings import Setting, settings_by_name
from decay_audit.errors import DecayAuditError
from decay_audit.model.choices import Framework
from decay_audit.rulesets.importing import import_rules
from tests.emit.plans import ruff_complaints
from tests.menagerie import MENAGERIE

MODELS: Mapping[str, Callable[[], nn.Module]] = {
    "swin": partial(timm.create_model, "swin_tiny_patch4_window7_224"),
    "vit": partial(timm.create_model, "vit_tiny_patch16_224"),
    "mobilenet": partial(torchvision.models.get_model, "mobilenet_v2", weights=None),
    "declaring": MENAGERIE["declaring"],
}
RULES = ("no-norm-no-bias", "timm", "detectron2", "torch-default", "swin")
LEARNING_RATE = 1e-3


@cache
def build(name: str) -> nn.Module:
    with torch.device("meta"):
        return MODELS[name]()


def write(target: Framework, name: str, rules: str, *, approximate: bool = False) -> tuple[str, Plan, dict[str, str]]:
    plan = decay_audit.plan(build(name), rules, 0.05)
    request = frameworks.FrameworkRequest(plan=plan, target=name, optimizer="AdamW", lr=LEARNING_RATE)
    code = frameworks.write(target, request, approximate=approximate)
    return code.text, plan, dict(code.differences)


def settings_of_groups(groups: list[dict[str, Any]], model: nn.Module) -> dict[str, Setting]:
    names = {id(p): name for name, p in model.named_parameters()}
    return {names[id(p)]: Setting(weight_decay=group["weight_decay"]) for group in groups for p in group["params"]}


def run(text: str) -> dict[str, Any]:
    namespace: dict[str, Any] = {}
    exec(text, namespace)
    return namespace


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("name", MODELS)
def test_timm_makes_the_groups_of_the_plan(name: str, rules: str) -> None:
    text, plan, _ = write("timm", name, rules)
    groups = run(text)["param_groups"](build(name))
    assert settings_of_groups(groups, build(name)) == settings_by_name(plan)


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("name", MODELS)
def test_mmengine_makes_of_its_configuration_what_the_plan_says(name: str, rules: str, tmp_path: Path) -> None:
    text, plan, _ = write("mmengine", name, rules)
    assert _read_back("mmengine", text, name, tmp_path) == settings_by_name(plan)
    constructors = pytest.importorskip("mmengine.optim")
    constructor = constructors.DefaultOptimWrapperConstructor(
        {"optimizer": {**run(text)["optim_wrapper"]["optimizer"]}}, run(text)["optim_wrapper"]["paramwise_cfg"]
    )
    groups = constructor(build(name)).optimizer.param_groups
    assert settings_of_groups(groups, build(name)) == settings_by_name(plan)


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("name", MODELS)
def test_torchtitan_makes_of_its_configuration_what_the_plan_says(name: str, rules: str, tmp_path: Path) -> None:
    text, plan, _ = write("torchtitan", name, rules)
    assert _read_back("torchtitan", text, name, tmp_path) == settings_by_name(plan)
    components = pytest.importorskip("torchtitan.components.optimizer")
    config = run(text)["optimizer_config"]()
    groups, _ = components.OptimizersContainer._build_param_groups(build(name), config.param_groups, {})
    assert settings_of_groups(groups["AdamW"], build(name)) == settings_by_name(plan)


def _read_back(source: str, text: str, name: str, folder: Path) -> dict[str, Setting]:
    (folder / "config.py").write_text(text, encoding="utf-8")
    (folder / "rules.yaml").write_text(import_rules(folder / "config.py", source).text, encoding="utf-8")
    plan = decay_audit.plan(build(name), folder / "rules.yaml")
    return {name: Setting(weight_decay=each.weight_decay) for name, each in settings_by_name(plan).items()}


def get_default_optimizer_params(
    model: nn.Module,
    weight_decay: float,
    weight_decay_norm: float | None = None,
    overrides: Mapping[str, Mapping[str, float]] | None = None,
) -> list[dict[str, Any]]:
    """As detectron2.solver.build describes it: norms of torch.nn, and overrides by a parameter's own name."""
    norms = (nn.BatchNorm2d, nn.BatchNorm1d, nn.GroupNorm, nn.LayerNorm)
    groups = []
    for module in model.modules():
        for leaf, p in module.named_parameters(recurse=False):
            settings = {"weight_decay": weight_decay}
            if isinstance(module, norms) and weight_decay_norm is not None:
                settings["weight_decay"] = weight_decay_norm
            groups.append({"params": [p], **settings, **(overrides or {}).get(leaf, {})})
    return groups


@pytest.mark.parametrize("rules", ["no-norm-no-bias", "detectron2", "torch-default", "mmengine"])
@pytest.mark.parametrize("name", MODELS)
def test_detectron2_makes_the_groups_of_the_plan_or_says_which_differ(
    name: str, rules: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, plan, differing = write("detectron2", name, rules, approximate=True)
    build_module = SimpleNamespace(get_default_optimizer_params=get_default_optimizer_params)
    for path, module in (("detectron2", SimpleNamespace()), ("detectron2.solver", SimpleNamespace())):
        monkeypatch.setitem(sys.modules, path, module)
    monkeypatch.setitem(sys.modules, "detectron2.solver.build", build_module)
    made = settings_of_groups(run(text)["param_groups"](build(name)), build(name))
    assert {name for name, planned in settings_by_name(plan).items() if made[name] != planned} == differing.keys()
    if name != "declaring" and rules != "mmengine":
        assert not differing


@pytest.mark.parametrize("name", ["swin", "declaring"])
def test_the_mask_of_optax_marks_what_decays(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text, plan, _ = write("optax", name, "no-norm-no-bias")
    if not find_spec("jax"):
        monkeypatch.setitem(
            sys.modules,
            "jax",
            SimpleNamespace(
                tree_util=SimpleNamespace(
                    tree_map_with_path=lambda f, tree: {
                        key: f((SimpleNamespace(key=key),), leaf) for key, leaf in tree.items()
                    }
                )
            ),
        )
    mask = run(text)["decay_mask"](dict.fromkeys(settings_by_name(plan), 0.0))
    assert mask == {name: planned.weight_decay > 0 for name, planned in settings_by_name(plan).items()}


def test_what_a_framework_cannot_express_is_refused_by_name() -> None:
    for target in ("timm", "detectron2", "optax"):
        with pytest.raises(DecayAuditError, match=r"would treat .*learning rate is not scaled") as error:
            write(target, "vit", "mae")
        assert "--approximate" in error.value.hint
        assert write(target, "vit", "mae", approximate=True)[2]


def test_the_texts_are_as_ruff_formats_them(tmp_path: Path) -> None:
    for target in ("timm", "torchtitan", "optax", "detectron2"):
        for name in MODELS:
            for rules in ("no-norm-no-bias", "timm"):
                text = write(target, name, rules, approximate=True)[0]
                (tmp_path / f"{target}_{name}_{rules.replace('-', '_')}.py").write_text(text)
    assert re.sub(r"(?m)^.*E501.*$", "", ruff_complaints(tmp_path)) == ""


def emit(target: str, rules: str, *arguments: str) -> tuple[str, str]:
    words = [
        "torch.nn:Transformer(16, 2, 2, 2, batch_first=True)",
        "--for",
        target,
        "-r",
        rules,
        "-w",
        "0.05",
        *arguments,
    ]
    result = CliRunner().invoke(app, ["emit", *words])
    assert result.exit_code == 0, result.stderr
    return result.stdout, result.stderr


def transformer() -> nn.Module:
    return nn.Transformer(16, 2, 2, 2, batch_first=True)


ADAMW = ("--optimizer", "AdamW", "--lr", "1e-3")


def test_a_trainer_that_only_needs_names_gets_names() -> None:
    text, notes = emit("trainer", "no-norm-no-bias")
    assert "TrainingArguments(weight_decay=0.05)" in " ".join(notes.split())
    model = transformer()
    names = run(text)["DecayTrainer"].get_decay_parameter_names(None, model)
    assert {*names} == {name for name, p in model.named_parameters() if p.ndim > 1}


def test_a_trainer_makes_the_optimizer_with_all_its_settings(tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    transformers = pytest.importorskip("transformers")
    arguments = transformers.TrainingArguments(str(tmp_path), use_cpu=True, weight_decay=0.05, report_to=[])
    for text, lr in (
        (emit("trainer", "no-norm-no-bias")[0], 5e-5),
        (emit("trainer", "no-norm-no-bias", *ADAMW)[0], 1e-3),
    ):
        model = transformer()
        trainer = run(text)["DecayTrainer"](model=model, args=arguments)
        groups = trainer.create_optimizer().param_groups
        decayed = {id(p) for group in groups if group["weight_decay"] == 0.05 for p in group["params"]}
        assert decayed == {id(p) for p in model.parameters() if p.ndim > 1}
        assert {group["lr"] for group in groups} == {lr}


@pytest.mark.filterwarnings("ignore")  # lightning uses what torch deprecates
def test_lightning_trains_with_the_emitted_method() -> None:
    text, notes = emit("lightning", "no-norm-no-bias", *ADAMW)
    assert "self.model" in text + notes
    lightning = pytest.importorskip("lightning")
    method = run(text)["configure_optimizers"]

    class Module(lightning.LightningModule):  # type: ignore[misc, name-defined]
        configure_optimizers = method

        def __init__(self) -> None:
            super().__init__()
            self.model = transformer()

        def training_step(self, batch: list[torch.Tensor], _: int) -> torch.Tensor:
            output: torch.Tensor = self.model(batch[0], batch[0])
            return output.square().mean()

    module = Module()
    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.ones(2, 3, 16)), batch_size=2)
    trainer = lightning.Trainer(
        max_steps=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, data)
    groups = trainer.optimizers[0].param_groups
    assert {id(p) for group in groups if group["weight_decay"] for p in group["params"]} == {
        id(p) for p in module.parameters() if p.ndim > 1
    }


def test_several_optimizers_are_refused_for_a_trainer_and_listed_for_lightning() -> None:
    result = CliRunner().invoke(app, ["emit", "torch.nn:Linear(2, 2)", "--for", "trainer", "-r", "moonlight-muon"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "a Trainer has one optimizer" in result.stderr
    text, notes = emit("lightning", "moonlight-muon", *ADAMW)
    assert "return [*make_optimizer(self.model).values()]" in text
    assert "automatic_optimization = False" in notes


def test_a_method_without_an_optimizer_says_what_to_name() -> None:
    result = CliRunner().invoke(app, ["emit", "torch.nn:Linear(2, 2)", "--for", "lightning"])
    assert (result.exit_code, "--like EXPR" in result.stderr) == (2, True)
