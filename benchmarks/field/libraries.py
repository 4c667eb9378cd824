"""The libraries, in two sets. The rules were made while the first was looked at; the second was only measured.

`libraries.txt` has a line for each: which set, the distribution, the package that it installs.
"""

from pathlib import Path
from typing import Literal, get_args

Set = Literal["looked-at", "held-out"]
SETS: tuple[Set, ...] = get_args(Set)


def packages(chosen: Set) -> list[str]:
    """List the packages of a set."""
    lines = (Path(__file__).parent / "libraries.txt").read_text(encoding="utf-8").splitlines()
    rows = (line.split() for line in lines if not line.startswith("#"))
    return [package for name, _, package in rows if name == chosen]
