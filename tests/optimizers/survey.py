"""Every optimizer class that is installed, built in each of its forms and measured, and held to the table's row."""

import importlib
import inspect
import logging
import pkgutil
import random
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch

import tests.conftest  # noqa: F401 - timm imports torchvision
from decay_audit.model.observations import Movement, Observation
from decay_audit.optimizers.measure import measure
from decay_audit.optimizers.table.classes import CLASSES
from decay_audit.optimizers.table.forms import Path, Row
from decay_audit.optimizers.table.lookup import path
from tests.process_group import process_group

WEIGHT_DECAY = 0.02
LIBRARIES = {
    "torch": ("torch.optim", "torch.distributed.optim.zero_redundancy_optimizer"),
    "timm": ("timm.optim",),
    "pytorch_optimizer": ("pytorch_optimizer",),
    "bitsandbytes": ("bitsandbytes.optim",),
    "muon": ("muon",),
    "torchao": ("torchao.optim",),
    "schedulefree": ("schedulefree",),
    "transformers": ("transformers.optimization",),
    "lion_pytorch": ("lion_pytorch",),
    "prodigyopt": ("prodigyopt",),
}
NEEDS: Mapping[str, Mapping[str, Any]] = {
    "pytorch_optimizer.BSAM": {"num_data": 100},
    "pytorch_optimizer.Ranger21": {"num_iterations": 1000},
    "transformers.Adafactor": {"relative_step": False},
    **{
        f"bitsandbytes.{name}{bits}": {"momentum": 0.9}
        for name in ("SGD", "LARS", "PytorchLARS")
        for bits in ("", "8bit", "32bit")
    },
}
"""Arguments without which a class does not work, besides the parameters and lr."""

_VECTORS = "tensors of one dimension are left out, or follow a coefficient of their own"
_FIRST = "at the first step its denominator is the same for all elements"

EXCEPTIONS: Mapping[tuple[str, str], str] = {
    ("timm.RMSpropTF", ""): _FIRST,
    ("pytorch_optimizer.AdaHessian", "weight_decouple=False"): "the Hessian of a gradient of 0 is 0, and divides",
    ("pytorch_optimizer.ApolloDQN", ""): _FIRST,
    ("pytorch_optimizer.BSAM", ""): "each step perturbs the weight at random",
    ("pytorch_optimizer.DAdaptLion", "weight_decouple=True"): "the distance starts at 1e-6: float32 rounds that away",
    ("pytorch_optimizer.FOCUS", ""): "it pulls towards a running mean of the weight, which starts at 0",
    ("pytorch_optimizer.Kron", ""): _VECTORS,
    ("pytorch_optimizer.Kron", "weight_decouple=False"): _VECTORS,
    ("pytorch_optimizer.LARS", ""): _VECTORS,
    ("pytorch_optimizer.MARS", ""): _VECTORS,
    ("pytorch_optimizer.MARS", "weight_decouple=False"): "its variance reduction turns the sign: weights grow at first",
    ("pytorch_optimizer.Prodigy", "weight_decouple=False"): "nothing moves while all gradients are 0",
    ("pytorch_optimizer.Ranger", "weight_decouple=False"): "its first steps have a negative size: weights grow",
    ("pytorch_optimizer.Ranger21", "weight_decouple=False"): "its warm-up begins below what float32 resolves",
    ("pytorch_optimizer.SaRA", ""): "only elements below 2e-3 are trained; all stand-ins are above",
    ("pytorch_optimizer.SGDSaI", "weight_decouple=False"): "lr is scaled by the first gradient's signal, which is 0",
    ("pytorch_optimizer.SPAM", ""): "only the elements of a random mask",
    ("pytorch_optimizer.VSGD", "weight_decouple=False"): _FIRST,
    ("pytorch_optimizer.Yogi", ""): "its first moment starts at 1e-6, and moves weights a little",
    ("pytorch_optimizer.Fromage", ""): "divides every weight by sqrt(1 + lr^2), whatever the coefficient is",
    ("pytorch_optimizer.FTRL", ""): "makes the weight from the gradients seen alone",
    ("pytorch_optimizer.Gravity", ""): "its velocity starts at random",
    ("pytorch_optimizer.Nero", ""): "keeps the norm of each row of a matrix at 1",
    ("pytorch_optimizer.SRMM", ""): "the weight becomes a running mean of itself, which starts at 0",
    ("pytorch_optimizer.Magma", ""): CLASSES["pytorch_optimizer"]["Magma"].note,
    ("pytorch_optimizer.TRAC", ""): CLASSES["pytorch_optimizer"]["TRAC"].note,
}
"""Class and form of those that do not move as declared, with the reason."""

NOT_RUN: Mapping[str, str] = {
    "pytorch_optimizer.AdaLOMO": "steps inside the backward pass",
    "pytorch_optimizer.GSAM": "wants a closure that returns more than the loss",
    "pytorch_optimizer.LOMO": "steps inside the backward pass",
    "pytorch_optimizer.SafeFP16Optimizer": "steps float32 copies of the parameters",
    "bitsandbytes.AdEMAMix32bit": "has no CPU kernel",
    "bitsandbytes.PagedAdEMAMix32bit": "has no CPU kernel",
}
"""Classes that cannot take a step on a CPU in one process."""


EXPECTED: Mapping[Path, tuple[Movement, ...]] = {
    "lr": ("proportional",),
    "constant": ("proportional",),
    "own": ("proportional", "other"),
    "gradient": ("proportional",),
    "denominator": ("sign", "other"),
    "norm": ("proportional", "sign", "other"),
    "none": ("none",),
}
"""How weights move under each way of the table."""


class Form(NamedTuple):
    """One class in one form: its switch as it comes, or the other way."""

    library: str
    name: str
    switch: str
    row: Row
    way: Path
    observations: tuple[Observation, ...]
    failure: str


def classes(library: str) -> dict[str, type[torch.optim.Optimizer]]:
    """All optimizer classes that a library defines itself, public or not."""
    found: dict[str, type[torch.optim.Optimizer]] = {}
    for module in _modules(library):
        for kind in vars(module).values():
            own = inspect.isclass(kind) and issubclass(kind, torch.optim.Optimizer)
            if own and kind.__module__.partition(".")[0] == library and kind.__name__ not in ("NewCls", "Optimizer"):
                found.setdefault(kind.__name__, kind)
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def _modules(library: str) -> Iterator[Any]:
    for name in LIBRARIES[library]:
        try:
            root = importlib.import_module(name)
        except ImportError:
            continue
        yield root
        for found in pkgutil.walk_packages(getattr(root, "__path__", ()), f"{name}."):
            try:
                yield importlib.import_module(found.name)
            except (ImportError, SystemExit):  # an optional part of the library, or a script
                continue


def model() -> torch.nn.Module:
    """A linear layer, a convolution and a norm: matrices, a 4-D tensor, biases and gains."""
    return torch.nn.Sequential(torch.nn.Linear(12, 16), torch.nn.Conv2d(4, 8, 3), torch.nn.BatchNorm2d(8))


def builders(kind: type[torch.optim.Optimizer]) -> Iterator[Callable[..., Any]]:
    """The ways to hand parameters to a class, the usual one first."""

    def matrices(root: torch.nn.Module, **options: Any) -> Any:
        return kind([each for each in root.parameters() if each.ndim == 2], **options)

    def marked(root: torch.nn.Module, **options: Any) -> Any:
        coefficient = {"weight_decay": options.pop("weight_decay")}
        groups = [
            {
                "params": [each for each in root.parameters() if (each.ndim == 2) is muon],
                "use_muon": muon,
                **coefficient,
            }
            for muon in (True, False)
        ]
        return kind(groups, **options)

    def without(root: torch.nn.Module, *, weight_decay: float, **options: Any) -> Any:
        """A group may hold a coefficient that the constructor does not take."""
        return kind([{"params": [*root.parameters()], "weight_decay": weight_decay}], **options)

    yield lambda root, **options: kind(root.parameters(), **options)
    yield kind
    yield matrices
    yield marked
    yield without


def wrappings(kind: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """The ways to put a class around AdamW."""
    inside = torch.optim.AdamW
    yield lambda root, **options: kind(inside(root.parameters(), **options))
    yield lambda root, **options: kind(root.parameters(), inside, **options)
    yield lambda root, **options: kind(root, root.parameters(), inside, **options)


def forms(library: str, name: str, kind: type[torch.optim.Optimizer], row: Row) -> Iterator[Form]:
    """Measure a class as it comes, and with its switch turned."""
    parameters = inspect.signature(kind.__init__).parameters
    settings: list[dict[str, Any]] = [{}]
    if row.switch and row.switch in parameters:
        settings.append({row.switch: not parameters[row.switch].default})
    for setting in settings:
        options = {"weight_decay": WEIGHT_DECAY, **NEEDS.get(f"{library}.{name}", {}), **setting}
        if "lr" in parameters and not isinstance(parameters["lr"].default, float):
            options["lr"] = 0.01
        ways = wrappings(kind) if is_wrapper(row) else builders(kind)
        built, observations, failure = _measured(ways, options)
        group = {**_plain(built), **(built.param_groups[0] if built else setting)}
        switch = ", ".join(f"{key}={value}" for key, value in setting.items())
        way = path(CLASSES["torch"]["AdamW"] if is_wrapper(row) else row, group)
        yield Form(library, name, switch, row, way, observations, failure)


def is_wrapper(row: Row) -> bool:
    """Whether a class steps with another optimizer inside; here that is torch's AdamW."""
    return row.path in ("inside", "unknown")


def _plain(built: object) -> dict[str, object]:
    return {key: value for key, value in vars(built).items() if isinstance(value, bool | int)} if built else {}


def _measured(
    ways: Iterator[Callable[..., Any]], options: Mapping[str, Any]
) -> tuple[Any, tuple[Observation, ...], str]:
    """The first way to build it in which it can step."""
    failures = []
    for build in ways:
        torch.manual_seed(0)
        random.seed(0)
        root = model()
        try:
            built = build(root, **options)
            names = {id(each): key for key, each in root.named_parameters()}
            return built, measure((("it", built),), names), ""
        except Exception as error:  # noqa: BLE001 - whatever it says about what it was given
            failures.append(f"{type(error).__name__}: {error}")
    return None, (), failures[0]


def survey(library: str) -> Iterator[Form]:
    """Measure every class of a library that has a row, whether it takes a coefficient or not."""
    logging.disable(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, kind in classes(library).items():
            row = CLASSES[library].get(name)
            if row is not None:
                with process_group():  # some gather over ranks
                    measured = tuple(forms(library, name, kind, row))
                yield from measured
    logging.disable(logging.NOTSET)


def agrees(form: Form) -> bool:
    """Whether every parameter moved in the way that the table declares."""
    return bool(form.observations) and all(_agrees(form, one) for one in form.observations)


def _agrees(form: Form, one: Observation) -> bool:
    expected = set(EXPECTED[form.way])
    if "first steps" in form.row.note:
        expected.add("proportional")
    rate = one.measured_rate or 0.0
    if form.way == "constant":
        rate *= one.lr or 0.0
    exact = form.way not in ("lr", "constant") or abs(rate / WEIGHT_DECAY - 1) < 0.01
    return one.movement in expected and exact and (rate > 0 or form.way == "none")
