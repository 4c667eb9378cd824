"""From a verb's function to its command: sections of options are spread into single options, and gathered again."""

from collections.abc import Callable
from inspect import Parameter, Signature, signature
from typing import Any

import typer
from msgspec import Struct
from msgspec.structs import fields
from typer.core import TyperCommand

from decay_audit.cli.options import AUTO
from decay_audit.cli.screen import SAYING

Run = Callable[..., None]


class Verb(TyperCommand):
    """A command with its help among the other options, and a `--trace` that may go without a value."""

    def get_help_option(self, ctx: Any) -> Any:  # noqa: ANN401  (typer carries its own click)
        """Put `--help` into a panel that is there anyway."""
        option: Any = super().get_help_option(ctx)
        if option is not None:
            option.rich_help_panel, option.metavar = SAYING, ""
        return option

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401
        """Read the arguments; a `--trace` before another option, a target or nothing leaves it to the model."""
        following = [*args[1:], "--"]
        filled = [
            f"{arg}={AUTO}" if arg == "--trace" and _is_no_input(after) else arg
            for arg, after in zip(args, following, strict=bool(args))
        ]
        return super().parse_args(ctx, filled)


def _is_no_input(word: str) -> bool:
    from decay_audit.sources import target

    return word.startswith("-") or target.is_clearly_target(word)


def register(app: typer.Typer, run: Run, name: str | None = None) -> None:
    """Make a command of a function, called as the function is unless another name is given."""
    app.command(name or run.__name__, cls=Verb)(spread(run))


def spread(run: Run) -> Run:
    """Give a function that takes the fields of each section as keywords of its own, which is what Typer reads.

    A section is a parameter whose type is a Struct. Its fields are options, by their own names, types and defaults.
    """
    parameters = signature(run).parameters.values()
    sections = {each.name: each.annotation for each in parameters if _is_section(each)}

    def command(**options: Any) -> None:  # noqa: ANN401
        gathered = {
            name: section(**{field: options.pop(field) for field in section.__struct_fields__})
            for name, section in sections.items()
        }
        run(**options, **gathered)

    single = [one for each in parameters for one in (_fields(each.annotation) if _is_section(each) else [each])]
    command.__signature__ = Signature([one.replace(kind=Parameter.KEYWORD_ONLY) for one in single])  # type: ignore[attr-defined]
    command.__annotations__ = {}  # its own would stand in for those of the signature
    command.__doc__ = run.__doc__
    return command


def _is_section(parameter: Parameter) -> bool:
    return isinstance(parameter.annotation, type) and issubclass(parameter.annotation, Struct)


def _fields(section: type[Struct]) -> list[Parameter]:
    return [
        Parameter(one.name, Parameter.KEYWORD_ONLY, default=one.default, annotation=one.type) for one in fields(section)
    ]
