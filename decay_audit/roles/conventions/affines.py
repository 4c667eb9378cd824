"""Names of the gain and of the shift of a norm."""

from decay_audit.roles.conventions.convention import Convention, vocabulary

NORM_GAIN = vocabulary(
    Convention(
        words=("^weight$", "^scale$"),
        source="transformers.models.llama.modeling_llama.LlamaRMSNorm; gpt_oss.torch.model.RMSNorm",
        matches=("weight", "scale"),
        near_misses=("weight_proj",),
    ),
    Convention(
        words=("^gamma$",),
        source="ConvNeXt V2 (Woo et al., 2023): GRN",
        matches=("gamma",),
        near_misses=("gamma_q",),
    ),
    Convention(
        words=("^g$",),
        source="x_transformers.x_transformers.ScaleNorm",
        matches=("g",),
        near_misses=("gg",),
    ),
    Convention(
        words=("^a$",),
        source="The Annotated Transformer: LayerNorm",
        matches=("a_2",),
        near_misses=("b_2",),
    ),
    Convention(
        words=("^v$",),
        source="timm.layers.evo_norm.EvoNorm2dB0",
        matches=("v",),
        near_misses=("v_proj",),
    ),
    Convention(
        words=("^alpha$",),
        source="timm.models.mlp_mixer.Affine",
        matches=("alpha",),
        near_misses=("alphas",),
    ),
)
"""Names of the gain."""

NORM_SHIFT = vocabulary(
    Convention(
        words=("^bias$",),
        source="torch.nn.LayerNorm",
        matches=("bias",),
        near_misses=("weight",),
    ),
    Convention(
        words=("^beta$",),
        source="timm.models.mlp_mixer.Affine",
        matches=("beta",),
        near_misses=("betas",),
    ),
    Convention(
        words=("^shift$",),
        source="transformers.models.ibert.quant_modules.IntLayerNorm",
        matches=("shift",),
        near_misses=("shifted",),
    ),
    Convention(
        words=("^b$",),
        source="The Annotated Transformer: LayerNorm",
        matches=("b_2",),
        near_misses=("a_2",),
    ),
)
"""Names of the shift."""

GAIN_AND_SHIFT = frozenset({frozenset({"gamma", "beta"}), frozenset({"g", "b"}), frozenset({"a", "b"})})
"""Pairs of names: two tensors of one module with such names and one shape scale and shift its data."""
