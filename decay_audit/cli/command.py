"""Turn the function of a verb into a Typer command, with a Typer option for each option that the verb declares.

A parameter of a verb is a whole section of options (a Struct), a part of a section (`takes`), or a single option. Typer
sees one parameter for each option; the verb is called with Structs that hold the values.
"""

from collections.abc import Callable, Mapping, Set
from inspect import Parameter, Signature, signature
from itertools import chain
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import typer
from msgspec import NODEFAULT, Struct
from typer.core import TyperCommand

from decay_audit import files
from decay_audit.api.options import AUTO, AuditOptions, DeclaredOption, Panel, declared_option, declared_options
from decay_audit.cli.arguments import COMPLETIONS

VerbFunction = Callable[..., None]

_FILE_OPTIONS = frozenset(option.name for option in declared_options(AuditOptions) if option.option.names_file)
"""The options whose value is the name of a file."""


class OptionSelection(Struct, frozen=True):
    """Which options of a section a verb has. The other options of the section keep their defaults."""

    panels: tuple[Panel, ...]
    names: tuple[str, ...]


def takes(*panels: Panel, names: tuple[str, ...] = ()) -> OptionSelection:
    """Choose options of a section by their help panels and names.

    For example, `Annotated[AuditOptions, takes("Model", names=("rules",))]` annotates the parameter of a verb.
    """
    return OptionSelection(panels=panels, names=names)


class OptionSection(Struct, frozen=True):
    """A parameter of a verb that stands for several options.

    Attributes:
        kind: the Struct that declares the options.
        options: those of its options that the verb has.
    """

    kind: type[Struct]
    options: tuple[DeclaredOption, ...]

    def gather(self, values: dict[str, Any]) -> Struct:
        """Make the Struct, and remove its values from `values`."""
        return self.kind(**{option.name: _value(option, values.pop(option.name)) for option in self.options})


class VerbCommand(TyperCommand):
    """A command with `--help` in the panel Output, and a `--trace` and `--invariance` that need no value."""

    def get_help_option(self, ctx: Any) -> Any:  # noqa: ANN401  (Typer has its own copy of Click)
        """Put `--help` into the panel Output, which every command has."""
        option: Any = super().get_help_option(ctx)
        if option is not None:
            option.rich_help_panel, option.metavar = "Output", ""
        return option

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401
        """Run the verb. For a checkpoint without its model, some options of pyproject.toml are ignored."""
        from decay_audit.sources import target

        path = ctx.params.get("target")
        if isinstance(path, str) and not ctx.params.get("model") and target.is_checkpoint(path):
            for name in ("optimizer", "trace", "invariance"):
                source = ctx.get_parameter_source(name)
                if source is not None and source.name == "DEFAULT_MAP":
                    ctx.params[name] = None
        return super().invoke(ctx)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401
        """Read the arguments; `--trace` before another option, a target or the end means `--trace=auto`.

        So does `--invariance`.
        """
        next_args = [*args[1:], "--"]
        completed_args = [
            f"{arg}={AUTO}" if arg in ("--trace", "--invariance") and _is_not_shape(after) else arg
            for arg, after in zip(args, next_args, strict=bool(args))  # without arguments, next_args is longer
        ]
        return super().parse_args(ctx, completed_args)


def _is_not_shape(word: str) -> bool:
    """Whether the word after `--trace` is another option or a target, and not the value of `--trace`."""
    from decay_audit.sources import target

    return word.startswith("-") or target.is_clearly_target(word)


def register(app: typer.Typer, run: VerbFunction, name: str | None = None, *, takes_command: bool = False) -> None:
    """Make a command from a function. It has the name of the function, unless another name is given.

    Args:
        takes_command: all words after the first argument belong to another command, also words that begin with a dash.
    """
    settings = {"allow_interspersed_args": False} if takes_command else None
    app.command(name or run.__name__, cls=VerbCommand, context_settings=settings)(with_single_options(run))


def with_single_options(run: VerbFunction) -> VerbFunction:
    """Make a function with one parameter for each option, which Typer can read; it calls `run` with filled sections."""
    parameters = signature(run).parameters
    sections = {name: section for name, parameter in parameters.items() if (section := _section(parameter)) is not None}
    single = {name: option for name, parameter in parameters.items() if (option := _single(parameter)) is not None}

    def command(**values: Any) -> None:  # noqa: ANN401
        _check_outputs(values, {*single, *(option.name for section in sections.values() for option in section.options)})
        structs = {name: section.gather(values) for name, section in sections.items()}
        others = {name: _value(single[name], value) if name in single else value for name, value in values.items()}
        run(**others, **structs)

    typer_parameters = (_typer_parameters(parameter, sections, single) for parameter in parameters.values())
    command.__signature__ = Signature(list(chain.from_iterable(typer_parameters)))  # type: ignore[attr-defined]
    command.__annotations__ = {}  # Typer reads these before the signature
    command.__doc__ = run.__doc__
    return command


def _check_outputs(values: Mapping[str, Any], options: Set[str]) -> None:
    """Refuse an output that is an input, before any work is done.

    The inputs are the arguments without dashes and the options that name files. Files that these files name are
    remembered when they are read.
    """
    for name, value in values.items():
        if name not in options or name in _FILE_OPTIONS:
            for word in value if isinstance(value, list | tuple) else (value,):
                files.remember_input(Path(str(word or "")))
                files.remember_input(Path(str(word or "").partition(":")[0]))  # FILE:EXPR
    outputs = values.get("output") or ()
    for output in outputs if isinstance(outputs, list | tuple) else (outputs,):
        files.refuse_input(Path(output))


def _section(parameter: Parameter) -> OptionSection | None:
    annotation = parameter.annotation
    kind, *metadata = get_args(annotation) if get_origin(annotation) is Annotated else (annotation,)
    if not (isinstance(kind, type) and issubclass(kind, Struct)):
        return None
    options = declared_options(kind)
    for selection in metadata:
        if isinstance(selection, OptionSelection):
            options = tuple(
                declared
                for declared in options
                if declared.option.panel in selection.panels or declared.name in selection.names
            )
    return OptionSection(kind, options)


def _single(parameter: Parameter) -> DeclaredOption | None:
    default = NODEFAULT if parameter.default is Parameter.empty else parameter.default
    return declared_option(parameter.name, parameter.annotation, default)


def _typer_parameters(
    parameter: Parameter, sections: Mapping[str, OptionSection], single: Mapping[str, DeclaredOption]
) -> list[Parameter]:
    if parameter.name in sections:
        return [_typer_parameter(option) for option in sections[parameter.name].options]
    if parameter.name in single:
        return [_typer_parameter(single[parameter.name])]
    return [parameter.replace(kind=Parameter.KEYWORD_ONLY)]


def _typer_parameter(declared: DeclaredOption) -> Parameter:
    option, default = declared.option, declared.default
    name = declared.name.strip("_").replace("_", "-")
    kind = _typer_type(declared.type)
    is_optional_flag = kind == bool | None
    names = [f"--{name}/--no-{name}" if is_optional_flag else f"--{name}", *([option.short] if option.short else [])]
    info = typer.Option(
        *names,
        metavar="" if kind is bool or is_optional_flag else option.metavar,
        help=option.help,
        rich_help_panel=option.panel,
        show_default=default is not NODEFAULT and bool(default),
        callback=_keep_for_error if declared.name in ("color", "verbose") else None,
        autocompletion=COMPLETIONS.get(option.metavar or "") or COMPLETIONS.get(declared.name),
        dir_okay=Path not in (kind, *get_args(kind)),
    )
    return Parameter(
        declared.name,
        Parameter.KEYWORD_ONLY,
        default=Parameter.empty if default is NODEFAULT else default or (False if kind is bool else None),
        annotation=Annotated[kind, info],
    )


def _typer_type(kind: Any) -> Any:  # noqa: ANN401 - a type, as declared
    """Turn the declared type of an option into its type for Typer: tuples become lists, and constraints are dropped."""
    if get_origin(kind) is Annotated:
        return _typer_type(get_args(kind)[0])
    if get_origin(kind) is tuple:
        return list[str] | None
    if get_origin(kind) in (Union, UnionType):
        return Union[tuple(map(_typer_type, get_args(kind)))]  # noqa: UP007 - the members are values
    return kind


def _value(declared: DeclaredOption, value: Any) -> Any:  # noqa: ANN401 - of any option
    return tuple(value or ()) if get_origin(declared.type) is tuple else value


def _keep_for_error(context: typer.Context, parameter: typer.CallbackParam, value: object) -> object:
    """Keep the value of an option: an error is printed after the verb has ended, and needs it."""
    context.meta[str(parameter.name)] = value
    return value
