"""Live modules are read as plain parameters; the reference is torch's own `named_parameters()` and modules."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.parameter import is_lazy

from decay_audit.errors import TargetError
from decay_audit.model.inventory import Inventory
from decay_audit.model.parameters import Parameter
from decay_audit.sources.module import read
from tests.menagerie import EMPTY, MENAGERIE
from tests.specimens import ODD_NAMES, Bare, Custom, Declaring, Tied

WITH_PARAMETERS = sorted(MENAGERIE.keys() - EMPTY)
WRAPPED = {
    "data_parallel": "small",
    "compiled": "bare",
    "checkpointed": "small",
    "nested_wrappers": "declaring",
    "averaged": "small",
}


def by_name(inventory: Inventory) -> dict[str, Parameter]:
    return {parameter.name: parameter for parameter in inventory.parameters}


@pytest.mark.parametrize("name", WITH_PARAMETERS)
def test_raw_names_and_their_order_are_those_of_named_parameters(name: str) -> None:
    model = MENAGERIE[name]()
    assert [parameter.raw_name for parameter in read(model).parameters] == [raw for raw, _ in model.named_parameters()]


@pytest.mark.parametrize("name", WITH_PARAMETERS)
def test_totals_are_those_of_torch(name: str) -> None:
    model = MENAGERIE[name]()
    assert sum(parameter.numel for parameter in read(model).parameters) == sum(
        tensor.numel() for tensor in model.parameters() if not is_lazy(tensor)
    )


@pytest.mark.parametrize("name", WITH_PARAMETERS)
def test_each_tensor_is_what_torch_says_it_is(name: str) -> None:
    model = MENAGERIE[name]()
    for parameter, tensor in zip(read(model).parameters, model.parameters(), strict=True):
        assert parameter.lazy == is_lazy(tensor)
        assert parameter.shape == (() if is_lazy(tensor) else tuple(tensor.shape))
        assert f"torch.{parameter.dtype}" == str(tensor.dtype)
        assert parameter.trainable == tensor.requires_grad


@pytest.mark.parametrize("name", sorted(set(WITH_PARAMETERS) - {"scripted", "traced"}))
def test_the_owner_is_the_module_that_holds_the_tensor(name: str) -> None:
    model = MENAGERIE[name]()
    holders: dict[int, nn.Module] = {}
    for module in model.modules():
        for tensor in module._parameters.values():
            holders.setdefault(id(tensor), module)
    for parameter, tensor in zip(read(model).parameters, model.parameters(), strict=True):
        module, types = holders[id(tensor)], parameter.owner.types
        assert types[-1] == "torch.nn.Module"
        assert parameter.owner.type_name == types[0].split(".")[-1]
        assert len(types) == type(module).__mro__.index(nn.Module) + 1
        public = [name.split(".")[2] for name in types if name.count(".") == 2 and name.startswith("torch.nn.")]
        assert all(isinstance(module, getattr(nn, name)) for name in public)
        assert list(parameter.owner.tensors) == [
            key for key, value in (*module._parameters.items(), *module._buffers.items()) if value is not None
        ]


@pytest.mark.parametrize("name", WITH_PARAMETERS)
def test_owners_are_shared_and_chained_up_to_one_root(name: str) -> None:
    parameters = read(MENAGERIE[name]()).parameters
    assert len({parameter.owner.name for parameter in parameters}) == len(
        {id(parameter.owner) for parameter in parameters}
    )
    roots = {id(list(parameter.owner.lineage())[-1]) for parameter in parameters}
    assert len(roots) == 1
    for parameter in parameters:
        assert parameter.name == f"{parameter.owner.name}.{parameter.leaf}".removeprefix(".")
        assert all(below.name.startswith(above.name) for below, above in pairwise(parameter.owner.lineage()))


@pytest.mark.parametrize("name", WITH_PARAMETERS)
def test_no_canonical_name_is_taken_twice(name: str) -> None:
    parameters = read(MENAGERIE[name]()).parameters
    names = [name for parameter in parameters for name in (parameter.name, *parameter.tied_to)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(("wrapped", "plain"), WRAPPED.items())
def test_wrappers_do_not_show_in_canonical_names_owners_and_declarations(wrapped: str, plain: str) -> None:
    def facts(model: nn.Module) -> list[object]:
        return [
            (
                parameter.name,
                parameter.shape,
                parameter.declared_no_decay,
                [owner.types for owner in parameter.owner.lineage()],
            )
            for parameter in read(model).parameters
        ]

    assert facts(MENAGERIE[wrapped]()) == facts(MENAGERIE[plain]())


@pytest.mark.parametrize("name", ["tied", "tied_bare", "shared", "reused"])
def test_tied_names_are_all_the_names_that_torch_has_for_a_tensor(name: str) -> None:
    model = MENAGERIE[name]()
    names: dict[int, list[str]] = {}
    for raw_name, tensor in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(tensor), []).append(raw_name)
    assert [[parameter.name, *parameter.tied_to] for parameter in read(model).parameters] == list(names.values())
    assert any(parameter.tied_to for parameter in read(model).parameters)


def test_modules_shared_at_every_level_do_not_take_exponential_time() -> None:
    inventory = read(MENAGERIE["diamond"]())
    assert len(inventory.parameters) == 2
    assert 200 < len(inventory.parameters[0].tied_to) < 1000
    assert any("not every tied name is listed" in note for note in inventory.notes)


def test_a_module_inside_itself_has_no_further_names() -> None:
    assert [(parameter.name, parameter.tied_to) for parameter in read(MENAGERIE["cyclic"]()).parameters] == [
        ("child.weight", ()),
        ("child.bias", ()),
    ]


def test_declared_names_of_a_set_are_in_the_same_order_in_every_run() -> None:
    model = nn.Linear(2, 2)
    model.no_weight_decay = lambda: {f"name_{index}" for index in range(50)}  # type: ignore[assignment]
    declaration = read(model).parameters[0].owner.declaration
    assert declaration is not None
    assert declaration.names == tuple(sorted(f"name_{index}" for index in range(50)))


def test_a_hook_of_the_model_counts_from_the_module_that_declares_it() -> None:
    declared = {name: parameter.declared_no_decay for name, parameter in by_name(read(Declaring())).items()}
    assert {name: hook for name, hook in declared.items() if hook} == {
        "pos_embed": "no_weight_decay()",
        "trunk.cls_token": "trunk.no_weight_decay()",
        "trunk.pos_embed": "trunk.no_weight_decay()",
        "trunk.logit_scale": "no_weight_decay_keywords()",
        "blocks.0.bias": "no_weight_decay()",
        "blocks.1.weight": "no_weight_decay_patterns()",
        "blocks.1.bias": "no_weight_decay()",
        "blocks.2.bias": "no_weight_decay()",
    }


def test_a_hook_that_raises_is_a_note() -> None:
    inventory = read(MENAGERIE["broken_hook"]())
    assert inventory.notes == ("no_weight_decay() raised KeyError: 'backbone'; it is ignored",)
    assert len(inventory.parameters) == 2


@pytest.mark.parametrize("answer", [{"bias"}, ["bias"], {"bias": 1}, "bias", ("bias", 3)])
def test_a_hook_may_answer_with_any_collection_of_names(answer: object) -> None:
    model = nn.Linear(2, 2)
    model.no_weight_decay = lambda: answer  # type: ignore[assignment]
    assert by_name(read(model))["bias"].declared_no_decay == "no_weight_decay()"
    assert by_name(read(model))["weight"].declared_no_decay is None


def test_attributes_of_a_tensor_are_read_where_they_are_true() -> None:
    parameters = by_name(read(MENAGERIE["flagged"]()))
    assert parameters["A_log"].attributes == ("_no_weight_decay",)
    assert parameters["A_log"].declared_no_decay == "_no_weight_decay"
    assert parameters["D"].attributes == ("_optim",)
    assert parameters["dt_bias"].attributes == ()


def test_a_tensor_as_an_attribute_counts_as_set() -> None:
    model = nn.Linear(2, 2)
    model.weight.mask = torch.zeros(2, 2)  # type: ignore[attr-defined]
    assert by_name(read(model))["weight"].attributes == ("mask",)


def test_a_tensor_subclass_is_never_asked_through_its_own_code(monkeypatch: pytest.MonkeyPatch) -> None:
    model = MENAGERIE["subclassed"]()

    def refuse(cls: type, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise TypeError("asked")

    monkeypatch.setattr(Custom, "__torch_function__", classmethod(refuse))
    assert by_name(read(model))["odd"].shape == (2, 3)


def test_odd_names_come_through_as_they_are() -> None:
    names = by_name(read(MENAGERIE["odd_names"]()))
    assert set(ODD_NAMES) < set(names)
    assert f"module {ODD_NAMES[0]}.weight" in names


def test_settings_are_the_plain_values_of_the_module() -> None:
    settings = by_name(read(nn.Conv2d(4, 8, 3, groups=2)))["weight"].owner.settings
    assert (settings["in_channels"], settings["out_channels"], settings["groups"]) == (4, 8, 2)
    assert "training" not in settings


def test_a_scripted_module_has_the_class_it_was_compiled_from() -> None:
    parameters = by_name(read(MENAGERIE["scripted"]()))
    assert parameters["0.weight"].owner.types[0] == "torch.nn.Conv2d"
    assert parameters["0.weight"].owner.settings["groups"] == 4
    assert parameters["1.weight"].owner.types[0] == "torch.nn.BatchNorm2d"
    assert "running_mean" in parameters["1.weight"].owner.tensors


def test_a_note_says_that_quantized_weights_are_not_parameters() -> None:
    assert read(MENAGERIE["quantized"]()).notes == ("0: quantized weights are packed; no optimizer can update them",)


def test_a_note_names_modules_in_plain_containers() -> None:
    notes = read(MENAGERIE["plain_dicts"]()).notes
    assert len(notes) == 2
    assert notes[0].startswith("heads holds 2 modules in a plain list or dict")
    assert notes[1].startswith("extra holds 1 module in a plain list or dict")


def test_a_note_names_lazy_parameters() -> None:
    (note,) = read(MENAGERIE["lazy"]()).notes
    assert "lazy" in note


@pytest.mark.parametrize("name", sorted(EMPTY))
def test_a_model_without_parameters_is_an_error(name: str) -> None:
    with pytest.raises(TargetError, match="net has no parameters"):
        read(MENAGERIE[name](), target="net")


def test_an_override_that_hides_parameters_is_a_note() -> None:
    class Hiding(Tied):
        def named_parameters(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, nn.Parameter]]:
            return (pair for pair in super().named_parameters(*args, **kwargs) if "norm" not in pair[0])

    inventory = read(Hiding())
    assert [parameter.raw_name for parameter in inventory.parameters] == ["wte.weight", "norm.weight", "norm.bias"]
    assert inventory.notes == ("norm.bias, norm.weight: not listed by the model's own named_parameters()",)


def test_a_parameter_of_the_wrapper_itself_keeps_a_name_of_its_own() -> None:
    wrapper = nn.DataParallel(MENAGERIE["root_bias"]())
    wrapper.register_parameter("bias", nn.Parameter(torch.zeros(5)))
    shapes = {parameter.name: parameter.shape for parameter in read(wrapper).parameters}
    assert sorted(shapes.values()) == [(3,), (3, 2), (5,)]


@pytest.mark.parametrize("make", [Bare, Declaring, Tied])
def test_reading_changes_nothing(make: Callable[[], nn.Module]) -> None:
    model = make()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    read(model)
    after = model.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_thousand_declared_names_are_each_found() -> None:
    class Every(nn.ModuleList):
        def no_weight_decay(self) -> set[str]:
            return {name for name, _ in self.named_parameters() if name.endswith("bias")}

    model = Every(nn.Linear(1, 1) for _ in range(1000))
    declared = [parameter.name for parameter in read(model).parameters if parameter.declared_no_decay]
    assert declared == [name for name, _ in model.named_parameters() if name.endswith("bias")]


@pytest.fixture
def one_process() -> Iterator[None]:
    torch.distributed.init_process_group("gloo", store=torch._C._distributed_c10d.HashStore(), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch was built without torch.distributed")
@pytest.mark.filterwarnings("ignore")
def test_distributed_wrappers_do_not_show_either(one_process: None) -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard

    def facts(model: nn.Module) -> list[object]:
        parameters = read(model).parameters
        assert [parameter.raw_name for parameter in parameters] == [name for name, _ in model.named_parameters()]
        return [
            (parameter.name, parameter.shape, parameter.declared_no_decay, parameter.owner.types)
            for parameter in parameters
        ]

    small, sharded, cpu = MENAGERIE["small"], MENAGERIE["small"](), torch.device("cpu")
    fully_shard(sharded, mesh=init_device_mesh("cpu", (1,)))
    assert facts(sharded) == facts(small())
    assert facts(FullyShardedDataParallel(small(), device_id=cpu, use_orig_params=True)) == facts(small())
    assert facts(nn.parallel.DistributedDataParallel(Declaring())) == facts(Declaring())
