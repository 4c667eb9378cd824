"""With `--pretend`: stand-ins for what the script needs and the machine does not have: gpu, world, data."""
