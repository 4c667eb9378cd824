"""Saying: a Report becomes text, JSON, Markdown, CSV or a tree."""
