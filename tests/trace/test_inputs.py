"""What --trace accepts, and the example inputs that are inferred from a model."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from decay_audit.errors import TargetError
from decay_audit.sources.trace import ExampleInputs, make_example_inputs, trace
from decay_audit.sources.trace.example_inputs.size_errors import SIZE_MESSAGES, corrected

NET = nn.Linear(4, 4)


def shapes(model: nn.Module, text: str | None = None, **namespace: Any) -> tuple[list[tuple[int, ...]], dict[str, Any]]:
    result = make_example_inputs(model, text, namespace)
    return [tuple(arg.shape) for arg in result.args], {
        name: (str(value.dtype), tuple(value.shape)) for name, value in result.kwargs.items()
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1x3x224x224", ([(1, 3, 224, 224)], {})),
        ("8", ([(8,)], {})),
        ("input_ids=int64:1x8", ([], {"input_ids": ("torch.int64", (1, 8))})),
        ("1x4, mask=bool:1x4", ([(1, 4)], {"mask": ("torch.bool", (1, 4))})),
        ("torch.zeros(2, size)", ([(2, 3)], {})),
        ("(torch.zeros(2), torch.zeros(3))", ([(2,), (3,)], {})),
        ("dict(x=torch.zeros(2, 1))", ([], {"x": ("torch.float32", (2, 1))})),
    ],
)
def test_a_trace_text_means_shapes_or_an_expression(text: str, expected: Any) -> None:
    assert shapes(NET, text, size=3) == expected


@pytest.mark.parametrize(
    ("text", "culprit"),
    [
        ("1x3x", "1x3x"),
        ("flot32:1x3", "flot32"),
        ("nothing", "nothing"),
        ("'words'", "str"),
        ("", "--trace"),
        ("9" * 30, "size"),
    ],
)
def test_an_error_about_the_trace_text_names_it_and_the_accepted_forms(text: str, culprit: str) -> None:
    with pytest.raises(TargetError) as caught:
        make_example_inputs(NET, text, {})
    assert culprit in caught.value.message
    assert caught.value.hint


def test_a_models_example_input_is_used() -> None:
    model = nn.Linear(4, 4)
    model.example_input_array = torch.zeros(7, 4)
    assert shapes(model) == ([(7, 4)], {})


def test_timms_input_size_is_used() -> None:
    import timm

    assert shapes(timm.create_model("vit_tiny_patch16_384")) == ([(1, 3, 384, 384)], {})


def test_the_inputs_of_transformers_models_follow_their_config() -> None:
    from transformers import CLIPConfig, CLIPModel, T5Config, T5Model, ViTConfig, ViTModel

    with torch.device("meta"):
        t5, vit = T5Model(T5Config(num_layers=1)), ViTModel(ViTConfig(image_size=96, num_hidden_layers=1))
        clip = CLIPModel(CLIPConfig())
    assert shapes(t5)[1].keys() == {"input_ids", "decoder_input_ids"}
    assert shapes(vit)[1] == {"pixel_values": ("torch.float32", (1, 3, 96, 96))}
    assert shapes(clip)[1].keys() == {"input_ids", "pixel_values"}


def test_a_note_names_a_shape_that_was_guessed_from_the_first_layer() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    result = make_example_inputs(net)
    assert tuple(result.args[0].shape) == (1, 3, 224, 224)
    assert "guessed from the first layer" in result.notes[0]


def test_after_a_guess_that_the_model_rejects_the_next_one_is_tried() -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4 * 26 * 26, 2))
    traced = trace(net, make_example_inputs(net))
    assert traced.complete
    assert len(traced.uses) == 4
    assert "1x1x28x28" in traced.notes[0]


def test_a_model_without_declaration_and_known_layer_needs_shapes_from_the_user() -> None:
    class Closed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.p = nn.Parameter(torch.zeros(3))

    with pytest.raises(TargetError, match="input shapes of Closed") as caught:
        make_example_inputs(Closed())
    assert "--trace" in caught.value.hint


def test_an_unknown_kind_of_config_declares_nothing() -> None:
    model = nn.Linear(4, 4)
    model.pretrained_cfg = SimpleNamespace(input_size=None)  # type: ignore[assignment]
    assert shapes(model) == ([(2, 4)], {})


class OneWidth(nn.Module):
    """Declares its inputs as a transformers model does, but accepts one width only."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self.main_input_name = "input_features"
        self.config = SimpleNamespace(num_mel_bins=80)

    def forward(self, input_features: torch.Tensor) -> torch.Tensor:
        return self.layer(input_features)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(320, 4), "1x400x320"),
        (nn.LayerNorm(160), "1x400x160"),
        (nn.Conv1d(32, 4, 3), "1x32x80"),
        (nn.Sequential(nn.Unflatten(-1, (4, -1)), nn.Flatten(2), nn.Linear(160, 4)), "1x400x160"),
    ],
)
def test_a_size_that_a_layer_rejects_is_corrected_and_a_note_says_so(layer: nn.Module, shape: str) -> None:
    model = OneWidth(layer)
    result = trace(model, make_example_inputs(model))
    assert result.complete
    assert result.notes == (f"traced with an input of shape {shape}, which a layer's error message asks for",)


def _patch_embedding() -> nn.Module:
    from timm.layers.patch_embed import PatchEmbed

    module: nn.Module = PatchEmbed(img_size=224, patch_size=16)
    return module


@pytest.mark.parametrize(
    ("make_layer", "shape", "expected"),
    [
        (_patch_embedding, (1, 3, 96, 96), (1, 3, 224, 224)),
        (lambda: nn.Conv2d(32, 4, 3), (1, 3, 96, 96), (1, 32, 96, 96)),
        (lambda: nn.Linear(320, 4), (8, 80), (8, 320)),
        (lambda: nn.LayerNorm(160), (1, 8, 80), (1, 8, 160)),
        (lambda: lambda x: torch.einsum("bsd,de->bse", x, torch.zeros(160, 4)), (2, 8, 80), (2, 8, 160)),
        (lambda: lambda x: x + torch.zeros(160), (1, 8, 80), (1, 8, 160)),
    ],
    ids=[message.library for message in SIZE_MESSAGES],
)
def test_each_message_about_a_size_is_one_that_its_library_raises(
    make_layer: Callable[[], Callable[[torch.Tensor], Any]], shape: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    with FakeTensorMode(), pytest.raises((RuntimeError, AssertionError)) as caught:
        make_layer()(torch.empty(shape))
    corrected_inputs = corrected(ExampleInputs(args=(torch.empty(shape),), inferred=True), str(caught.value))
    assert corrected_inputs is not None
    assert corrected_inputs.args[0].shape == expected


def test_a_size_that_the_user_asked_for_is_not_corrected() -> None:
    model = OneWidth(nn.Linear(320, 4))
    assert not trace(model, make_example_inputs(model, "1x400x80")).complete


def test_further_required_arguments_are_guessed_as_images_or_as_numbers() -> None:
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
            return self.conv(one) + self.conv(other)  # type: ignore[no-any-return]

    class Timed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.time = nn.Conv2d(3, 4, 3), nn.Embedding(9, 4)

        def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            return self.conv(x) + self.time(t)[:, :, None, None]  # type: ignore[no-any-return]

    for model in (Pair(), Timed()):
        result = trace(model, make_example_inputs(model))
        assert result.complete
        assert len(result.uses) == len(list(model.parameters()))


def test_all_modalities_are_tried_if_the_main_input_is_not_enough() -> None:
    from transformers import Blip2QFormerConfig, Blip2QFormerModel, ClapConfig, ClapModel

    with torch.device("meta"):
        models = [ClapModel(ClapConfig()), Blip2QFormerModel(Blip2QFormerConfig())]
    for model in models:
        assert trace(model, make_example_inputs(model)).complete, type(model)


def test_several_images_are_tried_after_every_size_of_one_image_was_rejected() -> None:
    class Sets(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)
            self.main_input_name = "pixel_values"
            self.config = SimpleNamespace(image_size=64)

        def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
            if pixel_values.dim() != 5:
                raise ValueError("expected several images")
            return self.conv(pixel_values.flatten(0, 1))  # type: ignore[no-any-return]

    assert trace(Sets(), make_example_inputs(Sets())).complete


@pytest.mark.parametrize("text", ["1,3,32,32", "(1, 3, 32, 32)", "[1,3,32,32]"])
def test_a_shape_with_commas_is_refused_with_the_right_spelling(text: str) -> None:
    with pytest.raises(TargetError, match="commas between numbers") as error:
        make_example_inputs(nn.Linear(3, 2), text)
    assert error.value.hint.startswith("a shape is written with x: 1x3x32x32")
    assert make_example_inputs(nn.Linear(3, 2), "1x3x32x32").args[0].shape == (1, 3, 32, 32)
