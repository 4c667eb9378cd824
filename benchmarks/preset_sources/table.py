"""The source of each preset: repository, file, definitions, revision, and a hash of the text at that revision."""

from collections.abc import Mapping

from msgspec import Struct

from benchmarks.preset_sources import functions
from benchmarks.preset_sources.functions import Ask


class Source(Struct, frozen=True, kw_only=True):
    """The source from which a preset was written.

    Attributes:
        repository: `owner/name` on GitHub; "" where there is none.
        path: the file in it.
        definitions: the functions, classes and methods that hold the rule; () for a file that is not Python.
        revision: the commit, or the release of the package, that was read.
        package: its name on PyPI, where a release was read.
        text: the hash of the text of the definitions at that revision; "" where the text was not available.
        ask: how to call the definitions; None where they cannot be called outside of their file.
        pinned: the preset is meant for that revision; a newer revision has another rule.
        needs: more names that the definitions use: definitions and constants of the file, or classes that the file
            imports, which are replaced.
    """

    repository: str = ""
    path: str = ""
    definitions: tuple[str, ...] = ()
    revision: str
    package: str = ""
    text: str = ""
    ask: Ask | None = None
    pinned: bool = False
    needs: tuple[str, ...] = ()


_BEIT = ("get_num_layer_for_vit", "LayerDecayValueAssigner", "get_parameter_groups")
_OPEN_CLIP = ("exclude_from_wd", "collect_no_weight_decay", "make_wd_exclude")

SOURCES: Mapping[str, Source] = {
    "basecls-vit": Source(
        repository="megvii-research/basecls",
        path="basecls/solver/weight_decay.py",
        definitions=("get_param_groups",),
        revision="2f206e9",
        text="7e0afcdd53db",
    ),
    "beit": Source(
        repository="microsoft/unilm",
        path="beit/optim_factory.py",
        definitions=_BEIT,
        revision="768a3c8",
        text="c7db6206352b",
        ask=functions.beit,
    ),
    "bert": Source(
        repository="google-research/bert",
        path="optimization.py",
        definitions=("AdamWeightDecayOptimizer._do_use_weight_decay",),
        revision="eedf571",
        text="54597bf59ccf",
        ask=functions.bert,
    ),
    "convnext": Source(
        repository="facebookresearch/ConvNeXt",
        path="optim_factory.py",
        definitions=("get_num_layer_for_convnext", "LayerDecayValueAssigner", "get_parameter_groups"),
        revision="048efce",
        text="f4efcfa60e9d",
        ask=functions.convnext,
    ),
    "convnext-v2": Source(
        repository="facebookresearch/ConvNeXt-V2",
        path="optim_factory.py",
        definitions=("get_parameter_groups",),
        revision="2553895",
        text="181a7f663162",
        ask=functions.convnext_v2,
    ),
    "deepspeed-chat": Source(
        repository="deepspeedai/DeepSpeedExamples",
        path="applications/DeepSpeed-Chat/dschat/utils/utils.py",
        definitions=("get_optimizer_grouped_parameters",),
        revision="83757d9",
        text="35ac797a9424",
        ask=functions.deepspeed_chat,
    ),
    "detectron2": Source(
        repository="facebookresearch/detectron2",
        path="detectron2/solver/build.py",
        definitions=("get_default_optimizer_params", "_expand_param_groups", "reduce_param_groups"),
        revision="02b5c4e",
        text="7cbb0e81ced6",
        ask=functions.detectron2,
    ),
    "dino": Source(
        repository="facebookresearch/dino",
        path="utils.py",
        definitions=("get_params_groups",),
        revision="7c446df",
        text="d5f1c74dce9b",
        ask=functions.dino,
    ),
    "dinov2": Source(
        repository="facebookresearch/dinov2",
        path="dinov2/utils/param_groups.py",
        definitions=("get_vit_lr_decay_rate", "get_params_groups_with_decay"),
        revision="b8931f7",
        text="9f12d7a22960",
        ask=functions.dino_multipliers("get_params_groups_with_decay"),
    ),
    "dinov3": Source(
        repository="facebookresearch/dinov3",
        path="dinov3/train/param_groups.py",
        definitions=("get_vit_lr_decay_rate", "get_params_groups_with_decay_fsdp"),
        revision="6876159",
        text="1553f5124b26",
        ask=functions.dino_multipliers("get_params_groups_with_decay_fsdp"),
        needs=("remove_fsdp_compile_names",),
    ),
    "fastai": Source(package="fastai", revision="2.8.12"),
    "flash-attention": Source(
        repository="Dao-AILab/flash-attention",
        path="training/src/optim/param_grouping.py",
        definitions=("group_parameters_for_optimizer",),
        revision="0251105",
        text="8580c88c93fa",
        ask=functions.flash_attention,
        needs=("PositionalEncoding", "FastLayerNorm"),
    ),
    "gluon-no-wd": Source(
        repository="dmlc/gluon-cv",
        path="scripts/classification/imagenet/train_imagenet.py",
        revision="5677756",
        text="66e9f53106c2",
    ),
    "gpt-neox": Source(
        repository="EleutherAI/gpt-neox",
        path="megatron/model/utils.py",
        definitions=("get_params_for_weight_decay_optimization",),
        revision="ea7aefd",
        text="8f98e9ac28d0",
        ask=functions.gpt_neox,
    ),
    "hf-no-trainer": Source(
        repository="huggingface/transformers",
        path="examples/pytorch/language-modeling/run_clm_no_trainer.py",
        definitions=("main",),
        revision="",
    ),
    "hf-trainer": Source(package="transformers", revision="5.24.0"),
    "hf-trainer-4.48": Source(package="transformers", revision="4.48.3", pinned=True),
    "hf-trainer-4.49": Source(package="transformers", revision="4.52.4", pinned=True),
    "keller-muon": Source(repository="KellerJordan/Muon", path="README.md", revision="857d1ad", text="5c62ac385a9b"),
    "lightly": Source(package="lightly", revision="1.6.0"),
    "mae": Source(
        repository="facebookresearch/mae",
        path="util/lr_decay.py",
        definitions=("get_layer_id_for_vit", "param_groups_lrd"),
        revision="efb2a80",
        text="9c3f6f0f1909",
        ask=functions.mae,
    ),
    "maskrcnn-benchmark": Source(
        repository="facebookresearch/maskrcnn-benchmark",
        path="maskrcnn_benchmark/solver/build.py",
        definitions=("make_optimizer",),
        revision="57eec25",
        text="74355ce76902",
        ask=functions.maskrcnn,
    ),
    "megatron": Source(package="megatron-core", revision="0.16.1"),
    "megatron-qk-norm": Source(package="megatron-core", revision="0.16.1"),
    "mingpt": Source(
        repository="karpathy/minGPT",
        path="mingpt/model.py",
        definitions=("GPT.configure_optimizers",),
        revision="37baab7",
        text="1e28084264a8",
        ask=functions.mingpt,
    ),
    "mmengine": Source(package="mmengine-lite", revision="0.10.7"),
    "mmengine-depthwise": Source(package="mmengine-lite", revision="0.10.7"),
    "moonlight-muon": Source(
        repository="MoonshotAI/Moonlight",
        path="examples/toy_train.py",
        definitions=("get_optimizer",),
        revision="c2ad5b2",
        text="d29497686808",
        ask=functions.moonlight,
    ),
    "nanochat": Source(
        repository="karpathy/nanochat",
        path="nanochat/gpt.py",
        definitions=("GPT.setup_optimizer",),
        revision="92d63d4",
        text="0ee9d2b5cf6c",
        ask=functions.nanochat,
        needs=("MuonAdamW",),
    ),
    "nanogpt": Source(
        repository="karpathy/nanoGPT",
        path="model.py",
        definitions=("GPT.configure_optimizers",),
        revision="3adf61e",
        text="fa6743ffa265",
        ask=functions.nanogpt,
    ),
    "nemo": Source(
        repository="NVIDIA/NeMo",
        path="nemo/lightning/pytorch/optim/pytorch.py",
        definitions=("_extract_model_params_for_optim",),
        revision="8cfedd7",
        text="aacd43bc3465",
        ask=functions.nemo,
    ),
    "olmo": Source(
        repository="allenai/OLMo",
        path="olmo/optim.py",
        definitions=("get_param_groups",),
        revision="59a53e3",
        text="f261b2d6cf0a",
        ask=functions.olmo,
        needs=("FullyShardedDataParallel", "LayerNormBase", "PARAM_GROUP_FIELDS"),
    ),
    "olmo-core": Source(
        repository="allenai/OLMo-core",
        path="src/olmo_core/optim/config.py",
        definitions=("OptimConfig.build_groups",),
        revision="fa6c501",
        text="c564b50ed5de",
    ),
    "open-clip": Source(
        repository="mlfoundations/open_clip",
        path="src/open_clip_train/optim.py",
        definitions=_OPEN_CLIP,
        revision="89fb801",
        text="b1bd5ff61e0a",
        ask=functions.open_clip,
    ),
    "open-clip-3.3": Source(
        repository="mlfoundations/open_clip",
        path="src/open_clip_train/main.py",
        definitions=("main",),
        revision="v3.3.0",
        text="8b6967b8cdb1",
        pinned=True,
    ),
    "pytorch-optimizer": Source(package="pytorch-optimizer", revision="4.1.0"),
    "simclr": Source(
        repository="Lightning-AI/lightning-bolts",
        path="src/pl_bolts/models/self_supervised/simclr/simclr_module.py",
        definitions=("SimCLR.exclude_from_wt_decay",),
        revision="2c4602a",
        text="00c1391b8065",
        ask=functions.simclr,
    ),
    "slowfast": Source(
        repository="facebookresearch/SlowFast",
        path="slowfast/models/optimizer.py",
        definitions=("construct_optimizer",),
        revision="287ec00",
        text="2754130cc086",
        ask=functions.slowfast,
    ),
    "swin": Source(
        repository="microsoft/Swin-Transformer",
        path="optimizer.py",
        definitions=("check_keywords_in_name", "set_weight_decay"),
        revision="f82860b",
        text="b11d9a11c32a",
        ask=functions.swin,
    ),
    "tf-resnet": Source(
        repository="tensorflow/models",
        path="official/r1/resnet/resnet_run_loop.py",
        definitions=("resnet_model_fn.exclude_batch_norm",),
        revision="19f3add",
        text="bfbaae872982",
    ),
    "timm": Source(package="timm", revision="1.0.31"),
    "timm-layer-decay": Source(package="timm", revision="1.0.31"),
    "torchtitan": Source(package="torchtitan", revision="0.3.0"),
    "torchvision": Source(
        repository="pytorch/vision",
        path="references/classification/utils.py",
        definitions=("set_weight_decay",),
        revision="",
    ),
    "torchvision-swin": Source(
        repository="pytorch/vision",
        path="references/classification/utils.py",
        definitions=("set_weight_decay",),
        revision="",
    ),
    "ultralytics": Source(package="ultralytics", revision="8.4.190"),
    "yolov5": Source(
        repository="ultralytics/yolov5",
        path="utils/torch_utils.py",
        definitions=("smart_optimizer",),
        revision="5081342",
        text="9823257fc636",
        ask=functions.yolov5,
    ),
}
"""The sources by preset. Policies of decay-audit itself have none, nor has `torch-default`, which decays everything."""
