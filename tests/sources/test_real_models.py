"""Models that people train, named as a user names them; the reference is the library's own model."""

import pytest

from decay_audit.sources.module import build
from decay_audit.sources.target import ModuleTarget, parse

TARGETS = {
    "torchvision.models:resnet18": "meta",
    "torchvision.models.vit_b_16": "meta",
    "torchvision.models:regnet_y_400mf": "streamed",  # its constructor calls .item()
    "timm:create_model('resnet50')": "meta",
    "timm:create_model('vit_tiny_patch16_224')": "meta",
    "timm:create_model('swin_tiny_patch4_window7_224').cuda()": "meta",
    "timm:create_model('convnextv2_atto', pretrained=False)": "meta",
    "timm.models.resnet.resnet26": "meta",
    "transformers:AutoModelForCausalLM.from_config(GPT2Config(n_layer=2))": "meta",
    "transformers:T5ForConditionalGeneration(T5Config(num_layers=1, d_ff=64))": "meta",
    "transformers:MambaForCausalLM(MambaConfig(num_hidden_layers=1))": "meta",
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("text", "device"), TARGETS.items())
def test_a_real_model_is_built_without_its_values_and_read_completely(text: str, device: str) -> None:
    target = parse(text)
    assert isinstance(target, ModuleTarget)
    result = build(target)
    assert result.inventory.built_on == device
    assert result.inventory.notes == ()
    assert [parameter.raw_name for parameter in result.inventory.parameters] == [
        name for name, _ in result.model.named_parameters()
    ]
    assert sum(parameter.numel for parameter in result.inventory.parameters) == sum(
        parameter.numel() for parameter in result.model.parameters()
    )
    assert all(parameter.is_meta for parameter in result.model.parameters())


@pytest.mark.filterwarnings("ignore")
def test_a_meta_build_gives_the_same_parameters_as_a_plain_build() -> None:
    target = parse("transformers:GPT2LMHeadModel(GPT2Config(n_layer=1, n_embd=24, n_head=2, vocab_size=99))")
    assert isinstance(target, ModuleTarget)

    def facts(device: str) -> list[object]:
        result = build(target, device=device)  # type: ignore[arg-type]
        return [
            (
                parameter.name,
                parameter.shape,
                parameter.dtype,
                parameter.trainable,
                parameter.tied_to,
                parameter.declared_no_decay,
                parameter.owner.types,
            )
            for parameter in result.inventory.parameters
        ]

    assert facts("meta") == facts("streamed") == facts("cpu")
