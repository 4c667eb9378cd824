"""The audit inside a test, a transformers Trainer and a Lightning fit: it logs one line, or stops the run."""

import importlib.util
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from decay_audit.errors import DecayAssertionError
from decay_audit.integrations.training import LOGGER, TrainingAudit


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 2))


def careless(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), weight_decay=0.1)


def careful(model: nn.Module) -> torch.optim.Optimizer:
    decayed = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    spared = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    return torch.optim.AdamW([{"params": decayed, "weight_decay": 0.1}, {"params": spared, "weight_decay": 0.0}])


def moments(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What our lines in the log begin with."""
    return [record.message.partition(":")[0] for record in caplog.records if record.name == LOGGER.name]


def test_one_line_is_logged_as_a_warning_where_something_is_found(caplog: pytest.LogCaptureFixture) -> None:
    model = net()
    with caplog.at_level(logging.INFO, logger=LOGGER.name):
        TrainingAudit().audit(model, careless(model), moment="at the start")
        TrainingAudit().audit(model, careful(model), moment="at the start")
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("WARNING", "decay-audit at the start: 1 error in 6 parameters"),
        ("INFO", "decay-audit at the start: no findings in 6 parameters"),
    ]


def test_the_table_is_logged_at_the_level_debug(caplog: pytest.LogCaptureFixture) -> None:
    model = net()
    with caplog.at_level(logging.DEBUG, logger=LOGGER.name):
        TrainingAudit().audit(model, careless(model), moment="at the start")
    table = [record.message for record in caplog.records if record.levelname == "DEBUG" and record.name == LOGGER.name]
    assert len(table) == 1
    assert all(name in table[0] for name in ("0.weight", "norm weight", "0.1"))


def test_a_run_stops_only_where_it_is_asked_to() -> None:
    model = net()
    assert TrainingAudit().audit(model, careless(model), moment="now").findings
    with pytest.raises(DecayAssertionError, match="DA101"):
        TrainingAudit(fail_on="error").audit(model, careless(model), moment="now")
    TrainingAudit(fail_on="error", ignore=("DA101",)).audit(model, careless(model), moment="now")
    TrainingAudit(fail_on="note").audit(model, careful(model), moment="now")


def test_the_fixture_passes_and_fails_a_real_test_run(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(
        "import torch\n"
        "def make(): return torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.LayerNorm(4))\n"
        "def test_careless(decay_audit):\n"
        "    model = make()\n"
        "    decay_audit(model, torch.optim.AdamW(model.parameters(), weight_decay=0.1))\n"
        "def test_careful(decay_audit):\n"
        "    model = make()\n"
        "    decay_audit(model, torch.optim.AdamW(model.parameters(), weight_decay=0.1), rules='torch-default')\n"
    )
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "decay_audit.integrations.pytest_plugin",
            "-q",
            "-p",
            "no:cacheprovider",
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 failed, 1 passed" in run.stdout
    assert "DA101" in run.stdout


def test_a_transformers_callback_audits_when_training_begins(caplog: pytest.LogCaptureFixture) -> None:
    from transformers import TrainerControl, TrainerState, TrainingArguments
    from transformers.trainer_callback import CallbackHandler

    from decay_audit.integrations.trainer import DecayAuditCallback

    arguments = object.__new__(TrainingArguments)  # the callback does not read them, and they ask for accelerate
    for callback, optimizer, fails in (
        (DecayAuditCallback(), careless, False),
        (DecayAuditCallback(fail_on="error"), careless, True),
        (DecayAuditCallback(fail_on="error"), careful, False),
    ):
        model = net()
        handler = CallbackHandler([callback], model, None, optimizer(model), None)  # type: ignore[no-untyped-call]
        with caplog.at_level(logging.INFO, logger=LOGGER.name):
            try:
                handler.on_train_begin(arguments, TrainerState(), TrainerControl())
                failed = False
            except DecayAssertionError:
                failed = True
        assert failed is fails
    assert moments(caplog) == ["decay-audit at the start of training"] * 3


@pytest.mark.skipif(not importlib.util.find_spec("accelerate"), reason="a Trainer needs accelerate")
@pytest.mark.filterwarnings("ignore")
def test_a_real_trainer_is_audited_and_its_own_preset_is_clean(tmp_path: Path) -> None:
    import transformers

    from decay_audit.integrations.trainer import DecayAuditCallback

    config = transformers.GPT2Config(n_layer=1, n_head=2, n_embd=8, vocab_size=16, n_positions=8)
    model = transformers.GPT2LMHeadModel(config)
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path), max_steps=1, weight_decay=0.1, report_to=[], use_cpu=True, save_strategy="no"
    )
    data: list[dict[str, Any]] = [{"input_ids": [1, 2, 3], "labels": [1, 2, 3]}] * 8
    callback = DecayAuditCallback(rules="hf-trainer", fail_on="error")
    transformers.Trainer(model=model, args=arguments, train_dataset=data, callbacks=[callback]).train()


@pytest.mark.skipif(not importlib.util.find_spec("accelerate"), reason="a Trainer needs accelerate")
@pytest.mark.filterwarnings("ignore")
def test_a_resumed_trainer_is_audited_with_what_the_checkpoint_restored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import transformers

    from decay_audit.integrations.trainer import DecayAuditCallback

    def train(weight_decay: float, steps: int, resume: str | None, **settings: Any) -> None:
        config = transformers.GPT2Config(n_layer=1, n_head=2, n_embd=8, vocab_size=16, n_positions=8)
        arguments = transformers.TrainingArguments(
            output_dir=str(tmp_path),
            max_steps=steps,
            save_steps=1,
            weight_decay=weight_decay,
            report_to=[],
            use_cpu=True,
        )
        data: list[dict[str, Any]] = [{"input_ids": [1, 2, 3], "labels": [1, 2, 3]}] * 8
        callback = DecayAuditCallback(rules="hf-trainer", weight_decay=weight_decay, **settings)
        model = transformers.GPT2LMHeadModel(config)
        transformers.Trainer(model=model, args=arguments, train_dataset=data, callbacks=[callback]).train(
            resume_from_checkpoint=resume
        )

    with caplog.at_level(logging.INFO, logger=LOGGER.name):
        train(0.1, 1, None, fail_on="error")
        with pytest.raises(DecayAssertionError, match=r"decayed with 0\.1, not 0\.3"):
            train(0.3, 2, str(tmp_path / "checkpoint-1"), fail_on="error")
    assert moments(caplog) == ["decay-audit at the start of training", "decay-audit after the resume"]


def fit(folder: Path, make: Callable[[nn.Module], object], callback: object, resume: Path | None = None) -> Any:
    """Fit for one epoch, or for one more after a resume."""
    from lightning.pytorch import LightningModule, Trainer

    class Module(LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.net = net()

        def training_step(self, batch: torch.Tensor, _: int) -> torch.Tensor:
            return self.net(batch).sum()  # type: ignore[no-any-return]

        def configure_optimizers(self) -> object:
            return make(self.net)

    loader: Any = torch.utils.data.DataLoader(torch.zeros(4, 4))  # type: ignore[arg-type]
    trainer = Trainer(
        max_epochs=2 if resume else 1,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        default_root_dir=folder,
        callbacks=[callback],
    )
    trainer.fit(Module(), loader, ckpt_path=resume)
    return trainer


@pytest.mark.skipif(not importlib.util.find_spec("lightning"), reason="lightning is not installed")
@pytest.mark.filterwarnings("ignore")
def test_a_real_lightning_fit_is_audited_and_stopped(tmp_path: Path) -> None:
    from decay_audit.integrations.lightning import DecayAuditCallback

    fit(tmp_path, careful, DecayAuditCallback(fail_on="error"))
    with pytest.raises(DecayAssertionError, match="DA101"):
        fit(tmp_path, careless, DecayAuditCallback(fail_on="error"))


@pytest.mark.skipif(not importlib.util.find_spec("lightning"), reason="lightning is not installed")
@pytest.mark.filterwarnings("ignore")
def test_a_resumed_fit_is_audited_with_what_the_checkpoint_restored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from decay_audit.integrations.lightning import DecayAuditCallback

    def stronger(model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.AdamW(model.parameters(), weight_decay=0.3)

    with caplog.at_level(logging.INFO, logger=LOGGER.name):
        callback = DecayAuditCallback("torch-default", 0.1, fail_on="error")
        fit(tmp_path, careless, callback).save_checkpoint(tmp_path / "last.ckpt")
        callback = DecayAuditCallback("torch-default", 0.3, fail_on="error")
        with pytest.raises(DecayAssertionError, match=r"decayed with 0\.1, not 0\.3"):
            fit(tmp_path, stronger, callback, resume=tmp_path / "last.ckpt")
    assert moments(caplog) == ["decay-audit at the start of fit", "decay-audit after the resume"]
