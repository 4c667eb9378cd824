"""The command line: options become calls of the api, a Report becomes text, findings become the exit code."""

import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from decay_audit.cli import screen
from decay_audit.cli.command import register
from decay_audit.cli.verbs import check, diff, emit, explain, inspect, migrate, rules
from decay_audit.errors import DecayAuditError, inspect_command, shell_join

INTERRUPTED = 130  # 128 + SIGINT, as shells count
BROKEN_PIPE = 141  # 128 + SIGPIPE


class Verbs(TyperGroup):
    """The verbs, which turn what goes wrong because of the input into a message and exit code 2."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401  (typer carries its own click)
        """Keep the words of the command line, to say it again with what was meant."""
        ctx.meta["words"] = tuple(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401
        """Run a verb."""
        try:
            return super().invoke(ctx)
        except DecayAuditError as error:
            if ctx.meta.get("verbose"):
                import traceback

                traceback.print_exc()
            hint = error.hint_for(partial(_again, ctx.meta["words"]))
            screen.fail(error.message, hint, ctx.meta.get("color", screen.Color.auto))
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            # The reader has gone: what is still buffered must not fail again at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(BROKEN_PIPE) from None


def _again(words: Sequence[str], target: str) -> str:
    """Write the command line again, with the target in place of the first word behind the verb that asked for it."""
    asked = max((word for word in words[1:] if _leads_to(word, target)), key=len, default=None)
    if asked is None:
        return inspect_command(target)
    at = words.index(asked, 1)
    return shell_join(["decay-audit", *words[:at], target, *words[at + 1 :]])


def _leads_to(word: str, target: str) -> bool:
    """Whether a word is the target, but for what follows its name."""
    asked, whole = _dotted(word), _dotted(target)
    return bool(asked) and whole.startswith(asked) and whole[len(asked) :][:1] in ("", ".", "(", "[")


def _dotted(target: str) -> str:
    """`pkg.mod:NAME` and `pkg.mod.NAME` are one thing."""
    return target.replace(":", ".")


app = typer.Typer(
    cls=Verbs,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 nothing to say, 1 findings, 2 could not do what was asked, 3 a bug in decay-audit.",
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"decay-audit {version('decay-audit')}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_version, is_eager=True, metavar="", help="Print the version.")
    ] = False,
) -> None:
    """Which parameters of a PyTorch model get weight decay, which should, and where the two differ."""
    from decay_audit.cli import config

    file = config.find(Path.cwd())
    defaults = config.values(config.load(file), file.parent) if file else {}
    context.default_map = {
        "inspect": defaults,
        "check": defaults,
        "explain": defaults,
        "emit": {name: value for name, value in defaults.items() if name != "optimizer"},  # there it is a class
        "diff": {name: value for name, value in defaults.items() if name != "rules"},  # there they are what differs
        "rules": dict.fromkeys(("list", "show", "which", "import"), defaults),
    }


for verb in (inspect.inspect, check.check, emit.emit, diff.diff, explain.explain, migrate.migrate):
    register(app, verb)
app.add_typer(rules.app, name="rules")
