"""What goes wrong because of the input: a message that names the thing, and a hint that is the way out."""


class DecayAuditError(Exception):
    """Something decay-audit was asked to do and cannot; the command line prints it and exits 2.

    Args:
        message: what is wrong, and where.
        hint: the accepted form, the nearest spelling, or the command to run instead; may be empty.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class TargetError(DecayAuditError):
    """The target cannot be found, loaded or built."""


class RulesError(DecayAuditError):
    """A ruleset cannot be found, or has mistakes; the message lists all of them."""


class PlanError(DecayAuditError):
    """A ruleset gives no answer for a parameter."""


class OptimizerError(DecayAuditError):
    """What was given as an optimizer is none, cannot be read, or does not survive a probing step."""


class DecayAssertionError(AssertionError):
    """A model's optimizer does not do what the ruleset asks for; the message lists the findings."""
