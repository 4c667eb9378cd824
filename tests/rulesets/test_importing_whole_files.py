"""Whole configuration files as codebases have them: inheritance, schedules, and much beside the groups."""

from pathlib import Path

import pytest

from decay_audit import rulesets
from decay_audit.errors import RulesError
from decay_audit.rulesets.importing import Imported, import_rules
from decay_audit.rulesets.plan import decide
from tests.rulesets.handwritten import subject

SCHEDULE = """\
# for batch in each gpu is 128, 8 gpu
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=5e-4 * 1024 / 512, weight_decay=0.05, eps=1e-8, betas=(0.9, 0.999)),
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        custom_keys={
            '.absolute_pos_embed': dict(decay_mult=0.0),
            '.relative_position_bias_table': dict(decay_mult=0.0),
        },
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=True, end=20, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=True, begin=20),
]
auto_scale_lr = dict(base_batch_size=1024)
"""
TINY = """\
_base_ = ['../_base_/models/tiny_224.py', '../_base_/schedules/adamw_swin.py']
optim_wrapper = dict(clip_grad=dict(max_norm=5.0))
"""
AMP = """\
_base_ = './tiny.py'
optim_wrapper = dict(
    type='AmpOptimWrapper',
    optimizer=dict(_delete_=True, type='SGD', lr=0.1, weight_decay=1e-4),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))),
)
"""
SAM2 = """\
# @package _global_
scratch:
  resolution: 1024
  base_lr: 5.0e-6
  vision_lr: 3.0e-06
  num_epochs: 40
trainer:
  _target_: training.trainer.Trainer
  max_epochs: ${times:${scratch.num_epochs},1}
  optim:
    amp: {enabled: True, amp_dtype: bfloat16}
    optimizer: {_target_: torch.optim.AdamW}
    gradient_clip: {_target_: training.optimizer.GradientClipper, max_norm: 0.1, norm_type: 2}
    param_group_modifiers:
      - _target_: training.optimizer.layer_decay_param_modifier
        _partial_: True
        layer_decay_value: 0.9
        apply_to: 'image_encoder.trunk'
        overrides: [{pattern: '*pos_embed*', value: 1.0}]
    options:
      lr:
        - scheduler:
            _target_: fvcore.common.param_scheduler.CosineParamScheduler
            start_value: ${scratch.base_lr}
            end_value: ${divide:${scratch.base_lr},10}
        - scheduler:
            _target_: fvcore.common.param_scheduler.CosineParamScheduler
            start_value: ${scratch.vision_lr}
            end_value: ${divide:${scratch.vision_lr},10}
          param_names:
            - 'image_encoder.*'
      weight_decay:
        - scheduler:
            _target_: fvcore.common.param_scheduler.ConstantParamScheduler
            value: 0.1
        - scheduler:
            _target_: fvcore.common.param_scheduler.ConstantParamScheduler
            value: 0.0
          param_names:
            - '*bias*'
          module_cls_names: ['torch.nn.LayerNorm']
"""
OLMO_CORE = """\
from olmo_core.optim import CosWithWarmup, OptimGroupOverride, SkipStepAdamWConfig

SEQUENCE_LENGTH = 4096
LR = 4e-4


def build_train_module_config(common) -> TransformerTrainModuleConfig:
    rank_microbatch_size = 8 * SEQUENCE_LENGTH
    if common.launch is not None:
        rank_microbatch_size *= 2
    return TransformerTrainModuleConfig(
        rank_microbatch_size=rank_microbatch_size,
        max_sequence_length=common.dataset.effective_sequence_length,
        optim=SkipStepAdamWConfig(
            lr=LR,
            weight_decay=0.033,
            betas=(0.9, 0.95),
            group_overrides=[
                OptimGroupOverride(params=["embeddings.weight"], opts=dict(weight_decay=0.0)),
                OptimGroupOverride(params=["blocks.*.attention_norm.weight"], opts=dict(lr=2 * LR)),
            ],
            compile=True,
        ),
        scheduler=CosWithWarmup(warmup_steps=2000),
        max_grad_norm=1.0,
    )
"""
LLM_FOUNDRY = """\
variables: {data_local: ./my-copy-c4, max_seq_len: 2048}
max_seq_len: ${variables.max_seq_len}
model: {name: mpt_causal_lm, init_device: meta, d_model: 768}
scheduler: {name: cosine_with_warmup, t_warmup: 100ba, alpha_f: 0.1}
optimizer:
  name: decoupled_adamw
  lr: 6.0e-4
  betas: [0.9, 0.95]
  weight_decay: 1e-5
  disable_grad:
    - ^transformer\\.wpe
  param_groups:
    - param_str_match: norm_
      weight_decay: 0.0
    - param_str_match: \\.wte\\.
      lr: 6.0e-5
max_duration: 4800ba
"""
BASECLS = """\
from basecls.layers import NORM_TYPES
from .base_cfg import BaseConfig

_cfg = dict(
    batch_size=128,
    loss=dict(label_smooth=0.1),
    solver=dict(
        optimizer="adamw",
        basic_lr=6.25e-5,
        weight_decay=[(0, "pos_embed"), (0, "cls_token"), (0, "bias"), (0, NORM_TYPES), 0.05],
    ),
    model_ema=dict(enabled=True, momentum=0.99996),
)


class ViTConfig(BaseConfig):
    def __init__(self, values_or_file=None, **kwargs):
        super().__init__(_cfg)
"""


def imported(text: str, source: str, folder: Path, suffix: str = ".py") -> Imported:
    (folder / f"config{suffix}").write_text(text, encoding="utf-8")
    return import_rules(folder / f"config{suffix}", source)


def decided(found: Imported, name: str, shape: tuple[int, ...] = (8,), **more: str) -> tuple[float, float]:
    types = (more.get("of", "torch.nn.Linear"), "torch.nn.Module")
    (decision,) = decide([subject(name, shape, types=types)], rulesets.from_text(found.text, "x.yaml")).decisions
    return decision.weight_decay, round(decision.lr_scale, 9)


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    for folder, name, text in (
        ("_base_/schedules", "adamw_swin.py", SCHEDULE),
        ("swin", "tiny.py", TINY),
        ("swin", "amp.py", AMP),
    ):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_an_mmengine_configuration_inherits_its_groups(zoo: Path) -> None:
    found = import_rules(zoo / "swin" / "tiny.py", "mmengine")
    assert decided(found, "backbone.fc.weight", (8, 8)) == (0.05, 1.0)
    assert decided(found, "backbone.relative_position_bias_table", (8, 8)) == (0.0, 1.0)
    assert decided(found, "backbone.norm.weight", of="torch.nn.LayerNorm") == (0.0, 1.0)
    assert found.notes[0] == "_base_ names files that do not exist and were not read: ../_base_/models/tiny_224.py."


def test_its_own_keys_go_over_those_and_may_replace_them(zoo: Path) -> None:
    found = import_rules(zoo / "swin" / "amp.py", "mmengine")
    assert decided(found, "backbone.fc.weight", (8, 8)) == (1e-4, 0.1)
    assert decided(found, "head.fc.weight", (8, 8)) == (1e-4, 1.0)
    assert decided(found, "backbone.relative_position_bias_table", (8, 8)) == (0.0, 1.0)


def test_a_configuration_that_inherits_from_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("_base_ = './b.py'\n", encoding="utf-8")
    (tmp_path / "b.py").write_text("_base_ = ['./a.py']\n", encoding="utf-8")
    with pytest.raises(RulesError, match=r"a\.py inherits from itself by way of `_base_`"):
        import_rules(tmp_path / "a.py", "mmengine")


def test_bases_that_python_imports_are_said_to_be_unread(tmp_path: Path) -> None:
    text = "with read_base():\n    from .._base_.x import *\noptim_wrapper.update(dict(paramwise_cfg=dict()))\n"
    found = imported(text, "mmengine", tmp_path)
    assert "The files that are imported under read_base() were not read." in found.notes


def test_a_training_file_of_sam_2(tmp_path: Path) -> None:
    found = imported(SAM2, "sam2", tmp_path, ".yaml")
    assert decided(found, "image_encoder.trunk.fc.weight", (8, 8)) == (0.1, 0.6)
    assert decided(found, "sam_mask_decoder.fc.bias") == (0.0, 1.0)
    assert decided(found, "memory.norm.weight", of="torch.nn.LayerNorm") == (0.0, 1.0)
    assert decided(found, "memory.norm.weight", of="sam2.LayerNorm2d") == (0.1, 1.0)
    assert "param_group_modifiers (learning rates by layer) are not imported." in found.notes


def test_schedules_one_after_the_other_start_with_the_first(tmp_path: Path) -> None:
    text = SAM2.replace("            value: 0.1\n", "            schedulers: [{start_value: 0.1}, {value: 0.5}]\n")
    assert decided(imported(text, "sam2", tmp_path, ".yaml"), "fc.weight", (8, 8)) == (0.1, 1.0)


def test_a_learning_rate_that_only_running_would_tell_does_not_stop_the_import(tmp_path: Path) -> None:
    text = SAM2.replace("start_value: ${scratch.base_lr}", "start_value: ${times:${scratch.base_lr},2}")
    found = imported(text, "sam2", tmp_path, ".yaml")
    assert decided(found, "image_encoder.trunk.fc.weight", (8, 8)) == (0.1, 1.0)
    assert "Learning rates are not imported: their values are known only when the code runs." in found.notes


def test_a_training_script_of_olmo_core(tmp_path: Path) -> None:
    found = imported(OLMO_CORE, "olmo-core", tmp_path)
    assert decided(found, "embeddings.weight", (8, 8)) == (0.0, 1.0)
    assert decided(found, "blocks.3.attention_norm.weight") == (0.033, 2.0)
    assert decided(found, "lm_head.w_out.weight", (8, 8)) == (0.033, 1.0)


def test_a_training_file_of_llm_foundry(tmp_path: Path) -> None:
    found = imported(LLM_FOUNDRY, "llm-foundry", tmp_path, ".yaml")
    assert decided(found, "transformer.blocks.0.norm_1.weight") == (0.0, 1.0)
    assert decided(found, "transformer.wte.weight", (8, 8)) == (1e-5, 0.1)
    assert decided(found, "transformer.blocks.0.attn.Wqkv.weight", (8, 8)) == (1e-5, 1.0)
    assert [note.partition(" ")[0] for note in found.notes] == ["disable_grad", "Composer's"]


def test_a_configuration_of_basecls(tmp_path: Path) -> None:
    found = imported(BASECLS, "basecls", tmp_path)
    assert decided(found, "pos_embed", (1, 5, 8)) == (0.0, 1.0)
    assert decided(found, "norm.weight", of="torch.nn.LayerNorm") == (0.0, 1.0)
    assert decided(found, "head.weight", (8, 8)) == (0.05, 1.0)
