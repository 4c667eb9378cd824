"""What factories return, and what the optimizers in it hold."""

from typing import Any

import numpy
import pytest
import torch
from timm.optim.lookahead import Lookahead as TimmLookahead
from torch import nn
from torch.optim import SGD, Adam, AdamW

from decay_audit.errors import OptimizerError
from decay_audit.optimizers.find import find
from decay_audit.optimizers.live import LiveOptimizers, observe
from decay_audit.optimizers.watch_construction import watch


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))


def names(model: nn.Module) -> dict[int, str]:
    return {id(parameter): name for name, parameter in model.named_parameters()}


def read(optimizer: object, model: nn.Module) -> LiveOptimizers:
    return observe(find(optimizer), names(model))


Lookahead: Any = TimmLookahead


class PlainWrapper:
    """A wrapper that does not derive from torch's Optimizer, as Apex's LARC."""

    def __init__(self, inside: torch.optim.Optimizer) -> None:
        self.optim = inside

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return self.optim.param_groups

    def step(self) -> None:
        raise AssertionError("reading does not step")


class Trainer:
    """A trainer that makes its optimizer when asked, as transformers' does."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.optimizer: torch.optim.Optimizer | None = None

    def create_optimizer(self) -> torch.optim.Optimizer:
        self.optimizer = AdamW(self.model.parameters(), weight_decay=0.3)
        return self.optimizer


class Container:
    """One optimizer for each part, kept in a list, as in torchtitan."""

    def __init__(self, parts: list[torch.optim.Optimizer]) -> None:
        self.optimizers = parts
        self.param_groups = [{"params": [], "weight_decay": 9.0}]

    def step(self) -> None:
        raise AssertionError("reading does not step")


def test_every_form_that_a_factory_may_return_is_understood() -> None:
    model = net()
    sgd, adamw = SGD(model[0].parameters(), lr=0.1), AdamW(model[1].parameters())
    scheduler = torch.optim.lr_scheduler.StepLR(sgd, 1)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(adamw)
    forms: list[tuple[object, list[str]]] = [
        (sgd, ["optimizer"]),
        ([sgd], ["optimizer"]),
        ((sgd, adamw), ["optimizer[0]", "optimizer[1]"]),
        (([sgd], [scheduler]), ["optimizer"]),
        (([sgd, adamw], [scheduler, plateau]), ["optimizer[0]", "optimizer[1]"]),
        ({"optimizer": sgd, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}, ["optimizer"]),
        ([{"optimizer": sgd}, {"optimizer": adamw, "lr_scheduler": plateau}], ["optimizer[0]", "optimizer[1]"]),
        ({"muon": sgd, "adamw": adamw}, ["muon", "adamw"]),
        ((sgd, sgd), ["optimizer"]),
        (Trainer(model), ["optimizer"]),
        (Container([sgd, adamw]), ["optimizer[0]", "optimizer[1]"]),
        (PlainWrapper(sgd), ["optimizer"]),
    ]
    for form, expected in forms:
        assert [name for name, _ in find(form)] == expected


@pytest.mark.parametrize(
    ("value", "description"),
    [
        (None, "None, not an optimizer"),
        ([], "an empty list, not an optimizer"),
        ({}, "an empty dict, not an optimizer"),
        (3, "an int, not an optimizer"),
        (net(), "a Sequential, not an optimizer"),
        ("adamw", "a str, not an optimizer"),
        ((None, None), "a tuple without an optimizer in it"),
    ],
)
def test_a_value_without_an_optimizer_is_refused_by_its_type(value: object, description: str) -> None:
    with pytest.raises(OptimizerError) as caught:
        find(value, source="make_it() returned")
    assert caught.value.message == f"make_it() returned {description}"
    assert caught.value.hint.startswith("accepted: an optimizer; a list, tuple or dict of optimizers")


def test_a_scheduler_alone_is_no_optimizer() -> None:
    with pytest.raises(OptimizerError):
        find(torch.optim.lr_scheduler.StepLR(SGD(net().parameters(), lr=0.1), 1))


def test_a_trainer_that_cannot_make_its_optimizer_says_why() -> None:
    class Broken(Trainer):
        def create_optimizer(self) -> torch.optim.Optimizer:
            raise RuntimeError("no such optimizer: adamax9000")

    with pytest.raises(OptimizerError, match="adamax9000"):
        find(Broken(net()))


def test_groups_are_read_by_canonical_names() -> None:
    model = net()
    groups = [{"params": [model[0].weight], "weight_decay": 0.1}, {"params": [model[0].bias], "weight_decay": 0.0}]
    live = read(AdamW(groups, lr=torch.tensor(0.5)), model)
    assert [group.parameters for group in live.optimizers[0].groups] == [("0.weight",), ("0.bias",)]
    assert [
        (observation.parameter, observation.weight_decay, observation.lr, observation.group)
        for observation in live.observations
    ] == [
        ("0.weight", 0.1, 0.5, 0),
        ("0.bias", 0.0, 0.5, 1),
    ]


def test_foreign_tensors_and_empty_groups_are_read_as_such() -> None:
    model, other = net(), net()
    groups_given: list[dict[str, Any]] = [{"params": [model[0].weight, other[0].weight]}, {"params": []}]
    optimizer = AdamW(groups_given)
    groups = read(optimizer, model).optimizers[0].groups
    assert groups[0].parameters == ("0.weight", "")
    assert groups[0].foreign_tensors == ("float32 4x3",)
    assert groups[1].parameters == ()


def test_a_wrapper_in_the_table_has_the_semantics_of_what_it_wraps() -> None:
    model = net()
    for inside, semantics in ((SGD(model.parameters(), lr=0.1), "coupled"), (AdamW(model.parameters()), "decoupled")):
        optimizer = read(Lookahead(inside), model).optimizers[0]
        assert (optimizer.type, optimizer.semantics) == (f"Lookahead({type(inside).__name__})", semantics)
        assert read(Lookahead(Lookahead(inside)), model).optimizers[0].semantics == semantics


def test_a_wrapper_that_is_not_in_the_table_has_unknown_semantics() -> None:
    model = net()
    live = read(PlainWrapper(SGD(model.parameters(), lr=0.1, weight_decay=0.1)), model)
    assert (live.optimizers[0].type, live.optimizers[0].semantics) == ("PlainWrapper(SGD)", "unknown")
    assert {observation.declared_rate for observation in live.observations} == {None}


def test_a_default_inside_a_wrapper_is_a_default_too() -> None:
    model = net()
    with watch() as log:
        built = [Lookahead(AdamW(model.parameters())), Lookahead(AdamW(model.parameters(), weight_decay=0.01))]
    optimizers = find(built)
    watched = observe(optimizers, names(model), log).optimizers
    assert [optimizer.groups[0].weight_decay_is_default for optimizer in watched] == [True, False]
    assert [
        optimizer.groups[0].weight_decay_is_default for optimizer in observe(optimizers, names(model)).optimizers
    ] == [
        None,
        None,
    ]


def test_a_subclass_that_does_not_override_step_has_the_semantics_of_its_base() -> None:
    class Renamed(AdamW):
        pass

    assert read(Renamed(net().parameters()), net()).optimizers[0].semantics == "decoupled"


def test_a_subclass_that_overrides_step_has_unknown_semantics() -> None:
    class Mine(AdamW):
        def step(self, closure: object = None) -> None:  # type: ignore[override]
            raise NotImplementedError

    Mine(net().parameters())
    assert read(Mine(net().parameters()), net()).optimizers[0].semantics == "unknown"


def test_groups_that_differ_in_the_switch_are_noted() -> None:
    model = net()
    groups = [
        {"params": model[0].parameters(), "decoupled_weight_decay": True},
        {"params": model[1].parameters(), "decoupled_weight_decay": False},
    ]
    optimizer = read(Adam(groups, weight_decay=0.1), model).optimizers[0]
    assert optimizer.semantics == "unknown"
    assert optimizer.notes == ("its groups differ: 0 decoupled, 1 coupled",)


@pytest.mark.parametrize(
    ("key", "value"),
    [("weight_decay", float("nan")), ("weight_decay", -0.1), ("weight_decay", None), ("lr", float("inf")), ("lr", "1")],
)
def test_a_hyperparameter_that_is_not_a_finite_number_is_refused_with_its_group(key: str, value: object) -> None:
    optimizer = SGD(net().parameters(), lr=0.1)
    optimizer.param_groups[0][key] = value
    with pytest.raises(OptimizerError, match=f"group 0 of optimizer.*{key} is"):
        read(optimizer, net())


def test_numpy_numbers_are_accepted() -> None:
    model = net()
    live = read(SGD(model.parameters(), lr=numpy.float32(0.5), weight_decay=numpy.float64(0.25)), model)  # type: ignore[arg-type]
    assert {(observation.lr, observation.weight_decay) for observation in live.observations} == {(0.5, 0.25)}


def test_a_meta_lr_is_refused() -> None:
    optimizer = SGD(net().parameters(), lr=0.1)
    optimizer.param_groups[0]["lr"] = torch.tensor(0.1, device="meta")
    with pytest.raises(OptimizerError, match="lr is a tensor that holds no single number"):
        read(optimizer, net())


def test_a_default_is_known_where_the_construction_was_watched() -> None:
    model = net()
    halves: list[dict[str, Any]] = [
        {"params": model[0].parameters(), "weight_decay": 0.01},
        {"params": model[1].parameters()},
    ]
    with watch() as log:
        default = AdamW(model.parameters())
        chosen = AdamW(model.parameters(), weight_decay=0.01)
        by_position = AdamW(model.parameters(), 1e-3, (0.9, 0.999), 1e-8, 0.01)
        mixed = AdamW(halves)
    optimizers = observe(find([default, chosen, by_position, mixed]), names(model), log).optimizers
    assert [[group.weight_decay_is_default for group in optimizer.groups] for optimizer in optimizers] == [
        [True],
        [False],
        [False],
        [False, True],
    ]


def test_a_coefficient_that_code_writes_into_a_finished_group_is_no_default() -> None:
    model = net()
    with watch() as log:
        scheduled, untouched = AdamW(model.parameters()), AdamW(model.parameters())
        scheduled.param_groups[0]["weight_decay"] = 0.04
    watched = observe(find([scheduled, untouched]), names(model), log).optimizers
    assert [optimizer.groups[0].weight_decay_is_default for optimizer in watched] == [False, True]


def test_a_default_is_only_suspected_where_the_construction_was_not_watched() -> None:
    model = net()
    assert read(AdamW(model.parameters()), model).optimizers[0].groups[0].weight_decay_is_default is None
    assert (
        read(AdamW(model.parameters(), weight_decay=0.02), model).optimizers[0].groups[0].weight_decay_is_default
        is False
    )


def test_a_group_that_sets_the_default_itself_has_set_it_in_a_class_that_was_made_meanwhile() -> None:
    model = net()
    with watch() as log:

        class Late(torch.optim.Optimizer):
            def __init__(self, params: Any, weight_decay: float = 0.02) -> None:
                super().__init__(params, {"lr": 0.1, "weight_decay": weight_decay})

        chosen = Late([{"params": model.parameters(), "weight_decay": 0.02}])
        default = Late(model.parameters())
    optimizers = observe(find([chosen, default]), names(model), log).optimizers
    assert [optimizer.groups[0].weight_decay_is_default for optimizer in optimizers] == [False, None]


def test_watching_restores_the_constructors() -> None:
    before = (AdamW.__init__, SGD.__init__, torch.optim.Optimizer.add_param_group)
    with watch():
        assert AdamW.__init__ is not before[0]
    assert before == (AdamW.__init__, SGD.__init__, torch.optim.Optimizer.add_param_group)


def test_watching_ends_when_a_constructor_fails() -> None:
    before = AdamW.__init__
    with pytest.raises(ValueError, match="empty parameter list"), watch():
        AdamW([])
    assert AdamW.__init__ is before
