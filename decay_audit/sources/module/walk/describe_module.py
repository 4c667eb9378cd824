"""What one module says about itself: its class names, plain settings, hooks, and whether it only wraps another."""

import sys
from collections.abc import Collection

import torch
from msgspec import Struct
from torch import nn

from decay_audit.model.parameters import Declaration

_WRAPPERS = {
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
"""Classes that hold one model and add nothing to it but a part of its names."""

_SHARDED = "torch.distributed.fsdp._fully_shard."
"""`fully_shard` swaps a module's class for one derived from it: a wrapper without a name of its own."""
_QUANTIZED = ("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized")
_PLAIN = frozenset({int, float, bool, str})
_CONTAINERS = frozenset({dict, list, tuple})
_STANDARD = frozenset(nn.Module().__dict__)
_LONGEST = 64

Settings = dict[str, int | float | str | bool]


class Kind(Struct, frozen=True, kw_only=True):
    """What the class of a module tells; looked up once for each class.

    Attributes:
        types: qualified names of its MRO, most derived first, up to and with `torch.nn.Module`.
        wraps: the part of names under which it holds the one model that it wraps; None for all others.
        hooked: it has a hook that declares what should not decay.
        scripted: its real class is the one that it was compiled from.
        quantized: it keeps its weights packed, where no parameter holds them.
    """

    types: tuple[str, ...]
    wraps: str | None
    hooked: bool
    scripted: bool
    quantized: bool


def kind(module: nn.Module) -> Kind:
    """Look at the class of `module`."""
    this = type(module)
    types = _type_names(this)
    return Kind(
        types=types,
        wraps=next((_WRAPPERS[name] for name in types if name in _WRAPPERS), None),
        hooked=hasattr(this, "no_weight_decay") or hasattr(this, "no_weight_decay_keywords"),
        scripted=issubclass(this, torch.jit.ScriptModule),
        quantized=this.__module__.startswith(_QUANTIZED) and not this.__name__.endswith("PackedParams"),
    )


def plain(module: nn.Module) -> tuple[Settings, list[tuple[str, list[nn.Module]]]]:
    """Collect what a module keeps in plain attributes.

    Returns:
        The numbers and short words, and the modules in plain dicts and lists: torch does not see their parameters.
    """
    settings: Settings = {}
    kept = []
    for name in [name for name in module.__dict__ if name not in _STANDARD]:
        value = module.__dict__[name]
        this = type(value)
        if this in _PLAIN and name[0] != "_" and (this is not str or len(value) <= _LONGEST):
            settings[name] = value
        elif this in _CONTAINERS and value and name[0] != "_":
            held = [each for each in (value.values() if this is dict else value) if isinstance(each, nn.Module)]
            kept += [(name, held)] if held else []
    return settings, kept


def scripted(module: nn.Module) -> tuple[tuple[str, ...], Settings]:
    """Name the classes that a scripted module was compiled from, and the constants that it kept of them."""
    parts = str(module._c._type().qualified_name()).split(".")  # type: ignore[union-attr, operator]
    *place, name = (part for part in parts if part != "__torch__" and not part.startswith("___torch_mangle_"))
    origin = getattr(sys.modules.get(".".join(place)), name, None)
    if not (isinstance(origin, type) and issubclass(origin, nn.Module)):
        return (".".join((*place, name)), *_type_names(type(module))), {}
    constants = [constant for constant in getattr(origin, "__constants__", ()) if hasattr(module, constant)]
    values = {constant: getattr(module, constant) for constant in constants}
    return _type_names(origin), {key: value for key, value in values.items() if type(value) in _PLAIN}


def declares(module: nn.Module) -> Declaration:
    """Ask the module's hooks what should not decay.

    Raises:
        Exception: whatever a hook of the user's raises.
    """
    return Declaration(
        names=_words(getattr(module, "no_weight_decay", ())),
        keywords=_words(getattr(module, "no_weight_decay_keywords", ())),
    )


def _type_names(this: type) -> tuple[str, ...]:
    line = this.__mro__
    end = line.index(nn.Module) + 1 if nn.Module in line else len(line)
    return tuple(name for name in map(_qualified, line[:end]) if not name.startswith(_SHARDED))


def _qualified(this: type) -> str:
    public = this.__module__.startswith("torch.") and getattr(nn, this.__name__, None) is this
    return f"torch.nn.{this.__name__}" if public else f"{this.__module__}.{this.__qualname__}"


def _words(hook: object) -> tuple[str, ...]:
    """The answer of a hook, or an attribute in its place; sorted where the model gives a set."""
    answer = hook() if callable(hook) else hook
    if answer is None:
        return ()
    if isinstance(answer, str):
        return (answer,)
    if not isinstance(answer, Collection):
        raise TypeError(f"expected a set of names, not {type(answer).__name__}")
    words = [word for word in answer if isinstance(word, str)]
    return tuple(sorted(words) if isinstance(answer, set | frozenset) else words)
