"""A Draft becomes the text of a rules file. This module depends on no codebase."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from decay_audit.rulesets.importing.draft import Draft, WhenMapping

_PLAIN_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
"""A word that needs no quotes in YAML, unless it is one of _QUOTED_WORDS."""
_QUOTED_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
"""Words that YAML may read as a truth value or as null, unless they are quoted."""


def text(draft: Draft) -> str:
    """Write the YAML of a rules file."""
    return "\n".join(_lines(draft)) + "\n"


def _lines(draft: Draft) -> Iterator[str]:
    yield from (f"# {note}" for note in draft.notes)
    yield "schema: 1"
    yield f"name: {_flow(draft.name)}"
    yield f"title: {_flow(draft.title)}"
    yield f"source: {_flow(draft.source)}"
    yield f"weight_decay: {draft.weight_decay!r}"
    yield f"frozen: {draft.frozen}"
    if draft.names == "raw":
        yield "names: raw"
    yield "rules:" if draft.rules else "rules: []"
    for rule in draft.rules:
        yield f"  - name: {_flow(rule.name)}"
        yield f"    when: {_flow(rule.when)}"
        yield f"    {_amount(rule.weight_decay, draft.weight_decay, rule.times)}"
    yield "default: error" if draft.refuses_rest else "default: {decay: true}"
    if draft.lr_scale:
        yield "lr_scale:"
        yield from (f"  - {{when: {_flow(when)}, times: {times!r}}}" for when, times in draft.lr_scale)
    if draft.routes:
        yield "optimizer:"
        yield from (f"  - {_route(when, use)}" for when, use in draft.routes)


def _amount(coefficient: float, base: float, times: float | None = None) -> str:
    """Write the amount of a rule: a multiple of the base if `times` is given or the coefficient is 0 or the base."""
    if times is None and coefficient not in (0, base):
        return f"weight_decay: {coefficient!r}"
    times = float(coefficient == base and base != 0) if times is None else times
    return f"decay: {_MULTIPLES.get(times, repr(times))}"


_MULTIPLES = {0.0: "false", 1.0: "true"}
"""The words that a rules file has for two multiples of the base."""


def _route(when: WhenMapping | None, use: str) -> str:
    return _flow({"use": use} if when is None else {"when": when, "use": use})


def _flow(value: Any) -> str:  # noqa: ANN401 - any plain value
    """Write a value in YAML's flow style. Words that YAML could read as other values are quoted as in JSON."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_flow(inner)}' for key, inner in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_flow, value))}]"
    if isinstance(value, str) and _PLAIN_WORD.fullmatch(value) and value.lower() not in _QUOTED_WORDS:
        return value
    return json.dumps(value)
