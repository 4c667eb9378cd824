"""Rulesets: their language, their files and the presets."""
