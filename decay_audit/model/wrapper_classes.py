"""Classes of modules that only wrap a model, such as DataParallel."""

from collections.abc import Mapping, Sequence

WRAPPER_CLASSES: Mapping[str, str] = {
    "torch.nn.DataParallel": "module",
    "torch.nn.parallel.distributed.DistributedDataParallel": "module",
    "torch._dynamo.eval_frame.OptimizedModule": "_orig_mod",
    "torch.distributed.algorithms._checkpoint.checkpoint_wrapper.ActivationWrapper": "_checkpoint_wrapped_module",
    "torch.distributed.fsdp.fully_sharded_data_parallel.FullyShardedDataParallel": "_fsdp_wrapped_module",
    "torch.optim.swa_utils.AveragedModel": "module",
    "fairscale.nn.checkpoint.checkpoint_activations.CheckpointWrapper": "_checkpoint_wrapped_module",
    "fairscale.nn.data_parallel.fully_sharded_data_parallel.FullyShardedDataParallel": "_fsdp_wrapped_module",
    "fairscale.nn.misc.flatten_params_wrapper.FlattenParamsWrapper": "_fpw_module",
    "apex.parallel.distributed.DistributedDataParallel": "module",
    "deepspeed.runtime.engine.DeepSpeedEngine": "module",
    "lightning.fabric.wrappers._FabricModule": "_forward_module",
    "lightning_fabric.wrappers._FabricModule": "_forward_module",
    "megatron.core.transformer.module.Float16Module": "module",
    "opacus.grad_sample.grad_sample_module.GradSampleModule": "_module",
    "timm.utils.model_ema.ModelEmaV2": "module",
    "timm.utils.model_ema.ModelEmaV3": "module",
}
"""Classes that hold one model and only add a part to its names. The value is the name of the child module."""


def wrapped_child(types: Sequence[str]) -> str | None:
    """Find the name of the child that is the wrapped model; None if the class is no wrapper.

    Args:
        types: the qualified names of the class's MRO.
    """
    return next((WRAPPER_CLASSES[name] for name in types if name in WRAPPER_CLASSES), None)
