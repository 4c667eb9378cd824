"""The table of codes holds what checks can raise, and nothing else."""

import re
from pathlib import Path

from decay_audit import checks
from decay_audit.checks.codes import CODES


def test_a_code_exists_only_if_a_check_raises_it() -> None:
    sources = [path for path in Path(checks.__file__).parent.rglob("*.py") if path.parent.name != "codes"]
    raised = {code for path in sources for code in re.findall(r'"(DA\d{3})"', path.read_text(encoding="utf-8"))}
    assert raised == CODES.keys()


def test_codes_are_listed_in_order() -> None:
    assert [*CODES] == sorted(CODES)
