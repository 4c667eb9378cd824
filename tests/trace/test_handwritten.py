"""Use alone classifies the parameters of modules without telling names: each is called `p`, `q` or `r`."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from decay_audit import classify, read
from tests.trace.traced import parameters, roles

C = 6


class Lambda(nn.Module):
    """A module whose forward is a function of an input and its parameters."""

    def __init__(self, forward: Callable[..., Tensor], *shapes: tuple[int, ...]) -> None:
        super().__init__()
        for name, shape in zip("pqr", shapes, strict=False):
            self.register_parameter(name, nn.Parameter(torch.zeros(shape)))
        self.run = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.run(x, *self.parameters())


def layer_norm(x: Tensor, p: Tensor, q: Tensor) -> Tensor:
    mean = x.mean(-1, keepdim=True)
    deviation = (x - mean).pow(2).mean(-1, keepdim=True)
    return (x - mean) / torch.sqrt(deviation + 1e-6) * p + q


def layer_norm_by_std(x: Tensor, p: Tensor, q: Tensor) -> Tensor:
    return p * (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-6) + q


def rms_norm(x: Tensor, p: Tensor) -> Tensor:
    return p * (x * torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-6)).to(x.dtype)


def rms_norm_of_one_plus(x: Tensor, p: Tensor) -> Tensor:
    return x * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + 1e-6) * (1.0 + p.float())


def global_response_norm(x: Tensor, p: Tensor, q: Tensor) -> Tensor:
    length = x.norm(p=2, dim=(1, 2), keepdim=True)
    return x + torch.addcmul(q.view(1, 1, 1, -1), p.view(1, 1, 1, -1), x * (length / (length.mean(-1, True) + 1e-6)))


def batch_norm_by_hand(x: Tensor, p: Tensor, q: Tensor) -> Tensor:
    variance, mean = torch.var_mean(x, dim=(0, 1), keepdim=True)
    scale = p * torch.rsqrt(variance + 1e-5)
    return x * scale + (q - mean * scale)


@pytest.mark.parametrize(
    ("forward", "shapes", "size"),
    [
        (layer_norm, [(C,), (C,)], (2, 5, C)),
        (layer_norm_by_std, [(C,), (C,)], (2, 5, C)),
        (rms_norm, [(C,)], (2, 5, C)),
        (rms_norm_of_one_plus, [(C,)], (2, 5, C)),
        (global_response_norm, [(C,), (C,)], (2, 4, 4, C)),
        (batch_norm_by_hand, [(C,), (C,)], (2, 5, C)),
    ],
)
def test_a_norm_written_by_hand_has_a_norms_gain_and_shift(
    forward: Callable[..., Tensor], shapes: list[tuple[int, ...]], size: tuple[int, ...]
) -> None:
    actual = roles(Lambda(forward, *shapes), size)
    assert list(actual.values()) == ["norm_weight likely", "norm_bias likely"][: len(shapes)]


def test_a_residual_gain_is_not_a_norm_gain() -> None:
    assert roles(Lambda(lambda x, p: x + p * F.gelu(x), (C,)), (2, 5, C)) == {"p": "layer_scale likely"}
    assert roles(Lambda(lambda x, p: x + p.view(-1, 1, 1) * torch.tanh(x), (C,)), (2, C, 4, 4)) == {
        "p": "layer_scale likely"
    }


def test_a_gain_on_data_without_tags_is_only_a_guess() -> None:
    assert roles(Lambda(lambda x, p: torch.sigmoid(x) * p, (C,)), (2, 5, C)) == {"p": "scale guess"}


def test_the_operator_distinguishes_a_matrix_from_a_gain() -> None:
    assert roles(Lambda(lambda x, p: x @ p, (C, 4)), (2, 5, C)) == {"p": "linear_weight certain"}
    assert roles(Lambda(lambda x, p: torch.einsum("btc,dc->btd", x, p), (4, C)), (2, 5, C)) == {
        "p": "linear_weight certain"
    }
    assert roles(Lambda(lambda x, p: torch.einsum("btc,hcd->bhtd", x, p), (3, C, 4)), (2, 5, C)) == {
        "p": "linear_weight certain"
    }
    assert roles(Lambda(lambda x, p: torch.bmm(x.transpose(0, 1), p), (5, C, 4)), (2, 5, C)) == {
        "p": "linear_weight certain"
    }


def test_a_table_that_is_added_to_tokens_is_a_table_of_positions() -> None:
    assert roles(Lambda(lambda x, p: x + p, (1, 5, C)), (2, 5, C)) == {"p": "position_embedding likely"}
    grid = torch.arange(5)
    assert roles(Lambda(lambda x, p: x + F.embedding(grid, p), (9, C)), (2, 5, C)) == {"p": "position_embedding likely"}


def test_a_position_table_that_is_resized_is_a_position_embedding() -> None:
    def forward(x: Tensor, p: Tensor) -> Tensor:
        return x + F.interpolate(p, size=(4, 4), mode="bicubic").flatten(2).transpose(1, 2)

    assert roles(Lambda(forward, (1, C, 7, 7)), (2, 16, C)) == {"p": "position_embedding likely"}


def test_a_table_indexed_by_offset_and_added_to_attention_scores_is_a_relative_bias() -> None:
    offsets = (torch.arange(4)[:, None] - torch.arange(4)[None, :] + 3).flatten()

    def forward(x: Tensor, p: Tensor) -> Tensor:
        bias = p[offsets].view(4, 4, 2).permute(2, 0, 1)
        return (x @ x.transpose(-1, -2) * 0.1 + bias).softmax(-1) @ x

    def fused(x: Tensor, p: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(x, x, x, attn_mask=p[offsets].view(4, 4, 2).permute(2, 0, 1)[None])

    for function in (forward, fused):
        assert roles(Lambda(function, (7, 2)), (3, 2, 4, C)) == {"p": "relative_position_bias likely"}


def test_a_product_that_is_added_to_the_scores_is_only_a_guess_at_a_relative_bias() -> None:
    def forward(x: Tensor, p: Tensor) -> Tensor:
        return (x @ x.transpose(-1, -2) + x @ p.t()).softmax(-1) @ x

    assert roles(Lambda(forward, (4, C)), (3, 4, C)) == {"p": "relative_position_bias guess"}


def test_a_parameter_that_is_concatenated_with_tokens_is_a_token() -> None:
    assert roles(Lambda(lambda x, p: torch.cat([p.expand(2, -1, -1), x], 1), (1, 1, C)), (2, 5, C)) == {
        "p": "token likely"
    }


def test_a_parameter_that_replaces_masked_tokens_is_a_token() -> None:
    def by_where(x: Tensor, p: Tensor) -> Tensor:
        return torch.where(x[..., :1] > 0, p, x)

    def by_product(x: Tensor, p: Tensor) -> Tensor:
        mask = (x[..., :1] > 0).float()
        return x * (1 - mask) + p.expand(2, 5, -1) * mask

    def by_index(x: Tensor, p: Tensor) -> Tensor:
        x[:, 0] = p
        return x

    def in_a_buffer(x: Tensor, p: Tensor) -> Tensor:
        out = torch.zeros(2, 6, C)
        out[:, 0] = p
        out[:, 1:] = x
        return out

    for forward in (by_where, by_product, by_index, in_a_buffer):
        assert roles(Lambda(forward, (C,)), (2, 5, C)) == {"p": "token likely"}, forward.__name__


def test_a_temperature_of_any_shape_is_a_scale() -> None:
    assert roles(Lambda(lambda x, p: x * p, ()), (2, 5)) == {"p": "scale likely"}
    assert roles(Lambda(lambda x, p: x / p.exp().clamp(max=100), (1,)), (2, 5)) == {"p": "scale likely"}

    def by_head(x: Tensor, p: Tensor) -> Tensor:
        return (F.normalize(x, dim=-1) @ F.normalize(x, dim=-1).transpose(-1, -2) * p).softmax(-1)

    assert roles(Lambda(by_head, (2, 1, 1)), (3, 2, 4, C)) == {"p": "scale likely"}


def test_a_convolution_of_a_constant_grid_is_a_convolution() -> None:
    grid = torch.linspace(-1, 1, 2 * 16).view(1, 2, 4, 4)
    actual = roles(Lambda(lambda x, p: x + F.conv2d(grid, p), (C, 2, 1, 1)), (3, C, 4, 4))
    assert actual == {"p": "conv_weight certain"}


def test_layers_that_compute_a_bias_from_a_constant_grid_have_linear_weights() -> None:
    grid = torch.linspace(-1, 1, 32).view(16, 2)

    def forward(x: Tensor, p: Tensor, q: Tensor, r: Tensor) -> Tensor:
        bias = F.linear(F.relu(F.linear(grid, p, q)), r).view(4, 4)
        return (x @ x.transpose(-1, -2) + bias).softmax(-1) @ x

    actual = roles(Lambda(forward, (8, 2), (8,), (1, 8)), (3, 4, C))
    assert actual == {"p": "linear_weight certain", "q": "bias certain", "r": "linear_weight certain"}


def test_a_standardized_kernel_is_a_conv_weight_and_its_gain_a_scale() -> None:
    def forward(x: Tensor, p: Tensor, q: Tensor) -> Tensor:
        weight = F.batch_norm(p.view(1, 4, -1), None, None, training=True).view_as(p)
        return F.conv2d(x, weight * q)

    assert roles(Lambda(forward, (4, 3, 3, 3), (4, 1, 1, 1)), (2, 3, 8, 8)) == {
        "p": "conv_weight certain",
        "q": "scale likely",
    }


def test_a_decay_rate_through_exp_and_neg_belongs_to_a_state_space() -> None:
    assert roles(Lambda(lambda x, p: torch.exp(-torch.exp(p) * x[..., None]), (C, 4)), (2, 5, C)) == {
        "p": "state_space likely"
    }


def test_concatenated_biases_are_biases() -> None:
    def forward(x: Tensor, p: Tensor, q: Tensor, r: Tensor) -> Tensor:
        return F.linear(x, p, torch.cat([q, torch.zeros(C), r]))

    assert roles(Lambda(forward, (3 * C, C), (C,), (C,)), (2, C)) == {
        "p": "linear_weight certain",
        "q": "bias likely",
        "r": "bias likely",
    }


def test_a_table_used_for_words_and_for_logits_is_a_table() -> None:
    ids = torch.zeros(2, 5, dtype=torch.int64)
    actual = roles(Lambda(lambda x, p: F.embedding(x, p) @ p.t(), (9, C)), ids)
    assert actual == {"p": "embedding certain"}


def test_a_learned_query_is_a_token() -> None:
    def forward(x: Tensor, p: Tensor, q: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(F.linear(p, q).expand(2, -1, -1), x, x)

    assert roles(Lambda(forward, (1, 3, C), (C, C)), (2, 5, C)) == {"p": "token likely", "q": "linear_weight likely"}


@pytest.mark.parametrize(
    "forward",
    [
        lambda x, p, q: x @ torch.outer(p, q),
        lambda x, p, q: F.linear(x, q[:, None] * p[None]),
        lambda x, p, q: F.linear(x, torch.ones(5, C) + torch.outer(q, p)),
    ],
)
def test_the_two_vectors_of_a_matrix_of_rank_one_are_its_factors(forward: Callable[..., Tensor]) -> None:
    assert roles(Lambda(forward, (C,), (5,)), (2, C)) == {"p": "linear_weight likely", "q": "linear_weight likely"}


@pytest.mark.parametrize(
    "forward",
    [
        lambda x, p, q: F.linear(x, q * p),
        lambda x, p, q: F.linear(x, q * p / p.norm(dim=1, keepdim=True)),
    ],
)
def test_a_vector_that_scales_a_matrix_is_no_factor_of_it(forward: Callable[..., Tensor]) -> None:
    assert roles(Lambda(forward, (5, C), (5, 1)), (2, C)) == {"p": "linear_weight certain", "q": "scale likely"}


@pytest.mark.parametrize(
    "forward",
    [
        torch.cdist,
        lambda x, p: torch.exp(-torch.cdist(x, p).pow(2)),
        lambda x, p: (x[:, None] - p).pow(2).sum(-1),
    ],
)
def test_entries_whose_distance_is_measured_are_a_table(forward: Callable[..., Tensor]) -> None:
    assert roles(Lambda(forward, (7, C)), (2, C)) == {"p": "embedding likely"}


def test_a_table_that_is_subtracted_from_each_position_is_not_one_of_centres() -> None:
    assert roles(Lambda(lambda x, p: (x - p).relu(), (5, C)), (2, 5, C)) == {"p": "nothing"}


@pytest.mark.parametrize(
    ("forward", "shapes", "size"),
    [
        (lambda x, p, q: torch.einsum("bi,eio->beo", x, p) + q, [(3, C, 8), (3, 8)], (5, C)),
        (lambda x, p, q: torch.einsum("bei,eio->beo", x, p) + q, [(3, C, 8), (3, 8)], (5, 3, C)),
        (lambda x, p, q: x[..., None] * p + q, [(3, 8), (3, 8)], (5, 3)),
    ],
)
def test_one_vector_for_each_of_several_matrices_is_a_bias(
    forward: Callable[..., Tensor], shapes: list[tuple[int, ...]], size: tuple[int, ...]
) -> None:
    assert roles(Lambda(forward, *shapes), size)["q"] == "bias likely"


def test_positions_after_one_matrix_are_no_bias() -> None:
    actual = roles(Lambda(lambda x, p, q: x @ p + q, (C, 8), (5, 8)), (2, 5, C))
    assert actual["q"] == "position_embedding likely"


def test_a_product_with_a_variance_normalizes_nothing() -> None:
    def forward(x: Tensor, p: Tensor) -> Tensor:
        return x * p * (1 + x.var(-1, keepdim=True))

    assert roles(Lambda(forward, (C,)), (2, 5, C)) == {"p": "scale guess"}


def test_a_gain_after_a_norm_and_its_gain_is_a_residual_scale() -> None:
    def forward(x: Tensor, p: Tensor, q: Tensor) -> Tensor:
        return x + q * rms_norm(x, p)

    assert roles(Lambda(forward, (C,), (C,)), (2, 5, C)) == {"p": "norm_weight likely", "q": "layer_scale likely"}


def test_a_product_with_a_one_hot_is_a_lookup() -> None:
    ids = torch.zeros(2, 5, dtype=torch.int64)
    actual = roles(Lambda(lambda x, p: F.one_hot(x, 9).to(p.dtype) @ p, (9, C)), ids)
    assert actual == {"p": "embedding likely"}


def test_a_stack_of_kernels_that_data_mixes_is_only_a_guess() -> None:
    def forward(x: Tensor, p: Tensor) -> Tensor:
        share = x.mean((2, 3)).softmax(-1)
        return F.conv2d(x.view(1, 8, 5, 5), (share @ p).view(8, 4, 3, 3), groups=2)

    assert roles(Lambda(forward, (4, 144)), (2, 4, 5, 5)) == {"p": "conv_weight guess"}


def test_a_product_divided_by_the_statistic_of_other_data_is_not_normalized() -> None:
    def forward(x: Tensor, p: Tensor, q: Tensor) -> Tensor:
        return F.linear(x, p) * torch.rsqrt(x.pow(2).mean(-1, keepdim=True)) * q

    assert roles(Lambda(forward, (4, C), (4,)), (2, 5, C)) == {"p": "linear_weight certain", "q": "scale guess"}


def test_a_bias_that_meets_only_learned_tokens_is_a_bias() -> None:
    def forward(x: Tensor, p: Tensor, q: Tensor, r: Tensor) -> Tensor:
        query = (p @ q + r).expand(2, -1, -1)
        return F.scaled_dot_product_attention(query, x, x)

    assert roles(Lambda(forward, (1, 3, C), (C, C), (C,)), (2, 5, C)) == {
        "p": "token likely",
        "q": "linear_weight likely",
        "r": "bias likely",
    }


def test_a_learned_query_that_goes_through_layers_is_a_token() -> None:
    def forward(x: Tensor, p: Tensor, q: Tensor) -> Tensor:
        query = F.relu(F.layer_norm(p, (C,)) @ q).repeat(2, 1, 1)
        return torch.bmm(query, x.transpose(1, 2)).softmax(-1) @ x + query

    assert roles(Lambda(forward, (3, C), (C, C)), (2, 5, C)) == {"p": "token likely", "q": "linear_weight likely"}


def test_two_factors_of_a_weight_are_matrices() -> None:
    assert roles(Lambda(lambda x, p, q: F.linear(x, p @ q), (4, 2), (2, C)), (2, C)) == {
        "p": "linear_weight likely",
        "q": "linear_weight likely",
    }


def test_a_bias_by_head_is_not_a_table_of_positions() -> None:
    actual = roles(Lambda(lambda x, p, q: (x @ p).view(2, 5, 2, 3) + q, (C, 6), (2, 3)), (2, 5, C))
    assert actual == {"p": "linear_weight certain", "q": "bias guess"}


def test_a_gain_through_a_sigmoid_is_a_gate_and_not_the_gain_of_a_norm() -> None:
    def forward(x: Tensor, p: Tensor) -> Tensor:
        return F.layer_norm(x, (C,)) * torch.sigmoid(p)

    assert roles(Lambda(forward, (C,)), (2, 5, C)) == {"p": "scale guess"}


def test_a_scalar_on_a_residual_is_a_scale() -> None:
    assert roles(Lambda(lambda x, p: x + p * torch.tanh(x), (1,)), (2, 5, C)) == {"p": "scale likely"}


def test_a_gain_before_a_norm_is_not_the_gain_of_the_norm() -> None:
    def forward(x: Tensor, p: Tensor, q: Tensor) -> Tensor:
        return rms_norm(x * p, q)

    assert roles(Lambda(forward, (C,), (C,)), (2, 5, C)) == {"p": "scale guess", "q": "norm_weight likely"}


def test_a_masked_input_is_not_a_mask() -> None:
    def forward(x: Tensor, p: Tensor) -> Tensor:
        return (x * (x[..., :1] > 0).float()) @ p

    assert roles(Lambda(forward, (C, 4)), (2, 5, C)) == {"p": "linear_weight certain"}


def test_the_inverse_of_a_scale_is_not_a_decay_rate() -> None:
    assert roles(Lambda(lambda x, p: (x - 1) * torch.exp(-p), (C,)), (2, 5, C)) == {"p": "scale guess"}


def test_a_bias_table_that_a_constant_matrix_resamples_is_a_relative_bias() -> None:
    pick = torch.eye(7)[:, :4]
    actual = roles(Lambda(lambda x, p: (x @ x.transpose(-1, -2) + p @ pick).softmax(-1) @ x, (4, 7)), (3, 4, C))
    assert actual == {"p": "relative_position_bias likely"}


def test_a_number_per_head_on_normalized_tokens_is_not_the_gain_of_the_norm() -> None:
    def by_head(x: Tensor, p: Tensor) -> Tensor:
        return F.normalize(x, dim=-1) * p

    assert roles(Lambda(by_head, (2, 1, 1)), (3, 2, 4, C)) == {"p": "scale guess"}
    assert roles(Lambda(by_head, (C,)), (3, 2, 4, C)) == {"p": "norm_weight likely"}


def test_an_instance_norm_written_by_hand_has_a_gain_per_channel() -> None:
    def forward(x: Tensor, p: Tensor) -> Tensor:
        return (x - x.mean((2, 3), True)) * torch.rsqrt(x.var((2, 3), keepdim=True) + 1e-5) * p

    assert roles(Lambda(forward, (C, 1, 1)), (2, C, 4, 4)) == {"p": "norm_weight likely"}


def test_two_numbers_that_weight_two_branches_are_scales() -> None:
    def forward(x: Tensor, p: Tensor) -> Tensor:
        return p[0] * F.layer_norm(x, (C,)) + p[1] * x

    assert roles(Lambda(forward, (2,)), (2, 5, C)) == {"p": "scale likely"}


def test_the_gain_of_a_norm_on_learned_tokens_is_not_a_token() -> None:
    def forward(x: Tensor, p: Tensor, q: Tensor, r: Tensor) -> Tensor:
        tokens = rms_norm(p.expand(2, -1, -1), q)
        return torch.cat([x @ r, tokens @ r], 1) + torch.cat([x, tokens], 1)

    actual = roles(Lambda(forward, (1, 3, C), (C,), (C, C)), (2, 5, C))
    assert actual == {"p": "token likely", "q": "scale guess", "r": "linear_weight certain"}


def test_a_product_with_a_constant_may_pick_rows_of_a_table() -> None:
    places = torch.arange(5)[:, None] == torch.arange(9)
    actual = roles(Lambda(lambda x, p: x + places.float() @ p, (9, C)), (2, 5, C))
    assert actual == {"p": "linear_weight guess"}


def test_a_projection_with_a_bias_is_a_linear_weight_also_where_its_product_is_added_to_the_scores() -> None:
    def forward(x: Tensor, p: Tensor, q: Tensor) -> Tensor:
        by_offset = F.linear(x.flatten(0, 1), p, q).view(3, 4, 4)
        return (x @ x.transpose(-1, -2) + by_offset).softmax(-1) @ x

    assert roles(Lambda(forward, (4, C), (4,)), (3, 4, C))["p"] == "linear_weight certain"


def test_a_choice_between_two_products_of_one_table_is_a_product_of_the_table() -> None:
    def forward(x: Tensor, p: Tensor) -> Tensor:
        same, other = (x @ p.t()).unbind(-1)
        chosen = torch.where(torch.eye(4) > 0, same[..., None], other[..., None])
        return (x @ x.transpose(-1, -2) + chosen).softmax(-1) @ x

    assert roles(Lambda(forward, (2, C)), (3, 4, C)) == {"p": "relative_position_bias guess"}


def test_a_product_with_all_rows_of_an_embedding_does_not_make_it_a_matrix() -> None:
    class Soft(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(9, C)

        def forward(self, x: Tensor) -> Tensor:
            return F.relu(x) @ self.table.weight

    assert roles(Soft(), (2, 5, 9)) == {"table.weight": "linear_weight guess"}


@pytest.mark.parametrize(("kind", "states"), [(nn.LSTM, 2), (nn.GRU, 1), (nn.LSTMCell, 2), (nn.GRUCell, 1)])
def test_a_learned_initial_state_of_a_recurrent_layer_is_a_token(
    kind: Callable[[int, int], nn.Module], states: int
) -> None:
    class Started(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = kind(C, 4)
            self.start = nn.ParameterList([nn.Parameter(torch.zeros(2, 4)) for _ in range(states)])

        def forward(self, x: Tensor) -> Tensor:
            start = [state.expand_as(state) for state in self.start]
            if not isinstance(self.layer, nn.RNNCellBase):
                start = [state[None] for state in start]
            return self.layer(x, tuple(start) if len(start) == 2 else start[0])[0]  # type: ignore[no-any-return]

    x = (2, C) if issubclass(kind, nn.RNNCellBase) else (5, 2, C)  # type: ignore[arg-type]
    actual = roles(Started(), x)
    assert {role for name, role in actual.items() if name.startswith("start")} == {"token likely"}
    assert {role for name, role in actual.items() if "weight" in name} == {"recurrent_weight certain"}


def test_a_table_that_data_indexes_is_not_certainly_a_matrix_where_it_is_also_a_factor() -> None:
    def nearest(x: Tensor, p: Tensor) -> Tensor:
        return p[(x @ p.t()).argmax(-1)]

    assert roles(Lambda(nearest, (9, C)), (2, 5, C))["p"].endswith("guess")


def test_a_feature_vector_on_a_product_of_data_is_only_a_guess() -> None:
    def forward(x: Tensor, p: Tensor, q: Tensor) -> Tensor:
        return torch.tanh(x.transpose(1, 2) @ x) * p + q

    actual = roles(Lambda(forward, (C,), (C,)), (2, 5, C))
    assert {role.split()[1] for role in actual.values()} == {"guess"}


def test_a_shift_per_head_after_the_gain_of_a_norm_is_no_table_of_positions() -> None:
    def forward(x: Tensor, p: Tensor, q: Tensor) -> Tensor:
        return F.layer_norm(x, (C,)) * p + q

    assert roles(Lambda(forward, (2, C), (2, C)), (5, 2, C))["q"] == "bias guess"


def test_the_strength_of_added_noise_is_not_a_bias() -> None:
    def forward(x: Tensor, p: Tensor, q: Tensor) -> Tensor:
        return F.conv2d(x, p) + q * torch.randn(2, 1, 4, 4)

    assert roles(Lambda(forward, (4, 3, 1, 1), (1,)), (2, 3, 4, 4))["q"] == "scale guess"


def cross_network(x: Tensor, p: Tensor, q: Tensor) -> Tensor:
    first = state = x.unsqueeze(2)
    for kernel, bias in zip(p, q, strict=True):
        state = first @ torch.tensordot(state, kernel, dims=([1], [0])) + bias + state
    return state


def each_with_its_own_layer(x: Tensor, p: Tensor, q: Tensor) -> Tensor:
    return torch.baddbmm(q, x.expand(len(p), *x.shape), p)


def each_with_its_own_product(x: Tensor, p: Tensor, q: Tensor) -> Tensor:
    return torch.bmm(x.expand(len(p), *x.shape), p) + q


@pytest.mark.parametrize(
    ("forward", "shapes"),
    [
        (cross_network, [(2, C, 1), (2, C, 1)]),
        (each_with_its_own_layer, [(3, C, 8), (3, 1, 8)]),
        (each_with_its_own_product, [(3, C, 8), (3, 1, 8)]),
    ],
)
def test_a_bias_of_several_dimensions_is_what_its_slice_is(
    forward: Callable[..., Tensor], shapes: list[tuple[int, ...]]
) -> None:
    found = roles(Lambda(forward, *shapes), (4, C))
    assert found["p"].startswith("linear_weight")
    assert found["q"].startswith("bias")


@pytest.mark.parametrize(
    ("shape", "role"),
    [
        ((2, 5, 5), "relative_position_bias likely"),
        ((2, 1, 1), "relative_position_bias likely"),
        ((5, 1), "bias guess"),
    ],
)
def test_what_is_added_to_scores_is_relative_if_it_varies_over_pairs_or_heads(
    shape: tuple[int, ...], role: str
) -> None:
    def attention(x: Tensor, p: Tensor) -> Tensor:
        heads = x.view(*x.shape[:2], 2, 3).transpose(1, 2)
        return (heads @ heads.transpose(-1, -2) + p).softmax(-1) @ heads

    assert roles(Lambda(attention, shape), (4, 5, C)) == {"p": role}


def low_rank(x: Tensor, p: Tensor, q: Tensor, r: Tensor) -> Tensor:
    return F.linear(x, p + q @ r)


def low_rank_kernel(x: Tensor, p: Tensor, q: Tensor, r: Tensor) -> Tensor:
    return F.conv2d(x, p + (q @ r).view(4, C, 3, 3))


MATRIX = {"linear_weight", "conv_weight"}


@pytest.mark.parametrize(
    ("forward", "shapes", "size"),
    [
        (low_rank, [(4, C), (4, 2), (2, C)], (5, C)),
        (low_rank_kernel, [(4, C, 3, 3), (4, 2), (2, 9 * C)], (2, C, 8, 8)),
        (lambda x, p, q: x @ (p @ q), [(C, 3), (3, C)], (5, C)),
        (lambda x, p: (x.unsqueeze(-2) * p).sum(-1), [(4, C)], (5, C)),
        (lambda x, p: torch.bmm(x.unsqueeze(1), p[torch.zeros(5, dtype=torch.int64)]), [(3, C, 4)], (5, C)),
    ],
)
def test_what_data_is_multiplied_with_is_computed_from_matrices(
    forward: Callable[..., Tensor], shapes: list[tuple[int, ...]], size: tuple[int, ...]
) -> None:
    answers = roles(Lambda(forward, *shapes), size)
    assert {answer.split()[0] for answer in answers.values()} <= MATRIX
    assert "guess" not in " ".join(answers.values())


def test_a_vector_between_two_factors_is_a_scale() -> None:
    assert (
        roles(Lambda(lambda x, p, q: F.linear(x, q @ torch.diag(p) @ q), (C,), (C, C)), (5, C))["p"] == "scale likely"
    )


@pytest.mark.parametrize("forward", [lambda x, p: x - p, lambda x, p: (x.unsqueeze(1) - p).pow(2).sum(-1)])
def test_what_is_subtracted_is_no_table_of_positions(forward: Callable[..., Tensor]) -> None:
    assert "position" not in str(roles(Lambda(forward, (5, C)), (5, C)))


def test_weights_of_an_average_are_no_matrix() -> None:
    answers = roles(Lambda(lambda x, p: (x * p.softmax(0).view(1, -1, 1)).sum(1), (5,)), (2, 5, C))
    assert "linear_weight" not in answers["p"]


def test_a_kernel_that_pools_squares_is_no_proof_of_a_convolution() -> None:
    def divisive(x: Tensor, p: Tensor, q: Tensor) -> Tensor:
        return x * torch.rsqrt(F.conv2d(x**2, p.view(C, C, 1, 1), q))

    assert set(roles(Lambda(divisive, (C, C), (C,)), (2, C, 4, 4)).values()) == {"conv_weight guess", "bias guess"}


def test_a_vector_that_data_is_multiplied_with_is_a_weight_unless_it_is_called_a_query() -> None:
    class Pool(nn.Module):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.vector = name
            self.register_parameter(name, nn.Parameter(torch.zeros(C)))

        def forward(self, x: Tensor) -> Tensor:
            return torch.softmax(x @ getattr(self, self.vector), 1)

    assert roles(Pool("stuff"), torch.zeros(2, 5, C)) == {"stuff": "linear_weight likely"}
    assert [item.role for item in classify(parameters(Pool("query"), torch.zeros(2, 5, C)))] == ["token"]


def test_a_vector_whose_products_with_data_are_summed_is_a_weight() -> None:
    dot = Lambda(lambda x, p: torch.tanh((x * p).sum(-1, keepdim=True)), (C,))
    average = Lambda(lambda x, p: (x * p.softmax(0)).sum(-1), (C,))
    assert roles(dot, torch.zeros(2, C))["p"] == "linear_weight likely"
    assert not roles(average, torch.zeros(2, C))["p"].startswith("linear_weight")


def radial_basis(x: Tensor, p: Tensor, q: Tensor) -> Tensor:
    return torch.exp(-(x.unsqueeze(1) - p).pow(2).sum(-1) * q)


def mixture_of_densities(x: Tensor, p: Tensor, q: Tensor) -> Tensor:
    return torch.logsumexp(-(x.unsqueeze(1) - p).pow(2).sum(-1) + q.log_softmax(0), -1)


@pytest.mark.parametrize("forward", [radial_basis, mixture_of_densities])
def test_what_meets_distances_is_no_affine_of_a_norm(forward: Callable[..., Tensor]) -> None:
    assert not roles(Lambda(forward, (7, C), (7,)), torch.zeros(2, C))["q"].startswith("norm_")


@pytest.mark.parametrize(
    ("forward", "shape"),
    [
        (lambda x, p: (x.unsqueeze(1) + p).amax(-1), (4, C)),  # a matrix of a max-plus algebra
        (lambda x, p: ((x.unsqueeze(1) - 1).pow(2) / p.exp() + p).sum(-1), (4, C)),  # logarithms of variances
    ],
)
def test_rows_that_all_meet_one_row_of_data_are_not_likely_to_be_positions(
    forward: Callable[..., Tensor], shape: tuple[int, ...]
) -> None:
    assert roles(Lambda(forward, shape), torch.zeros(2, C))["p"] != "position_embedding likely"


def test_positive_numbers_that_scale_a_matrix_of_their_shape_are_a_scale() -> None:
    masked = Lambda(lambda x, p, q: x @ (p * torch.sigmoid(q)), (C, 4), (C, 4))
    hadamard = Lambda(lambda x, p, q: x @ (p * q), (C, 4), (C, 4))
    assert roles(masked, torch.zeros(2, C)) == {"p": "linear_weight likely", "q": "scale likely"}
    assert roles(hadamard, torch.zeros(2, C)) == {"p": "linear_weight likely", "q": "linear_weight likely"}


def test_a_learned_graph_is_no_learned_query() -> None:
    graph = Lambda(lambda x, p, q: (p @ q).softmax(-1) @ x, (5, 3), (3, 5))
    assert roles(graph, torch.zeros(2, 5, C)) == {"p": "linear_weight likely", "q": "linear_weight likely"}


def test_the_length_of_a_weights_rows_is_no_gain_of_a_norm() -> None:
    class Projection(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.v, self.g, self.b = (nn.Parameter(torch.ones(shape)) for shape in ((4, C), (4,), (4,)))

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.linear(x, self.g[:, None] * self.v / self.v.norm(dim=1, keepdim=True), self.b)

    by_trace, by_name = (
        {item.parameter.name: item.role for item in classify(read(Projection(), no_trace=no_trace).parameters)}
        for no_trace in (False, True)
    )
    assert by_trace == {"v": "linear_weight", "g": "scale", "b": "bias"}
    assert by_name["g"] != "norm_weight"


def test_a_constant_that_expands_a_parameter_is_no_factor_of_it() -> None:
    noise = Lambda(lambda x, p: x.sin() + p * torch.randn(2, 1, 4, 4), (3, 1, 1))
    assert roles(noise, torch.zeros(2, 3, 4, 4))["p"] != "bias likely"


def test_a_complex_kernel_of_a_real_signal_is_found_without_an_input() -> None:
    class Spectral(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stuff = nn.Parameter(torch.zeros(3, 4, 5, dtype=torch.complex64))

        def forward(self, x: Tensor) -> Tensor:
            return torch.einsum("bim,iom->bom", torch.fft.rfft(x)[..., :5], self.stuff)

    (found,) = classify(read(Spectral()).parameters)
    assert (found.role, found.confidence) == ("linear_weight", "certain")


def test_use_decides_where_it_contradicts_a_name_but_only_as_a_guess() -> None:
    class Shifted(nn.Module):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.vector = name
            self.register_parameter(name, nn.Parameter(torch.zeros(C)))

        def forward(self, x: Tensor) -> Tensor:
            return torch.tanh(x) + self.get_parameter(self.vector)

    (contradicted,) = classify(parameters(Shifted("static_alpha"), torch.zeros(2, C)))
    (confirmed,) = classify(parameters(Shifted("static_bias"), torch.zeros(2, C)))
    assert (contradicted.role, contradicted.confidence) == ("bias", "guess")
    assert (confirmed.role, confirmed.confidence) == ("bias", "likely")


def test_the_learned_input_of_a_hypernetwork_is_not_what_the_network_makes_of_it() -> None:
    def linear_with_made_weights(x: Tensor, p: Tensor, q: Tensor, r: Tensor) -> Tensor:
        made = F.linear(p, q, r).tanh()[0]
        return F.linear(x, made[: 4 * C].view(4, C), made[4 * C :])

    actual = roles(Lambda(linear_with_made_weights, (1, 3), (4 * C + 4, 3), (4 * C + 4,)), (2, C))
    assert actual["p"] == "token guess"


def test_a_memory_that_attention_compares_and_averages_is_a_table_and_a_tied_decoder_is_a_matrix() -> None:
    memory = Lambda(lambda x, p: (x @ p.t()).softmax(-1) @ p, (9, C))
    decoder = Lambda(lambda x, p: torch.sigmoid(x @ p.t()) @ p, (9, C))
    assert roles(memory, (2, 5, C)) == {"p": "embedding likely"}
    assert roles(decoder, (2, 5, C)) == {"p": "linear_weight certain"}


def test_queries_that_attend_to_data_without_a_projection_are_no_certain_matrix() -> None:
    def attend(x: Tensor, p: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(p.expand(2, -1, -1), x, x)

    assert roles(Lambda(attend, (3, C)), (2, 5, C)) == {"p": "linear_weight guess"}


def test_rows_that_are_subtracted_are_a_table_only_if_the_difference_is_measured() -> None:
    thresholds = Lambda(lambda x, p: torch.sigmoid(x.unsqueeze(1) - p).sum(1), (4, C))
    scaled_distance = Lambda(lambda x, p: ((x.unsqueeze(1) - p) / 3).abs().sum(-1), (4, C))
    assert roles(thresholds, (2, C)) == {"p": "bias guess"}
    assert roles(scaled_distance, (2, C)) == {"p": "embedding likely"}


def test_rows_that_the_models_own_integers_pick_are_likely_and_computed_ones_a_guess() -> None:
    words = Lambda(lambda x, p: p[x + 1].sum(1), (9, C))
    nearest = Lambda(lambda x, p: p[x.argmax(-1)], (9, C))
    assert roles(words, torch.zeros(2, 5, dtype=torch.int64)) == {"p": "embedding likely"}
    assert roles(nearest, (2, 5, C)) == {"p": "embedding guess"}


def test_a_gain_per_head_on_normalized_data_is_a_norms_and_not_the_matrix_of_its_name() -> None:
    class HeadNorm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w2 = nn.Parameter(torch.ones(2, 3))

        def forward(self, x: Tensor) -> Tensor:
            heads = x.view(*x.shape[:-1], 2, 3)
            return heads / (heads.square().mean(-1, keepdim=True) + 1e-6).sqrt() * self.w2

    (found,) = classify(parameters(HeadNorm(), (2, 5, C)))
    assert (found.role, found.confidence) == ("norm_weight", "guess")


def test_a_number_that_scales_a_parameter_is_no_use_of_it() -> None:
    equalized = Lambda(lambda x, p, q: F.linear(x, p * 0.1, q * 0.01), (4, C), (4,))
    assert roles(equalized, (2, C)) == {"p": "linear_weight certain", "q": "bias certain"}
    batched = Lambda(lambda x, p: torch.bmm((p * 0.5).expand(2, -1, -1), x), (3, 5))
    assert roles(batched, (2, 5, C)) == {"p": "linear_weight guess"}


def squared_distance(x: Tensor, p: Tensor) -> Tensor:
    return x.pow(2).sum(1, keepdim=True) + p.pow(2).sum(1) - 2 * x @ p.t()


def kernel_with_a_length(x: Tensor, p: Tensor, q: Tensor) -> Tensor:
    return torch.exp(-torch.cdist(x / F.softplus(q), p / F.softplus(q)))


@pytest.mark.parametrize(
    ("forward", "shapes"), [(squared_distance, [(7, C)]), (kernel_with_a_length, [(7, C), (1, C)])]
)
def test_centres_of_distances_are_a_table_however_the_distance_is_computed(
    forward: Callable[..., Tensor], shapes: list[tuple[int, ...]]
) -> None:
    found = roles(Lambda(forward, *shapes), (2, C))
    assert found["p"] == "embedding likely"
    assert found.get("q", "scale guess") == "scale guess"


def test_what_divides_data_or_decays_it_through_a_sigmoid_is_a_scale() -> None:
    widths = Lambda(lambda x, p: torch.exp(-((x.unsqueeze(1) / p) ** 2).sum(-1)), (4, C))
    leak = Lambda(lambda x, p: torch.tanh(x) + torch.sigmoid(p) * x, (C,))
    assert roles(widths, (2, C)) == {"p": "scale guess"}
    assert roles(leak, (2, C)) == {"p": "scale guess"}


def test_the_coefficients_of_matrices_that_data_picks_are_no_embedding() -> None:
    kinds = torch.zeros(2, dtype=torch.int64)

    def relational(x: Tensor, p: Tensor, q: Tensor) -> Tensor:
        stack = torch.einsum("rb,bio->rio", p, q)
        return torch.bmm(torch.ones(2, 1, C), stack[x]) + 0

    found = roles(Lambda(relational, (3, 2), (2, C, 5)), kinds)
    assert {role.split()[0] for role in found.values()} == {"linear_weight"}


def test_a_threshold_that_cuts_data_off_belongs_to_an_activation() -> None:
    assert roles(Lambda(torch.maximum, (C,)), (2, C)) == {"p": "activation guess"}


def test_a_linear_part_of_a_bilinear_layer_is_no_relative_bias() -> None:
    def bilinear(x: Tensor, p: Tensor, q: Tensor) -> Tensor:
        return torch.einsum("ba,oac,bc->bo", x, p, x) + x @ q

    assert roles(Lambda(bilinear, (3, C, C), (C, 3)), (2, C))["q"] == "linear_weight certain"


@pytest.mark.parametrize(
    ("forward", "shape"),
    [
        (lambda x, p: (torch.exp(-((x.unsqueeze(-1) - p) ** 2)) * 2).sum(-1), (5,)),
        (lambda x, p: torch.exp(-(((x.unsqueeze(1) - p) / 3) ** 2)).sum(-1), (4, C)),
    ],
)
def test_centres_of_basis_functions_of_one_number_are_offsets_and_no_rows_of_a_table(
    forward: Callable[..., Tensor], shape: tuple[int, ...]
) -> None:
    assert roles(Lambda(forward, shape), (2, C)) == {"p": "bias guess"}


@pytest.mark.parametrize(
    "forward",
    [
        lambda x, p: (-((x.unsqueeze(1) - p) ** 2)).sum(-1),
        lambda x, p: torch.linalg.vector_norm(x.unsqueeze(1) - p, dim=-1),
        lambda x, p: ((x.unsqueeze(1) - p) ** 2).mean(-1),
        lambda x, p: ((x.unsqueeze(1) - p) / 2).abs().sum(),
    ],
)
def test_rows_whose_squared_differences_are_summed_are_a_table(forward: Callable[..., Tensor]) -> None:
    assert roles(Lambda(forward, (4, C)), (2, C)) == {"p": "embedding likely"}


def test_a_positive_diagonal_of_a_matrix_is_a_scale_and_its_other_entries_are_a_matrix() -> None:
    def triangular(x: Tensor, p: Tensor, q: Tensor) -> Tensor:
        matrix, (rows, columns), diagonal = torch.zeros(C, C), torch.triu_indices(C, C, 1), torch.arange(C)
        matrix[rows, columns] = p
        matrix[diagonal, diagonal] = F.softplus(q)
        return F.linear(x, matrix)

    actual = roles(Lambda(triangular, (C * (C - 1) // 2,), (C,)), (2, C))
    assert {name: role.split()[0] for name, role in actual.items()} == {"p": "linear_weight", "q": "scale"}


def test_an_embedding_from_which_a_hypernetwork_makes_a_kernel_is_no_factor_of_the_kernel() -> None:
    def hyper(x: Tensor, p: Tensor, q: Tensor, r: Tensor) -> Tensor:
        return F.linear(x, (p @ q + r).view(4, C))

    actual = roles(Lambda(hyper, (3,), (3, 4 * C), (4 * C,)), (2, C))
    assert actual["p"].startswith("token")
    factors = roles(Lambda(lambda x, p, q: F.linear(x, p @ q), (4, 3), (3, C)), (2, C))
    assert set(factors.values()) == {"linear_weight likely"}


def test_cut_offs_from_which_a_filter_is_drawn_are_only_guessed_at() -> None:
    def sinc(x: Tensor, p: Tensor, q: Tensor) -> Tensor:
        low = p.abs() @ torch.linspace(0.1, 1, 5)[None]
        high = (p.abs() + q.abs()) @ torch.linspace(0.1, 1, 5)[None]
        return F.conv1d(x, torch.cat([torch.sin(high) - torch.sin(low), q.abs()], 1).view(4, 1, 6))

    assert {role.split()[1] for role in roles(Lambda(sinc, (4, 1), (4, 1)), (2, 1, 20)).values()} == {"guess"}


def test_one_number_beside_data_is_only_a_guess_at_a_token() -> None:
    def with_time(x: Tensor, p: Tensor) -> Tensor:
        return torch.cat([x, p.expand(2, 1)], -1)

    assert roles(Lambda(with_time, (1,)), (2, C)) == {"p": "token guess"}


def test_a_kernel_that_data_modulates_is_a_kernel_and_one_vector_for_each_feature_is_a_token() -> None:
    def modulated(x: Tensor, p: Tensor, q: Tensor) -> Tensor:
        kernels = p * (x.mean((2, 3)) @ q).view(2, 1, C, 1, 1)
        kernels = kernels * torch.rsqrt(kernels.pow(2).sum((2, 3, 4), keepdim=True) + 1e-8)
        return F.conv2d(x.reshape(1, -1, 8, 8), kernels.reshape(-1, C, 3, 3), groups=2)

    actual = roles(Lambda(modulated, (1, 4, C, 3, 3), (C, C)), (2, C, 8, 8))
    assert actual == {"p": "conv_weight guess", "q": "linear_weight certain"}
    assert roles(Lambda(lambda x, p: (x.unsqueeze(-1) * p).tanh(), (C, 8)), (2, C)) == {"p": "token guess"}


def test_a_filter_that_parameters_make_is_only_a_guess_at_a_token() -> None:
    def moving_average(x: Tensor, p: Tensor, q: Tensor) -> Tensor:
        powers = torch.exp(F.logsigmoid(p).unsqueeze(-1) * torch.arange(5.0))
        kernel = torch.einsum("dnl,dn->dl", powers, q)
        filtered: Tensor = torch.fft.irfft(torch.fft.rfft(x, n=10) * torch.fft.rfft(kernel, n=10), n=10)
        return filtered

    assert roles(Lambda(moving_average, (C, 2), (C, 2)), (3, C, 5))["p"].endswith("guess")


@pytest.mark.parametrize("name", ["x_r", "wide"])
def test_a_guessed_input_has_the_width_of_a_matrix_and_not_the_size_1_of_a_vector(name: str) -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_parameter(name, nn.Parameter(torch.ones((1, 1, C) if name == "x_r" else (C, 1, 3))))
            self.gain = nn.Parameter(torch.ones(C))
            self.matrix = nn.Parameter(torch.ones(C, 4))

        def forward(self, x: Tensor) -> Tensor:
            first = self.get_parameter(name)
            x = x * first if name == "x_r" else F.conv1d(x.transpose(1, 2), first, groups=C).transpose(1, 2)
            return torch.mm((x * self.gain).tanh().flatten(0, 1), self.matrix)

    found = {item.parameter.name: item.role for item in classify(read(Mixed()).parameters)}
    assert (found["gain"], found["matrix"]) == ("scale", "linear_weight")


def test_a_vector_that_one_number_of_data_scales_is_guessed_to_be_a_scale() -> None:
    waves = Lambda(lambda x, p, q: torch.sin(x.unsqueeze(-1) * p + q), (8,), (8,))
    assert roles(waves, (2, C)) == {"p": "scale guess", "q": "bias likely"}


class WavesOfTimes(nn.Module):
    """Takes one number for each item of a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.stuff = nn.Parameter(torch.ones(5))

    def forward(self, x: Tensor) -> Tensor:
        (batch,) = x.shape
        return torch.sin(x.view(batch, 1) * self.stuff)


class NormOfPlaces(nn.Module):
    """Normalizes over both dimensions of an image, with a gain for each place."""

    def __init__(self) -> None:
        super().__init__()
        self.stuff = nn.Parameter(torch.ones(7, 5))

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, _, _ = x.shape
        return F.layer_norm(x.reshape(batch * channels, 7, 5), (7, 5), self.stuff)


class Windows(nn.Module):
    """Takes an image of tokens, whose sides are whole numbers of windows."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(C, C)
        self.stuff = nn.Parameter(torch.zeros(16, 16))

    def forward(self, x: Tensor) -> Tensor:
        batch, height, width, _ = x.shape
        x = self.project(x).view(batch, height // 4, 4, width // 4, 4, C).transpose(2, 3).reshape(-1, 16, C)
        return (x @ x.transpose(1, 2) + self.stuff).softmax(-1) @ x


@pytest.mark.parametrize(
    ("model", "role"),
    [(WavesOfTimes, "scale"), (NormOfPlaces, "norm_weight"), (Windows, "relative_position_bias")],
)
def test_times_images_of_one_channel_and_images_of_tokens_are_tried_without_an_input(
    model: type[nn.Module], role: str
) -> None:
    found = {item.parameter.name: item.role for item in classify(read(model()).parameters)}
    without = {item.parameter.name: item.role for item in classify(read(model(), no_trace=True).parameters)}
    assert (found["stuff"], without["stuff"]) == (role, "unclassified")


def test_a_table_whose_product_is_added_to_the_scores_is_what_its_name_says() -> None:
    class Segments(nn.Module):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.table = name
            self.register_parameter(name, nn.Parameter(torch.zeros(4, C)))

        def forward(self, x: Tensor) -> Tensor:
            return (x @ x.transpose(-1, -2) + x @ self.get_parameter(self.table).t()).softmax(-1) @ x

    (named,) = classify(parameters(Segments("seg_embed"), (3, 4, C)))
    (nameless,) = classify(parameters(Segments("stuff"), (3, 4, C)))
    assert (named.role, named.confidence) == ("embedding", "guess")
    assert (nameless.role, nameless.confidence) == ("relative_position_bias", "guess")
