"""Checkpoints: names, shapes and types from headers alone, without torch, and without running what a file says."""

from decay_audit.sources.checkpoint.read import read

__all__ = ["read"]
