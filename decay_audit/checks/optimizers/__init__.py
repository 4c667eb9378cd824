"""What optimizers do, against what a ruleset decides: an ObservedPlan in, findings out. Knows no torch.

- coefficients: what is decayed, against what the ruleset decays (DA101-103, DA305, DA401, DA402)
- routes: which optimizer updates a parameter, against the ruleset (DA104)
- learning_rates: relative to the base of each optimizer, against the ruleset's (DA105)
- group_membership: parameters and groups that are missing, repeated or unwanted (DA201, DA202, DA204-207, DA209, DA505)
- foreign_tensors: tensors that are not the model's, by what they are (DA203)
- group_keys: keys of a group that its class does not read, and those that it lacks (DA208)
- effective_decay: what the coefficient does in a step (DA501-504)
- first_step: gradients that the first step raises for (DA506)
- unknown_classes: optimizers that are not known, and what was measured of them (DA507)
"""
