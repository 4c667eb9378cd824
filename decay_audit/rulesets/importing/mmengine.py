"""mmengine's `paramwise_cfg` becomes rules, in the order in which DefaultOptimWrapperConstructor tests them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from decay_audit.errors import RulesError
from decay_audit.rulesets.importing.draft import Draft, DraftRule, WhenMapping, mapping_with, mappings, number
from decay_audit.rulesets.importing.mmengine_base import BASE
from decay_audit.rulesets.importing.read_config import CALLED

_NORMS = [
    "torch.nn.modules.batchnorm._BatchNorm",
    "torch.nn.modules.instancenorm._InstanceNorm",
    "torch.nn.GroupNorm",
    "torch.nn.LayerNorm",
]
"""The classes that mmengine's is_norm recognizes."""
_DEFORMABLE = ["mmcv.ops.*.DeformConv2d", "mmcv.ops.*.ModulatedDeformConv2d"]
"""The classes of deformable convolutions."""
_IN_DEFORMABLE: WhenMapping = {"within": _DEFORMABLE, "not": {"owner": _DEFORMABLE}}
"""The condition for parameters of modules inside a deformable convolution."""
_DEPTHWISE = [{"leaf": "weight", "shape": [None, 1, None, None]}, {"layer": "depthwise_conv"}]
"""Two conditions, of which one holds for a depthwise convolution: from its shape, or from its layer."""
_KINDS: tuple[tuple[str, str, WhenMapping], ...] = (
    ("norm_decay_mult", "norms", {"owner": _NORMS}),
    ("bias_decay_mult", "biases", {"leaf": "bias", "not": _IN_DEFORMABLE}),
    ("dwconv_decay_mult", "depthwise", {"owner": "torch.nn.Conv2d", "any": _DEPTHWISE}),
    ("flat_decay_mult", "vectors", {"ndim": 1, "not": _IN_DEFORMABLE}),
)
"""The multipliers by kind of parameter, in order: the first that is set and whose condition holds decides."""

Keys = Mapping[str, Mapping[str, Any]]
"""The custom keys, each with its multipliers."""


def mmengine(config: Any, name: str) -> Draft:  # noqa: ANN401 - plain values
    """Translate `paramwise_cfg`: custom keys, longest first, then norms, biases, depthwise convolutions and vectors."""
    wrapper = mapping_with(
        config, "paramwise_cfg", example="optim_wrapper = dict(optimizer=..., paramwise_cfg=dict(...))"
    )
    paramwise = wrapper["paramwise_cfg"] or {}
    if not isinstance(paramwise, dict):
        raise RulesError(f"`paramwise_cfg` is `{paramwise}`, which cannot be read without running the file")
    base = _base_coefficient(config, wrapper)
    keys: Keys = paramwise.get("custom_keys") or {}
    ordered = sorted(sorted(keys), key=len, reverse=True)
    return Draft(
        name=name,
        title="Imported from an mmengine configuration",
        source="open-mmlab/mmengine, DefaultOptimWrapperConstructor, paramwise_cfg",
        weight_decay=base or 0.0,
        rules=[*_custom_key_rules(keys, ordered), *_kind_rules(paramwise)],
        frozen="skip" if paramwise else "include",
        lr_scale=[*_custom_rates(keys, ordered), *_bias_rate(paramwise, ordered)],
        notes=tuple(_notes(config, paramwise, base, ordered)),
        configuration={option: value for option, value in paramwise.items() if option in _KNOWN_OPTIONS},
    )


def name_patterns(key: str) -> list[str]:
    """Make patterns for a custom key. mmengine puts a dot before the names of parameters that the root itself holds."""
    anywhere = re.escape(key)
    return [anywhere, f"^{re.escape(key[1:])}[^.]*$"] if key.startswith(".") and key.count(".") == 1 else [anywhere]


def _base_coefficient(config: Any, wrapper: Mapping[str, Any]) -> float | None:  # noqa: ANN401
    """Find the optimizer's coefficient: beside `paramwise_cfg`, else in the `optimizer` beside it, else anywhere."""
    optimizer = wrapper.get("optimizer")
    mappings_in_order = [wrapper, optimizer if isinstance(optimizer, dict) else {}, *mappings(config)]
    value = next((mapping["weight_decay"] for mapping in mappings_in_order if "weight_decay" in mapping), None)
    return None if value is None else number(value, "`weight_decay`")


def _custom_key_rules(keys: Keys, ordered: Sequence[str]) -> Iterator[DraftRule]:
    for key in ordered:
        times = number(keys[key].get("decay_mult", 1.0), f"decay_mult of `{key}`")
        yield DraftRule(name=f"key {key}", when={"name_regex": name_patterns(key)}, times=times)


def _kind_rules(paramwise: Mapping[str, Any]) -> Iterator[DraftRule]:
    for option, kind, when in _KINDS:
        if paramwise.get(option) is not None:
            yield DraftRule(name=kind, when=when, times=number(paramwise[option], option))


def _custom_rates(keys: Keys, ordered: Sequence[str]) -> Iterator[tuple[WhenMapping, float]]:
    """Make a condition for each key. It excludes the earlier keys: in mmengine only the first match sets the rate."""
    for index, key in enumerate(ordered):
        times = number(keys[key].get("lr_mult", 1.0), f"lr_mult of `{key}`")
        excluded = [pattern for earlier in ordered[:index] for pattern in name_patterns(earlier)]
        if times != 1.0:
            yield {"name_regex": name_patterns(key), **({"not": {"name_regex": excluded}} if excluded else {})}, times


def _bias_rate(paramwise: Mapping[str, Any], ordered: Sequence[str]) -> Iterator[tuple[WhenMapping, float]]:
    if paramwise.get("bias_lr_mult") is None:
        return
    custom = [pattern for key in ordered for pattern in name_patterns(key)]
    exceptions: list[WhenMapping] = [{"owner": _NORMS}, _IN_DEFORMABLE, *([{"name_regex": custom}] if custom else [])]
    yield {"leaf": "bias", "not": {"any": exceptions}}, number(paramwise["bias_lr_mult"], "bias_lr_mult")


def _notes(config: Any, paramwise: Mapping[str, Any], base: float | None, ordered: Sequence[str]) -> Iterator[str]:  # noqa: ANN401
    if base is None:
        yield "The file has no weight_decay; perhaps another file sets it. Give it with --weight-decay."
    for missing in [mapping[BASE] for mapping in mappings(config) if mapping.get(BASE)]:
        yield f"{BASE} names files that do not exist and were not read: {', '.join(map(str, missing))}."
    if any(mapping.get(CALLED) == "read_base" for mapping in mappings(config)):
        yield "The files that are imported under read_base() were not read."
    if len(ordered) > 1:
        yield "mmengine sorts custom_keys by length, the longest first; the rules are in that order."
    if paramwise.get("dwconv_decay_mult") is not None and paramwise.get("bias_decay_mult") is None:
        yield "mmengine treats the bias of a convolution on one-channel images as depthwise; this ruleset does not."
    if paramwise.get("dcn_offset_lr_mult") is not None:
        yield "Not imported: dcn_offset_lr_mult."
    unknown = sorted(set(paramwise) - _KNOWN_OPTIONS)
    if unknown:
        yield f"Not imported: {', '.join(unknown)}."


_KNOWN_OPTIONS = {option for option, _, _ in _KINDS} | {
    "custom_keys",
    "bias_lr_mult",
    "dcn_offset_lr_mult",
    "bypass_duplicate",
}
