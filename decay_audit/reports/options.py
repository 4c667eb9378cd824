"""How a report is rendered: for which width, with or without colour, folded or in full."""

from msgspec import Struct


class Options(Struct, frozen=True, kw_only=True):
    """How a report looks; its content does not depend on it. Machine formats use `artifact` only.

    Attributes:
        width: columns of the terminal; None for a pipe or a file, where no line is ever broken.
        color: whether to style with terminal escapes.
        full: show one row for each parameter; fold nothing.
        verbose: also list the tensors that were left out.
        titled: write the target above its findings, because there are several targets.
        show_excepted: list the findings that have an exception, too.
        artifact: path of the target's file in the repository; "" if it has none.
    """

    width: int | None = None
    color: bool = False
    full: bool = False
    verbose: bool = False
    titled: bool = False
    artifact: str = ""
    show_excepted: bool = False
