"""A pattern says exactly the names that it stands for."""

import importlib
import re
from collections.abc import Iterator, Sequence
from itertools import product
from typing import cast

import pytest
import torch
from hypothesis import given, settings, strategies as st

from decay_audit.reports.folding import FoldedRow, ParameterEntry, fold, fold_names, unfolded_rows
from decay_audit.reports.folding.long_lists import TablePatterns, name_long_lists


def unfold(pattern: str) -> list[str]:
    """Read a pattern back; written without a look at how it is made."""
    pieces = re.split(r"\{([^{}]*)\}", pattern)
    choices = [[piece] if index % 2 == 0 else list(_choices(piece)) for index, piece in enumerate(pieces)]
    return ["".join(pieces) for pieces in product(*choices)]


def _choices(inside: str) -> Iterator[str]:
    included, _, excepted = inside.partition(" except ")
    left_out = set(_pieces(excepted)) if excepted else set()
    yield from (name for name in _pieces(included) if name not in left_out)


def _pieces(text: str) -> Iterator[str]:
    for piece in text.split(","):
        if run := re.fullmatch(r"(\d+)-(\d+)", piece):
            yield from map(str, range(int(run[1]), int(run[2]) + 1))
        elif series := re.fullmatch(r"(\d+)\.\.(\d+)/(\d+)", piece):
            yield from map(str, range(int(series[1]), int(series[2]) + 1, int(series[3])))
        else:
            yield piece


def names_of(row: FoldedRow) -> list[str]:
    return [row.pattern] if row.count == 1 else unfold(row.pattern)


leaves = st.sampled_from(["weight", "bias", "gamma", "in_proj_weight", "weight_hh_l0", "weight_ih_l1", "0", "12"])
counters = ["0", "1", "2", "3", "10", "01", "layer1", "layer2", "conv1", "conv2", "conv10", "block_0_a", "block_1_a"]
words = ["layers", "q_proj", "k_proj", "up_proj", "norm", "q_norm", "é", ""]
syntax = ["a-1", "0-1", "{x}", "a,b", "back\\slash", "\uff13"]
parts = st.sampled_from([*counters, *words, *syntax])
names = st.lists(
    st.builds(lambda path, leaf: ".".join([*path, leaf]), st.lists(parts, max_size=5), leaves), unique=True, max_size=60
)


@settings(max_examples=400)
@given(names, st.randoms(use_true_random=False), st.sampled_from([0, 40]))
def test_unfolding_gives_every_name_exactly_once(names: list[str], random: object, screen: int) -> None:
    pick = getattr(random, "choice")  # noqa: B009
    entries = [
        ParameterEntry(
            name=name, shape=pick([(), (4,), (4, 4), (8, 4), (8, 4, 3)]), role=pick("ab"), cells=(pick("xxxy"),)
        )
        for name in names
    ]
    rows = fold(entries, screen)
    given_back = [name for row in rows for name in names_of(row)]
    assert sorted(given_back) == sorted(names)
    assert sum(row.count for row in rows) == len(names)
    by_name = {entry.name: entry for entry in entries}
    for row in rows:
        members = [by_name[name] for name in names_of(row)]
        assert {member.cells for member in members} == {row.cells}
        assert {member.shape for member in members} == set(row.shapes)
        assert len(row.shapes) == len(set(row.shapes))


@given(names)
def test_a_role_stands_for_each_leaf_or_once_for_all(names: list[str]) -> None:
    role = {"weight": "gain", "bias": "shift", "gamma": "gain", "0": "table", "12": "token"}
    entries = [ParameterEntry(name=name, role=role.get(name.rpartition(".")[2], "other")) for name in names]
    by_name = {entry.name: entry.role for entry in entries}
    for row in fold(entries):
        members = names_of(row)
        leaves = list(dict.fromkeys(member.rpartition(".")[2] for member in members))
        assert {by_name[member] for member in members} == set(row.roles)
        if len(row.roles) > 1:
            assert [role.get(leaf, "other") for leaf in leaves] == list(row.roles)


def test_leaves_whose_roles_differ_keep_their_order() -> None:
    (row,) = fold([ParameterEntry(name="a.12", role="token"), ParameterEntry(name="a.0", role="table")])
    assert (row.pattern, row.roles) == ("a.{12,0}", ("token", "table"))


@given(names)
def test_rows_come_in_the_order_of_their_first_name(names: list[str]) -> None:
    firsts = [row.first for row in fold([ParameterEntry(name=name) for name in names])]
    assert firsts == sorted(firsts)


def _tree(path: Sequence[str], shape: dict[str, object]) -> Iterator[str]:
    for part, inside in shape.items():
        if isinstance(inside, dict):
            yield from _tree([*path, part], inside)
        else:
            yield ".".join([*path, part])


def test_a_row_unfolds_in_the_order_of_the_model() -> None:
    norm = {"weight": 1, "bias": 1}
    attention = {f"{name}_proj": {"weight": 1} for name in "qkv"}
    blocks = {str(i): {"ln_1": norm, "attn": attention, "ln_2": norm} for i in range(12)}
    model = list(_tree([], {"encoder": {"layers": blocks}, "decoder": {"layers": blocks}}))
    for row in fold([ParameterEntry(name=name) for name in model]):
        unfolds = names_of(row)
        assert unfolds == sorted(unfolds, key=model.index)


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("torchvision.resnet50", 40),
        ("torchvision.densenet121", 40),
        ("torchvision.mobilenet_v3_large", 60),
        ("torchvision.swin_v2_t", 40),
        ("timm.efficientnet_b0", 60),
        ("timm.beit_base_patch16_224", 40),
        ("transformers.T5", 20),
        ("transformers.DeepseekV3", 30),
    ],
)
def test_a_real_model_fits_on_a_screen_or_two_and_no_name_is_lost(name: str, most: int) -> None:
    model = _model(*name.split("."))
    entries = [ParameterEntry(name=name, shape=tuple(tensor.shape)) for name, tensor in model.named_parameters()]
    rows = fold(entries)
    assert sorted(name for row in rows for name in names_of(row)) == sorted(entry.name for entry in entries)
    assert len(rows) <= most


def _model(library: str, name: str) -> torch.nn.Module:
    with torch.device("meta"):
        if library == "torchvision":
            return cast("torch.nn.Module", importlib.import_module(library).models.get_model(name))
        if library == "timm":
            return cast("torch.nn.Module", importlib.import_module(library).create_model(name))
        transformers = importlib.import_module(library)
        config = getattr(transformers, f"{name}Config")()
        return cast("torch.nn.Module", getattr(transformers, f"{name}Model")(config))


@pytest.mark.parametrize(
    ("names", "patterns"),
    [
        (["layers.0.a.w", "layers.1.a.w", "layers.2.a.w"], ["layers.{0-2}.a.w"]),
        (["layers.0.a.w", "layers.1.a.w", "layers.5.a.w"], ["layers.{0,1,5}.a.w"]),
        ([f"s_{i}.{j}.a.w" for i in (1, 2, 3) for j in (0, 1, 2)], ["s_{1-3}.{0-2}.a.w"]),
        ([f"l.{i}.a.w" for i in (0, 1, 10, 11, 2)], ["l.{0-2,10,11}.a.w"]),  # sorted as text, as some files are
        ([f"l.{i}.a.w" for i in range(3, 400, 4)], ["l.{3,7..399/4}.a.w"]),
        ([f"l.{i}.a.w" for i in range(400) if i % 4 != 3], ["l.{0-398 except 3,7..395/4}.a.w"]),
        ([f"l.{i}.a.w" for i in (0, 2, 4, 7, 8, 9, 20)], ["l.{0,2,4,7-9,20}.a.w"]),
        ([f"l.{i}.a.w" for i in (0, 5, 10, 15, 16, 17)], ["l.{0,5..15/5,16,17}.a.w"]),
        (["0 except 1.w", "2.w"], ["0 except 1.w", "2.w"]),
        (["q_proj.w", "k_proj.w", "v_proj.w"], ["{q,k,v}_proj.w"]),
        (["bn.weight", "bn.bias"], ["bn.{weight,bias}"]),
        (["norm1.w", "norm2.w"], ["norm{1,2}.w"]),
        (["conv9.w", "conv10.w", "conv11.w"], ["conv{9-11}.w"]),
        (["query.w", "key.w"], ["{query,key}.w"]),
        (["norm.w", "q_norm.w"], ["{norm,q_norm}.w"]),
        (["a_.w", "a_b.w"], ["{a_,a_b}.w"]),
        (["layer_01.w", "layer_02.w"], ["layer_{01,02}.w"]),
        (["weight_ih_l0", "weight_hh_l0"], ["weight_{ih,hh}_l0"]),
        (["a{0}.w", "a{1}.w"], ["a{0}.w", "a{1}.w"]),
        (["0-1.w", "2-3.w"], ["0-1.w", "2-3.w"]),
        (["w"], ["w"]),
        ([], []),
    ],
)
def test_names_fold_to(names: list[str], patterns: list[str]) -> None:
    assert list(fold_names(names)) == patterns


def test_the_blocks_of_a_stage_fold_over_sizes_and_stages_do_not_while_there_is_room() -> None:
    def entries(stages: int) -> list[ParameterEntry]:
        return [
            ParameterEntry(
                name=f"stage_{s}.{b}.conv.weight", shape=(64 * 2**s, 32 * 2**s if b == 0 else 64 * 2**s, 3, 3)
            )
            for s in range(stages)
            for b in range(3)
        ]

    assert [(row.pattern, row.shapes) for row in fold(entries(2))] == [
        ("stage_0.{0-2}.conv.weight", ((64, 32, 3, 3), (64, 64, 3, 3))),
        ("stage_1.{0-2}.conv.weight", ((128, 64, 3, 3), (128, 128, 3, 3))),
    ]
    assert [row.pattern for row in fold(entries(50))] == ["stage_{0-49}.{0-2}.conv.weight"]


@pytest.mark.parametrize(
    "other",
    [
        ParameterEntry(name="l.1.a.w", shape=(4,), role="gain", cells=("1e-4",)),
        ParameterEntry(name="l.1.a.w", shape=(4,), role="shift", cells=("-",)),
        ParameterEntry(name="l.1.a.w", shape=(4, 4), role="gain", cells=("-",)),
        ParameterEntry(name="l.1.b.w", shape=(5,), role="gain", cells=("-",)),
    ],
)
def test_rows_that_read_differently_do_not_fold(other: ParameterEntry) -> None:
    assert len(fold([ParameterEntry(name="l.0.a.w", shape=(4,), role="gain", cells=("-",)), other])) == 2


def test_kernels_of_different_sizes_do_not_fold() -> None:
    shapes = [(64, 64, 1, 1), (64, 64, 3, 3)]
    assert len(fold([ParameterEntry(name=f"l.{i}.a.w", shape=shape) for i, shape in enumerate(shapes)])) == 2


def test_unfolded_rows_are_the_names() -> None:
    names = ["a.0.w", "a.{1}.w", "b,c"]
    assert [row.pattern for row in unfolded_rows([ParameterEntry(name=name) for name in names])] == names


def test_names_deeper_than_any_module_are_left_alone_and_do_not_cost_their_depth_for_every_row() -> None:
    deep = [f"{'0.' * 100_000}{leaf}" for leaf in ("w", "v")]
    blocks = [f"{block}.0.w" for block in range(2000)]
    assert fold_names([*deep, *blocks]) == (*deep, "{0-1999}.0.w")


def test_a_sentence_leaves_out_the_middle_of_a_long_list_and_nothing_of_a_short_one() -> None:
    names = [f"p{number**2}" for number in range(60)]
    assert fold_names(names, shorten=True) == ("p{0,1,4,9,16,25,36,49,64,81,...,3481}",)
    assert len(names_of(fold([ParameterEntry(name=name) for name in names])[0])) == 60
    assert fold_names([f"p.{number}" for number in range(300)], shorten=True) == ("p.{0-299}",)


def mixture(layers: int, dense_every: int) -> list[ParameterEntry]:
    """The names of a model with experts, in which some layers are dense."""
    leaves = {True: ["mlp.up.weight"], False: ["mlp.gate.weight", "mlp.experts.0.up.weight"]}
    return [
        ParameterEntry(name=f"layers.{layer}.{leaf}")
        for layer in range(layers)
        for leaf in ["norm.weight", *leaves[layer % dense_every == dense_every - 1]]
    ]


def test_a_list_that_is_too_long_for_a_table_gets_a_name_that_is_explained_by_what_it_leaves_out() -> None:
    names = name_long_lists(fold(mixture(400, 4)))
    assert names.patterns == (
        "layers.{0-399}.norm.weight",
        "layers.{A}.mlp.gate.weight",
        "layers.{A}.mlp.experts.0.up.weight",
        "layers.{3,7..399/4}.mlp.up.weight",
    )
    assert names.meanings == ("{A} is 300 of 400: all but 3,7..399/4",)


def test_lists_at_two_places_have_one_name_only_if_they_leave_out_the_same_numbers() -> None:
    def towers(*sizes: int) -> list[ParameterEntry]:
        return [
            ParameterEntry(name=f"{'ab'[place]}.{entry.name}")
            for place, size in enumerate(sizes)
            for entry in mixture(size, 4)
        ]

    same, other = (name_long_lists(fold(towers(*sizes))) for sizes in ((40, 40), (40, 48)))
    assert same.meanings == ("{A} is 30 of 40: all but 3,7..39/4",)
    assert other.meanings == ("{A} is 30 of 40: all but 3,7..39/4", "{B} is 36 of 48: all but 3,7..47/4")


def test_words_and_numbers_without_order_get_a_name_too_and_short_lists_none() -> None:
    words = ["self_attn_layer_norm", "encoder_attn_layer_norm", "final_norm"]
    names = name_long_lists(fold([ParameterEntry(name=f"{word}.weight") for word in words]))
    assert (names.patterns, names.meanings) == (
        ("{A}_norm.weight",),
        ("{A} is self_attn_layer, encoder_attn_layer, final",),
    )
    squares = name_long_lists(fold([ParameterEntry(name=f"p{number**2}") for number in range(200)]))
    assert squares.patterns == ("p{A}",)
    assert squares.meanings[0].startswith("{A} is 0,1,4,9,")
    assert squares.meanings[0].endswith(",...,39601 (200 numbers)")
    few = [ParameterEntry(name=f"l.{word}.weight") for word in ("q_proj", "k_proj", "v_proj")]
    assert name_long_lists(fold(few)) == TablePatterns(patterns=("l.{q,k,v}_proj.weight",), meanings=())


@pytest.mark.parametrize(("layers", "every"), [(400, 4), (48, 4), (61, 3), (1000, 7), (96, 2)])
def test_no_pattern_of_a_table_is_wide_however_many_layers_there_are(layers: int, every: int) -> None:
    names = name_long_lists(fold(mixture(layers, every)))
    assert len(names.patterns) == 4
    assert max(map(len, names.patterns)) <= 45
