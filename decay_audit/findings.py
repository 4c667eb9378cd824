"""The codes: what each finding means, how bad it is, and the value that a check returns."""

from typing import Literal

from msgspec import Struct

Severity = Literal["error", "warning", "note"]


class Finding(Struct, frozen=True, kw_only=True):
    """One difference, said once per code and cause, with every parameter that it concerns.

    Attributes:
        expected: what the ruleset, lock or model asks for.
        found: what is there instead.
        where: rule (file:line), group or file that the finding points to; may be empty.
        fix: the command or edit that repairs it; may be empty.
    """

    code: str
    severity: Severity
    parameters: tuple[str, ...] = ()
    message: str
    expected: str = ""
    found: str = ""
    where: str = ""
    fix: str = ""
