"""A pickle interpreter that imports nothing and calls nothing: every object becomes an inert value.

`interpreter.interpret` looks up each opcode in its table and lets it change a `Machine`. A GLOBAL becomes a `Global`; a
call of one on the allowlist becomes a Tensor, a dict and the like, any other call an OpaqueObject.

    interpreter         the loop over the opcodes of one pickle
    machine             the stack, the memo, a window on the bytes, and the limits
    opcodes_scalars     opcodes for numbers, strings, bytes and constants
    opcodes_containers  opcodes for lists, sets and dicts
    opcodes_objects     opcodes for the stack, the memo, globals and calls
    tensor_fast_path    the opcodes of one tensor, matched at once: for speed
    allowlist           the globals that a state dict needs, and what a call of each makes
    dangerous_names     which globals run code: they are listed first
    storages            persistent ids become storages
    inert_values        Global, OpaqueObject, and the result of a pickle
"""
