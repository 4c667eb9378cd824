"""What a source reads from one target: its parameters, the saved optimizers, and how they were read."""

from typing import Literal

from msgspec import Struct

from decay_audit.model.observations import Optimizer
from decay_audit.model.parameters import Parameter

SourceKind = Literal["module", "safetensors", "torch"]
"""Where parameters come from: a live or built model, a safetensors file, or a file that torch wrote."""


class ExcludedTensor(Struct, frozen=True, kw_only=True):
    """A tensor of a checkpoint that is not a parameter, and the reason."""

    name: str
    reason: str


class LateParameter(Struct, frozen=True, kw_only=True):
    """A trainable parameter that the model does not have before its first forward pass, by its canonical name."""

    name: str
    shape: tuple[int, ...]


class Inventory(Struct, frozen=True, kw_only=True):
    """What a source read from a target.

    Attributes:
        target: the target as the user wrote it (a file by its name only).
        files: names of the files read, relative to the target's folder.
        built_on: how a model was built: `meta`, `streamed` (each parameter dropped to meta as it was registered) or
            `cpu`; None where nothing was built.
        parameters: in the model's own order, each tied parameter once.
        optimizers: optimizer states saved with the parameters.
        excluded: tensors of the file that are not parameters.
        notes: what a user should know about the reading, one sentence each.
        made_in_forward: parameters that the model made when its forward pass was traced.
        opaque: qualified names of classes and functions that a checkpoint's pickle refers to; they are never imported.
            The names that run code come first.
        dangerous: the names in `opaque` that run commands or code, or reach files and networks.
    """

    target: str
    kind: SourceKind = "module"
    files: tuple[str, ...] = ()
    built_on: str | None = None
    parameters: tuple[Parameter, ...] = ()
    optimizers: tuple[Optimizer, ...] = ()
    excluded: tuple[ExcludedTensor, ...] = ()
    notes: tuple[str, ...] = ()
    made_in_forward: tuple[LateParameter, ...] = ()
    opaque: tuple[str, ...] = ()
    dangerous: tuple[str, ...] = ()

    def packages(self) -> tuple[str, ...]:
        """Name the Python packages of the classes of the modules that hold parameters: `timm`, `torch`."""
        owners = (owner for parameter in self.parameters for owner in parameter.owner.lineage())
        return tuple(dict.fromkeys(name.partition(".")[0] for owner in owners for name in owner.types[:1]))

    def __repr__(self) -> str:
        """Keep the text short: the parameters of a large model have a million characters."""
        return f"<Inventory of {self.target!r}: {len(self.parameters)} parameters>"
