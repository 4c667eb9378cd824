"""The JSON Schema of a rules file, from the types that read it."""

from collections.abc import Mapping
from typing import Any

import msgspec.json

from decay_audit.rulesets.yaml.form import FileForm
from decay_audit.rulesets.yaml.validators import PROMISES, RESERVED_NAMES

DIALECT = "https://json-schema.org/draft/2020-12/schema"
"""The version of JSON Schema."""
ONE_AMOUNT = {"oneOf": [{"required": ["decay"]}, {"required": ["weight_decay"]}]}
"""An amount has exactly one of the two keys."""
A_PROMISE = {
    "anyOf": [{"required": [key]} for key in PROMISES],
    "not": {"required": ["decay", "weight_decay"]},
}
"""An example says at least one thing about the decision, and not both amounts."""
NUMBERING = r"^(last|[0-9\\ +*()/-]+)$"
"""The pattern of a layer that is written as text: `last`, or arithmetic."""


def schema() -> dict[str, Any]:
    """Make the schema: what a rules file may hold, each key with its description."""
    generated = msgspec.json.schema(FileForm)
    parts: dict[str, Any] = {
        name.removesuffix("Form"): _without_null(part) for name, part in generated["$defs"].items()
    }
    whole = parts.pop("File")
    for name in ("Rule", "Amount"):
        parts[name] = {**parts[name], **ONE_AMOUNT}
    parts["Example"] = {**parts["Example"], **A_PROMISE}
    parts["Rule"]["properties"]["name"]["not"] = {"enum": list(RESERVED_NAMES)}
    parts["Layer"]["properties"]["layer"]["pattern"] = NUMBERING
    for name in ("When", "Example"):  # an empty list matches nothing; an empty shape is that of a scalar
        described = {key: _not_empty(value) for key, value in parts[name]["properties"].items() if key != "shape"}
        parts[name]["properties"] |= described
    parts["When"]["minProperties"] = 1
    whole["if"] = {"not": {"required": ["extends"]}}
    whole["then"] = {"required": ["weight_decay", "default"]}
    return {"$schema": DIALECT, **whole, "title": "decay-audit rules file", "$defs": parts}


def _not_empty(part: Any) -> Any:  # noqa: ANN401 - any part of a JSON document
    """Require at least one item in every list that a part of the schema describes."""
    if isinstance(part, list):
        return [_not_empty(item) for item in part]
    if not isinstance(part, Mapping):
        return part
    changed = {key: _not_empty(value) for key, value in part.items()}
    return {**changed, "minItems": 1} if changed.get("type") == "array" else changed


def _without_null(part: Any) -> Any:  # noqa: ANN401 - any part of a JSON document
    """Drop `null` where it only stands for a key that is not given, and shorten the names of the types."""
    if isinstance(part, list):
        return [_without_null(item) for item in part]
    if not isinstance(part, Mapping):
        return part
    changed = {key: _without_null(value) for key, value in part.items()}
    if isinstance(changed.get("$ref"), str):
        changed["$ref"] = changed["$ref"].removesuffix("Form")
    if "default" in changed and changed["default"] is None:
        del changed["default"]
        changed["anyOf"] = [member for member in changed["anyOf"] if member != {"type": "null"}]
        if len(changed["anyOf"]) == 1:
            changed = {**changed.pop("anyOf")[0], **changed}
    return changed
