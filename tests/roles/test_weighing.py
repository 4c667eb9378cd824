"""How pieces of evidence are weighed, and that an answer depends on nothing but the parameter."""

from hypothesis import given, settings, strategies as st
from msgspec.structs import replace

from decay_audit.model.parameters import Owner, Parameter, Use
from decay_audit.roles import classify
from decay_audit.roles.words import CONFIDENCES
from tests.roles.naming import classify_tensor

CONVOLUTION = Use(operator="convolution", slot="weight", shape=(8, 4, 3, 3))


def test_certain_use_outranks_the_class() -> None:
    classified = classify_tensor("a.weight", (8, 4, 3, 3), "torch.nn.Linear", uses=(CONVOLUTION,))
    assert (classified.role, classified.confidence) == ("conv_weight", "certain")
    assert [item.kind for item in classified.evidence] == ["usage", "owner"]


def test_what_is_computed_from_a_parameter_is_not_the_parameter() -> None:
    """A slice of a vector of all weights, a gain that was joined to others, a factor."""
    whole = Use(operator="mm", slot="mat2", shape=(8, 8))
    for shape, via, confidence in (
        ((8, 8), (), "certain"),
        ((64,), (), "certain"),
        ((136,), (), "likely"),
        ((4, 8), ("cat",), "likely"),
        ((4, 8), ("mm",), "likely"),
        ((1, 4), ("mm",), "guess"),
    ):
        use = replace(whole, via=via)
        classified = classify_tensor("a.stuff", shape, "lab.Thing", uses=(use,))
        assert (classified.role, classified.confidence) == ("linear_weight", confidence), shape


def test_two_certain_uses_that_differ_make_neither_certain() -> None:
    matrix = Use(operator="mm", slot="mat2", shape=(8, 1))
    gain = Use(operator="native_layer_norm", slot="weight", shape=(8,))
    table = Use(operator="embedding", slot="weight", shape=(9, 8), data_shape=(2,), tags=("indexed by data",))
    head = Use(operator="mm", slot="mat2", shape=(8, 9))
    assert classify_tensor("a.stuff", (8,), "lab.Thing", uses=(matrix, gain)).confidence == "likely"
    assert classify_tensor("a.stuff", (8,), "lab.Thing", uses=(gain,)).confidence == "certain"
    assert classify_tensor("n.weight", (8,), "torch.nn.LayerNorm", uses=(matrix,)).confidence == "likely"
    assert classify_tensor("a.stuff", (9, 8), "lab.Thing", uses=(table, head)).confidence == "certain"


def test_use_that_says_nothing_leaves_the_rest_standing() -> None:
    assert classify_tensor("a.weight", (8, 4), "torch.nn.Linear", uses=()).role == "linear_weight"
    assert (
        classify_tensor("a.weight", (8, 4), "torch.nn.Linear", uses=(Use(operator="view", slot="self"),)).confidence
        == "certain"
    )


def test_use_classifies_what_has_no_name() -> None:
    assert classify_tensor("a.stuff", (8, 4, 3, 3), "lab.Thing", uses=(CONVOLUTION,)).role == "conv_weight"


def test_the_layer_is_what_the_owner_is_also_when_use_decides_the_role() -> None:
    use = Use(operator="mm", slot="mat2", shape=(8, 8))
    classified = classify_tensor("attn.qkv.weight", (8, 8), "torch.nn.Linear", uses=(use,))
    assert (classified.role, classified.layer, classified.evidence[0].kind) == ("linear_weight", "attention", "usage")


NAMES = st.sampled_from(
    ["weight", "bias", "gamma", "cls_token", "pos_embed", "A_log", "original0", "weight_g", "0", "zz"]
)
PARTS = st.sampled_from(
    ["", "blocks.3", "attn.qkv", "norm1", "layer12.norm", "embed.0", "x.parametrizations.weight", "1"]
)
TYPES = st.sampled_from([(), ("torch.nn.Linear",), ("lab.RMSNorm",), ("lab.Thing",), ("torch.nn.ParameterList",)])
SHAPES = st.lists(st.integers(1, 4), max_size=4).map(tuple)


@st.composite
def parameters(draw: st.DrawFn) -> Parameter:
    place, leaf, shape = draw(PARTS), draw(NAMES), draw(SHAPES)
    siblings = draw(st.dictionaries(NAMES, SHAPES, max_size=3))
    root = Owner(types=("lab.Model",))
    parent = draw(
        st.sampled_from([None, root, Owner(name=place.partition(".")[0], types=("lab.Attention",), parent=root)])
    )
    owner = Owner(
        name=place,
        types=draw(TYPES),
        parent=parent if place else None,
        tensors={**siblings, leaf: shape},
        settings=draw(st.sampled_from([{}, {"groups": 1, "in_channels": 1}, {"groups": 4, "in_channels": 4}])),
    )
    name = f"{place}.{leaf}" if place else leaf
    uses = draw(st.sampled_from([None, (), (CONVOLUTION,)]))
    return Parameter(name=name, raw_name=name, shape=shape, dtype="float32", owner=owner, uses=uses)


@given(st.lists(parameters(), max_size=20))
@settings(max_examples=100, deadline=None)
def test_company_and_order_change_nothing(drawn: list[Parameter]) -> None:
    together = classify(drawn)
    alone = [classify([parameter])[0] for parameter in drawn]
    assert [(item.parameter, item.role, item.layer, item.confidence, item.evidence) for item in together] == [
        (item.parameter, item.role, item.layer, item.confidence, item.evidence) for item in alone
    ]
    assert [item.parameter for item in classify(drawn[::-1])] == drawn[::-1]


@given(parameters())
@settings(max_examples=100, deadline=None)
def test_every_answer_rests_on_its_evidence(parameter: Parameter) -> None:
    classified = classify([parameter])[0]
    ranks = [CONFIDENCES.index(item.confidence) for item in classified.evidence]
    assert ranks == sorted(ranks)
    assert (classified.role == "unclassified") == (classified.evidence == ())
    assert classified.role == "unclassified" or classified.role in {item.role for item in classified.evidence}
    assert parameter.owner.types or "owner" not in {item.kind for item in classified.evidence}
    assert classified.confidence != "certain" or classified.evidence[0].kind in {"owner", "usage"}


def test_blocks_that_repeat_share_one_answer() -> None:
    root = Owner()
    owners = [Owner(name=f"blocks.{i}", types=("torch.nn.Linear",), parent=root) for i in range(12)]
    blocks = [Parameter(name=f"{o.name}.weight", raw_name="", shape=(4, 4), dtype="float32", owner=o) for o in owners]
    assert len({id(item.evidence) for item in classify(blocks)}) == 1


def test_a_name_tells_apart_what_an_operator_cannot() -> None:
    """An adapter from any other factor, the gain of a norm by length from a scale, a bias by place from positions."""
    scaled = Use(operator="mul", slot="other", shape=(1,), data_shape=(2, 5, 8))
    assert classify_tensor("norm.g", (1,), "lab.ScaleNorm", uses=(scaled,)).role == "norm_weight"
    assert (
        classify_tensor("a.lora_E.default", (8, 1), "torch.nn.ParameterDict", uses=(scaled,)).role == "adapter_weight"
    )
    added = Use(operator="add", slot="other", shape=(5, 8), data_shape=(2, 5, 8))
    assert (
        classify_tensor("a.bias", (5, 8), "lab.ByPlace", siblings={"weight": (5, 4, 8)}, uses=(added,)).role == "bias"
    )
    assert classify_tensor("a.stuff", (5, 8), "lab.ByPlace", uses=(added,)).role == "position_embedding"


def test_what_else_a_table_flows_into_makes_it_no_finer_kind_of_table() -> None:
    """A vocabulary whose padding is joined to the tokens, or whose entries are added to others, is a vocabulary."""
    looked_up = Use(operator="embedding", slot="weight", shape=(99, 8), data_shape=(2, 5), tags=("indexed by data",))
    joined = Use(operator="cat", slot="tensors", shape=(2, 1, 8), data_shape=(2, 5, 8), via=("embedding",))
    added = Use(operator="add", slot="other", shape=(1, 5, 8), data_shape=(2, 5, 8), via=("embedding",))
    for name in ("shared", "token_type_embeddings"):
        classified = classify_tensor(f"{name}.weight", (99, 8), "torch.nn.Embedding", uses=(looked_up, joined, added))
        assert (classified.role, classified.confidence) == ("embedding", "certain")
    placed = Use(operator="cat", slot="tensors", shape=(2, 1, 8), data_shape=(2, 5, 8))
    shifted = Use(operator="add", slot="self", shape=(8,), data_shape=(2, 1, 8))
    assert classify_tensor("cls_token", (1, 1, 8), "lab.Vision", uses=(placed, shifted)).role == "token"


def test_a_vector_on_the_diagonal_of_a_factor_only_scales() -> None:
    use = Use(operator="mm", slot="mat2", shape=(8, 8), via=("diag_embed",))
    classified = classify_tensor("a.stuff", (8,), "lab.Thing", uses=(use,))
    assert (classified.role, classified.confidence) == ("scale", "likely")


def test_a_parameter_that_is_joined_to_data_as_a_whole_is_a_token_whatever_table_it_is_called() -> None:
    joined = Use(operator="cat", slot="tensors", shape=(2, 8), data_shape=(2, 8))
    looked_up = Use(operator="embedding", slot="weight", shape=(9, 8), data_shape=(2,), tags=("indexed by data",))
    for name in ("hidden_embed", "prompt_embeddings", "theta"):
        assert classify_tensor(name, (2, 8), "lab.Vision", uses=(joined,)).role == "token"
    assert classify_tensor("hidden_embed", (9, 8), "lab.Vision", uses=(joined, looked_up)).role == "embedding"
