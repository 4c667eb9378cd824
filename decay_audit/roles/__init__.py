"""Naming: a Parameter becomes a Classified, by a pure function that needs no torch."""

from decay_audit.roles.classify import classify

__all__ = ["classify"]
