"""Every option, declared once: name, type, default, help, panel of the help screen. Plain data, without Typer or torch.

The command line, `[tool.decay-audit]` in pyproject.toml with its schema, the settings of the callbacks and the keywords
of the Python functions follow from the Structs below.
"""

from typing import Annotated, Any, Literal, get_args, get_origin

from msgspec import NODEFAULT, Meta, Struct
from msgspec.structs import fields

from decay_audit.model.choices import SUFFIXES, CodeStyle, Color, Device, Format, Framework, ScheduleInterval, Severity

DEFAULT_RULES = "no-norm-no-bias"
"""The ruleset if the user names none."""
AUTO = "auto"
"""The value of `trace` that takes the input shapes from the model's own config."""

Panel = Literal["Script", "Ruleset", "Model", "Optimizer", "Run length", "Scale invariance", "Findings", "Output"]
"""The heading under which a help screen shows an option."""
ConfigScope = Literal["nowhere", "table", "audits", "everywhere"]
"""Where pyproject.toml may set an option: nowhere, in `[tool.decay-audit]`, in each of its audits, or in both."""

PositiveInteger = Annotated[int, Meta(ge=1)]


class Option(Struct, frozen=True):
    """The help and the settings of an option. The Struct field that it annotates gives its name, type and default.

    Attributes:
        metavar: the placeholder for the value on a help screen; by default the accepted words.
        short: its one-letter form.
        config: where pyproject.toml may set it.
        names_file: whether the value may be a path; in pyproject.toml, a path is relative to the folder of that file.
    """

    panel: Panel
    help: str
    metavar: str | None = None
    short: str = ""
    config: ConfigScope = "nowhere"
    names_file: bool = False


class AuditOptions(Struct, frozen=True, kw_only=True):
    """What to read, which ruleset decides, and which findings count."""

    rules: Annotated[
        str,
        Option(
            "Ruleset",
            "A preset (`decay-audit rules list` shows them) or a YAML file.",
            metavar="NAME|FILE",
            short="-r",
            config="everywhere",
            names_file=True,
        ),
    ] = DEFAULT_RULES
    weight_decay: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        Option("Ruleset", "The base coefficient; it replaces that of the ruleset.", "X", "-w", config="everywhere"),
    ] = None
    device: Annotated[
        Device,
        Option(
            "Model",
            "Where to build the model; `streamed` is the CPU, one parameter in memory at a time.",
            config="everywhere",
        ),
    ] = "auto"
    key: Annotated[str | None, Option("Model", "Which state dict of a checkpoint to read.", "A.B", config="audits")] = (
        None
    )
    model: Annotated[
        str | None,
        Option(
            "Model",
            "The model of a checkpoint; with it, roles come from module classes, not from names alone.",
            metavar="TARGET",
            config="audits",
            names_file=True,
        ),
    ] = None
    trace: Annotated[
        str | None,
        Option(
            "Model",
            "Run the forward pass on fake tensors; roles then come from how each parameter is used. SHAPE is "
            "1x3x224x224, ids=int64:1x8 or an expression; without a value, input shapes come from the model's own "
            "config.",
            metavar="[SHAPE]",
            config="everywhere",
        ),
    ] = None
    no_trace: Annotated[
        bool,
        Option(
            "Model",
            "Do not run the forward pass. By default it runs, for a short time, where classes and names leave a role "
            "uncertain and the input shapes can be inferred.",
            config="everywhere",
        ),
    ] = False
    no_cache: Annotated[
        bool,
        Option("Model", "Read headers behind a URL again; neither read nor write the cache.", config="everywhere"),
    ] = False
    optimizer: Annotated[
        str | None,
        Option(
            "Optimizer",
            "Code that makes the optimizer: train.py:make_optimizer, model.configure_optimizers(), "
            "'torch.optim:SGD(model.parameters(), lr=0.1)'.",
            metavar="EXPR",
            config="everywhere",
            names_file=True,
        ),
    ] = None
    with_: Annotated[
        tuple[str, ...],
        Option(
            "Optimizer",
            "Another module whose parameters the optimizer holds, such as a loss with weights: an expression, or the "
            "class of a module that the code of the optimizer makes. It is audited with the model.",
            metavar="EXPR",
            config="audits",
        ),
    ] = ()
    checkpoint: Annotated[
        str | None,
        Option(
            "Optimizer",
            "A checkpoint: compare its saved optimizer, too, and report what resuming from it would do.",
            metavar="FILE",
            config="audits",
            names_file=True,
        ),
    ] = None
    measure: Annotated[
        bool | None,
        Option(
            "Optimizer",
            "Run optimizer.step() on small copies, and compare the measured decay with the param groups; by "
            "default only if the optimizer's class is not known.",
            config="everywhere",
        ),
    ] = None
    steps: Annotated[
        PositiveInteger | None,
        Option("Run length", "The optimizer steps of the run: show what decay does over it.", "N", config="audits"),
    ] = None
    epoch_steps: Annotated[
        PositiveInteger | None,
        Option("Run length", "With --steps: the number of steps of one epoch.", "M", config="audits"),
    ] = None
    schedule: Annotated[
        str | None,
        Option(
            "Run length",
            "With --steps: code that makes the scheduler, in which `optimizer` is the optimizer: "
            "train.py:make_schedule, 'torch.optim.lr_scheduler:CosineAnnealingLR(optimizer, 1000)', or a function "
            "f(optimizer, step) that writes into the groups. By default lr stays as it is.",
            "EXPR",
            config="audits",
            names_file=True,
        ),
    ] = None
    schedule_every: Annotated[
        ScheduleInterval,
        Option("Run length", "How often training steps the scheduler; not needed for timm's.", config="audits"),
    ] = "step"
    invariance: Annotated[
        str | None,
        Option("Scale invariance", "Find weights whose size does not change the output.", "[SHAPE]", config="audits"),
    ] = None
    select: Annotated[
        tuple[str, ...],
        Option("Findings", "Report only these codes, given by prefix: DA1,DA301.", "CODE", config="everywhere"),
    ] = ()
    ignore: Annotated[
        tuple[str, ...],
        Option(
            "Findings",
            "Do not report these codes; if --select matches, too, the longer prefix wins.",
            metavar="CODE",
            config="everywhere",
        ),
    ] = ()
    lock: Annotated[
        str | None,
        Option(
            "Findings",
            "Compare with a lock, too: a file that `decay-audit lock` wrote.",
            metavar="FILE",
            config="audits",
            names_file=True,
        ),
    ] = None
    fail_on: Annotated[
        Severity, Option("Findings", "The lowest severity that makes the exit code 1.", config="everywhere")
    ] = "error"


class ParameterFilter(Struct, frozen=True, kw_only=True):
    """Which parameters to show."""

    only: Annotated[
        tuple[str, ...], Option("Output", "Show only parameters whose name matches this glob.", "GLOB")
    ] = ()
    role: Annotated[
        tuple[str, ...], Option("Output", "Show only parameters of this role: bias, 'norm weight', norm.", "ROLE")
    ] = ()
    grep: Annotated[
        str | None, Option("Output", "Show only parameters whose name contains this regular expression.", "REGEX")
    ] = None


class OutputOptions(Struct, frozen=True, kw_only=True):
    """The format of the output, where it goes, and how much is printed."""

    format: Annotated[Format, Option("Output", f"{', '.join(Format)}.", metavar="FORMAT", short="-f")] = Format.TEXT
    full: Annotated[
        bool, Option("Output", "One row for each parameter: do not fold repeated blocks.", config="table")
    ] = False
    output: Annotated[
        tuple[str, ...],
        Option(
            "Output",
            "Write to a file instead of standard output; repeatable. A report has the format of the suffix: "
            f"{', '.join(SUFFIXES)}. `-` is standard output.",
            metavar="FILE",
            short="-o",
        ),
    ] = ()
    color: Annotated[Color, Option("Output", "When to use colour.", config="table")] = "auto"
    quiet: Annotated[bool, Option("Output", "Print no progress, notes or verdict.", short="-q")] = False
    verbose: Annotated[
        bool,
        Option("Output", "List tensors that are not parameters, too; after an error, print its traceback.", short="-v"),
    ] = False


class RunOptions(Struct, frozen=True, kw_only=True):
    """How to run a training script."""

    module: Annotated[bool, Option("Script", "Run a module, as `python -m` does.", short="-m")] = False
    until: Annotated[
        str,
        Option(
            "Script",
            "When to stop it: made (before the first backward pass), first-step (before the first step), after a "
            "number of steps, or end.",
            metavar="MOMENT",
            config="audits",
        ),
    ] = "first-step"
    timeout: Annotated[
        float | None,
        Option("Script", "Interrupt it after this time if it does not train.", metavar="SECONDS", config="audits"),
    ] = None
    pretend: Annotated[
        tuple[str, ...],
        Option(
            "Script",
            "Replace what this machine does not have: gpu (CUDA calls run on the CPU), world (a process group of one), "
            "data (datasets of torchvision and of the hub give noise).",
            metavar="gpu,world,data",
            config="audits",
        ),
    ] = ()
    watch: Annotated[bool, Option("Script", "Do not stop it: train on, and print a line when a group changes.")] = False
    scratch: Annotated[
        bool,
        Option(
            "Script",
            "Run in a temporary copy of the current folder: what the script writes into it is dropped.",
            config="audits",
        ),
    ] = False
    list_: Annotated[bool, Option("Script", "Only list its models and optimizers, and where they are made.")] = False


class CodeOptions(Struct, frozen=True, kw_only=True):
    """In which style to write the param groups as code, and which optimizer to write with them."""

    style: Annotated[
        CodeStyle,
        Option(
            "Output",
            "`rule` writes conditions, such as isinstance(module, nn.LayerNorm); `names` lists the parameters; "
            "`library` calls decay_audit.param_groups; `policy` writes the ruleset itself, for any model.",
        ),
    ] = "rule"
    for_: Annotated[
        Framework,
        Option(
            "Output",
            "The framework for which the code is: `torch` writes param groups, the others what they take instead.",
        ),
    ] = "torch"
    approximate: Annotated[
        bool,
        Option("Output", "With --for: write the code even if the framework would treat some parameters differently."),
    ] = False
    also: Annotated[
        tuple[str, ...],
        Option(
            "Model",
            "Another size of the model, for which the code must hold, too: 'model.py:net(depth=56)'.",
            metavar="TARGET",
            names_file=True,
        ),
    ] = ()
    verify: Annotated[
        str | None,
        Option(
            "Output",
            "Write nothing: compare the param groups of this function of yours with those of the ruleset.",
            metavar="EXPR",
            names_file=True,
        ),
    ] = None
    diff: Annotated[
        str | None,
        Option(
            "Output",
            "Show the change of this file that gives its optimizer param groups; LINE chooses one of several.",
            metavar="FILE[:LINE]",
            names_file=True,
        ),
    ] = None
    write: Annotated[bool, Option("Output", "With --diff: change the file.")] = False
    named: Annotated[bool, Option("Output", "Groups of (name, parameter) pairs: torch 2.6 saves the names.")] = False
    open_: Annotated[
        bool,
        Option("Output", "Put a parameter that fits no condition into the last group, instead of raising ValueError."),
    ] = False
    like: Annotated[
        str | None,
        Option(
            "Optimizer",
            "Write the code that makes this optimizer again, with all its settings: an expression, as --optimizer of "
            "check takes it, or a checkpoint.",
            metavar="EXPR",
            names_file=True,
        ),
    ] = None
    keep_order_of: Annotated[
        str | None,
        Option(
            "Optimizer",
            "Order the groups so that the optimizer state of this checkpoint loads unchanged.",
            metavar="CHECKPOINT",
            names_file=True,
        ),
    ] = None
    optimizer: Annotated[
        str | None,
        Option(
            "Optimizer",
            "Write the code that makes the optimizer, too: a class of torch.optim, or package.module:Class.",
            metavar="CLASS",
        ),
    ] = None
    lr: Annotated[float | None, Option("Optimizer", "The learning rate of the optimizer.", metavar="X")] = None
    set_: Annotated[
        tuple[str, ...], Option("Optimizer", "Another argument of the optimizer: momentum=0.9.", metavar="NAME=VALUE")
    ] = ()


class DeclaredOption(Struct, frozen=True, kw_only=True):
    """An option with the name, type and default of its field.

    Attributes:
        type: the annotation of the field, without the Option.
        default: msgspec.NODEFAULT where a value is required.
    """

    name: str
    type: Any
    default: Any
    option: Option


def declared_options(section: type[Struct]) -> tuple[DeclaredOption, ...]:
    """List the options that a Struct declares, in their order."""
    return tuple(
        declared
        for field in fields(section)
        if (declared := declared_option(field.name, field.type, field.default)) is not None
    )


def declared_option(name: str, annotation: object, default: object = NODEFAULT) -> DeclaredOption | None:
    """Read the option in an annotation; None where it has none."""
    if get_origin(annotation) is not Annotated:
        return None
    kind, *metadata = get_args(annotation)
    option = next((value for value in metadata if isinstance(value, Option)), None)
    return None if option is None else DeclaredOption(name=name, type=kind, default=default, option=option)
