"""Keys of live groups: those that torch raises for, those that it never reads, and those that hurt nobody."""

import pytest
import torch
from torch import nn

import decay_audit
from decay_audit.checks.codes import Finding


class SharingGroups(torch.optim.Optimizer):
    """A wrapper that shares its list of groups with the optimizer inside, but not its defaults (davda54/sam)."""

    def __init__(self, params: object, **settings: float) -> None:
        super().__init__(params, {"rho": 0.05, **settings})  # type: ignore[arg-type]
        self.inside = torch.optim.AdamW(self.param_groups, **settings)  # type: ignore[arg-type]
        self.param_groups = self.inside.param_groups

    def step(self, closure: object = None) -> None:  # type: ignore[override]
        self.inside.step()


def model() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))


def split(net: nn.Module, **more: object) -> list[dict[str, object]]:
    parameters = list(net.parameters())
    return [
        {"params": [parameter for parameter in parameters if parameter.ndim > 1], "weight_decay": 0.1, **more},
        {"params": [parameter for parameter in parameters if parameter.ndim == 1], "weight_decay": 0.0, **more},
    ]


def found(net: nn.Module, optimizer: torch.optim.Optimizer) -> list[Finding]:
    report = decay_audit.audit(net, optimizer, weight_decay=0.1)
    return [finding for finding in report.findings if finding.code in ("DA208", "DA101", "DA102", "DA401")]


def step(net: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    net(torch.ones(1, 4)).sum().backward()
    optimizer.step()


def test_a_group_that_a_wrapper_added_without_the_keys_of_the_inner_class_is_found_and_raises() -> None:
    net = model()
    optimizer = SharingGroups(split(net[0]), lr=1e-3)
    optimizer.add_param_group({"params": list(net[1].parameters())})
    (finding,) = found(net, optimizer)
    assert (finding.code, finding.severity, finding.parameters) == ("DA208", "error", ("1.weight", "1.bias"))
    assert finding.message.startswith("group 2 of SharingGroups(AdamW) lacks betas, eps, weight_decay and ")
    with pytest.raises(KeyError):
        step(net, optimizer)


def test_a_group_that_the_inner_optimizer_added_is_quiet_and_steps() -> None:
    net = model()
    optimizer = SharingGroups(split(net[0]), lr=1e-3)
    optimizer.inside.add_param_group(split(net[1])[0])
    optimizer.inside.add_param_group(split(net[1])[1])
    assert found(net, optimizer) == []
    step(net, optimizer)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "NAdam"])
def test_what_is_said_of_a_lost_key_is_what_torch_does(name: str) -> None:
    kind = getattr(torch.optim, name)
    for key in kind([nn.Parameter(torch.ones(2, 2))], lr=0.1).defaults:
        net = model()
        optimizer = kind(split(net), lr=0.1)
        del optimizer.param_groups[1][key]
        said = [finding.severity for finding in found(net, optimizer) if finding.code == "DA208"]
        if said:
            with pytest.raises(KeyError):
                step(net, optimizer)
        else:
            step(net, optimizer)


def test_a_lost_coefficient_is_not_a_coefficient_of_0() -> None:
    net = model()
    optimizer = torch.optim.AdamW(split(net), lr=1e-3)
    del optimizer.param_groups[0]["weight_decay"]
    assert [finding.code for finding in found(net, optimizer)] == ["DA208"]


@pytest.mark.parametrize("key", ["weight_decay_rate", "wd", "WEIGHT_DECAY", "learning_rate"])
def test_a_setting_under_another_librarys_name_is_found(key: str) -> None:
    net = model()
    (finding,) = found(net, torch.optim.AdamW(split(net, **{key: 0.01}), lr=1e-3))
    assert (finding.code, finding.severity) == ("DA208", "warning")
    assert finding.message == f"both groups of AdamW have the key {key}, which AdamW does not read: it changes nothing"
    assert finding.fix == f"call the key {'lr' if key == 'learning_rate' else 'weight_decay'}"


def test_a_factor_for_a_scheduler_is_a_note_unless_it_is_1() -> None:
    net = model()
    (finding,) = found(net, torch.optim.AdamW(split(net, lr_scale=0.5), lr=1e-3))
    assert (finding.code, finding.severity) == ("DA208", "note")
    assert found(net, torch.optim.AdamW(split(net, lr_scale=1.0), lr=1e-3)) == []


@pytest.mark.parametrize("applied", [True, False])
def test_a_factor_that_code_has_multiplied_into_the_coefficients_is_no_finding(*, applied: bool) -> None:
    net = model()
    first, second = split(net)
    groups = [{**first, "wd_multiplier": 1.0}, {**second, "wd_multiplier": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3)
    if not applied:
        optimizer.param_groups[1]["weight_decay"] = 0.1
    assert [finding.code for finding in found(net, optimizer)] == ([] if applied else ["DA101", "DA208"])


def test_learning_rates_that_contain_their_factor_already_must_not_be_scaled_again() -> None:
    net = model()
    first, second = split(net)
    groups = [{**first, "lr": 5e-4, "lr_scale": 0.5}, {**second, "lr": 1e-3, "lr_scale": 1.0}]
    (finding,) = found(net, torch.optim.AdamW(groups, lr=1e-3))
    assert (finding.severity, "would scale them twice" in finding.message) == ("note", True)
    for group in groups:
        group["lr"] = 1e-3
    (finding,) = found(net, torch.optim.AdamW(groups, lr=1e-3))
    assert finding.fix == "check that the scheduler applies it"


def test_bookkeeping_of_schedulers_and_names_of_groups_are_quiet() -> None:
    net = model()
    optimizer = torch.optim.SGD(split(net, name="a", group_name="b", use_muon=False), lr=0.1, momentum=0.9)
    torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=10)
    torch.optim.swa_utils.SWALR(optimizer, swa_lr=0.05)
    assert found(net, optimizer) == []


def test_a_class_of_ones_own_may_read_any_key() -> None:
    class Mine(torch.optim.SGD):
        def step(self, closure: object = None) -> None:  # type: ignore[override]
            for group in self.param_groups:
                group["lr_mult"]

    net = model()
    assert "DA208" not in [finding.code for finding in found(net, Mine(split(net, lr_mult=2.0), lr=0.1))]
