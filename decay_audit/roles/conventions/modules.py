"""Names of modules: the word in front of the tensor's name. Classes with such names count, too."""

from decay_audit.roles.conventions.convention import Convention, NameMeaning, vocabulary
from decay_audit.roles.conventions.positions import RELATIVE

MODULES: tuple[NameMeaning, ...] = (
    RELATIVE,
    NameMeaning(
        meaning="a table over positions",
        role="position_embedding",
        layer="embedding",
        names=vocabulary(
            Convention(
                words=("position_embedding", "position_embeddings", "position_embeds"),
                source="transformers.models.bert, transformers.models.clip, transformers.models.bark",
                matches=("position_embedding", "position_embeddings", "position_embeds_layer"),
                near_misses=("composition_embedding", "word_embeddings"),
            ),
            Convention(
                words=("embed_positions$", "positions_embed"),
                source="transformers.models.bart.modeling_bart.BartEncoder; transformers.models.openai",
                matches=("embed_positions", "positions_embed"),
                near_misses=("embed_tokens",),
            ),
            Convention(
                words=("pos_emb", "pos_embed", "positional_embedding"),
                source="transformers.models.cohere_asr, transformers.models.qwen3_vl, transformers.models.sam3_tracker",
                matches=("pos_emb", "pos_embed", "positional_embedding"),
                near_misses=("pose_embed",),
            ),
            Convention(
                words=("^wpe$",),
                source="transformers.models.gpt2.modeling_gpt2.GPT2Model",
                matches=("wpe",),
                near_misses=("wte",),
            ),
            Convention(
                words=("^pe_k$",),
                source="transformers.models.speecht5.modeling_speecht5.SpeechT5RelativePositionalEncoding",
                matches=("pe_k",),
                near_misses=("type_k",),
            ),
            Convention(
                words=("level_embed$", "row_embeddings$", "column_embeddings$"),
                source="transformers.models.mask2former.modeling_mask2former; transformers.models.detr.modeling_detr",
                matches=("level_embed", "row_embeddings", "column_embeddings"),
                near_misses=("label_embed", "row_embedder"),
            ),
            Convention(
                words=("row_embed$", "col_embed$"),
                source="DETR (Carion et al., 2020): PositionEmbeddingLearned",
                matches=("row_embed", "col_embed"),
                near_misses=("protocol_embed",),
            ),
        ),
    ),
    NameMeaning(
        meaning="learned tokens",
        role="token",
        layer="embedding",
        names=vocabulary(
            Convention(
                words=("query_embed$", "query_feat$", "queries_embedder$", "queries_features$"),
                source="DETR (Carion et al., 2020): DETR; transformers.models.mask2former.modeling_mask2former",
                matches=("query_embed", "query_feat", "queries_embedder", "queries_features"),
                near_misses=("query",),
            ),
            Convention(
                words=("refpoint_embed$", "refpoint_embeddings$"),
                source="transformers.models.lw_detr.modeling_lw_detr; transformers.models.dab_detr.modeling_dab_detr",
                matches=("refpoint_embed", "query_refpoint_embeddings"),
                near_misses=("point_embed",),
            ),
            Convention(
                words=("^reference_points$", "^reference_point_embed$"),
                source="transformers.models.sam3.modeling_sam3; transformers.models.rf_detr.modeling_rf_detr",
                matches=("reference_points", "reference_point_embed"),
                near_misses=("reference_proj",),
            ),
            Convention(
                words=("no_mask_embed$", "not_a_point_embed$"),
                source="transformers.models.sam.modeling_sam.SamPromptEncoder",
                matches=("no_mask_embed", "not_a_point_embed"),
                near_misses=("point_embed",),
            ),
            Convention(
                words=("cls_embed$", "cls_embedding$"),
                source="transformers.models.sam3.modeling_sam3; rtdl_revisiting_models._CLSEmbedding",
                matches=("cls_embed", "_CLSEmbedding"),
                near_misses=("class_embed",),
            ),
            Convention(
                words=("*_token$", "*_tokens$"),
                source="transformers.models.sam.modeling_sam.SamMaskDecoder; transformers.models.qwen2_5_omni",
                matches=("iou_token", "mask_tokens", "audio_bos_eos_token"),
                near_misses=("token",),
            ),
            exceptions=(
                Convention(
                    words=("embed_*tokens$",),
                    source="transformers.models.llama.modeling_llama.LlamaModel; transformers.models.csm.modeling_csm",
                    matches=("embed_tokens", "embed_text_tokens"),
                    near_misses=("mask_tokens",),
                ),
            ),
        ),
    ),
)
"""Names of modules and classes whose tensor `weight` is a table."""

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
"""Names of a table in a module whose own name tells its role."""

PROMPT = vocabulary(
    Convention(
        words=("*prompt*",),
        source="CoOp (Zhou et al., 2022): PromptLearner; transformers.models.tvp.modeling_tvp",
        matches=("prompt_learner", "PromptLearner", "visual_prompter"),
        near_misses=("prom_head",),
    ),
)
"""Names of modules and classes whose own tensors are prompts."""

NORM_MODULE = vocabulary(
    Convention(
        words=("*norm*",),
        source="timm.models.vision_transformer.Block; transformers.models.llama.modeling_llama.LlamaDecoderLayer",
        matches=("norm1", "input_layernorm", "final_layer_norm"),
        near_misses=("nom",),
    ),
    Convention(
        words=("bn",),
        source="torchvision.models.resnet.BasicBlock",
        matches=("bn1",),
        near_misses=("subnet",),
    ),
    Convention(
        words=("ln",),
        source="transformers.models.gpt2.modeling_gpt2.GPT2Block",
        matches=("ln_1", "ln_f"),
        near_misses=("xlnet",),
    ),
    Convention(
        words=("gn",),
        source="detectron2 and mmdet heads with GroupNorm",
        matches=("gn1",),
        near_misses=("sign",),
    ),
    Convention(
        words=("grn",),
        source="timm.models.convnext.ConvNeXtBlock",
        matches=("grn",),
        near_misses=("green",),
    ),
    Convention(
        words=("rms",),
        source="transformers.models.hunyuan_vl.modeling_hunyuan_vl.HunYuanVLVisionPatchMerger",
        matches=("before_rms",),
        near_misses=("terms",),
    ),
    exceptions=(
        Convention(
            words=("*normal*",),
            source="a head that predicts surface normals",
            matches=("normal_head",),
            near_misses=("norm_head",),
        ),
    ),
)

ACTIVATION_MODULE = vocabulary(
    Convention(
        words=("act", "activation"),
        source="timm.models.metaformer.MetaFormerBlock; transformers.models.uvdoc.modeling_uvdoc",
        matches=("act1", "act_fn", "activation"),
        near_misses=("attn", "contact"),
    ),
    Convention(
        words=("*snake*",),
        source="transformers.models.dac.modeling_dac.DacResidualUnit",
        matches=("snake1",),
        near_misses=("sneak",),
    ),
    Convention(
        words=("*prelu*",),
        source="insightface iresnet: IBasicBlock",
        matches=("prelu",),
        near_misses=("relay",),
    ),
)

LAYER_SCALE_MODULE = vocabulary(
    Convention(
        words=("layer_scale",),
        source="transformers.models.mimi.modeling_mimi.MimiTransformerLayer",
        matches=("self_attn_layer_scale",),
        near_misses=("scale",),
    ),
    Convention(
        words=("res_scale",),
        source="timm.models.metaformer.MetaFormerBlock",
        matches=("res_scale1",),
        near_misses=("rescale",),
    ),
    Convention(
        words=("ls",),
        source="timm.models.vision_transformer.Block",
        matches=("ls1",),
        near_misses=("pixels",),
    ),
)

EMBEDDING_MODULE = vocabulary(
    Convention(
        words=("embed", "embeds", "embedder", "emb"),
        source="transformers.models.llama, transformers.models.bark, transformers.models.kosmos2_5",
        matches=("embed_tokens", "input_embeds_layer", "row_embedder", "segment_emb"),
        near_misses=("member",),
    ),
    Convention(
        words=("*embedding", "*embeddings"),
        source="transformers.models.clip.modeling_clip.CLIPTextEmbeddings; transformers.models.bert.modeling_bert",
        matches=("token_embedding", "word_embeddings"),
        near_misses=("embedded",),
    ),
    Convention(
        words=("wte",),
        source="transformers.models.gpt2.modeling_gpt2.GPT2Model",
        matches=("wte",),
        near_misses=("write",),
    ),
    Convention(
        words=("codebook",),
        source="transformers.models.xcodec2; descript-audio-codec: VectorQuantize",
        matches=("codebook",),
        near_misses=("codebooks_head",),
    ),
    Convention(
        words=("shared$",),
        source="transformers.models.t5.modeling_t5.T5Model",
        matches=("shared",),
        near_misses=("shared_expert",),
    ),
    exceptions=(
        Convention(
            words=("*proj*", "*linear*", "*conv*", "*fc*", "*mlp*", "*mapper*", "*dense*"),
            source="projections and mappings of embeddings, e.g. diffusers.models.embeddings.TextImageProjection",
            matches=(
                "embed_proj",
                "linear_emb",
                "embed_conv",
                "emb_fc",
                "embed_mlp",
                "cond_embeds_mapper",
                "embed_dense",
            ),
            near_misses=("embed_tokens",),
        ),
        Convention(
            words=("*patch*", "*norm*", "*head*", "*out*"),
            source="transformers.models.vit.modeling_vit.ViTPatchEmbeddings; embedding norms and output embeddings",
            matches=("patch_embed", "emb_norm", "emb_head", "embed_out"),
            near_misses=("embed",),
        ),
    ),
)
"""Names of modules whose matrix is a table if it has no bias."""

EMBEDDING_DICT = vocabulary(
    Convention(
        words=("embedding_dict$",),
        source="deepctr_torch.models.basemodel.BaseModel",
        matches=("embedding_dict",),
        near_misses=("dict",),
    ),
)
"""Names of dictionaries of embeddings; their members have the names of columns of data."""
