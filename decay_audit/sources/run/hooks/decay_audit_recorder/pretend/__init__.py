"""Replacements for what the machine does not have, with `--pretend`: a GPU, a process group (`world`), or a dataset."""
