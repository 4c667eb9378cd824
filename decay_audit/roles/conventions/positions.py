"""Names of tables over positions."""

from decay_audit.roles.conventions.convention import Convention, NameMeaning, vocabulary

RELATIVE = NameMeaning(
    meaning="a table over relative positions",
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
            words=("height_rel$", "width_rel$", "rel_height$", "rel_width$", "^rel_h$", "^rel_w$"),
            source="timm.layers.bottleneck_attn.PosEmbedRel; bottleneck_transformer_pytorch; stand-alone attention",
            matches=("height_rel", "width_rel", "rel_height", "rel_width", "rel_h", "rel_w"),
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
"""This row is used for names of tensors and of modules."""

POSITION = NameMeaning(
    meaning="a table over positions",
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
)
"""This row is used for names of tensors."""
