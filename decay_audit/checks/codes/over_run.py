"""The codes DA8xx: what decay comes to over a run and for the output, and what happens while training runs."""

from decay_audit.checks.codes.code import Code

RUN_CODES: dict[str, Code] = {
    "DA801": Code(
        title="decay moves nothing over this run",
        severity="note",
        explanation="The sum of lr x weight_decay over all steps of the run (--steps, --schedule) is below 0.01; the "
        "effect of momentum is included. If only decay acts, the weights keep more than 99 % of their values. With a "
        "coefficient of 0, or with any other choice of which parameters decay, the run would end almost the same. That "
        "is usual in a short fine-tuning run with a small learning rate.",
    ),
    "DA802": Code(
        title="decay forgets faster than an epoch, or slower than the run",
        severity="note",
        explanation="A weight remembers 1 / (lr x weight_decay) steps at the largest learning rate of the run; with "
        "momentum fewer, 1 / (the largest fraction of the weight that one step removes). If that is shorter than an "
        "epoch (--epoch-steps), "
        "the weights forget examples before they see them again. If it is longer than the run "
        "(--steps), decay has not come to balance with the gradients when the run ends, and the weights depend "
        "on how they were initialized. Wang and Aitchison 2024 (arXiv:2405.13698) found that the best "
        "timescale, counted in epochs, hardly changes with the size of the model and of the data.",
    ),
    "DA803": Code(
        title="the groups changed after the optimizer was made",
        severity="warning",
        explanation="After the optimizer was made, code changed its groups: a schedule wrote another coefficient, an "
        "engine rebuilt the groups, or a checkpoint replaced them. The changed groups are the ones that are audited. "
        "Before the first step the finding is only a note: many scripts finish their groups there.",
    ),
    "DA804": Code(
        title="a scale-invariant weight: decay sets its learning rate, not the size of the function",
        severity="note",
        explanation="The output of the model stays the same if the weight is multiplied by a number (measured by "
        "--invariance), usually because a normalization follows. Decay then does not make the function smaller. It "
        "sets the effective learning rate lr / |w|^2 (van Laarhoven 2017, arXiv:1706.05350), and in the long run the "
        "angle by which a step turns the weight: about sqrt(2 lr weight_decay / (1 + momentum)) for SGD, and "
        "sqrt(2 lr weight_decay (1 - beta1) / (1 + beta1)) for AdamW (Kosson et al. 2023, arXiv:2305.17212). The "
        "gradient of such a weight is orthogonal to it. If the weight is spared, plain SGD therefore only makes its "
        "norm larger, and its effective learning rate smaller.",
    ),
    "DA805": Code(
        title="an inert parameter: the output does not depend on it",
        severity="note",
        explanation="The output of the model stays the same whatever the values of the parameter are (measured by "
        "--invariance). Two usual cases: a bias in front of a normalization that subtracts the mean, and the bias of "
        "the keys of an attention, which softmax removes. Its gradient is zero but for rounding. Decay only moves it "
        "to zero, and Adam can make it grow without an effect. bias=False removes it.",
    ),
    "DA806": Code(
        title="no gradient reached a parameter of the optimizer in the first backward pass",
        severity="note",
        explanation="The parameter had no gradient right before the first step, or one that was exactly zero. Without "
        "a gradient, torch's optimizers skip it: it is not used, or not in this step. With a gradient of zero, "
        "decoupled decay still shrinks it. That is usual where a later factor starts at zero (LoRA, zero-initialized "
        "gates), and a defect where the branch is never used.",
    ),
}
"""The codes, in order."""
