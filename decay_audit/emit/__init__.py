"""A Plan becomes Python code, which is executed and compared with the plan before it is printed."""

from decay_audit.emit.program import code, notes
from decay_audit.emit.verification import verify

__all__ = ["code", "notes", "verify"]
