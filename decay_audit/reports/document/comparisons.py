"""The JSON documents of `diff`, `rules which` and `rules list` as values, and how they are made."""

from collections.abc import Sequence
from typing import Any, Literal

from msgspec import Struct, structs

from decay_audit.checks.lock.changes import ComparedSide, ModelComparison
from decay_audit.reports.document import Natural
from decay_audit.reports.document.optimizers import RunRecord, run_record
from decay_audit.rulesets.diff import Mismatch, Refusal, RulesetComparison, RulesetDifference, RulesetMatch
from decay_audit.rulesets.ruleset import RuleSet


class EntryRecord(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One parameter on one side, as a lock has it; `evidence` is the strongest evidence for its role.

    `observed` is what optimizers do; "" if there is no optimizer. `evidence` is null for a lock.
    """

    shape: str
    role: str
    weight_decay: str
    lr_scale: str
    use: str
    rule: str
    observed: str
    evidence: str | None


class NamedEntryRecord(EntryRecord, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A parameter that only one side has."""

    name: str


class ChangeRecord(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A parameter that both sides have, and that differs; `old_name` differs from `name` if it was renamed."""

    name: str
    old_name: str
    before: EntryRecord
    after: EntryRecord


class ModelComparisonDocument(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What differs between two targets, locks or git revisions; `rulesets` decided the earlier and the later side."""

    schema_version: Literal[2]
    before: str
    after: str
    rulesets: tuple[str, str]
    changed: tuple[ChangeRecord, ...]
    added: tuple[NamedEntryRecord, ...]
    gone: tuple[NamedEntryRecord, ...]


class SizeRecord(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A number of parameters, and of their elements."""

    parameters: Natural
    numel: Natural


class GapRecord(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many parameters and elements two rulesets treat differently."""

    rulesets: tuple[str, str]
    parameters: Natural
    numel: Natural


class RulesetComparisonDocument(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where rulesets differ on one model."""

    schema_version: Literal[2]
    target: str
    weight_decay: float
    rulesets: tuple[str, ...]
    totals: SizeRecord
    differences: tuple[RulesetDifference, ...]
    gaps: tuple[GapRecord, ...]
    refused: tuple[Refusal, ...]
    run: RunRecord | None


class MatchRecord(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How well a ruleset reproduces an optimizer; the fields are those of `RulesetMatch`."""

    ruleset: str
    weight_decay: float
    exact: bool
    parameters: Natural
    unplaced: Natural
    mismatches: tuple[Mismatch, ...]
    unmatched: Natural
    scales: bool
    same_rates: bool | None
    routes: bool
    no_effect: bool
    refused: str
    needs_model: bool


class MatchesDocument(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rulesets that decide as an optimizer does, the best first."""

    schema_version: Literal[2]
    target: str
    matches: tuple[MatchRecord, ...]


class RulesetSummary(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A ruleset in a list. The names of the rules that spare are in the order of the file."""

    name: str
    title: str
    source: str
    weight_decay: float
    spares: tuple[str, ...]
    spares_leniently: tuple[str, ...]


class RulesetsDocument(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A list of rulesets."""

    schema_version: Literal[2]
    rulesets: tuple[RulesetSummary, ...]


def rulesets_document(rulesets: Sequence[RuleSet]) -> RulesetsDocument:
    """Make the document of a list of rulesets."""
    return RulesetsDocument(schema_version=2, rulesets=tuple(map(_ruleset_entry, rulesets)))


def _ruleset_entry(ruleset: RuleSet) -> RulesetSummary:
    strict, lenient = ruleset.sparing_rules()
    return RulesetSummary(
        name=ruleset.name,
        title=ruleset.title,
        source=ruleset.source,
        weight_decay=ruleset.weight_decay,
        spares=tuple(strict),
        spares_leniently=tuple(lenient),
    )


def model_comparison_document(comparison: ModelComparison) -> ModelComparisonDocument:
    """Make the document of what differs between two models."""
    before, after, changes = comparison.before, comparison.after, comparison.changes
    return ModelComparisonDocument(
        schema_version=2,
        before=before.label,
        after=after.label,
        rulesets=(before.ruleset, after.ruleset),
        changed=tuple(
            ChangeRecord(
                name=change.name,
                old_name=change.old_name,
                before=EntryRecord(**_entry_fields(before, change.old_name)),
                after=EntryRecord(**_entry_fields(after, change.name)),
            )
            for change in changes.changed
        ),
        added=tuple(NamedEntryRecord(name=name, **_entry_fields(after, name)) for name in changes.added),
        gone=tuple(NamedEntryRecord(name=name, **_entry_fields(before, name)) for name in changes.gone),
    )


def _entry_fields(side: ComparedSide, name: str) -> dict[str, Any]:
    return {**structs.asdict(side.entries[name]), "evidence": side.evidence.get(name)}


def ruleset_comparison_document(comparison: RulesetComparison, target: str) -> RulesetComparisonDocument:
    """Make the document of where rulesets differ on one model."""
    names = [ruleset.name for ruleset in comparison.rulesets]
    return RulesetComparisonDocument(
        schema_version=2,
        target=target,
        weight_decay=comparison.weight_decay,
        rulesets=tuple(names),
        totals=SizeRecord(parameters=comparison.parameters, numel=comparison.numel),
        differences=comparison.differences,
        gaps=tuple(
            GapRecord(rulesets=(names[gap.first], names[gap.second]), parameters=gap.parameters, numel=gap.numel)
            for gap in comparison.gaps
        ),
        refused=comparison.refused,
        run=run_record(comparison.horizon),
    )


def matches_document(matches: Sequence[RulesetMatch], target: str) -> MatchesDocument:
    """Make the document of the rulesets that decide as an optimizer does."""
    return MatchesDocument(schema_version=2, target=target, matches=tuple(map(_match, matches)))


def _match(match: RulesetMatch) -> MatchRecord:
    fields = {name: getattr(match, name) for name in MatchRecord.__struct_fields__ if name != "ruleset"}
    return MatchRecord(ruleset=match.ruleset.name, **fields)
