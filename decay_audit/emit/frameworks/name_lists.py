"""Frameworks that choose parameters by their names: timm by globs, torchtitan and optax by regular expressions."""

from collections.abc import Mapping, Sequence

from decay_audit.emit.frameworks import patterns
from decay_audit.emit.frameworks.request import FrameworkCode, FrameworkRequest
from decay_audit.emit.frameworks.settings import Setting, differences, settings_by_name, trainable
from decay_audit.emit.python import layout
from decay_audit.emit.python.literals import comment, number, string
from decay_audit.rulesets.plan import Decision

TORCHTITAN_LR = 8e-4
"""The learning rate if the user gives none: the default of torchtitan."""


def header(framework: str, request: FrameworkRequest) -> list[str]:
    """Write the docstring and the comments at the top of a module."""
    grouped = [decision for decision in request.plan.decisions if decision.grouped]
    decayed = sum(decision.decays for decision in grouped)
    counts = f"{decayed:,} decayed, {len(grouped) - decayed:,} not"
    return [
        f'"""Weight decay for {framework}, written by decay-audit."""',
        "",
        f"# ruleset     {comment(request.plan.ruleset.name)}",
        f"# checked on  {comment(f'{request.target}: {counts}' if request.target else f'a model with {counts}')}",
        "",
    ]


def base_coefficient(settings: Mapping[str, Setting]) -> float:
    """Find the most frequent coefficient above 0; 0 if nothing decays."""
    coefficients = [setting.weight_decay for setting in settings.values() if setting.weight_decay]
    return max(dict.fromkeys(coefficients), key=coefficients.count, default=0.0)


def elements(values: Sequence[str], indent: int) -> list[str]:
    """Write string literals, one a line."""
    return [f"{' ' * indent}{string(value)}," for value in values]


def timm(request: FrameworkRequest) -> FrameworkCode:
    """Write a call of timm's function with the names that do not decay. `no_weight_decay()` can return them, too."""
    decisions = trainable(request.plan)
    settings = settings_by_name(request.plan)
    base = base_coefficient(settings)
    excludes_vectors = not any(decision.decays and _is_vector(name, decision) for name, decision in decisions.items())
    spared = [
        name
        for name, decision in decisions.items()
        if not decision.decays and not (excludes_vectors and _is_vector(name, decision))
    ]
    others = [name for name, decision in decisions.items() if decision.decays]
    globs = patterns.cover(spared, others, patterns.globs, patterns.matches_glob)
    actual = {
        name: Setting(
            weight_decay=0.0
            if (excludes_vectors and _is_vector(name, decision))
            or any(patterns.matches_glob(glob, name) for glob in globs)
            else base
        )
        for name, decision in decisions.items()
    }
    return FrameworkCode(
        text=_timm_text(request, globs, base, excludes_vectors=excludes_vectors),
        differences=differences(settings, actual, knows_rates=False, knows_optimizers=False),
        notes=(
            "timm's create_optimizer_v2(model, ...) makes the same groups if the model's no_weight_decay() returns "
            "NO_WEIGHT_DECAY",
        )
        if globs and excludes_vectors
        else (),
        defines_groups=True,
    )


def _timm_text(request: FrameworkRequest, globs: Sequence[str], base: float, *, excludes_vectors: bool) -> str:
    arguments = ["model", "weight_decay"]
    arguments += [] if excludes_vectors else ["weight_decay_exclude_1d=False"]
    arguments += ["no_weight_decay_list=NO_WEIGHT_DECAY"] if globs else []
    constant = ["", "NO_WEIGHT_DECAY = {", *elements(globs, 4), "}"] if globs else []
    lines = [
        *header("timm", request),
        "from typing import Any",
        "",
        "from timm.optim import param_groups_weight_decay",
        "from torch import nn",
        *constant,
        "",
        "",
        *layout.write_brackets(
            "def param_groups(",
            ["model: nn.Module", f"weight_decay: float = {number(base)}"],
            ") -> list[dict[str, Any]]:",
            0,
        ),
        '    """Make the groups as timm does; the model\'s `no_weight_decay()` is not asked."""',
        *layout.write_brackets("return param_groups_weight_decay(", arguments, ")", 4),
    ]
    return "\n".join(lines) + "\n"


def _is_vector(name: str, decision: Decision) -> bool:
    """Whether timm leaves the parameter without decay by default."""
    return len(decision.classified.parameter.shape) <= 1 or name.endswith(".bias")


def torchtitan(request: FrameworkRequest) -> FrameworkCode:
    """Write the param groups of a torchtitan configuration: the first pattern that is found in a name counts."""
    settings = settings_by_name(request.plan)
    groups: dict[Setting, list[str]] = {}
    for name, planned in settings.items():
        groups.setdefault(planned, []).append(name)
    ordered = sorted(groups, key=lambda planned: len(groups[planned]))
    lr = TORCHTITAN_LR if request.lr is None else request.lr
    lines: list[str] = []
    for index, planned in enumerate(ordered):
        others = [name for name in settings if settings[name] != planned]
        names = groups[planned]
        is_last = index == len(ordered) - 1
        expressions = (
            [".*"] if is_last else patterns.cover(names, others, patterns.expressions, patterns.matches_expression)
        )
        optimizer = request.optimizer if planned.use is None else _class_name(planned.use, request.optimizer)
        kwargs = [f'"lr": {number(lr * planned.lr_scale)}', f'"weight_decay": {number(planned.weight_decay)}']
        lines += [
            "            ParamGroupConfig(",
            f"                pattern={string('|'.join(expressions))},",
            f"                optimizer_name={string(optimizer)},",
            *layout.write_brackets("optimizer_kwargs={", kwargs, "},", 16),
            "            ),",
        ]
    text = [
        *header("torchtitan", request),
        "from torchtitan.components.optimizer import OptimizersContainer, ParamGroupConfig",
        "",
        "",
        "def optimizer_config() -> OptimizersContainer.Config:",
        '    """Make the optimizer\'s configuration. The first pattern that matches a name counts."""',
        "    return OptimizersContainer.Config(",
        "        param_groups=[",
        *lines,
        "        ]",
        "    )",
    ]
    return FrameworkCode(text="\n".join(text) + "\n")


def _class_name(use: str, default: str) -> str:
    """Return the class of torch.optim that `use` names; if it names none, the default."""
    from decay_audit.emit.optimizer import torch_class

    known = torch_class(use)
    return default if known is None else known.name


def optax(request: FrameworkRequest) -> FrameworkCode:
    """Write the mask of optax: True where a parameter decays."""
    settings = settings_by_name(request.plan)
    base = base_coefficient(settings)
    spared = [name for name, planned in settings.items() if not planned.weight_decay]
    others = [name for name, planned in settings.items() if planned.weight_decay]
    expressions = patterns.cover(spared, others, patterns.expressions, patterns.matches_expression)
    actual = {
        name: Setting(
            weight_decay=0.0 if any(patterns.matches_expression(pattern, name) for pattern in expressions) else base
        )
        for name in settings
    }
    text = [
        *header("optax", request),
        "import re",
        "from typing import Any",
        "",
        "import jax",
        "",
        *(["NO_DECAY = [", *elements(expressions, 4), "]"] if expressions else ["NO_DECAY: list[str] = []"]),
        "",
        "",
        "def decay_mask(params: Any) -> Any:",
        '    """Mark what decays: optax.adamw(lr, weight_decay=' + number(base) + ', mask=decay_mask)."""',
        "",
        "    def decays(path: tuple[Any, ...], _: Any) -> bool:",
        '        keys = [str(getattr(key, "key", getattr(key, "name", key))) for key in path]',
        '        return not any(re.search(pattern, ".".join(keys)) for pattern in NO_DECAY)',
        "",
        "    return jax.tree_util.tree_map_with_path(decays, params)",
    ]
    return FrameworkCode(
        text="\n".join(text) + "\n",
        differences=differences(settings, actual, knows_rates=False, knows_optimizers=False),
        notes=(
            "the patterns have the names of the target, joined by dots; if the names of your JAX parameters differ, "
            "emit from a checkpoint of the JAX model",
        ),
    )
