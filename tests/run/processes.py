"""Run `decay-audit` on a script in a folder, as a user does: in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.run import scripts


def run(folder: Path, text: str, *words: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Write train.py, and run `decay-audit run OPTIONS train.py WORDS`."""
    (folder / "net.py").write_text(scripts.NET)
    (folder / "train.py").write_text(text)
    return process(folder, "run", *options, "train.py", *words)


def process(
    folder: Path, *words: str, stdin: int = subprocess.DEVNULL, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run `decay-audit WORDS`."""
    return subprocess.run(
        [sys.executable, "-m", "decay_audit", *words],
        cwd=folder,
        stdin=stdin,
        capture_output=True,
        text=True,
        timeout=300,
        env=clean_environment() | environment,
    )


def clean_environment() -> dict[str, str]:
    """The environment without a virtual environment that is active around the tests: scripts use this Python."""
    return {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "CONDA_PREFIX")}


def documents(result: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """The reports that were printed as JSON."""
    assert result.stdout, result.stderr
    document = json.loads(result.stdout)
    return document if isinstance(document, list) else [document]


def codes(document: dict[str, Any]) -> list[str]:
    return [finding["code"] for finding in document["findings"]]
