"""Names as files give them become canonical names: without what wrappers put in, one for each tensor."""

from collections.abc import Iterable, Sequence
from typing import Final

from decay_audit.model.parameters import WRAPPER_PARTS
from decay_audit.sources.checkpoint.pickle.values import MalformedError

MAX_NAME: Final = 1024
MAX_PARTS: Final = 64
_PREFIX: Final = "module."


def without_wrappers(name: str) -> str:
    """Drop the parts that only wrappers make."""
    return ".".join(part for part in name.split(".") if part not in WRAPPER_PARTS)


class Canonical:
    """The way from raw to canonical names for one state dict; names of its optimizer take the same way."""

    def __init__(self, raw: Iterable[str]) -> None:
        names = list(raw)
        for name in names:
            if len(name) > MAX_NAME or name.count(".") >= MAX_PARTS:
                raise MalformedError(f"it holds a name of {len(name)} characters and {name.count('.') + 1} parts")
        joined = "\n".join(names)
        self.wrapped = any(part in joined for part in WRAPPER_PARTS)
        self.prefixes = 0
        if names and all(name.startswith(_PREFIX) for name in map(self._unwrapped, names)):
            stripped = [self._unwrapped(name) for name in names]
            while stripped and all(name.startswith(_PREFIX) for name in stripped):
                stripped = [name.removeprefix(_PREFIX) for name in stripped]
                self.prefixes += 1

    def _unwrapped(self, name: str) -> str:
        return without_wrappers(name) if self.wrapped else name

    def __call__(self, raw: str) -> str:
        """Give the canonical name."""
        if not self.wrapped and not self.prefixes:
            return raw
        name = self._unwrapped(raw)
        for _ in range(self.prefixes):
            name = name.removeprefix(_PREFIX)
        return name or raw


class _Padded(dict[str, str]):
    """Number parts padded with zeros, made once each."""

    def __missing__(self, part: str) -> str:
        padded = self[part] = part.zfill(8) if part.isdigit() else part
        return padded


def in_number_order(names: Sequence[str]) -> list[str]:
    """Sort so that `h.2` comes before `h.10`."""
    padded = _Padded()
    return sorted(names, key=lambda name: [padded[part] for part in name.split(".")])
