"""A pickle interpreter that imports nothing and calls nothing: every object becomes an inert value.

`interpreter.interpret` looks up each opcode in its table and lets it change a `Machine`. A GLOBAL becomes a `Global`; a
call of a Global on the allowlist becomes a Tensor, a dict and the like, any other call an OpaqueObject.

    interpreter         the loop over the opcodes of one pickle
    machine             the stack, the memo, a window on the bytes, and the limits
    opcodes_scalars     opcodes for numbers, strings, bytes and constants
    opcodes_containers  opcodes for lists, sets and dicts
    opcodes_objects     opcodes for the stack, the memo, globals and calls
    tensor_fast_path    reads the opcodes of one tensor at once, for speed
    allowlist           the globals that a state dict needs, and functions that make the value of a call
    dangerous_names     recognizes globals that run code, which are listed first
    storages            persistent ids -> storages
    inert_values        Global, OpaqueObject, and the result of a pickle
"""
