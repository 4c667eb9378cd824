"""Compare the optimizer that updates a parameter with the one that the ruleset names for it: DA104.

A ruleset says `use: muon`; a live optimizer has a class, a name and groups. They are compared as words: `muon`
fits the class SingleDeviceMuon, an optimizer that is called `muon`, and a group with `use_muon=True`.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from decay_audit.checks.codes import Finding, finding
from decay_audit.checks.finding_text import count_by_kind
from decay_audit.checks.observed_plan import ObservedPlan, Pair
from decay_audit.model.observations import Optimizer, ParamGroup
from decay_audit.text import join_words

_NAME_KEYS = ("use", "algorithm", "kind", "optimizer", "optim_type")
"""Keys of a group whose value names the algorithm that updates it, as decay-audit, Dion and nanochat write them."""
_FLAG_PREFIX = "use_"
"""Prefix of keys that select one of two algorithms, such as `use_muon` in the Muon classes that contain an Adam."""
_ALGORITHMS = frozenset(
    {"adafactor", "adagrad", "adam", "adamw", "lamb", "lars", "lion", "muon", "rmsprop", "sgd", "shampoo", "soap"}
)
"""Words that name an algorithm. A known class of another name is another algorithm; other words may be labels."""
_MAX_NAMED = 5
"""How many groups or entries one finding names."""


def check_routes(observed: ObservedPlan) -> Iterator[Finding]:
    """Find parameters that are in a different optimizer from the one that the ruleset names."""
    words = tuple(dict.fromkeys(route.use for route in observed.plan.ruleset.routes))
    pairs = [pair for pair in observed.pairs() if pair[0].grouped and pair[0].use is not None]
    knows_all_classes = all(optimizer.type != "unknown" for optimizer in observed.optimizers.values())
    if not pairs or not observed.compared_fully or not knows_all_classes:
        return
    words_by_group = {
        (name, index): _matching_words(optimizer, group, words)
        for name, optimizer in observed.optimizers.items()
        for index, group in enumerate(optimizer.groups)
    }
    words_of_optimizer: dict[str, set[str]] = {}
    for (name, _), matching in words_by_group.items():
        words_of_optimizer.setdefault(name, set()).update(matching)
    present = set[str]().union(*words_of_optimizer.values())
    all_are_known = all(optimizer.class_is_known for optimizer in observed.optimizers.values())
    if not present and not (all_are_known and _ALGORITHMS.issuperset(words)):
        yield _not_comparable_finding(observed, pairs, words)
        return
    causes: dict[tuple[str, str], list[Pair]] = {}
    for decision, observation in pairs:
        matching = words_by_group.get((observation.optimizer, observation.group), frozenset())
        expected = decision.use or ""
        # a group that fits no word may belong to the expected optimizer, under another name
        is_known = observed.optimizer(observation).class_is_known and expected in _ALGORITHMS
        if expected in matching or not (matching or expected in present or is_known):
            continue
        live = observed.optimizer(observation).type
        if matching and len(words_of_optimizer[observation.optimizer]) > 1:
            live = f"the {join_words(sorted(matching))} groups of {live}"
        causes.setdefault((expected, live), []).append((decision, observation))
    for (expected, live), differing in causes.items():
        yield _other_optimizer_finding(observed, differing, expected, live, missing=expected not in present)


def _other_optimizer_finding(
    observed: ObservedPlan, pairs: Sequence[Pair], expected: str, live: str, *, missing: bool
) -> Finding:
    decisions = list({decision.name: decision for decision, _ in pairs}.values())
    them = "it" if len(decisions) == 1 else "them"
    reason = f"; no optimizer here is {expected}" if missing else ""
    return finding(
        "DA104",
        f"{count_by_kind(decisions)} {'is' if len(decisions) == 1 else 'are'} in {live}; "
        f"{observed.plan.ruleset.name} gives {them} to {expected}{reason}",
        (decision.name for decision in decisions),
        expected=expected,
        found=observed.group_names(observation for _, observation in pairs),
        where=_entries(observed, expected),
        fix=f"add the optimizer {expected}, and give it these parameters"
        if missing
        else f"move {them} to a group of {expected}",
    )


def _not_comparable_finding(observed: ObservedPlan, pairs: Sequence[Pair], words: Sequence[str]) -> Finding:
    """Report that no optimizer fits a word of the ruleset, so nothing can be compared."""
    return finding(
        "DA104",
        f"{observed.plan.ruleset.name} gives parameters to {join_words(words)}, and no optimizer here has "
        f"{'such a name' if len(words) > 1 else 'that name'}: it was not checked which optimizer has which parameter",
        dict.fromkeys(decision.name for decision, _ in pairs),
        expected=" or ".join(words),
        found=observed.class_names(),
        where=join_words([route.location for route in observed.plan.ruleset.routes if route.location][:_MAX_NAMED]),
        fix="name the optimizers: let the function of --optimizer return "
        f"{{{', '.join(f'{word!r}: ...' for word in words)}}}",
        severity="warning",
    )


def _matching_words(optimizer: Optimizer, group: ParamGroup, words: Iterable[str]) -> frozenset[str]:
    """Find the words of the ruleset that fit the algorithm of this group; there may be none."""
    settings = group.hyperparameters
    algorithms = [value for key in _NAME_KEYS if isinstance(value := settings.get(key), str)]
    if algorithms:
        return frozenset(word for word in words if _matches(word, algorithms[0]))
    flags = {key.removeprefix(_FLAG_PREFIX): value for key, value in settings.items() if key.startswith(_FLAG_PREFIX)}
    flag_by_word = {word: flags[flag] for word in words for flag in flags if _letters(flag) == _letters(word)}
    if selected := [word for word, value in flag_by_word.items() if value]:
        return frozenset(selected)
    name = group.member_class or f"{optimizer.name} {optimizer.type}"
    others = [word for word in words if word not in flag_by_word]
    exact = [word for word in others if _letters(word) in _letters(name)]
    by_family = [word for word in others if _matches(word, name)]
    # a flag that is not set selects the other algorithm of the class: the Adam in a Muon class
    return frozenset(exact or by_family or (others if flag_by_word else ()))


def _matches(word: str, name: str) -> bool:
    """Whether a name contains the word, with or without its last `w`: AdamW may be Adam with a setting."""
    return _letters(word).removesuffix("w") in _letters(name)


def _letters(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def _entries(observed: ObservedPlan, expected: str) -> str:
    routes = [route for route in observed.plan.ruleset.routes if route.use == expected and route.location]
    return join_words([f"optimizer entry {route.location}" for route in routes[:_MAX_NAMED]])
