"""Run a training script, unedited, and record the models and optimizers that it makes.

    launch         a command -> its processes, with the recorder in them, until they end or take too long
    hooks/         the first folder on PYTHONPATH: sitecustomize and the recorder, which need no decay-audit to record
    read_records   the files that the recorder wrote -> Records
    grouping       a Record -> the models and optimizers that belong to one audit together
    inventory      recorded models -> an Inventory
    facts          a Record -> the groups that code changed after construction, and the parameters without a gradient
    written_files  which files the script wrote; makes the copy of its folder for --scratch

`decay-audit find` reads code and runs nothing:

    python_files     a folder -> the texts of its Python files
    find_optimizers  the texts -> the places that make optimizers
    find_models      the texts -> the classes of models

`optimizers.recorded` makes Observations of the recorded optimizers. This package does not import torch.
"""

from decay_audit.sources.run import facts, grouping, inventory, launch, read_records, written_files

__all__ = ["facts", "grouping", "inventory", "launch", "read_records", "written_files"]
