"""Names of tensors: the last part of a parameter's name, or the name of the list that contains it."""

from decay_audit.roles.conventions.convention import Convention, NameMeaning, vocabulary
from decay_audit.roles.conventions.positions import POSITION, RELATIVE
from decay_audit.roles.conventions.tokens import TOKEN

QUANTIZED_LEAVES: tuple[NameMeaning, ...] = (
    NameMeaning(
        meaning="packed integers of a quantized weight, which no optimizer trains",
        role="linear_weight",
        layer="linear",
        names=vocabulary(
            Convention(
                words=("qweight$", "qzeros$", "g_idx$"),
                source="auto_gptq.nn_modules.qlinear (GPTQ; Frantar et al., 2022)",
                matches=("qweight", "qzeros", "g_idx"),
                near_misses=("weight", "g"),
            ),
            Convention(
                words=("weight_packed$", "zero_point$"),
                source="compressed_tensors pack-quantized checkpoints",
                matches=("weight_packed", "weight_zero_point"),
                near_misses=("weight_shape",),
            ),
        ),
    ),
    NameMeaning(
        meaning="scales of a quantized weight",
        role="scale",
        names=vocabulary(
            Convention(
                words=("scb$", "absmax$"),
                source="bitsandbytes.nn.Linear8bitLt, bitsandbytes.functional.QuantState",
                matches=("SCB", "absmax"),
                near_misses=("maxabs_proj",),
            ),
            Convention(
                words=("scales$",),
                source="auto_gptq.nn_modules.qlinear",
                matches=("scales",),
                near_misses=("qzeros",),
            ),
            Convention(
                words=("weight_scale*",),
                source="compressed_tensors; transformers.integrations.finegrained_fp8.FP8Linear",
                matches=("weight_scale", "weight_scale_inv"),
                near_misses=("weight",),
            ),
            Convention(
                words=("input_scale$", "output_scale$", "k_scale$", "v_scale$"),
                source="vllm.model_executor.layers.quantization (FP8 activations and key-value cache)",
                matches=("input_scale", "output_scale", "k_scale", "v_scale"),
                near_misses=("input_proj",),
            ),
        ),
    ),
)
"""This table is used only if a tensor of the module has a dtype of quantized weights."""

LEAVES: tuple[NameMeaning, ...] = (
    NameMeaning(
        meaning="of a state space",
        role="state_space",
        names=vocabulary(
            Convention(
                words=("^a_log$", "^dt_bias$"),
                source="mamba_ssm.modules.mamba2.Mamba2",
                matches=("A_log", "dt_bias"),
                near_misses=("proj_bias", "a_proj"),
            ),
            Convention(
                words=("^a_b_log$",),
                source="Vim: mamba_ssm.modules.mamba_simple with bimamba (Zhu et al., 2024)",
                matches=("A_b_log",),
                near_misses=("b_log_bias",),
            ),
            Convention(
                words=("^a_logs$", "^ds$"),
                source="VMamba: SS2D (Liu et al., 2024)",
                matches=("A_logs", "Ds"),
                near_misses=("dts_bias",),
            ),
            Convention(
                words=("^log_dt$", "^log_a_real$", "^a_imag$", "^inv_dt$", "^inv_a_real$"),
                source="state-spaces/s4: S4DKernel, SSMKernelDiag (Gu et al., 2022)",
                matches=("log_dt", "log_A_real", "A_imag", "inv_dt", "inv_A_real"),
                near_misses=("log_std", "inv_freq"),
            ),
            Convention(
                words=("^lambda_re$", "^lambda_im$"),
                source="S5 (Smith et al., 2023): S5SSM",
                matches=("Lambda_re", "Lambda_im"),
                near_misses=("lambda_1",),
            ),
            Convention(
                words=("^time_decay$", "^time_first$"),
                source="transformers.models.rwkv.modeling_rwkv.RwkvSelfAttention",
                matches=("time_decay", "time_first"),
                near_misses=("time_embeddings",),
            ),
            Convention(
                words=("^time_faaaa$", "^time_state$"),
                source="RWKV-LM: RWKV_Tmix_x060 and its state tuning (Peng et al., 2024)",
                matches=("time_faaaa", "time_state"),
                near_misses=("time_proj",),
            ),
            Convention(
                words=("^recurrent$",),
                source="transformers.models.recurrent_gemma.modeling_recurrent_gemma.RecurrentGemmaRglru",
                matches=("recurrent_param",),
                near_misses=("recurrent_gate_weight", "recurrent_gate_bias"),
            ),
        ),
    ),
    NameMeaning(
        meaning="of a state space",
        role="state_space",
        shape="vector",
        names=vocabulary(
            Convention(
                words=("^time_mix*",),
                source="transformers.models.rwkv.modeling_rwkv.RwkvSelfAttention",
                matches=("time_mix_key",),
                near_misses=("time_embedding",),
            ),
            Convention(
                words=("^time_maa*",),
                source="RWKV-LM: RWKV_Tmix_x060 (Peng et al., 2024)",
                matches=("time_maa_k",),
                near_misses=("time_proj",),
            ),
        ),
    ),
    NameMeaning(
        meaning="a gain of a norm",
        role="norm_weight",
        layer="other_norm",
        shape="vector",
        names=vocabulary(
            Convention(
                words=("layer_norm_weight$",),
                source="transformer_engine.pytorch.LayerNormLinear",
                matches=("layer_norm_weight",),
                near_misses=("layer_weight",),
            ),
            Convention(
                words=("affine_weight$",),
                source="RevIN (Kim et al., 2022): RevIN",
                matches=("affine_weight",),
                near_misses=("fine_weight",),
            ),
        ),
    ),
    NameMeaning(
        meaning="a shift of a norm",
        role="norm_bias",
        layer="other_norm",
        shape="vector",
        names=vocabulary(
            Convention(
                words=("layer_norm_bias$",),
                source="transformer_engine.pytorch.LayerNormLinear",
                matches=("layer_norm_bias",),
                near_misses=("layer_bias",),
            ),
            Convention(
                words=("affine_bias$",),
                source="RevIN (Kim et al., 2022): RevIN",
                matches=("affine_bias",),
                near_misses=("fine_bias",),
            ),
        ),
    ),
    NameMeaning(
        meaning="a gain",
        role="scale",
        shape="number",
        names=vocabulary(
            Convention(
                words=("alpha",),
                source="transformers.models.seamless_m4t_v2.modeling_seamless_m4t_v2.SeamlessM4Tv2TextToUnitDecoder",
                matches=("pos_emb_alpha", "pos_emb_alpha_char"),
                near_misses=("pos_emb",),
            ),
            Convention(
                words=("factor$",),
                source="transformers.models.vibevoice.modeling_vibevoice.VibeVoiceModel",
                matches=("latent_scaling_factor",),
                near_misses=("latent",),
            ),
            Convention(
                words=("gamma$",),
                source="CCNet (Huang et al., 2019): CrissCrossAttention; SAGAN (Zhang et al., 2019): Self_Attn",
                matches=("gamma",),
                near_misses=("gamma_proj_bias",),
            ),
        ),
    ),
    NameMeaning(
        meaning="a bias",
        role="bias",
        names=vocabulary(
            Convention(
                words=("pos_bias_u$", "pos_bias_v$"),
                source="transformers.models.fastspeech2_conformer; wenet RelPositionMultiHeadedAttention",
                matches=("pos_bias_u", "pos_bias_v"),
                near_misses=("pos_bias",),
            ),
        ),
    ),
    NameMeaning(
        meaning="a shift of a modulation",
        role="bias",
        names=vocabulary(
            Convention(
                words=("scale_shift_table$",),
                source="diffusers.models.attention.BasicTransformerBlock",
                matches=("scale_shift_table",),
                near_misses=("shift_table",),
            ),
            Convention(
                words=("^modulation$",),
                source="Wan (Wang et al., 2025): WanAttentionBlock",
                matches=("modulation",),
                near_misses=("demodulation",),
            ),
        ),
    ),
    RELATIVE,
    POSITION,
    TOKEN,
    NameMeaning(
        meaning="a gain on a residual branch",
        role="layer_scale",
        shape="vector",
        names=vocabulary(
            Convention(
                words=("gamma", "^ls$"),
                source="timm.models.beit.Block, timm.layers.layer_scale.LayerScale; timm.models.mlp_mixer.ResBlock",
                matches=("gamma", "gamma_1", "ls1"),
                near_misses=("gammas", "ls_proj"),
            ),
            Convention(
                words=("layer_scale",),
                source="torchvision.models.convnext.CNBlock; transformers.models.convnext.modeling_convnext",
                matches=("layer_scale", "layer_scale_parameter"),
                near_misses=("logit_scale",),
            ),
            Convention(
                words=("^lambda$",),
                source="transformers.models.beit.modeling_beit.BeitLayer",
                matches=("lambda_1",),
                near_misses=("lambda_q1",),
            ),
            Convention(
                words=("residual",),
                source="transformers.models.doge.modeling_doge.DogeDecoderLayer",
                matches=("input_residual",),
                near_misses=("residuals",),
            ),
        ),
    ),
)
"""Exact names of tensors; the first row that fits is taken."""
