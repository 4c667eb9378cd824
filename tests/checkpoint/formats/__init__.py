"""Tests of the file formats: each is recognized and read, and damaged files are errors."""
