"""Every installed optimizer class: built with each setting of its switch, measured, and compared with its row."""

import importlib
import inspect
import logging
import pkgutil
import random
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import torch

import tests.conftest  # noqa: F401 - timm imports torchvision
from decay_audit.errors import OptimizerError
from decay_audit.model.observations import Movement, Observation
from decay_audit.optimizers.measure import measure
from decay_audit.optimizers.table.classes import CLASSES
from decay_audit.optimizers.table.decay_forms import ClassFacts, DecayForm
from decay_audit.optimizers.table.lookup import decay_form
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

_VECTORS = "tensors with one dimension do not decay, or have a coefficient of their own"
_EPS = "its denominator's eps is larger than the gradient of so small a weight"
_FIRST = "at the first step its denominator is the same for all elements"

_BACK = "every few steps the weight goes back a part of the way, its decay too"

_AVERAGE = "the weight is an average over the steps, in which each later step has a smaller part"

EXCEPTIONS: Mapping[tuple[str, str], str] = {
    ("timm.RMSpropTF", ""): _FIRST,
    ("timm.Lookahead", ""): _BACK,
    (
        "pytorch_optimizer.AdaSmooth",
        "weight_decouple=True",
    ): "its step depends on how far the weight moved, by decay too",
    ("pytorch_optimizer.ApolloDQN", ""): _FIRST,
    (
        "pytorch_optimizer.AvaGrad",
        "weight_decouple=False",
    ): "equal elements decay by one fraction, which its running averages change",
    ("pytorch_optimizer.BSAM", ""): "each step perturbs the weight at random",
    ("pytorch_optimizer.DAdaptLion", "weight_decouple=True"): "the distance starts at 1e-6, which float32 rounds away",
    ("pytorch_optimizer.FOCUS", ""): "pulls towards a running mean of the weight, which starts at 0",
    ("pytorch_optimizer.Kron", ""): _VECTORS,
    ("pytorch_optimizer.Kron", "weight_decouple=False"): _VECTORS,
    ("pytorch_optimizer.LARS", ""): _VECTORS,
    ("pytorch_optimizer.MARS", ""): _VECTORS,
    (
        "pytorch_optimizer.MARS",
        "weight_decouple=False",
    ): "its variance reduction flips the sign: weights grow at first",
    ("pytorch_optimizer.Prodigy", "weight_decouple=False"): "nothing moves while all gradients are 0",
    ("pytorch_optimizer.Ranger21", "weight_decouple=False"): "its warm-up begins below the resolution of float32",
    ("pytorch_optimizer.SaRA", ""): "only elements below 2e-3 are trained, and all probe tensors are above",
    ("pytorch_optimizer.SGDSaI", "weight_decouple=False"): "lr is scaled by the first gradient's signal, which is 0",
    ("pytorch_optimizer.VSGD", "weight_decouple=False"): _FIRST,
    ("pytorch_optimizer.Fromage", ""): "divides every weight by sqrt(1 + lr^2), whatever the coefficient is",
    ("pytorch_optimizer.FTRL", ""): "computes the weight from the gradients alone",
    ("pytorch_optimizer.Gravity", ""): "its velocity starts at random",
    ("pytorch_optimizer.Nero", ""): "keeps the norm of each row of a matrix at 1",
    ("pytorch_optimizer.SRMM", ""): "the weight becomes a running mean of itself, which starts at 0",
    ("pytorch_optimizer.Magma", ""): CLASSES["pytorch_optimizer"]["Magma"].note,
    ("pytorch_optimizer.TRAC", ""): CLASSES["pytorch_optimizer"]["TRAC"].note,
    ("pytorch_optimizer.Adai", ""): "the momentum of each element depends on its gradients",
    ("pytorch_optimizer.MADGRAD", "weight_decouple=True"): "its average pulls back to the first weights: decay fades",
    ("pytorch_optimizer.ASGD", "weight_decouple=False"): "its learning rate falls by a schedule of its own",
    ("pytorch_optimizer.DAdaptSGD", ""): "multiplied by the distance that it estimates from the gradients",
    ("pytorch_optimizer.Ranger", ""): _BACK,
    ("pytorch_optimizer.ScheduleFreeAdamW", ""): _AVERAGE,
    ("pytorch_optimizer.ScheduleFreeSGD", ""): _AVERAGE,
    ("pytorch_optimizer.ScheduleFreeWrapper", ""): _AVERAGE,
    ("schedulefree.AdamWScheduleFree", ""): _AVERAGE,
    ("schedulefree.AdamWScheduleFreeClosure", ""): _AVERAGE,
    ("schedulefree.AdamWScheduleFreeReference", ""): _AVERAGE,
    ("schedulefree.SGDScheduleFree", ""): _AVERAGE,
    ("schedulefree.SGDScheduleFreeClosure", ""): _AVERAGE,
    ("schedulefree.SGDScheduleFreeReference", ""): _AVERAGE,
}
"""Class and form of those that do not move as declared, with the reason."""

NOT_RUN: Mapping[str, str] = {
    "pytorch_optimizer.AdaLOMO": "steps inside the backward pass",
    "pytorch_optimizer.GSAM": "needs a closure that returns more than the loss",
    "pytorch_optimizer.LOMO": "steps inside the backward pass",
    "pytorch_optimizer.SafeFP16Optimizer": "steps float32 copies of the parameters",
    "bitsandbytes.AdEMAMix32bit": "has no CPU kernel",
    "bitsandbytes.PagedAdEMAMix32bit": "has no CPU kernel",
}
"""Classes that cannot take a step on a CPU in one process."""


EXPECTED: Mapping[DecayForm, tuple[Movement, ...]] = {
    "decoupled": ("proportional",),
    "decoupled_without_lr": ("proportional", "without_lr"),
    "decoupled_own_rate": ("proportional", "other", "normalized", "scheduled"),
    "coupled": ("proportional",),
    "coupled_adaptive": ("sign", "other", "normalized"),
    "coupled_normalized": ("proportional", "sign", "other", "normalized"),
    "none": ("none",),
}
"""How weights move under each form of decay."""


class Measurement(NamedTuple):
    """One class, with one setting of its switch: the default, or the other one."""

    library: str
    name: str
    switch: str
    facts: ClassFacts
    form: DecayForm
    observations: tuple[Observation, ...]
    failure: str


def classes(library: str) -> dict[str, type[torch.optim.Optimizer]]:
    """All optimizer classes that a library defines itself, public or not."""
    return optimizer_classes(library, LIBRARIES[library])


def optimizer_classes(library: str, modules: Iterable[str]) -> dict[str, type[torch.optim.Optimizer]]:
    """All optimizer classes of these modules and those inside them that the library defines itself."""
    kinds: dict[str, type[torch.optim.Optimizer]] = {}
    for module in _modules(modules):
        for kind in vars(module).values():
            own = inspect.isclass(kind) and issubclass(kind, torch.optim.Optimizer)
            if own and kind.__module__.partition(".")[0] == library and kind.__name__ not in ("NewCls", "Optimizer"):
                kinds.setdefault(kind.__name__, kind)
    return dict(sorted(kinds.items(), key=lambda item: item[0].lower()))


def _modules(names: Iterable[str]) -> Iterator[Any]:
    for name in names:
        try:
            root = importlib.import_module(name)
        except ImportError:
            continue
        yield root
        for info in pkgutil.walk_packages(getattr(root, "__path__", ()), f"{name}."):
            try:
                yield importlib.import_module(info.name)
            except (ImportError, SystemExit):  # an optional part of the library, or a script
                continue


def model() -> torch.nn.Module:
    """A linear layer, a convolution and a norm: matrices, a 4-D tensor, biases and gains."""
    return torch.nn.Sequential(torch.nn.Linear(12, 16), torch.nn.Conv2d(4, 8, 3), torch.nn.BatchNorm2d(8))


def builders(kind: type[torch.optim.Optimizer]) -> Iterator[Callable[..., Any]]:
    """The ways to hand parameters to a class, the usual one first."""

    def matrices(root: torch.nn.Module, **options: Any) -> Any:
        return kind([parameter for parameter in root.parameters() if parameter.ndim == 2], **options)

    def marked(root: torch.nn.Module, **options: Any) -> Any:
        coefficient = {"weight_decay": options.pop("weight_decay")}
        groups = [
            {
                "params": [parameter for parameter in root.parameters() if (parameter.ndim == 2) is muon],
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


def measure_class(
    library: str, name: str, kind: type[torch.optim.Optimizer], facts: ClassFacts
) -> Iterator[Measurement]:
    """Measure a class as it comes, and with its switch turned."""
    parameters = inspect.signature(kind.__init__).parameters
    settings: list[dict[str, Any]] = [{}]
    if facts.switch and facts.switch in parameters:
        settings.append({facts.switch: not parameters[facts.switch].default})
    for setting in settings:
        options = {"weight_decay": WEIGHT_DECAY, **NEEDS.get(f"{library}.{name}", {}), **setting}
        if "lr" in parameters and not isinstance(parameters["lr"].default, float):
            options["lr"] = 0.01
        builds = wrappings(kind) if is_wrapper(facts) else builders(kind)
        built, observations, failure = _measured(builds, options)
        group = {**_plain(built), **(built.param_groups[0] if built else setting)}
        switch = ", ".join(f"{key}={value}" for key, value in setting.items())
        form = decay_form(CLASSES["torch"]["AdamW"] if is_wrapper(facts) else facts, group)
        yield Measurement(library, name, switch, facts, form, observations, failure)


def is_wrapper(facts: ClassFacts) -> bool:
    """Whether a class steps with another optimizer inside; here that is torch's AdamW."""
    return facts.form in ("delegated", "unknown")


def _plain(built: object) -> dict[str, object]:
    return {key: value for key, value in vars(built).items() if isinstance(value, bool | int)} if built else {}


def _measured(
    builds: Iterator[Callable[..., Any]], options: Mapping[str, Any]
) -> tuple[Any, tuple[Observation, ...], str]:
    """The first way to build it in which it can step."""
    failures = []
    for build in builds:
        torch.manual_seed(0)
        random.seed(0)
        root = model()
        try:
            built = build(root, **options)
            names = {id(parameter): key for key, parameter in root.named_parameters()}
            measured = measure((("it", built),), names)
            if failure := measured.optimizers[0].failed_measurement:
                raise OptimizerError(failure)
            return built, measured.observations, ""
        except Exception as error:  # noqa: BLE001 - whatever it says about what it was given
            failures.append(f"{type(error).__name__}: {error}")
    return None, (), failures[0]


def survey(library: str) -> Iterator[Measurement]:
    """Measure every class of a library that has a row, whether it takes a coefficient or not."""
    logging.disable(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, kind in classes(library).items():
            facts = CLASSES[library].get(name)
            if facts is not None:
                with process_group():  # some gather over ranks
                    measured = tuple(measure_class(library, name, kind, facts))
                yield from measured
    logging.disable(logging.NOTSET)


def agrees(measurement: Measurement) -> bool:
    """Whether every parameter moved in the way that the table declares."""
    return bool(measurement.observations) and all(
        _agrees(measurement, observation) for observation in measurement.observations
    )


def _agrees(measurement: Measurement, observation: Observation) -> bool:
    expected = set(EXPECTED[measurement.form])
    if "first steps" in measurement.facts.note:
        expected.add("proportional")
    rate = observation.measured_rate or 0.0
    if measurement.form == "decoupled_without_lr":
        rate *= observation.lr or 0.0
    exact = measurement.form not in ("decoupled", "decoupled_without_lr") or abs(rate / WEIGHT_DECAY - 1) < 0.01
    return observation.movement in expected and exact and (rate > 0 or measurement.form == "none")
