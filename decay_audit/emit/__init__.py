"""Emitting: a Plan becomes Python that was executed and compared before anyone sees it."""

from decay_audit.emit.program import code, notes
from decay_audit.emit.verification import verify

__all__ = ["code", "notes", "verify"]
