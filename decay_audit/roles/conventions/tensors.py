"""The names that people give to tensors, modules and classes, as literal tables of patterns. No architecture is named.

Patterns of tensors and modules meet a stem: snake case, lower case, without digits (`cls_token_0` is `cls_token`).
"""

import re
from functools import lru_cache

from msgspec import Struct

from decay_audit.roles.words import Layer, Role


class Convention(Struct, frozen=True):
    """What a name means, for tensors of some widths.

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
    widest: int = 99

    def holds(self, stem: str, wide: int) -> bool:
        """Whether it speaks of a tensor of this name, with so many dimensions larger than 1."""
        return self.narrowest <= wide <= self.widest and self.pattern.search(stem) is not None


@lru_cache(maxsize=4096)
def stem(name: str) -> str:
    """Write a name as the patterns expect it: `posEmbed1` is `pos_embed`, `latents_2d` is `latents`."""
    plain = _SUFFIX.sub("", name) or name
    snake = _HUMP.sub("_", plain).translate(NO_DIGITS)
    return _GAP.sub("_", snake).strip("_").lower()


_SUFFIX = re.compile(r"_?\d+[dD]$|_?[Pp]aram(eter)?s?$|_data$")
_HUMP = re.compile(r"(?<=[a-z\d])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_GAP = re.compile(r"_{2,}")
NO_DIGITS = str.maketrans("", "", "0123456789")
_TABLE = r"(embeds?|embeddings?|embs?|encodings?|enc|tables?)"
_POSITION = r"(pos|posi|posn|positions?|positional)"
_AXIS = r"(temporal|time|spatial|level|frame|row|col|column|height|width|x|y|h|w|t|camera|view|scale_level)"

RELATIVE = Convention(
    re.compile(
        r"(^|_)rel(ative)?_(pos\w*|attention|bias|key|value|height|width|coord\w*|[hwtkv]$)"
        r"|(^|_)rel(ative)?_(embeddings|encodings?|tables?)(_|$)|(^|_)(height|width|time|depth|[hwt])_rel(ative)?$"
        rf"|attention_bias(es)?(_table)?$|^{_TABLE}_rel_[kv]$|(^|_)(rpb|rpe|relpos\w*)(_|$)"
        rf"|^pos(ition)?_bias(es)?$|^(distance|offset)_{_TABLE}$"
    ),
    "a table over relative positions",
    "relative_position_bias",
)
_TAUGHT = (
    r"(cls|class|dist|query|queries|object_query|no_\w+|null\w*|empty\w*|missing\w*|dummy\w*|bos|eos|sep|pad"
    r"|prefix|learn\w*_query|memory|mem|oov|unk|uncond\w*)"
)

LEAVES: tuple[Convention, ...] = (
    Convention(
        re.compile(r"(^|_)(qweight|qzeros|zeros|zero_point|g_idx|weight_packed|packed_weight)$"),
        "packed integers of a quantized weight, which no optimizer trains",
        "linear_weight",
        "linear",
    ),
    Convention(
        re.compile(r"(^|_)(scb|scales|weight_scale\w*|input_scale|output_scale|k_scale|v_scale|absmax)$"),
        "scales of a quantized weight",
        "scale",
    ),
    Convention(
        re.compile(
            r"^(a(_[a-z]+)?_logs?(_[a-z])?|ds|dt_bias|log_dt|inv_dt|log_a(_real|_imag)?|(inv_)?a_(real|imag)|lambda_(re|im)"
            r"|time_(decay|first|faaaa)|log_(delta|state_decay)|recurrent)$"
        ),
        "of a state space",
        "state_space",
    ),
    Convention(re.compile(r"^time_(mix|maa)\w*$"), "of a state space", "state_space", widest=1),
    Convention(
        re.compile(r"(^|_)(layer_?norm|rms_?norm|norm|ln|bn|gn|affine)_?(weight|gamma|scale|gain|w|g)$"),
        "a gain of a norm",
        "norm_weight",
        "other_norm",
        widest=1,
    ),
    Convention(
        re.compile(r"(^|_)(layer_?norm|rms_?norm|norm|ln|bn|gn|affine)_?(bias|beta|shift|b)$"),
        "a shift of a norm",
        "norm_bias",
        "other_norm",
        widest=1,
    ),
    Convention(
        re.compile(r"(^|_)(scales?|alpha|gamma|lambda|gate|temperature|gain|factor)(_[a-z]+)?$"),
        "a gain",
        "scale",
        widest=0,
    ),
    Convention(re.compile(r"(^|_)(pos_)?bias_[uvkq]$|^[uvr]_[rsw]?_?bias$"), "a bias", "bias"),
    Convention(
        re.compile(r"scale_shift(_gate)?(_table)?$|^modulat(e|ion)(_table)?$"), "a shift of a modulation", "bias"
    ),
    RELATIVE,
    Convention(
        re.compile(
            rf"(^|_){_POSITION}(_|$)|(^|_){_POSITION}_?{_TABLE}|^(wpe|abs_pos\w*|inv_freqs?|freqs?\w*|fourier\w*)$"
            rf"|(^|_)(ape|pe|rope\w*|rotary)(_|$)|(^|_){_AXIS}_{_TABLE}$"
        ),
        "a table over positions",
        "position_embedding",
    ),
    Convention(
        re.compile(
            r"(?<!embed)(^|_)(tokens?|prompts?|latents?|registers?|sinks?|probe|pointer|newline|slots?|seeds?|query|queries)$"
            r"|^slots?_(mu|log_?sigma|sigma|mean|log_?std)$|^induc(ing|ed)_(points?|vectors?)$"
            rf"|^{_TAUGHT}(_{_TABLE}|_kv?|_v)?$|(^|_)(mask|masked\w*|query|queries|refpoint)_{_TABLE}$"
            r"|(^|_)(mask|dummy)_(feature|node|vector|weight)s?$|(^|_)tokens?_(?!emb|typ|mix|shift)"
            r"|^(image|img|video|view|audio|frame|row|text)_(begin|start|end|sep\w*|newline|break)$|^(query|latent)_"
        ),
        "a learned token",
        "token",
    ),
    Convention(
        re.compile(r"(^|_)(layer_?scale|res_?scale|residual_scale|residual)(_|$)|(^|_)gamma(_[a-z]+)?$|^(lambda|ls)$"),
        "a gain on a residual branch",
        "layer_scale",
        widest=1,
    ),
)
"""Tensors that are called something of their own, the first that holds."""

GENERAL_LEAVES: tuple[Convention, ...] = (
    Convention(re.compile(r"(^|_)bias(es)?$|^bias_\w+$|^b$|^b_[a-z]{1,3}$"), "a bias", "bias"),
    Convention(re.compile(r"^(translate|translation|shift|offset)$|(^|_)base$"), "a shift", "bias", widest=1),
    Convention(
        re.compile(
            r"^w_[a-z]+$|^[qkv]$|(^|_)(proj|projection|kernel|matrix)$|^att(n|ention)?(_(src|dst|edge|[lrij]))?$"
        ),
        "a matrix",
        "linear_weight",
        "linear",
        narrowest=2,
    ),
    Convention(re.compile(r"^att(n|ention)?(_(src|dst|edge|[lrij]))?$"), "a matrix", "linear_weight", "linear"),
    Convention(
        re.compile(
            r"(^|_)(scales?|scaling|scaler|gain|temperature|temp|tau|gate|gating|multiplier|alphas?|betas?|gammas?"
            r"|lambdas?|slope|coef\w*|factor|rescale|eps|epsilon|importance|ratio|mix|mixing|strength|weights?)(_|$)"
            r"|^w$|^log_|^logs(td)?$"
        ),
        "a gain",
        "scale",
        widest=1,
    ),
    Convention(re.compile(r"(^|_)(scales?|alphas?|betas?|gammas?|gain|temperature)$"), "a gain", "scale"),
    Convention(re.compile(r"(^|_)init(ial)?(_(state|hidden|cell|h|c))?$"), "a learned state", "token"),
    Convention(re.compile(rf"(^|_){_TABLE}$"), "a learned vector", "token", widest=1),
    Convention(
        re.compile(
            rf"(^|_){_TABLE}(_|$)|(^|_)(codebooks?|codevectors?|vocab\w*|lookup|prototypes?|dictionary"
            r"|centers|centroids)(_|$)"
        ),
        "an embedding table",
        "embedding",
        "embedding",
    ),
    Convention(
        re.compile(
            r"(^|_)(weights?|kernels?|proj|projection|matrix|mats?|w|wi|wo|gate|mix|root|fc|linear|dense|fn)(_|$)|^[qkvoru]$"
        ),
        "a matrix",
        "linear_weight",
        "linear",
        narrowest=2,
    ),
)
"""Tensors whose name only says what kind of thing they are: asked last."""

MODULES: tuple[Convention, ...] = (
    RELATIVE,
    Convention(
        re.compile(
            rf"(^|_){_POSITION}_?{_TABLE}(_|$)|(^|_){_TABLE}_{_POSITION}$|^(wpe|pe(_[kqv])?|{_POSITION}|abs_pos\w*)$"
            rf"|(^|_){_AXIS}_{_TABLE}$|(^|_)(rotary|rope|fourier)(_|$)"
        ),
        "a table over positions",
        "position_embedding",
        "embedding",
    ),
    Convention(
        re.compile(
            r"(^|_)(query|queries|object_query|refpoint|mask|cls|prompt|register|latent|no_mask|dist|iou|not_a_point)"
            rf"_(tokens?|feat|features|embedder|{_TABLE})$|^(latents|queries|prompts|registers)$"
            r"|^(?!.*(embed|word|text|input|sub|char)|tok)[a-z_]+_tokens?$|^(reference|anchor)_points?(_embed(ding)?s?)?$"
        ),
        "learned tokens",
        "token",
        "embedding",
    ),
)
"""Tables whose tensor is only called `weight` or the like, by the name of the module or its class."""

TABLE_LEAF = re.compile(rf"^(weights?|{_TABLE}|data|values?)$")
ADAPTER = re.compile(
    r"(^|_)(lora|lokr|loha|hada|dora|vera|ia|boft|oft|hra)_([a-z]|embedding_[ab]|w|magnitude\w*|lambda\w*|diag)(_|$)"
    r"|lora_(embedding|magnitude|lambda|gamma|logits|vector_bank)|^(fourierft_spectrum|shira_weight|road_(theta|alpha)"
    r"|(bone|miss)_block|trainable_tokens_delta)(_|$)"
)
PROMPT = re.compile(r"(?i)prompt")
NORM_CLASS = re.compile(
    r"(?i:norm(?!al|ed|free)(?!\w*(head|block|linear|conv|model|atten|attn|mlp|embed|encoder|decoder|quantiz|loss|neck)))"
    r"|(?<![A-Z])A?(LN|BN|GN|GRN|FRN)(?![A-Z])"
)
AFFINE_CLASS = re.compile(r"Affine(\d?d)?$")
NORM_MODULE = re.compile(r"norm(?!al)|(^|_)(ln|bn|gn|grn|rms)(_|$)")
BLOCK_CLASS = re.compile(r"(Block|Layer|Stage|Cell|Attention|Net)(\d?d)?$")
NORM_GAIN = re.compile(r"^(weight|gamma|scale|gain|g|a|w|v|alpha)$")
NORM_SHIFT = re.compile(r"^(bias|beta|b|shift|offset)$")
GAIN_AND_SHIFT = frozenset(frozenset(pair) for pair in (("gamma", "beta"), ("g", "b"), ("a", "b"), ("scale", "shift")))
"""Two tensors of one shape in one module that are an affine by their names alone."""
ACTIVATION_CLASS = re.compile(
    r"(?i)relu|silu|gelu|swish|snake|mish|activation|acon|tlu|(?<!g)elu|sigmoid|tanh|softplus"
)
ACTIVATION_MODULE = re.compile(r"(^|_)(act|activ|acts|activations?|nonlin\w*|snake|swish)(_|$)|prelu")
LAYER_SCALE_CLASS = re.compile(r"(?i)layer_?scale|residual_?scale|res_?scale")
LAYER_SCALE_MODULE = re.compile(r"(^|_)(layer_?scale|res_?scale|ls|lambda)(_|$)|layerscale")
CONV_CLASS = re.compile(r"[Cc]onv(_?[123]d|Transpose|olution)")
FOURIER_CLASS = re.compile(r"Fourier|Rotary|R[Oo]PE|Rope(?![a-z])")
EMBEDDING_CLASS = re.compile(r"(?i)embed|codebook|quantiz")
EMBEDDING_MODULE = re.compile(
    r"^(?!.*(proj|out|linear|head|norm|patch|conv|fc|dense|mapper|mlp)).*((^|_)(embed|embeds|embedder|emb|embs|wte|codebook|lookup)(_|$)"
    r"|embeddings?(_|$)|(^|_)shared$)"
)
EMBEDDING_DICT = re.compile(r"(^|_)emb(ed(ding)?s?)?_(dict|list)$")
