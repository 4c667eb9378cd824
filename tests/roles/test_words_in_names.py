"""Words within words, words that outrank others, and names that no word explains."""

from decay_audit.model.parameters import Owner, Parameter
from decay_audit.roles import classify
from tests.roles.naming import classify_tensor

ADAPTER = ("peft.tuners.unheard_of.layer.Layer", "peft.tuners.tuners_utils.BaseTunerLayer", "torch.nn.Module")


def test_a_vector_in_a_checkpoint_that_no_word_explains_is_unclassified() -> None:
    """Flat matrices of equivariant networks are vectors; they decay, and a norm's gain would not."""
    for name in ("interactions.0.linear_up.weight", "products.0.weight", "blocks.0.2.weight"):
        assert classify_tensor(name, (64,)).role == "unclassified"
    assert classify_tensor("blocks.0.norm.weight", (64,)).role == "norm_weight"
    assert classify_tensor("blocks.0.2.weight", (64,), siblings={"bias": (64,)}).role == "norm_weight"
    assert classify_tensor("blocks.0.2.bias", (8,), siblings={"weight": (64,)}).role == "bias"


def test_a_word_for_a_gain_outranks_the_suffix_base() -> None:
    for types in (("lab.Thing",), ()):
        assert classify_tensor("x.scale_base", (8,), *types).role == "scale"
        assert classify_tensor("x.base", (8,), *types).role == "bias"


def test_a_matrix_of_a_projection_is_no_query() -> None:
    for types in (("lab.Attention",), ()):
        assert classify_tensor("x.W_Query", (8, 8), *types).role == "linear_weight"
        assert classify_tensor("x.latent_query", (8, 8), *types).role == "token"


def test_a_class_called_linear_or_conv_comes_before_the_words_for_tables() -> None:
    for name in ("PositionLinear", "EmbedConv2d"):
        assert classify_tensor("position_embedding.weight", (8, 8), f"lab.{name}").role in {
            "linear_weight",
            "conv_weight",
        }
    assert classify_tensor("position_embedding.weight", (8, 8), "lab.Table").role == "position_embedding"


def test_fourier_makes_positions_only_of_tables() -> None:
    assert classify_tensor("x.weight", (8, 8, 4), "lab.FourierLayer").role == "linear_weight"
    assert classify_tensor("x.weight", (8,), "lab.GaussianFourierProjection").role == "position_embedding"


def test_several_matrices_are_matrices() -> None:
    for types in (("lab.Thing",), ()):
        for name in ("kernels", "matrices", "filters", "coeffs", "factors"):
            assert classify_tensor(f"x.{name}", (2, 8, 8), *types).role == "linear_weight", name
        assert classify_tensor("x.factors", (8,), *types).role == "scale"


def test_a_module_called_weight_names_its_tensors() -> None:
    for types in (("lab.Factorized",), ()):
        assert classify_tensor("conv.weight.core", (4, 4, 4), *types).role == "linear_weight"
        assert classify_tensor("conv.other.core", (4, 4, 4), *types).role == "unclassified"


def test_whatever_stands_beside_the_layer_that_an_adapter_wraps_adapts_it() -> None:
    layer = Owner(name="q", types=ADAPTER, parent=Owner())
    inside = Owner(name="q.some_dict", types=("torch.nn.ParameterDict",), parent=layer)
    base = Owner(name="q.base_layer", types=("torch.nn.Linear",), parent=layer, tensors={"weight": (8, 8)})
    roles = [
        classify([Parameter(name=name, raw_name=name, shape=(8, 8), dtype="float32", owner=owner)])[0].role
        for name, owner in (("q.some_dict.default", inside), ("q.own", layer), ("q.base_layer.weight", base))
    ]
    assert roles == ["adapter_weight", "adapter_weight", "linear_weight"]
