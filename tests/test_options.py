"""The options are declared once: the command line, pyproject.toml, Python and callbacks follow `api.options`."""

import inspect
import json
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
import typer

import decay_audit
from decay_audit.api.options import (
    AuditOptions,
    CodeOptions,
    DeclaredOption,
    OutputOptions,
    Panel,
    ParameterFilter,
    declared_options,
)
from decay_audit.cli import app, config
from decay_audit.integrations.training import TrainingAudit

SECTIONS = (CodeOptions, ParameterFilter, OutputOptions, AuditOptions)  # an audit's `optimizer` is the last
DECLARED = {declared.name: declared for section in SECTIONS for declared in declared_options(section)}
AUDIT = {declared.name: declared for declared in declared_options(AuditOptions)}
ROOT = Path(__file__).parents[1]
# A callback only logs, unless it is told to stop the job.
ITS_OWN_DEFAULT: dict[tuple[Callable[..., object], str], object] = {(TrainingAudit, "fail_on"): None}
ARGUMENTS = {"model", "optimizer", "schedule", "target"}  # objects, where the command line has expressions


def commands(command: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every command with the words that call it."""
    subcommands = getattr(command, "commands", None)
    if subcommands is None:
        yield path, command
    for name, subcommand in (subcommands or {}).items():
        yield from commands(subcommand, f"{path} {name}".strip())


COMMANDS = dict(commands(typer.main.get_command(app)))


def flags(command: str) -> dict[str, Any]:
    return {option.opts[0]: option for option in COMMANDS[command].params if option.param_type_name == "option"}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_a_command_stands_in_a_panel_and_has_help(command: str) -> None:
    for option in flags(command).values():
        assert option.rich_help_panel in get_args(Panel)
        assert option.help.endswith(".")


@pytest.mark.parametrize("command", COMMANDS)
def test_an_option_that_several_commands_have_is_the_same_in_all(command: str) -> None:
    own = {  # what one command alone takes, by the same name
        "diff": {"--rules", "--format", "--from", "--to", "--exit-code"},
        "rules which": {"--format"},
        "rules list": {"--format"},
        "emit": {"--optimizer"},
        "migrate": {"--to", "--model", "--output", "--drop", "--init", "--renamed"},
        "rules import": {"--check", "--from"},
        "check": {"--exit-zero", "--audit", "--show-exceptions", "--write-baseline", "--show-settings"},
        "lock": {"--check", "--update", "--output", "--audit"},
        "run": {"--exit-zero", "--module", "--until", "--timeout", "--pretend", "--watch", "--scratch", "--list"},
        "explain": {"--list"},
        "find": {"--write"},
        "sweep": {"--output", "--resume", "--processes", "--cluster"},
    }.get(command, set())
    shared = {flag: option for flag, option in flags(command).items() if flag not in own and flag != "--help"}
    for flag, option in shared.items():
        declared = DECLARED.get(option.name) or DECLARED[f"{option.name}_"]
        assert (flag.removeprefix("--").replace("-", "_"), option.help) == (
            declared.name.strip("_"),
            declared.option.help,
        )
        assert (option.default or None) == (declared.default or None)


def test_check_has_every_audit_option_and_every_output_option() -> None:
    assert {option.name for option in flags("check").values()} == {
        *AUDIT,
        *(declared.name for declared in declared_options(OutputOptions)),
        "audit",
        "exit_zero",
        "show_exceptions",
        "write_baseline",
        "show_settings",
    }


def some_value(declared: DeclaredOption) -> object:
    """A value that is not the default."""
    if declared.type in (bool, bool | None):
        return True
    if declared.type == tuple[str, ...]:
        return ["DA1"]
    if declared.name in ("weight_decay", "lr"):
        return 0.3
    if declared.name in ("steps", "epoch_steps"):
        return 300
    words = [word for word in get_args(declared.type) if isinstance(word, str)]
    return words[-1] if words else "text"


@pytest.mark.parametrize("name", DECLARED)
def test_pyproject_takes_an_option_where_it_is_declared_to_and_nowhere_else(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    declared = DECLARED[name]
    line = f"{name.strip('_').replace('_', '-')} = {json.dumps(some_value(declared))}\n"
    for scope, table in (
        (config.TABLE_SCOPES, f"[tool.decay-audit]\n{line}"),
        (config.AUDIT_SCOPES, f"[[tool.decay-audit.audits]]\ntarget = 'net.py'\n{line}"),
    ):
        file = tmp_path / "pyproject.toml"
        file.write_text(table)
        if config.OPTIONS.get(name) == declared and declared.option.config in scope:
            read = config.load(file)
            options = read.audits[0].options if read.audits else read.defaults
            value = some_value(declared)
            assert options == {name: tuple(value) if isinstance(value, list) else value}
            jsonschema.validate(tomllib.loads(table)["tool"]["decay-audit"], config.schema())
        elif config.OPTIONS.get(name) is None:
            with pytest.raises(decay_audit.DecayAuditError, match="unknown key"):
                config.load(file)


def test_every_audit_option_may_stand_in_an_audit() -> None:
    assert all(declared.option.config in config.AUDIT_SCOPES for declared in AUDIT.values())


def test_the_schema_of_the_table_has_the_help_and_the_defaults_and_accepts_the_example_of_the_docs() -> None:
    schema = config.schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    table = schema["$defs"]["DecayAudit"]["properties"]
    for name in ("rules", "device", "fail_on"):
        key = table[name.replace("_", "-")]
        assert (key["description"], key["default"]) == (AUDIT[name].option.help, AUDIT[name].default)
    example = (ROOT / "docs/ci.md").read_text().partition("```toml\n")[2].partition("```")[0]
    jsonschema.validate(tomllib.loads(example)["tool"]["decay-audit"], schema)
    mistakes: list[dict[str, Any]] = [
        {"ruels": "timm"},
        {"weight-decay": -1},
        {"audits": [{}]},
        {"fail-on": "never"},
        {"rules": None},
    ]
    for mistake in mistakes:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(mistake, schema)


@pytest.mark.parametrize(
    "function",
    [
        decay_audit.read,
        decay_audit.plan,
        decay_audit.audit,
        decay_audit.assert_decay,
        decay_audit.param_groups,
        TrainingAudit,
    ],
    ids=lambda function: function.__name__,
)
def test_every_keyword_in_python_is_an_option_with_its_name_and_default(function: Callable[..., object]) -> None:
    keywords = {
        name: parameter for name, parameter in inspect.signature(function).parameters.items() if name not in ARGUMENTS
    }
    assert keywords.keys() <= DECLARED.keys()
    defaults = {name: parameter.default for name, parameter in keywords.items()}
    declared = {name: ITS_OWN_DEFAULT.get((function, name), DECLARED[name].default) for name in keywords}
    assert defaults == declared


def test_both_callbacks_take_the_same_settings() -> None:
    pytest.importorskip("transformers")
    from decay_audit.integrations.trainer import DecayAuditCallback

    assert inspect.signature(DecayAuditCallback) == inspect.signature(TrainingAudit)


def test_every_field_of_a_section_is_an_option() -> None:
    for section in SECTIONS:
        assert [declared.name for declared in declared_options(section)] == list(section.__struct_fields__)
