"""`decay-audit find`: where a repository makes its optimizers and models, and the command that audits each."""

import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import Struct

from decay_audit.api.options import Option, OutputOptions
from decay_audit.cli import screen
from decay_audit.cli.command import takes
from decay_audit.errors import DecayAuditError, shell_join

if TYPE_CHECKING:
    from decay_audit.sources.run.find_models import ModelClass
    from decay_audit.sources.run.find_optimizers import OptimizerCall

_MAX_CHARACTERS = 48
"""The most characters that are shown of an expression."""
_MAX_MODELS = 20
"""The most models that are listed."""
_MODEL_TO_NAME = "MODEL"
"""A command has this word where the user has to name the model."""


class _Command(Struct, frozen=True):
    """The command for one place: it runs a script, or checks a model and a function that makes the optimizer."""

    script: str = ""
    model: str = ""
    optimizer: str = ""

    def text(self) -> str:
        """The command line; "" if neither a script nor a function is known."""
        if self.script:
            return shell_join(["decay-audit", "run", self.script])
        if self.optimizer:
            return shell_join(["decay-audit", "check", self.model or _MODEL_TO_NAME, "--optimizer", self.optimizer])
        return ""

    def settings(self) -> dict[str, str]:
        """The settings of the audit in a file; empty if the model is not known."""
        if self.script:
            return {"run": self.script}
        return {"target": self.model, "optimizer": self.optimizer} if self.model and self.optimizer else {}


def find(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="A folder, or a Python file.", show_default=False)
    ] = Path(),
    *,
    write: Annotated[
        bool,
        Option("Output", "Add the audits to the file of settings there; `decay-audit check` runs them."),
    ] = False,
    output: Annotated[OutputOptions, takes(names=("output", "quiet"))],
) -> None:
    """List where code makes optimizers of torch.optim, with the command that audits each; then the classes of models.

    Nothing is imported or run: so this command does not know what the groups hold or what decays.
    """
    from decay_audit.sources.run import find_models, find_optimizers, python_files
    from decay_audit.text import count_noun

    if not path.exists():
        raise DecayAuditError(f"no such file or folder: {path}", "name the folder of a repository")
    if path.is_file() and path.suffix not in python_files.SUFFIXES:
        raise DecayAuditError(f"{path} is not a Python file", "name a .py file, or the folder of a repository")
    texts = python_files.read(path)
    if not texts:
        raise DecayAuditError(f"there is no Python file in {path}", "name the folder of a repository")
    result, models = find_optimizers.find(texts), find_models.find(texts)
    commands = [_command(call, result.scripts, models) for call in result.calls]
    lines = [*_optimizer_lines(result.calls, commands), *_model_lines(models)]
    screen.write("\n".join(lines).lstrip("\n"), output.output)
    calls = count_noun(len(result.calls), "place makes an optimizer", "places make an optimizer")
    screen.print_message(f"{calls} in {count_noun(len(texts), 'Python file')}", quiet=output.quiet)
    if write:
        _write(commands, path if path.is_dir() else path.parent, quiet=output.quiet)


def _optimizer_lines(calls: "Sequence[OptimizerCall]", commands: Sequence[_Command]) -> Iterator[str]:
    rows = [
        (f"{call.file}:{call.line}", f"{call.type}({_short(call.parameters)})", _coefficient(call)) for call in calls
    ]
    yield from _aligned(rows, [command.text() for command in commands])


def _model_lines(models: "Sequence[ModelClass]") -> Iterator[str]:
    """List the models that are in no other model. Where a constructor needs arguments, `...` stands for them."""
    if models:
        yield from ("", "model classes:")
    rows = [(f"{model.file}:{model.line}", model.name) for model in models[:_MAX_MODELS]]
    yield from _aligned(
        rows, [shell_join(["decay-audit", "inspect", _target(model)]) for model in models[:_MAX_MODELS]]
    )
    if len(models) > _MAX_MODELS:
        yield f"{len(models) - _MAX_MODELS} more models are not listed: name one of the folders or files"


def _aligned(rows: Sequence[tuple[str, ...]], commands: Sequence[str]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row, command in zip(rows, commands, strict=False):
        cells = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield f"{cells}  {command}".rstrip()


def _target(model: "ModelClass") -> str:
    return f"{model.file}:{model.name}{'(...)' if model.needs_arguments else ''}"


def _short(text: str) -> str:
    text = screen.visible(" ".join(text.split()))
    return text if len(text) <= _MAX_CHARACTERS else f"{text[: _MAX_CHARACTERS - 3]}..."


def _coefficient(call: "OptimizerCall") -> str:
    if call.weight_decay is not None:
        return f"weight_decay={_short(call.weight_decay)}"
    return "weight_decay may be set in the groups" if call.may_set_weight_decay else "weight_decay is the default"


def _command(call: "OptimizerCall", scripts: dict[str, str], models: "Sequence[ModelClass]") -> _Command:
    if call.is_script:
        return _Command(script=call.file)
    # a function with one required argument takes the model
    if call.function and call.required_arguments == 1 and call.function != "__init__":
        single = models[0] if len(models) == 1 and not models[0].needs_arguments else None
        return _Command(model=_target(single) if single else "", optimizer=f"{call.file}:{call.function}")
    return _Command(script=scripts.get(call.file, ""))


def _write(commands: Sequence[_Command], folder: Path, *, quiet: bool) -> None:
    """Append audits to decay-audit.toml, or to pyproject.toml without one. The text that is there does not change.

    Raises:
        DecayAuditError: the file is not TOML, or its audits stand in a form to which no table can be added.
    """
    from decay_audit import files
    from decay_audit.cli import config, pyproject
    from decay_audit.text import count_noun

    file = folder / pyproject.OWN_FILE
    file = file if file.exists() else folder / "pyproject.toml"
    try:
        old = file.read_bytes().decode() if file.exists() else ""
    except UnicodeDecodeError as error:
        raise DecayAuditError(f"{file} is not UTF-8", "TOML must be UTF-8, see https://toml.io") from error
    header = "audits" if file.exists() and pyproject.is_whole_table(file) else "tool.decay-audit.audits"
    present = _audits(old, file, header)
    all_settings = [settings for command in dict.fromkeys(commands) if (settings := command.settings())]
    added = [new for new in all_settings if not any(new.items() <= audit.items() for audit in present)]
    if added:
        gap = "" if not old or old.endswith(("\n\n", "\r\n\r\n")) else "\n" if old.endswith("\n") else "\n\n"
        tables = gap + "\n".join(_as_toml(settings, header) for settings in added)
        text = old + (tables.replace("\n", "\r\n") if "\r\n" in old else tables)
        _audits(text, file, header)  # raises if the new text is not valid TOML
        with files.atomic_write(file, may_be_input=True) as path:
            path.write_bytes(text.encode())
            config.load(path)  # raises before the file is replaced if these are not valid settings
    skipped = len({command for command in commands if not command.settings()})
    hint = f"; {count_noun(skipped, 'place')} left out: its model or script is not known" if skipped else ""
    screen.print_message(f"added {count_noun(len(added), 'audit')} to {file}{hint}", quiet=quiet)


def _audits(text: str, file: Path, header: str) -> list[dict[str, object]]:
    """The audits in the text of a file of settings.

    Args:
        header: the dotted name of the list of audits.
    """
    try:
        table = tomllib.loads(text)
        *parents, name = header.split(".")
        for parent in parents:
            table = table.get(parent, {})
        return list(table.get(name, ()))
    except (tomllib.TOMLDecodeError, AttributeError) as error:
        raise DecayAuditError(
            f"{file} cannot get another [[{header}]]: {error}",
            f"nothing was written; write its audits as tables, one [[{header}]] each",
        ) from error


def _as_toml(settings: dict[str, str], header: str) -> str:
    return "".join([f"[[{header}]]\n", *(f"{name} = {_quoted(value)}\n" for name, value in settings.items())])


def _quoted(text: str) -> str:
    """Write a string as TOML."""
    import json

    return json.dumps(text, ensure_ascii=False)
