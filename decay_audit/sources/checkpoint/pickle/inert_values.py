"""What stands for the objects of a pickle that are not plain data: globals and calls, as values that cannot run."""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct


class Global(Struct, frozen=True, kw_only=True, eq=False):
    """A pickle GLOBAL: a class or function by its qualified name, never imported.

    Attributes:
        build: makes the inert value of a call from the call's arguments; None for what is not on the allowlist.
        dtype: of a dtype or a storage class: torch's name of the dtype.
    """

    qualified: str
    build: "Callable[[tuple[Any, ...]], object] | None" = None
    dtype: str = ""


class OpaqueObject(Struct, kw_only=True, eq=False):
    """What a call to unknown code would have made: the name and the arguments of the call, which is never done.

    Attributes:
        state: what BUILD would have given to the object.
        items: what SETITEMS would have put into it.
        elements: what APPENDS would have added to it.
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
        script_parameters: names of the parameters of each TorchScript class, by its qualified name: the modules in the
            pickle do not tell parameters from buffers.
        notes: what a user should know about the reading, one sentence each.
    """

    root: object
    opaque: tuple[str, ...] = ()
    script_parameters: Mapping[str, frozenset[str]] = {}
    notes: tuple[str, ...] = ()
