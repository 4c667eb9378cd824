"""The type Draft, which has the keys of a rules file for `write_yaml`; and functions that search plain values."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from decay_audit.errors import RulesError

WhenMapping = Mapping[str, Any]
"""A condition, as the mapping that a rules file has under `when:`."""


class DraftRule(Struct, frozen=True, kw_only=True):
    """A rule: a condition, and how much the parameters that meet it decay.

    Attributes:
        weight_decay: their coefficient; not used if `times` is given.
        times: the multiple of the base coefficient, if the codebase gives a multiple.
    """

    name: str
    when: WhenMapping
    weight_decay: float = 0.0
    times: float | None = None


class Draft(Struct, frozen=True, kw_only=True):
    """The keys of a rules file.

    Attributes:
        refuses_rest: whether a parameter that no rule matches is an error; otherwise it decays by the base.
        lr_scale: conditions with their factors.
        routes: conditions with their optimizers; the condition None matches every parameter.
        notes: what the configuration asks for and the rules file cannot express.
        configuration: the plain values that the codebase's own function takes, if it can be called.
    """

    name: str
    title: str
    source: str
    weight_decay: float
    rules: Sequence[DraftRule] = ()
    refuses_rest: bool = False
    frozen: Literal["skip", "include"] = "skip"
    names: Literal["canonical", "raw"] = "canonical"
    lr_scale: Sequence[tuple[WhenMapping, float]] = ()
    routes: Sequence[tuple[WhenMapping | None, str]] = ()
    notes: tuple[str, ...] = ()
    configuration: Any = None


Translator = Callable[[Any, str], Draft]
"""Makes a Draft from the plain values of a configuration and the name of its file."""


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


def number(value: Any, label: str) -> float:  # noqa: ANN401
    """Check that a value of the configuration is a number.

    Args:
        label: what a message calls the value, e.g. "`weight_decay` of a group".

    Raises:
        RulesError: the value is not a number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RulesError(f"{label} is `{value}`, which is not a number that can be read without running the file")
    return float(value)


def words(value: Any) -> list[str]:  # noqa: ANN401
    """Make a list of a word or a list of words; None becomes an empty list."""
    return [value] if isinstance(value, str) else [str(word) for word in value or ()]
