"""Emitting: a Plan becomes Python that was executed and compared before anyone sees it."""
