SAMPLE: tuple[str, ...] = ()
