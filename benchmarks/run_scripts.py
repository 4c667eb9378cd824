"""`decay-audit run` on public training scripts, unedited: what it says of each, and in how many seconds.

`python -m benchmarks.run_scripts CHECKOUTS PYTHON RESULTS [WORD]` runs the scripts of `run_scripts_list`; with a WORD,
those that have it in their repository, folder or arguments. CHECKOUTS has a folder `owner+name` for each repository,
PYTHON is that of an environment with their requirements, and RESULTS is a JSON file to which each result is added.
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


def result(script: Script, checkouts: Path, python: Path) -> dict[str, Any]:
    """Run one script and collect what was said."""
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
    _, terminal = pty.openpty()  # some scripts ask for the size of their terminal
    started = time.monotonic()
    made = subprocess.run(
        [*command, *shlex.split(script.words)],
        cwd=folder,
        env=environment,
        stdin=terminal,
        capture_output=True,
        check=False,
    )
    seconds = time.monotonic() - started
    lines = made.stderr.decode(errors="replace").splitlines()
    documents = json.loads(made.stdout) if made.stdout else []
    return {
        "script": list(script),
        "code": made.returncode,
        "seconds": round(seconds, 1),
        "said": [line for line in lines if line.startswith(("note: ", "error: ", "hint: "))][-8:],
        "reports": [
            {
                "target": document["target"],
                "parameters": document["totals"]["parameters"],
                "optimizers": [(each["name"], each["class"], len(each["groups"])) for each in document["optimizers"]],
                "findings": [
                    {key: each[key] for key in ("code", "severity", "message")} for each in document["findings"]
                ],
            }
            for document in (documents if isinstance(documents, list) else [documents])
        ],
    }


def main() -> None:
    checkouts, python, results = (Path(word) for word in sys.argv[1:4])
    word = sys.argv[4] if len(sys.argv) > 4 else ""
    known = json.loads(results.read_text()) if results.exists() else {}
    for script in SCRIPTS:
        key = f"{script.repository} {script.folder} {script.words}"
        if word in key:
            known[key] = made = result(script, checkouts, python)
            results.write_text(json.dumps(known, indent=1))
            print(key, made["code"], made["seconds"], made["said"], flush=True)


if __name__ == "__main__":
    main()
