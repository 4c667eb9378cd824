"""Rulesets as values: ordered rules, of which the first that matches decides."""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from decay_audit.model.parameters import Parameter
from decay_audit.rulesets.conditions import NameForm, When


class Amount(Struct, frozen=True, kw_only=True):
    """How much a rule decays: a multiple of the ruleset's base coefficient, or a coefficient of its own."""

    times: float = 1.0
    weight_decay: float | None = None

    def coefficient(self, base: float) -> float:
        """The weight_decay that this amount means under the base coefficient `base`."""
        return self.times * base if self.weight_decay is None else self.weight_decay


class Rule(Struct, frozen=True, kw_only=True):
    """One rule: a name, a condition, an amount, and where it is written.

    Attributes:
        lenient: if an optimizer differs, the finding is a note, not an error. The emitted code is the same.
    """

    name: str
    when: When
    amount: Amount
    lenient: bool = False
    file: str = ""
    line: int = 0

    @property
    def location(self) -> str:
        """Where it is written, as `file:line`; "" for a rule that was not read from a file."""
        return f"{self.file}:{self.line}" if self.file else ""


class Scale(Struct, frozen=True, kw_only=True):
    """A factor on the learning rate of the parameters for which `when` holds. If several match, all are multiplied."""

    when: When
    times: float
    location: str = ""


class LayerRule(Struct, frozen=True, kw_only=True):
    r"""The layer number of the parameters for which `when` holds.

    Attributes:
        layer: a number, `last`, or arithmetic on what `when.name_regex` captured, e.g. `\1 // 3 + 1`.
    """

    when: When
    layer: int | str
    location: str = ""


class LayerDecay(Struct, frozen=True, kw_only=True):
    """Factors on learning rates by layer: rate ** (last - layer), where `last` is the number of the last layer.

    Attributes:
        rate: the factor from one layer to the layer before it.
        layers: the first that matches gives a parameter its number; None: the model's `group_matcher()` gives it.
        default: the number where no layer rule matches; None: the learning rate is not changed.
        when: it must hold for at least one parameter; if not, all learning rates stay as they are.
    """

    rate: float
    layers: tuple[LayerRule, ...] | None
    default: int | Literal["last"] | None = None
    when: When | None = None
    location: str = ""


class Route(Struct, frozen=True, kw_only=True):
    """The optimizer (`use`) for the parameters for which `when` holds. The first match wins; no `when` matches all."""

    when: When | None
    use: str
    location: str = ""


RulesetEntry = Rule | Scale | LayerDecay | LayerRule | Route
"""A part of a ruleset that has a condition: a rule, or an entry on learning rates or optimizers."""


def label(entry: RulesetEntry) -> str:
    """Name an entry in a sentence.

    >>> label(Scale(when=When(role="bias"), times=2.0, location="ours.yaml:7"))
    'lr_scale entry (ours.yaml:7)'
    """
    if isinstance(entry, Rule):
        return f"rule {entry.name}"
    key = "lr_scale" if isinstance(entry, Scale) else "optimizer" if isinstance(entry, Route) else "layer_decay"
    return f"{key} entry ({entry.location})" if entry.location else f"an entry of {key}"


class Example(Struct, frozen=True, kw_only=True):
    """A test of a rules file: a parameter, and what the ruleset must decide for it. A field that is None is not tested.

    Attributes:
        amount: how much the parameter must decay.
        lenient: whether the decision must be lenient.
        rule: the rule that must decide.
        lr_scale: the factor on its learning rate.
        use: the optimizer that must take it.
    """

    parameter: Parameter
    amount: Amount | None = None
    lenient: bool | None = None
    rule: str | None = None
    lr_scale: float | None = None
    use: str | None = None
    location: str = ""


class RuleSet(Struct, frozen=True, kw_only=True):
    """A policy: which parameters decay, and by how much.

    Attributes:
        weight_decay: the base coefficient.
        default: the amount where no rule matches; if it is None, a parameter that no rule matches is an error.
        default_lenient: whether the default is lenient, as a rule may be.
        default_location: `file:line` of the default, which may be in the file that this ruleset extends.
        compare: whether the coefficients of an optimizer must be the ruleset's, or lr x coefficient, as in muP.
        frozen: whether parameters that do not require a gradient are skipped or decided like any other.
        names: whether conditions on names see the canonical or the raw name of a parameter.
        lr_scale, layer_decay: factors on the learning rate; both apply.
        routes: which optimizer takes each parameter.
        preset: whether it ships with decay-audit.
    """

    name: str
    title: str = ""
    source: str = ""
    weight_decay: float
    rules: Sequence[Rule] = ()
    default: Amount | None
    default_lenient: bool = False
    default_location: str = ""
    file: str = ""
    compare: Literal["coefficient", "product"] = "coefficient"
    frozen: Literal["skip", "include"] = "skip"
    names: NameForm = "canonical"
    lr_scale: tuple[Scale, ...] = ()
    layer_decay: LayerDecay | None = None
    routes: tuple[Route, ...] = ()
    examples: tuple[Example, ...] = ()
    preset: bool = False

    def sparing_rules(self) -> tuple[list[str], list[str]]:
        """Return the names of the rules whose parameters do not decay: of strict rules, then of lenient ones."""
        sparing = [rule for rule in self.rules if rule.amount.coefficient(self.weight_decay) == 0]
        return [rule.name for rule in sparing if not rule.lenient], [rule.name for rule in sparing if rule.lenient]

    def __repr__(self) -> str:
        """Keep the text short."""
        return f"<RuleSet {self.name!r}: {len(self.rules)} rules>"
