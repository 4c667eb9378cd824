"""The settings of a project: defaults of options, and the audits that `check` runs without a TARGET.

They stand in `[tool.decay-audit]` of pyproject.toml, or in a decay-audit.toml, which is the same table by itself.

[tool.decay-audit]
rules = "timm"

[[tool.decay-audit.audits]]
target = "models/vit.py:vit_base"
weight-decay = 0.05
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from types import GenericAlias
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from decay_audit import files
from decay_audit.api.options import (
    AuditOptions,
    ConfigScope,
    DeclaredOption,
    OutputOptions,
    RunOptions,
    declared_options,
)
from decay_audit.cli import pyproject
from decay_audit.errors import DecayAuditError

if TYPE_CHECKING:
    from decay_audit.checks.exceptions import FindingException

OPTIONS = {
    option.name: option for section in (AuditOptions, OutputOptions, RunOptions) for option in declared_options(section)
}
"""The declared options of `check` and `run`, by name."""
RUN_OPTIONS = frozenset(option.name for option in declared_options(RunOptions))
"""The options that only an audit with `run` may set."""
TABLE_SCOPES: tuple[ConfigScope, ...] = ("table", "everywhere")
AUDIT_SCOPES: tuple[ConfigScope, ...] = ("audits", "everywhere")
"""The scopes of the options that the table itself may set, and of those that one of its audits may set."""
_NEEDING_TARGET = (
    *("optimizer", "with_", "checkpoint", "model", "key", "trace", "invariance"),
    *("steps", "epoch_steps", "schedule"),
)
"""The options that have no meaning for an audit with `run`."""
DIALECT = "https://json-schema.org/draft/2020-12/schema"
"""The version of JSON Schema in which the schema of the table is written."""
_HINT = "the keys are options of `decay-audit check` without the dashes; an audit also needs a `target`, or a `run`"

# The types of the keys that are not options; the descriptions are shown by editors.
TargetKey = Annotated[
    str,
    Meta(description="What to audit, as TARGET on the command line; with `run`, one model of the script: `generator`."),
]
RunKey = Annotated[
    str,
    Meta(description="What stands after `decay-audit run`: a script and its arguments, `-m MODULE`, or a command."),
]
ExtendsKey = Annotated[
    str, Meta(description="Another file of settings, by its path from this file; options that this file sets win.")
]
NameKey = Annotated[str, Meta(description="Distinguishes this audit from others of the same target.")]


class ConfiguredAudit(Struct, frozen=True, kw_only=True):
    """One audit in the settings.

    Attributes:
        options: the options that the audit itself sets. Paths in them and in the target are relative to the current
            folder.
        file_target: the target as the file has it, whatever the current folder is.
        file_options: the options as the file has them.
        origin: the list of audits that holds this one, as `--show-settings` names it.
        target: with `run`, the only model of the script to audit, or "" for all of them.
        run: the words of a training script, which runs in `folder`; "" for the audit of a target.
        folder: the folder of the settings file.
    """

    target: str
    run: str
    folder: Path
    name: str | None
    options: Mapping[str, Any]
    file_target: str
    file_options: Mapping[str, Any]
    origin: str


class ConfiguredException(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A finding that the project accepts, as the settings have it; it becomes a FindingException."""

    code: Annotated[str, Meta(description="The code of the finding, such as DA101.")]
    parameters: Annotated[str | tuple[str, ...], Meta(description="A glob over names of parameters, or several.")] = ()
    reason: Annotated[str, Meta(description="Why the finding is accepted.")]
    until: Annotated[str, Meta(description="The last day on which the exception counts: 2027-01-31.")] = ""
    target: Annotated[str, Meta(description="The target or name of the only audit in which it counts.")] = ""
    covers: Annotated[
        int,
        Meta(description="How many parameters it covered when it was written; a warning says if it covers more."),
    ] = -1


class Config(Struct, frozen=True, kw_only=True):
    """The settings of a project. Paths in them are relative to the current folder.

    Attributes:
        defaults: the options that the table sets.
        origins: for each of these options, the file that sets it, as `--show-settings` names it.
        file: the file of the settings; None if there is none.
    """

    defaults: Mapping[str, Any] = {}
    origins: Mapping[str, str] = {}
    audits: tuple[ConfiguredAudit, ...] = ()
    exceptions: "tuple[FindingException, ...]" = ()
    file: Path | None = None


def current() -> Config:
    """Read the settings for the current folder; empty ones if there is no file of settings."""
    file = pyproject.find(Path.cwd())
    return load(file) if file else Config()


def load(file: Path, extending: tuple[Path, ...] = ()) -> Config:
    """Read the settings in a file, with those of the file that it extends.

    Own options win over those of the other file. The audits and exceptions of both are kept; those of
    `file` come last.

    Args:
        extending: the files that extend this one.

    Raises:
        DecayAuditError: the file has mistakes, and the message lists all of them, each with its line; or the file that
            it extends cannot be read, or extends this one.
    """
    table, exceptions = _read(file)
    base = _load_extended(file, table.extends, (*extending, file.resolve())) if table.extends is not None else Config()
    options = from_folder(_options_in(table), file.parent)
    table_label, audits_label = _origins(file)
    audits = (
        ConfiguredAudit(
            target=audit.target or "" if audit.run else path_from(file.parent, audit.target),
            run=audit.run or "",
            folder=file.parent,
            name=audit.name,
            options=from_folder(_options_in(audit), file.parent),
            file_target=audit.target or "",
            file_options=_options_in(audit),
            origin=audits_label,
        )
        for audit in table.audits
    )
    return Config(
        defaults={**base.defaults, **options},
        origins={**base.origins, **dict.fromkeys(options, table_label)},
        audits=(*base.audits, *audits),
        exceptions=(*base.exceptions, *exceptions),
        file=file,
    )


def _load_extended(file: Path, extends: str, links: tuple[Path, ...]) -> Config:
    """Read the settings that `file` extends; `links` are the files on the way to them, which they may not extend."""
    base_file = file.parent / extends
    if base_file.resolve() in links:
        circle = " -> ".join(path.name for path in (*links, base_file))
        raise DecayAuditError(f"{file.name}: `extends` goes round in a circle: {circle}", "delete one `extends`")
    if not files.is_file(base_file) or pyproject.table(base_file) is None:
        raise DecayAuditError(
            f"{file.name}: `extends` names {extends}, which has no settings of decay-audit",
            "name a decay-audit.toml, or a pyproject.toml with [tool.decay-audit], by its path from this file",
        )
    return load(base_file, links)


def _origins(file: Path) -> tuple[str, str]:
    """Name the table of a file, and the list of its audits, in the words of `--show-settings`."""
    nearest = pyproject.find(Path.cwd())
    if file.name != "pyproject.toml":
        label = os.path.relpath(file)
        return label, f"[[audits]] in {label}"
    label = "" if nearest is not None and file.resolve() == nearest.resolve() else f" in {os.path.relpath(file)}"
    return f"[tool.decay-audit]{label}", f"[[tool.decay-audit.audits]]{label}"


def _read(file: Path) -> "tuple[Any, list[FindingException]]":
    """Read the table of a file as a value of `_table_type`, and its exceptions.

    Raises:
        DecayAuditError: it has mistakes; the message lists all of them, each with its line.
    """
    from decay_audit.rulesets.yaml import typed

    mistakes: list[tuple[int, str]] = []
    node = pyproject.node(file)
    label = file.name if pyproject.is_whole_table(file) else "[tool.decay-audit]"
    table = typed.read(node, _table_type(None), label, lambda *mistake: mistakes.append(mistake))
    lines = pyproject.lines_of_list(node, "exceptions")
    exceptions = (
        []
        if table is None or mistakes
        else [
            _exception(configured, f"{os.path.relpath(file)}:{line}", partial(_add_mistake, mistakes, line))
            for configured, line in zip(table.exceptions, lines, strict=True)
        ]
    )
    mistakes += [
        (line, "an audit needs a `target`, or a script to `run`")
        for line in pyproject.lines_without(node, "audits", ("target", "run"))
    ]
    lines = pyproject.lines_of_list(node, "audits")
    for audit, line in zip(table.audits if table is not None else (), lines, strict=False):
        mistakes += [(line, text) for text in _mistakes_of_audit(audit)]
    if mistakes:
        raise DecayAuditError("\n".join(f"{file.name}:{line}: {text}" for line, text in sorted(mistakes)), _HINT)
    return table, exceptions


def _mistakes_of_audit(audit: Any) -> Iterator[str]:  # noqa: ANN401 - of a type that is made here
    if not audit.run:
        yield from (f"`{name}` needs `run`" for name in RUN_OPTIONS if getattr(audit, name, None))
        return
    yield from (
        f"`{name.strip('_')}` is not for an audit with `run`" for name in _NEEDING_TARGET if getattr(audit, name)
    )


def _add_mistake(mistakes: list[tuple[int, str]], line: int, text: str) -> None:
    mistakes.append((line, text))


def _exception(configured: ConfiguredException, where: str, report: Callable[[str], None]) -> "FindingException":
    from decay_audit.checks.codes import CODES
    from decay_audit.checks.exceptions import FindingException

    if configured.code not in CODES:
        (similar,) = get_close_matches(configured.code, CODES, n=1, cutoff=0.0)
        report(f"`code` is `{configured.code}`, which is no code; did you mean `{similar}`?")
    if not configured.reason.strip():
        report("`reason` is empty: say why the finding is accepted")
    until = None
    try:
        until = date.fromisoformat(configured.until) if configured.until else None
    except ValueError:
        report(f"`until` is `{configured.until}`; it must be a date such as 2027-01-31")
    return FindingException(
        code=configured.code,
        parameters=(configured.parameters,) if isinstance(configured.parameters, str) else configured.parameters,
        reason=configured.reason,
        until=until,
        target=configured.target,
        covers=None if configured.covers < 0 else configured.covers,
        where=where,
    )


def schema() -> dict[str, Any]:
    """Make the JSON Schema of the table, for editors: each key with its type, its default and its help."""
    reference, parts = msgspec.json.schema_components([_table_type(UnsetType)], ref_template="#/$defs/{name}")
    parts["ConfiguredAudit"]["anyOf"] = [{"required": ["target"]}, {"required": ["run"]}]
    return {
        "$schema": DIALECT,
        **reference[0],
        "title": "decay-audit in pyproject.toml, or decay-audit.toml",
        "$defs": parts,
    }


def _table_type(absent: type[UnsetType] | None) -> Any:  # noqa: ANN401 - a type that is made here
    """Make the type of the table from the declared options.

    Args:
        absent: the type of a key that is not set: None for reading, UnsetType for the schema, so that it has no null.
    """
    default = UNSET if absent is UnsetType else None
    fields_of_audit = [
        ("target", Annotated[TargetKey | absent, Meta()], default),
        ("run", Annotated[RunKey | absent, Meta()], default),
        ("name", Annotated[NameKey | absent, Meta()], default),
    ]
    audit = _struct_type("ConfiguredAudit", [*fields_of_audit, *_fields(AUDIT_SCOPES, absent)])
    lists = {"audits": audit, "exceptions": ConfiguredException}
    fields = [(name, GenericAlias(tuple, (kind, ...)), ()) for name, kind in lists.items()]
    extends = ("extends", Annotated[ExtendsKey | absent, Meta()], default)
    return _struct_type("DecayAudit", [extends, *_fields(TABLE_SCOPES, absent), *fields])


def _struct_type(name: str, form_fields: Sequence[Any]) -> Any:  # noqa: ANN401
    return msgspec.defstruct(name, form_fields, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab")


def _fields(scopes: Sequence[ConfigScope], absent: type[UnsetType] | None) -> list[tuple[str, Any, Any]]:
    default = UNSET if absent is UnsetType else None
    return [
        (option.name, Annotated[option.type | absent, _help_and_default(option)], default)
        for option in OPTIONS.values()
        if option.option.config in scopes
    ]


def _help_and_default(declared: DeclaredOption) -> Meta:
    default = {"default": declared.default} if declared.default or declared.default is False else {}
    return Meta(description=declared.option.help, extra_json_schema=default)


def _options_in(table: Any) -> dict[str, Any]:  # noqa: ANN401 - of a type that is made here
    """List the options that a table sets, by their names."""
    values = {name: getattr(table, name) for name in table.__struct_fields__ if name in OPTIONS}
    return {name: value for name, value in values.items() if value is not None}


def from_folder(options: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Rewrite paths, which are relative to the folder of pyproject.toml, as relative to the current folder."""
    return {
        name: _option_from(folder, name, value) if OPTIONS[name].option.names_file else value
        for name, value in options.items()
    }


def _option_from(folder: Path, name: str, value: str) -> str:
    """Rewrite the path in an option; a lock may be a file that is not written yet."""
    return os.path.relpath(folder / value) if name == "lock" else path_from(folder, value)


def path_from(folder: Path, value: str) -> str:
    """Rewrite the path in a value from `folder` to the current folder, so that commands in fixes can be pasted."""
    if folder == Path.cwd():
        return value
    file, colon, rest = value.partition(":")
    return f"{os.path.relpath(folder / file)}{colon}{rest}" if (folder / file).exists() else value


def title(audit: ConfiguredAudit, audits: Sequence[ConfiguredAudit]) -> str:
    """Say how an audit differs from the others of its target: by its name, or by the options that are not the same."""
    if audit.name:
        return audit.name
    of_target = [other for other in audits if (other.file_target, other.run) == (audit.file_target, audit.run)]
    names = [name for name in OPTIONS if len({other.file_options.get(name) for other in of_target}) > 1]
    values: Mapping[str, object] = {name: audit.file_options.get(name) for name in names}
    return ", ".join(name if value is True else f"{name} {value}" for name, value in values.items() if _is_short(value))


def _is_short(value: object) -> bool:
    """Whether a title can hold the value of an option."""
    return value is True or isinstance(value, str | float)
