"""Read optimizers as Optimizer, Observation and UpdateFormula values.

- find: what user code returned becomes a list of named optimizers
- watch_construction: records which optimizers were given a weight_decay while user code builds them
- live: reads the param groups of live optimizers; identity: the names and defaults of their classes
- recorded: the same for optimizers that a training script made in another process
- table/: what weight_decay means in each class, as data
- measure/: what a step with a gradient of zero does to each parameter
- horizon/: what decay comes to over a whole run, from the settings of all steps
- foreign: the origin of each tensor that is not a parameter of the model
- formulas: the update of one parameter, written out with its numbers
- saved_positions: names for the positions of a saved optimizer, from the live one that would load it
- migrate/: a saved state and its schedulers, rewritten for the groups of another optimizer

A live optimizer goes through watch_construction, find and live, which uses table and identity; then measure, if asked.
The saved optimizers of a checkpoint are read by `sources`; saved_positions and migrate use them.
"""
