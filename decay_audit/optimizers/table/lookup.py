"""What `weight_decay` means: class names and a group's settings go in, the way the coefficient takes comes out.

The facts are in `classes.py`. Knows no torch: a checkpoint's optimizer is described like a live one.
"""

from collections.abc import Mapping, Sequence
from math import isfinite

from msgspec import Struct

from decay_audit.model.observations import Semantics
from decay_audit.optimizers.table.classes import CLASSES
from decay_audit.optimizers.table.forms import SEMANTICS, Path, Row


class Meaning(Struct, frozen=True, kw_only=True):
    """What one optimizer's coefficients do, over all its groups.

    Attributes:
        paths: one for each group.
        default: the class's own default coefficient; None if it is not known.
    """

    paths: tuple[Path, ...]
    semantics: Semantics
    adaptive_denominator: bool
    default: float | None = None
    notes: tuple[str, ...] = ()


def row(types: Sequence[str]) -> Row | None:
    """Find the first class that the table knows.

    Args:
        types: names of the classes, most derived first: qualified (`torch.optim.adamw.AdamW`), or simple as a
            checkpoint tells them (`AdamW`), which then mean torch's own where torch has one.
    """
    found = (_find(*_split(name)) for name in types)
    return next((one for one in found if one is not None), None)


def path(known: Row | None, settings: Mapping[str, object]) -> Path:
    """Say which way the coefficient takes under a group's hyperparameters and the optimizer's own attributes."""
    if known is None:
        return "unknown"
    way = known.on if known.switch and settings.get(known.switch, known.assumed) else known.path
    if way == "lr" and any(settings.get(key) for key in known.rescaled):
        return "own"
    return "constant" if way == "lr" and settings.get("fixed_decay") else way


def meaning(types: Sequence[str], groups: Sequence[Mapping[str, object]]) -> Meaning:
    """Describe an optimizer by its class names and the settings of each of its groups."""
    known = row(types)
    paths = tuple(path(known, group) for group in groups)
    families = {SEMANTICS[one] for one in paths}
    mixed = len(families) > 1
    notes = [known.note] if known and known.note else []
    if mixed:
        notes.append("its groups differ: " + ", ".join(f"{i} {SEMANTICS[one]}" for i, one in enumerate(paths)))
    return Meaning(
        paths=paths,
        semantics="unknown" if mixed or not families else families.pop(),
        adaptive_denominator="denominator" in paths,
        default=known.default if known else None,
        notes=tuple(notes),
    )


def declared(way: Path, weight_decay: float, lr: float | None) -> float | None:
    """Say which fraction of the weight a step removes, divided by lr; None where that is not a constant, or not known.

    A coupled coefficient has no such rate: momentum and denominators change it from step to step.
    """
    match way:
        case "lr":
            return weight_decay
        case "constant" if lr and isfinite(lr):
            return weight_decay / lr
        case "none":
            return 0.0
        case _:
            return None


def _split(name: str) -> tuple[str, str]:
    package, _, rest = name.partition(".")
    return (package, rest.rpartition(".")[2]) if rest else ("", package)


def _find(package: str, name: str) -> Row | None:
    if package:
        return CLASSES.get(package, {}).get(name)
    return next((rows[name] for rows in CLASSES.values() if name in rows), None)
