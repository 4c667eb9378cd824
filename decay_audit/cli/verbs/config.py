"""`decay-audit config`: the JSON Schema of `[tool.decay-audit]`."""

import json
from typing import Annotated

from decay_audit.api.options import OutputOptions
from decay_audit.cli import config as tables, screen
from decay_audit.cli.command import takes


def config(*, output: Annotated[OutputOptions, takes(names=("output",))]) -> None:
    """Print the JSON Schema of the settings in pyproject.toml, for editors.

    `check --show-settings` shows the settings of this project.
    """
    screen.write(json.dumps(tables.schema(), indent=2), output.output)
