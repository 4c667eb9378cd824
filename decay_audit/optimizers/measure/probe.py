"""Run steps on a copy of an optimizer, and return the values of each probe tensor before and after every step.

The optimizer, its parameters, random generators and torch's global hooks are left as they were.
"""

import random
import sys
import warnings
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout
from functools import partial
from importlib import import_module
from typing import Any, Literal

import torch
from msgspec import Struct

from decay_audit.errors import OptimizerError
from decay_audit.optimizers.measure.probe_tensors import (
    ProbeOptimizer,
    States,
    copy_onto_probe_tensors,
    edited_groups,
)
from decay_audit.optimizers.table.group_keys import COEFFICIENT_KEYS, LR_KEYS, WARMUP_KEYS

Gradient = Literal["zero", "shrinking", "growing", "random", "large"]
"""A gradient of zero, one that shrinks the weight, one that makes it larger, a random one, or a large random one."""
LR_IF_ZERO = 1e-3
"""The lr in a probe for a group whose lr is 0 (the start of a warm-up) and that has no `initial_lr`."""
AMPLIFIED_LR = 0.1
"""The smallest lr for steps that must change values by more than the rounding errors of float32."""
NEAR = 0.1
"""A step overwrote a tensor with other values if it brought it closer to them than this part of the distance."""
EARLY_SNAPSHOTS = 2
"""How many snapshots of a tensor count as early: the ones before and after the first step."""
GRADIENT_SIZE = 1e-2
"""Size of a gradient that is not zero, relative to the weight."""

SEED = 0


class Factors(Struct, frozen=True, kw_only=True):
    """Factors for the learning rates, the coefficients and the weights of a copy. They are applied before its steps."""

    lr: float = 1
    coefficient: float = 1
    weight: float = 1


UNCHANGED = Factors()


class History(Struct, frozen=True, kw_only=True):
    """Steps that a copy takes first, and their gradient. Their values are not returned; factors are applied later."""

    steps: int = 0
    gradient: Gradient = "random"


NO_HISTORY = History()


class ProbeResult(Struct, frozen=True, kw_only=True):
    """The results of the steps, by the id of the original tensor.

    Attributes:
        values: the values of its probe tensor before the first step and after each step.
        lrs: the lr of its group in the steps; 1 if the group has none.
        keep_early_values: the tensors whose state still holds, after steps with random gradients (`history`), their
            values from before or after the first of these steps; empty without such steps.
        dtype, amplify: the arguments of `probe`.
    """

    values: Mapping[int, tuple[torch.Tensor, ...]]
    lrs: Mapping[int, float]
    keep_early_values: frozenset[int] = frozenset()
    dtype: torch.dtype | None = None
    amplify: bool = False


def probe(
    optimizer: torch.optim.Optimizer,
    *,
    steps: int = 1,
    dtype: torch.dtype | None = None,
    gradient: Gradient = "zero",
    amplify: bool = False,
    factors: Factors = UNCHANGED,
    history: History = NO_HISTORY,
    only: Collection[int] | None = None,
) -> ProbeResult:
    """Take steps on a copy of an optimizer.

    Args:
        dtype: the dtype of the probe tensors; None keeps each parameter's own.
        amplify: raise every lr to at least `AMPLIFIED_LR`, so that the step is larger than rounding errors.
        factors: factors for learning rates, coefficients and weights.
        history: steps to take first; their values are not returned.
        only: ids of the tensors to step; None steps all.

    Raises:
        OptimizerError: the optimizer cannot step; the message has the error that it raised.
    """
    errors: list[Exception] = []
    with global_state_restored():
        for states, step in _STEP_FORMS:
            try:
                make_copy = partial(copy_onto_probe_tensors, optimizer, dtype, states=states, only=only)
                copy = make_copy()
                if (copy.weight_copies or copy.meta_states) and _overwrites_weights(make_copy(), step, optimizer):
                    _adopt_master_weights(copy, factors.weight)
                lrs = _prepare_groups(copy, amplify=amplify)
                with _parameters_hidden(optimizer):
                    before = _values_of_steps(copy, history.steps, partial(step, copy, history.gradient))
                    kept = {key for key, earlier in before.items() if history.steps and _keeps(copy, key, earlier)}
                    _multiply(copy, factors)
                    values = _values_of_steps(copy, steps, partial(step, copy, gradient), history.steps)
                return ProbeResult(
                    values=values, lrs=lrs, keep_early_values=frozenset(kept), dtype=dtype, amplify=amplify
                )
            except OptimizerError:
                raise
            except Exception as error:  # noqa: BLE001 - a step is a library's or the user's code and may raise anything
                errors.append(error)
    raise OptimizerError(
        f"{type(optimizer).__name__}.step() raised {type(errors[0]).__name__}: {errors[0]}",
        "run with --no-measure: param groups are read without a step",
    ) from errors[0]


def _keeps(copy: ProbeOptimizer, key: int, snapshots: Sequence[torch.Tensor]) -> bool:
    """Whether the state of a probe tensor has a tensor with the values of one of the early snapshots."""
    entries = getattr(copy.optimizer, "state", {}).get(copy.tensors[key], {})
    states = [state for state in entries.values() if isinstance(state, torch.Tensor)] if entries else []
    early = snapshots[:EARLY_SNAPSHOTS]
    return any(state.shape == values.shape and torch.equal(state, values) for state in states for values in early)


def _overwrites_weights(
    copy: ProbeOptimizer, step: Callable[[ProbeOptimizer, Gradient, int], None], optimizer: torch.optim.Optimizer
) -> bool:
    """Whether a step writes a tensor that the optimizer keeps into a parameter: that tensor is a master weight.

    The tensors that `copy` keeps have other values than the probe tensors. An overwritten probe tensor is near to them.
    """
    pairs = (*copy.weight_copies, *copy.meta_states)
    before = [(kept.detach().clone(), tensor, tensor.detach().clone()) for kept, tensor in pairs]
    _prepare_groups(copy, amplify=False)
    with _parameters_hidden(optimizer):
        _values_of_steps(copy, 1, partial(step, copy, "zero"))
    return any((tensor.detach() - kept).norm() < NEAR * (values - kept).norm() for kept, tensor, values in before)


def _adopt_master_weights(copy: ProbeOptimizer, factor: float) -> None:
    """Give the master weights of a copy the values of their probe tensors, times a factor.

    Raises:
        OptimizerError: on the meta device, a state does not show whether it is a master weight or a moment.
    """
    if copy.meta_states:
        raise OptimizerError("the step needs the values of states that are on the meta device")
    for kept, tensor in copy.weight_copies:
        kept.data = (tensor.detach() * factor).to(torch.promote_types(kept.dtype, tensor.dtype))


@contextmanager
def _parameters_hidden(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Empty the real parameters in the with-statement, and remove their gradients: the copy may use them."""
    tensors = [tensor for group in optimizer.param_groups for tensor in group["params"] if _is_ordinary(tensor)]
    contents = [(tensor, tensor.data, tensor.grad) for tensor in tensors]
    try:
        for tensor in tensors:
            tensor.grad = None
            tensor.data = tensor.data.new_empty(0)
        yield
    finally:
        for tensor, values, gradient in contents:
            tensor.data = values
            tensor.grad = gradient


def _is_ordinary(tensor: torch.Tensor) -> bool:
    """Whether a tensor is neither distributed over ranks nor packed by a wrapper."""
    return type(tensor) in (torch.Tensor, torch.nn.Parameter) and tensor.is_leaf and not tensor.is_inference()


def _prepare_groups(copy: ProbeOptimizer, *, amplify: bool) -> dict[int, float]:
    """Give every group an lr above 0, and end its warm-up; return the lr of each tensor."""
    lrs: dict[int, float] = {}
    for group in edited_groups(copy.optimizer):
        if "lr" in group and not float(group["lr"] or 0):
            _set_lr(group, float(group.get("initial_lr") or LR_IF_ZERO))
        if "lr" in group and amplify and float(group["lr"]) < AMPLIFIED_LR:
            _multiply_settings(group, dict.fromkeys(LR_KEYS, AMPLIFIED_LR / float(group["lr"])))
        for key in WARMUP_KEYS:
            if group.get(key):
                group[key] = 0  # a step after the warm-up is measured
        for tensor in group["params"]:
            lrs[id(tensor)] = float(group.get("lr") or 1.0)
    return {key: lrs[id(tensor)] for key, tensor in copy.tensors.items()}


def _multiply(copy: ProbeOptimizer, factors: Factors) -> None:
    """Multiply the learning rates, the coefficients and the weights of a copy by their factors."""
    by_key = {**dict.fromkeys(LR_KEYS, factors.lr), **dict.fromkeys(COEFFICIENT_KEYS, factors.coefficient)}
    for group in edited_groups(copy.optimizer):
        _multiply_settings(group, by_key)
    _multiply_settings(getattr(copy.optimizer, "defaults", {}), by_key)
    for tensor in copy.tensors.values():
        if factors.weight != 1:
            tensor.data.mul_(factors.weight)


def _multiply_settings(settings: dict[str, Any], factors: Mapping[str, float]) -> None:
    for key, factor in factors.items():
        match settings.get(key):
            case torch.Tensor() as value:
                settings[key] = value.mul_(factor)  # some optimizers need the tensor that they made
            case float() | int() as value if factor != 1:
                settings[key] = value * factor


def _set_lr(group: dict[str, Any], lr: float) -> None:
    if isinstance(group["lr"], torch.Tensor):  # some optimizers need the tensor that they made
        group["lr"].fill_(lr)
    else:
        group["lr"] = lr


def _values_of_steps(
    copy: ProbeOptimizer, steps: int, step: Callable[[int], None], first: int = 0
) -> dict[int, tuple[torch.Tensor, ...]]:
    """Take steps; return the values of each probe tensor before the first step and after each step."""
    train = getattr(copy.optimizer, "train", None)
    if callable(train):  # schedulefree's optimizers step in this mode only
        train()
    snapshots = [_snapshot(copy)]
    for index in range(first, first + steps):
        step(index)
        snapshots.append(_snapshot(copy))
    return {key: tuple(snapshot[key] for snapshot in snapshots) for key in copy.tensors}


def _snapshot(copy: ProbeOptimizer) -> dict[int, torch.Tensor]:
    return {key: tensor.detach().clone() for key, tensor in copy.tensors.items()}


def _trainable(copy: ProbeOptimizer) -> Iterator[torch.Tensor]:
    """Yield the tensors that get a gradient. As in training, frozen parameters get none: an optimizer may skip them."""
    return (tensor for tensor in copy.tensors.values() if tensor.requires_grad)


def _set_gradients(copy: ProbeOptimizer, gradient: Gradient, index: int) -> None:
    generator = torch.Generator().manual_seed(SEED + index)
    for tensor in _trainable(copy):
        tensor.grad = _gradient(tensor.detach(), gradient, generator)


def _gradient(tensor: torch.Tensor, gradient: Gradient, generator: torch.Generator) -> torch.Tensor:
    match gradient:
        case "zero":
            return torch.zeros_like(tensor)
        case "shrinking":
            return tensor * GRADIENT_SIZE
        case "growing":
            return tensor * -GRADIENT_SIZE
        case "random" | "large":
            noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
            size = 1 if gradient == "large" else GRADIENT_SIZE
            return (noise * size * tensor.double().square().mean().sqrt()).to(tensor.dtype)


def _step(copy: ProbeOptimizer, gradient: Gradient, index: int) -> None:
    _set_gradients(copy, gradient, index)
    copy.optimizer.step()


def _step_with_closure(copy: ProbeOptimizer, gradient: Gradient, index: int) -> None:
    def closure() -> torch.Tensor:
        _set_gradients(copy, gradient, index)
        return torch.zeros((), requires_grad=True)

    closure()
    copy.optimizer.step(closure)


def _step_with_graph(copy: ProbeOptimizer, gradient: Gradient, index: int) -> None:  # noqa: ARG001
    """Take a step of a second-order optimizer, which differentiates the gradient once more."""
    factor = {
        "zero": 0.0,
        "shrinking": GRADIENT_SIZE,
        "growing": -GRADIENT_SIZE,
        "random": GRADIENT_SIZE,
        "large": 1.0,
    }[gradient]
    trained = list(_trainable(copy))
    with torch.enable_grad():
        loss = torch.stack([(tensor**2).sum() for tensor in trained]).sum() * (factor / 2)
        gradients = torch.autograd.grad(loss, trained, create_graph=True)
    for tensor, tensor_gradient in zip(trained, gradients, strict=True):
        tensor.grad = tensor_gradient
    copy.optimizer.step()


def _step_with_sparse_gradients(copy: ProbeOptimizer, gradient: Gradient, index: int) -> None:
    _set_gradients(copy, gradient, index)
    for tensor in _trainable(copy):
        if tensor.grad is not None:
            tensor.grad = tensor.grad.to_sparse()
    copy.optimizer.step()


_STEP_FORMS: tuple[tuple[States, Callable[[ProbeOptimizer, Gradient, int], None]], ...] = (
    ("flags", _step),
    ("none", _step),  # for classes that expect the moments in every state that is not empty
    ("first", _step),  # for states that the constructor makes, such as Adagrad's
    ("none", _step_with_closure),
    ("none", _step_with_graph),
    ("first", _step_with_graph),
    ("none", _step_with_sparse_gradients),
)
"""Which states to keep, and how to step. The first pair that works without an error is used."""


def _uncompiled() -> AbstractContextManager[object]:
    """Run compiled steps as they are written: compiling one for a few probe tensors takes longer than the audit."""
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()


def _seed(numpy: Any) -> None:  # noqa: ANN401 - a module that may not be installed
    """Seed the random generators of the CPU, so that the same optimizer always gives the same result."""
    torch.default_generator.manual_seed(SEED)
    random.seed(SEED)
    if numpy:
        numpy.random.seed(SEED)


@contextmanager
def global_state_restored() -> Iterator[None]:
    """Restore random generators, global hooks, warnings and standard output at the end."""
    hooks: Any = import_module("torch.optim.optimizer")  # torch.optim has an attribute of the same name
    global_hooks = hooks._global_optimizer_pre_hooks, hooks._global_optimizer_post_hooks
    python_state, numpy = random.getstate(), sys.modules.get("numpy")
    numpy_state: Any = numpy.random.get_state() if numpy else None
    try:
        hooks._global_optimizer_pre_hooks, hooks._global_optimizer_post_hooks = OrderedDict(), OrderedDict()
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _seed(numpy)
            with redirect_stdout(sys.stderr), _uncompiled():  # standard output is the report's
                yield
    finally:
        hooks._global_optimizer_pre_hooks, hooks._global_optimizer_post_hooks = global_hooks
        random.setstate(python_state)
        if numpy:
            numpy.random.set_state(numpy_state)
