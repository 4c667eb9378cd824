"""Checkpoints: names, shapes and types from headers alone, without torch, and without running what a file says."""

from decay_audit.sources.checkpoint.read import read
from decay_audit.sources.checkpoint.shards import is_checkpoint

__all__ = ["is_checkpoint", "read"]
