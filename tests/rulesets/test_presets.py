"""The presets: each is valid, tests itself, and says where it comes from; the table of them is true."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import jsonschema
import pytest
import yaml
from msgspec.structs import replace

from decay_audit import rulesets
from decay_audit.errors import RulesError
from decay_audit.rulesets.conditions import When
from decay_audit.rulesets.ruleset import Amount, RuleSet
from decay_audit.rulesets.yaml import examples
from decay_audit.rulesets.yaml.nodes import ListNode, MappingNode, Node, ScalarNode, parse
from tests.parity.peers import CALLED, HOUSE

README = Path(__file__).parents[2] / "rules" / "README.md"
PRESETS = rulesets.presets()


def plain(node: Node | None) -> object:
    """The file as JSON has it, by the same scalars as the reader's."""
    match node:
        case MappingNode():
            return {key.spelling: plain(value) for key, value in node.entries}
        case ListNode():
            return [plain(item) for item in node.items]
        case ScalarNode():
            return node.value
        case None:
            return None


def test_there_are_presets() -> None:
    assert len(PRESETS) > 40
    assert "no-norm-no-bias" in PRESETS


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_keeps_its_promises(name: str) -> None:
    ruleset = rulesets.validate(name)
    assert (ruleset.name, ruleset.preset) == (name, True)
    assert ruleset.title
    assert ruleset.source
    assert len(ruleset.examples) >= 1


def but_one(items: Sequence[object]) -> Iterator[tuple[object, ...]]:
    return ((*items[:index], *items[index + 1 :]) for index in range(len(items)))


def lessened(ruleset: RuleSet) -> Iterator[tuple[str, RuleSet]]:
    """The ruleset with one thing that it says left out, or turned round."""
    for channel in ("rules", "lr_scale", "routes"):
        for index, fewer in enumerate(but_one(getattr(ruleset, channel))):
            yield f"{channel}[{index}]", replace(ruleset, **{channel: fewer})
    for rule in ruleset.rules:
        other = replace(rule, amount=Amount(weight_decay=0.5))
        yield (
            f"amount of {rule.name}",
            replace(ruleset, rules=[other if candidate is rule else candidate for candidate in ruleset.rules]),
        )
        if rule.lenient:
            strict = replace(rule, lenient=False)
            rules = [strict if candidate is rule else candidate for candidate in ruleset.rules]
            yield f"leniency of {rule.name}", replace(ruleset, rules=rules)
    if (decay := ruleset.layer_decay) is not None and decay.layers is not None:
        for index, fewer in enumerate(but_one(decay.layers)):
            yield f"layers[{index}]", replace(ruleset, layer_decay=replace(decay, layers=fewer))
        yield "layers' default", replace(ruleset, layer_decay=replace(decay, default=None))
        if decay.when is not None:
            # Examples are one model, and one without such a parameter would need a file of its own.
            never = replace(decay, when=When(name="no such name"))
            yield "layers' condition", replace(ruleset, layer_decay=never)
        yield "rate", replace(ruleset, layer_decay=replace(decay, rate=decay.rate / 2))
    yield "frozen", replace(ruleset, frozen="skip" if ruleset.frozen == "include" else "include")
    yield "default", replace(ruleset, default=Amount(times=0.0 if ruleset.default else 1.0))


@pytest.mark.parametrize("name", PRESETS)
def test_nothing_that_a_preset_says_can_be_left_out_without_an_example_failing(name: str) -> None:
    ruleset = rulesets.load(name)
    if not ruleset.weight_decay:
        ruleset = replace(ruleset, weight_decay=1.0)  # so that what decays differs from what does not
    assert not list(examples.failures(ruleset))
    unseen = [what for what, changed in lessened(ruleset) if not list(examples.failures(changed))]
    assert not unseen


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_fits_the_json_schema(name: str) -> None:
    jsonschema.validate(plain(parse(rulesets.text(name))), rulesets.schema())


def test_the_schema_is_a_schema_and_describes_every_key() -> None:
    schema = rulesets.schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    for part in (schema, *schema["$defs"].values()):
        undescribed = [key for key, value in part["properties"].items() if "description" not in value]
        assert not undescribed, part.get("title")


RIGHT = "{schema: 1, name: a, weight_decay: 1, default: {decay: true}, "


@pytest.mark.parametrize(
    "text",
    [
        "{schema: 2, name: a, weight_decay: 1, default: {decay: true}}",
        "{schema: 1, name: a, weight_decay: 1}",
        "{schema: 1, name: a, weight_decay: -1, default: {decay: true}}",
        "{schema: 1, name: a, weight_decay: 1, default: {decay: true, weight_decay: 1}}",
        RIGHT + "rules: [{name: b, when: {}, decay: true}]}",
        RIGHT + "rules: [{name: b, when: {rol: bias}, decay: 1}]}",
        RIGHT + "rules: [{name: b, when: {ndim: x}, decay: 1}]}",
        RIGHT + "rules: [{name: b, when: {role: null}, decay: 1}]}",
        RIGHT + "rules: [{name: b, when: {name: []}, decay: 1}]}",
        RIGHT + "rules: [{name: b, when: {any: []}, decay: 1}]}",
        RIGHT + "rules: [{name: frozen, when: {leaf: bias}, decay: 1}]}",
        RIGHT + "layer_decay: {rate: 1, layers: [{when: {leaf: bias}, layer: first}]}}",
        RIGHT + "examples: [{name: a.bias}]}",
        RIGHT + "examples: [{name: a.bias, decay: 1, weight_decay: 1}]}",
    ],
)
def test_what_the_reader_refuses_the_schema_refuses(text: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(text), rulesets.schema())
    with pytest.raises(RulesError):
        rulesets.from_text(text, "a.yaml")


def row(name: str) -> str:
    """A preset's line of the table."""
    ruleset = rulesets.load(name)
    compared = "called" if name in CALLED else "-" if name in HOUSE else "reimplemented"
    return (
        f"| `{name}` | {ruleset.title} | {ruleset.source} | {ruleset.weight_decay:g} | {ruleset.frozen} | {compared} |"
    )


def test_the_table_of_presets_is_true() -> None:
    written = [
        line for line in README.read_text("utf-8").splitlines() if re.match(r"\| `[^`]+` \|.*\|.*\|.*\|.*\|.*\|$", line)
    ]
    assert written == [row(name) for name in PRESETS], "\n".join(row(name) for name in PRESETS)


def test_known_differences_are_of_presets() -> None:
    _, _, known = README.read_text("utf-8").partition("## Known differences")
    named = set(re.findall(r"^\| `([^`]+)`", known, flags=re.MULTILINE))
    assert named
    assert named <= set(PRESETS)


def test_the_comparison_with_every_architecture_has_every_preset_and_its_differences_are_explained() -> None:
    written = (README.parents[1] / "docs" / "parity.md").read_text("utf-8")
    table, _, after = written.partition("\n| preset |")[2].partition("\n| all |")
    rows = [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    incomplete = re.search(r"^Compared on fewer models, because the preset changed: (.*)\.$", after, flags=re.MULTILINE)
    assert [(row[0], row[1]) for row in rows] == [
        (name, "called" if name in CALLED else "reimplemented") for name in PRESETS if name not in HOUSE
    ]
    compared = {row[0]: int(row[2].replace(",", "")) + int(row[6].replace(",", "")) for row in rows}
    few = {preset for preset, count in compared.items() if count < 2000}
    assert few == set(re.findall(r"`([^`]+)`", incomplete[1] if incomplete else ""))
    _, _, known = README.read_text("utf-8").partition("## Known differences")
    differing = [row[0] for row in rows if row[4] != "0"]
    assert all(f"| `{name}` |" in known for name in differing)
    assert not set(differing) & set(CALLED)
    models = re.search(r"^([\d,]+) models\.$", written, flags=re.MULTILINE)
    assert models
    assert f"[on {models[1]} models](" in (README.parents[1] / "README.md").read_text("utf-8")
