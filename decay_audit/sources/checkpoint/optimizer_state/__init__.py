"""Make an Optimizer value from the saved state of an optimizer.

`match_state_dict` leaves out optimizers of another model in the file. `groups` reads the settings of each param group,
infers the class (`infer_class`), and names the positions (`position_names`). If the file has no names, order and
shape decide (`align_positions`).

    match_state_dict  finds the optimizers that belong to another state dict of their file
    groups            a saved optimizer -> an Optimizer with its param groups
    infer_class       the keys of a group -> the class of the optimizer
    position_names    positions of the groups -> names of parameters
    zero_partitions   names the parameters of an optimizer that ZeRO has flattened
    align_positions   matches positions with parameters by order and shape
"""
