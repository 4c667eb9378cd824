"""Tests of the pickle interpreter: nothing runs, and the values are those that were pickled."""
