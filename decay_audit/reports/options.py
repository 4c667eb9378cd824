"""How a report is rendered: for which width, with or without colour, folded or in full."""

from msgspec import Struct


class Options(Struct, frozen=True, kw_only=True):
    """Choices about the look of a report; its content is the same. Machine formats use `artifact` only.

    Attributes:
        width: columns of the terminal; None for a pipe or a file, where no line is ever broken.
        color: whether to style with terminal escapes.
        full: show one row for each parameter; fold nothing.
        verbose: also list the tensors that were left out.
        titled: write the target above its findings, because several targets are reported.
        show_excepted: list the findings that have an exception, too.
        artifact: path of the target's file as a code host knows it; "" for the name that the inventory has.
    """

    width: int | None = None
    color: bool = False
    full: bool = False
    verbose: bool = False
    titled: bool = False
    artifact: str = ""
    show_excepted: bool = False
