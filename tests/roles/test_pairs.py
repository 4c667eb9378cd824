"""Two halves of one thing: what one tensor is called tells what its partner is."""

from collections.abc import Mapping

import pytest

from tests.roles.naming import classify_tensor

TYPES = pytest.mark.parametrize("types", [("lab.Layer",), ()], ids=["module", "checkpoint"])
Shapes = Mapping[str, tuple[int, ...]]


def roles(tensors: Shapes, *types: str) -> dict[str, str]:
    return {
        name: classify_tensor(f"blocks.3.x.{name}", shape, *types, siblings=tensors).role
        for name, shape in tensors.items()
    }


WEIGHTS_AND_BIASES: list[Shapes] = [
    {"attention_W": (9, 4), "attention_b": (4,)},
    {"wt": (9, 4), "bt": (4,)},
    {"W": (9, 4), "b": (4,)},
    {"up": (3, 9, 4), "up_b": (3, 4)},
    {"w1": (3, 9, 4), "b1": (3, 1, 4)},
    {"weight_q": (9, 4), "bias_q": (4,)},
]


@TYPES
@pytest.mark.parametrize("tensors", WEIGHTS_AND_BIASES, ids="-".join)
def test_the_vector_beside_a_matrix_of_the_same_name_is_its_bias(tensors: Shapes, types: tuple[str, ...]) -> None:
    assert list(roles(tensors, *types).values()) == ["linear_weight", "bias"]


@TYPES
def test_other_sizes_and_other_names_are_no_pair(types: tuple[str, ...]) -> None:
    assert roles({"wt": (9, 4), "bt": (5,)}, *types)["bt"] == "unclassified"
    assert roles({"wt": (9, 4), "bu": (4,)}, *types)["bu"] == "unclassified"
    assert roles({"up": (3, 9, 4), "up_b": (9, 4, 5)}, *types)["up"] == "unclassified"
    assert roles({"em": (9, 4), "emb": (4,)}, *types)["emb"] == "unclassified"


NORMS: list[tuple[str, Shapes]] = [
    ("ActNorm", {"log_scale": (8,), "shift": (8,)}),
    ("BatchNorm", {"unconstrained_weight": (8,), "bias": (8,)}),
    ("LayerNorm", {"weight": (8,), "offset": (8,)}),
    ("ComplexBatchNorm", {"weight": (2, 2, 8), "bias": (2, 8)}),
    ("GroupNorm", {"g_": (1, 8, 1), "beta": (1, 8, 1)}),
]


@pytest.mark.parametrize(("name", "tensors"), NORMS, ids=[name for name, _ in NORMS])
def test_in_a_norm_one_tensor_that_is_known_makes_its_partner_the_other_half(name: str, tensors: Shapes) -> None:
    assert list(roles(tensors, f"lab.{name}").values()) == ["norm_weight", "norm_bias"]


def test_a_class_that_is_no_norm_makes_no_halves() -> None:
    assert roles({"log_scale": (8,), "offset": (8,)}, "lab.Coupling")["offset"] == "unclassified"
    assert roles({"weight": (2, 2, 8), "bias": (2, 8)}, "lab.Experts") == {"weight": "linear_weight", "bias": "bias"}
    three = {"weight": (8,), "bias": (8,), "momentum": (8,)}
    assert roles(three, "lab.SomeNorm")["momentum"] == "unclassified"


def test_the_shift_of_a_norm_whose_gain_mixes_channels() -> None:
    tensors = {"beta": (8,), "gamma": (8, 8)}
    assert roles(tensors, "lab.GDN")["beta"] == "norm_bias"
    assert roles(tensors)["beta"] == "norm_bias"
    assert roles({"beta": (8,), "gamma": (8, 4)})["beta"] == "scale"


def test_a_norm_in_a_name_outranks_an_activation_in_it() -> None:
    assert classify_tensor("norm_act.weight", (8,)).role == "norm_weight"
    assert classify_tensor("a.scale", (8,), "lab.RMSNormReLU").role == "norm_weight"
    assert classify_tensor("act.weight", (8,)).role == "activation"
    assert classify_tensor("a.scale", (8,), "lab.ScaledReLU").role == "activation"


def test_the_matrix_that_mixes_the_channels_of_a_divisive_norm_is_its_gain() -> None:
    for types in (("compressai.layers.gdn.GDN",), ()):
        assert classify_tensor("g_a.1.gamma", (8, 8), *types, siblings={"beta": (8,)}).role == "norm_weight"
        assert classify_tensor("g_a.1.beta", (8,), *types, siblings={"gamma": (8, 8)}).role == "norm_bias"
        assert classify_tensor("g_a.1.gamma", (8, 4), *types, siblings={"beta": (8,)}).role != "norm_weight"


def test_scales_are_those_of_quantized_weights_only_beside_them() -> None:
    quantized = frozenset({"qweight"})
    beside = classify_tensor("fc.scales", (4, 8), siblings={"qweight": (8, 8)}, quantized=quantized)
    assert (beside.role, beside.confidence) == ("scale", "likely")
    assert classify_tensor("fc.scales", (4, 8)).role == "unclassified"
    assert classify_tensor("fc.scales", (8,)).role == "scale"


def test_a_single_number_beside_a_weight_of_one_number_is_its_bias() -> None:
    siblings = {"wf": (1,), "bf": (1,)}
    assert classify_tensor("neuron.bf", (1,), "lab.Neuron", siblings=siblings).role == "bias"
    assert classify_tensor("neuron.wf", (1,), "lab.Neuron", siblings=siblings).role == "scale"
    assert classify_tensor("neuron.bf", (1,), "lab.Neuron", siblings={"bf": (1,)}).role == "scale"
