"""The JSON document as values: the contract of `--format json`, field by field. Its schema is made from these."""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from decay_audit.model.choices import Severity
from decay_audit.model.inventory import SourceKind
from decay_audit.model.observations import Origin, Semantics
from decay_audit.roles.words import Confidence, EvidenceKind, Layer, Role

Count = Annotated[int, Meta(ge=0)]


class Source(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the parameters were read."""

    kind: SourceKind
    files: tuple[str, ...]
    built_on: str | None


class RuleUse(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rule of the ruleset, its default as the last, and how many parameters it decided."""

    name: str
    matched: Count
    line: Count


class RuleSetUse(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ruleset that decided."""

    name: str
    title: str
    source: str
    weight_decay: float
    rules: tuple[RuleUse, ...]


class EvidenceSeen(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One reason for a role, strongest first."""

    kind: EvidenceKind
    detail: str


class Observed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one optimizer does to the parameter; `group` is an index into that optimizer's groups.

    A number that is not finite is null.
    """

    optimizer: str
    group: Count
    weight_decay: float | None
    lr: float | None
    measured_rate: float | None = field(name="measured")


class ParameterSeen(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One parameter: what it is, what the ruleset decides, and what the optimizers do."""

    name: str
    raw_name: str
    shape: tuple[Count, ...]
    dtype: str
    numel: Count
    layer: Layer
    role: Role
    confidence: Confidence
    evidence: tuple[EvidenceSeen, ...]
    owner: str
    owner_type: str | None
    trainable: bool | None
    tied_to: tuple[str, ...]
    declared_no_decay: str | None
    decay: bool
    weight_decay: float
    rule: str
    lr_scale: float
    use: str | None
    observed: tuple[Observed, ...]


class PlannedGroup(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One param group that the ruleset asks for."""

    weight_decay: float
    lr_scale: float
    use: str | None
    parameters: tuple[str, ...]
    numel: Count


class RoleTotal(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters of one role."""

    parameters: Count
    numel: Count
    decayed_parameters: Count


class Totals(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All parameters of the document, and those of each role that occurs; `hidden` are not in it."""

    parameters: Count
    numel: Count
    decayed_parameters: Count
    decayed_numel: Count
    hidden: Count
    by_role: dict[Role, RoleTotal]


class HeldGroup(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One group that an optimizer holds; a position that no name could be found for is an empty name."""

    weight_decay: float | None
    lr: float | None
    weight_decay_is_default: bool | None = field(name="implicit")
    parameters: tuple[str, ...]


class OptimizerSeen(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One optimizer, live or as a checkpoint saved it."""

    name: str
    class_: str = field(name="class")
    groups: tuple[HeldGroup, ...]
    semantics: Semantics
    origin: Origin


class FindingSeen(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One difference, with every parameter that it concerns."""

    code: str
    severity: Severity
    parameters: tuple[str, ...]
    message: str
    expected: str
    found: str


class Document(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A report of decay-audit."""

    schema_version: Literal[1]
    target: str
    source: Source
    ruleset: RuleSetUse
    parameters: tuple[ParameterSeen, ...]
    groups: tuple[PlannedGroup, ...]
    totals: Totals
    optimizers: tuple[OptimizerSeen, ...]
    findings: tuple[FindingSeen, ...]
