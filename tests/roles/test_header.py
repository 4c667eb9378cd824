"""Checkpoints: the roles by names, shapes and siblings, compared with those by the classes of the same model."""

import warnings
from collections.abc import Callable
from functools import partial
from typing import cast

import pytest
import timm
import torch
import torchvision.models
from torch import nn
from transformers import AutoConfig, AutoModel

from decay_audit.roles import classify
from tests.roles.naming import FAMILY, as_header, classify_model, classify_tensor

TIMM = (
    "resnet18", "efficientnet_b0", "convnextv2_atto", "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224",
    "beit_base_patch16_224", "levit_128s", "xcit_nano_12_p8_224", "eca_nfnet_l0", "maxvit_pico_rw_256",
    "resmlp_12_224", "caformer_s18", "eva02_tiny_patch14_224", "fastvit_t8", "sequencer2d_s", "hgnetv2_b0",
    "regnetz_b16_evos", "botnet26t_256", "crossvit_9_240", "efficientvim_m1",
)  # fmt: skip
TORCHVISION = ("mobilenet_v3_small", "densenet121", "swin_v2_t", "maxvit_t", "vit_b_16", "raft_small")
TRANSFORMERS = ("bert", "gpt2", "llama", "t5", "mamba2", "wav2vec2", "clip", "mixtral", "deberta-v2", "xlnet", "rwkv")


def _timm(kind: str) -> nn.Module:
    return timm.create_model(kind)


def _torchvision(kind: str) -> nn.Module:
    model: nn.Module = torchvision.models.get_model(kind, weights=None)
    return model


def _transformers(kind: str) -> nn.Module:
    config = AutoConfig.for_model(kind)
    for part in (config, *(getattr(config, name, None) for name in ("text_config", "vision_config"))):
        for size in ("num_hidden_layers", "encoder_layers", "decoder_layers", "num_layers", "num_decoder_layers"):
            if isinstance(getattr(part, size, None), int):
                setattr(part, size, 2)
    return cast("nn.Module", AutoModel.from_config(config))  # type: ignore[no-untyped-call]


BUILDERS: dict[str, Callable[[], nn.Module]] = {
    **{name: partial(_timm, name) for name in TIMM},
    **{name: partial(_torchvision, name) for name in TORCHVISION},
    **{name: partial(_transformers, name) for name in TRANSFORMERS},
}


def _build(name: str) -> nn.Module:
    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")
        return BUILDERS[name]()


@pytest.mark.parametrize("name", BUILDERS)
def test_a_state_dict_alone_names_the_same_families_as_the_classes(name: str) -> None:
    model = _build(name)
    by_class = classify_model(model)
    by_header = {classified.parameter.name: classified for classified in classify(as_header(model))}
    assert by_header.keys() == by_class.keys()
    differing = {
        parameter: (by_class[parameter].role, classified.role)
        for parameter, classified in by_header.items()
        if FAMILY[classified.role] != FAMILY[by_class[parameter].role]
    }
    assert len(differing) <= 0.005 * len(by_class), differing
    assert "certain" not in {classified.confidence for classified in by_header.values()}
    assert "unclassified" not in {classified.role for classified in by_class.values()}


def test_running_statistics_beside_it_make_a_batch_norm() -> None:
    siblings = {"bias": (8,), "running_mean": (8,), "running_var": (8,), "num_batches_tracked": ()}
    classified = classify_tensor("features.1.weight", (8,), siblings=siblings)
    assert (classified.role, classified.layer, classified.confidence) == ("norm_weight", "batch_norm", "likely")
    assert classified.evidence[0].kind == "header"


def test_a_vector_with_a_bias_of_its_shape_is_a_layer_norm_unless_named() -> None:
    assert classify_tensor("blocks.0.2.weight", (8,), siblings={"bias": (8,)}).layer == "layer_norm"
    assert classify_tensor("blocks.0.gn1.weight", (8,), siblings={"bias": (8,)}).layer == "group_norm"
    assert classify_tensor("final_rms_norm.weight", (8,)).layer == "rms_norm"


def test_a_vector_that_stands_alone_is_only_a_guess() -> None:
    assert classify_tensor("blocks.0.2.g", (8,)).confidence == "guess"
    assert classify_tensor("blocks.0.2.weight", (1,)).confidence == "guess"


def test_a_table_without_a_bias_is_an_embedding_where_it_is_called_so() -> None:
    assert classify_tensor("model.embed_tokens.weight", (99, 8)).role == "embedding"
    assert classify_tensor("shared.weight", (99, 8)).role == "embedding"
    assert classify_tensor("patch_embed.proj.weight", (8, 8)).role == "linear_weight"
    assert classify_tensor("time_embed.0.weight", (8, 8), siblings={"bias": (8,)}).role == "linear_weight"
    assert classify_tensor("lm_head.weight", (99, 8)).role == "linear_weight"


def test_recurrent_and_attention_tensors_carry_their_names() -> None:
    assert classify_tensor("rnn.weight_ih_l0_reverse", (32, 8)).layer == "recurrent"
    assert classify_tensor("rnn.bias_hh_l1", (32,)).role == "bias"
    assert classify_tensor("self_attn.in_proj_weight", (24, 8)).layer == "attention"
    assert classify_tensor("self_attn.in_proj_bias", (24,)).role == "bias"


def test_weight_norm_is_seen_in_a_checkpoint() -> None:
    split = {"weight_g": (8, 1, 1), "weight_v": (8, 4, 3)}
    assert classify_tensor("conv.weight_g", (8, 1, 1), siblings=split).role == "scale"
    assert classify_tensor("conv.weight_v", (8, 4, 3), siblings=split).role == "conv_weight"
    originals = {"original0": (8, 1, 1), "original1": (8, 4, 3)}
    assert classify_tensor("conv.parametrizations.weight.original0", (8, 1, 1), siblings=originals).role == "scale"
    assert (
        classify_tensor("conv.parametrizations.weight.original1", (8, 4, 3), siblings=originals).role == "conv_weight"
    )


def test_one_input_channel_for_each_output_is_likely_of_depth() -> None:
    classified = classify_tensor("conv_dw.weight", (32, 1, 3, 3))
    assert (classified.layer, classified.confidence) == ("depthwise_conv", "likely")


def test_the_name_of_a_table_tells_tokens_from_words() -> None:
    for name in ("query_embed", "query_refpoint_embeddings", "prompt_encoder.no_mask_embed", "queries_embedder"):
        assert (
            classify_tensor(f"{name}.weight", (9, 8)).role,
            classify_tensor(f"{name}.weight", (9, 8)).confidence,
        ) == ("token", "likely")
    assert classify_tensor("audio_tower.audio_bos_eos_token.weight", (2, 8)).role == "token"


def test_a_lone_gamma_or_g_deep_in_lists_is_only_guessed_at() -> None:
    classified = {
        name: classify_tensor(name, (8,)) for name in ("layers.0.1.gamma", "blocks.3.ls1.gamma", "layers.0.1.g")
    }
    assert {name: (item.role, item.confidence) for name, item in classified.items()} == {
        "layers.0.1.gamma": ("layer_scale", "guess"),
        "blocks.3.ls1.gamma": ("layer_scale", "likely"),
        "layers.0.1.g": ("norm_weight", "guess"),
    }


def test_a_dictionary_of_embeddings_holds_embeddings_and_a_mapper_of_embeddings_does_not() -> None:
    assert classify_tensor("embedding_dict.genre.weight", (99, 8)).role == "embedding"
    assert classify_tensor("cond_embeds_mapper.weight", (99, 8)).role == "linear_weight"
