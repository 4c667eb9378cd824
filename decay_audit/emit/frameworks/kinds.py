"""Write code for frameworks whose options are kinds of parameters: mmengine and detectron2.

mmengine knows norms, biases and vectors; detectron2 knows norms, and the last part of a name.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from decay_audit.emit.frameworks import patterns
from decay_audit.emit.frameworks.name_lists import base_coefficient, header
from decay_audit.emit.frameworks.request import FrameworkCode, FrameworkRequest
from decay_audit.emit.frameworks.settings import Setting, differences, settings_by_name, trainable
from decay_audit.emit.python import layout
from decay_audit.emit.python.literals import number, string
from decay_audit.rulesets.plan import Decision

MMENGINE_NORMS = frozenset(
    {
        "torch.nn.modules.batchnorm._BatchNorm",
        "torch.nn.modules.instancenorm._InstanceNorm",
        "torch.nn.GroupNorm",
        "torch.nn.LayerNorm",
    }
)
"""The classes that mmengine takes for norms."""
DETECTRON2_NORMS = frozenset(
    f"torch.nn.{name}"
    for name in [
        "BatchNorm1d",
        "BatchNorm2d",
        "BatchNorm3d",
        "SyncBatchNorm",
        "GroupNorm",
        "InstanceNorm1d",
        "InstanceNorm2d",
        "InstanceNorm3d",
        "LayerNorm",
        "LocalResponseNorm",
    ]
)
"""The classes that detectron2 takes for norms."""
MMENGINE_KINDS = ("norm_decay_mult", "bias_decay_mult", "dwconv_decay_mult", "flat_decay_mult")
"""The options of `paramwise_cfg`, in the order in which mmengine tests them."""

Keys = Mapping[str, Setting]
"""The custom keys of mmengine: a part of a name, and the setting of the parameters whose names contain it."""


def mmengine(request: FrameworkRequest) -> FrameworkCode:
    """Write `paramwise_cfg`: the kinds that do not decay, and custom keys for the parameters that no kind gets right.

    If several custom keys are in a name, mmengine takes the longest one.
    """
    decisions = trainable(request.plan)
    settings = settings_by_name(request.plan)
    base = base_coefficient(settings)
    # the shortest configuration is taken; a custom key counts as much as two kinds
    kinds, keys = min(_choices(decisions, settings, base), key=lambda choice: len(choice[0]) + 2 * len(choice[1]))
    actual = {name: _mmengine_setting(name, decisions[name], kinds, keys, base) for name in decisions}
    rate = f", lr={number(request.lr)}" if request.lr is not None else ""
    lines = [
        *header("mmengine", request),
        "optim_wrapper = dict(",
        f"    optimizer=dict(type={string(request.optimizer)}{rate}, weight_decay={number(base)}),",
        "    paramwise_cfg=dict(",
        *(f"        {kind}=0.0," for kind in kinds),
        *_custom_keys(keys, base),
        "    ),",
        ")",
    ]
    return FrameworkCode(
        text="\n".join(lines) + "\n",
        differences=differences(settings, actual, knows_rates=True, knows_optimizers=False),
    )


def _choices(
    decisions: Mapping[str, Decision], settings: Mapping[str, Setting], base: float
) -> Iterator[tuple[tuple[str, ...], Keys]]:
    """Yield each set of kinds that do not decay, with the custom keys that it needs."""
    for count in range(len(MMENGINE_KINDS) + 1):
        for kinds in combinations(MMENGINE_KINDS, count):
            wrong = {
                name: planned
                for name, planned in settings.items()
                if _mmengine_setting(name, decisions[name], kinds, {}, base) != _without_use(planned)
            }
            keys: dict[str, Setting] = {}
            for planned in dict.fromkeys(map(_without_use, wrong.values())):
                names = [name for name in wrong if _without_use(wrong[name]) == planned]
                others = [name for name in settings if _without_use(settings[name]) != planned]
                substrings = patterns.cover(names, others, patterns.substrings, patterns.matches_substring)
                keys |= dict.fromkeys(substrings, planned)
                unmatched = [
                    name for name in names if not any(patterns.matches_substring(key, name) for key in substrings)
                ]
                keys |= _whole_names(unmatched, settings)
            yield kinds, keys


def _whole_names(names: Sequence[str], settings: Mapping[str, Setting]) -> Keys:
    """Make a key of each name, and of every other name that contains it: mmengine takes the longest key in a name."""
    keys: dict[str, Setting] = {}
    for name in names:
        key = patterns.with_dot(name)
        longer = [other for other in settings if other != name and patterns.matches_substring(key, other)]
        keys |= {patterns.with_dot(other): _without_use(settings[other]) for other in (name, *longer)}
    return keys


def _without_use(planned: Setting) -> Setting:
    """Leave out the name of the optimizer, which `paramwise_cfg` cannot say."""
    return Setting(weight_decay=planned.weight_decay, lr_scale=planned.lr_scale)


def _mmengine_setting(name: str, decision: Decision, kinds: tuple[str, ...], keys: Keys, base: float) -> Setting:
    """Decide as DefaultOptimWrapperConstructor of mmengine does."""
    for key in sorted(sorted(keys), key=len, reverse=True):
        if patterns.matches_substring(key, name):
            return keys[key]
    parameter = decision.classified.parameter
    applies = {
        "norm_decay_mult": not MMENGINE_NORMS.isdisjoint(parameter.owner.types),
        "bias_decay_mult": name.rpartition(".")[2] == "bias",
        "dwconv_decay_mult": decision.classified.layer == "depthwise_conv" and len(parameter.shape) in (1, 4),
        "flat_decay_mult": len(parameter.shape) == 1,
    }
    return Setting(weight_decay=0.0 if any(applies[kind] for kind in kinds) else base)


def _custom_keys(keys: Keys, base: float) -> list[str]:
    if not keys:
        return []
    lines = ["        custom_keys={"]
    for key, planned in keys.items():
        multiple = planned.weight_decay / base if base else 0.0
        items = [f"decay_mult={number(multiple)}"] if multiple != 1.0 else []
        items += [f"lr_mult={number(planned.lr_scale)}"] if planned.lr_scale != 1.0 else []
        lines.append(f"            {string(key)}: dict({', '.join(items)}),")
    return [*lines, "        },"]


def detectron2(request: FrameworkRequest) -> FrameworkCode:
    """Write a call of detectron2's function: a coefficient for norms, and overrides by the last part of a name."""
    decisions = trainable(request.plan)
    settings = settings_by_name(request.plan)
    base = base_coefficient(settings)
    norms = [planned.weight_decay for name, planned in settings.items() if _is_detectron2_norm(decisions[name])]
    spares_norms = bool(norms) and norms.count(0.0) > len(norms) / 2
    overrides: dict[str, float] = {}
    for leaf in dict.fromkeys(name.rpartition(".")[2] for name in settings):
        same_leaf = [name for name in settings if name.rpartition(".")[2] == leaf]
        if any(
            settings[name].weight_decay != _detectron2_default(decisions[name], base, spares_norms=spares_norms)
            for name in same_leaf
        ):
            coefficients = [settings[name].weight_decay for name in same_leaf]
            overrides[leaf] = max(dict.fromkeys(coefficients), key=coefficients.count)
    actual = {
        name: Setting(
            weight_decay=overrides.get(
                name.rpartition(".")[2], _detectron2_default(decision, base, spares_norms=spares_norms)
            )
        )
        for name, decision in decisions.items()
    }
    return FrameworkCode(
        text=_detectron2_text(request, overrides, base, spares_norms=spares_norms),
        differences=differences(settings, actual, knows_rates=False, knows_optimizers=False),
    )


def _detectron2_text(
    request: FrameworkRequest, overrides: Mapping[str, float], base: float, *, spares_norms: bool
) -> str:
    lines = [
        *header("detectron2", request),
        "from typing import Any",
        "",
        "from detectron2.solver.build import get_default_optimizer_params",
        "from torch import nn",
        "",
        "",
        *layout.write_brackets(
            "def param_groups(",
            ["model: nn.Module", f"weight_decay: float = {number(base)}"],
            ") -> list[dict[str, Any]]:",
            0,
        ),
        '    """Make the groups as detectron2 does."""',
        "    return get_default_optimizer_params(",
        "        model,",
        "        weight_decay=weight_decay,",
        *(["        weight_decay_norm=0.0,"] if spares_norms else []),
        *(["        overrides={"] if overrides else []),
        *(
            f'            {string(leaf)}: {{"weight_decay": {_multiple(coefficient, base)}}},'
            for leaf, coefficient in overrides.items()
        ),
        *(["        },"] if overrides else []),
        "    )",
    ]
    return "\n".join(lines) + "\n"


def _multiple(coefficient: float, base: float) -> str:
    return "weight_decay" if coefficient == base and base else number(coefficient)


def _is_detectron2_norm(decision: Decision) -> bool:
    return not DETECTRON2_NORMS.isdisjoint(decision.classified.parameter.owner.types)


def _detectron2_default(decision: Decision, base: float, *, spares_norms: bool) -> float:
    """Return the coefficient without overrides: 0 for a norm if norms are spared, else the base."""
    return 0.0 if spares_norms and _is_detectron2_norm(decision) else base
