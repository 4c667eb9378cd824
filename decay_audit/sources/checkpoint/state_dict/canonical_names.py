"""Make canonical names from the names in a file: remove the parts that wrappers (DDP, torch.compile, FSDP) add."""

from collections.abc import Iterable, Sequence
from typing import Final

from decay_audit.model.parameters import WRAPPER_PARTS
from decay_audit.sources.checkpoint.contents import MalformedError
from decay_audit.text import count_noun

_MAX_NAME: Final = 1024
"""The longest name of a tensor."""
_MAX_PARTS: Final = 64
"""The most parts between dots of a name."""
_PREFIX: Final = "module."
"""The prefix that DataParallel and DDP add to all names."""


def without_wrappers(name: str) -> str:
    """Remove the parts that only wrappers add."""
    return ".".join(part for part in name.split(".") if part not in WRAPPER_PARTS)


class CanonicalNames:
    """Makes the canonical names of one state dict, and of the same names in its optimizer.

    `module.` is removed only if all names of the state dict begin with it: it may be a name in the model itself.
    """

    def __init__(self, raw: Iterable[str]) -> None:
        names = list(raw)
        for name in names:
            if len(name) > _MAX_NAME or name.count(".") >= _MAX_PARTS:
                raise MalformedError(
                    f"a name in it has {len(name)} characters and {count_noun(name.count('.') + 1, 'part')}; "
                    f"at most {_MAX_NAME} and {_MAX_PARTS} are read",
                    "save the state dict with shorter names",
                )
        joined = "\n".join(names)  # one search in a long text is faster than many in short ones
        self._has_wrappers = any(part in joined for part in WRAPPER_PARTS)
        self._prefix_count = 0
        if names and all(name.startswith(_PREFIX) for name in map(self._unwrapped, names)):
            stripped = [self._unwrapped(name) for name in names]
            while stripped and all(name.startswith(_PREFIX) for name in stripped):
                stripped = [name.removeprefix(_PREFIX) for name in stripped]
                self._prefix_count += 1

    def _unwrapped(self, name: str) -> str:
        return without_wrappers(name) if self._has_wrappers else name

    def __call__(self, raw: str) -> str:
        """Return the canonical name."""
        if not self._has_wrappers and not self._prefix_count:
            return raw
        name = self._unwrapped(raw)
        for _ in range(self._prefix_count):
            name = name.removeprefix(_PREFIX)
        return name or raw


class _PaddedParts(dict[str, str]):
    """A cache of the parts of names. A part that is a number is padded with zeros, so that it sorts by its value."""

    def __missing__(self, part: str) -> str:
        padded = self[part] = part.zfill(8) if part.isdigit() else part
        return padded


def sort_by_number(names: Sequence[str]) -> list[str]:
    """Sort so that `h.2` comes before `h.10`."""
    padded = _PaddedParts()
    return sorted(names, key=lambda name: [padded[part] for part in name.split(".")])
