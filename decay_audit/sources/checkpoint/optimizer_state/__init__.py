"""From the saved state of an optimizer to an Optimizer value.

`match_state_dict` leaves out optimizers of another model in the file. `groups` reads the settings of each param group,
infers the class (`infer_class`), and names the positions (`position_names`); without names in the file, by order and
shape (`align_positions`).

    match_state_dict  which optimizers belong to the state dict that was read
    groups            param groups with their settings
    infer_class       which class of optimizer wrote the groups
    position_names    positions of the groups as names of parameters
    align_positions   positions matched with parameters by order and shape
"""
