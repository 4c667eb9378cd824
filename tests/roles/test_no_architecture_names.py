"""The classifier knows conventions, and no architecture by name."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import timm
from torchvision import models
from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

import decay_audit.roles

EVIDENCE = {"source", "matches", "near_misses"}
ROLES = Path(decay_audit.roles.__file__).parent
# First words of architectures that are ordinary words of the field: `data2vec`, `lambda_resnet`, `step3`.
GENERAL = frozenset(
    {"audio", "data", "depth", "embedding", "encoder", "lambda", "mask", "prompt", "quantized", "recurrent", "table"}
    | {"step", "time", "video"}
)


def architectures() -> set[str]:
    """The first words of every architecture's name: `swinv2` of `swinv2_tiny_window8_256`; of four letters or more."""
    listed = (*timm.list_models(), *models.list_models(), *MODEL_MAPPING_NAMES)
    words = {re.split(r"[_-]", name)[0].lower() for name in listed}
    bare = {re.sub(r"(v?\d+[a-z]{0,2}|\d.*)$", "", word) for word in words}
    return {word for word in words | bare if len(word) >= 4} - GENERAL


def strings() -> Iterator[tuple[str, str]]:
    """Every string of the classifier's code that decides: no docstrings, and not the evidence of conventions."""
    for path in sorted(ROLES.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        fields = [node for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg in EVIDENCE]
        evidence = {id(node) for field in fields for node in ast.walk(field)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings | evidence:
                yield path.name, node.value


def names_in(text: str, names: set[str]) -> set[str]:
    return {word for word in re.findall(r"[a-z]{4,}\d*", text.lower()) if word in names}


def test_no_architecture_is_a_pattern_of_the_classifier() -> None:
    names = architectures()
    used = {(file, word) for file, text in strings() for word in names_in(text, names)}
    assert used == set()


def test_the_search_would_find_one() -> None:
    names = architectures()
    assert {"convnext", "swin", "llama", "resnet"} <= names
    assert names_in(r"(^|_)(llama|convnext)_norm$", names) == {"llama", "convnext"}
    assert any("norm" in text for _, text in strings())
