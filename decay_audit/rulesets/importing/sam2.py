"""The options of SAM 2's trainer become rules. An option has a list of entries: globs or classes, with a scheduler."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from decay_audit.errors import RulesError
from decay_audit.rulesets.importing.draft import Draft, DraftRule, WhenMapping, mapping_with, mappings, number, words

_REFERENCE = re.compile(r"\$\{([\w.]+)\}")
"""A reference to another value of the file: `${scratch.base_lr}`."""
_EXAMPLE = (
    "optim: {options: {weight_decay: [{scheduler: {value: 0.1}}, {scheduler: {value: 0.0}, param_names: [...]}]}}"
)
"""The example in messages."""

OptionEntry = Mapping[str, Any]
"""One entry of the list of an option."""


def sam2(config: Any, name: str) -> Draft:  # noqa: ANN401 - plain values
    """Translate `options.weight_decay` and `options.lr`: the values at the start, for globs and exact classes."""
    options = mapping_with(config, "options", example=_EXAMPLE)["options"]
    if not isinstance(options, dict) or not isinstance(options.get("weight_decay"), list):
        raise RulesError("the file's `options` have no list `weight_decay`", f"expected something like: {_EXAMPLE}")
    naming, rest = _split(options["weight_decay"])
    base = 0.0 if rest is None else _start_value(rest, config, "weight_decay")
    rates = _rates(options.get("lr"), config)
    return Draft(
        name=name,
        title="Imported from a SAM 2 training configuration",
        source="facebookresearch/sam2, training/optimizer.py, construct_optimizer",
        weight_decay=base,
        rules=[
            DraftRule(
                name=f"group-{index}", when=_condition(entry), weight_decay=_start_value(entry, config, "weight_decay")
            )
            for index, entry in enumerate(naming, start=1)
        ],
        frozen="include",
        lr_scale=rates or (),
        notes=tuple(_notes(config, options, rates)),
    )


def _split(entries: Sequence[OptionEntry]) -> tuple[list[OptionEntry], OptionEntry | None]:
    """Separate the entries that name parameters from the entry for the rest."""
    naming = [entry for entry in entries if "param_names" in entry or "module_cls_names" in entry]
    return naming, next((entry for entry in entries if entry not in naming), None)


def _condition(entry: OptionEntry) -> WhenMapping:
    names, classes = words(entry.get("param_names")), words(entry.get("module_cls_names"))
    parts: list[WhenMapping] = [*([{"name": names}] if names else []), *([{"owner_exact": classes}] if classes else [])]
    return parts[0] if len(parts) == 1 else {"any": parts}


def _start_value(entry: OptionEntry, config: Any, option: str) -> float:  # noqa: ANN401
    """Return the value at the start of the entry's schedule; `${a.b}` is looked up in the file."""
    value = _first_value(entry.get("scheduler"))
    reference = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    for part in reference[1].split(".") if reference else ():
        # each part of the reference is a key one level deeper
        config = value = config.get(part) if isinstance(config, dict) else None
    return number(value, f"the value of {option} for {words(entry.get('param_names')) or 'the rest'}")


def _first_value(scheduler: Any) -> Any:  # noqa: ANN401
    """Return the first value of a schedule. A composite schedule starts with the first of its parts."""
    if not isinstance(scheduler, dict):
        return None
    if isinstance(parts := scheduler.get("schedulers"), list) and parts:
        return _first_value(parts[0])
    return scheduler.get("value", scheduler.get("start_value"))


def _rates(entries: Any, config: Any) -> list[tuple[WhenMapping, float]] | None:  # noqa: ANN401
    """Express learning rates as factors on the rate for the rest; None if the file lacks some of the values."""
    naming, rest = _split(entries) if isinstance(entries, list) else ([], None)
    try:
        base = 0.0 if rest is None else _start_value(rest, config, "lr")
        return [(_condition(entry), _start_value(entry, config, "lr") / base) for entry in naming] if base else []
    except RulesError:
        return None


def _notes(config: Any, options: Mapping[str, Any], rates: object) -> Iterator[str]:  # noqa: ANN401
    yield "SAM 2 refuses patterns and classes that match nothing, and entries that overlap."
    if any(mapping.get("param_group_modifiers") for mapping in mappings(config)):
        yield "param_group_modifiers (learning rates by layer) are not imported."
    if rates is None:
        yield "Learning rates are not imported: their values are known only when the code runs."
    schedulers = [entry.get("scheduler") or {} for entry in options["weight_decay"]]
    if any("end_value" in scheduler for scheduler in schedulers):
        yield "weight_decay has a schedule: the rules have its first values."
    others = sorted(set(options) - {"lr", "weight_decay"})
    if others:
        yield f"Not imported: {', '.join(others)}."
