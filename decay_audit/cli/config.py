"""`[tool.decay-audit]` in pyproject.toml: the defaults of the options, and the audits that a plain `check` runs.

[tool.decay-audit]
rules = "timm"
fail-on = "warning"

[[tool.decay-audit.audits]]
target = "models/vit.py:vit_base"
weight-decay = 0.05
"""

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from decay_audit.errors import DecayAuditError

PATHS = frozenset({"target", "rules", "model", "optimizer", "checkpoint"})


class Choices(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """Options that may be set for one audit, or for every command that has them; a command line beats them."""

    rules: str | None = None
    weight_decay: float | None = None
    device: Literal["auto", "meta", "streamed", "cpu"] | None = None
    optimizer: str | None = None
    trace: str | None = None
    measure: bool | None = None
    select: list[str] | None = None
    ignore: list[str] | None = None
    fail_on: Literal["error", "warning", "note"] | None = None


class Audit(Choices, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """One audit: a target, and the options that differ from the defaults."""

    target: str
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
        if file.is_file() and b"decay-audit" in file.read_bytes() and _table(file) is not None:
            return file
    return None


def load(file: Path) -> Config:
    """Read the table of a pyproject.toml; names of files in it count from its folder.

    Raises:
        DecayAuditError: the file is no TOML, or the table has a key or value that is not known.
    """
    table = _table(file)
    try:
        return msgspec.convert(_rooted(table, file.parent) if isinstance(table, dict) else table, Config)
    except msgspec.ValidationError as error:
        raise DecayAuditError(f"{file.name}: [tool.decay-audit]: {error}", _hint(str(error))) from error


def values(options: Choices) -> dict[str, Any]:
    """Options that are set, by the names that commands give their parameters."""
    return {
        name: value
        for name in options.__struct_fields__
        if name not in ("audits", "target") and (value := getattr(options, name)) is not None
    }


def _table(file: Path) -> object:
    try:
        tool = tomllib.loads(file.read_text(encoding="utf-8")).get("tool")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DecayAuditError(f"{file.name}: {error}", "it must be TOML, see https://toml.io") from error
    return tool.get("decay-audit") if isinstance(tool, dict) else None


def _rooted(table: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Let names of files count from the folder of the configuration, wherever the command runs."""
    rooted = {key: _from(folder, value) if key in PATHS else value for key, value in table.items()}
    if isinstance(audits := table.get("audits"), list):
        rooted["audits"] = [_rooted(audit, folder) if isinstance(audit, dict) else audit for audit in audits]
    return rooted


def _from(folder: Path, value: object) -> object:
    if not isinstance(value, str) or folder == Path.cwd():
        return value
    file, colon, rest = value.partition(":")
    return f"{folder / file}{colon}{rest}" if (folder / file).exists() else value


def _hint(message: str) -> str:
    unknown = message.partition("unknown field `")[2].partition("`")[0]
    accepted = sorted(msgspec.structs.fields(Audit), key=lambda field: field.encode_name)
    names = [field.encode_name for field in accepted if field.name != "checkpoint"]
    near = get_close_matches(unknown, names, n=1)
    return f"did you mean {near[0]}?" if near else f"accepted: {', '.join(names)}; and audits at the top"
