"""Each preset equals the codebase that it is named after, on every model, parameter by parameter."""

import os

import pytest

from decay_audit import rulesets
from tests.parity.compare import classified, compare
from tests.parity.models import MODELS, sample
from tests.parity.peers import HOUSE, PEERS, missing

ALL = {**MODELS, **dict(sample())}


def test_every_preset_is_compared_with_its_source() -> None:
    assert set(rulesets.presets()) == {*PEERS, *HOUSE}


def test_the_codebases_that_can_be_called_are_installed() -> None:
    lacking = sorted({peer.needs for peer in PEERS.values() if missing(peer)})
    if lacking and not os.environ.get("DECAY_AUDIT_PARITY"):
        pytest.skip(f"not installed, so not compared with: {', '.join(lacking)}")
    assert not lacking


@pytest.mark.parametrize("name", ALL)
def test_presets_equal_their_sources_on(name: str) -> None:
    model = ALL[name]()
    parameters = classified(model)
    outcomes = {preset: compare(preset, peer, model, parameters) for preset, peer in PEERS.items() if not missing(peer)}
    assert not {preset: outcome.differences for preset, outcome in outcomes.items() if outcome.differences}
    assert {preset for preset, outcome in outcomes.items() if outcome.crash} <= FAIL_THEMSELVES


FAIL_THEMSELVES = {"beit", "convnext", "dinov2", "flash-attention", "mae", "mingpt"}
"""Codebases that raise on some of the models: no list of blocks, a Linear in a norm, tied weights."""


def test_a_difference_is_seen() -> None:
    model = MODELS["odd-tied"]()
    outcome = compare("no-bias", PEERS["timm"], model, classified(model))
    assert any(line.startswith("norm1.weight: ") for line in outcome.differences)


def test_learning_rates_are_compared() -> None:
    model = MODELS["vit_tiny_patch16_224"]()
    outcome = compare("beit", PEERS["mae"], model, classified(model))
    assert any(line.startswith("blocks.0.attn.qkv.weight: ") for line in outcome.differences)


def test_the_layers_that_a_model_declares_are_compared() -> None:
    model = MODELS["vit_tiny_patch16_224"]()
    outcome = compare("timm", PEERS["timm-layer-decay"], model, classified(model))
    assert any(line.startswith("blocks.0.attn.qkv.weight: ") for line in outcome.differences)
