"""Small unusual modules by name, which readers, rules, emitters and reports must all handle.

`MENAGERIE[name]()` builds a new module on the CPU. Those in `EMPTY` have no parameter that an optimizer could update.
"""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import cast

import torch
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.nn.utils import parametrizations, prune
from torch.optim.swa_utils import AveragedModel

from tests import specimens
from tests.specimens import Bare, Declaring


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Suppress warnings: several of these features are deprecated, and still in use."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _small() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2))


def _frozen() -> nn.Module:
    model = _small()
    model[0].requires_grad_(requires_grad=False)
    return model


def _lazy() -> nn.Module:
    with _without_warnings():
        return nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Linear(2, 2))


def _pruned() -> nn.Module:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    prune.l1_unstructured(model[0], name="weight", amount=0.5)  # type: ignore[no-untyped-call]
    return model


def _weight_norm_old() -> nn.Module:
    with _without_warnings():
        return nn.Sequential(nn.utils.weight_norm(nn.Conv1d(3, 4, 3)), nn.Linear(4, 2))


def _spectral_norm_old() -> nn.Module:
    with _without_warnings():
        return nn.Sequential(nn.utils.spectral_norm(nn.Linear(4, 3)), nn.Linear(3, 2))


def _scripted() -> nn.Module:
    with _without_warnings():
        return torch.jit.script(nn.Sequential(nn.Conv2d(4, 4, 3, groups=4), nn.BatchNorm2d(4), nn.Linear(4, 2)))


def _traced() -> nn.Module:
    with _without_warnings():
        model = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3))
        traced: nn.Module = torch.jit.trace(model, torch.zeros(1, 4))  # type: ignore[no-untyped-call]
        return traced


def _quantized() -> nn.Module:
    with _without_warnings():
        return _quantize(nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.GRU(4, 4)))


def _all_quantized() -> nn.Module:
    with _without_warnings():
        return _quantize(nn.Sequential(nn.Linear(4, 4), nn.ReLU()))


def _quantize(model: nn.Module) -> nn.Module:
    quantized: nn.Module = torch.ao.quantization.quantize_dynamic(model, {nn.Linear})  # type: ignore[no-untyped-call]
    return quantized


def _compiled() -> nn.Module:
    return cast("nn.Module", torch.compile(Bare(), backend="eager"))


def _checkpointed() -> nn.Module:
    wrapped: nn.Module = checkpoint_wrapper(_small())
    return wrapped


def _checkpointed_inside() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 2), checkpoint_wrapper(nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))))


def _nested_wrappers() -> nn.Module:
    inner = Declaring()
    inner.add_module("trunk", checkpoint_wrapper(inner.trunk))
    return nn.DataParallel(cast("nn.Module", torch.compile(inner, backend="eager")))


MENAGERIE: dict[str, Callable[[], nn.Module]] = {
    # ties and reuse
    "tied": specimens.Tied,
    "tied_bare": specimens.TiedBare,
    "shared": specimens.Shared,
    "reused": lambda: nn.Sequential(*[nn.Linear(3, 3)] * 4),
    "diamond": specimens.Diamond,
    "cyclic": specimens.Cyclic,
    # parameters outside the usual modules
    "bare": Bare,
    "parameter_list": lambda: nn.Sequential(nn.ParameterList([torch.zeros(2, 2), torch.zeros(3)]), nn.Linear(2, 2)),
    "parameter_dict": lambda: nn.ParameterDict({"b": torch.zeros(2), "a": torch.zeros(2, 3), "bias": torch.zeros(1)}),
    "module_dict": lambda: nn.ModuleDict({"left": nn.Linear(2, 2), "0": nn.PReLU(), "norm": specimens.RMSNorm(2)}),
    "plain_dicts": specimens.PlainDicts,
    "root_bias": specimens.RootBias,
    "scalars": specimens.Scalars,
    "odd_names": specimens.OddNames,
    # states
    "frozen": _frozen,
    "all_frozen": lambda: _small().requires_grad_(requires_grad=False),
    "lazy": _lazy,
    "meta": lambda: nn.Linear(3, 2, device="meta"),
    "pruned": _pruned,
    "flagged": specimens.Flagged,
    "declaring": Declaring,
    "broken_hook": lambda: specimens.BrokenHook(2, 2),
    "subclassed": specimens.Subclassed,
    "complex": lambda: nn.Linear(3, 2, dtype=torch.complex64),
    "bfloat16": lambda: _small().to(torch.bfloat16),
    "mixed_dtypes": lambda: nn.Sequential(nn.Linear(3, 3).half(), nn.LayerNorm(3), nn.Linear(3, 2).double()),
    # parametrizations
    "weight_norm": lambda: nn.Sequential(parametrizations.weight_norm(nn.Conv2d(3, 4, 3)), nn.Linear(4, 2)),
    "weight_norm_old": _weight_norm_old,
    "spectral_norm": lambda: nn.Sequential(parametrizations.spectral_norm(nn.Linear(4, 3)), nn.Linear(3, 2)),
    "spectral_norm_old": _spectral_norm_old,
    # other kinds of module
    "small": _small,
    "transformer": lambda: nn.TransformerEncoderLayer(8, 2, 16),
    "recurrent": lambda: nn.ModuleList([nn.LSTM(3, 4, 2, proj_size=2), nn.GRUCell(3, 4), nn.RNN(3, 4)]),
    "scripted": _scripted,
    "traced": _traced,
    "quantized": _quantized,
    # wrappers
    "data_parallel": lambda: nn.DataParallel(_small()),
    "compiled": _compiled,
    "checkpointed": _checkpointed,
    "checkpointed_inside": _checkpointed_inside,
    "nested_wrappers": _nested_wrappers,
    "averaged": lambda: AveragedModel(_small()),
    # nothing that an optimizer could update
    "no_parameters": lambda: nn.Sequential(nn.ReLU(), nn.Flatten()),
    "buffers_only": specimens.Buffers,
    "all_quantized": _all_quantized,
}

EMPTY = frozenset({"no_parameters", "buffers_only", "all_quantized"})
