"""What torch.nn does not know: roles by the names of classes, modules and tensors, and by shapes that fit them."""

import pytest
import torch
from torch import nn

from decay_audit.model.parameters import Owner, Parameter
from decay_audit.roles import classify
from tests.roles.naming import classify_model, classify_tensor

BARE = [
    ("cls_token", (1, 1, 8), "token"),
    ("cls_token_1", (1, 1, 8), "token"),
    ("dist_token", (1, 1, 8), "token"),
    ("register_tokens", (1, 4, 8), "token"),
    ("mask_token", (8,), "token"),
    ("query_tokens", (1, 32, 8), "token"),
    ("query", (16, 8), "token"),
    ("latents", (64, 8), "token"),
    ("class_embedding", (8,), "token"),
    ("masked_spec_embed", (8,), "token"),
    ("image_newline", (8,), "token"),
    ("sinks", (8,), "token"),
    ("pos_embed", (1, 5, 8), "position_embedding"),
    ("pos_embed_win", (1, 8, 4, 4), "position_embedding"),
    ("positional_embedding", (5, 8), "position_embedding"),
    ("posEmbedding", (5, 8), "position_embedding"),
    ("temporal_embedding", (1, 4, 8), "position_embedding"),
    ("freqs", (2, 4, 8), "position_embedding"),
    ("relative_position_bias_table", (169, 3), "relative_position_bias"),
    ("rel_pos_h", (27, 64), "relative_position_bias"),
    ("height_rel", (27, 16), "relative_position_bias"),
    ("attention_biases", (4, 49), "relative_position_bias"),
    ("gamma", (8,), "layer_scale"),
    ("gamma_1", (8,), "layer_scale"),
    ("lambda1", (8,), "layer_scale"),
    ("layer_scale_parameter", (8, 1, 1), "layer_scale"),
    ("logit_scale", (), "scale"),
    ("temperature", (4, 1, 1), "scale"),
    ("gain", (8, 1, 1, 1), "scale"),
    ("skipinit_gain", (), "scale"),
    ("pos_emb_alpha", (1,), "scale"),
    ("A_log", (16, 4), "state_space"),
    ("dt_bias", (16,), "state_space"),
    ("q_bias", (8,), "bias"),
    ("pos_bias_u", (2, 4), "bias"),
    ("logit_bias", (), "bias"),
    ("gate_up_proj_bias", (4, 16), "bias"),
    ("gate_up_proj", (4, 8, 16), "linear_weight"),
    ("w1", (4, 8, 16), "linear_weight"),
    ("text_projection", (8, 8), "linear_weight"),
    ("scale_shift_table", (6, 8), "bias"),
    ("lora_A", (4, 8), "adapter_weight"),
    ("vblora_logits_A", (4, 8, 16), "adapter_weight"),
    ("hra_u", (8, 4), "adapter_weight"),
    ("fourierft_spectrum", (10,), "adapter_weight"),
    ("mem_kv", (2, 4, 32, 8), "token"),
    ("null_k", (8,), "token"),
    ("slots_mu", (1, 1, 8), "token"),
    ("inducing_points", (1, 3, 8), "token"),
    ("pos_bias", (4, 49), "relative_position_bias"),
    ("layer_norm_weight", (8,), "norm_weight"),
    ("layer_norm_bias", (8,), "norm_bias"),
    ("affine_weight", (8,), "norm_weight"),
    ("att_gamma", (1,), "scale"),
    ("time_maa_k", (1, 1, 8), "state_space"),
    ("time_maa_w1", (8, 4), "linear_weight"),
    ("log_std", (4,), "scale"),
]


@pytest.mark.parametrize(("name", "shape", "role"), BARE)
@pytest.mark.parametrize("types", [("lab.Block",), ()], ids=["module", "checkpoint"])
def test_a_bare_tensor_is_what_its_name_says(
    name: str, shape: tuple[int, ...], role: str, types: tuple[str, ...]
) -> None:
    classified = classify_tensor(f"blocks.3.{name}", shape, *types)
    assert classified.role == role
    assert classified.confidence == "likely"


@pytest.mark.parametrize(
    ("name", "shape", "role"),
    [
        ("prompt_embeddings", (1, 10, 8), "embedding"),  # or a token: it may be joined to data
        ("seg_embed", (2, 8), "embedding"),
        ("beta", (8,), "scale"),  # or a shift
        ("closure_weight", (8,), "scale"),  # or a matrix that is stored flat
        ("coeffs", (8,), "scale"),
        ("centers", (4, 8), "embedding"),  # or offsets of basis functions
    ],
)
@pytest.mark.parametrize("types", [("lab.Block",), ()], ids=["module", "checkpoint"])
def test_a_name_that_also_has_another_meaning_is_a_guess(
    name: str, shape: tuple[int, ...], role: str, types: tuple[str, ...]
) -> None:
    classified = classify_tensor(f"blocks.3.{name}", shape, *types)
    assert (classified.role, classified.confidence) == (role, "guess")
    assert classify_tensor("blocks.3.codebook", (4, 8), *types).confidence == "likely"


def test_a_vector_is_no_matrix_whatever_it_is_called() -> None:
    assert classify_tensor("a.w_resid", (8,), "lab.Block").role == "unclassified"
    assert classify_tensor("a.out_proj", (8,), "lab.Block").role == "unclassified"
    assert classify_tensor("a.w_resid", (8, 8), "lab.Block").role == "linear_weight"


def test_a_weight_and_a_bias_for_each_entry_are_a_table_and_a_bias_and_no_affine() -> None:
    for types in (("lab.LinearEmbeddings",), ()):
        siblings = {"weight": (3, 8), "bias": (3, 8)}
        assert classify_tensor("num_embeddings.weight", (3, 8), *types, siblings=siblings).role == "embedding"
        assert classify_tensor("num_embeddings.bias", (3, 8), *types, siblings=siblings).role == "bias"
    assert classify_tensor("cls.weight", (8,), "lab.CLSEmbedding").role == "token"


def test_gains_on_the_branches_of_a_block_are_no_norm() -> None:
    siblings = {"beta": (1, 8, 1, 1), "gamma": (1, 8, 1, 1)}
    assert classify_tensor("a.gamma", (1, 8, 1, 1), "lab.GatedBlock", siblings=siblings).role == "layer_scale"
    assert classify_tensor("a.gamma", (1, 8, 1, 1), "lab.Rescale", siblings=siblings).role == "norm_weight"


NORMS = [
    ("RMSNorm", {"weight": (8,)}, "rms_norm"),
    ("T5LayerNorm", {"weight": (8,)}, "layer_norm"),
    ("LayerNorm2d", {"weight": (8,), "bias": (8,)}, "layer_norm"),
    ("GlobalResponseNorm", {"weight": (1, 1, 1, 8), "bias": (1, 1, 1, 8)}, "other_norm"),
    ("GRN", {"gamma": (1, 1, 1, 8), "beta": (1, 1, 1, 8)}, "other_norm"),
    ("ScaleNorm", {"g": (1,)}, "other_norm"),
    ("LayerNorm", {"a_2": (8,), "b_2": (8,)}, "layer_norm"),
    ("ImageNorm", {"weight": (3, 8, 8), "bias": (3, 8, 8)}, "other_norm"),
    ("Affine", {"alpha": (1, 1, 8), "beta": (1, 1, 8)}, "other_norm"),
    ("DynamicTanh", {"alpha": (1,), "weight": (8,), "bias": (8,)}, "other_norm"),
    ("FancyStatistics", {"weight": (8,), "bias": (8,), "running_mean": (8,), "running_var": (8,)}, "batch_norm"),
]


@pytest.mark.parametrize(("name", "tensors", "layer"), NORMS, ids=[name for name, _, _ in NORMS])
def test_a_norm_needs_no_base_class(name: str, tensors: dict[str, tuple[int, ...]], layer: str) -> None:
    affine = {
        leaf: shape for leaf, shape in tensors.items() if "running" not in leaf and (leaf, shape) != ("alpha", (1,))
    }
    for leaf, shape in affine.items():
        classified = classify_tensor(f"blocks.0.n.{leaf}", shape, f"lab.{name}", siblings=tensors)
        shift = leaf in {"bias", "beta", "b_2"}
        assert (classified.role, classified.layer) == ("norm_bias" if shift else "norm_weight", layer)


@pytest.mark.parametrize(
    "name", ["NormedLinear", "LayerNormMLP", "NormEMAVectorQuantizer", "SpectralNormConv", "NormHead"]
)
def test_a_matrix_is_no_gain_whatever_its_class_is_called(name: str) -> None:
    assert classify_tensor("a.weight", (16, 8), f"lab.{name}", siblings={"bias": (16,)}).role == "linear_weight"
    assert classify_tensor("a.bias", (16,), f"lab.{name}", siblings={"weight": (16, 8)}).role == "bias"


def test_words_inside_other_words_mislead_nobody() -> None:
    """`ln`, `bn`, `bias`, `norm`, `gamma` and `rope` inside names that mean something else."""
    for name in ("ln1.linear", "subnet", "rel_bias_mlp.0", "bias_proj", "normal_head", "xlnet.multihead", "european"):
        for types in (("torch.nn.Linear",), ()):
            classified = classify_tensor(f"{name}.weight", (8, 8), *types, siblings={"bias": (8,)})
            assert classified.role == "linear_weight", name
    assert classify_tensor("a.weight", (4, 8), "lab.EuropeanRouter").role == "linear_weight"


def test_a_norm_bias_is_never_called_a_linear_bias() -> None:
    assert classify_tensor("a.bias", (8,), siblings={"weight": (8,)}).role == "norm_bias"
    assert classify_tensor("a.bias", (8,), siblings={"weight": (8, 8)}).role == "bias"
    assert classify_tensor("norm.bias", (8,), siblings={"weight": (8, 8)}).role == "bias"


def test_what_nothing_explains_is_unclassified_and_never_guessed() -> None:
    for types in (("lab.Thing",), ()):
        classified = classify_tensor("thing.stuff", (8, 8), *types)
        assert (classified.role, classified.layer, classified.evidence) == ("unclassified", "other", ())


def test_the_name_of_a_table_tells_positions_from_words() -> None:
    types = ("torch.nn.Embedding",)
    assert classify_tensor("embeddings.word_embeddings.weight", (99, 8), *types).role == "embedding"
    assert classify_tensor("wpe.weight", (99, 8), *types).role == "position_embedding"
    assert classify_tensor("embed_positions.weight", (99, 8), *types).role == "position_embedding"
    assert classify_tensor("attn.relative_attention_bias.weight", (32, 8), *types).role == "relative_position_bias"
    assert classify_tensor("decoder.presence_token.weight", (1, 8), *types).role == "token"
    assert classify_tensor("mask_decoder.mask_tokens.weight", (4, 8), *types).role == "token"
    assert classify_tensor("mask_decoder.obj_score_token.weight", (1, 8), *types).role == "token"
    assert classify_tensor("decoder.reference_points.weight", (20, 4), *types).role == "token"
    assert classify_tensor("reference_point_embed.weight", (20, 4), *types).role == "token"
    assert classify_tensor("embed_tokens.weight", (99, 8), *types).role == "embedding"
    assert classify_tensor("lm_embed_tokens.weight", (99, 8), *types).role == "embedding"
    assert classify_tensor("encoder.rel_embeddings.weight", (99, 8), *types).role == "relative_position_bias"
    assert classify_tensor("rel_emb.weight", (99, 8), *types).role == "embedding"  # relations of a knowledge graph
    assert classify_tensor("token_type_embeddings.weight", (2, 8), *types).role == "embedding"


def test_a_name_refines_what_a_class_proves_and_never_contradicts_it() -> None:
    classified = classify_tensor("pos_embed.weight", (8, 8), "torch.nn.Linear")
    assert (classified.role, classified.confidence) == ("linear_weight", "certain")
    assert [item.role for item in classified.evidence] == ["linear_weight", "position_embedding"]


def test_adapters_are_named_however_deep_their_matrices_lie() -> None:
    lora = "base.layers.0.self_attn.q_proj.lora_A.default"
    assert classify_tensor(f"{lora}.weight", (4, 8), "torch.nn.Linear").role == "adapter_weight"
    assert classify_tensor(f"{lora}.weight", (4, 8)).role == "adapter_weight"
    assert classify_tensor("x.lora_embedding_A.default", (4, 8), "torch.nn.ParameterDict").role == "adapter_weight"
    assert (
        classify_tensor("x.lora_magnitude_vector.default.weight", (8,), "peft.DoraLinearLayer").role == "adapter_weight"
    )


def test_a_wrapped_layer_keeps_the_name_that_the_wrapper_took() -> None:
    assert classify_tensor("self_attn.q_proj.base_layer.weight", (8, 8), "torch.nn.Linear").layer == "attention"
    assert classify_tensor("model.embed_tokens.base_layer.weight", (99, 8)).role == "embedding"


def test_a_bias_has_the_layer_of_the_weight_beside_it() -> None:
    for shape, layer in (((8, 4), "linear"), ((8, 4, 3), "conv"), ((8, 1, 3, 3), "depthwise_conv")):
        assert classify_tensor("a.bias", (8,), siblings={"weight": shape}).layer == layer
    assert classify_tensor("experts.bias", (4, 8), siblings={"weight": (4, 8, 16)}).layer == "linear"


def test_a_transposed_linear_layer_is_linear() -> None:
    classified = classify_tensor(
        "h.0.mlp.c_fc.weight", (8, 32), "transformers.pytorch_utils.Conv1D", siblings={"bias": (32,)}
    )
    assert (classified.role, classified.layer) == ("linear_weight", "linear")


def test_names_tell_attention_projections_from_the_feed_forward_part() -> None:
    types = ("torch.nn.Linear",)
    for name in (
        "attn.qkv",
        "attn.proj",
        "self_attn.q_proj",
        "attention.output.dense",
        "attn.to_out.0",
        "h.0.attn.c_proj",
    ):
        assert classify_tensor(f"blocks.0.{name}.weight", (8, 8), *types).layer == "attention", name
    for name in ("mlp.fc1", "attn_block.mlp.c_proj", "head", "mlp.out", "experts.0.w1"):
        assert classify_tensor(f"blocks.0.{name}.weight", (8, 8), *types).layer == "linear", name


def test_an_attention_class_is_enough_where_names_are_silent() -> None:
    inside = Owner(name="blocks", types=("lab.Block",), parent=Owner())
    attention = Owner(name="blocks.a", types=("lab.CrossAttention",), parent=inside)
    owner = Owner(name="blocks.a.proj", types=("torch.nn.Linear",), parent=attention, tensors={"weight": (8, 8)})
    parameter = Parameter(name="blocks.a.proj.weight", raw_name="", shape=(8, 8), dtype="float32", owner=owner)
    assert classify([parameter])[0].layer == "attention"


def test_members_of_a_parameter_list_take_its_name() -> None:
    model = nn.Module()
    model.prompts = nn.ParameterList([nn.Parameter(nn.Linear(8, 4).weight.detach()) for _ in range(2)])
    model.rel_pos = nn.ParameterDict({"time": nn.Parameter(nn.Linear(8, 4).weight.detach())})
    assert {name: item.role for name, item in classify_model(model).items()} == {
        "prompts.0": "token",
        "prompts.1": "token",
        "rel_pos.time": "relative_position_bias",
    }


def test_a_list_of_tensors_belongs_to_the_module_that_holds_it() -> None:
    class PositionEmbeddings(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights = nn.ParameterList([nn.Parameter(torch.zeros(64, 1, 8)), nn.Parameter(torch.zeros(1, 64, 8))])

    class Norm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.ParameterList([nn.Parameter(torch.ones(8))])

    model = nn.Module()
    model.position_embeddings, model.norm = PositionEmbeddings(), Norm()
    classified = classify_model(model)
    assert {name: (item.role, item.confidence) for name, item in classified.items()} == {
        "position_embeddings.weights.0": ("position_embedding", "likely"),
        "position_embeddings.weights.1": ("position_embedding", "likely"),
        "norm.weight.0": ("norm_weight", "likely"),
    }


def test_learned_curves_are_activations() -> None:
    assert classify_tensor("act.alpha", (1, 8, 1), "lab.Snake1d").role == "activation"
    assert classify_tensor("act.scale", (1,), "lab.StarReLU", siblings={"bias": (1,)}).role == "activation"
    assert classify_tensor("act.bias", (1,), "lab.StarReLU", siblings={"scale": (1,)}).role == "bias"
    assert classify_tensor("act.weight", (8,)).role == "activation"


def test_a_stack_of_experts_is_matrices_and_not_a_convolution() -> None:
    assert classify_tensor("mlp.experts.weight", (4, 8, 16)).role == "linear_weight"
    assert classify_tensor("mlp.input_linear.weight", (4, 8, 16), "lab.ParallelExperts").role == "linear_weight"
    assert classify_tensor("conv.weight", (4, 8, 3)).role == "conv_weight"


def test_what_a_prompt_learner_holds_is_prompt() -> None:
    assert classify_tensor("prompt_learner.ctx", (16, 8), "lab.Learner").role == "token"
    assert classify_tensor("prompts_generator.alpha", (8,), "lab.PromptGenerator").role == "scale"
    assert classify_tensor("prompts_generator.out_proj", (8, 8), "lab.PromptGenerator").role == "linear_weight"
    assert classify_tensor("prompt_encoder.proj.weight", (16, 8), "torch.nn.Linear").role == "linear_weight"


def test_a_lone_number_is_guessed_to_scale_something() -> None:
    assert (classify_tensor("a.up", (1,)).role, classify_tensor("a.up", (1,)).confidence) == ("scale", "guess")


def test_one_letter_tensors_need_company_to_be_of_a_state_space() -> None:
    assert classify_tensor("mixer.D", (8,), siblings={"A_log": (8, 4)}).role == "state_space"
    assert classify_tensor("mixer.D", (8,)).role == "unclassified"


@pytest.mark.parametrize("name", ["WeightNorm", "SpectralNorm", "WeightStandardization"])
def test_a_class_that_normalizes_a_matrix_is_no_norm_of_data(name: str) -> None:
    found = classify_tensor("head.scale", (8,), f"lab.{name}", siblings={"v": (8, 4)})
    assert found.role == "scale"


def test_a_short_pair_of_names_is_only_a_guess_at_a_norm_without_a_class() -> None:
    pair = {"a": (8, 1), "b": (8, 1)}
    assert classify_tensor("stage.a", (8, 1), siblings=pair).confidence == "guess"
    assert classify_tensor("norm.a", (8, 1), siblings=pair).role == "norm_weight"
    assert classify_tensor("act.a", (8, 1), "lab.PReLU", siblings=pair).role == "activation"


def test_a_gate_is_a_scale_though_its_class_is_named_after_an_activation() -> None:
    assert classify_tensor("block.gate", (1,), "lab.TanhGate").role == "scale"
    assert classify_tensor("block.alpha", (1,), "lab.DynamicTanh").role == "activation"
