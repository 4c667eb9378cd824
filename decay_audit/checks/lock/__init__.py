"""A lock: the decisions on a model at one time, in a text file; later decisions are compared with it.

- entries: a plan, and what optimizers do -> Lock: one Entry for each parameter
- entry_text: an Entry -> phrases for messages
- lock_file: a Lock <-> text; repeated blocks share a line
- renames: parameters that are gone and parameters that are new -> pairs of an old and a new name
- changes: two sets of entries -> Changes: what differs, what is new, gone or renamed
- findings: a lock, and the current entries -> findings (DA701, DA702, DA703)

These modules read no path and write no file.
"""
