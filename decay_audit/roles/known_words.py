"""Tell quickly whether any reader of names knows a word. The readers are the functions that find evidence in names.

Tensors whose words are all unknown to the readers differ only in their shapes, so they can be classified together.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final

from decay_audit.roles.conventions import (
    adapters,
    affines,
    classes,
    general,
    layers,
    modules,
    positions,
    state_spaces,
    tensors,
    tokens,
)
from decay_audit.roles.conventions.convention import NameMeaning, Vocabulary, any_longest_piece, stem

_TABLES: Final = (adapters, affines, classes, general, layers, modules, positions, state_spaces, tensors, tokens)
_IN_READERS: Final = re.compile(
    r"bias|weight|kernel|expert|moe|running_|batches|proj|original|parametrizations|base_layer|gamma|beta|tau"
    r"|_(g|v|orig|b|w)$|^(b|w)(_?[a-z]?\d*)$|^[abcdgw]$",
    re.IGNORECASE,
)
"""Words that the readers compare without a table, and names of tensors that come in pairs (`w1` and `b1`)."""


def _vocabularies(values: Iterable[object]) -> Iterator[Vocabulary]:
    for value in values:
        if isinstance(value, Vocabulary):
            yield value
        elif isinstance(value, NameMeaning):
            yield value.names
        elif isinstance(value, tuple):
            yield from _vocabularies(value)


_VOCABULARIES = [names for table in _TABLES for names in _vocabularies(vars(table).values())]
_mentions_stem = any_longest_piece([names for names in _VOCABULARIES if names.whole_words])
_mentions_name = any_longest_piece([names for names in _VOCABULARIES if not names.whole_words])


@lru_cache(maxsize=4096)
def is_known(word: str) -> bool:
    """Tell whether a reader of names may know a word. False means that no reader knows it.

    >>> is_known("attn_norm"), is_known("qwrtz")
    (True, False)
    """
    plain = stem(word)
    return (
        not plain
        or _mentions_stem(f"^_{plain}_$")
        or _mentions_name(f"^{word}$")
        or _IN_READERS.search(word) is not None
        or _IN_READERS.search(plain) is not None
    )
