"""Tests of finding the state dict in a file, and of telling parameters from buffers."""
