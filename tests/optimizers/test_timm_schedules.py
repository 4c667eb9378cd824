"""What decay leaves under each scheduler of timm, compared with an optimizer that is stepped as in timm's train.py."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import decay_audit
from decay_audit import DecayAuditError

scheduler = pytest.importorskip("timm.scheduler")

EPOCH_STEPS, EPOCHS = 7, 9
SCHEDULERS: dict[str, dict[str, Any]] = {
    "CosineLRScheduler": {"t_initial": EPOCHS, "lr_min": 1e-4, "warmup_t": 2, "warmup_lr_init": 1e-3},
    "TanhLRScheduler": {"t_initial": EPOCHS, "lr_min": 1e-4},
    "StepLRScheduler": {"decay_t": 2, "decay_rate": 0.3},
    "MultiStepLRScheduler": {"decay_t": [3, 6], "decay_rate": 0.1, "warmup_t": 1, "warmup_lr_init": 1e-3},
    "PolyLRScheduler": {"t_initial": EPOCHS, "power": 0.9},
    "WSDLRScheduler": {"t_initial": EPOCHS, "decay_t": 3, "warmup_t": 2, "warmup_lr_init": 1e-3},
}
SCHEDULERS = {name: settings for name, settings in SCHEDULERS.items() if hasattr(scheduler, name)}
TIMES = ("t_initial", "warmup_t", "decay_t")


def made(name: str, optimizer: torch.optim.Optimizer, *, in_epochs: bool) -> Any:
    """Make a scheduler, which counts epochs or updates."""
    settings = dict(SCHEDULERS[name])
    if not in_epochs:
        for key in TIMES:
            if key in settings:
                value = settings[key]
                scaled = [each * EPOCH_STEPS for each in value] if isinstance(value, list) else value * EPOCH_STEPS
                settings[key] = scaled
    return getattr(scheduler, name)(optimizer, t_in_epochs=in_epochs, **settings)


OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "SGD": lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9, weight_decay=5e-3),
    "AdamW": lambda params: torch.optim.AdamW(params, lr=0.05, weight_decay=0.3),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("in_epochs", [True, False], ids=["epochs", "updates"])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_what_is_kept_under_a_schedule_of_timm_is_what_its_training_loop_leaves(
    name: str, in_epochs: bool, optimizer: str
) -> None:
    weight = torch.ones(2, 2, dtype=torch.float64, requires_grad=True)
    weight.grad = torch.zeros_like(weight)
    real = OPTIMIZERS[optimizer]([weight])
    schedule, updates = made(name, real, in_epochs=in_epochs), 0
    for epoch in range(EPOCHS):
        for _ in range(EPOCH_STEPS):
            real.step()
            updates += 1
            schedule.step_update(num_updates=updates)
        schedule.step(epoch + 1)

    net = nn.Linear(2, 3, bias=False)
    audited = OPTIMIZERS[optimizer](net.parameters())
    report = decay_audit.audit(
        net,
        audited,
        steps=EPOCHS * EPOCH_STEPS,
        epoch_steps=EPOCH_STEPS,
        schedule=made(name, audited, in_epochs=in_epochs),
        no_trace=True,
    )
    assert report.horizon is not None
    assert report.horizon.groups[0].decay.kept == pytest.approx(weight[0, 0].item(), rel=1e-9)


@pytest.mark.filterwarnings("ignore:PlateauLRScheduler is deprecated:FutureWarning")
def test_a_schedule_of_timm_that_needs_a_metric_is_refused() -> None:
    net = nn.Linear(2, 3)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, weight_decay=1e-4)
    with pytest.raises(DecayAuditError, match="depends on a metric"):
        decay_audit.audit(
            net, optimizer, steps=10, epoch_steps=5, schedule=scheduler.PlateauLRScheduler(optimizer), no_trace=True
        )


def test_every_scheduler_class_of_timm_is_tested() -> None:
    classes = {name for name, value in vars(scheduler).items() if inspect.isclass(value)}
    assert classes - {"Scheduler"} == {*SCHEDULERS, "PlateauLRScheduler"}
