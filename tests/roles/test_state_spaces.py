"""State spaces and RWKV under the names of their papers: what siblings and classes tell of one-letter names."""

import pytest

from tests.roles.naming import classify_tensor

S5 = {"Lambda": (4,), "B": (4, 8), "C": (8, 4), "D": (8,), "log_step": (4,)}
S4 = {"log_dt": (8,), "A_real": (8, 4), "A_imag": (8, 4), "B": (8, 4), "C": (1, 8, 4), "P": (1, 8, 4)}
LRU = {"nu_log": (4,), "theta_log": (4,), "gamma_log": (4,), "B_re": (4, 4), "B_im": (4, 4), "D": (4, 4)}
SQUARE = {"A": (8, 8), "B": (8, 8), "C": (8, 8), "D": (8, 8)}
BOTH_WAYS = {"Lambda_re": (4,), "Lambda_im": (4,), "B": (4, 8, 2), "C1": (8, 4, 2), "C2": (8, 4, 2), "D": (8,)}
TILDE = {"Lambda": (4,), "B": (4, 8), "C_tilde": (8, 4, 2), "D": (8,), "log_step": (4,)}


@pytest.mark.parametrize("types", [("lab.Layer",), ()], ids=["module", "checkpoint"])
@pytest.mark.parametrize("tensors", [S5, S4, LRU, SQUARE, BOTH_WAYS, TILDE], ids="-".join)
def test_every_tensor_beside_eigenvalues_or_step_sizes_is_of_the_state_space(
    tensors: dict[str, tuple[int, ...]], types: tuple[str, ...]
) -> None:
    roles = {
        name: classify_tensor(f"s.{name}", shape, *types, siblings=tensors).role for name, shape in tensors.items()
    }
    assert roles == dict.fromkeys(tensors, "state_space")


def test_the_class_tells_where_a_kernel_module_holds_the_eigenvalues() -> None:
    assert classify_tensor("s.D", (8,), "lab.S4D").role == "state_space"
    assert classify_tensor("s.D", (8,), "lab.Mixer").role == "unclassified"


@pytest.mark.parametrize("types", [("lab.Layer",), ()], ids=["module", "checkpoint"])
def test_letters_without_a_state_space_are_none(types: tuple[str, ...]) -> None:
    factors = {"A": (4, 8), "B": (8, 4)}
    assert {classify_tensor(f"l.{name}", shape, *types, siblings=factors).role for name, shape in factors.items()} == {
        "unclassified"
    }
    layer = {"W": (8, 4), "b": (8,)}
    assert classify_tensor("l.b", (8,), *types, siblings=layer).role == "bias"
    assert classify_tensor("l.b", (8, 4), *types).role == "unclassified"  # a bias is wide in one dimension
    assert classify_tensor("l.log_step", (4,), *types).role == "scale"
    assert classify_tensor("l.dt_proj_bias", (4,), *types, siblings=S5).role == "bias"


def test_time_mixing_of_rwkv_is_of_a_state_space_but_for_its_matrices() -> None:
    tensors = {
        **dict.fromkeys(("x_r", "x_w", "x_k", "x_v", "x_a", "x_g", "w0", "a0", "v0", "k_k", "k_a"), (1, 1, 8)),
        "r_k": (2, 4),
    }
    matrices = {"w1": (8, 4), "w2": (4, 8), "g1": (8, 4)}
    for types in (("lab.TimeMix",), ()):
        for name, shape in tensors.items():
            found = classify_tensor(f"att.{name}", shape, *types, siblings={**tensors, **matrices})
            assert found.role == "state_space", name
        assert classify_tensor("att.w1", (8, 4), *types, siblings=tensors).role == "linear_weight"
        assert classify_tensor("att.x_k", (8, 8), *types).role == "unclassified"
        assert classify_tensor("att.w0", (1, 1, 8), *types, siblings=matrices).role == "unclassified"


def test_weight_normalization_splits_a_weight_and_not_two_vectors_of_one_shape() -> None:
    split = {"kernel_g": (8, 1), "kernel_v": (8, 4)}
    assert classify_tensor("a.kernel_g", (8, 1), "lab.Layer", siblings=split).role == "scale"
    assert classify_tensor("a.kernel_v", (8, 4), "lab.Layer", siblings=split).role == "linear_weight"


def test_the_factors_of_rwkvs_low_rank_matrices_are_matrices_beside_a_token_shift() -> None:
    names = ("w1", "w2", "a1", "a2", "v1", "v2", "g1", "g2")
    for types in (("m.Tmix",), ()):
        answers = {
            name: classify_tensor(f"att.{name}", (64, 32), *types, siblings={"x_r": (1, 1, 64)}) for name in names
        }
        assert {answer.role for answer in answers.values()} == {"linear_weight"}
    assert classify_tensor("att.a1", (64, 32)).role == "unclassified"
