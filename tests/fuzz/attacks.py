"""The files of `examples/attacks`, which is a script and not a package."""

from collections.abc import Mapping
from pathlib import Path
from runpy import run_path

ATTACKS: Mapping[str, tuple[bytes, bytes]] = run_path(
    str(Path(__file__).parents[2] / "examples" / "attacks" / "make.py")
)["ATTACKS"]
