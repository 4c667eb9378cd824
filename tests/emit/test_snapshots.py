"""The emitted functions of twelve real models, whole, as a reviewer reads them.

`python -m tests.emit.test_snapshots` writes the files anew: read every line that changed.
"""

from pathlib import Path

import pytest

import decay_audit
from decay_audit import api
from decay_audit.api.options import AuditOptions, CodeOptions

SNAPSHOTS = Path(__file__).with_name("snapshots")
CASES = {
    "resnet50": ("torchvision.models:resnet50()", "no-norm-no-bias", "SGD"),
    "mask_rcnn": (
        "torchvision.models.detection:maskrcnn_resnet50_fpn(weights_backbone=None)",
        "no-norm-no-bias",
        "SGD",
    ),
    "convnext": ("torchvision.models:convnext_tiny()", "no-norm-no-bias", "AdamW"),
    "vit": ("timm:create_model('vit_tiny_patch16_224')", "no-norm-no-bias", "AdamW"),
    "vit_by_timm": ("timm:create_model('vit_tiny_patch16_224')", "timm", "AdamW"),
    "swin": ("timm:create_model('swin_tiny_patch4_window7_224')", "no-norm-no-bias", "AdamW"),
    "gpt2": ("transformers:GPT2Model(GPT2Config())", "no-norm-no-bias", "AdamW"),
    "gpt2_by_nanogpt": ("transformers:GPT2Model(GPT2Config())", "nanogpt", "AdamW"),
    "llama": ("transformers:LlamaModel(LlamaConfig(num_hidden_layers=4))", "no-norm-no-bias", "AdamW"),
    "t5": ("transformers:T5Model(T5Config())", "no-norm-no-bias", "AdamW"),
    "mamba": ("transformers:MambaModel(MambaConfig())", "no-norm-no-bias", "AdamW"),
    "transformer_by_muon": ("torch.nn:Transformer(16, 2, 2, 2, batch_first=True)", "moonlight-muon", "AdamW"),
}


def emit_case(name: str) -> str:
    """Emit the code of a case as the command does."""
    target, rules, optimizer = CASES[name]
    loaded = api.load(api.request_for(target, AuditOptions(rules=rules)))
    plan = decay_audit.plan(loaded.inventory, rules)
    return api.write_code(loaded, plan, CodeOptions(optimizer=optimizer, lr=3e-4), rules)


@pytest.mark.parametrize("name", CASES)
def test_the_emitted_module_is_what_a_reviewer_approved(name: str) -> None:
    assert emit_case(name) == (SNAPSHOTS / f"{name}.txt").read_text()


if __name__ == "__main__":
    from tests import conftest

    assert conftest
    for case in CASES:
        (SNAPSHOTS / f"{case}.txt").write_text(emit_case(case))
