"""The settings of the recorder, from the environment: the folder for its files, where to stop, what to pretend."""

import json
import os
from typing import Any, Dict, List

VARIABLE = "DECAY_AUDIT_RUN"


def _read() -> Dict[str, Any]:
    try:
        settings = json.loads(os.environ.get(VARIABLE, "{}"))
    except ValueError:
        return {}
    return settings if isinstance(settings, dict) else {}


_SETTINGS = _read()

FOLDER: str = _SETTINGS.get("folder", "")
"""Where records are written; "" where nothing is recorded to a file."""

UNTIL: str = str(_SETTINGS.get("until", "first-step"))
"""When to stop: `made` (an optimizer exists), `first-step`, a number of steps, or `end`."""

WATCH: bool = bool(_SETTINGS.get("watch"))
"""Whether to let the script train and print each change of the groups."""

TOOL: Dict[str, Any] = _SETTINGS.get("tool") or {}
"""Where decay-audit can be imported from (`paths`), its Python version (`python`), and what it is to do in the script's
process: `trace` models, and `measure` the steps of `all` optimizers, of those of `unknown` classes, or of none."""

PRETEND: List[str] = [str(word) for word in _SETTINGS.get("pretend", [])]
"""The missing resources to pretend: `gpu`, `world`, `data`."""


def steps_before_stop() -> float:
    """How many optimizer steps run before the script is stopped."""
    if WATCH or UNTIL == "end":
        return float("inf")
    return float(UNTIL) if UNTIL.isdigit() else 0.0


def write(kind: str, document: Any) -> None:
    """Write a file of this process under a temporary name, and rename it: no reader sees an incomplete file."""
    if not FOLDER:
        return
    path = os.path.join(FOLDER, "{}-{}.json".format(kind, os.getpid()))
    with open(path + ".part", "w", encoding="utf-8") as file:
        json.dump(document, file, default=repr)
    os.replace(path + ".part", path)


def mark_reached(stage: str) -> None:
    """Leave an empty file that says how far this process came: `python`, `torch` or `stop`."""
    if not FOLDER:
        return
    try:
        with open(os.path.join(FOLDER, f"reached-{stage}-{os.getpid()}"), "w"):
            pass
    except OSError:
        pass
