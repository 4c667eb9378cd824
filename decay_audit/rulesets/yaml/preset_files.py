"""Where the presets are: YAML files that ship with the package, one for each."""

from functools import cache
from pathlib import Path

SUFFIX = ".yaml"


@cache
def folder() -> Path:
    """The folder of the presets: in the installed package, or at the top of a checkout."""
    package = Path(__file__).parents[2]
    shipped = package / "rules"
    return shipped if shipped.is_dir() else package.parent / "rules"


def names() -> tuple[str, ...]:
    """Every preset's name, in order."""
    return tuple(sorted(path.stem for path in folder().glob(f"*{SUFFIX}")))


def path(name: str) -> Path:
    """The file of the preset `name`."""
    return folder() / f"{name}{SUFFIX}"
