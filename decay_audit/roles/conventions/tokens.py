"""Names of learned tokens: class tokens, queries, prompts, latents, separators."""

from decay_audit.roles.conventions.convention import Convention, NameMeaning, vocabulary

TOKEN = NameMeaning(
    meaning="a learned token",
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
            matches=("latent", "latents"),
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
            source="denoising_diffusion_pytorch (mem_kv); nuwa_pytorch (null_k, null_v); imagen_pytorch (null_kv)",
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
        exceptions=(
            Convention(
                words=("^w_*",),
                source="attention by hand: W_Query, W_query and the like, matrices of projections",
                matches=("W_Query", "W_queries"),
                near_misses=("query",),
            ),
        ),
    ),
)
