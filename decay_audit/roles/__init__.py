"""Naming: a Parameter becomes a Classified, by a pure function that needs no torch."""
