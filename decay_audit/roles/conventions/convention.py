"""The types of a table of names: a row has words with a meaning, and the library or paper that uses them.

Names are compared as stems: snake case, lower case, no digits (`cls_token_0` and `clsToken` are `cls_token`).
Words are whole words of a stem; `*` stands for any letters, `^` and `$` pin a word to the beginning or the end.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Literal

from msgspec import Struct

from decay_audit.roles.words import Confidence, Layer, Role

ShapeCondition = Literal["any", "number", "vector", "matrix"]
"""Counts dimensions after squeeze(): a number has none, a vector has at most one, a matrix has at least two."""

_DIMENSIONS: dict[ShapeCondition, range] = {
    "any": range(99),
    "number": range(1),
    "vector": range(2),
    "matrix": range(2, 99),
}


class Convention(Struct, frozen=True, kw_only=True):
    """One row of a table: words with a meaning, and where they come from.

    Attributes:
        words: a name that contains one of these words matches the row.
        source: the library or paper that uses such names, with the module or class.
        matches: names that the source uses. For each word, at least one of these names matches only by this word.
        near_misses: similar names with another meaning.
    """

    words: tuple[str, ...]
    source: str
    matches: tuple[str, ...]
    near_misses: tuple[str, ...]


class Vocabulary(Struct, frozen=True, kw_only=True, eq=False):
    """The conventions of one table.

    Attributes:
        conventions: a name belongs to the vocabulary if one of these rows matches it.
        exceptions: a name that one of these rows matches does not belong to it.
        whole_words: whether a name is compared as a stem, in which each word must be a whole word.
    """

    conventions: tuple[Convention, ...]
    exceptions: tuple[Convention, ...]
    whole_words: bool

    def has(self, name: str) -> bool:
        """Whether a name, in any spelling, belongs to the vocabulary."""
        return _has(self, stem(name) if self.whole_words else name)


class NameMeaning(Struct, frozen=True, kw_only=True, eq=False):
    """The meaning of the names in a vocabulary, for tensors with a certain number of dimensions.

    Attributes:
        meaning: what such a tensor is, in words.
        confidence: "guess" if tensors with these names also act in other ways.
    """

    meaning: str
    role: Role
    layer: Layer = "other"
    shape: ShapeCondition = "any"
    confidence: Confidence = "likely"
    names: Vocabulary


@lru_cache(maxsize=4096)
def _has(vocabulary: Vocabulary, name: str) -> bool:
    """Look up a name, which is a stem if the vocabulary compares whole words."""
    has_word, has_exception = _searches(vocabulary)
    texts = _marked(name, whole_words=vocabulary.whole_words)
    return any(map(has_word, texts)) and not any(map(has_exception, texts))


def _marked(name: str, *, whole_words: bool) -> tuple[str, ...]:
    """Mark the beginning, the end and word borders: `^_cls_token_$`. A class name is also read without a final `2d`."""
    if whole_words:
        return (f"^_{name}_$",)
    return (f"^{name}$", f"^{_DIMENSION.sub('', name)}$") if name.endswith("d") else (f"^{name}$",)


@lru_cache(maxsize=256)
def _searches(vocabulary: Vocabulary) -> tuple[Callable[[str], bool], Callable[[str], bool]]:
    """Make two searches of a marked name: for words of the conventions, and for words of the exceptions."""
    has_word, has_exception = (
        _search([_pieces(word, "_" if vocabulary.whole_words else "") for row in rows for word in row.words])
        for rows in (vocabulary.conventions, vocabulary.exceptions)
    )
    return has_word, has_exception


def _search(words: Sequence[tuple[str, ...]]) -> Callable[[str], bool]:
    """Make a search for any of the words. Each word is given as the pieces between its stars."""
    starred = [pieces for pieces in words if len(pieces) > 1]
    search_plain = _any_piece([pieces[0] for pieces in words if len(pieces) == 1])
    search_longest = _any_piece([max(pieces, key=len) for pieces in words])

    def search(text: str) -> bool:
        if not search_longest(text):  # true for most names, so this quick search comes first
            return False
        return search_plain(text) or any(_in_order(pieces, text) for pieces in starred)

    return search


def _any_piece(pieces: Sequence[str]) -> Callable[[str], bool]:
    """Make a search for any of the pieces."""
    if not pieces:
        return lambda _: False
    match = re.compile(_alternatives(sorted(set(pieces)))).search
    return lambda text: match(text) is not None


def _alternatives(texts: Sequence[str]) -> str:
    """Write a pattern for any of the sorted texts. Common beginnings are written once, which `re` matches far faster.

    >>> _alternatives(["_abc", "_abd", "x"])
    '(?:_ab(?:c|d)|x)'
    """
    if "" in texts:
        return ""
    branches = [
        re.escape(letter) + _alternatives([text[1:] for text in group])
        for letter, group in groupby(texts, key=lambda text: text[0])
    ]
    return branches[0] if len(branches) == 1 else f"(?:{'|'.join(branches)})"


def _in_order(pieces: tuple[str, ...], text: str) -> bool:
    start = 0
    for piece in pieces:
        start = text.find(piece, start)
        if start < 0:
            return False
        start += len(piece)
    return True


def _pieces(word: str, border: str) -> tuple[str, ...]:
    """Split a word at its stars into pieces that a marked name must contain in order: `rel_pos*` is `_rel_pos`."""
    begun = word.replace("^", f"^{border}") if word.startswith("^") else border + word
    ended = begun.replace("$", f"{border}$") if word.endswith("$") else begun + border
    return tuple(piece for piece in ended.split("*") if piece)


def first_meaning(meanings: tuple[NameMeaning, ...], name: str, squeezed_ndim: int) -> NameMeaning | None:
    """Find the first meaning of a name, in any spelling, for a tensor with this number of squeezed dimensions."""
    return _first_meaning(meanings, stem(name), squeezed_ndim)


@lru_cache(maxsize=4096)
def _first_meaning(meanings: tuple[NameMeaning, ...], stem_of_name: str, squeezed_ndim: int) -> NameMeaning | None:
    if not _mentions(meanings)(f"^_{stem_of_name}_$"):
        return None
    fitting = (meaning for meaning in meanings if squeezed_ndim in _DIMENSIONS[meaning.shape])
    return next((meaning for meaning in fitting if _has(meaning.names, stem_of_name)), None)


@lru_cache(maxsize=64)
def _mentions(meanings: tuple[NameMeaning, ...]) -> Callable[[str], bool]:
    """Make a quick search in a marked stem, which fails only if no vocabulary of the table has the name."""
    return any_longest_piece([meaning.names for meaning in meanings])


def any_longest_piece(vocabularies: Sequence[Vocabulary]) -> Callable[[str], bool]:
    """Make a quick search in a marked name, which fails only if none of the vocabularies has the name."""
    return _any_piece(
        [
            max(_pieces(word, "_" if names.whole_words else ""), key=len)
            for names in vocabularies
            for convention in names.conventions
            for word in convention.words
        ]
    )


def vocabulary(
    *conventions: Convention, exceptions: tuple[Convention, ...] = (), whole_words: bool = True
) -> Vocabulary:
    """Make a vocabulary of names of tensors or modules, which are compared as stems."""
    return Vocabulary(conventions=conventions, exceptions=exceptions, whole_words=whole_words)


def class_vocabulary(*conventions: Convention, exceptions: tuple[Convention, ...] = ()) -> Vocabulary:
    """Make a vocabulary of class names, which are compared as written: a word may begin and end anywhere."""
    return vocabulary(*conventions, exceptions=exceptions, whole_words=False)


@lru_cache(maxsize=4096)
def stem(name: str) -> str:
    """Write a name as the words expect it: `posEmbed1` is `pos_embed`, `latents_2d` is `latents`."""
    plain = _SUFFIX.sub("", name) or name
    snake = (plain if plain.islower() else _CAMEL_CASE_BORDER.sub("_", plain)).translate(NO_DIGITS)
    return _UNDERSCORES.sub("_", snake).strip("_").lower()


_DIMENSION = re.compile(r"\d?d$")
"""The end of a class name that gives the dimensions of its data: `BatchNorm2d`."""
_SUFFIX = re.compile(r"_?\d+[dD]$|_?[Pp]aram(eter)?s?$|_data$")
"""Ends of names of tensors that have no meaning: `_2d`, `_param`, `_data`."""
_CAMEL_CASE_BORDER = re.compile(r"(?<=[a-z\d])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
"""The place between two words of a name in camel case: `posEmbed`."""
_UNDERSCORES = re.compile(r"_{2,}")
NO_DIGITS = str.maketrans("", "", "0123456789")
"""The table with which `str.translate` deletes digits."""
