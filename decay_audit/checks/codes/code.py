"""What a code means."""

from msgspec import Struct

from decay_audit.model.choices import Severity


class Code(Struct, frozen=True, kw_only=True):
    """A code: its title in a list, its severity, and the paragraph that `explain CODE` prints."""

    title: str
    severity: Severity
    explanation: str
