"""Where the presets are: YAML files that ship with the package, one for each."""

from functools import cache
from pathlib import Path

SUFFIX = ".yaml"
"""The ending of the file names."""


@cache
def folder() -> Path:
    """Return the folder of the presets: in the installed package, or at the top of a checkout."""
    package = Path(__file__).parents[2]
    shipped = package / "rules"
    return shipped if shipped.is_dir() else package.parent / "rules"


def names() -> tuple[str, ...]:
    """List the names of the presets, sorted."""
    return tuple(sorted(path.stem for path in folder().glob(f"*{SUFFIX}")))


def path(name: str) -> Path:
    """Return the file of the preset `name`."""
    return folder() / f"{name}{SUFFIX}"
