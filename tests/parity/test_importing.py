"""Imported configurations, against the codebase's own function where it is installed."""

from pathlib import Path
from typing import Any

import pytest

from decay_audit import rulefile
from decay_audit.rulefile.importing import import_rules
from tests.parity.compare import classified, compare
from tests.parity.models import MODELS
from tests.parity.peers import Peer, missing, mmengine

CUSTOM = {
    ".cls_token": {"decay_mult": 0.0},
    ".pos_embed": {"decay_mult": 0.0},
    "norm": {"decay_mult": 0.5},
    "blocks": {"lr_mult": 0.1},
    "blocks.1": {"decay_mult": 2.0, "lr_mult": 0.25},
    "norm.": {"decay_mult": 0.75},
}
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "nothing": {"bypass_duplicate": True},
    "kinds": {"norm_decay_mult": 0.25, "bias_decay_mult": 0.0, "dwconv_decay_mult": 0.5, "flat_decay_mult": 0.75},
    "keys": {"custom_keys": CUSTOM},
    "both": {"custom_keys": CUSTOM, "norm_decay_mult": 0.0, "bias_lr_mult": 2.0, "dwconv_decay_mult": 0.0},
    "keys-beside-biases": {"custom_keys": CUSTOM, "bias_decay_mult": 0.125, "bias_lr_mult": 3.0},
}


SAID = {"both": {"stem.bias"}}
"""What the import says that it cannot tell: the bias of a convolution on one-channel images, as depthwise."""


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_mmengine_does_what_its_imported_configuration_says(name: str, tmp_path: Path) -> None:
    config = CONFIGURATIONS[name]
    peer = Peer(mmengine(**config), "mmengine-lite", lr=True)
    if missing(peer):
        pytest.skip("mmengine-lite is not installed")
    text = f"optim_wrapper = dict(optimizer=dict(weight_decay=0.1), paramwise_cfg={config!r})\n"
    (tmp_path / "config.py").write_text(text, encoding="utf-8")
    (tmp_path / "rules.yaml").write_text(import_rules(tmp_path / "config.py", "mmengine").text, encoding="utf-8")
    rules = str(tmp_path / "rules.yaml")
    assert rulefile.validate(rules).weight_decay == 0.1
    for model in (MODELS[each]() for each in ("odd-tied", "hinting", "vit_tiny_patch16_224", "efficientnet_b0")):
        outcome = compare(rules, peer, model, classified(model))
        assert not outcome.crash
        assert {line.partition(":")[0] for line in outcome.differences} <= SAID.get(name, set())
