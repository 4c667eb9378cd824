"""Read many checkpoints, each into one row: what it holds, what a ruleset decides, and what its optimizer does.

A checkpoint that cannot be read becomes a row with the reason. Rows come in the order of the targets; only a few
targets for each process are in memory at a time.
"""

import glob
import os
import re
from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from decay_audit import rulesets
from decay_audit.api.functions import dask_cluster
from decay_audit.api.options import AuditOptions
from decay_audit.api.pipeline import run
from decay_audit.api.request import request_for
from decay_audit.errors import DecayAuditError
from decay_audit.reports import totals
from decay_audit.reports.report import Report
from decay_audit.rulesets.ruleset import RuleSet
from decay_audit.sources import remote
from decay_audit.sources.target import CHECKPOINT_SUFFIXES

_IS_PATTERN = re.compile(r"[*?\[]")
_SHARD = re.compile(r"[-_.]\d+-of-\d+\.\w+$")
"""The end of the name of a shard."""
_FILE_OF_AN_ENGINE = re.compile(
    r"\.metadata|latest|latest_checkpointed_iteration\.txt|\w*mp_rank_\d\d\w*\.pt|optimizer(_\d+)?\.(pt|bin)"
)
_FOLDER_OF_AN_ENGINE = re.compile(r"mp_rank_\d\d(_\d+)?|pytorch_model_fsdp_\d+")
"""The names of files and folders that make the folder in which they are one checkpoint."""
_SUFFIXES: Final = tuple(suffix for suffix in CHECKPOINT_SUFFIXES if suffix != ".index.json")
_TARGETS_AT_ONCE: Final = 16
"""How many targets a process gets at a time."""


class SweepRow(Struct, frozen=True, kw_only=True):
    """One checkpoint.

    Attributes:
        name: the target, as it was found.
        form: `safetensors` or `torch`.
        decayed_parameters, decayed_elements: the shares that the ruleset decays, from 0 to 1.
        decayed_by_role: for each role, the share of its parameters that the ruleset decays.
        optimizer: the classes of the saved optimizers; "" if there is none.
        weight_decay: the base coefficient: that of the saved optimizer, or of the ruleset.
        findings: how often each code was found.
        error: why it could not be read; the other fields are then empty.
    """

    name: str
    form: str = ""
    files: int = 0
    parameters: int = 0
    elements: int = 0
    decayed_parameters: float = 0.0
    decayed_elements: float = 0.0
    decayed_by_role: dict[str, float] = {}
    optimizer: str = ""
    weight_decay: float | None = None
    findings: dict[str, int] = {}
    error: str = ""


def find_targets(names: Iterable[str], *, output: str | None = None) -> Iterator[str]:
    """Yield the checkpoints that names stand for: files, patterns such as `runs/**/*.pt`, folders, and URLs.

    A URL may have a pattern, too, and `hf://ORG` stands for the models of an organisation.

    A folder stands for all checkpoints in it and below it. Shards, and the files that an engine writes, are one
    checkpoint: that of their folder.

    Args:
        output: the file for the rows. It is no checkpoint, even if a pattern matches it.

    Raises:
        DecayAuditError: a name stands for no checkpoint, or is the output.
    """
    for name in names:
        if _is_same_file(name, output):
            raise DecayAuditError(
                f"{output} is an input of this command, and would be overwritten", "name another file"
            )
        if remote.is_url(name):
            targets: Iterable[str] = remote.find_urls(name)
        elif _IS_PATTERN.search(name) and not Path(name).exists():
            targets = sorted(glob.iglob(name, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
        else:
            targets = _below(name) if Path(name).is_dir() else (name,)
        is_empty = True
        for target in targets:
            is_empty = False
            if not _is_same_file(target, output):
                yield target
        if is_empty:
            raise DecayAuditError(f"{name} stands for no checkpoint", f"files end in {', '.join(_SUFFIXES)}")


def _is_same_file(target: str, output: str | None) -> bool:
    try:
        return output is not None and Path(target).samefile(output)
    except (OSError, ValueError):  # one of them does not exist
        return False


def _below(folder: str) -> Iterator[str]:
    """Yield the checkpoints in a folder and below it."""
    for current, folders, files in os.walk(folder):
        folders.sort()
        if any(map(_FILE_OF_AN_ENGINE.fullmatch, files)) or any(map(_FOLDER_OF_AN_ENGINE.fullmatch, folders)):
            folders.clear()
            yield current
        elif any(name.endswith(".index.json") or _SHARD.search(name) for name in files):
            yield current
        else:
            yield from (str(Path(current, name)) for name in sorted(files) if name.lower().endswith(_SUFFIXES))


def sweep(
    targets: Iterable[str],
    options: AuditOptions,
    *,
    processes: int = 1,
    cluster: str | None = None,
    skip: Collection[str] = (),
) -> Iterator[SweepRow]:
    """Read targets, and yield one row for each.

    Args:
        processes: how many processes of this machine read at the same time.
        cluster: the address of a Dask scheduler, such as `tcp://host:8786`, whose workers read instead of this machine.
            They need decay-audit, and see the targets under the same names.
        skip: the names of targets that are not read.

    Raises:
        DecayAuditError: the ruleset cannot be loaded, a process was killed, or the cluster cannot be reached.
    """
    ruleset = rulesets.load(options.rules)
    remaining = (target for target in targets if remote.hide_credentials(target) not in skip)
    if cluster is not None:
        yield from dask_cluster.map_in_order(cluster, partial(_read_rows, options=options), _chunks(remaining))
        return
    if processes <= 1:
        for target in remaining:
            yield read_row(target, options, ruleset)
        return
    chunks = _chunks(remaining)
    waiting: deque[Future[list[SweepRow]]] = deque()
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as executor:
        try:
            for chunk in chunks:
                waiting.append(executor.submit(_read_rows, chunk, options))
                if len(waiting) > 2 * processes:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        except BrokenProcessPool:
            raise DecayAuditError(
                "a process was killed while it read a checkpoint", "run the command again with --resume"
            ) from None
        finally:
            executor.shutdown(cancel_futures=True)


def _chunks(targets: Iterator[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    for target in targets:
        chunk.append(target)
        if len(chunk) == _TARGETS_AT_ONCE:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _read_rows(targets: list[str], options: AuditOptions) -> list[SweepRow]:
    """Read some targets, in a process of a pool."""
    ruleset = rulesets.load(options.rules)
    return [read_row(target, options, ruleset) for target in targets]


def read_row(target: str, options: AuditOptions, ruleset: RuleSet) -> SweepRow:
    """Read one checkpoint. If it cannot be read, the row says why."""
    name = remote.hide_credentials(target)
    if not (remote.is_url(target) or Path(target).exists()):
        return SweepRow(name=name, error=f"no such file: {name}")
    try:
        report = run(replace(request_for(target, options), ruleset=ruleset))
    except DecayAuditError as error:
        return SweepRow(name=name, error=error.message.splitlines()[0])
    except OSError as error:
        return SweepRow(name=name, error=f"{error.strerror or error}")
    return _row(name, report)


def _row(name: str, report: Report) -> SweepRow:
    shares = totals.decayed_shares(report.plan)
    by_role = "decay/parameters/"
    whole = totals.count(report.plan.decisions)
    return SweepRow(
        name=name,
        form=report.inventory.kind,
        files=len(report.inventory.files),
        parameters=whole.parameters,
        elements=whole.numel,
        decayed_parameters=round(shares["decay/parameters"], 6),
        decayed_elements=round(shares["decay/elements"], 6),
        decayed_by_role={
            key.removeprefix(by_role): round(share, 6) for key, share in shares.items() if key.startswith(by_role)
        },
        optimizer=" + ".join(optimizer.type for optimizer in report.optimizers),
        weight_decay=report.plan.ruleset.weight_decay,
        findings=dict(Counter(finding.code for finding in report.findings)),
    )
