"""The names that people give to tensors, modules and classes, as literal tables. No architecture decides anything here.

- `convention`: what a row is (words, where they come from, names that match, near misses) and how rows are compiled.
- `tensors`: what tensors are called (`cls_token`, `gamma`, `lora_A`), with the role that follows.
- `modules`: what modules are called (`norm1`, `wpe`, `ls1`).
- `classes`: what classes are called (`RMSNorm`, `StarReLU`).
- `layers`: what tells one layer from another (`q_proj` in attention, `ln_f` for a layer norm).

Every row is tested on its own examples, and `tests/roles/conventions.txt` lists them all once more: a row that goes, or
loses a word, is missed there.
"""
