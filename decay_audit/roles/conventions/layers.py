"""Words by which layers differ: attention and its projections, feed-forward parts, kinds of norms.

Names of modules and names of classes are read alike, as stems.
"""

from decay_audit.roles.conventions.convention import Convention, Vocabulary, vocabulary
from decay_audit.roles.words import Layer

ATTENTION = vocabulary(
    Convention(
        words=("*attn*",),
        source="timm.models.vision_transformer.Block; transformers.models.llama.modeling_llama.LlamaDecoderLayer",
        matches=("attn", "self_attn"),
        near_misses=("act",),
    ),
    Convention(
        words=("*attention*",),
        source="transformers.models.bert.modeling_bert.BertLayer; transformers.models.t5.modeling_t5",
        matches=("attention", "SelfAttention"),
        near_misses=("tension",),
    ),
    Convention(
        words=("mhsa", "xca"),
        source="timm.models.nextvit.NextTransformerBlock; timm.models.edgenext.SplitTransposeBlock",
        matches=("e_mhsa", "xca"),
        near_misses=("mha",),
    ),
)
"""Names of modules and classes of attention."""

FEED_FORWARD = vocabulary(
    Convention(
        words=("*mlp",),
        source="timm.models.vision_transformer.Block; transformers.models.llama.modeling_llama.LlamaMLP",
        matches=("mlp", "LlamaMLP"),
        near_misses=("ml",),
    ),
    Convention(
        words=("ffn", "feed_forward"),
        source="transformers.models.albert.modeling_albert; transformers.models.rwkv.modeling_rwkv.RwkvBlock",
        matches=("ffn", "feed_forward"),
        near_misses=("offn",),
    ),
    Convention(
        words=("experts", "expert"),
        source="transformers.models.mixtral.modeling_mixtral.MixtralSparseMoeBlock; transformers.models.llama4",
        matches=("experts", "shared_expert"),
        near_misses=("expertise",),
    ),
    Convention(
        words=("intermediate",),
        source="transformers.models.bert.modeling_bert.BertLayer",
        matches=("intermediate",),
        near_misses=("mediate",),
    ),
)
"""Names of parts of a block that are not attention, even if the block's name has the word attention."""

PROJECTION = vocabulary(
    Convention(
        words=("q", "k", "v", "o", "kv", "qk", "qkv"),
        source="transformers.models.t5.modeling_t5.T5Attention; timm.models.pvt_v2.Attention, convit.GPSA",
        matches=("q", "k", "v", "o", "kv", "qk", "qkv"),
        near_misses=("kq",),
    ),
    Convention(
        words=("query", "key", "value", "values"),
        source="transformers.models.bert.modeling_bert.BertSelfAttention; transformers.models.phi4_multimodal",
        matches=("query", "key", "value", "bias_values"),
        near_misses=("keys_table",),
    ),
    Convention(
        words=("out", "output"),
        source="whisper.model.MultiHeadAttention; transformers.models.rwkv.modeling_rwkv.RwkvSelfAttention",
        matches=("out", "output"),
        near_misses=("outer",),
    ),
    Convention(
        words=("proj", "projection", "dense"),
        source="timm.layers.attention.Attention, transformers.models.qianfan_ocr, transformers.models.bert",
        matches=("proj", "projection_layer", "dense"),
        near_misses=("project",),
    ),
    Convention(
        words=("wq", "wk", "wv", "wo"),
        source="llama.model.Attention (meta-llama)",
        matches=("wq", "wk", "wv", "wo"),
        near_misses=("w",),
    ),
    Convention(
        words=("attention", "attn"),
        source="transformers.models.deformable_detr.modeling_deformable_detr; timm.models.volo.OutlookAttention",
        matches=("attention_weights", "attn"),
        near_misses=("attentive",),
    ),
)
"""Names of linear layers that belong to attention if a module above them is attention."""

ATTENTION_PROJECTION = vocabulary(
    Convention(
        words=("q_proj", "k_proj", "v_proj"),
        source="transformers.models.llama.modeling_llama.LlamaAttention",
        matches=("q_proj", "k_proj", "v_proj"),
        near_misses=("proj",),
    ),
    Convention(
        words=("qkv", "wqkv", "query_key_value"),
        source="transformers.models.phi3, transformers.models.modernbert, transformers.models.gpt_neox",
        matches=("qkv", "qkv_proj", "Wqkv", "query_key_value"),
        near_misses=("query_key",),
    ),
    Convention(
        words=("c_attn",),
        source="transformers.models.gpt2.modeling_gpt2.GPT2Attention",
        matches=("c_attn",),
        near_misses=("attn",),
    ),
    Convention(
        words=("^to_q$", "^to_k$", "^to_v$", "^to_kv$", "^to_out$"),
        source="diffusers.models.attention_processor.Attention; vit_pytorch.vit.Attention",
        matches=("to_q", "to_k", "to_v", "to_kv", "to_out"),
        near_misses=("to_logits",),
    ),
    Convention(
        words=("in_proj_qkv*",),
        source="transformers.models.qwen3_next.modeling_qwen3_next.Qwen3NextGatedDeltaNet",
        matches=("in_proj_qkvz",),
        near_misses=("in_proj",),
    ),
)
"""Names of linear layers that always belong to attention."""

NORMS: tuple[tuple[Layer, Vocabulary], ...] = (
    (
        "rms_norm",
        vocabulary(
            Convention(
                words=("*rms*",),
                source="transformers.models.llama.modeling_llama.LlamaRMSNorm; transformers.models.hunyuan_vl",
                matches=("LlamaRMSNorm", "before_rms"),
                near_misses=("rs",),
            )
        ),
    ),
    (
        "batch_norm",
        vocabulary(
            Convention(
                words=("*batch_norm*", "*batchnorm*"),
                source="torchvision.ops.misc.FrozenBatchNorm2d; transformers.models.patchtst",
                matches=("FrozenBatchNorm2d", "batchnorm"),
                near_misses=("batch",),
            ),
            Convention(
                words=("bn", "abn$"),
                source="torchvision.models.resnet.BasicBlock; inplace_abn.InPlaceABN",
                matches=("bn1", "InPlaceABN"),
                near_misses=("subnet",),
            ),
        ),
    ),
    (
        "group_norm",
        vocabulary(
            Convention(
                words=("*group_norm*", "*groupnorm*"),
                source="torch.nn.GroupNorm; transformers.models.pe_audio.modeling_pe_audio",
                matches=("GroupNorm1", "groupnorm"),
                near_misses=("group",),
            ),
            Convention(
                words=("gn",),
                source="detectron2 and mmdet heads with GroupNorm",
                matches=("gn1",),
                near_misses=("sign",),
            ),
        ),
    ),
    (
        "instance_norm",
        vocabulary(
            Convention(
                words=("*instance_norm*",),
                source="torch.nn.InstanceNorm2d",
                matches=("InstanceNorm2d", "instance_norm"),
                near_misses=("instance",),
            )
        ),
    ),
    (
        "layer_norm",
        vocabulary(
            Convention(
                words=("*layer_norm*", "*layernorm*"),
                source="torch.nn.LayerNorm; transformers.models.llama.modeling_llama.LlamaDecoderLayer",
                matches=("T5LayerNorm", "input_layernorm"),
                near_misses=("layer",),
            ),
            Convention(
                words=("ln",),
                source="transformers.models.gpt2.modeling_gpt2.GPT2Block; transformers.models.altclip",
                matches=("ln_1", "pre_LN"),
                near_misses=("xlnet",),
            ),
        ),
    ),
)
"""The words for each kind of norm, in the names of classes, modules and tensors."""
