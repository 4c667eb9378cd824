"""With `--pretend`: stand-ins for a GPU, a process group (`world`) or a dataset that the machine does not have."""
