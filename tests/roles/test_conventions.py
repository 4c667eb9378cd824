"""Conventions: every row has evidence, means what its examples say, and is needed by one of them."""

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct
from msgspec.structs import replace

from decay_audit.roles.by_name import PLAIN
from decay_audit.roles.conventions import adapters, affines, classes, general, layers, modules, state_spaces, tensors
from decay_audit.roles.conventions.convention import (
    Convention,
    NameMeaning,
    Vocabulary,
    first_meaning,
    stem,
    vocabulary,
)
from tests.roles.naming import classify_tensor

SHAPES = {"any": (4, 4), "number": (), "vector": (4,), "matrix": (4, 4)}
NAMES = Path(__file__).with_name("conventions.txt")


class Row(Struct, frozen=True, kw_only=True):
    """A convention with its vocabulary, and with the table of meanings if the vocabulary is in one."""

    table: str
    convention: Convention
    vocabulary: Vocabulary
    meaning: NameMeaning | None = None
    meanings: tuple[NameMeaning, ...] = ()

    @property
    def is_exception(self) -> bool:
        return self.convention in self.vocabulary.exceptions

    def role_of(self, name: str, words: Vocabulary | None = None) -> str:
        """Return the role that the table gives a name; yes or no if it has no roles. `words` replace the vocabulary."""
        words = words or self.vocabulary
        if self.meaning is None:
            return "yes" if words.has(name) else "no"
        changed = replace(self.meaning, names=words)
        table = tuple(changed if meaning is self.meaning else meaning for meaning in self.meanings)
        meaning = first_meaning(table, name, sum(size > 1 for size in SHAPES[self.meaning.shape]))
        return meaning.role if meaning is changed else "no"


def rows() -> Iterator[Row]:
    for module in (tensors, general, adapters, affines, modules, classes, layers, state_spaces):
        for name, value in vars(module).items():
            table = f"{module.__name__.rpartition('.')[2]}.{name}"
            if isinstance(value, Vocabulary):
                yield from rows_of(table, value)
            elif table == "layers.NORMS":
                for layer, words in value:
                    yield from rows_of(f"{table}.{layer}", words)
            elif isinstance(value, tuple):
                for meaning in value:
                    yield from rows_of(table, meaning.names, meaning, value)


def rows_of(
    table: str, words: Vocabulary, meaning: NameMeaning | None = None, meanings: tuple[NameMeaning, ...] = ()
) -> Iterator[Row]:
    for convention in (*words.conventions, *words.exceptions):
        yield Row(table=table, convention=convention, vocabulary=words, meaning=meaning, meanings=meanings)


ROWS = tuple(rows())
IDS = [f"{row.table}:{row.convention.words[0]}" for row in ROWS]


def listed() -> Iterator[str]:
    """List each example with its meaning, as `conventions.txt` does."""
    for row in ROWS:
        shape = row.meaning.shape if row.meaning else "any"
        for name in row.convention.matches:
            yield f"{row.table} {name} {shape} {row.role_of(name)}"


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_a_row_has_words_a_source_and_examples(row: Row) -> None:
    convention = row.convention
    assert convention.words
    assert convention.source
    assert convention.matches
    assert convention.near_misses


@pytest.mark.parametrize("source", sorted({row.convention.source for row in ROWS}))
def test_a_source_in_an_installed_library_exists(source: str) -> None:
    for dotted in re.findall(r"\b(?:timm|torchvision|transformers)(?:\.\w+)+", source):
        library, *parts = dotted.split(".")
        spec = importlib.util.find_spec(library)
        assert spec is not None
        place = Path(*(spec.submodule_search_locations or ()))
        while parts and (place / parts[0]).is_dir():
            place /= parts.pop(0)
        if parts:
            place /= f"{parts.pop(0)}.py"
        assert place.exists(), dotted
        assert not parts or re.search(rf"^class {parts[0]}\b", place.read_text("utf-8"), re.MULTILINE), dotted


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_examples_match_and_near_misses_do_not(row: Row) -> None:
    role = row.meaning.role if row.meaning else "yes"
    expected = "no" if row.is_exception else role
    assert {name: row.role_of(name) for name in row.convention.matches} == dict.fromkeys(
        row.convention.matches, expected
    )
    alone = vocabulary(row.convention, whole_words=row.vocabulary.whole_words)
    assert [name for name in row.convention.near_misses if alone.has(name)] == []
    if not row.is_exception:
        assert {name for name in row.convention.near_misses if row.role_of(name) == role} == set()


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_every_word_is_needed_by_an_example(row: Row) -> None:
    for word in row.convention.words:
        others = tuple(other for other in row.convention.words if other != word)
        rest = without_word(row.vocabulary, row.convention, replace(row.convention, words=others))
        changed = [name for name in row.convention.matches if row.role_of(name, rest) != row.role_of(name)]
        assert changed, f"without {word}, every example means the same"


def without_word(words: Vocabulary, convention: Convention, shorter: Convention) -> Vocabulary:
    def shortened(conventions: tuple[Convention, ...]) -> Iterator[Convention]:
        for other in conventions:
            if other is not convention:
                yield other
            elif shorter.words:
                yield shorter

    return vocabulary(
        *shortened(words.conventions), exceptions=tuple(shortened(words.exceptions)), whole_words=words.whole_words
    )


@pytest.mark.parametrize("row", [row for row in ROWS if row.table.endswith("LEAVES") and not row.is_exception], ids=str)
@pytest.mark.parametrize("types", [("lab.Block",), ()], ids=["module", "checkpoint"])
def test_a_parameter_with_the_name_of_an_example_gets_the_role(row: Row, types: tuple[str, ...]) -> None:
    assert row.meaning is not None
    names = [name for name in row.convention.matches if name not in PLAIN]
    shape = SHAPES[row.meaning.shape]
    quantized = frozenset({"weight"} if row.table.endswith("QUANTIZED_LEAVES") else ())
    roles = {name: classify_tensor(f"blocks.3.{name}", shape, *types, quantized=quantized).role for name in names}
    assert roles == dict.fromkeys(names, row.meaning.role)


def test_no_name_that_was_listed_has_lost_its_meaning() -> None:
    """A row that goes takes its examples along, but not this list of them."""
    lines = NAMES.read_text(encoding="utf-8").splitlines()
    assert lines == list(listed()), "after a change that is meant: python -m tests.roles.test_conventions"


def test_a_stem_has_no_humps_no_digits_and_no_suffix() -> None:
    names = ("posEmbed1", "cls_token_0", "latents_2d", "LayerNorm2d", "CLSEmbedding", "relPosParam", "x", "_0", "1d")
    assert [stem(name) for name in names] == [
        "pos_embed", "cls_token", "latents", "layer_norm", "cls_embedding", "rel_pos", "x", "", "d",
    ]  # fmt: skip


def test_a_word_is_a_whole_word_unless_it_has_a_star() -> None:
    def matched(word: str, *names: str, whole_words: bool = True) -> list[str]:
        row = Convention(words=(word,), source="", matches=(), near_misses=())
        words = vocabulary(row, whole_words=whole_words)
        return [name for name in names if words.has(name)]

    assert matched("ln", "ln", "ln1", "pre_ln", "xln", "lnx") == ["ln", "ln1", "pre_ln"]
    assert matched("rel_pos*", "rel_position", "a_rel_pos_h", "barrel_pos") == ["rel_position", "a_rel_pos_h"]
    assert matched("^pe$", "pe", "ape", "pe_k", "k_pe") == ["pe"]
    assert matched("*norm*", "layernorm", "normal") == ["layernorm", "normal"]
    assert matched("Norm*Head", "NormHead", "LayerNormHead2d", "HeadNorm", whole_words=False) == [
        "NormHead",
        "LayerNormHead2d",
    ]
    assert matched("Affine$", "Affine2d", "Affine", "AffineX", whole_words=False) == ["Affine2d", "Affine"]


if __name__ == "__main__":
    NAMES.write_text("".join(f"{line}\n" for line in listed()), encoding="utf-8")
