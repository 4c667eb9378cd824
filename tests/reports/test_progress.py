"""Progress on long work: what is done and for how long, on a terminal only, and gone at the end."""

import os
import subprocess
import sys

import pytest

from decay_audit.api.options import AuditOptions
from decay_audit.api.request import request_for
from decay_audit.cli.audits import Audit, choose

pty = pytest.importorskip("pty")

SCRIPT = """
import time
from decay_audit.api.options import OutputOptions
from decay_audit.cli import screen
with screen.progress(OutputOptions()) as progress:
    progress("building [b]a[/b]\\x1b]0;title\\x07")
    time.sleep(1.1)
print("report")
"""


def test_a_terminal_shows_what_is_done_and_the_elapsed_time_and_the_line_is_erased_at_the_end() -> None:
    controller, terminal = pty.openpty()
    run = subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=terminal)
    os.close(terminal)
    shown = b""
    while part := read(controller):
        shown += part
    report = run.communicate()[0]
    text = shown.decode()
    assert (run.returncode, report) == (0, b"report\n")
    assert "building [b]a[/b]\\x1b]0;title\\x07" in text  # neither markup nor control characters
    assert "0:00:01" in text
    assert text.rindex("\x1b[2K") > text.rindex("building")  # the line is erased after it was last written


def read(controller: int) -> bytes:
    try:
        return os.read(controller, 65536)
    except OSError:  # Linux: the program has closed the terminal
        return b""


def test_a_pipe_gets_no_progress() -> None:
    run = subprocess.run([sys.executable, "-c", SCRIPT.replace("1.1", "0")], capture_output=True, text=True)
    assert (run.stdout, run.stderr) == ("report\n", "")


def test_the_progress_of_several_audits_says_which_of_how_many_it_is() -> None:
    lines: list[str] = []
    audits = [Audit(request=request_for(target, AuditOptions(), lines.append)) for target in ("a.py", "b.py")]
    for audit in choose(audits, ()):
        audit.request.progress("building")
    for audit in choose(audits, ("b.py",)):
        audit.request.progress("building")
    assert lines == ["audit 1 of 2, a.py: building", "audit 2 of 2, b.py: building", "building"]
