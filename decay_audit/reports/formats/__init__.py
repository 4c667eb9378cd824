"""Formats for machines and pages: each module has render(report), and imports no other format and no Rich."""
