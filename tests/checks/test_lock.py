"""Locks: what a file says comes back from it, a rename is recognized, and one changed decision is one changed line."""

import difflib
import time
from collections.abc import Mapping

import pytest
from hypothesis import given, strategies as st
from msgspec.structs import replace

import decay_audit
from decay_audit import rulesets
from decay_audit.checks.codes import Finding
from decay_audit.checks.lock import lock_file
from decay_audit.checks.lock.entries import Entry, Lock, hash_ruleset, plan_entries
from decay_audit.checks.lock.findings import check_lock
from decay_audit.errors import DecayAuditError
from tests.menagerie import EMPTY, MENAGERIE

WEIGHT = Entry(shape="8x8", role="linear_weight", weight_decay="0.05", rule="default")
BIAS = Entry(shape="8", role="bias", weight_decay="0", rule="biases")
GAIN = Entry(shape="8", role="norm_weight", weight_decay="0", rule="norms")
RULES = """
schema: 1
name: ours
weight_decay: 0.1
default: {decay: true}
rules:
- {name: biases, when: {role: bias}, decay: false}
"""


def lock(entries: Mapping[str, Entry]) -> Lock:
    return Lock(
        target="net.py:Net",
        ruleset="ours",
        ruleset_hash="0" * 16,
        weight_decay="0.05",
        weight_decay_from="ruleset",
        versions="decay-audit 1",
        entries=entries,
    )


def blocks(count: int = 12, norm: str = "norm1") -> dict[str, Entry]:
    entries = {"embed.weight": replace(WEIGHT, role="embedding", shape="100x8")}
    for index in range(count):
        block = {
            f"{norm}.weight": GAIN,
            f"{norm}.bias": replace(GAIN, role="norm_bias"),
            "fc.weight": WEIGHT,
            "fc.bias": BIAS,
        }
        entries |= {f"blocks.{index}.{name}": entry for name, entry in block.items()}
    return entries | {"head.weight": replace(WEIGHT, shape="10x8"), "head.bias": replace(BIAS, shape="10")}


def check(before: Mapping[str, Entry], after: Mapping[str, Entry]) -> list[tuple[str, str, int]]:
    return [(finding.code, finding.severity, len(finding.parameters)) for finding in findings(before, after)]


def findings(before: Mapping[str, Entry], after: Mapping[str, Entry]) -> tuple[Finding, ...]:
    return check_lock(lock_file.read(lock_file.write(lock(before)), "decay.lock"), after, "decay.lock", "command")


@pytest.mark.parametrize("name", sorted(MENAGERIE.keys() - EMPTY))
def test_the_lock_of_every_model_of_the_menagerie_comes_back_from_its_file(name: str) -> None:
    entries = plan_entries(decay_audit.plan(MENAGERIE[name]()))
    assert lock_file.read(lock_file.write(lock(entries)), "decay.lock").entries == entries
    assert check(entries, entries) == []


@given(
    st.dictionaries(
        st.text(min_size=1) | st.from_regex(r"[a-c{},]{0,3}(\.[0-9]{1,2}){0,3}\.[wb]", fullmatch=True),
        st.sampled_from([WEIGHT, BIAS, GAIN, replace(WEIGHT, use="a b", lr_scale="0.5", rule='say "x" = {1}')]),
        max_size=12,
    )
)
def test_any_name_comes_back(entries: dict[str, Entry]) -> None:
    text = lock_file.write(lock(entries))
    assert lock_file.read(text, "decay.lock").entries == entries
    assert lock_file.write(lock(dict(reversed(entries.items())))) == text
    assert text.isascii() or text.replace("\n", "").isprintable()


def test_a_parameter_that_is_called_like_a_line_of_the_header_is_a_parameter() -> None:
    entries = {"target": WEIGHT, "optimizers": BIAS, "weight_decay": GAIN}
    assert lock_file.read(lock_file.write(lock(entries)), "decay.lock").entries == entries


def test_one_changed_decision_is_a_changed_line_and_not_a_block() -> None:
    before = blocks()
    after = before | {"blocks.3.norm1.weight": replace(GAIN, weight_decay="0.05", rule="default")}
    changed = difflib.ndiff(lock_file.write(lock(before)).splitlines(), lock_file.write(lock(after)).splitlines())
    assert [line for line in changed if line[0] in "+-"] == [
        "- blocks.{0-11}.norm1.weight  8  norm_weight  weight_decay=0  rule=norms",
        "+ blocks.{0-2,4-11}.norm1.weight  8  norm_weight  weight_decay=0  rule=norms",
        "+ blocks.3.norm1.weight  8  norm_weight  weight_decay=0.05  rule=default",
    ]


def test_another_decision_is_an_error_and_the_same_decision_by_another_rule_a_note() -> None:
    before = blocks()
    decayed = {name: replace(entry, weight_decay="0.05") if entry == GAIN else entry for name, entry in before.items()}
    assert check(before, decayed) == [("DA701", "error", 12)]
    ruled = {name: replace(entry, rule="mine") if entry == GAIN else entry for name, entry in before.items()}
    assert check(before, ruled) == [("DA701", "note", 12)]


def test_an_optimizer_is_compared_only_where_the_lock_and_the_check_have_one() -> None:
    before, after = (
        {name: replace(entry, observed=observed) for name, entry in blocks().items()}
        for observed in ("AdamW:0", "AdamW:0.05")
    )
    assert check(before, after) == [("DA701", "error", 51)]
    assert check(blocks(), after) == []
    assert check(before, blocks()) == []


@pytest.mark.parametrize("new_name", ["ln1", "attn.norm", "pre.norm.first"])
def test_a_renamed_module_is_recognized(new_name: str) -> None:
    (renamed,) = findings(blocks(), blocks(norm=new_name))
    assert (renamed.code, renamed.severity, len(renamed.parameters)) == ("DA703", "warning", 24)
    assert f"blocks.0.norm1.weight is now blocks.0.{new_name}.weight" in renamed.message


def test_a_renamed_parameter_with_another_decision_is_an_error_that_names_the_rename() -> None:
    after = blocks(norm="ln1")
    after = {name: replace(entry, weight_decay="0.05") if entry == GAIN else entry for name, entry in after.items()}
    changed, renamed = findings(blocks(), after)
    assert (changed.code, changed.severity, len(changed.parameters)) == ("DA701", "error", 12)
    assert "blocks.0.norm1.weight is now blocks.0.ln1.weight, and 11 more" in changed.message
    assert (renamed.code, renamed.severity, len(renamed.parameters)) == ("DA703", "warning", 12)


@pytest.mark.parametrize(
    ("old", "new"),
    [("", "model."), ("", "backbone.encoder."), ("trunk.", ""), ("encoder.", "backbone.")],
)
def test_a_prefix_that_comes_goes_or_changes_renames_everything(old: str, new: str) -> None:
    before, after = ({f"{prefix}{name}": entry for name, entry in blocks().items()} for prefix in (old, new))
    assert check(before, after) == [("DA703", "warning", 51)]


def test_a_tensor_of_another_shape_or_without_a_part_of_the_name_is_not_a_renamed_one() -> None:
    before = {"head.weight": WEIGHT}
    assert check(before, {"classifier.weight": replace(WEIGHT, shape="9x8")}) == [
        ("DA702", "error", 1),
        ("DA703", "error", 1),
    ]
    assert check({"alpha": WEIGHT}, {"queries": WEIGHT}) == [("DA702", "error", 1), ("DA703", "error", 1)]


def test_a_new_head_and_a_lost_one_are_told_apart() -> None:
    before = blocks()
    after = {name: entry for name, entry in before.items() if not name.startswith("head")}
    assert check(before, after) == [("DA703", "error", 2)]
    assert check(after, before) == [("DA702", "error", 1), ("DA702", "error", 1)]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("<<<<<<< HEAD", "a merge conflict is not resolved"),
        ("=======", "a merge conflict is not resolved"),
        (">>>>>>> branch", "a merge conflict is not resolved"),
        ("fc.weight  8x8", "this line cannot be read"),
        ("fc.weight  8x8  bias  rule=default", "it has no weight_decay"),
        ("fc.weight  8x8  bias  decays=1", "`decays` is not one of"),
        ("a.{0-99999999}.weight  8x8  bias  weight_decay=0", "too many parameters"),
        ("a.{0-}.weight  8x8  bias  weight_decay=0", "cannot be read"),
        ("embed.weight  8x8  bias  weight_decay=0", "embed.weight is also in line"),
        ('"half  8x8  bias  weight_decay=0', "cannot be read"),
    ],
)
def test_a_damaged_line_is_said_with_its_number(damage: str, message: str) -> None:
    text = lock_file.write(lock(blocks())) + damage + "\n"
    with pytest.raises(DecayAuditError, match=message) as raised:
        lock_file.read(text, "decay.lock")
    assert raised.value.message.startswith(f"decay.lock:{len(text.splitlines())}: ")
    assert raised.value.hint


@pytest.mark.parametrize("text", ["", "{}", "decay-audit lock 99\n", "decay-audit lock 1\n\n"])
def test_what_is_no_lock_is_refused(text: str) -> None:
    with pytest.raises(DecayAuditError, match=r"decay\.lock"):
        lock_file.read(text, "decay.lock")


def test_a_comment_in_the_ruleset_changes_nothing_and_a_rule_does() -> None:
    ours = rulesets.from_text(RULES, "ours")
    assert hash_ruleset(rulesets.from_text(f"# a comment\n{RULES}", "ours")) == hash_ruleset(ours)
    assert hash_ruleset(rulesets.from_text(RULES.replace("role: bias", "role: token"), "ours")) != hash_ruleset(ours)


def test_forty_five_thousand_parameters_are_read_and_compared_at_once() -> None:
    entries = {f"layers.{index}.{leaf}": entry for index in range(15_000) for leaf, entry in blocks(0).items()}
    text = lock_file.write(lock(entries))
    start = time.process_time()
    assert not check_lock(lock_file.read(text, "decay.lock"), entries, "decay.lock", "command")
    assert time.process_time() - start < 1  # 0.1 s where nothing else runs
