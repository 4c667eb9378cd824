"""Turn another codebase's configuration file of param groups into the text of a rules file.

Nothing in the file is executed: Python is read for its literals; YAML, JSON and TOML for their values.

- `read_config`: the file becomes plain values; mmengine_base adds the files that it inherits from
- `pattern_lists`, `mmengine`, `sam2`: plain values become a Draft, one function for each codebase
- `draft`: Draft, which has the keys of a rules file; and functions that search plain values
- `write_yaml`: a Draft becomes the text of a rules file
"""

from pathlib import Path
from typing import Any

from msgspec import Struct

from decay_audit.errors import RulesError
from decay_audit.rulesets.importing import mmengine, pattern_lists, sam2
from decay_audit.rulesets.importing.draft import Translator
from decay_audit.rulesets.importing.mmengine_base import read_inheriting
from decay_audit.rulesets.importing.write_yaml import text

__all__ = ["SOURCES", "Imported", "import_rules"]

SOURCES: dict[str, Translator] = {
    "basecls": pattern_lists.basecls,
    "llm-foundry": pattern_lists.llm_foundry,
    "mmengine": mmengine.mmengine,
    "olmo-core": pattern_lists.olmo_core,
    "sam2": sam2.sam2,
    "torchtitan": pattern_lists.torchtitan,
}
"""The codebases that `rules import --from` accepts, each with the function that reads its configuration."""


class Imported(Struct, frozen=True, kw_only=True):
    """A rules file made from another codebase's configuration.

    Attributes:
        text: the YAML, which loads as it is.
        notes: what the configuration asks for and a ruleset cannot express, one sentence each.
        source: the name of the codebase, a key of SOURCES.
        configuration: the plain values that the codebase's own function takes, where it can be called.
    """

    text: str
    notes: tuple[str, ...] = ()
    source: str
    configuration: Any = None


def import_rules(path: str | Path, source: str) -> Imported:
    """Write the ruleset that equals a configuration of the codebase `source`.

    Raises:
        RulesError: the file cannot be read, or has no configuration of that codebase.
    """
    if source not in SOURCES:
        raise RulesError(f"--from {source}: there is no codebase of this name", f"accepted: {', '.join(SOURCES)}")
    path = Path(path)
    config = read_inheriting(path)
    try:
        draft = SOURCES[source](config, path.stem)
    except (TypeError, KeyError, AttributeError) as error:  # a configuration may hold anything anywhere
        raise RulesError(f"{path.name} is not a {source} configuration that can be read: {error}") from error
    return Imported(text=text(draft), notes=draft.notes, source=source, configuration=draft.configuration)
