"""Values that stand for the globals and calls in a pickle, and that cannot run any code."""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct


class Global(Struct, frozen=True, kw_only=True, eq=False):
    """A pickle GLOBAL: a class or function by its qualified name, never imported.

    Attributes:
        build: makes the inert value of a call from its arguments; None for a global that is not on the allowlist.
        dtype: torch's name of the dtype, if this is a dtype or a storage class.
    """

    qualified: str
    build: "Callable[[tuple[Any, ...]], object] | None" = None
    dtype: str = ""


class OpaqueObject(Struct, kw_only=True, eq=False):
    """A call of unknown code, which is never run: the name of the function, and the arguments.

    Attributes:
        state: the state that BUILD would give to the result.
        items: the items that SETITEMS would put into the result.
        elements: the elements that APPENDS would add to the result.
    """

    name: str
    arguments: tuple[object, ...] = ()
    state: object = None
    items: "dict[Any, object] | None" = None
    elements: "list[object] | None" = None


class PickleResult(Struct, frozen=True, kw_only=True, eq=False):
    """The inert value of a file's pickle.

    Attributes:
        root: the value.
        opaque: qualified names in the pickle that are not on the allowlist.
        script_parameters: the names of the parameters of each TorchScript class, by its qualified name. The modules in
            the pickle do not distinguish parameters from buffers.
        has_constants: whether the code of a TorchScript module has tensors of its own, as for a frozen module.
        notes: what a user should know about the reading, one sentence each.
    """

    root: object
    opaque: tuple[str, ...] = ()
    script_parameters: Mapping[str, frozenset[str]] = {}
    has_constants: bool = False
    notes: tuple[str, ...] = ()
