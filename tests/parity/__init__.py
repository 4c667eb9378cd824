"""Presets against the codebases that they are named after."""
