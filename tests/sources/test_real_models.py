"""Models that people train, named as a user names them; the oracle is the library's own model."""

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
@pytest.mark.parametrize(("text", "stage"), TARGETS.items())
def test_a_real_model_is_built_without_its_numbers_and_read_whole(text: str, stage: str) -> None:
    target = parse(text)
    assert isinstance(target, ModuleTarget)
    one = build(target)
    assert one.inventory.built_on == stage
    assert one.inventory.notes == ()
    assert [each.raw_name for each in one.inventory.parameters] == [name for name, _ in one.model.named_parameters()]
    assert sum(each.numel for each in one.inventory.parameters) == sum(each.numel() for each in one.model.parameters())
    assert all(each.is_meta for each in one.model.parameters())


@pytest.mark.filterwarnings("ignore")
def test_what_a_meta_build_says_is_what_a_plain_build_says() -> None:
    target = parse("transformers:GPT2LMHeadModel(GPT2Config(n_layer=1, n_embd=24, n_head=2, vocab_size=99))")
    assert isinstance(target, ModuleTarget)

    def facts(device: str) -> list[object]:
        one = build(target, device=device)  # type: ignore[arg-type]
        return [
            (each.name, each.shape, each.dtype, each.trainable, each.tied_to, each.declared_no_decay, each.owner.types)
            for each in one.inventory.parameters
        ]

    assert facts("meta") == facts("streamed") == facts("cpu")
