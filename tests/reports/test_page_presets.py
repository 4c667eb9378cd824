"""The presets of a page: parameters that differ only in block numbers are decided once, with the same answers."""

import re
from collections.abc import Callable, Iterator

import pytest
import torch
from msgspec.structs import fields
from torch import nn

import decay_audit
from decay_audit import rulesets
from decay_audit.api.functions.page_parts import page_parts
from decay_audit.errors import DecayAuditError
from decay_audit.reports.report import Report
from decay_audit.rulesets.conditions import When
from decay_audit.rulesets.diff import ANY_BASE
from decay_audit.rulesets.plan import decide
from tests.menagerie import MENAGERIE

NAMES = ("name", "leaf", "owner_name", "name_regex", "leaf_regex")


class Declaring(nn.Module):
    """A model that declares one of two equal blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(4, 4) for _ in range(12))

    def no_weight_decay(self) -> set[str]:
        return {"blocks.10.weight"}


class LayerNorm(nn.Module):
    """A norm of a project's own, which presets that list torch's classes decay."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))
        self.bias = nn.Parameter(torch.zeros(4))


MODELS: dict[str, Callable[[], nn.Module]] = {
    **{name: MENAGERIE[name] for name in ("frozen", "lazy", "tied", "transformer")},
    "declaring": Declaring,
    "two classes of one shape": lambda: nn.Sequential(nn.LayerNorm(4), LayerNorm()),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.filterwarnings("ignore")
def test_each_preset_decides_each_parameter_as_if_it_were_asked_for_it(name: str) -> None:
    inventory = decay_audit.read(MODELS[name]())
    plan = decay_audit.plan(inventory)
    shown = {other.name: other.decays for other in page_parts(Report(inventory=inventory, plan=plan)).other_rulesets}
    classified = [decision.classified for decision in plan.decisions]
    for preset in rulesets.presets():
        ruleset = rulesets.load(preset)
        try:
            decided = decide(classified, ruleset, ruleset.weight_decay or ANY_BASE)
        except DecayAuditError:
            continue
        if preset != plan.ruleset.name:
            assert shown[preset] == tuple(decision.decays for decision in decided.decisions), preset
    if name == "declaring":
        assert shown["timm"].count(False) == 13
    if name == "two classes of one shape":
        assert shown["detectron2"] == (False, False, True, True)


@pytest.mark.parametrize("name", rulesets.presets())
def test_no_rule_of_a_preset_names_the_number_of_a_block(name: str) -> None:
    for rule in rulesets.load(name).rules:
        for text in patterns(rule.when):
            assert not re.search(r"(^|\.|\\\.)\(?(\[0-9|[0-9]|\\d)", text), f"{rule.name}: {text}"


def patterns(when: When) -> Iterator[str]:
    for field in fields(when):
        value = getattr(when, field.name)
        if field.name in NAMES and value is not None:
            yield from (value,) if isinstance(value, str) else value
    for inner in (*(when.any_ or ()), *(when.all_ or ()), *((when.not_,) if when.not_ else ())):
        yield from patterns(inner)
