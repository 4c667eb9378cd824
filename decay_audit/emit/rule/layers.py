"""Write learning rates by layer as code: a function `layer_id` that numbers the layers, and groups that it sorts.

The numbers come from the layer rules of a ruleset, or from the model's `group_matcher()`. Only layers that
follow from names are written, so that the code gives the groups of a deeper model, too; for other models of timm, the
code calls timm's function.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec

from msgspec import Struct
from msgspec.structs import replace

from decay_audit.emit.groups import GroupKey
from decay_audit.emit.python import layout
from decay_audit.emit.python.literals import number, raw_string
from decay_audit.emit.rule.policy import PolicyConditions
from decay_audit.errors import DecayAuditError
from decay_audit.roles.words import Classified
from decay_audit.rulesets.conditions import When
from decay_audit.rulesets.layer_decay import LAST, model_layers, write_number
from decay_audit.rulesets.matching import compile_when
from decay_audit.rulesets.plan import Plan
from decay_audit.rulesets.ruleset import LayerDecay
from decay_audit.text import join_words

MOST_PATHS = 12
"""If more modules than this have a layer outside of the list of blocks, their names would not be readable."""
TIMM_FUNCTION = ("timm.models._manipulate", "group_with_matcher")
"""The function of timm that numbers parameters by the patterns of a model."""
NAME_KEYS = frozenset({"name", "name_regex", "any", "all", "not"})
"""The keys of conditions that a function of a name can test."""


class LayerPattern(Struct, frozen=True, kw_only=True):
    """A regular expression, and the layer of each parameter whose name it matches, as Python.

    Attributes:
        tests: further tests of the name, which must hold, too.
    """

    pattern: str
    layer: str
    tests: tuple[str, ...] = ()


class LayerCode(Struct, frozen=True, kw_only=True):
    """The numbers of layers as code.

    Attributes:
        rate: the factor from one layer to the layer before it.
        patterns: the first that matches gives a parameter its layer.
        otherwise: the layer of every other parameter, as Python.
        above: how many layers follow the layer with the highest number in a name.
        least: the lowest number that the last layer can have.
        scales: for each entry of `lr_scale`, its factor and its test of `bare_name`.
        by_timm: a function of timm numbers the layers, by the `group_matcher()` of the model.
    """

    rate: float
    patterns: tuple[LayerPattern, ...]
    otherwise: str
    above: int
    least: int
    scales: tuple[tuple[float, str], ...] = ()
    by_timm: bool = False

    @property
    def argument(self) -> str:
        """The argument of the emitted functions."""
        return f"layer_decay: float = {number(self.rate)}"

    @property
    def takes_last(self) -> bool:
        """Whether the function takes the number of the last layer."""
        return any(LAST in layer for layer in (self.otherwise, *(entry.layer for entry in self.patterns)))


def has_layers(plans: Sequence[Plan]) -> bool:
    """Whether the learning rates of a plan fall from layer to layer."""
    return any(decision.layer_scale != 1.0 for plan in plans for decision in plan.decisions if decision.grouped)


def find_layers(plans: Sequence[Plan], groups: Iterable[GroupKey]) -> LayerCode:
    """Find how the names of parameters give their layers.

    Args:
        groups: the groups of all plans.

    Raises:
        DecayAuditError: the layers do not follow from names, or the groups differ in more than layer and decay.
    """
    ruleset, layer_decay = plans[0].ruleset, plans[0].ruleset.layer_decay
    base, keys = ruleset.weight_decay, tuple(groups)
    reasons = ["it has no layers"] if layer_decay is None else []
    not_names = {key for scale in ruleset.lr_scale for key in scale.when.keys()} - NAME_KEYS  # noqa: SIM118  (a method)
    reasons += [f"`lr_scale` asks for {_listed(not_names)}"] if not_names else []
    reasons += ["some of the models have no layers"] if not all(has_layers([plan]) for plan in plans) else []
    reasons += ["it reads raw names"] if ruleset.names == "raw" else []
    reasons += ["it has several optimizers"] if any(key.use is not None for key in keys) else []
    reasons += ["it has several coefficients"] if {key.weight_decay for key in keys} - {0.0, base} else []
    reasons += ["groups have settings of their own"] if any(key.settings or key.lr is not None for key in keys) else []
    if layer_decay is None or reasons:
        raise DecayAuditError(f"{ruleset.name} cannot be a function of layers: {join_words(reasons)}")
    from_rules = layer_decay.layers is not None
    code = _code_for_rules(layer_decay, plans) if from_rules else _code_for_model(plans[0], layer_decay.rate)
    conditions = PolicyConditions(name_variable="bare_name")
    return replace(code, scales=tuple((scale.times, conditions.join(scale.when)) for scale in ruleset.lr_scale))


def _code_for_rules(decay: LayerDecay, plans: Sequence[Plan]) -> LayerCode:
    """Write the layer rules of a ruleset. A rule that asks for more than names is left out if it holds nowhere."""
    rules = decay.layers or ()
    parameters = [decision.classified for plan in plans for decision in plan.decisions]
    written = [rule for rule in rules if _asks_for_names(rule.when) or _holds_somewhere(rule.when, parameters)]
    entries = [
        LayerPattern(pattern=pattern, layer=write_number(rule.layer, "int(match[{}])"), tests=_tests_of(rule.when))
        for rule in written
        for pattern in _patterns_of(rule.when)
    ]
    in_ruleset = [*(rule.layer for rule in rules), decay.default]
    return LayerCode(
        rate=decay.rate,
        patterns=tuple(entries),
        otherwise=LAST if decay.default is None else str(decay.default),
        above=int(LAST in in_ruleset),
        least=max((layer for layer in in_ruleset if isinstance(layer, int)), default=0),
    )


def _asks_for_names(when: When) -> bool:
    return when.keys() <= NAME_KEYS


def _holds_somewhere(when: When, parameters: Iterable[Classified]) -> bool:
    holds = compile_when(when)
    return any(holds(parameter) for parameter in parameters)


def _listed(keys: Iterable[str]) -> str:
    return join_words(sorted(f"`{key}`" for key in keys))


def _tests_of(when: When) -> tuple[str, ...]:
    """Write what a layer rule asks for besides its pattern."""
    return tuple(test.text for test in PolicyConditions().write(replace(when, name_regex=None)))


def _patterns_of(when: When) -> tuple[str, ...]:
    if not _asks_for_names(when) or when.name_regex is None:
        raise DecayAuditError(f"a layer rule asks for {_listed(when.keys())}")
    return (when.name_regex,) if isinstance(when.name_regex, str) else when.name_regex


def _code_for_model(plan: Plan, rate: float) -> LayerCode:
    """Write the numbers of a model's `group_matcher()`: by names, or by timm's function if names are not enough.

    Raises:
        DecayAuditError: names are not enough, and timm is not installed.
    """
    try:
        return _code_for_names(plan, rate)
    except DecayAuditError:
        if find_spec("timm") is None:
            raise
    return LayerCode(rate=rate, patterns=(), otherwise="", above=0, least=0, by_timm=True)


def _code_for_names(plan: Plan, rate: float) -> LayerCode:
    """Find how the numbers of a model's `group_matcher()` follow from names.

    Each block of a list must be a layer above the block before it. All that is in a lower layer keeps its number; all
    that is in the layer of the last block, or above it, is counted from the last layer.
    """
    layers = model_layers([decision.classified for decision in plan.decisions])
    lists = _block_lists(layers)
    in_blocks = {name: layer for name, layer in layers.items() if _list_of(name)[0] in lists}
    if len(set(lists.values())) != 1:
        raise DecayAuditError("the layers of the model do not count up along one list of blocks")
    lowest, highest, last = min(in_blocks.values()), max(in_blocks.values()), max(layers.values())
    others = {name: layer for name, layer in layers.items() if name not in in_blocks}
    if any(lowest < layer < highest for layer in others.values()):
        raise DecayAuditError("modules outside of the list of blocks have layers between its blocks")
    patterns = [
        LayerPattern(pattern=rf"^{re.escape(path)}\.(\d+)\.", layer=_sum("int(match[1])", offset))
        for path, offset in lists.items()
    ]
    by_layer: dict[str, list[str]] = {}
    for path, layer in _paths(others):
        if layer != last:
            by_layer.setdefault(_sum(LAST, layer - last) if layer >= highest else str(layer), []).append(path)
    if sum(map(len, by_layer.values())) > MOST_PATHS:
        raise DecayAuditError("too many modules outside of the list of blocks have layers of their own")
    for expression, paths in by_layer.items():
        words = "|".join(map(re.escape, paths))
        patterns.append(LayerPattern(pattern=rf"^({words})\b" if len(paths) > 1 else rf"^{words}\b", layer=expression))
    return LayerCode(rate=rate, patterns=tuple(patterns), otherwise=LAST, above=last - highest, least=0)


def _block_lists(layers: Mapping[str, int]) -> dict[str, int]:
    """Find the lists whose blocks are a layer each: by path, the layer of block 0.

    Raises:
        DecayAuditError: the layers of a list do not follow from the numbers of its blocks.
    """
    members: dict[str, set[tuple[int, int]]] = {}
    for name, layer in layers.items():
        path, index = _list_of(name)
        if path:
            members.setdefault(path, set()).add((index, layer))
    lists = {}
    for path, pairs in members.items():
        offsets = {layer - index for index, layer in pairs}
        indexes, numbers = {index for index, _ in pairs}, {layer for _, layer in pairs}
        is_one_layer = len(numbers) == 1 and (len(indexes) > 1 or numbers <= {0, max(layers.values())})
        if len(offsets) == 1 and not is_one_layer:
            lists[path] = offsets.pop()
        elif not is_one_layer:
            raise DecayAuditError(f"the layers of `{path}` do not follow from the numbers of its blocks")
    return lists


def _list_of(name: str) -> tuple[str, int]:
    """Split a name at its first number: `blocks.3.mlp.weight` gives ("blocks", 3). Without a number, the path is ""."""
    match = re.match(r"(.+?)\.([0-9]+)\.", name)
    return (match[1], int(match[2])) if match else ("", 0)


def _paths(layers: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """Yield the shortest paths below which all parameters are in one layer, with this layer."""
    pending = {name: name.split(".") for name in layers}
    length = 1
    while pending:
        groups: dict[str, list[str]] = {}
        for name, parts in pending.items():
            groups.setdefault(".".join(parts[:length]), []).append(name)
        for path, names in groups.items():
            if len({layers[name] for name in names}) == 1:
                yield path, layers[names[0]]
                for name in names:
                    del pending[name]
        length += 1


def _sum(term: str, summand: int) -> str:
    return term if summand == 0 else f"{term} {'+' if summand > 0 else '-'} {abs(summand)}"


def write_layer_function(code: LayerCode) -> list[str]:
    """Write the function `layer_id`; with timm's function, none is needed."""
    if code.by_timm:
        return []
    lines = [
        f"def layer_id(name: str{', last: int' if code.takes_last else ''}) -> int:",
        '    """Number the layer of a parameter by its name, from 0 at the input."""',
    ]
    for entry in code.patterns:
        variable = "match := " if "match[" in entry.layer else ""
        search = [raw_string(entry.pattern), "name"]
        if entry.tests:
            tests = [f"({variable}re.search({', '.join(search)}))", *entry.tests]
            lines += layout.write_condition("if", tests, 4, "and")
        else:
            lines += layout.write_brackets(f"if {variable}re.search(", search, "):", 4)
        lines.append(f"        return {entry.layer}")
    return [*lines, f"    return {code.otherwise}", "", ""]


def write_last_layer(code: LayerCode) -> list[str]:
    """Write the lines before the loop: the number of the last layer, and the groups."""
    groups = f"    groups: dict[tuple[int, bool{', float' if code.scales else ''}], list[Any]] = {{}}"
    if code.by_timm:
        return [
            '    timm_model: Any = next(m for m in model.modules() if hasattr(m, "group_matcher"))',
            '    names = [(re.sub(WRAPPERS, "", name), None) for name, _ in model.named_parameters()]',
            "    layers = group_with_matcher(names, timm_model.group_matcher(), reverse=True)",
            "    last = max(layers.values())",
            groups,
        ]
    call = f"layer_id(name{f', {code.least}' if code.takes_last else ''}) for name in names"
    highest = f"max([{code.least}, *({call})])" if code.least else f"max({call})"
    return [
        '    names = [re.sub(WRAPPERS, "", name) for name, _ in model.named_parameters()]',
        f"    last = {_sum(highest, code.above)}",
        groups,
    ]


def write_groups(code: LayerCode, lines: Sequence[str], *, decays: bool, spares: bool) -> list[str]:
    """Write the end of the loop and the groups.

    Args:
        lines: the branches, which append to the lists `decay` and `no_decay`.
        decays: whether a group decays.
        spares: whether a group does not decay.
    """
    by_list = {"decay.append(p)": "decays = True", "no_decay.append(p)": "decays = False"}
    chosen = [line.replace(line.strip(), by_list.get(line.strip(), line.strip())) for line in lines]
    layer = "layers[bare_name]" if code.by_timm else f"layer_id(bare_name{', last' if code.takes_last else ''})"
    scale = ", scale" if code.scales else ""
    return [
        *(chosen if decays and spares else [f"        decays = {decays}"]),
        *(
            f"        scale {'*=' if index else '='} {number(factor)} if {test} else 1.0"
            for index, (factor, test) in enumerate(code.scales)
        ),
        f"        layer = {layer}",
        f"        groups.setdefault((layer, decays{scale}), []).append(p)",
        "    return [",
        "        {",
        '            "params": params,',
        f'            "weight_decay": {"weight_decay if decays else 0.0" if decays else "0.0"},',
        f'            "lr": lr * layer_decay ** (last - layer){" * scale" if code.scales else ""},',
        "        }",
        f"        for (layer, {'decays' if decays else '_'}{scale}), params in sorted(groups.items())",
        "    ]",
    ]
