"""Compare what optimizers do with what a ruleset decides. The checks take an ObservedPlan and return findings.

- coefficients: weight_decay compared with the ruleset (DA101-103, DA305, DA401, DA402)
- products: lr x weight_decay, where the ruleset compares that instead (DA103)
- routes: the optimizer that updates a parameter, compared with the ruleset (DA104)
- learning_rates: relative to the base of each optimizer, compared with the ruleset (DA105)
- group_membership: parameters and groups that are missing, repeated or unwanted (DA201, DA202, DA204-207, DA209, DA505)
- foreign_tensors: tensors that are not parameters of the model, by kind (DA203)
- group_keys: keys of a group that its class does not read, and keys that the group lacks (DA208)
- effective_decay: what the coefficient does in a step (DA501-504)
- first_step: sparse or dense gradients, and mixed groups, that the class refuses (DA506)
- without_gradient: parameters that decay though no gradient reaches them (DA210)
- over_run: what decay comes to over the whole run (DA801, DA802; it takes a Horizon), and for the output of the model
  (DA804, DA805)
- unknown_classes: optimizers of unknown classes, and what measured steps showed (DA507)
"""
