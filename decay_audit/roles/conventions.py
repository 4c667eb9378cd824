"""The names that people give to tensors, modules and classes, as literal tables of patterns. No architecture is named.

Patterns meet a stem: snake case, lower case, without digits (`cls_token_0` is `cls_token`, `posEmbed` is `pos_embed`).
"""

import re

from msgspec import Struct

from decay_audit.roles.words import Layer, Role

_ANY = 99


class Convention(Struct, frozen=True, kw_only=True):
    """What a name means, for tensors with so many dimensions larger than 1.

    Attributes:
        pattern: searched for in the stem.
        says: what such a tensor is, in words.
        narrowest: the fewest dimensions larger than 1.
        widest: the most dimensions larger than 1.
    """

    pattern: re.Pattern[str]
    says: str
    role: Role
    layer: Layer = "other"
    narrowest: int = 0
    widest: int = _ANY

    def holds(self, stem: str, wide: int) -> bool:
        """Whether it speaks of a tensor of this name and width."""
        return self.narrowest <= wide <= self.widest and self.pattern.search(stem) is not None


def stem(name: str) -> str:
    """Write a name as the patterns expect it."""
    snake = re.sub(r"(?<=[a-z\d])(?=[A-Z])", "_", name)
    return re.sub(r"_+", "_", re.sub(r"\d+", "", snake)).strip("_").lower()


def _convention(
    pattern: str, says: str, role: Role, layer: Layer = "other", narrowest: int = 0, widest: int = _ANY
) -> Convention:
    return Convention(
        pattern=re.compile(pattern), says=says, role=role, layer=layer, narrowest=narrowest, widest=widest
    )


_TABLE = r"(embed|embeds|embedding|embeddings|emb|embs|encoding|encodings|enc|table)"
_POSITION = r"(pos|posi|position|positions|positional|posn)"

RELATIVE = _convention(
    r"(^|_)rel(ative)?_(pos|position|positional|attention|bias|key|value|embed|emb|height|width|table|coord)"
    r"|(^|_)rel_[hwtkv](_|$)|(^|_)(height|width|time|depth|h|w|t)_rel(ative)?$|attention_bias(es)?(_table)?$"
    r"|^(emb|embedding|embeddings)_rel_[kv]$|(^|_)(rpb|rpe|relpos\w*)(_|$)|^position_bias(es)?$|^distance_embedding$",
    "a table over relative positions",
    "relative_position_bias",
)
POSITION = _convention(
    rf"(^|_){_POSITION}(_|$)|(^|_){_POSITION}_?{_TABLE}|^(wpe|pe|ape|abs_pos\w*|rope\w*|freqs\w*|inv_freq\w*)$"
    rf"|(^|_)(temporal|time|spatial|level|frame|row|col|column|height|width|x|y|h|w|t)_{_TABLE}$"
    r"|(^|_)(rope|rotary)(_|$)|^(fourier|freq)\w*$",
    "a table over positions",
    "position_embedding",
)
TOKEN = _convention(
    r"(?<!embed)(^|_)(tokens?|prompts?|latents?|registers?|sinks?|probe|pointer|newline|anchors?|slots?)$"
    rf"|^(cls|class|dist|mask|masked_spec|query|queries|object_query|no_\w+|null\w*|empty\w*|missing\w*|dummy\w*"
    rf"|bos|eos|sep|pad|prefix|learnable_query|learned_query|memory|mem|oov|unk|uncond\w*)(_{_TABLE})?(_param\w*)?$"
    rf"|(^|_)(mask|query|queries|refpoint|object_query)_{_TABLE}$|(^|_)(mask|dummy)_(feature|node|vector|weight)s?$",
    "a learned token",
    "token",
)
STATE_SPACE = _convention(
    r"^(a_log|a_logs|ds|dt_bias|log_dt|inv_dt|log_a|a_real\w*|a_imag\w*|lambda_re|lambda_im|time_decay|time_first"
    r"|time_faaaa|time_mix\w*|time_maa\w*|log_delta|log_state_decay|log_a_real|recurrent_param|x_proj_weight)$",
    "of a state space",
    "state_space",
)
ADAPTER = _convention(
    r"(^|_)(lora|lokr|loha|hada|dora|vera|ia|boft|oft|randlora)_([a-z]|embedding_[ab]|w|magnitude\w*|lambda\w*|diag|l)(_|$)"
    r"|lora_embedding_|lora_magnitude",
    "of a low-rank or similar adapter",
    "adapter_weight",
)

LEAVES: tuple[Convention, ...] = (
    ADAPTER,
    _convention(
        r"(^|_)(qzeros|zeros|zero_point|g_idx|qweight|weight_packed|packed_weight)$",
        "packed integers",
        "linear_weight",
        "linear",
    ),
    _convention(
        r"(^|_)(scb|scales|weight_scale\w*|input_scale|output_scale|k_scale|v_scale)$", "quantization scales", "scale"
    ),
    STATE_SPACE,
    _convention(r"(^|_)(pos_)?bias_[uvkq]$|^[uvr]_[rsw]?_?bias$|^r_[rsw]_bias$", "a bias", "bias"),
    RELATIVE,
    POSITION,
    TOKEN,
    _convention(r"(^|_)bias(es)?$|^bias_\w+$|^b$|^b_[a-z]{1,3}$", "a bias", "bias"),
    _convention(
        r"(^|_)(layer_?scale|res_?scale|residual_scale|residual)(_|$)|^gamma(_[a-z]+)?$|^lambda$|^ls$",
        "a gain on a residual branch",
        "layer_scale",
        widest=1,
    ),
    _convention(
        r"(^|_)(scale|scales|scaling|scaler|gain|temperature|temp|tau|gate|gating|multiplier|alpha|beta|gamma|lambda"
        r"|slope|coef\w*|factor|rescale|eps|epsilon|importance|ratio|mix|mixing|strength)(_|$)",
        "a gain",
        "scale",
        widest=1,
    ),
    _convention(r"(^|_)weights?(_|$)|^w$", "a gain", "scale", widest=1),
    _convention(
        rf"(^|_){_TABLE}$|(^|_)(codebook|codebooks|vocab\w*|lookup|prototypes?|dictionary)(_|$)",
        "an embedding table",
        "embedding",
        "embedding",
        narrowest=1,
    ),
    _convention(
        r"(^|_)(weights?|kernels?|proj|projection|matrix|mat|mats|w|wi|wo|fc|linear|dense|fn)(_|$)|^w_[a-z]+$"
        r"|^(up|down|gate)_(up_|gate_)?(proj|w)",
        "a matrix",
        "linear_weight",
        "linear",
        narrowest=2,
    ),
)
"""Tensors by their own name, the first that holds."""

MODULES: tuple[Convention, ...] = (
    RELATIVE,
    POSITION,
    _convention(
        rf"(^|_)(query|queries|object_query|refpoint|mask|cls|prompt|register|latent|no_mask|dist|iou|not_a_point)"
        rf"_(tokens?|feat|{_TABLE})$|^(latents|queries|prompts|registers)$",
        "learned tokens",
        "token",
    ),
)
"""Tables whose tensor is only called `weight`, by the name of the module; for two-dimensional tensors alone in it."""

NORM_MODULE = re.compile(r"norm(?!al)|(^|_)(ln|bn|gn|grn|rms|layernorm|rmsnorm)(_|$)")
NORM_CLASS = re.compile(r"(?i:norm(?!al))|(?<![A-Z])(LN|BN|GN|GRN|FRN|ABN)(?![A-Z])|^Affine")
NORM_SHIFT = re.compile(r"(^|_)(bias|beta|b|shift|offset|mean)(_|$)")
ACTIVATION_CLASS = re.compile(
    r"(?i)relu|silu|gelu|swish|snake|mish|activation|acon|tlu|(?<!g)elu|sigmoid|tanh|softplus"
)
ACTIVATION_MODULE = re.compile(r"(^|_)(p_?relu|act|activation|nonlin\w*|snake|swish)(_|$)|prelu")
LAYER_SCALE_CLASS = re.compile(r"(?i)layer_?scale|residual_?scale|res_?scale")
LAYER_SCALE_MODULE = re.compile(r"(^|_)(layer_?scale|res_?scale|ls|lambda)(_|$)|layerscale")
CONV_CLASS = re.compile(r"(?i)conv")
EMBEDDING_CLASS = re.compile(r"(?i)embed|codebook|quantiz")
EMBEDDING_MODULE = re.compile(
    r"(^|_)(embed|embeds|embedding|embeddings|emb|wte|shared|codebook|lookup|embed_tokens|tok_embeddings|word_embeddings"
    r"|embeddings_table)$|(^|_)(embed|embedding|embeddings|emb)_(tokens?|in|codes?|words?|layer)$|embeddings?$"
)
