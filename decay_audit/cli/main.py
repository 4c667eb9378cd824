"""The Typer app: its commands, the defaults that pyproject.toml sets, and the exit codes of errors."""

import re
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from decay_audit import files
from decay_audit.cli import screen
from decay_audit.cli.command import register
from decay_audit.cli.verbs import (
    check,
    config as config_verb,
    diff,
    emit,
    explain,
    find,
    inspect,
    lock,
    migrate,
    rules,
    run,
    sweep,
)
from decay_audit.errors import DecayAuditError, inspect_command, shell_join
from decay_audit.text import join_words

INTERRUPTED = 130  # 128 + SIGINT, as shells count
BROKEN_PIPE = 141  # 128 + SIGPIPE
_TYPER_WORDS = re.compile(r": (?:Value error, |Input should be (?P<form>[^,]*)(?:, unable to parse.*)?)")
"""How Typer begins the reason for refusing a value."""
_EXAMPLES = {
    "checkpoint": "last.pt",
    "to": "train.py:make_optimizer",
    "model": "train.py:Net",
    "output": "new.pt",
}
"""For each argument that `migrate` needs, a value as a user may write it."""
UsageError: Any = typer.BadParameter.__base__
"""A mistake in the command line. Typer has its own copy of Click, and exports only the subclass."""


_INSTEAD = {("lock", "--lock"): "-o FILE names the lock; "}
"""What to type instead of an option that the command does not have."""


class VerbGroup(TyperGroup):
    """The commands; a DecayAuditError becomes a message and exit code 2."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401  (Typer has its own copy of Click)
        """Keep the words of the command line, so that a hint can show the same command with another target."""
        args = [_without_credentials(word) for word in args]
        ctx.meta["words"] = tuple(args)
        try:
            return super().parse_args(ctx, args)
        except UsageError as error:
            _print_usage_error(error)
            raise typer.Exit(2) from None

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401
        """Run a command; none of its outputs may be a file that it reads."""
        try:
            with files.protect_inputs():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            screen.discard_standard_output()
            raise typer.Exit(BROKEN_PIPE) from None
        except UsageError as error:
            _print_usage_error(error)
            raise typer.Exit(2) from None
        except DecayAuditError as error:
            _print_error(ctx, error)
            raise typer.Exit(2) from None
        except ModuleNotFoundError as error:
            if error.name != "torch":
                raise
            _print_error(ctx, _torch_is_missing())
            raise typer.Exit(2) from None
        except OSError as error:
            if error.filename is None:
                raise
            # a folder that may not be read, a full disk, a name that is too long
            message = f"{error.filename}: {error.strerror or error}"
            _print_error(ctx, DecayAuditError(message, "check the name, and that you may read and write there"))
            raise typer.Exit(2) from None


def _torch_is_missing() -> DecayAuditError:
    return DecayAuditError(
        f"this needs torch, which is not installed for {sys.executable}",
        f"{sys.executable} -m pip install torch; "
        "inspect, check, explain, lock, diff and rules which read checkpoints without it",
    )


def _without_credentials(word: str) -> str:
    """Replace a URL by what may be shown of it: no message or report then has its credentials.

    The full URL is kept by `sources.remote`, which reads it.
    """
    if "://" not in word:
        return word
    from decay_audit.sources import remote

    return remote.hide_credentials(word)


def _print_error(ctx: Any, error: DecayAuditError) -> None:  # noqa: ANN401
    if ctx.meta.get("verbose"):
        import traceback

        traceback.print_exc()
    hint = error.hint_for(partial(_command_with_target, ctx.meta["words"]))
    screen.print_error(error.message, hint, ctx.meta.get("color", "auto"))


def _plain_reason(match: re.Match[str]) -> str:
    return f": it must be {match['form']}" if match["form"] else ": "


def _print_usage_error(error: Any) -> None:  # noqa: ANN401
    """Print what is wrong with a command line, and where its options are explained."""
    message = _TYPER_WORDS.sub(_plain_reason, error.format_message())
    if not message:
        raise error  # a command without arguments: its help was printed
    command = error.ctx.command_path if error.ctx is not None else "decay-audit"
    message, hint = message[:1].lower() + message[1:].removesuffix("."), _complete(error) or f"{command} --help"
    option = getattr(error, "option_name", "")
    if error.ctx is not None and (verbs := _verbs_with(option, error.ctx)):
        message = f"no such option: {option}"
        instead = _INSTEAD.get((error.ctx.info_name, option), "")
        hint = f"{instead}{option} is an option of {join_words(verbs)}; {hint}"
    screen.print_error(message, hint)


def _verbs_with(option: str, ctx: Any) -> list[str]:  # noqa: ANN401
    """List the commands that have an option."""
    commands = getattr(ctx.find_root().command, "commands", {})
    return [
        name
        for name, command in commands.items()
        if any(option in (*parameter.opts, *parameter.secondary_opts) for parameter in command.params)
    ]


def _complete(error: Any) -> str:  # noqa: ANN401
    """Write the command line again, with an example for each argument of `migrate` that it lacks.

    Other commands need no more than a target; for them, and for any other mistake, the text is empty.
    """
    command = getattr(error.ctx, "command", None)
    if getattr(error, "param", None) is None or command is None or not _EXAMPLES.keys() >= _required(command):
        return ""
    given = {word.partition("=")[0] for word in error.ctx.meta["words"]}
    missing = [param for param in command.params if param.required and not given & {*param.opts}]
    if error.param not in missing:
        return ""
    words = [*error.ctx.meta["words"]]
    for param in missing:
        if param.param_type_name == "option":
            words += [param.opts[0], _EXAMPLES[param.name]]
        elif param is error.param:
            words.append(_EXAMPLES[param.name])
    return f"for example: {shell_join(['decay-audit', *words])}"


def _required(command: Any) -> set[str]:  # noqa: ANN401
    return {param.name for param in command.params if param.required}


def _command_with_target(words: Sequence[str], target: str) -> str:
    """Write the command line again, with `target` in place of the word that names the same file or module."""
    others = (word for word in words[1:] if word != target and _begins_with(target, word))
    old_target = max(others, key=len, default=None)
    if old_target is None:
        return inspect_command(target)
    index = words.index(old_target, 1)
    return shell_join(["decay-audit", *words[:index], target, *words[index + 1 :]])


def _begins_with(target: str, word: str) -> bool:
    """Whether the target is the word, or the word with a name or arguments after it: `model.py:Net`, `model.py`."""
    start, full_name = _dotted(word), _dotted(target)
    return bool(start) and full_name.startswith(start) and full_name[len(start) :][:1] in ("", ".", "(", "[")


def _dotted(target: str) -> str:
    """Write `pkg.mod:NAME` and `pkg.mod.NAME` the same way."""
    return target.replace(":", ".")


app = typer.Typer(
    cls=VerbGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 no finding as severe as --fail-on, 1 such a finding, 2 the command could not be run as "
    "asked, 3 a bug in decay-audit.",
)


def _print_version(flag: bool) -> None:
    if flag:
        from importlib.metadata import version

        typer.echo(f"decay-audit {version('decay-audit')}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", "-V", callback=_print_version, is_eager=True, metavar="", help="Print the version."),
    ] = False,
) -> None:
    """Which parameters of a PyTorch model get weight decay, which should, and where the two differ."""
    from decay_audit.cli import config, pyproject

    folder = _current_folder()
    file = pyproject.find(folder)
    if file is None and (ignored_file := pyproject.find_ignored(folder)) is not None:
        screen.print_message(f"note: {ignored_file} belongs to another user: it is not read", style="hint")
    defaults = dict(config.load(file).defaults) if file else {}
    context.default_map = {
        "inspect": defaults,
        "check": defaults,
        "lock": defaults,
        "explain": defaults,
        "run": {name: value for name, value in defaults.items() if name != "optimizer"},  # a script makes its own
        "emit": {
            name: value for name, value in defaults.items() if name != "optimizer"
        },  # emit's --optimizer is a class
        "diff": {name: value for name, value in defaults.items() if name != "rules"},  # `diff` needs two rulesets
        "rules": dict.fromkeys(("list", "show", "which", "import"), defaults),
    }


def _current_folder() -> Path:
    try:
        return Path.cwd()
    except OSError as error:
        raise DecayAuditError("the current folder does not exist any more", "change to another folder") from error


for verb in (inspect.inspect, check.check, lock.lock, emit.emit, diff.diff, explain.explain, migrate.migrate):
    register(app, verb)
register(app, find.find)
register(app, sweep.sweep)
register(app, config_verb.config)
register(app, run.run, takes_command=True)
app.add_typer(rules.app, name="rules")
