"""Find, by the words of a parameter, the few entries of a ruleset whose conditions may hold for it.

Most conditions ask for a name, a part of a name or a role. A parameter that lacks these words cannot match. So, of
thousands of rules, only a few conditions are evaluated for each parameter.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Generic, Literal, TypeVar

from msgspec import Struct

from decay_audit.errors import RulesError
from decay_audit.roles.words import Classified
from decay_audit.rulesets.conditions import NameForm, When
from decay_audit.rulesets.matching.patterns import literals
from decay_audit.rulesets.matching.predicates import Predicate, compile_when
from decay_audit.rulesets.ruleset import RulesetEntry, label

T = TypeVar("T")
_WILDCARDS = frozenset("*?[]")
"""`]` is among them, because a set such as `[._]` may contain the dot at which a glob is split."""
KeyKind = Literal["name", "part", "leaf", "role", "piece"]
"""The words of a parameter: its full name, the parts of its name between dots, its leaf, its role, and all pieces
of two or three characters in its name."""
_PIECE: Final = 3
"""The length of the longest pieces."""


class Requirement(Struct, frozen=True, kw_only=True):
    """Words of one kind that a condition requires. A parameter that has none of them does not match the condition."""

    kind: KeyKind
    words: frozenset[str]


def requirements(when: When) -> Iterator[Requirement]:
    """List the requirements of a condition; a parameter that matches meets each of them.

    >>> [sorted(required.words) for required in requirements(When(name="*.head.*", role="bias"))]
    [['head'], ['bias']]
    """
    globs = _words(when.name)
    if globs and not any(map(_has_wildcard, globs)):
        yield Requirement(kind="name", words=frozenset(globs))
    leaves = _words(when.leaf)
    if leaves and not any(map(_has_wildcard, leaves)):
        yield Requirement(kind="leaf", words=frozenset(leaves))
    yield from _literal_parts(globs)
    yield from _literal_parts(_words(when.owner_name))
    if isinstance(when.name_regex, str):
        for literal in literals(when.name_regex):
            yield from (Requirement(kind="piece", words=frozenset({piece})) for piece in _longest_pieces(literal))
    if when.role is not None:
        yield Requirement(kind="role", words=frozenset(_words(when.role)))


def _words(value: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else () if value is None else (value,)


def _has_wildcard(glob: str) -> bool:
    return not _WILDCARDS.isdisjoint(glob)


def _literal_parts(globs: Sequence[str]) -> Iterator[Requirement]:
    """List the parts of globs that have no wildcard: a name that matches has these parts, too."""
    parts = [[part for part in glob.split(".") if part and not _has_wildcard(part)] for glob in globs]
    if len(parts) == 1:
        yield from (Requirement(kind="part", words=frozenset({part})) for part in parts[0])
    elif parts and all(parts):
        yield Requirement(kind="part", words=frozenset(max(literal, key=len) for literal in parts))


def _longest_pieces(literal: str) -> Iterator[str]:
    """List the pieces of the greatest length in a text; none of a single character."""
    length = min(_PIECE, len(literal))
    yield from (literal[start : start + length] for start in range(len(literal) - length + 1) if length > 1)


def _words_of(classified: Classified, kind: KeyKind, names: NameForm) -> Iterable[str]:
    name = classified.parameter.raw_name if names == "raw" else classified.parameter.name
    match kind:
        case "name":
            return (name,)
        case "part":
            return set(name.split("."))
        case "leaf":
            return (classified.parameter.leaf,)
        case "role":
            return (classified.role,)
        case "piece":
            return {
                name[start : start + length]
                for length in range(2, _PIECE + 1)
                for start in range(len(name) - length + 1)
            }


class EntryFinder(Generic[T]):
    """Finds the first entry whose condition holds for a parameter. Conditions are compiled when they are needed."""

    def __init__(self, entries: Sequence[tuple[When, T]], names: NameForm) -> None:
        self._entries = entries
        self._names = names
        self._predicates: list[Predicate | None] = [None] * len(entries)
        self._general: list[int] = []
        self._by_word: dict[KeyKind, dict[str, list[int]]] = {}
        required = [tuple(requirements(when)) for when, _ in entries]
        counts = Counter((item.kind, word) for items in required for item in items for word in item.words)
        for position, items in enumerate(required):
            if not items:
                self._general.append(position)  # it may match any parameter
                continue
            rarest = min(items, key=lambda item: sum(counts[item.kind, word] for word in item.words))
            for word in rarest.words:
                self._by_word.setdefault(rarest.kind, {}).setdefault(word, []).append(position)

    def first_match(self, classified: Classified) -> tuple[T | None, tuple[T, ...]]:
        """Find the first entry that holds for a parameter, and the entries before it whose answer is unknown."""
        without_facts: tuple[T, ...] = ()
        for position in self._candidates(classified) if self._by_word else self._general:
            predicate = self._predicates[position] or self._compile(position)
            try:
                answer = predicate(classified)
            except RulesError as error:
                raise _with_entry_label(self._entries[position][1], error) from error
            if answer:
                return self._entries[position][1], without_facts
            if answer is None:
                without_facts = (*without_facts, self._entries[position][1])
        return None, without_facts

    def _compile(self, position: int) -> Predicate:
        predicate = self._predicates[position] = compile_when(self._entries[position][0], self._names)
        return predicate

    def _candidates(self, classified: Classified) -> Iterable[int]:
        """List the entries that may hold for a parameter, in order."""
        positions = [
            position
            for kind, by_word in self._by_word.items()
            for word in _words_of(classified, kind, self._names)
            if word in by_word
            for position in by_word[word]
        ]
        return sorted({*self._general, *positions}) if positions else self._general


def _with_entry_label(entry: object, error: RulesError) -> RulesError:
    """Name the entry in an error of its condition."""
    return RulesError(f"{label(entry)}: {error.message}", error.hint) if isinstance(entry, RulesetEntry) else error


class MatchingParameters:
    """Finds the parameters that a condition holds for. Only parameters with a word that it requires are tested."""

    def __init__(self, parameters: Iterable[Classified], names: NameForm) -> None:
        self._parameters = tuple(parameters)
        self._names = names
        self._by_word: dict[KeyKind, Mapping[str, Sequence[int]]] = {}

    def positions(self, when: When) -> list[int]:
        """List the positions of the parameters that a condition holds for."""
        holds = compile_when(when, self._names)
        fewest: Sequence[int] = range(len(self._parameters))
        for required in requirements(when):
            by_word = self._grouped(required.kind)
            positions = sorted({position for word in required.words for position in by_word.get(word, ())})
            fewest = min(fewest, positions, key=len)
        return [position for position in fewest if holds(self._parameters[position])]

    def _grouped(self, kind: KeyKind) -> Mapping[str, Sequence[int]]:
        groups = self._by_word.get(kind)
        if groups is None:
            lists: dict[str, list[int]] = {}
            for position, classified in enumerate(self._parameters):
                for word in _words_of(classified, kind, self._names):
                    lists.setdefault(word, []).append(position)
            groups = self._by_word[kind] = lists
        return groups
