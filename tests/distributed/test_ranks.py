"""Real jobs of two and four gloo processes: canonical names, whole shapes, all ranks agree, and only the first logs."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.multiprocessing.spawn import spawn

from decay_audit import api
from tests.distributed.ranks import WRAPPERS, net, work

RankFiles = list[dict[str, Any]]


@pytest.fixture(scope="module", params=[2, 4])
def ranks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> RankFiles:
    folder = tmp_path_factory.mktemp("ranks")
    spawn(work, (request.param, str(folder)), nprocs=request.param)  # type: ignore[no-untyped-call]
    return [json.loads(Path(folder, f"{rank}.json").read_text()) for rank in range(request.param)]


@pytest.fixture(scope="module")
def alone() -> dict[str, Any]:
    model = net()
    report = api.audit(model, torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.1))
    return {
        "parameters": [
            [decision.name, list(decision.classified.parameter.shape)] for decision in report.plan.decisions
        ],
        "findings": [[finding.code, finding.message, list(finding.parameters)] for finding in report.findings],
    }


@pytest.mark.parametrize("kind", [kind for kind in WRAPPERS if kind != "fsdp1 flat"])
def test_a_wrapped_model_is_read_as_the_model_alone(ranks: RankFiles, alone: dict[str, Any], kind: str) -> None:
    for rank in ranks:
        assert rank["reports"][kind] == [alone, alone]


def test_flattened_parameters_are_found_on_every_rank(ranks: RankFiles) -> None:
    for rank in ranks:
        for report in rank["reports"]["fsdp1 flat"]:
            assert "DA505" in [code for code, *_ in report["findings"]]


def test_only_the_first_rank_logs(ranks: RankFiles) -> None:
    assert ranks[0]["lines"] == ["decay-audit now: 1 error in 6 parameters"]
    assert all(rank["lines"] == [] for rank in ranks[1:])
