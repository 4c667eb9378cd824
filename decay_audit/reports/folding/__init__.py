"""Fold parameters with equal columns into one row, with a pattern: `layers.{0-31}.attn.{q,k}_proj.weight`.

Names, shapes and words come in; rows with a pattern come out. A pattern matches exactly the names that were folded into
it. This package does not depend on plans or output formats.

- patterns: how the alternatives of one part of a name are written
- long_lists: lists that are too long for a table get a name there, and a line below the table
"""

import re
from collections.abc import Callable, Container, Hashable, Iterable, Sequence
from functools import partial
from itertools import chain

from msgspec import Struct

from decay_audit.reports.folding.patterns import are_numbers, join_alternatives, shorten_pattern, split_shared

MAX_DOTS = 64
"""The most dots in a name that is folded. Names of real models have fewer; those of a damaged file may have more."""
SCREEN_ROWS = 40
"""How many rows fit on a screen. If there are more, stages of different sizes share a row."""
MAX_PATTERNS = 12
"""The most patterns of names that a screen lists under one heading, unless `--full` is given."""
_MAX_ROWS = 30_000
"""The most rows whose outer numbers are folded, once the innermost are. The blocks of a model repeat; if there are
more rows, their names do not, and folding would only take time."""

_DIGITS = re.compile(r"[0-9]+")
_INNERMOST_NUMBER = re.compile(r"(?:(.*)\.)?([^.]*[0-9][^.]*)((?:\.[^.0-9]*)*\.[^.]*)", re.DOTALL)
"""A name, with the last part above the leaf that has a number, and what stands before and after it."""
_INNERMOST_NUMBER_ABOVE_OWNER = re.compile(r"(?:(.*)\.)?([^.]*[0-9][^.]*)((?:\.[^.0-9]*)*\.[^.]*\.[^.]*)", re.DOTALL)
"""The same, for the last such part above the owner."""
_PATTERN_SYNTAX = re.compile(r"[{},\\]|[0-9]-[0-9]| except ")
"""What a name may not contain, because it has a meaning in a pattern."""

Axis = tuple[int, Hashable]
"""The index of the part in which rows may differ, and a key: rows fold if their keys are equal."""


class ParameterEntry(Struct, frozen=True, kw_only=True, gc=False):
    """One parameter, with the texts of its cells.

    Attributes:
        role: its role in words. The leaves of one owner may fold although their roles differ.
        cells: the text of all other columns; only rows with equal cells fold.
    """

    name: str
    shape: tuple[int, ...] = ()
    role: str = ""
    cells: tuple[str, ...] = ()


class FoldedRow(Struct, frozen=True, kw_only=True, gc=False):
    """Entries that share a row.

    Attributes:
        parts: the dotted name in parts; the alternatives of a part are joined by commas.
        shapes: the shapes of the entries, each once; all have the same number of dimensions.
        roles: the words for the role: one, or one for each alternative of the last part.
        first: position of the first entry.
    """

    parts: tuple[str, ...]
    count: int
    shapes: tuple[tuple[int, ...], ...]
    roles: tuple[str, ...]
    cells: tuple[str, ...]
    first: int

    @property
    def pattern(self) -> str:
        """All names as one pattern: `bn_1.{weight,bias}`, `stage_1.{0-2}.conv.weight`."""
        if self.count == 1:
            return ".".join(self.parts)
        return ".".join(join_alternatives(part.split(",")) for part in self.parts)


def fold(entries: Sequence[ParameterEntry], screen_rows: int = SCREEN_ROWS) -> tuple[FoldedRow, ...]:
    """Fold entries that differ in the number of a block, in the last part of their owner's name, or in their leaf.

    Blocks of one stage fold even if their sizes differ. Stages of different sizes fold only if there would be more rows
    than `screen_rows` otherwise. The sizes of a kernel must always be equal. Leaves and owners fold if their shapes are
    equal. Rows are in the order of their first entry; in a pattern, numbers are sorted, and everything else keeps its
    order. The time is linear in the number of entries.
    """
    unfoldable = _positions_of_unfoldable(entries)
    other_rows = [_unfolded_row(entries[position], position) for position in unfoldable]
    foldable_names = (entry.name for position, entry in enumerate(entries) if position not in unfoldable)
    containers = frozenset(name.rpartition(".")[0].rpartition(".")[0] for name in foldable_names)
    innermost = _fold_innermost_counters(entries, unfoldable, containers)
    if len(innermost) > _MAX_ROWS:
        return tuple(sorted([*_fold_siblings(innermost), *other_rows], key=lambda row: row.first))
    blocks = _fold_counters(innermost, containers, _sizes_within_a_stage)
    folded = _fold_siblings(blocks)
    if len(folded) > screen_rows:
        folded = _fold_siblings(_fold_counters(blocks, containers, _sizes_across_stages))
    return tuple(sorted([*folded, *other_rows], key=lambda row: row.first))


def foldable(name: str) -> bool:
    """Whether a name can be part of a pattern: it has few enough dots, and none of the characters of a pattern."""
    return name.count(".") <= MAX_DOTS and not _PATTERN_SYNTAX.search(name)


def unfolded_rows(entries: Iterable[ParameterEntry]) -> tuple[FoldedRow, ...]:
    """Make a row for each entry."""
    return tuple(_unfolded_row(entry, position) for position, entry in enumerate(entries))


def _unfolded_row(entry: ParameterEntry, position: int) -> FoldedRow:
    return FoldedRow(
        parts=tuple(entry.name.split(".")) if foldable(entry.name) else (entry.name,),
        count=1,
        shapes=(entry.shape,),
        roles=(entry.role,),
        cells=entry.cells,
        first=position,
    )


def _positions_of_unfoldable(entries: Sequence[ParameterEntry]) -> dict[int, None]:
    """List the positions of the entries whose names cannot be part of a pattern, in order; usually there are none."""
    text = "\n".join(entry.name for entry in entries)  # one search in a long text is faster than many in short ones
    may_have_syntax = any(sign in text for sign in ("{", "}", ",", "\\", "-", " except "))
    if not may_have_syntax and max((entry.name.count(".") for entry in entries), default=0) <= MAX_DOTS:
        return {}
    return dict.fromkeys(position for position, entry in enumerate(entries) if not foldable(entry.name))


def fold_names(names: Iterable[str], *, shorten: bool = False) -> tuple[str, ...]:
    """Fold bare names to patterns, in the order of their first name.

    Args:
        shorten: leave out the middle of long lists of alternatives, for a sentence.
    """
    rows = fold([ParameterEntry(name=name) for name in names])
    return tuple(shorten_pattern(row.pattern) if shorten and row.count > 1 else row.pattern for row in rows)


class _Stems(dict[str, str]):
    """A cache of the parts of names, with `#` in place of each number."""

    def __missing__(self, part: str) -> str:
        stem = self[part] = _DIGITS.sub("#", part)
        return stem


def _fold_innermost_counters(
    entries: Sequence[ParameterEntry], unfoldable: Container[int], containers: Container[str]
) -> list[FoldedRow]:
    """Fold over the innermost number of each name. The result is that of `_fold_counters` for these numbers alone.

    Most entries of a large model fold here, so no row is made for each of them.
    """
    stems = _Stems()
    groups: dict[Hashable, list[int]] = {}
    for position, entry in enumerate(entries):
        if position in unfoldable:
            continue
        name, shape = entry.name, entry.shape
        match = _INNERMOST_NUMBER.fullmatch(name)
        if match is not None and match[3].count(".") == 1 and name.rpartition(".")[0] not in containers:
            match = _INNERMOST_NUMBER_ABOVE_OWNER.fullmatch(name)  # the number names an owner, and not a block
        if match is None:
            groups[position] = [position]
            continue
        key = (match[1], stems[match[2]], match[3], entry.role, entry.cells, len(shape), shape[2:])
        groups.setdefault(key, []).append(position)
    return [_row_of_group(entries, positions, key) for key, positions in groups.items()]


def _row_of_group(entries: Sequence[ParameterEntry], positions: Sequence[int], key: Hashable) -> FoldedRow:
    """Join entries whose names differ in one part. The key begins with the parts above it, its stem and those below."""
    entry = entries[positions[0]]
    if len(positions) == 1 or not isinstance(key, tuple):
        return _unfolded_row(entry, positions[0])
    above, _, below = key[:3]
    start = 0 if above is None else len(above) + 1
    numbers = [entries[position].name[start : -len(below)] for position in positions]
    return FoldedRow(
        parts=(*(() if above is None else above.split(".")), ",".join(_in_order(numbers)), *below[1:].split(".")),
        count=len(positions),
        shapes=tuple(dict.fromkeys(entries[position].shape for position in positions)),
        roles=(entry.role,),
        cells=entry.cells,
        first=positions[0],
    )


def _fold_counters(
    rows: list[FoldedRow], containers: Container[str], equal_sizes: Callable[[FoldedRow, int], Hashable]
) -> list[FoldedRow]:
    """Fold over the numbers of blocks, the innermost first. A block is a module that holds modules."""
    deepest = max((len(row.parts) for row in rows), default=0)
    for axis in reversed(range(deepest - 1)):
        rows = _merge(rows, partial(_counter_axis, axis=axis, containers=containers, equal_sizes=equal_sizes))
    return rows


def _fold_siblings(rows: list[FoldedRow]) -> list[FoldedRow]:
    return _merge(_merge(rows, _leaf_axis), _owner_axis)


def _counter_axis(
    row: FoldedRow, axis: int, containers: Container[str], equal_sizes: Callable[[FoldedRow, int], Hashable]
) -> Axis | None:
    """Return the part at `axis` if it has a number and names a block: a module above the owner, or a block as owner."""
    parts = row.parts
    if axis > len(parts) - 2 or not _DIGITS.search(parts[axis]):
        return None
    if axis == len(parts) - 2 and ".".join(parts[:-1]) not in containers:
        return None
    stem = _DIGITS.sub("#", parts[axis].partition(",")[0])
    dimensions = len(row.shapes[0])
    return axis, (parts[:axis], stem, parts[axis + 1 :], row.roles, row.cells, dimensions, equal_sizes(row, axis))


def _sizes_within_a_stage(row: FoldedRow, axis: int) -> Hashable:
    """Return the sizes that must be equal: those of a kernel, or all sizes if an inner counter is folded already."""
    return frozenset(row.shapes) if any("," in part for part in row.parts[axis + 1 : -1]) else _kernel(row)


def _sizes_across_stages(row: FoldedRow, _: int) -> Hashable:
    return _kernel(row)


def _kernel(row: FoldedRow) -> tuple[int, ...]:
    """Return the sizes after the first two dimensions, which are equal in all shapes of a row."""
    return row.shapes[0][2:]


def _leaf_axis(row: FoldedRow) -> Axis:
    """Return the last part, whatever its role: `bn_1.{weight,bias}` are a norm weight and a norm bias."""
    return len(row.parts) - 1, (row.parts[:-1], frozenset(row.shapes), row.cells)


def _owner_axis(row: FoldedRow) -> Axis | None:
    parts = row.parts
    if len(parts) == 1:
        return None
    return len(parts) - 2, (parts[:-2], parts[-1], frozenset(row.shapes), row.roles, row.cells)


def _merge(rows: Iterable[FoldedRow], key: Callable[[FoldedRow], Axis | None]) -> list[FoldedRow]:
    """Join the rows that have the same key. They differ in one part, so a pattern stands for exactly their names."""
    rows_by_key: dict[Hashable, list[FoldedRow]] = {}
    for row in rows:
        # a row without a key stands alone, under its position
        rows_by_key.setdefault(key(row) or row.first, []).append(row)
    return [
        _join_rows(members, axis[0]) if len(members) > 1 and isinstance(axis, tuple) else members[0]
        for axis, members in rows_by_key.items()
    ]


def _join_rows(rows: list[FoldedRow], axis: int) -> FoldedRow:
    first = rows[0]
    alternatives = [alternative for row in rows for alternative in row.parts[axis].split(",")]
    roles = (
        tuple(chain.from_iterable(row.roles for row in rows)) if len({row.roles for row in rows}) > 1 else first.roles
    )
    return FoldedRow(
        parts=(
            *first.parts[:axis],
            ",".join(_in_order(alternatives) if roles == first.roles else alternatives),
            *first.parts[axis + 1 :],
        ),
        count=sum(row.count for row in rows),
        shapes=tuple(dict.fromkeys(chain.from_iterable(row.shapes for row in rows))),
        roles=roles,
        cells=first.cells,
        first=first.first,
    )


def _in_order(alternatives: list[str]) -> list[str]:
    """Sort numbers, because a file may list 10 before 2; words keep their order."""
    prefix, numbers, suffix = split_shared(alternatives)
    if not are_numbers(numbers):
        return alternatives
    return [f"{prefix}{number}{suffix}" for number in sorted(map(int, numbers))]
