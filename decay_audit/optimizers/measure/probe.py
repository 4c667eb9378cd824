"""Steps tried on stand-ins: an optimizer goes in, each stand-in's values before and after every step come out.

The random generators, torch's global hooks and the optimizer itself are afterwards as they were.
"""

import random
import sys
import warnings
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from typing import Any, Literal

import torch
from msgspec import Struct

from decay_audit.errors import OptimizerError
from decay_audit.optimizers.measure.stand_ins import Copy, duplicate

Gradient = Literal["zero", "with", "against"]
"""Zero, or of the weight's sign (a step on it shrinks the weight), or of the other sign."""
LR_IF_ZERO = 1e-3
"""A group's lr in a probe where it is 0, as before the first step of a warm-up, and no `initial_lr` is kept."""
LOUD = 0.1
STRENGTH = 1e-2
"""Size of a gradient that is not zero, relative to the weight."""


class Trail(Struct, frozen=True, kw_only=True):
    """What steps did.

    Attributes:
        values: id of the original tensor -> the stand-in's values before the first and after each step.
        rates: id of the original tensor -> the lr that its group stepped with; 1 where it has none.
    """

    values: Mapping[int, tuple[torch.Tensor, ...]]
    rates: Mapping[int, float]


def probe(
    optimizer: torch.optim.Optimizer,
    *,
    steps: int = 1,
    dtype: torch.dtype | None = None,
    gradient: Gradient = "zero",
    decay: bool = True,
    amplify: bool = False,
    only: Collection[int] | None = None,
) -> Trail:
    """Take steps on a copy.

    Args:
        dtype: dtype of the stand-ins; None keeps each parameter's own.
        decay: False sets every coefficient to 0 first.
        amplify: raise every lr to at least `LOUD`, so that rounding does not drown what a step does.
        only: ids of the tensors to step; None steps all.

    Raises:
        OptimizerError: no way to step worked; the message is the optimizer's.
    """
    errors: list[Exception] = []
    with undisturbed():
        for keep_state, take in _WAYS:
            copied = duplicate(optimizer, dtype, keep_state=keep_state, only=only)
            rates = _prepare(copied, decay=decay, amplify=amplify)
            try:
                with _out_of_reach(optimizer):
                    return Trail(values=_values(copied, steps, partial(take, copied, gradient)), rates=rates)
            except Exception as error:  # noqa: BLE001 - a step is somebody's code and may fail in any way
                errors.append(error)
    raise OptimizerError(
        f"{type(optimizer).__name__} does not survive a step: {type(errors[0]).__name__}: {errors[0]}",
        "leave out --measure; its groups can be read all the same",
    ) from errors[0]


@contextmanager
def _out_of_reach(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Take values and gradients from the real parameters meanwhile: a step may find these by other ways than groups."""
    tensors = [tensor for group in optimizer.param_groups for tensor in group["params"] if _is_plain(tensor)]
    held = [(tensor, tensor.data, tensor.grad) for tensor in tensors]
    try:
        for tensor in tensors:
            tensor.grad = None
            tensor.data = tensor.data.new_empty(0)
        yield
    finally:
        for tensor, values, gradient in held:
            tensor.data = values
            tensor.grad = gradient


def _is_plain(tensor: torch.Tensor) -> bool:
    """Whether its values are its own, and not spread over ranks or packed."""
    return type(tensor) in (torch.Tensor, torch.nn.Parameter) and tensor.is_leaf and not tensor.is_inference()


def _prepare(copied: Copy, *, decay: bool, amplify: bool) -> dict[int, float]:
    """Give every group an lr that moves, and drop the coefficients if asked; say the lr of every tensor."""
    by_stand_in: dict[int, float] = {}
    for group in copied.optimizer.param_groups:
        if "lr" in group and not float(group["lr"] or 0):
            _set_lr(group, float(group.get("initial_lr") or LR_IF_ZERO))
        if "lr" in group and amplify:
            _set_lr(group, max(float(group["lr"]), LOUD))
        if group.get("warmup_steps"):
            group["warmup_steps"] = 0  # as with lr, what is measured is a step of the run that it leads to
        for key in ("weight_decay", "wd"):
            if key in group and not decay:
                group[key] = 0.0
        for stand_in in group["params"]:
            by_stand_in[id(stand_in)] = float(group.get("lr") or 1.0)
    return {key: by_stand_in[id(stand_in)] for key, stand_in in copied.stand_ins.items()}


def _set_lr(group: dict[str, Any], lr: float) -> None:
    if isinstance(group["lr"], torch.Tensor):  # some insist on the tensor that they made
        group["lr"].fill_(lr)
    else:
        group["lr"] = lr


def _values(copied: Copy, steps: int, take: Callable[[], None]) -> dict[int, tuple[torch.Tensor, ...]]:
    train = getattr(copied.optimizer, "train", None)
    if callable(train):  # schedule-free optimizers step in this mode only
        train()
    trails = [_snapshot(copied)]
    for _ in range(steps):
        take()
        trails.append(_snapshot(copied))
    return {key: tuple(trail[key] for trail in trails) for key in copied.stand_ins}


def _snapshot(copied: Copy) -> dict[int, torch.Tensor]:
    return {key: stand_in.detach().clone() for key, stand_in in copied.stand_ins.items()}


def _trainable(copied: Copy) -> Iterator[torch.Tensor]:
    """Frozen parameters get no gradient, and an optimizer that skips those must be seen to."""
    return (stand_in for stand_in in copied.stand_ins.values() if stand_in.requires_grad)


def _set(copied: Copy, gradient: Gradient) -> None:
    factor = {"zero": 0.0, "with": STRENGTH, "against": -STRENGTH}[gradient]
    for stand_in in _trainable(copied):
        stand_in.grad = torch.zeros_like(stand_in) if not factor else stand_in.detach() * factor


def _plain(copied: Copy, gradient: Gradient) -> None:
    _set(copied, gradient)
    copied.optimizer.step()


def _with_closure(copied: Copy, gradient: Gradient) -> None:
    def closure() -> torch.Tensor:
        _set(copied, gradient)
        return torch.zeros((), requires_grad=True)

    closure()
    copied.optimizer.step(closure)


def _with_graph(copied: Copy, gradient: Gradient) -> None:
    """Second-order optimizers differentiate the gradient once more."""
    factor = {"zero": 0.0, "with": STRENGTH, "against": -STRENGTH}[gradient]
    trained = list(_trainable(copied))
    with torch.enable_grad():
        loss = torch.stack([(stand_in**2).sum() for stand_in in trained]).sum() * (factor / 2)
        gradients = torch.autograd.grad(loss, trained, create_graph=True)
    for stand_in, made in zip(trained, gradients, strict=True):
        stand_in.grad = made
    copied.optimizer.step()


def _sparse(copied: Copy, gradient: Gradient) -> None:
    _set(copied, gradient)
    for stand_in in _trainable(copied):
        if stand_in.grad is not None:
            stand_in.grad = stand_in.grad.to_sparse()
    copied.optimizer.step()


_WAYS: tuple[tuple[bool, Callable[[Copy, Gradient], None]], ...] = (
    (False, _plain),
    (True, _plain),  # states that the constructor makes, as Adagrad's
    (False, _with_closure),
    (False, _with_graph),
    (True, _with_graph),
    (False, _sparse),
)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Keep random generators, global hooks and warnings as they are, whatever happens inside."""
    hooks: Any = import_module("torch.optim.optimizer")  # torch.optim hides the name of this module
    kept = hooks._global_optimizer_pre_hooks, hooks._global_optimizer_post_hooks
    python, numpy = random.getstate(), sys.modules.get("numpy")
    numbers: Any = numpy.random.get_state() if numpy else None
    try:
        hooks._global_optimizer_pre_hooks, hooks._global_optimizer_post_hooks = OrderedDict(), OrderedDict()
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        hooks._global_optimizer_pre_hooks, hooks._global_optimizer_post_hooks = kept
        random.setstate(python)
        if numpy:
            numpy.random.set_state(numbers)
