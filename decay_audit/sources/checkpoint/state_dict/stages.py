"""Give the tensors of a pipeline's stages the names that they have in the whole model."""

import re
from collections.abc import Mapping

from msgspec.structs import replace

from decay_audit.sources.checkpoint.contents import FileContents, MalformedError

_LAYER = re.compile(r"(?<![^.])layers\.(\d+)(?=\.)")
"""The number of a layer in a name: the stage's own, from 0 on."""


def with_prefix(contents: FileContents, prefix: str) -> FileContents:
    """Put a prefix before all names."""
    return replace(
        contents,
        tensors={f"{prefix}{name}": tensor for name, tensor in contents.tensors.items()},
        non_tensors={f"{prefix}{name}": reason for name, reason in contents.non_tensors.items()},
        buffers=frozenset(f"{prefix}{name}" for name in contents.buffers),
    )


def number_layers(stages: Mapping[str, FileContents]) -> dict[str, FileContents]:
    """Continue the numbers of the layers from each stage to the next.

    Tensors that several stages hold, such as an embedding that is tied to the head, are kept where they come first.

    Raises:
        MalformedError: a stage holds several parts of the model, so that the order of the layers is not in the files.
    """
    numbered: dict[str, FileContents] = {}
    first = 0
    seen: set[str] = set()
    for file, contents in stages.items():
        if any(path.startswith("model") and path[5:].isdecimal() for path in contents.other_state_dicts):
            raise MalformedError(
                f"{file} holds several parts of the model (interleaved stages of a pipeline)",
                "name the file of one stage to read it alone",
            )
        numbers = [int(match[1]) for match in map(_LAYER.search, contents.tensors) if match]
        shift = first if min(numbers, default=first) < first else 0
        first = max(first, max(numbers, default=-1) + 1 + shift)
        tensors = {_shifted(name, shift): tensor for name, tensor in contents.tensors.items()}
        numbered[file] = replace(
            contents, tensors={name: tensor for name, tensor in tensors.items() if name not in seen}
        )
        seen.update(tensors)
    return numbered


def _shifted(name: str, shift: int) -> str:
    return _LAYER.sub(lambda match: f"layers.{int(match[1]) + shift}", name, count=1) if shift else name
