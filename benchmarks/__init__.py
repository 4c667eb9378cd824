"""Measurements and comparisons. Each is a command, `python -m benchmarks.NAME`.

Times, as ratios of commands or functions that took turns in one run:

    startup            `--help`, `inspect`, and the time for each parameter, next to timm's own grouping
    checkpoints        reading headers, next to json.loads, safetensors and torch
    live               the audit of a live optimizer, next to making the optimizer

Correctness, on real code:

    zoo/               roles by structure, by use and by the state dict, on every architecture: docs/zoo.md
    parity/            presets and the functions of their codebases, on every architecture: docs/parity.md
    preset_sources/    the text of those functions now, and when the preset was written: docs/preset-sources.md
    recipes            the optimizers that libraries make, under the default ruleset: docs/recipes.md
    field/             models and training code of public repositories: docs/field.md
    run_scripts_data   data sets of random numbers for these scripts
    run_scripts        `run` on the public training scripts of `run_scripts_list`: docs/field.md
    optimizer_survey   measured steps and the optimizer classes themselves: docs/optimizers.md
    transfer           emitted code on other sizes of a model
    mutants            whether the tests fail when the modules that decide are changed

`torchvision_schemas` lets timm and torchvision load where torchvision's compiled operators do not.
"""
