"""What tensors are called: the last part of a parameter's name, or the name of the list that holds it."""

from decay_audit.roles.conventions.convention import Convention, Meaning, vocabulary

RELATIVE = Meaning(
    says="a table over relative positions",
    role="relative_position_bias",
    names=vocabulary(
        Convention(
            words=("relative_position_bias*", "relative_coords*"),
            source="torchvision.models.swin_transformer.ShiftedWindowAttentionV2; timm.layers.pos_embed_rel.RelPosBias",
            matches=("relative_position_bias_table", "relative_coords_table"),
            near_misses=("position_bias_mlp",),
        ),
        Convention(
            words=("relative_attention*",),
            source="transformers.models.t5.modeling_t5.T5Attention",
            matches=("relative_attention_bias",),
            near_misses=("attention_bias_proj",),
        ),
        Convention(
            words=("rel_pos*",),
            source="timm.models.mvitv2.MultiScaleAttention; transformers.models.wavlm.modeling_wavlm.WavLMAttention",
            matches=("rel_pos_h", "gru_rel_pos_const"),
            near_misses=("pos_embed", "real_pos"),
        ),
        Convention(
            words=("rel_embeddings",),
            source="transformers.models.deberta_v2.modeling_deberta_v2.DebertaV2Encoder",
            matches=("rel_embeddings",),
            near_misses=("rel_emb",),  # relations of a knowledge graph
        ),
        Convention(
            words=("height_rel$", "width_rel$"),
            source="timm.layers.bottleneck_attn.PosEmbedRel",
            matches=("height_rel", "width_rel"),
            near_misses=("height", "rel_width_proj"),
        ),
        Convention(
            words=("^emb_rel_k$", "^emb_rel_v$"),
            source="transformers.models.vits.modeling_vits.VitsAttention",
            matches=("emb_rel_k", "emb_rel_v"),
            near_misses=("emb_k",),
        ),
        Convention(
            words=("attention_biases$",),
            source="timm.models.levit.Attention",
            matches=("attention_biases",),
            near_misses=("attention_bias_u", "out_bias"),
        ),
        Convention(
            words=("^pos_bias$", "^position_bias$"),
            source="vit_pytorch.levit.Attention; transformers.models.deepseek_v4.modeling_deepseek_v4",
            matches=("pos_bias", "position_bias"),
            near_misses=("pos_bias_u",),
        ),
        Convention(
            words=("^distance_embedding$",),
            source="transformers.models.wav2vec2_bert.modeling_wav2vec2_bert.Wav2Vec2BertSelfAttention",
            matches=("distance_embedding",),
            near_misses=("instance_embedding",),
        ),
        Convention(
            words=("rpb$",),
            source="natten.NeighborhoodAttention2D (Hassani et al., 2023)",
            matches=("rpb",),
            near_misses=("rpb_proj",),
        ),
    ),
)
"""Read in the names of tensors and of modules."""

LEAVES: tuple[Meaning, ...] = (
    Meaning(
        says="packed integers of a quantized weight, which no optimizer trains",
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
    Meaning(
        says="scales of a quantized weight",
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
    Meaning(
        says="of a state space",
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
                words=("^time_faaaa$",),
                source="RWKV-LM: RWKV_Tmix_x060 (Peng et al., 2024)",
                matches=("time_faaaa",),
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
    Meaning(
        says="of a state space",
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
    Meaning(
        says="a gain of a norm",
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
    Meaning(
        says="a shift of a norm",
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
    Meaning(
        says="a gain",
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
    Meaning(
        says="a bias",
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
    Meaning(
        says="a shift of a modulation",
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
    Meaning(
        says="a table over positions",
        role="position_embedding",
        names=vocabulary(
            Convention(
                words=("pos",),
                source="timm.models.vision_transformer.VisionTransformer",
                matches=("pos_embed",),
                near_misses=("pose_embed", "proj"),
            ),
            Convention(
                words=("position",),
                source="transformers.models.vit.modeling_vit.ViTEmbeddings",
                matches=("position_embeddings",),
                near_misses=("composition_embeddings",),
            ),
            Convention(
                words=("positional",),
                source="open_clip.transformer.VisionTransformer",
                matches=("positional_embedding",),
                near_misses=("compositional_embedding",),
            ),
            Convention(
                words=("level_embed$",),
                source="transformers.models.deformable_detr.modeling_deformable_detr.DeformableDetrModel",
                matches=("level_embed",),
                near_misses=("label_embed",),
            ),
            Convention(
                words=("time_embeddings$",),
                source="transformers.models.timesformer.modeling_timesformer.TimesformerEmbeddings",
                matches=("time_embeddings",),
                near_misses=("times",),
            ),
            Convention(
                words=("spatial_embedding$", "temporal_embedding$"),
                source="transformers.models.sam2_video.modeling_sam2_video.Sam2VideoModel; LanguageBind video",
                matches=("occlusion_spatial_embedding_parameter", "temporal_embedding"),
                near_misses=("embedding",),
            ),
            Convention(
                words=("^freqs$", "^inv_freq$"),
                source="timm.layers.pos_embed_sincos.RotaryEmbeddingMixed; buffers of transformers' rotary embeddings",
                matches=("freqs", "inv_freq"),
                near_misses=("freq_emb",),
            ),
            Convention(
                words=("^pe$",),
                source="PyTorch's tutorial on nn.Transformer: PositionalEncoding",
                matches=("pe",),
                near_misses=("pe_proj",),
            ),
        ),
    ),
    Meaning(
        says="a learned token",
        role="token",
        names=vocabulary(
            Convention(
                words=("token$", "tokens$"),
                source="timm.models.vision_transformer.VisionTransformer; transformers.models.yolos.modeling_yolos",
                matches=("cls_token", "dist_token", "detection_tokens"),
                near_misses=("token_type_embeddings", "tokenizer_proj"),
            ),
            Convention(
                words=("prompt$", "prompts$"),
                source="transformers.models.tvp.modeling_tvp.TvpModel; L2P (Wang et al., 2022): Prompt",
                matches=("text_prompt", "prompts"),
                near_misses=("prompt_proj",),
            ),
            Convention(
                words=("latent$", "latents$"),
                source="timm.layers.attention_pool.AttentionPoolLatent; transformers.models.idefics2.modeling_idefics2",
                matches=("latent", "bos_latent", "latents"),
                near_misses=("latent_proj",),
            ),
            Convention(
                words=("query$", "queries$"),
                source="transformers.models.kosmos2.modeling_kosmos2; open_clip.transformer.AttentionalPooler",
                matches=("latent_query", "query", "queries"),
                near_misses=("query_proj",),
            ),
            Convention(
                words=("sinks$",),
                source="transformers.models.gpt_oss.modeling_gpt_oss.GptOssAttention",
                matches=("sinks",),
                near_misses=("sinks_proj",),
            ),
            Convention(
                words=("probe$",),
                source="transformers.models.siglip.modeling_siglip.SiglipMultiheadAttentionPoolingHead",
                matches=("probe",),
                near_misses=("probe_proj",),
            ),
            Convention(
                words=("pointer$",),
                source="transformers.models.sam2_video.modeling_sam2_video.Sam2VideoModel",
                matches=("no_object_pointer",),
                near_misses=("pointer_proj",),
            ),
            Convention(
                words=("newline$", "^image_begin$", "^image_end$", "^image_sep$"),
                source="transformers.models.llava_onevision; transformers.models.hunyuan_vl.modeling_hunyuan_vl",
                matches=("image_newline", "image_begin", "image_end", "image_sep"),
                near_misses=("image_proj",),
            ),
            Convention(
                words=("^view_separator$", "^view_seperator$"),
                source="transformers.models.unlimited_ocr.modeling_unlimited_ocr; DeepSeek-VL2 (spelled so there)",
                matches=("view_separator", "view_seperator"),
                near_misses=("review_proj",),
            ),
            Convention(
                words=("type_token", "segment_token"),
                source="transformers.models.seggpt.modeling_seggpt.SegGptEmbeddings",
                matches=("type_token_semantic", "segment_token_input"),
                near_misses=("token_type_embeddings",),
            ),
            Convention(
                words=("class_embedding$", "cls_emb$"),
                source="open_clip.transformer.VisionTransformer; transformers.models.videoprism.modeling_videoprism",
                matches=("class_embedding", "cls_emb"),
                near_misses=("class_proj",),
            ),
            Convention(
                words=("masked_spec_embed$", "mask_emb$"),
                source="transformers.models.wav2vec2.modeling_wav2vec2.Wav2Vec2Model; fairseq HubertModel",
                matches=("masked_spec_embed", "mask_emb"),
                near_misses=("spec_proj",),
            ),
            Convention(
                words=("^mem_kv$", "^null_k$", "^null_v$", "^null_kv$"),
                source="x_transformers.x_transformers.Attention; imagen_pytorch.imagen_pytorch.Attention",
                matches=("mem_kv", "null_k", "null_v", "null_kv"),
                near_misses=("nullary_k_proj", "kv_proj"),
            ),
            Convention(
                words=("^slots_mu$", "^slots_log_sigma$", "^slots_logsigma$"),
                source="Slot Attention (Locatello et al., 2020); slot_attention.SlotAttention",
                matches=("slots_mu", "slots_log_sigma", "slots_logsigma"),
                near_misses=("log_sigma",),
            ),
            Convention(
                words=("^inducing_points$",),
                source="Set Transformer (Lee et al., 2019): ISAB; gpytorch.variational",
                matches=("inducing_points",),
                near_misses=("points_proj",),
            ),
        ),
    ),
    Meaning(
        says="a gain on a residual branch",
        role="layer_scale",
        shape="vector",
        names=vocabulary(
            Convention(
                words=("gamma", "^ls$"),
                source="timm.models.beit.Block, timm.layers.LayerScale; timm.models.mlp_mixer.ResBlock",
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
"""Tensors with a name of their own; the first meaning that holds is taken."""

GENERAL_LEAVES: tuple[Meaning, ...] = (
    Meaning(
        says="a bias",
        role="bias",
        names=vocabulary(
            Convention(
                words=("bias$", "biases$"),
                source="timm.models.beit.Attention; transformers.models.zaya.modeling_zaya",
                matches=("bias", "q_bias", "gate_up_proj_bias", "balancing_biases"),
                near_misses=("unbiased",),
            ),
            Convention(
                words=("^bias_*",),
                source="torch.nn.MultiheadAttention",
                matches=("bias_k", "bias_v"),
                near_misses=("alibias",),
            ),
            Convention(
                words=("^b$", "^b_q$", "^b_k$", "^b_v$", "^b_o$", "^b_in$", "^b_out$"),
                source="transformer_lens.components.Attention, transformer_lens.components.MLP",
                matches=("b", "b_Q", "b_K", "b_V", "b_O", "b_in", "b_out"),
                near_misses=("b_log",),
            ),
        ),
    ),
    Meaning(
        says="a shift",
        role="bias",
        shape="vector",
        names=vocabulary(
            Convention(
                words=("^translate$",),
                source="transformers.models.vits.modeling_vits.VitsElementwiseAffine",
                matches=("translate",),
                near_misses=("translator",),
            ),
            Convention(
                words=("^shift$",),
                source="nflows.transforms.ActNorm",
                matches=("shift",),
                near_misses=("shifts_proj",),
            ),
            Convention(
                words=("base$",),
                source="transformers.models.deepseek_v4.modeling_deepseek_v4 (hyper-connections)",
                matches=("base",),
                near_misses=("baseline",),
            ),
        ),
    ),
    Meaning(
        says="a matrix",
        role="linear_weight",
        layer="linear",
        shape="matrix",
        names=vocabulary(
            Convention(
                words=("^w_*",),
                source="transformer_lens.components.Attention",
                matches=("W_Q", "W_in"),
                near_misses=("ww_q",),
            ),
            Convention(
                words=("proj$",),
                source="transformers.models.llama4.modeling_llama4.Llama4TextExperts; open_clip.transformer",
                matches=("gate_up_proj", "proj"),
                near_misses=("projector_table",),
            ),
            Convention(
                words=("kernel$",),
                source="transformers.models.funnel.modeling_funnel.FunnelRelMultiheadAttention",
                matches=("r_kernel",),
                near_misses=("kernels_table",),
            ),
            Convention(
                words=("projection$",),
                source="open_clip.model.CLIP",
                matches=("text_projection",),
                near_misses=("table",),
            ),
        ),
    ),
    Meaning(
        says="a matrix",
        role="linear_weight",
        layer="linear",
        names=vocabulary(
            Convention(
                words=("^att$", "^att_src$", "^att_dst$", "^att_edge$", "^att_l$", "^att_r$"),
                source="torch_geometric.nn.GATConv, torch_geometric.nn.GATv2Conv, torch_geometric.nn.SuperGATConv",
                matches=("att", "att_src", "att_dst", "att_edge", "att_l", "att_r"),
                near_misses=("att_gamma",),
            ),
        ),
    ),
    Meaning(
        says="a gain",
        role="scale",
        shape="vector",
        names=vocabulary(
            Convention(
                words=("scale", "scaling"),
                source="torchvision.models.detection.ssd.SSDFeatureExtractorVGG; transformers.models.timesfm2_5",
                matches=("scale_weight", "logit_scale", "scaling"),
                near_misses=("rescaler_table",),
            ),
            Convention(
                words=("gain",),
                source="timm.layers.std_conv.ScaledStdConv2d",
                matches=("gain", "skipinit_gain"),
                near_misses=("again",),
            ),
            Convention(
                words=("temperature", "temp"),
                source="timm.models.xcit.XCA; transformers.models.zaya.modeling_zaya.ZayaQKNorm",
                matches=("temperature", "temp"),
                near_misses=("temporal",),
            ),
            Convention(
                words=("gate", "gating"),
                source="transformers.models.muse_spark.modeling_muse_spark; timm.models.convit.GPSA",
                matches=("gate", "gating_param"),
                near_misses=("aggregate",),
            ),
            Convention(
                words=("alpha", "beta"),
                source="transformers.models.idefics.modeling_idefics; ACON (Ma et al., 2021): AconC",
                matches=("alpha_cross_attn", "beta"),
                near_misses=("alphabet",),
            ),
            Convention(
                words=("lambda", "lambdas"),
                source="transformers.models.diffllama.modeling_diffllama; transformers.models.neomme.modeling_neomme",
                matches=("lambda_q1", "lambdas"),
                near_misses=("lamb",),
            ),
            Convention(
                words=("slope",),
                source="transformers.models.minimax.modeling_minimax.MiniMaxLightningAttention",
                matches=("slope_rate",),
                near_misses=("slop",),
            ),
            Convention(
                words=("eps",),
                source="torch_geometric.nn.GINConv",
                matches=("eps",),
                near_misses=("steps",),
            ),
            Convention(
                words=("weight", "weights"),
                source="timm.models.efficientvim.EfficientVim; transformers.models.pp_doclayout_v4",
                matches=("closure_weight", "weights"),
                near_misses=("weighting",),
            ),
            Convention(
                words=("^w$",),
                source="spikingjelly.activation_based.neuron.ParametricLIFNode",
                matches=("w",),
                near_misses=("w_table",),
            ),
            Convention(
                words=("^log_*", "logstd$", "^logs$"),
                source="stable_baselines3.common.policies; cleanrl ppo_continuous_action; Glow-TTS ActNorm",
                matches=("log_std", "actor_logstd", "logs"),
                near_misses=("catalog", "logits"),
            ),
        ),
    ),
    Meaning(
        says="a gain",
        role="scale",
        names=vocabulary(
            Convention(
                words=("scale$",),
                source="transformers.models.inkling2.modeling_inkling2.Inkling2ScaledL2Clip",
                matches=("scale",),
                near_misses=("scaled_proj",),
            ),
            Convention(
                words=("alpha$",),
                source="timm.models.efficientvim.EfficientViMBlock",
                matches=("alpha",),
                near_misses=("alpha_proj",),
            ),
        ),
    ),
    Meaning(
        says="a learned state",
        role="token",
        names=vocabulary(
            Convention(
                words=("init$",),
                source="transformers.models.hrm_text.modeling_hrm_text.HrmTextModel",
                matches=("z_L_init",),
                near_misses=("unit",),
            ),
        ),
    ),
    Meaning(
        says="a learned vector",
        role="token",
        shape="vector",
        names=vocabulary(
            Convention(
                words=("embedding$", "embeds$"),
                source="transformers.models.t5gemma2.modeling_t5gemma2; transformers.models.nemotron3_diarization",
                matches=("eoi_embedding", "silence_embeds"),
                near_misses=("embedded",),
            ),
        ),
    ),
    Meaning(
        says="an embedding table",
        role="embedding",
        layer="embedding",
        names=vocabulary(
            Convention(
                words=("embed", "embeddings"),
                source="transformers.models.funnel.modeling_funnel; VPT (Jia et al., 2022): prompt_embeddings",
                matches=("seg_embed", "prompt_embeddings"),
                near_misses=("embedded",),
            ),
            Convention(
                words=("embedding",),
                source="transformers.models.t5gemma2.modeling_t5gemma2.T5Gemma2TextScaledWordEmbedding",
                matches=("word_embedding_table",),
                near_misses=("bedding",),
            ),
            Convention(
                words=("codevectors",),
                source="transformers.models.wav2vec2.modeling_wav2vec2.Wav2Vec2GumbelVectorQuantizer",
                matches=("codevectors",),
                near_misses=("vectors",),
            ),
            Convention(
                words=("codebook",),
                source="vector_quantize_pytorch",
                matches=("codebook",),
                near_misses=("notebook",),
            ),
            Convention(
                words=("centers", "centroids"),
                source="Center Loss (Wen et al., 2016): CenterLoss; NetVLAD (Arandjelovic et al., 2016)",
                matches=("centers", "centroids"),
                near_misses=("centered",),
            ),
        ),
    ),
    Meaning(
        says="a matrix",
        role="linear_weight",
        layer="linear",
        shape="matrix",
        names=vocabulary(
            Convention(
                words=("weight", "weights"),
                source="transformers.models.zamba.modeling_zamba.ZambaMambaMixer; s3prl Featurizer",
                matches=("x_proj_weight", "weights"),
                near_misses=("weighted",),
            ),
            Convention(
                words=("w",),
                source="megablocks.layers.mlp.MLP; RWKV-LM: time_maa_w1",
                matches=("w1", "time_maa_w1"),
                near_misses=("ww",),
            ),
            Convention(
                words=("fn$",),
                source="transformers.models.deepseek_v4.modeling_deepseek_v4 (hyper-connections)",
                matches=("fn",),
                near_misses=("fn_table",),
            ),
            Convention(
                words=("root$",),
                source="torch_geometric.nn.RGCNConv",
                matches=("root",),
                near_misses=("roots",),
            ),
            Convention(
                words=("^q$", "^k$", "^v$", "^o$", "^r$"),
                source="transformers.models.xlnet.modeling_xlnet.XLNetRelativeAttention",
                matches=("q", "k", "v", "o", "r"),
                near_misses=("s",),
            ),
        ),
    ),
)
"""Tensors whose name only says what kind of thing they are: asked last."""

TABLE_LEAF = vocabulary(
    Convention(
        words=("^weight$", "^weights$"),
        source="torch.nn.Embedding; transformers.models.reformer.modeling_reformer.AxialPositionEmbeddings",
        matches=("weight", "weights"),
        near_misses=("bias", "weight_scale"),
    ),
    Convention(
        words=("^embedding$",),
        source="transformers.models.mllama.modeling_mllama.MllamaPrecomputedPositionEmbedding",
        matches=("embedding",),
        near_misses=("embedding_proj",),
    ),
)
"""What a table is called inside of a module whose own name says what is in it."""

ADAPTER = vocabulary(
    Convention(
        words=("lora_a", "lora_b", "lora_e", "lora_embedding_a", "lora_embedding_b", "lora_magnitude_vector"),
        source="peft.tuners.lora.layer.LoraLayer, peft.tuners.adalora.layer.AdaLoraLayer",
        matches=("lora_A", "lora_B", "lora_E", "lora_embedding_A", "lora_embedding_B", "lora_magnitude_vector"),
        near_misses=("flora_a", "lora_dropout"),
    ),
    Convention(
        words=("lokr_w", "lokr_t", "hada_w", "hada_t"),
        source="peft.tuners.lokr.layer.LoKrLayer, peft.tuners.loha.layer.LoHaLayer",
        matches=("lokr_w1_a", "lokr_t2", "hada_w1_a", "hada_t1"),
        near_misses=("hadamard_w",),
    ),
    Convention(
        words=("ia_l",),
        source="peft.tuners.ia3.layer.IA3Layer",
        matches=("ia3_l",),
        near_misses=("via_l",),
    ),
    Convention(
        words=("oft_r", "boft_r", "boft_s"),
        source="peft.tuners.oft.layer.OFTLayer, peft.tuners.boft.layer.BOFTLayer",
        matches=("oft_R", "boft_R", "boft_s"),
        near_misses=("soft_r",),
    ),
    Convention(
        words=("hra_u",),
        source="peft.tuners.hra.layer.HRALayer",
        matches=("hra_u",),
        near_misses=("u",),
    ),
    Convention(
        words=("vera_a", "vera_b", "vera_lambda*"),
        source="peft.tuners.vera.layer.VeraLayer",
        matches=("vera_A", "vera_B", "vera_lambda_d"),
        near_misses=("veranda_a",),
    ),
    Convention(
        words=("vblora_logits*", "vblora_vector_bank"),
        source="peft.tuners.vblora.layer.VBLoRALayer",
        matches=("vblora_logits_A", "vblora_vector_bank"),
        near_misses=("logits_a",),
    ),
    Convention(
        words=("randlora_lambda", "randlora_gamma"),
        source="peft.tuners.randlora.layer.RandLoraLayer",
        matches=("randlora_lambda", "randlora_gamma"),
        near_misses=("lambda", "gamma"),
    ),
    Convention(
        words=("^fourierft_spectrum", "^shira_weight", "^road_theta", "^road_alpha"),
        source="peft.tuners: fourierft.layer.FourierFTLayer, shira.layer.ShiraLayer, road.layer.RoadLayer",
        matches=("fourierft_spectrum", "shira_weight", "road_theta", "road_alpha"),
        near_misses=("theta", "spectrum"),
    ),
    Convention(
        words=("^bone_block", "^miss_block", "^trainable_tokens_delta"),
        source="peft.tuners: bone.layer.BoneLayer, miss.layer.MissLayer, trainable_tokens.layer.TrainableTokensLayer",
        matches=("bone_block", "miss_block", "trainable_tokens_delta"),
        near_misses=("backbone_block",),
    ),
)
"""Tensors of adapters, and the dictionaries that hold them."""

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
GAIN_AND_SHIFT = frozenset({frozenset({"gamma", "beta"}), frozenset({"g", "b"}), frozenset({"a", "b"})})
"""Two tensors of one shape in one module that are an affine by their names alone."""
