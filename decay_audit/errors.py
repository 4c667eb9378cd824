"""What goes wrong because of the input: a message that names the thing, and a hint that is the way out."""

import shlex
from collections.abc import Callable, Iterable, Sequence

SHOWN = 8
_SPECIAL = frozenset('"$`\\!')  # within double quotes


def inspecting(target: str) -> str:
    """Write the command that inspects a target."""
    return typed(["decay-audit", "inspect", target])


def typed(words: Iterable[str]) -> str:
    """Write words as a shell takes them, in double quotes where single ones are part of them."""
    return " ".join(f'"{word}"' if "'" in word and _SPECIAL.isdisjoint(word) else shlex.quote(word) for word in words)


class DecayAuditError(Exception):
    """Something decay-audit was asked to do and cannot; the command line prints it and exits 2.

    Args:
        message: what is wrong, and where.
        hint: the accepted form, the nearest spelling, or what to do instead; may be empty.
        targets: what may be meant; the hint ends in a command for each.
    """

    def __init__(self, message: str, hint: str = "", targets: Sequence[str] = ()) -> None:
        super().__init__(message, hint, targets)
        self.message = message
        self.targets = tuple(targets)
        self._hint = hint

    def __str__(self) -> str:
        """Say both, for whoever sees no more than the exception."""
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message

    @property
    def hint(self) -> str:
        """The way out."""
        return self.way_out(inspecting)

    def way_out(self, command: Callable[[str], str]) -> str:
        """Say the way out, with the command that reads one of the targets that may be meant."""
        commands = [command(target) for target in self.targets[:SHOWN]]
        if len(commands) < 2:
            return " ".join(filter(None, (self._hint, *commands)))
        more = [f"and {len(self.targets) - SHOWN} more"] if len(self.targets) > SHOWN else []
        return "\n  ".join((self._hint, *commands, *more))


class TargetError(DecayAuditError):
    """The target cannot be found, loaded or built."""


class RulesError(DecayAuditError):
    """A ruleset cannot be found, or has mistakes; the message lists all of them."""


class PlanError(DecayAuditError):
    """A ruleset gives no answer for a parameter."""


class OptimizerError(DecayAuditError):
    """What was given as an optimizer is none, cannot be read, or does not survive a probing step."""


class DecayAssertionError(AssertionError):
    """A model's optimizer does not do what the ruleset asks for; the message lists the findings."""
