"""Read a configuration of mmengine with the files in its `_base_`, from which it inherits.

These files are read first; the configuration's own keys override their keys.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from decay_audit.errors import RulesError
from decay_audit.rulesets.importing.draft import words
from decay_audit.rulesets.importing.read_config import read

BASE = "_base_"
"""The key under which a configuration lists the files that it inherits from."""
DELETE = "_delete_"
"""The key with which a mapping replaces the inherited mapping instead of being merged into it."""


def read_inheriting(path: Path) -> Any:  # noqa: ANN401 - any plain value
    """Read a configuration and the files that it inherits from. The result's `_base_` lists files that do not exist.

    Raises:
        RulesError: a file cannot be read, or inherits from itself.
    """
    return _with_base_files(path, ())


def _with_base_files(path: Path, inheriting: tuple[Path, ...]) -> Any:  # noqa: ANN401
    values = read(path)
    own_keys = _own_keys(values)
    if BASE not in own_keys:
        return values
    if path.resolve() in inheriting:
        raise RulesError(f"{path.name} inherits from itself by way of `{BASE}`")
    inherited: dict[str, Any] = {}
    missing: list[str] = []
    for name in words(own_keys[BASE]):
        base = path.parent / name
        if not base.is_file():
            missing.append(name)
            continue
        keys = _own_keys(_with_base_files(base, (*inheriting, path.resolve())))
        missing += keys.pop(BASE, [])
        inherited = _override(inherited, keys)
    return [{**_override(inherited, own_keys), BASE: missing}]


def _own_keys(values: Any) -> dict[str, Any]:  # noqa: ANN401
    """Collect a file's own keys: those of a mapping, or the names that Python assigns."""
    parts = values if isinstance(values, list) else [values]
    return {key: value for part in parts if isinstance(part, dict) for key, value in part.items()}


def _override(base: Mapping[str, Any], own_keys: Mapping[str, Any]) -> dict[str, Any]:
    """Put a file's own keys over those of its base: mappings are merged, unless `_delete_=True` says to replace."""
    merged = dict(base)
    for key, value in own_keys.items():
        if isinstance(value, dict):
            base_value = merged.get(key)
            inherited = base_value if isinstance(base_value, dict) and not value.get(DELETE) else {}
            merged[key] = _override(inherited, value)
        else:
            merged[key] = value
    merged.pop(DELETE, None)
    return merged
