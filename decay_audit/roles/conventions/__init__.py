"""Tables of the names that people give to tensors, modules and classes. No row names an architecture.

- `convention`: the types of a row (words, source, names that match, near misses) and of a table.
- `tensors`: names of tensors with their roles; quantized weights have a table of their own.
- `positions`, `tokens`: two long entries of the table in `tensors`.
- `general`: general names of tensors (`scale`, `proj`); this table is used last.
- `adapters`, `affines`: the tensors of adapters (`lora_A`), and the gain and shift of a norm.
- `state_spaces`: tensors of a state space, by their siblings (`B` beside `log_step`).
- `modules`: names of modules (`norm1`, `wpe`, `ls1`).
- `classes`: names of classes (`RMSNorm`, `StarReLU`).
- `layers`: names by which layers differ (`q_proj` for attention, `ln_f` for a layer norm).

Each row is tested on its own examples. `tests/roles/conventions.txt` lists all of these examples once more, so a test
fails when a row is deleted or loses a word.
"""
