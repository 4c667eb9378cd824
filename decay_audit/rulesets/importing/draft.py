"""Draft: the keys of a rules file, made from a configuration for write_yaml. Also finds values in a configuration."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from decay_audit.errors import RulesError

Condition = Mapping[str, Any]
"""A condition as a rules file spells it."""


class Pattern(Struct, frozen=True, kw_only=True):
    """Parameters, and how much they decay.

    Attributes:
        weight_decay: their coefficient; not used if `times` is given.
        times: the multiple of the base, if the codebase gives a multiple.
    """

    name: str
    when: Condition
    weight_decay: float = 0.0
    times: float | None = None


class Draft(Struct, frozen=True, kw_only=True):
    """The keys of a rules file.

    Attributes:
        refuses_rest: a parameter that no pattern matches is an error; otherwise it decays by the base.
        lr_scale: conditions with their factors.
        routes: conditions with their optimizers; None is everything else.
        notes: what the configuration asks for that the rules file cannot say.
        configuration: the plain values that the codebase's own function takes, if it can be called.
    """

    name: str
    title: str
    source: str
    weight_decay: float
    patterns: Sequence[Pattern] = ()
    refuses_rest: bool = False
    frozen: Literal["skip", "include"] = "skip"
    names: Literal["canonical", "raw"] = "canonical"
    lr_scale: Sequence[tuple[Condition, float]] = ()
    routes: Sequence[tuple[Condition | None, str]] = ()
    notes: tuple[str, ...] = ()
    configuration: Any = None


Translate = Callable[[Any, str], Draft]
"""Takes the plain values of a configuration and the file's name."""


def mappings(value: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - any plain value
    """Yield every mapping in a plain value, outer ones first."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from mappings(inner)


def mapping_with(value: Any, *keys: str, example: str) -> dict[str, Any]:  # noqa: ANN401
    """Return the first mapping in a plain value that has one of the keys.

    Raises:
        RulesError: there is none.
    """
    for mapping in mappings(value):
        if any(key in mapping for key in keys):
            return mapping
    raise RulesError(
        f"the file has no {' or '.join(f'`{key}`' for key in keys)}", f"expected something like: {example}"
    )


def number(value: Any, what: str) -> float:  # noqa: ANN401
    """Check a number of the configuration.

    Raises:
        RulesError: it is not a number that is written in the file.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RulesError(f"{what} is `{value}`, which is not a number that can be read without running the file")
    return float(value)


def words(value: Any) -> list[str]:  # noqa: ANN401
    """Read a word or a list of words."""
    return [value] if isinstance(value, str) else [str(word) for word in value or ()]
