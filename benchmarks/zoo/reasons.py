"""The reasons for differences between two roles of a parameter: a Case becomes a sentence that a reader can check."""

import re

from msgspec import Struct

from benchmarks.zoo.answers import Case


class Reason(Struct, frozen=True, kw_only=True):
    """A reason, and patterns for the cases that it explains. An empty pattern fits every case."""

    structure: str = ""
    use: str = ""
    detail: str = ""
    text: str

    def holds(self, case: Case) -> bool:
        """Whether all patterns are found in the texts of the case."""
        return all(
            re.search(pattern, text) is not None
            for pattern, text in ((self.structure, case.structure), (self.use, case.other), (self.detail, case.detail))
        )


REASONS: tuple[Reason, ...] = (
    Reason(
        structure="linear_weight",
        use="position_embedding",
        detail="index",
        text="a linear layer whose weight is only indexed, never multiplied. Use is right; the class wins, because "
        "a sum alone is not proof",
    ),
    Reason(
        structure="scale",
        use="norm_weight",
        detail="normal",
        text="a factor directly after a normalization is that norm's weight: use wins, since the name only says scale",
    ),
)
"""Reasons for differences between structure and use."""

HEADER_REASONS: tuple[Reason, ...] = (
    Reason(
        structure="^embedding",
        use="^linear_weight",
        text="an embedding whose name does not say so: only its class does",
    ),
    Reason(
        structure="^linear_weight",
        use="^(relative_position_bias|position_embedding)",
        text="a linear layer that is used and named as a position table: only its class says linear",
    ),
    Reason(
        structure="^norm_weight",
        use="^activation",
        text="a norm in a module that is named after an activation",
    ),
)
"""Reasons for differences between structure and the state dict alone."""

OBSTACLES: tuple[tuple[str, str], ...] = (
    (r"requires the \w+ library", "needs a library that is not installed"),
    (r"took more than", "took too long"),
    (r"module \w+ has no attribute", "its class is not in the library"),
    (r"backbone is not set", "needs a backbone that the user chooses"),
    (r"must be divisible", "its default sizes contradict each other"),
    (r"missing the required", "has no forward pass of its own"),
    (r"get_obj_num|frame_idx", "takes a session of video frames"),
    (r"default_language|sliding_window|split_sizes=\[8, 12, 12\]|has no len", "its default configuration does not run"),
    (r"more than \d+ operators|one by one", "runs more operators than the limit of a trace"),
)
"""Patterns of messages, and why an architecture could not be built, or not be traced to its end."""


def obstacle(message: str, otherwise: str) -> str:
    """Return the reason for the message of an exception or a note; `otherwise` if no pattern is found in it."""
    return next((text for pattern, text in OBSTACLES if re.search(pattern, message)), otherwise)


UNCLASSIFIED_REASON = "its name is used nowhere else, and the trace did not reach it"
NO_REASON = "no reason given yet"


def reason(case: Case, reasons: tuple[Reason, ...] = REASONS) -> str:
    """Return the first reason that explains a case, or NO_REASON."""
    return next((row.text for row in reasons if row.holds(case)), NO_REASON)
