"""How a report is rendered: for which width, with or without colour, folded or in full; and the files it points to."""

from collections.abc import Mapping

from msgspec import Struct

from decay_audit.model.observations import UpdateFormula


class OtherRuleset(Struct, frozen=True, kw_only=True):
    """What another ruleset decides on the same model: whether each parameter decays, in the order of the plan."""

    name: str
    title: str
    decays: tuple[bool, ...]


class PageParts(Struct, frozen=True, kw_only=True):
    """What only a page shows.

    Attributes:
        code: the param groups as code; "" where none could be written.
        updates: what a step does to a parameter, by the name of the optimizer and the index of its group.
    """

    code: str = ""
    other_rulesets: tuple[OtherRuleset, ...] = ()
    updates: Mapping[tuple[str, int], UpdateFormula] = {}


class FileLocation(Struct, frozen=True, kw_only=True):
    """A file, by its path from the root of the repository, and a line in it; line 0 is the file as a whole."""

    file: str
    line: int = 0


class SourceLocations(Struct, frozen=True, kw_only=True):
    """The files and lines of a repository for the parts of an audit. Parts outside the repository are left out.

    Attributes:
        files: the path from the root of the repository, for each file as a finding names it.
        target: the model, or the function that makes it.
        optimizers: the line that makes each optimizer, by the optimizer's name.
        owners: the class of the module that holds a parameter, by the parameter's name.
    """

    files: Mapping[str, str] = {}
    target: FileLocation | None = None
    optimizers: Mapping[str, FileLocation] = {}
    owners: Mapping[str, FileLocation] = {}


class Options(Struct, frozen=True, kw_only=True):
    """How a report looks; its content does not depend on it. Machine formats use `locations` only.

    Attributes:
        width: columns of the terminal; None for a pipe or a file, where no line is ever broken.
        height: lines of the terminal; a longer table is shown as a tree. None for a pipe or a file.
        color: whether to style with terminal escapes.
        full: show one row for each parameter; fold nothing.
        verbose: also list the tensors that were left out.
        titled: write the target above its findings, because there are several targets.
        show_excepted: list the findings that have an exception, too.
        locations: the files and lines of the repository for the parts of the audit.
        page: what a page of HTML shows beside the report.
    """

    width: int | None = None
    height: int | None = None
    color: bool = False
    full: bool = False
    verbose: bool = False
    titled: bool = False
    locations: SourceLocations = SourceLocations()
    show_excepted: bool = False
    page: PageParts = PageParts()


DEFAULT_OPTIONS = Options()
"""No limit of width, no colour, rows folded."""
