"""General names of tensors: a bias, a gain, a matrix. They count last, where no part of a name is more exact."""

from decay_audit.roles.conventions.convention import Convention, NameMeaning, vocabulary

GENERAL_LEAVES: tuple[NameMeaning, ...] = (
    NameMeaning(
        meaning="a bias",
        role="bias",
        names=vocabulary(
            Convention(
                words=("bias$", "biases$"),
                source="timm.models.beit.Attention; transformers.models.zaya.modeling_zaya",
                matches=("bias", "q_bias", "balancing_biases"),
                near_misses=("unbiased",),
            ),
            Convention(
                words=("^bias_*",),
                source="torch.nn.MultiheadAttention",
                matches=("bias_k", "bias_v"),
                near_misses=("alibias",),
            ),
            Convention(
                words=("^b_q$", "^b_k$", "^b_v$", "^b_o$", "^b_in$", "^b_out$"),
                source="transformer_lens.components.Attention, transformer_lens.components.MLP",
                matches=("b_Q", "b_K", "b_V", "b_O", "b_in", "b_out"),
                near_misses=("b_log",),
            ),
        ),
    ),
    NameMeaning(
        meaning="a bias",
        role="bias",
        shape="vector",
        names=vocabulary(
            Convention(
                words=("^b$",),
                source="DCNv2 (Wang et al., 2021): CrossNetV2; maxout and hand-written linear layers",
                matches=("b",),
                near_misses=("b_log", "B_matrix"),
            ),
        ),
    ),
    NameMeaning(
        meaning="a shift",
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
        ),
    ),
    NameMeaning(
        meaning="a matrix",
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
    NameMeaning(
        meaning="a matrix",
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
    NameMeaning(
        meaning="a slope of an activation",
        role="activation",
        layer="activation",
        shape="vector",
        names=vocabulary(
            Convention(
                words=("^slope$", "^negative_slope$"),
                source="PReLU written by hand (He et al., 2015)",
                matches=("slope", "negative_slope"),
                near_misses=("slopes",),
            ),
        ),
    ),
    NameMeaning(
        meaning="a gain",
        role="scale",
        shape="vector",
        names=vocabulary(
            Convention(
                words=("scale", "scales", "scaling"),
                source="torchvision.models.detection.ssd, transformers.models.clip, transformers.models.timesfm2_5",
                matches=("scale_weight", "logit_scale", "scaling", "scales"),
                near_misses=("rescaler_table",),
            ),
            Convention(
                words=("gain",),
                source="timm.layers.std_conv.ScaledStdConv2d, timm.models.nfnet.NormFreeBlock",
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
                words=("alpha",),
                source="transformers.models.idefics.modeling_idefics",
                matches=("alpha_cross_attn",),
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
                words=("^log_*", "logstd$", "^logs$"),
                source="stable_baselines3.common.policies; cleanrl ppo_continuous_action; Glow-TTS ActNorm",
                matches=("log_std", "actor_logstd", "logs"),
                near_misses=("catalog", "logits"),
            ),
        ),
    ),
    NameMeaning(
        meaning="a gain or a shift",
        role="scale",
        shape="vector",
        confidence="guess",
        names=vocabulary(
            Convention(
                words=("beta",),
                source="ACON (Ma et al., 2021): AconC; FastRNN (Kusupati et al., 2018), where it is a shift",
                matches=("beta",),
                near_misses=("alphabeta",),
            ),
        ),
    ),
    NameMeaning(
        meaning="a gain, or a matrix that is stored flat",
        role="scale",
        shape="vector",
        confidence="guess",
        names=vocabulary(
            Convention(
                words=("weight", "weights"),
                source="timm.models.efficientvim.EfficientViM; transformers.models.pp_doclayout_v4",
                matches=("closure_weight", "weights"),
                near_misses=("weighting",),
            ),
            Convention(
                words=("factors$", "coeffs$", "filters$"),
                source="tensorly.nn factorized tensors; KAN layers; hand-written gains, several of them",
                matches=("factors", "coeffs", "filters"),
                near_misses=("benefactor", "coeff_table", "filtered"),
            ),
        ),
    ),
    NameMeaning(
        meaning="a gain",
        role="scale",
        names=vocabulary(
            Convention(
                words=("scale$", "^scale_base$", "^scale_sp$"),
                source="transformers.models.inkling2.modeling_inkling2.Inkling2ScaledL2Clip; kan.KANLayer",
                matches=("scale", "scale_base", "scale_sp"),
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
    NameMeaning(
        meaning="the logarithm of a gain or of a spread",
        role="scale",
        names=vocabulary(
            Convention(
                words=("log_var$", "logvar$", "log_variance$"),
                source="Gaussian mixtures and variational layers (Kingma and Welling, 2013)",
                matches=("log_var", "logvar", "prior_log_variance"),
                near_misses=("variance_proj",),
            ),
            Convention(
                words=("log_sigma$", "logsigma$", "log_std$", "log_widths$"),
                source="FiLM and Gaussian policies; radial basis functions with a width for each centre",
                matches=("log_sigma", "weight_logsigma", "actor_log_std", "log_widths"),
                near_misses=("sigma_proj",),
            ),
        ),
    ),
    NameMeaning(
        meaning="a shift",
        role="bias",
        shape="vector",
        names=vocabulary(
            Convention(
                words=("base$",),
                source="transformers.models.deepseek_v4.modeling_deepseek_v4 (hyper-connections)",
                matches=("base",),
                near_misses=("baseline",),
            ),
        ),
    ),
    NameMeaning(
        meaning="a learned state",
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
    NameMeaning(
        meaning="a learned vector",
        role="token",
        shape="vector",
        names=vocabulary(
            Convention(
                words=("embedding$", "embeds$", "embed$"),
                source="transformers.models.t5gemma2, transformers.models.nemotron3_diarization; tsai",
                matches=("eoi_embedding", "silence_embeds", "shared_embed"),
                near_misses=("embedded",),
            ),
        ),
    ),
    NameMeaning(
        meaning="an embedding table, or learned vectors that are added or joined to data",
        role="embedding",
        layer="embedding",
        confidence="guess",
        names=vocabulary(
            Convention(
                words=("embed", "embeddings"),
                source="transformers.models.funnel.modeling_funnel; VPT (Jia et al., 2022): prompt_embeddings",
                matches=("seg_embed", "prompt_embeddings"),
                near_misses=("embedded",),
            ),
            Convention(
                words=("embedding",),
                source="transformers.models.mllama.modeling_mllama.MllamaPrecomputedPositionEmbedding",
                matches=("embedding",),
                near_misses=("bedding",),
            ),
        ),
    ),
    NameMeaning(
        meaning="an embedding table",
        role="embedding",
        layer="embedding",
        names=vocabulary(
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
        ),
    ),
    NameMeaning(
        meaning="rows that distances are measured to, or offsets of basis functions",
        role="embedding",
        layer="embedding",
        shape="matrix",
        confidence="guess",
        names=vocabulary(
            Convention(
                words=("centers", "centroids"),
                source="Center Loss (Wen et al., 2016): CenterLoss; NetVLAD (Arandjelovic et al., 2016)",
                matches=("centers", "centroids"),
                near_misses=("centered",),
            ),
        ),
    ),
    NameMeaning(
        meaning="a matrix",
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
                words=("matrix$", "matrices$", "kernels$", "filter$", "filters$"),
                source="compressai.entropy_models.EntropyBottleneck; deepctr_torch.layers.interaction.CrossNet",
                matches=("matrix", "matrices", "kernels", "complex_filter", "filters"),
                near_misses=("matrix_table", "kernels_table", "filtered"),
            ),
            Convention(
                words=("factors$", "coeff$", "coeffs$"),
                source="tensorly.nn factorized tensors; efficient_kan.KANLinear and its variants",
                matches=("factors", "spline_coeff", "coeffs"),
                near_misses=("benefactors", "coeff_table"),
            ),
            Convention(
                words=("linear$",),
                source="sinkhorn_transformer.SimpleSortNet",
                matches=("linear",),
                near_misses=("linear_table",),
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
