"""Observe the classes of a package, and write them to a file after each class, so that a time limit keeps that much."""

import contextlib
import io
import os
import signal
import warnings
from pathlib import Path
from types import FrameType

import msgspec
from torch import nn

from benchmarks import torchvision_schemas
from benchmarks.field.models import build, classes, forbid_network
from benchmarks.field.observe import ObservedModule, has_own_parameters, observe
from decay_audit import read

SECONDS_OF_CLASS = 4  # of processor time


def load_tracer() -> None:
    """Trace a small layer: torch imports what a trace needs at the first one, in more time than a class has."""
    read(nn.Linear(2, 2))
    observe(nn.Linear(2, 2))


def measure(name: str, file: Path) -> None:
    """Observe the classes of one package."""
    load_tracer()
    forbid_network()
    _schemas = torchvision_schemas.define()
    warnings.simplefilter("ignore")
    os.environ["HF_HUB_OFFLINE"] = "1"
    signal.signal(signal.SIGPROF, _too_long)
    counts = {"classes": 0, "built": 0, "judged": 0, "run": 0}
    failures: list[str] = []
    observed: list[ObservedModule] = []
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        for cls in _listed(name):
            counts["classes"] += 1
            signal.setitimer(signal.ITIMER_PROF, SECONDS_OF_CLASS, 1)  # again, if a library catches it
            try:
                model = build(cls)
                counts["built"] += model is not None
                if model is None or not has_own_parameters(model):
                    continue
                counts["judged"] += 1
                observed_module = observe(model)
                counts["run"] += observed_module is not None
                observed += [observed_module] if observed_module is not None else []
            except (Exception, TimeoutError) as error:  # noqa: BLE001
                failures.append(f"{cls.__qualname__}: {type(error).__name__}: {error}"[:200])
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
                unfinished = file.with_suffix(".part")
                unfinished.write_bytes(msgspec.json.encode({**counts, "failures": failures, "modules": observed}))
                unfinished.rename(file)


def _listed(name: str) -> list[type[nn.Module]]:
    try:
        return list(classes(name))
    except BaseException:  # noqa: BLE001 - not installed, or not importable here
        return []


def _too_long(_signal: int, _frame: FrameType | None) -> None:
    raise TimeoutError
