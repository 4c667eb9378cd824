"""Tests of reading saved optimizers and naming their positions."""
