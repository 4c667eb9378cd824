"""The `timm` preset against timm's own function, on a sample of the architectures of timm and torchvision."""

import pytest

from tests.parity.compare import classified, compare
from tests.parity.models import timm, torchvision
from tests.parity.peers import PEERS

pytest.importorskip("timm")

from timm import list_models
from torchvision.models import list_models as list_torchvision

SAMPLE = {
    **{f"timm:{name}": timm(name) for name in list_models()[7::27]},
    **{f"torchvision:{name}": torchvision(name) for name in list_torchvision()[3::12]},
}


def test_the_sample_is_large_enough_to_mean_something() -> None:
    assert len(SAMPLE) >= 60


@pytest.mark.parametrize("name", SAMPLE)
def test_the_preset_equals_timms_own_groups_and_totals_are_right(name: str) -> None:
    model = SAMPLE[name]()
    parameters = classified(model)
    assert sum(classified.parameter.numel for classified in parameters) == sum(
        tensor.numel() for tensor in model.parameters()
    )
    outcome = compare("timm", PEERS["timm"], model, parameters)
    assert (outcome.differences, outcome.crash) == ((), "")
    assert outcome.parameters == len(list(model.parameters()))
