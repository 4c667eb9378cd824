"""How pieces of evidence are weighed, and that an answer depends on nothing but the parameter."""

from hypothesis import given, settings, strategies as st

from decay_audit.model.parameters import Owner, Parameter, Use
from decay_audit.roles import classify
from decay_audit.roles.words import CONFIDENCES
from tests.roles.naming import one

CONVOLUTION = Use(operator="convolution", slot="weight", shape=(8, 4, 3, 3))


def test_certain_use_outranks_the_class() -> None:
    found = one("a.weight", (8, 4, 3, 3), "torch.nn.Linear", uses=(CONVOLUTION,))
    assert (found.role, found.confidence) == ("conv_weight", "certain")
    assert [one.kind for one in found.evidence] == ["usage", "owner"]


def test_use_that_says_nothing_leaves_the_rest_standing() -> None:
    assert one("a.weight", (8, 4), "torch.nn.Linear", uses=()).role == "linear_weight"
    assert one("a.weight", (8, 4), "torch.nn.Linear", uses=(Use(operator="view", slot="self"),)).confidence == "certain"


def test_use_classifies_what_has_no_name() -> None:
    assert one("a.stuff", (8, 4, 3, 3), "lab.Thing", uses=(CONVOLUTION,)).role == "conv_weight"


def test_the_layer_is_what_the_owner_is_also_when_use_decides_the_role() -> None:
    use = Use(operator="mm", slot="mat2", shape=(8, 8))
    found = one("attn.qkv.weight", (8, 8), "torch.nn.Linear", uses=(use,))
    assert (found.role, found.layer, found.evidence[0].kind) == ("linear_weight", "attention", "usage")


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
    beside = draw(st.dictionaries(NAMES, SHAPES, max_size=3))
    root = Owner(types=("lab.Model",))
    parent = draw(
        st.sampled_from([None, root, Owner(name=place.partition(".")[0], types=("lab.Attention",), parent=root)])
    )
    owner = Owner(
        name=place,
        types=draw(TYPES),
        parent=parent if place else None,
        tensors={**beside, leaf: shape},
        settings=draw(st.sampled_from([{}, {"groups": 1, "in_channels": 1}, {"groups": 4, "in_channels": 4}])),
    )
    name = f"{place}.{leaf}" if place else leaf
    uses = draw(st.sampled_from([None, (), (CONVOLUTION,)]))
    return Parameter(name=name, raw_name=name, shape=shape, dtype="float32", owner=owner, uses=uses)


@given(st.lists(parameters(), max_size=20))
@settings(max_examples=100, deadline=None)
def test_company_and_order_change_nothing(given: list[Parameter]) -> None:
    together = classify(given)
    alone = [classify([parameter])[0] for parameter in given]
    assert [(one.parameter, one.role, one.layer, one.confidence, one.evidence) for one in together] == [
        (one.parameter, one.role, one.layer, one.confidence, one.evidence) for one in alone
    ]
    assert [one.parameter for one in classify(given[::-1])] == given[::-1]


@given(parameters())
@settings(max_examples=100, deadline=None)
def test_every_answer_rests_on_its_evidence(parameter: Parameter) -> None:
    found = classify([parameter])[0]
    ranks = [CONFIDENCES.index(one.confidence) for one in found.evidence]
    assert ranks == sorted(ranks)
    assert (found.role == "unclassified") == (found.evidence == ())
    assert found.role == "unclassified" or found.role in {one.role for one in found.evidence}
    assert parameter.owner.types or "owner" not in {one.kind for one in found.evidence}
    assert found.confidence != "certain" or found.evidence[0].kind in {"owner", "usage"}


def test_blocks_that_repeat_share_one_answer() -> None:
    root = Owner()
    owners = [Owner(name=f"blocks.{i}", types=("torch.nn.Linear",), parent=root) for i in range(12)]
    blocks = [Parameter(name=f"{o.name}.weight", raw_name="", shape=(4, 4), dtype="float32", owner=o) for o in owners]
    assert len({id(one.evidence) for one in classify(blocks)}) == 1


def test_a_name_tells_apart_what_an_operator_cannot() -> None:
    """An adapter from any other factor, the gain of a norm by length from a scale, a bias by place from positions."""
    scaled = Use(operator="mul", slot="other", shape=(1,), data_shape=(2, 5, 8))
    assert one("norm.g", (1,), "lab.ScaleNorm", uses=(scaled,)).role == "norm_weight"
    assert one("a.lora_E.default", (8, 1), "torch.nn.ParameterDict", uses=(scaled,)).role == "adapter_weight"
    added = Use(operator="add", slot="other", shape=(5, 8), data_shape=(2, 5, 8))
    assert one("a.bias", (5, 8), "lab.ByPlace", beside={"weight": (5, 4, 8)}, uses=(added,)).role == "bias"
    assert one("a.stuff", (5, 8), "lab.ByPlace", uses=(added,)).role == "position_embedding"


def test_what_else_a_table_flows_into_makes_it_no_finer_kind_of_table() -> None:
    """A vocabulary whose padding is joined to the tokens, or whose entries are added to others, is a vocabulary."""
    looked_up = Use(operator="embedding", slot="weight", shape=(99, 8), data_shape=(2, 5), tags=("indexed by data",))
    joined = Use(operator="cat", slot="tensors", shape=(2, 1, 8), data_shape=(2, 5, 8), via=("embedding",))
    added = Use(operator="add", slot="other", shape=(1, 5, 8), data_shape=(2, 5, 8), via=("embedding",))
    for name in ("shared", "token_type_embeddings"):
        found = one(f"{name}.weight", (99, 8), "torch.nn.Embedding", uses=(looked_up, joined, added))
        assert (found.role, found.confidence) == ("embedding", "certain")
    placed = Use(operator="cat", slot="tensors", shape=(2, 1, 8), data_shape=(2, 5, 8))
    shifted = Use(operator="add", slot="self", shape=(8,), data_shape=(2, 1, 8))
    assert one("cls_token", (1, 1, 8), "lab.Vision", uses=(placed, shifted)).role == "token"
