"""Errors in what the user gave, each with a message (what is wrong, and where) and a hint (how to go on).

DecayAuditError        the command line prints it and exits 2
+-- TargetError        a model or checkpoint cannot be found, read or built
+-- RulesError         a ruleset cannot be found, or has mistakes
+-- PlanError          a ruleset gives no answer for a parameter
+-- OptimizerError     an optimizer cannot be found, read or stepped
DecayAssertionError    an AssertionError: a test's optimizer differs from the ruleset
"""

import shlex
from collections.abc import Callable, Iterable, Sequence

_MAX_COMMANDS = 8
"""The most commands that a hint lists."""
_SPECIAL_IN_DOUBLE_QUOTES = frozenset('"$`\\!')
"""The characters that a shell does not take literally between double quotes."""


def inspect_command(target: str) -> str:
    """Write the command line that inspects a target."""
    return shell_join(["decay-audit", "inspect", target])


def shell_join(words: Iterable[str]) -> str:
    """Join words as `shlex.join` does, but put a word that contains single quotes between double quotes."""
    return " ".join(
        f'"{word}"' if "'" in word and _SPECIAL_IN_DOUBLE_QUOTES.isdisjoint(word) else shlex.quote(word)
        for word in words
    )


class DecayAuditError(Exception):
    """decay-audit cannot do what it was asked to do.

    Args:
        message: what is wrong, and where.
        hint: the accepted form, the nearest spelling, or what to do instead; may be empty.
        targets: targets that the user may have meant; the hint ends in a command for each.
    """

    def __init__(self, message: str, hint: str = "", targets: Sequence[str] = ()) -> None:
        super().__init__(message, hint, targets)
        self.message = message
        self.targets = tuple(targets)
        self._hint = hint

    def __str__(self) -> str:
        """Show the hint, too, because a traceback shows nothing else."""
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message

    @property
    def hint(self) -> str:
        """The hint, with `decay-audit inspect` as the command for each target."""
        return self.hint_for(inspect_command)

    def hint_for(self, command: Callable[[str], str]) -> str:
        """Write the hint, with the command that `command` makes for each target."""
        commands = [command(target) for target in self.targets[:_MAX_COMMANDS]]
        if len(commands) < 2:
            return " ".join(filter(None, (self._hint, *commands)))
        omitted = len(self.targets) - len(commands)
        return "\n  ".join((self._hint, *commands, *([f"and {omitted} more"] if omitted else [])))


class TargetError(DecayAuditError):
    """A model or checkpoint cannot be found, read or built."""


class RulesError(DecayAuditError):
    """A ruleset cannot be found, or has mistakes; the message lists all of them."""


class PlanError(DecayAuditError):
    """A ruleset gives no answer for a parameter."""


class OptimizerError(DecayAuditError):
    """An optimizer cannot be found, cannot be read, or raises when it is stepped."""


class DecayAssertionError(AssertionError):
    """A model's optimizer does not do what the ruleset asks for; the message lists the findings."""
