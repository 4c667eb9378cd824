"""The emitted function gives the planned groups before and after compile, DDP, FSDP1 and FSDP2."""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed, nn
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.distributed.fsdp.wrap import ModuleWrapPolicy
from torch.nn.parallel import DistributedDataParallel

import decay_audit
from decay_audit.emit import write_code
from decay_audit.model.choices import CodeStyle

WRAPPER_PARTS = {"module", "_orig_mod", "_fsdp_wrapped_module"}


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4)
        self.lin = nn.Linear(4, 4)
        self.gain = nn.Parameter(torch.ones(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.add(x, self.gain * self.lin(self.norm(x)))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 4))
        self.blocks = nn.ModuleList([Block(), Block()])
        self.head = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.token
        for block in self.blocks:
            x = block(x)
        return torch.mul(self.head(x), 1.0)


def fsdp2(model: nn.Module) -> nn.Module:
    for block in model.get_submodule("blocks").children():
        fully_shard(block)
    fully_shard(model)
    return model


def compiled_blocks(model: nn.Module) -> nn.Module:
    for block in model.get_submodule("blocks").children():
        block.compile(backend="eager")
    return model


WRAPPERS: dict[str, Callable[[nn.Module], Any]] = {
    "compile": lambda model: torch.compile(model, backend="eager"),
    "compiled blocks": compiled_blocks,
    "DDP": DistributedDataParallel,
    "DDP of compile": lambda model: DistributedDataParallel(torch.compile(model, backend="eager")),
    "FSDP1": lambda model: FullyShardedDataParallel(
        model, auto_wrap_policy=ModuleWrapPolicy({Block}), use_orig_params=True, device_id=torch.device("cpu")
    ),
    "FSDP2": fsdp2,
}


@pytest.fixture(scope="module", autouse=True)
def world_of_one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    file: Path = tmp_path_factory.mktemp("world") / "store"
    distributed.init_process_group("gloo", init_method=f"file://{file}", rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def planned() -> dict[str, float]:
    return {decision.name: decision.weight_decay for decision in decay_audit.plan(Net(), weight_decay=0.1).decisions}


def coefficients(code: str, model: nn.Module) -> dict[str, float]:
    """Execute the code, and read the coefficient of each parameter by its name without wrappers."""
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    names = {
        p: ".".join(part for part in name.split(".") if part not in WRAPPER_PARTS)
        for name, p in model.named_parameters()
    }
    groups = namespace["param_groups"](model)
    return {names[p]: group["weight_decay"] for group in groups for p in group["params"]}


@pytest.mark.parametrize("style", ["rule", "names"])
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_the_groups_of_a_wrapped_model_are_those_of_the_plan_and_train(
    wrapper: str, style: CodeStyle, planned: dict[str, float]
) -> None:
    model = Net()
    code = write_code(decay_audit.plan(model, weight_decay=0.1), style=style)
    assert coefficients(code, model) == planned
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = WRAPPERS[wrapper](model)
        assert coefficients(code, wrapped) == planned
        namespace: dict[str, Any] = {}
        exec(code, namespace)
        optimizer = torch.optim.AdamW(namespace["param_groups"](wrapped), lr=1e-3)
        wrapped(torch.randn(3, 4)).square().mean().backward()
        optimizer.step()
    assert coefficients(code, wrapped) == planned


@pytest.mark.parametrize("wrapper", ["DDP", "FSDP1", "FSDP2"])
def test_a_policy_gives_the_groups_of_a_wrapped_model(wrapper: str) -> None:
    model = Net()
    plan = decay_audit.plan(model, "timm", 0.1)
    code = write_code(plan, style="policy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = WRAPPERS[wrapper](model)
    assert coefficients(code, wrapped) == {decision.name: decision.weight_decay for decision in plan.decisions}
