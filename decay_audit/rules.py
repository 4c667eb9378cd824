"""Rulesets as values: ordered rules, of which the first that matches decides. Knows no file, torch or format."""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from decay_audit.conditions import NameForm, When
from decay_audit.parameters import Parameter


class Amount(Struct, frozen=True, kw_only=True):
    """How much a rule decays: a multiple of the ruleset's base coefficient, or a coefficient of its own."""

    times: float = 1.0
    weight_decay: float | None = None

    def coefficient(self, base: float) -> float:
        """The weight_decay that this amount means under the base coefficient `base`."""
        return self.times * base if self.weight_decay is None else self.weight_decay


class Rule(Struct, frozen=True, kw_only=True):
    """One rule: a name, a condition, an amount, and the place in the file that says so."""

    name: str
    when: When
    amount: Amount
    file: str = ""
    line: int = 0

    @property
    def place(self) -> str:
        """`file:line` for a person; "" for a rule that was not read from a file."""
        return f"{self.file}:{self.line}" if self.file else ""


class Example(Struct, frozen=True, kw_only=True):
    """A parameter that a ruleset promises an answer for: the preset tests itself.

    Attributes:
        amount: what it must decay by; None if the example does not say.
        rule: the rule that must decide; None if the example does not say.
    """

    parameter: Parameter
    amount: Amount | None = None
    rule: str | None = None
    place: str = ""


class RuleSet(Struct, frozen=True, kw_only=True):
    """A policy: which parameters decay, and by how much.

    Attributes:
        weight_decay: the base coefficient.
        default: the amount where no rule matches; None makes an unmatched parameter an error.
        default_place: `file:line` that says so, which is another file's where `extends` brought it.
        frozen: whether parameters that do not require a gradient are skipped or decided like any other.
        names: which of a parameter's names the name conditions see.
        preset: it ships with decay-audit.
    """

    name: str
    title: str = ""
    source: str = ""
    weight_decay: float
    rules: Sequence[Rule] = ()
    default: Amount | None
    default_place: str = ""
    file: str = ""
    frozen: Literal["skip", "include"] = "skip"
    names: NameForm = "canonical"
    examples: tuple[Example, ...] = ()
    preset: bool = False
