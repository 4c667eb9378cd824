"""`decay-audit run` on unedited public training scripts: its findings, and how many seconds it takes.

`python -m benchmarks.run_scripts CHECKOUTS PYTHON RESULTS [WORD]` runs the scripts of `run_scripts_list`; with a WORD,
only those that have it in their repository, folder or arguments. CHECKOUTS has a folder `owner+name` for each
repository, PYTHON is the interpreter of an environment with their requirements, and each result is added to the JSON
file RESULTS. A script that makes no optimizer without `--pretend` runs once more with it.
`benchmarks.run_scripts_data` writes data sets for scripts that need some.
"""

import json
import os
import pty
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.run_scripts_list import SCRIPTS, Script

TIMEOUT = 300
"""Seconds for one script."""


def result(script: Script, checkouts: Path, python: Path, pretend: str = "") -> dict[str, Any]:
    """Run a script, and collect the reports and messages."""
    folder = checkouts / script.repository.replace("/", "+") / script.folder
    environment = {
        **os.environ,
        "VIRTUAL_ENV": str(python.parents[1]),
        "PATH": os.pathsep.join([str(python.parent), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH", ""), script.path])),
        "WANDB_MODE": "disabled",
        "HF_HUB_OFFLINE": "1",
    }
    command = [sys.executable, "-m", "decay_audit", "run", "--timeout", str(TIMEOUT), "--format", "json"]
    command += ["--pretend", pretend] if pretend else []
    _, terminal = pty.openpty()  # some scripts ask for the size of their terminal
    started = time.monotonic()
    process = subprocess.run(
        [*command, *shlex.split(script.words)],
        cwd=folder,
        env=environment,
        stdin=terminal,
        capture_output=True,
        check=False,
    )
    seconds = time.monotonic() - started
    lines = process.stderr.decode(errors="replace").splitlines()
    documents = json.loads(process.stdout) if process.stdout else []
    return {
        "script": list(script),
        "pretend": pretend,
        "code": process.returncode,
        "seconds": round(seconds, 1),
        "messages": [line for line in lines if line.startswith(("note: ", "error: ", "hint: "))][-8:],
        "reports": [
            {
                "target": document["target"],
                "parameters": document["totals"]["parameters"],
                "optimizers": [
                    (entry["name"], entry["class"], len(entry["groups"])) for entry in document["optimizers"]
                ],
                "findings": [
                    {key: finding[key] for key in ("code", "severity", "message")} for finding in document["findings"]
                ],
            }
            for document in (documents if isinstance(documents, list) else [documents])
        ],
    }


def main() -> None:
    """Run the scripts, and write each result as soon as it is there."""
    checkouts, python, results = (Path(word) for word in sys.argv[1:4])
    word = sys.argv[4] if len(sys.argv) > 4 else ""
    known_results = json.loads(results.read_text()) if results.exists() else {}
    for script in SCRIPTS:
        key = f"{script.repository} {script.folder} {script.words}"
        if word in key:
            for pretend in dict.fromkeys(["", script.pretend]):
                known_results[f"{key} {pretend}".strip()] = new_result = result(script, checkouts, python, pretend)
                results.write_text(json.dumps(known_results, indent=1))
                print(key, pretend, new_result["code"], new_result["seconds"], new_result["messages"], flush=True)
                if new_result["reports"]:
                    break


if __name__ == "__main__":
    main()
