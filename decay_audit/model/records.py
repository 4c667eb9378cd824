"""The record of one process of a training script, as the recorder writes it: plain data with indices as references."""

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct, field

from decay_audit.model.observations import Movement
from decay_audit.model.traced_uses import AutomaticTrace

RecordStatus = Literal["running", "stopped", "ended", "failed", "exited"]
"""How a process ended. `running`: it did not, or it was killed; `stopped`: by the recorder; `ended`: its script reached
its end; `failed`: by an exception; `exited`: by sys.exit or os._exit."""
GradientKind = Literal["none", "zero", "some"]
"""Whether a gradient is None, is zero in every element, or has other values."""


class RecordedClass(Struct, frozen=True, kw_only=True):
    """A class of modules.

    Attributes:
        types: the qualified names of its MRO, its own first.
        scripted: whether it is a TorchScript class.
        quantized: whether its weights are packed, and not parameters.
    """

    types: tuple[str, ...]
    scripted: bool = False
    quantized: bool = False


class RecordedDeclaration(Struct, frozen=True, kw_only=True):
    """What methods of a module such as `no_weight_decay()` return; `failures` describes the methods that raised."""

    no_weight_decay: tuple[str, ...] = ()
    no_weight_decay_keywords: tuple[str, ...] = ()
    no_weight_decay_patterns: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()


class RecordedModule(Struct, frozen=True, kw_only=True):
    """One module of a model. Numbers are positions in the record's lists of classes, modules and tensors.

    Attributes:
        unregistered: attributes that hold modules in a plain list or dict, each with the number of these modules.
        scripted: the class names that a TorchScript module was compiled from.
    """

    class_: int = field(name="class")
    children: tuple[tuple[str, int], ...] = ()
    parameters: tuple[tuple[str, int], ...] = ()
    buffers: Mapping[str, tuple[int, ...]] = {}
    settings: Mapping[str, int | float | str | bool] = {}
    declaration: RecordedDeclaration | None = None
    unregistered: tuple[tuple[str, int], ...] = ()
    scripted: tuple[str, ...] = ()


class RecordedTensor(Struct, frozen=True, kw_only=True):
    """One tensor of a model or an optimizer.

    Attributes:
        flat: whether a wrapper packed several parameters into it (FlatParameter of FSDP).
        distributed: whether it is a DTensor; `shape` is then the global shape.
        gradient: its gradient right before the first step; None if it is not known.
        in_optimizer: whether an optimizer holds it.
        name: the name of its variable, for a tensor that no model holds.
    """

    shape: tuple[int, ...]
    dtype: str
    trainable: bool
    lazy: bool = False
    flat: bool = False
    distributed: bool = False
    device: str = "cpu"
    in_optimizer: bool = False
    attributes: tuple[str, ...] = ()
    gradient: GradientKind | None = None
    name: str = ""


class RecordedModel(Struct, frozen=True, kw_only=True):
    """A model under the name of its variable; `raw_names` maps tensors to names, as its `named_parameters()` does."""

    name: str
    module: int
    raw_names: Mapping[str, str] = {}


class RecordedOptimizerClass(Struct, frozen=True, kw_only=True):
    """The class of an optimizer.

    Attributes:
        path: the path by which code imports it; its name alone if torch.optim has it.
        types: qualified names of it and its base classes, down to the class that defines `step`.
        default_weight_decay: its default weight_decay; "unknown" if the arguments of the class do not show it.
        defaults: the keys that it gives every group.
        attributes: its numbers and flags.
    """

    type: str
    path: str
    types: tuple[str, ...]
    default_weight_decay: float | str | None
    defaults: tuple[str, ...]
    attributes: Mapping[str, bool | int]


class RecordedGroup(Struct, frozen=True, kw_only=True):
    """A param group as it was when the record was written.

    Attributes:
        keys: the keys that the code of the script set; None if the creation of the group was not recorded.
        is_inner: whether the innermost optimizer of a chain of wrappers also has this group.
        member: the class of the optimizer that has these tensors, if they belong to one of several optimizers that
            another one wraps; else "".
    """

    hyperparameters: Mapping[str, Any]
    tensors: tuple[int, ...]
    keys: tuple[str, ...] | None
    is_inner: bool
    member: str = ""


class ConstructedGroup(Struct, frozen=True, kw_only=True):
    """A param group as it was when the optimizer had been made; -1 stands for a tensor that is gone."""

    weight_decay: float | None
    lr: float | None
    tensors: tuple[int, ...]


RecordedSteps = tuple[tuple[float | None, float | None, float | None, float | None, bool], int]
"""Steps in a row with equal settings: lr, weight_decay, momentum, dampening and nesterov, and the number of steps."""


class RecordedOptimizer(Struct, frozen=True, kw_only=True):
    """One optimizer that the script made.

    Attributes:
        file: the file that makes it.
        models: positions of the models whose parameters it holds.
        chain: its class, then the classes of the optimizers that it wraps, outermost first.
        set_names: names of the arguments that its constructor was given.
        position: its position among all optimizers that the process made.
        stepping: whether it was about to step when the record was written.
        step_hooks: names of functions that code registered to run before or after each step.
        former_names: for tensors that no model holds any more: their names when the optimizer was made.
        steps: the settings of each group in each step that it took; empty without a step.
    """

    name: str
    file: str
    line: int
    models: tuple[int, ...]
    chain: tuple[RecordedOptimizerClass, ...]
    set_names: tuple[str, ...]
    groups: tuple[RecordedGroup, ...]
    construction: tuple[ConstructedGroup, ...]
    position: int = -1
    stepping: bool = False
    step_hooks: tuple[str, ...] = ()
    former_names: Mapping[str, str] = {}
    steps: tuple[tuple[RecordedSteps, ...], ...] = ()


class ScriptError(Struct, frozen=True, kw_only=True):
    """What ended a script: an exception, or an exit with a code or a message."""

    type: str
    message: str
    file: str = ""
    line: int = 0


class RecordedTrace(Struct, frozen=True, kw_only=True):
    """The trace of one model; `model` is the position of the model in the record."""

    model: int
    trace: AutomaticTrace


class RecordedEffect(Struct, frozen=True, kw_only=True):
    """What measured steps did to one tensor; the fields are as in `Observation`."""

    movement: Movement
    measured_rate: float | None = None
    settled_rate: float | None = None


class RecordedMeasurement(Struct, frozen=True, kw_only=True):
    """What measured steps of one optimizer did.

    Attributes:
        effects: the effect on each measured tensor, by the index of its group and its position there: `0/3`.
        failure: why no step was measured; "" if one was measured, or if no step was needed.
    """

    effects: Mapping[str, RecordedEffect] = {}
    failure: str = ""


class Record(Struct, frozen=True, kw_only=True):
    """The models and optimizers that one process of a script made.

    Attributes:
        status: `running` if the process ended before it could write the record again.
        moment: where the script was stopped: `step`, `backward`, or `backward without step`.
        outside: counts of trainable parameters that got a gradient, but are in no optimizer and in no model of an
            optimizer: pairs of the class of their module and their number.
        traces: traced forward passes of models whose classes and names leave a role uncertain.
        measurements: one for each optimizer, in their order; empty if nothing was measured.
    """

    version: int
    pid: int
    rank: int
    world: int
    python: str
    executable: str
    torch: str
    arguments: tuple[str, ...]
    status: RecordStatus
    moment: str
    error: ScriptError | None
    backward_calls: int
    steps: int
    optimizers_made: int
    notes: tuple[str, ...]
    classes: tuple[RecordedClass, ...]
    modules: tuple[RecordedModule, ...]
    tensors: tuple[RecordedTensor, ...]
    models: tuple[RecordedModel, ...]
    optimizers: tuple[RecordedOptimizer, ...]
    outside: tuple[tuple[str, int], ...] = ()
    traces: tuple[RecordedTrace, ...] = ()
    measurements: tuple[RecordedMeasurement, ...] = ()
