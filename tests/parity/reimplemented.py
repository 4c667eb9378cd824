"""The rules of codebases that cannot be installed, implemented again in our own words, on live modules.

Each function gives (weight_decay, lr_scale, use), or a part of it, for every parameter that the codebase hands to an
optimizer. Facts are from the versions that the presets name as their source.
"""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from tests.parity.reimplemented_language import (
    flash_attention,
    gpt_lists,
    gpt_neox,
    hf_older,
    muon,
    nanochat,
)
from tests.parity.reimplemented_vision import (
    beit_spares,
    convnext_layer,
    dino_layers,
    mae_spares,
    maskrcnn,
    open_clip,
    slowfast,
    swin,
    torchvision,
    vit_layer,
    with_layers,
    yolov5,
)
from tests.parity.reimplementing import (
    Reimplementation,
    bare_bias,
    by_name_and_shape,
    by_owner,
    dotted_bias,
    either,
    first_names,
    flat,
    has,
    homes_of,
)

DINO_TOKENS = ("pos_embed", "patch_embed", "mask_token", "cls_token")
_TORCH_NORMS = (_BatchNorm, _InstanceNorm, nn.LayerNorm, nn.GroupNorm)


REIMPLEMENTED_RULES: dict[str, Reimplementation] = {
    "torch-default": by_name_and_shape(lambda *_: False, frozen=True),
    "torchvision": torchvision(swin=False),
    "torchvision-swin": torchvision(swin=True),
    "hf-trainer-4.49": hf_older(("bias", "layernorm", "rmsnorm"), fold=True),
    "hf-trainer-4.48": hf_older(("bias",), fold=False),
    "hf-no-trainer": by_name_and_shape(has("bias", "layer_norm.weight"), frozen=True),
    "detectron2": by_owner(
        (
            nn.BatchNorm1d,
            nn.BatchNorm2d,
            nn.BatchNorm3d,
            nn.SyncBatchNorm,
            nn.GroupNorm,
            nn.InstanceNorm1d,
            nn.InstanceNorm2d,
            nn.InstanceNorm3d,
            nn.LayerNorm,
            nn.LocalResponseNorm,
        )
    ),
    "maskrcnn-benchmark": maskrcnn,
    "mingpt": gpt_lists(frozen=True, norms=(nn.LayerNorm,)),
    "nanogpt": by_name_and_shape(lambda _, tensor: tensor.dim() < 2),
    "nanochat": nanochat,
    "swin": swin,
    "mae": with_layers(mae_spares, 0.75, vit_layer(("cls_token", "pos_embed"))),
    "beit": with_layers(beit_spares, 0.9, vit_layer(("cls_token", "mask_token", "pos_embed"))),
    "convnext": with_layers(beit_spares, 0.8, convnext_layer, top=13),
    "convnext-v2": lambda model, base: by_name_and_shape(
        either(beit_spares(model), lambda name, _: name.endswith((".gamma", ".beta")))
    )(model, base),
    "dino": by_name_and_shape(either(flat, dotted_bias)),
    "dinov2": dino_layers(
        either(dotted_bias, has("norm", "gamma")), (*DINO_TOKENS, "register_tokens"), looks_into_backbone=True
    ),
    "dinov3": dino_layers(
        either(bare_bias, has("norm", "gamma", "fourier_w")),
        (*DINO_TOKENS, "storage_tokens"),
        looks_into_backbone=False,
    ),
    "open-clip": open_clip,
    "open-clip-3.3": by_name_and_shape(
        either(lambda _, tensor: tensor.dim() < 2, has("bn", "ln", "bias", "logit_scale"))
    ),
    "simclr": by_name_and_shape(has("bias", "bn")),
    "yolov5": yolov5,
    "nemo": by_name_and_shape(has("bias")),
    "deepspeed-chat": by_name_and_shape(
        lambda name, _: any(
            part in name.lower()
            for part in ("bias", "layer_norm.weight", "layernorm.weight", "norm.weight", "ln_f.weight")
        )
    ),
    "gpt-neox": gpt_neox,
    "flash-attention": flash_attention,
    "olmo": gpt_lists(frozen=False, norms=(nn.LayerNorm,)),
    "olmo-core": by_name_and_shape(lambda name, _: name == "embeddings.weight"),
    "bert": by_name_and_shape(has("LayerNorm", "layer_norm", "bias")),
    "tf-resnet": by_owner((_BatchNorm,)),
    "gluon-no-wd": lambda model, base: {
        name: (
            0.0
            if any(part in name for part in ("bias", "beta", "gamma"))
            or (name.endswith("weight") and isinstance(owner, _TORCH_NORMS))
            else base,
        )
        for name, _ in first_names(model, frozen=False)
        for owner in [homes_of(model, name)]
    },
    "basecls-vit": by_owner(_TORCH_NORMS, has("pos_embed", "cls_token", "bias"), frozen=True),
    "slowfast": slowfast,
    "keller-muon": muon(lambda name, tensor: name.startswith("body.") and tensor.dim() >= 2),
    "moonlight-muon": muon(
        lambda name, tensor: tensor.dim() >= 2 and "embed_tokens" not in name and "lm_head" not in name
    ),
}
