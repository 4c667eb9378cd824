"""Whole texts, kept as files: `DECAY_AUDIT_WRITE_SNAPSHOTS=1 pytest tests/reports` writes them anew."""

import os
from pathlib import Path

FOLDER = Path(__file__).parent / "snapshots"


def matches_snapshot(name: str, text: str) -> bool:
    """Whether the text is the snapshot of this name, byte for byte."""
    file = FOLDER / name
    if os.environ.get("DECAY_AUDIT_WRITE_SNAPSHOTS"):
        FOLDER.mkdir(exist_ok=True)
        file.write_bytes(text.encode())
    snapshot = file.read_bytes().decode()
    if snapshot != text:
        print(f"--- {name}, as it is now:\n{text}")  # pytest shows it
    return snapshot == text
