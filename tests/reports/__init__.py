"""Tests of the reports: whole texts as snapshots, and claims about every format."""
