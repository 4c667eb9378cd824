"""How a report should be said: the terminal it is for, and how much of it."""

from msgspec import Struct


class Options(Struct, frozen=True, kw_only=True):
    """What may change how a report looks, and never what it says. Machine formats read `artifact` alone.

    Attributes:
        width: columns of the terminal; None for a pipe or a file, where no line is ever broken.
        color: whether to style with terminal escapes.
        full: one row a parameter, nothing folded.
        verbose: list the tensors that were left out, too.
        titled: write the target above its findings, because several targets are reported.
        artifact: path of the target's file as a code host knows it; "" for the name that the inventory has.
    """

    width: int | None = None
    color: bool = False
    full: bool = False
    verbose: bool = False
    titled: bool = False
    artifact: str = ""
