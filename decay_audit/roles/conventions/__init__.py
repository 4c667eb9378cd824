"""The names that people give to tensors, modules and classes, as literal tables. No architecture decides anything here.

- `convention`: what a row is (words, source, names that match, near misses), and how rows are compiled.
- `tensors`: names of tensors, with the role that each means; those of quantized weights apart. It
  takes two long entries from `positions` and `tokens`.
- `general`: names of tensors that only say what kind of thing they are (`scale`, `proj`); asked last.
- `adapters`, `affines`: the tensors of adapters (`lora_A`), and the gain and shift of a norm.
- `state_spaces`: tensors of a state space, by what is beside them (`B` beside `log_step`).
- `modules`: names of modules (`norm1`, `wpe`, `ls1`).
- `classes`: names of classes (`RMSNorm`, `StarReLU`).
- `layers`: what tells one layer from another (`q_proj` in attention, `ln_f` for a layer norm).

Each row is tested on its own examples. `tests/roles/conventions.txt` lists all of these examples once more, so a test
fails when a row is deleted or loses a word.
"""
