"""docs/cli.md is made from the Typer app: each command, argument and option, as `--help` describes them."""

from collections.abc import Iterator
from typing import Any, get_args

import typer

from decay_audit.api.options import Panel
from decay_audit.cli import app
from tests.docs.pages import assert_page_is, table

HEAD = """# Commands and options

This page is made from the command line itself; `decay-audit COMMAND --help` prints the same.
A code such as DA101 is explained by `decay-audit explain DA101`, and on the [page of codes](codes.md).
Most options can also stand in `pyproject.toml`: see [Settings](config.md).

"""
STREAMS = """
## Output and exit codes

The report goes to standard output, or to the files of `--output`; the verdict, notes and errors go to standard error.

| exit code | meaning |
| --- | --- |
| 0 | no finding is as severe as `--fail-on` |
| 1 | there are such findings |
| 2 | the command could not be run as asked: a wrong option, a target that cannot be read, mistakes in a ruleset |
| 3 | a bug in decay-audit |
"""


def commands(command: Any, path: str = "decay-audit") -> Iterator[tuple[str, Any]]:
    """List each command with the words that call it; a group of commands is none itself."""
    subcommands = getattr(command, "commands", None)
    if subcommands is None:
        yield path, command
    for name, subcommand in (subcommands or {}).items():
        yield from commands(subcommand, f"{path} {name}")


COMMANDS = dict(commands(typer.main.get_command(app)))


def section(path: str, command: Any) -> str:
    context = typer.Context(command, info_name=path)
    usage = " ".join([path, "[OPTIONS]", *(word(argument) for argument in parameters(command, "argument"))])
    text = f"\n## {path}\n\n{plain(command.help)}\n\n```text\n{usage}\n```\n"
    if arguments := [(f"`{argument.metavar}`", argument.help) for argument in parameters(command, "argument")]:
        text += f"\n{table(['argument', 'what it is'], arguments)}"
    for panel in get_args(Panel):
        options = [option for option in parameters(command, "option") if option.rich_help_panel == panel]
        if options:
            text += f"\n{table([panel, 'what it does', 'default'], (row(option, context) for option in options))}"
    return text


def parameters(command: Any, kind: str) -> list[Any]:
    return [parameter for parameter in command.params if parameter.param_type_name == kind]


def word(argument: Any) -> str:
    name = f"{argument.metavar}{'...' if argument.nargs == -1 else ''}"
    return name if argument.required else f"[{name}]"


def row(option: Any, context: typer.Context) -> tuple[str, str, str]:
    names, _ = option.get_help_record(context)
    has_value = not (option.is_flag or option.secondary_opts)
    return f"`{names}`", option.help, f"`{option.default}`" if has_value and option.default else ""


def plain(help_text: str) -> str:
    """Join the lines of each paragraph."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in help_text.split("\n\n"))


def page() -> str:
    rows = [
        (f"[`{path}`](#{path.replace(' ', '-')})", plain(command.help).split("\n\n")[0])
        for path, command in COMMANDS.items()
    ]
    sections = "".join(section(path, command) for path, command in COMMANDS.items())
    return HEAD + table(["command", "what it does"], rows) + STREAMS + sections


def test_the_page_of_commands_is_what_the_command_line_takes() -> None:
    assert_page_is("cli.md", page())


def test_the_page_of_commands_has_every_option_with_its_help() -> None:
    text = page().replace("\\|", "|")
    for path, command in COMMANDS.items():
        part = text.partition(f"\n## {path}\n")[2].partition("\n## ")[0]
        for parameter in command.params:
            assert parameter.help in part
            assert parameter.param_type_name == "argument" or all(name in part for name in parameter.opts)
