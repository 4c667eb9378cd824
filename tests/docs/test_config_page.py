"""docs/config.md is made from the declared options and the schema of the settings."""

import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema

from decay_audit.cli import config
from tests.docs.pages import DOCS, assert_page_is, table

HEAD = """# Settings

`decay-audit` reads its settings from the nearest `pyproject.toml` with a table `[tool.decay-audit]`, in the current
folder or a folder above it. A `decay-audit.toml` is the same table by itself (`rules = "timm"`, `[[audits]]`,
`[[exceptions]]`), and wins over a `pyproject.toml` in the same folder. Paths are relative to the folder of the file.

```toml
[tool.decay-audit]
rules = "no-norm-no-bias"
fail-on = "warning"

[[tool.decay-audit.audits]]
target = "models/vit.py:vit_base"
optimizer = "train.py:make_optimizer"
lock = "decay.lock"

[[tool.decay-audit.audits]]
name = "pretraining"
run = "train.py --epochs 1"

[[tool.decay-audit.exceptions]]
code = "DA101"
parameters = "head.*"
reason = "the paper decays the head's bias"
until = "2027-01-31"
```

`decay-audit check` without a target runs the audits. From strongest to weakest, a value comes from: the command line,
the audit, the table, the file that the table `extends`, the default. `decay-audit check --show-settings` prints each
value and where it comes from. A key that is not known is an error that names the nearest one. `decay-audit config`
prints the JSON Schema from which this page is made, for editors.
"""
SECTIONS = {
    "DecayAudit": ("`[tool.decay-audit]`", "The defaults of all commands and audits."),
    "ConfiguredAudit": (
        "`[[tool.decay-audit.audits]]`",
        "One audit. It needs a `target`, or a script to `run`; what it sets wins over the table above.",
    ),
    "ConfiguredException": (
        "`[[tool.decay-audit.exceptions]]`",
        "A finding that the project accepts. `code` and `reason` are required; "
        "`check --write-baseline` makes exceptions of today's findings.",
    ),
}
LISTS = {
    "audits": "The audits that `decay-audit check` runs; see below.",
    "exceptions": "The findings that the project accepts; see below.",
}


def page() -> str:
    parts = config.schema()["$defs"]
    return HEAD + "".join(
        f"\n## {title}\n\n{text}\n\n{table(['key', 'value', 'what it does', 'default'], rows(parts[name]))}"
        for name, (title, text) in SECTIONS.items()
    )


def rows(part: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    return [
        (f"`{key}`", kind(value), value.get("description") or LISTS[key], default(value))
        for key, value in part["properties"].items()
    ]


def kind(value: dict[str, Any]) -> str:
    """Say in words what a value may be."""
    if "anyOf" in value:
        return " or ".join(kind(form) for form in value["anyOf"] if form.get("type") != "null")
    if "enum" in value:
        return ", ".join(f'`"{word}"`' for word in value["enum"])
    names = {"boolean": "`true` or `false`", "string": "text", "number": "number", "integer": "whole number"}
    if value.get("type") == "array":
        return "list of tables" if "$ref" in value["items"] else "list of texts"
    return names[value["type"]]


def default(value: dict[str, Any]) -> str:
    given = value.get("default")
    if given in (None, "", [], (), -1):
        return ""
    return f"`{str(given).lower() if isinstance(given, bool) else given}`"


def test_the_page_of_settings_is_what_the_schema_says() -> None:
    assert_page_is("config.md", page())


def test_the_example_of_the_settings_is_read_and_fits_the_schema(tmp_path: Path) -> None:
    (example,) = re.findall(r"^```toml\n(.*?)^```$", (DOCS / "config.md").read_text(), re.M | re.S)
    jsonschema.validate(tomllib.loads(example)["tool"]["decay-audit"], config.schema())
    file = tmp_path / "pyproject.toml"
    file.write_text(example)
    loaded = config.load(file)
    assert [audit.target or audit.run for audit in loaded.audits][1] == "train.py --epochs 1"
    assert [exception.code for exception in loaded.exceptions] == ["DA101"]
