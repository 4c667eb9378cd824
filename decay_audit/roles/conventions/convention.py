"""What a convention is: names that mean something, with the evidence that somebody uses them.

A name is compared as a stem: snake case, lower case, no digits (`cls_token_0` and `clsToken` are `cls_token`).
Words are whole words of a stem; `*` stands for any letters, `^` and `$` pin a word to the beginning or the end.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Literal

from msgspec import Struct

from decay_audit.roles.words import Layer, Role

ShapeCondition = Literal["any", "number", "vector", "matrix"]
"""By the dimensions that squeeze() leaves: a number has none, a vector at most one, a matrix at least two."""

_DIMENSIONS: dict[ShapeCondition, range] = {
    "any": range(99),
    "number": range(1),
    "vector": range(2),
    "matrix": range(2, 99),
}


class Convention(Struct, frozen=True, kw_only=True):
    """One row: words that mean something where its table is used, and where they come from.

    Attributes:
        words: what to find in the stem of a name; one of them is enough.
        source: the library or paper that uses the names, with the module or class that has one of them.
        matches: names as that source writes them; each word is needed for at least one.
        near_misses: names that look alike and mean something else.
    """

    words: tuple[str, ...]
    source: str
    matches: tuple[str, ...]
    near_misses: tuple[str, ...]


class Vocabulary(Struct, frozen=True, kw_only=True, eq=False):
    """The conventions of one table.

    Attributes:
        conventions: a name belongs to the vocabulary if one of them matches,
        exceptions: and none of these does.
        whole_words: names are compared as stems, and words are whole words of them.
    """

    conventions: tuple[Convention, ...]
    exceptions: tuple[Convention, ...]
    whole_words: bool

    def has(self, name: str) -> bool:
        """Whether a name, in any spelling, belongs to it."""
        return _has(self, stem(name) if self.whole_words else name)


class NameMeaning(Struct, frozen=True, kw_only=True, eq=False):
    """What the names of a vocabulary mean, for tensors of some shape.

    Attributes:
        says: what such a tensor is, in words.
    """

    says: str
    role: Role
    layer: Layer = "other"
    shape: ShapeCondition = "any"
    names: Vocabulary


@lru_cache(maxsize=4096)
def _has(vocabulary: Vocabulary, name: str) -> bool:
    """Look up a name: a stem, where names are compared as stems."""
    wanted, refused = _searches(vocabulary)
    texts = _marked(name, whole_words=vocabulary.whole_words)
    return any(map(wanted, texts)) and not any(map(refused, texts))


def _marked(name: str, *, whole_words: bool) -> tuple[str, ...]:
    """Mark beginning, end and word borders: `^_cls_token_$`. A class counts also without `2d` at its end."""
    return (f"^_{name}_$",) if whole_words else (f"^{name}$", f"^{_DIMENSION.sub('', name)}$")


@lru_cache(maxsize=256)
def _searches(vocabulary: Vocabulary) -> tuple[Callable[[str], bool], Callable[[str], bool]]:
    """Make the searches in a marked name for the words of the conventions, and for those of the exceptions."""
    wanted, refused = (
        _search([_pieces(word, "_" if vocabulary.whole_words else "") for row in rows for word in row.words])
        for rows in (vocabulary.conventions, vocabulary.exceptions)
    )
    return wanted, refused


def _search(words: Sequence[tuple[str, ...]]) -> Callable[[str], bool]:
    """Make a search for any of the words; a word with stars is several pieces, in this order."""
    plain = [re.escape(pieces[0]) for pieces in words if len(pieces) == 1]
    starred = [pieces for pieces in words if len(pieces) > 1]
    search_plain = re.compile("|".join(plain)).search if plain else None

    def search(text: str) -> bool:
        if search_plain is not None and search_plain(text) is not None:
            return True
        return any(_in_order(pieces, text) for pieces in starred)

    return search


def _in_order(pieces: tuple[str, ...], text: str) -> bool:
    place = 0
    for piece in pieces:
        place = text.find(piece, place)
        if place < 0:
            return False
        place += len(piece)
    return True


def _pieces(word: str, border: str) -> tuple[str, ...]:
    """Split a word at its stars into what a marked name must hold, in this order: `rel_pos*` is `_rel_pos`."""
    begun = word.replace("^", f"^{border}") if word.startswith("^") else border + word
    ended = begun.replace("$", f"{border}$") if word.endswith("$") else begun + border
    return tuple(piece for piece in ended.split("*") if piece)


def first_meaning(meanings: tuple[NameMeaning, ...], name: str, squeezed_ndim: int) -> NameMeaning | None:
    """Find what a name, in any spelling, means for a tensor with so many dimensions larger than 1."""
    return _first_meaning(meanings, stem(name), squeezed_ndim)


@lru_cache(maxsize=4096)
def _first_meaning(meanings: tuple[NameMeaning, ...], stem_of_name: str, squeezed_ndim: int) -> NameMeaning | None:
    fitting = (meaning for meaning in meanings if squeezed_ndim in _DIMENSIONS[meaning.shape])
    return next((meaning for meaning in fitting if _has(meaning.names, stem_of_name)), None)


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
    snake = _HUMP.sub("_", plain).translate(NO_DIGITS)
    return _GAP.sub("_", snake).strip("_").lower()


_DIMENSION = re.compile(r"\d?d$")
_SUFFIX = re.compile(r"_?\d+[dD]$|_?[Pp]aram(eter)?s?$|_data$")
_HUMP = re.compile(r"(?<=[a-z\d])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_GAP = re.compile(r"_{2,}")
NO_DIGITS = str.maketrans("", "", "0123456789")
