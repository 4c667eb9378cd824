"""Closed sets of words that a user chooses from. This module imports no other, so that `--help` stays fast."""

from enum import StrEnum
from typing import Literal, get_args

Device = Literal["auto", "meta", "streamed", "cpu"]
"""Where a model is built."""

Severity = Literal["error", "warning", "note"]
"""How bad a finding is."""

SEVERITIES: tuple[Severity, ...] = get_args(Severity)  # worst first

ScheduleInterval = Literal["step", "epoch"]
"""How often training steps a scheduler: after every optimizer step, or after every epoch."""

CoefficientSource = Literal["ruleset", "option", "optimizer"]
"""Where the base coefficient of a plan comes from: the ruleset, the option `--weight-decay`, or the optimizers."""

Color = Literal["auto", "always", "never"]
"""When to colour what goes to a terminal."""


CodeStyle = Literal["rule", "names", "library", "policy"]
"""How emitted code selects parameters: by conditions, by names, by calling decay-audit, or by the rules."""


Framework = Literal["torch", "lightning", "trainer", "timm", "mmengine", "detectron2", "torchtitan", "optax"]
"""The framework for which code is written."""


class Format(StrEnum):
    """Formats of a report; `text` is the table, or the tree on a terminal that is too low for the table."""

    TEXT = "text"
    TABLE = "table"
    TREE = "tree"
    JSON = "json"
    MARKDOWN = "markdown"
    CSV = "csv"
    SARIF = "sarif"
    GITHUB = "github"
    JUNIT = "junit"
    GITLAB = "gitlab"
    HTML = "html"


SUFFIXES: dict[str, tuple[Format, ...]] = {
    ".gitlab.json": (Format.GITLAB,),
    ".json": (Format.JSON, Format.SARIF, Format.GITLAB),
    ".sarif": (Format.SARIF,),
    ".md": (Format.MARKDOWN,),
    ".csv": (Format.CSV,),
    ".xml": (Format.JUNIT,),
    ".html": (Format.HTML,),
}
"""The formats that a file with a suffix may have, the usual one first."""

TEXT_SUFFIXES = ("", ".txt", ".log")
"""The suffixes of a file that has the format text without `--format`."""


ComparisonFormat = Literal["text", "json", "html"]
"""Formats of a comparison of rulesets or of models."""
