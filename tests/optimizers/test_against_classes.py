"""Measured laws against the classes themselves: instances that step on real parameters are the oracle."""

import importlib.util
from typing import Any

import pytest
import torch
from torch import nn

import decay_audit
from benchmarks.optimizer_survey import survey
from decay_audit.optimizers.find import find
from decay_audit.optimizers.measure import measure

MODULES = ["torch.optim", "schedulefree", "muon", "lion_pytorch", "prodigyopt"]
INSTALLED = [module for module in MODULES if importlib.util.find_spec(module.partition(".")[0])]
CANNOT_STEP = {
    "torch.optim.SparseAdam": "does not support dense gradients",
    "muon.SingleDeviceMuon": "takes matrices only",
}


@pytest.mark.parametrize("module", INSTALLED)
def test_no_law_is_wrong_and_nothing_is_changed(module: str) -> None:
    for verdict in survey(module):
        assert (verdict.name in CANNOT_STEP) is bool(verdict.failure), (verdict.name, verdict.failure)
        assert (verdict.wrong, verdict.changed) == ((), ()), verdict.name


@pytest.mark.parametrize("decoupled", [True, False])
def test_fastais_flag_for_weight_decay_counts(*, decoupled: bool) -> None:
    """fastai's Learner sets `do_wd` of norms and biases to False in the optimizer's state."""
    fastai: Any = pytest.importorskip("fastai.optimizer")
    model = nn.Sequential(nn.Linear(8, 16), nn.LayerNorm(16), nn.Linear(16, 2))
    optimizer = fastai.Adam([*model.parameters()], lr=1e-2, wd=0.05, decouple_wd=decoupled)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    matrices = "proportional" if decoupled else "sign"
    for flagged in (False, True):
        for parameter in model.parameters():
            if flagged and parameter.ndim < 2:
                optimizer.state[parameter]["do_wd"] = False
        for observation in measure(find(optimizer), names).observations:
            is_matrix = observation.parameter in ("0.weight", "2.weight")
            assert observation.movement == (matrices if is_matrix or not flagged else "none")
        report = decay_audit.audit(model, optimizer, weight_decay=0.05)
        assert ("DA101" in {finding.code for finding in report.findings}) is not flagged
        for parameter in model.parameters():
            parameter.grad = torch.randn_like(parameter)
        optimizer.step()
