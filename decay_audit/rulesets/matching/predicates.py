"""Compile a condition to a function of a classified parameter.

Answers have three values: True, False, and None where the source cannot know (a checkpoint has no owner classes).
"""

import operator
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase, translate
from functools import cache, lru_cache
from typing import TypeVar

from decay_audit.model.parameters import Declaration, Owner, Scaling, name_matcher
from decay_audit.roles.words import Classified
from decay_audit.rulesets.conditions import Comparison, DeclaredForm, NameForm, Size, When
from decay_audit.rulesets.matching.patterns import TextMatcher, searcher

T = TypeVar("T")
Predicate = Callable[[Classified], bool | None]
"""Answers a condition for a parameter; None if the source does not know the answer."""
Types = tuple[str, ...]
"""The qualified names of the classes in the MRO of an owner."""


def compile_when(when: When, names: NameForm = "canonical") -> Predicate:
    """Make the function that answers `when` for a classified parameter.

    Args:
        names: which of a parameter's two names the name conditions see.
    """
    return _all_hold(
        [
            *_word_predicates(when),
            *_finding_predicates(when),
            *_size_predicates(when),
            *_name_predicates(when, names),
            *_owner_predicates(when, names),
            *_nested_predicates(when, names),
        ]
    )


def _word_predicates(when: When) -> Iterator[Predicate]:
    if when.role is not None:
        roles = frozenset(_as_tuple(when.role))
        yield lambda classified: classified.role in roles
    if when.layer is not None:
        layers = frozenset(_as_tuple(when.layer))
        yield lambda classified: classified.layer in layers
    if when.dtype is not None:
        dtypes = frozenset(_as_tuple(when.dtype))
        yield lambda classified: classified.parameter.dtype in dtypes
    if (trainable := when.trainable) is not None:
        yield lambda classified: None if (answer := classified.parameter.trainable) is None else answer is trainable
    if (tied := when.tied) is not None:
        yield lambda classified: bool(classified.parameter.tied_to) is tied
    if when.attribute is not None:
        attributes = frozenset(_as_tuple(when.attribute))
        yield (
            lambda classified: (
                not attributes.isdisjoint(classified.parameter.attributes) if classified.parameter.owner.types else None
            )
        )


def _finding_predicates(when: When) -> Iterator[Predicate]:
    """Make the predicates on what a measurement or a trace finds out; without it, they answer None."""
    if (scale_invariant := when.scale_invariant) is not None:
        yield lambda classified: _equals(_scaling(classified).is_scale_invariant, scale_invariant)
    if (inert := when.inert) is not None:
        yield lambda classified: _equals(_scaling(classified).is_inert, inert)
    if (rests_at := when.rests_at) is not None:
        yield lambda classified: None if (value := classified.parameter.rests_at) is None else value == rests_at
    if when.feeds is not None:
        fed = frozenset(_as_tuple(when.feeds))
        yield lambda classified: None if (feeds := classified.parameter.feeds) is None else not fed.isdisjoint(feeds)


def _size_predicates(when: When) -> Iterator[Predicate]:
    """Make the predicates on shapes; for a lazy parameter, which has no shape yet, they answer None."""
    if when.ndim is not None:
        ndim = _compare(when.ndim)
        yield lambda classified: None if (parameter := classified.parameter).lazy else ndim(len(parameter.shape))
    if when.effective_ndim is not None:
        effective_ndim = _compare(when.effective_ndim)
        yield (
            lambda classified: (
                None
                if (parameter := classified.parameter).lazy
                else effective_ndim(sum(size > 1 for size in parameter.shape))
            )
        )
    if when.numel is not None:
        numel = _compare(when.numel)
        yield lambda classified: None if (parameter := classified.parameter).lazy else numel(parameter.numel)
    if when.shape is not None:
        shapes = when.shapes
        yield (
            lambda classified: (
                None
                if (parameter := classified.parameter).lazy
                else any(_fits(parameter.shape, shape) for shape in shapes)
            )
        )


def _name_predicates(when: When, names: NameForm) -> Iterator[Predicate]:
    for match in _text_matchers(when.name, when.name_regex):
        yield _name_predicate(match, names)
    for match in _text_matchers(when.leaf, when.leaf_regex):
        yield _leaf_predicate(match)
    for match in _text_matchers(when.owner_name, None):
        yield _owner_name_predicate(match, names)


def _name_predicate(match: TextMatcher, names: NameForm) -> Predicate:
    if names == "raw":
        return lambda classified: match(classified.parameter.raw_name) is not None
    return lambda classified: match(classified.parameter.name) is not None


def _leaf_predicate(match: TextMatcher) -> Predicate:
    return lambda classified: match(classified.parameter.leaf) is not None


def _owner_name_predicate(match: TextMatcher, names: NameForm) -> Predicate:
    if names == "raw":
        return lambda classified: match(classified.parameter.raw_name.rpartition(".")[0]) is not None
    return lambda classified: match(classified.parameter.owner.name) is not None


def _owner_predicates(when: When, names: NameForm) -> Iterator[Predicate]:
    if when.owner is not None:
        yield _types_predicate(_derives(_as_tuple(when.owner)))
    if when.owner_exact is not None:
        exact = _globs(map(_public, _as_tuple(when.owner_exact)))
        yield _types_predicate(lambda types: exact(types[0]) is not None)
    if when.owner_class is not None:
        search = _patterns(_as_tuple(when.owner_class))
        yield _types_predicate(lambda types: search(types[0].rpartition(".")[2]) is not None)
    if when.within is not None:
        yield _within_predicate(_derives(_as_tuple(when.within)))
    if when.declared_no_decay is not None:
        forms: frozenset[DeclaredForm] = frozenset(_as_tuple(when.declared_no_decay))
        yield _has_any_declaration if "any" in forms else _declared_predicate(forms, names)


def _nested_predicates(when: When, names: NameForm) -> Iterator[Predicate]:
    if when.any_ is not None:
        yield _any_holds([compile_when(inner, names) for inner in when.any_])
    if when.all_ is not None:
        yield _all_hold([compile_when(inner, names) for inner in when.all_])
    if when.not_ is not None:
        holds = compile_when(when.not_, names)
        yield lambda classified: None if (answer := holds(classified)) is None else not answer


def _as_tuple(value: T | tuple[T, ...]) -> tuple[T, ...]:
    return value if isinstance(value, tuple) else (value,)


def _all_hold(predicates: Sequence[Predicate]) -> Predicate:
    """Three-valued AND: one False decides, however much else is unknown."""
    if len(predicates) == 1:
        return predicates[0]

    def all_hold(classified: Classified) -> bool | None:
        result: bool | None = True
        for holds in predicates:
            answer = holds(classified)
            if answer is False:
                return False
            if answer is None:
                result = None
        return result

    return all_hold


def _any_holds(predicates: Sequence[Predicate]) -> Predicate:
    """Three-valued OR: one True decides, however much else is unknown."""

    def any_holds(classified: Classified) -> bool | None:
        result: bool | None = False
        for holds in predicates:
            answer = holds(classified)
            if answer:
                return True
            if answer is None:
                result = None
        return result

    return any_holds


def _text_matchers(
    globs: str | tuple[str, ...] | None, patterns: str | tuple[str, ...] | None
) -> Iterator[TextMatcher]:
    if globs is not None:
        yield _globs(_as_tuple(globs))
    if patterns is not None:
        yield _patterns(_as_tuple(patterns))


def _globs(globs: Iterable[str]) -> TextMatcher:
    return re.compile("|".join(map(translate, globs))).match


def _patterns(patterns: Sequence[str]) -> TextMatcher:
    """Search for one pattern after the other, because the groups and flags of one joined pattern would mix."""
    searches = [searcher(pattern) for pattern in patterns]
    if len(searches) == 1:
        return searches[0]
    return lambda text: next((match for search in searches if (match := search(text))), None)


def _compare(condition: Comparison | tuple[Comparison, ...]) -> Callable[[int], bool]:
    """Make the function that tests a number; its results are cached."""
    bounds: tuple[Comparison, ...] = condition if isinstance(condition, tuple) else (condition,)
    comparisons = [_comparison(bound) for bound in bounds]
    return cache(lambda number: any(compare(number, bound) for compare, bound in comparisons))


def _comparison(text: Comparison) -> tuple[Callable[[int, int], bool], int]:
    if isinstance(text, int):
        return operator.eq, text
    sign = text.rstrip("0123456789").strip()
    return _SIGNS[sign], int(text[len(sign) :])


def _fits(shape: tuple[int, ...], condition: tuple[Size, ...]) -> bool:
    """Tell whether each size equals the size in the condition; None there is any size."""
    return len(shape) == len(condition) and all(
        expected in (None, size) for size, expected in zip(shape, condition, strict=True)
    )


def _public(pattern: str) -> str:
    """Replace the private `torch.nn.modules.<module>.X` by `torch.nn.X`, the name that the sources of models use."""
    return re.sub(r"^torch\.nn\.modules\.\w+\.(?=[A-Z*])", "torch.nn.", pattern)


def _derives(patterns: Sequence[str]) -> Callable[[Types], bool]:
    """Make the function that tests whether any class of an MRO matches; its results are cached."""
    match = _globs({*patterns, *map(_public, patterns)})
    return cache(lambda types: any(map(match, types)))


def _types_predicate(holds: Callable[[Types], bool]) -> Predicate:
    return lambda classified: holds(types) if (types := classified.parameter.owner.types) else None


def _within_predicate(derives: Callable[[Types], bool]) -> Predicate:
    """Make the predicate on the owner and its ancestors, but not on the root, which is the model itself."""
    inside = _from_the_root(
        lambda parent_is_inside, owner: parent_is_inside or (owner.parent is not None and derives(owner.types)),
        start=False,
    )
    return lambda classified: inside(owner) if (owner := classified.parameter.owner).types else None


def _has_any_declaration(classified: Classified) -> bool:
    """Whether a declaration of the model excludes the parameter from decay; False for a checkpoint, not unknown."""
    return classified.parameter.declared_no_decay is not None


def _declared_predicate(forms: frozenset[DeclaredForm], names: NameForm) -> Predicate:
    """Make the predicate that looks a name up in the root's declaration; with `submodules`, in those of all owners.

    The owners are the modules above the parameter, and the module that holds it.
    """
    no_owners: tuple[Owner, ...] = ()
    all_owners, use_raw_names = "submodules" in forms, names == "raw"
    declaring = _from_the_root(
        lambda above, owner: (
            (owner, *above) if owner.declaration is not None and (all_owners or owner.parent is None) else above
        ),
        start=no_owners,
    )

    def is_declared(classified: Classified) -> bool | None:
        parameter = classified.parameter
        if not parameter.owner.types:
            return None
        owners = declaring(parameter.owner)
        name = parameter.raw_name if use_raw_names else parameter.name
        return bool(owners) and any(_declares(owner, name, forms) for owner in owners)

    return is_declared


def _from_the_root(step: Callable[[T, Owner], T], *, start: T) -> Callable[[Owner], T]:
    """Make a function that goes from the root down to an owner, step by step, and visits each owner once.

    `step` takes the result for the parent and an owner, and returns the result for that owner; `start` is the result
    above the root. The function does not recurse: names may be deeper than Python's stack.
    """
    results: dict[Owner, T] = {}

    def result(owner: Owner) -> T:
        if owner in results:
            return results[owner]
        unvisited = [owner]
        while (parent := unvisited[-1].parent) is not None and parent not in results:
            unvisited.append(parent)
        value = start if parent is None else results[parent]
        for module in reversed(unvisited):
            value = results[module] = step(value, module)
        return value

    return result


def _declares(owner: Owner, name: str, forms: frozenset[DeclaredForm]) -> bool:
    """Whether a module declares a parameter. The names in a declaration are relative to its module."""
    declaration = owner.declaration
    if declaration is None:
        return False
    name = name.removeprefix(f"{owner.name}.") if owner.name else name
    return (
        ("glob" in forms and name_matcher(declaration)(name))
        or ("exact" in forms and name in _exact_names(declaration))
        or ("substring" in forms and any(part in name for part in declaration.names))
        or ("keywords" in forms and any(part in name for part in declaration.keywords))
        or ("keyword_suffixes" in forms and any(fnmatchcase(name, f"*{part}") for part in declaration.keywords))
        or ("patterns" in forms and any(fnmatchcase(name, pattern) for pattern in declaration.patterns))
    )


@lru_cache(maxsize=1024)
def _exact_names(declaration: Declaration) -> frozenset[str]:
    """The declared names as a set: a model may declare as many as it has parameters."""
    return frozenset(declaration.names)


_SIGNS: dict[str, Callable[[int, int], bool]] = {
    "": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
"""The function of each sign of a comparison."""


def _scaling(classified: Classified) -> Scaling:
    return classified.parameter.scaling or Scaling(effect="not measured")


def _equals(fact: bool | None, expected: bool) -> bool | None:  # noqa: FBT001
    return None if fact is None else fact is expected
