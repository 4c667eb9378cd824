"""A condition compiled to the function that answers it for a classified parameter.

Answers have three values: True, False, and None where the source cannot know (the owner classes of a checkpoint).
"""

import operator
import re
from collections.abc import Callable, Iterable, Sequence
from fnmatch import translate
from functools import cache, lru_cache
from typing import TypeVar

from decay_audit.model.parameters import Declaration, Owner, declares_name
from decay_audit.roles.words import Classified
from decay_audit.rulesets.conditions import Comparison, DeclaredForm, NameForm, Size, When

T = TypeVar("T")
Test = Callable[[Classified], bool | None]


def compile_when(when: When, names: NameForm = "canonical") -> Test:
    """Make the function that answers `when` for a classified parameter.

    Args:
        names: which of a parameter's two names the name conditions see.
    """
    return _every(
        [
            *_word_tests(when),
            *_size_tests(when),
            *_name_tests(when, names),
            *_owner_tests(when, names),
            *_nested_tests(when, names),
        ]
    )


def _word_tests(when: When) -> Iterable[Test]:
    if when.role is not None:
        roles = frozenset(_each(when.role))
        yield lambda subject: subject.role in roles
    if when.layer is not None:
        layers = frozenset(_each(when.layer))
        yield lambda subject: subject.layer in layers
    if when.dtype is not None:
        dtypes = frozenset(_each(when.dtype))
        yield lambda subject: subject.parameter.dtype in dtypes
    if (trainable := when.trainable) is not None:
        yield lambda subject: None if subject.parameter.trainable is None else subject.parameter.trainable is trainable
    if (tied := when.tied) is not None:
        yield lambda subject: bool(subject.parameter.tied_to) is tied
    if when.attribute is not None:
        attributes = frozenset(_each(when.attribute))
        yield (
            lambda subject: (
                not attributes.isdisjoint(subject.parameter.attributes) if subject.parameter.owner.types else None
            )
        )


def _size_tests(when: When) -> Iterable[Test]:
    if when.ndim is not None:
        ndim = _compare(when.ndim)
        yield lambda subject: None if subject.parameter.lazy else ndim(len(subject.parameter.shape))
    if when.effective_ndim is not None:
        effective = _compare(when.effective_ndim)
        yield (
            lambda subject: (
                None if subject.parameter.lazy else effective(sum(size > 1 for size in subject.parameter.shape))
            )
        )
    if when.numel is not None:
        numel = _compare(when.numel)
        yield lambda subject: None if subject.parameter.lazy else numel(subject.parameter.numel)
    if when.shape is not None:
        shapes = _shapes(when.shape)
        yield (
            lambda subject: (
                None if subject.parameter.lazy else any(_fits(subject.parameter.shape, shape) for shape in shapes)
            )
        )


def _name_tests(when: When, names: NameForm) -> Iterable[Test]:
    raw = names == "raw"
    if when.name is not None:
        matches = _globs(_each(when.name))
        yield lambda subject: matches(subject.parameter.raw_name if raw else subject.parameter.name)
    if when.name_regex is not None:
        found = _searches(_each(when.name_regex))
        yield lambda subject: found(subject.parameter.raw_name if raw else subject.parameter.name)
    if when.leaf is not None:
        leaf_matches = _globs(_each(when.leaf))
        yield lambda subject: leaf_matches(subject.parameter.leaf)
    if when.leaf_regex is not None:
        leaf_found = _searches(_each(when.leaf_regex))
        yield lambda subject: leaf_found(subject.parameter.leaf)
    if when.owner_name is not None:
        owner_matches = _globs(_each(when.owner_name))
        yield lambda subject: owner_matches(
            subject.parameter.raw_name.rpartition(".")[0] if raw else subject.parameter.owner.name
        )


def _owner_tests(when: When, names: NameForm) -> Iterable[Test]:
    if when.owner is not None:
        yield _of_types(_derives(_each(when.owner)))
    if when.owner_exact is not None:
        exact = _globs(map(_public, _each(when.owner_exact)))
        yield _of_types(lambda types: exact(types[0]))
    if when.owner_class is not None:
        found = _searches(_each(when.owner_class))
        yield _of_types(lambda types: found(types[0].rpartition(".")[2]))
    if when.within is not None:
        yield _within(_derives(_each(when.within)))
    if when.declared_no_decay is not None:
        yield _declared(frozenset(_each(when.declared_no_decay)), names)


def _nested_tests(when: When, names: NameForm) -> Iterable[Test]:
    if when.any_ is not None:
        yield _some([compile_when(inner, names) for inner in when.any_])
    if when.all_ is not None:
        yield _every([compile_when(inner, names) for inner in when.all_])
    if when.not_ is not None:
        inverted = compile_when(when.not_, names)
        yield lambda subject: None if (answer := inverted(subject)) is None else not answer


def _each(value: T | tuple[T, ...]) -> tuple[T, ...]:
    return value if isinstance(value, tuple) else (value,)


def _every(tests: Sequence[Test]) -> Test:
    """Three-valued AND: one False decides, however much else is unknown."""
    if len(tests) == 1:
        return tests[0]

    def test(subject: Classified) -> bool | None:
        result: bool | None = True
        for inner in tests:
            answer = inner(subject)
            if answer is False:
                return False
            if answer is None:
                result = None
        return result

    return test


def _some(tests: Sequence[Test]) -> Test:
    """Three-valued OR: one True decides, however much else is unknown."""

    def test(subject: Classified) -> bool | None:
        result: bool | None = False
        for inner in tests:
            answer = inner(subject)
            if answer:
                return True
            if answer is None:
                result = None
        return result

    return test


def _globs(patterns: Iterable[str]) -> Callable[[str], bool]:
    match = re.compile("|".join(map(translate, patterns))).match
    return lambda text: match(text) is not None


def _searches(patterns: Iterable[str]) -> Callable[[str], bool]:
    searches = [re.compile(pattern).search for pattern in patterns]
    return lambda text: any(search(text) for search in searches)


def _compare(wanted: Comparison | tuple[Comparison, ...]) -> Callable[[int], bool]:
    each: tuple[Comparison, ...] = wanted if isinstance(wanted, tuple) else (wanted,)
    comparisons = [_comparison(one) for one in each]
    return lambda number: any(compare(number, bound) for compare, bound in comparisons)


def _comparison(text: Comparison) -> tuple[Callable[[int, int], bool], int]:
    if isinstance(text, int):
        return operator.eq, text
    sign = text.rstrip("0123456789").strip()
    return _SIGNS[sign], int(text[len(sign) :])


def _shapes(wanted: tuple[Size | tuple[Size, ...], ...]) -> tuple[tuple[Size, ...], ...]:
    """One shape, or a list of shapes."""
    many = tuple(one for one in wanted if isinstance(one, tuple))
    return many or (tuple(one for one in wanted if not isinstance(one, tuple)),)


def _fits(shape: tuple[int, ...], wanted: tuple[Size, ...]) -> bool:
    return len(shape) == len(wanted) and all(want in (None, size) for size, want in zip(shape, wanted, strict=True))


def _public(pattern: str) -> str:
    """Sources call a class that torch.nn exposes `torch.nn.X`; accept the place that defines it, too."""
    return re.sub(r"^torch\.nn\.modules\.\w+\.(?=[A-Z*])", "torch.nn.", pattern)


def _derives(patterns: Iterable[str]) -> Callable[[tuple[str, ...]], bool]:
    """Whether any class of an MRO matches; answered once per MRO, of which a model has few."""
    patterns = tuple(patterns)
    matches = _globs({*patterns, *map(_public, patterns)})
    return cache(lambda types: any(map(matches, types)))


def _of_types(holds: Callable[[tuple[str, ...]], bool]) -> Test:
    def test(subject: Classified) -> bool | None:
        types = subject.parameter.owner.types
        return holds(types) if types else None

    return test


def _within(derives: Callable[[tuple[str, ...]], bool]) -> Test:
    """The owner and its ancestors below the root; answered once per owner, and without recursion: names may be deep."""
    known: dict[Owner, bool] = {}

    def inside(owner: Owner) -> bool:
        below = []
        while owner.parent is not None and owner not in known:
            below.append(owner)
            owner = owner.parent
        answer = known.get(owner, False)
        for each in reversed(below):
            answer = known[each] = answer or derives(each.types)
        return answer

    return lambda subject: inside(subject.parameter.owner) if subject.parameter.owner.types else None


def _declared(forms: frozenset[DeclaredForm], names: NameForm) -> Test:
    """Membership in what the root, or any module above the parameter (`submodules`), declares."""
    everywhere = "submodules" in forms

    def test(subject: Classified) -> bool | None:
        parameter = subject.parameter
        if not parameter.owner.types:
            return None
        name = parameter.raw_name if names == "raw" else parameter.name
        return any(
            _in_declaration(module.declaration, name.removeprefix(f"{module.name}.") if module.name else name, forms)
            for module in parameter.owner.lineage()
            if module.declaration is not None and (everywhere or module.parent is None)
        )

    return test


def _in_declaration(declaration: Declaration, name: str, forms: frozenset[DeclaredForm]) -> bool:
    return (
        ("glob" in forms and declares_name(declaration)(name))
        or ("exact" in forms and name in _exact(declaration))
        or ("substring" in forms and any(part in name for part in declaration.names))
        or ("keywords" in forms and any(part in name for part in declaration.keywords))
    )


@lru_cache(maxsize=1024)
def _exact(declaration: Declaration) -> frozenset[str]:
    """The declared names, to look up: a model may declare as many as it has parameters."""
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
