"""`[tool.decay-audit]` in pyproject.toml: the defaults of the options, and the audits that a plain `check` runs.

[tool.decay-audit]
rules = "timm"

[[tool.decay-audit.audits]]
target = "models/vit.py:vit_base"
weight-decay = 0.05
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from decay_audit.cli.options import FailOn
from decay_audit.errors import DecayAuditError

PATHS = frozenset({"target", "rules", "model", "optimizer", "checkpoint"})
_HINT = "a key is an option of `decay-audit check` without its dashes; an audit has a target, too"


class Choices(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """Options that may be set for one audit, or for every command that has them; a command line beats them."""

    rules: str | None = None
    weight_decay: Annotated[float, Meta(ge=0)] | None = None
    device: Literal["auto", "meta", "streamed", "cpu"] | None = None
    optimizer: str | None = None
    trace: str | None = None
    measure: bool | None = None
    select: tuple[str, ...] | None = None
    ignore: tuple[str, ...] | None = None
    fail_on: Literal["error", "warning", "note"] | None = None


class Audit(Choices, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """One audit: a target, a name for it if it should have one, and the options that differ from the defaults."""

    target: str
    name: str | None = None
    model: str | None = None
    key: str | None = None
    checkpoint: str | None = None


class Config(Choices, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """The whole table."""

    color: Literal["auto", "always", "never"] | None = None
    full: bool | None = None
    audits: tuple[Audit, ...] = ()


def find(start: Path) -> Path | None:
    """Find the nearest pyproject.toml with a `[tool.decay-audit]` table, from `start` upwards.

    Raises:
        DecayAuditError: a file on the way that may have one is no TOML.
    """
    for folder in (start, *start.parents):
        file = folder / "pyproject.toml"
        if file.is_file() and b"decay-audit" in file.read_bytes() and _has_table(file):
            return file
    return None


def _has_table(file: Path) -> bool:
    from decay_audit.cli import pyproject

    return pyproject.table(file) is not None


def load(file: Path) -> Config:
    """Read the table of a pyproject.toml.

    Raises:
        DecayAuditError: it has mistakes; the message has all of them, each with its line.
    """
    from decay_audit.cli import pyproject
    from decay_audit.rulesets.yaml import typed

    mistakes: list[tuple[int, str]] = []
    config = typed.read(pyproject.node(file), Config, "[tool.decay-audit]", lambda *found: mistakes.append(found))
    if mistakes:
        raise DecayAuditError("\n".join(f"{file.name}:{line}: {text}" for line, text in sorted(mistakes)), _HINT)
    assert isinstance(config, Config)  # what cannot be read has a mistake
    return config


def values(options: Choices, folder: Path) -> dict[str, Any]:
    """Options that are set, by the names that commands give their parameters.

    Args:
        folder: where names of files count from, wherever the command runs.
    """
    names = [name for name in options.__struct_fields__ if name not in ("audits", "name")]
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    rooted = {name: _from(folder, value) if name in PATHS else value for name, value in given.items()}
    return {**rooted, **({"fail_on": FailOn(options.fail_on)} if options.fail_on else {})}


def title(audit: Audit, audits: Sequence[Audit]) -> str:
    """Tell an audit from the others of its target: by its name, or by the options in which they differ."""
    if audit.name:
        return audit.name
    alike = [one for one in audits if one.target == audit.target]
    names = [name for name in audit.__struct_fields__ if len({getattr(one, name) for one in alike}) > 1]
    given: Mapping[str, object] = {name: getattr(audit, name) for name in names}
    return ", ".join(name if value is True else f"{name} {value}" for name, value in given.items() if _is_said(value))


def _is_said(value: object) -> bool:
    """Whether an option's value tells an audit from others in a word or two."""
    return value is True or isinstance(value, str | float)


def _from(folder: Path, value: str) -> str:
    if folder == Path.cwd():
        return value
    """Say where a file is from the current folder, as the commands of a fix repeat it."""
    file, colon, rest = value.partition(":")
    return f"{os.path.relpath(folder / file)}{colon}{rest}" if (folder / file).exists() else value
