"""The codes: what each finding means, how bad it is, and the value that a check returns."""

from collections.abc import Iterable

from msgspec import Struct

from decay_audit.model.choices import Severity


class Finding(Struct, frozen=True, kw_only=True):
    """One difference, said once per code and cause, with every parameter that it concerns.

    Attributes:
        expected: what the ruleset, lock or model asks for.
        found: what is there instead.
        where: rule (file:line), group or file that the finding points to; may be empty.
        fix: the command or edit that repairs it; may be empty.
    """

    code: str
    severity: Severity
    parameters: tuple[str, ...] = ()
    message: str
    expected: str = ""
    found: str = ""
    where: str = ""
    fix: str = ""


class Code(Struct, frozen=True, kw_only=True):
    """What a code stands for: its title in a table, its severity, and the paragraph that `explain CODE` prints."""

    title: str
    severity: Severity
    explanation: str


def finding(
    code: str,
    message: str,
    parameters: Iterable[str] = (),
    *,
    expected: str = "",
    found: str = "",
    where: str = "",
    fix: str = "",
) -> Finding:
    """Make the finding of a code, with the severity that the table gives it."""
    return Finding(
        code=code,
        severity=CODES[code].severity,
        parameters=tuple(parameters),
        message=message,
        expected=expected,
        found=found,
        where=where,
        fix=fix,
    )


CODES: dict[str, Code] = {
    "DA101": Code(
        title="the optimizer decays a parameter that the ruleset spares",
        severity="error",
        explanation="PyTorch applies weight_decay to every parameter of a param group: biases, norm gains and "
        "positional tables too, and never says so. The usual cause is one group made of model.parameters(), or a "
        "split whose names or classes match nothing in this model. `decay-audit emit` prints groups that fit.",
    ),
    "DA102": Code(
        title="the optimizer spares a parameter that the ruleset decays",
        severity="error",
        explanation="The parameter sits in a group whose weight_decay is 0 although the ruleset asks for decay. "
        "Typical causes: an unanchored word such as `bias` or `ln` that also matches a matrix "
        "(relative_attention_bias.weight), a rank test on flattened or sharded tensors, or a group that lost its key.",
    ),
    "DA103": Code(
        title="both decay it, with another coefficient",
        severity="error",
        explanation="The optimizer's coefficient is not the ruleset's. It is often written by something else after "
        "the optimizer was built: a schedule, a configuration key, or a resumed checkpoint, which restores its own "
        "weight_decay over the new one.",
    ),
    "DA201": Code(
        title="a trainable parameter is in no optimizer",
        severity="error",
        explanation="The parameter requires a gradient and gets one, but no optimizer holds it, so it keeps its "
        "initial value for the whole run. Hand-made lists and a head added after the optimizer was built do this; "
        "PyTorch reports nothing.",
    ),
    "DA202": Code(
        title="a parameter is in more than one group or optimizer",
        severity="error",
        explanation="A tensor that appears twice is stepped twice, and decayed twice. Within one group PyTorch only "
        "warns; between two optimizers nothing notices. Tied weights that are listed under both names, and modules "
        "that are walked twice, are the usual reasons.",
    ),
    "DA203": Code(
        title="an optimizer holds a tensor that is not the model's",
        severity="error",
        explanation="The optimizer steps a tensor that is no parameter of this model: it was built before a layer was "
        "replaced, resized or moved, or from another copy of the model. What it updates is not what the forward pass "
        "uses.",
    ),
    "DA204": Code(
        title="a frozen parameter sits in a decaying group",
        severity="warning",
        explanation="A parameter with requires_grad=False has no gradient, and torch optimizers skip `grad is None`. "
        "A gradient of zeros is not skipped: after zero_grad(set_to_none=False), or with engines that fill in zeros, "
        "the frozen weight decays. Adam with coupled decay then moves it by a full lr per step.",
    ),
    "DA205": Code(
        title="tied names would get different decisions",
        severity="warning",
        explanation="One tensor has several names (an embedding tied with the head), and the rules decide differently "
        "for them. The tensor can have one coefficient only, and decay-audit uses the first name; code that walks "
        "modules in another order ends up with the other.",
    ),
    "DA206": Code(
        title="an empty param group",
        severity="warning",
        explanation="The group holds no parameters, so the condition that should fill it matched nothing in this "
        "model. Some engines and checkpoint formats also fail on empty groups.",
    ),
    "DA207": Code(
        title="groups with identical hyperparameters",
        severity="note",
        explanation="Several groups of one optimizer agree in every hyperparameter. They do no harm to the result, but "
        "each costs kernel launches and bookkeeping in every step, and fused or foreach updates work per group.",
    ),
    "DA301": Code(
        title="a rule matched nothing in this model",
        severity="warning",
        explanation="A name or class that matches nothing is the silent failure behind many reports: `LayerNorm` where "
        "the model says `layer_norm`, `ln_f`, a custom norm class. Either the rule is for other models or it is broken "
        "for this one.",
    ),
    "DA302": Code(
        title="a rule is wholly shadowed by earlier rules",
        severity="warning",
        explanation="Everything that the rule matches was decided by rules above it, so it has no effect. The first "
        "match wins: move the rule up, or drop it.",
    ),
    "DA303": Code(
        title="a rule matches only with, or only without, wrapper prefixes",
        severity="warning",
        explanation="torch.compile, DataParallel and FSDP rename parameters (`_orig_mod.`, `module.`, "
        "`_fsdp_wrapped_module.`). A rule that is anchored to one form decides nothing in the other. decay-audit "
        "matches canonical names, without those parts, unless the ruleset says `names: raw`.",
    ),
    "DA304": Code(
        title="a parameter is unclassified",
        severity="warning",
        explanation="Nothing explains what the parameter does: not its owner's class, not its name and shape, and no "
        "traced use. Rules on roles cannot see it. `--trace` may find out, or a rule can name it.",
    ),
    "DA305": Code(
        title="what the model declares no_weight_decay is decayed",
        severity="warning",
        explanation="The model says through no_weight_decay(), no_weight_decay_keywords() or a `_no_weight_decay` "
        "attribute that this parameter should not decay, and the ruleset or the optimizer decays it. Wrappers hide "
        "these hooks (DistributedDataParallel has no no_weight_decay), and compiled models change the names they list.",
    ),
    "DA306": Code(
        title="a rule asks what this source cannot know: it was not applied",
        severity="warning",
        explanation="A checkpoint holds names, shapes and dtypes. It cannot tell the class of an owner, a model's "
        "declarations, attributes of tensors or what was trainable. The rule was skipped for the parameters listed, so "
        "their decision may differ from the model's. `--model TARGET` supplies what is missing.",
    ),
    "DA401": Code(
        title="nothing decays although a coefficient is set",
        severity="error",
        explanation="The ruleset has a coefficient and parameters to decay, and not one parameter is decayed. The "
        "coefficient was lost on the way: every group set to 0, a configuration key with another name, or a condition "
        "that matched everything.",
    ),
    "DA402": Code(
        title="inverted: biases and norms decay, matrices do not",
        severity="error",
        explanation="The two groups are swapped: what is usually spared decays, and what usually decays is spared. A "
        "`not` in the wrong place, or coefficients restored from a checkpoint whose groups are in the other order, do "
        "this.",
    ),
    "DA501": Code(
        title="the coefficient is the optimizer's implicit default",
        severity="warning",
        explanation="weight_decay was not set, and this optimizer's default is not 0: AdamW decays with 0.01, "
        "torch.optim.Muon with 0.1. A param group that omits the key inherits the default, too. Write the coefficient "
        "down, even when it is the default.",
    ),
    "DA502": Code(
        title="weight decay is coupled through an adaptive denominator",
        severity="note",
        explanation="The optimizer adds weight_decay * w to the gradient and then divides by a running magnitude of "
        "it (Adam, Adagrad, RMSprop). What a step removes is then not proportional to the weight: parameters with "
        "small gradients are pulled to zero by up to lr per step, whatever the coefficient. AdamW decouples it "
        "(Loshchilov and Hutter 2019, arXiv:1711.05101).",
    ),
    "DA503": Code(
        title="the measured decay differs from the declared one",
        severity="error",
        explanation="Steps with a gradient of zero were taken on stand-ins, and what moved is not what the param group "
        "and the optimizer's class announce. The optimizer ignores the coefficient, applies it to some shapes only, or "
        "scales it by something other than lr.",
    ),
    "DA504": Code(
        title="lr x weight_decay vanishes in the parameter's dtype",
        severity="warning",
        explanation="A decoupled step multiplies w by (1 - lr * weight_decay) and rounds to the parameter's dtype. "
        "bfloat16 keeps 8 bits: a factor closer to 1 than 2^-9 rounds back to w, so nothing decays however long the "
        "run. Keep float32 master weights, use stochastic rounding, or a larger product.",
    ),
    "DA505": Code(
        title="flattened parameter: shape rules mean nothing here",
        severity="error",
        explanation="The wrapper has packed many parameters into one 1-D tensor (FSDP with use_orig_params=False, "
        "flattened engines). A rule on rank or shape sees a vector, and one coefficient applies to all that is packed. "
        "Build the param groups before wrapping, or use use_orig_params=True or fully_shard.",
    ),
    "DA601": Code(
        title="saved optimizer state does not fit the parameters at those positions",
        severity="error",
        explanation="load_state_dict maps groups and states by position. With the same sizes in another order PyTorch "
        "accepts the state and swaps hyperparameters and momenta without a word. `decay-audit migrate` rewrites a "
        "checkpoint to a new layout by name.",
    ),
    "DA602": Code(
        title="the checkpoint's pickle names code outside the allow-list",
        severity="note",
        explanation="The file asks to import and call something that a state dict does not need. decay-audit never "
        "executes it: the name is carried as a placeholder and listed here. Loading the file with "
        "torch.load(weights_only=False) would run it.",
    ),
    "DA701": Code(
        title="the decision for a parameter differs from the lock",
        severity="error",
        explanation="The lock recorded what was decided for every parameter, and this run decides differently. If it "
        "is meant, refresh the file with `decay-audit lock`; if not, a rule, a name or a class changed underneath.",
    ),
    "DA702": Code(
        title="a parameter is not in the lock",
        severity="error",
        explanation="The model has a parameter that nobody has looked at since the lock was written. Check its "
        "decision and refresh the lock.",
    ),
    "DA703": Code(
        title="a locked parameter is gone",
        severity="error",
        explanation="The lock knows a parameter that the model no longer has. Where one new name fits it, the finding "
        "names it: it was probably renamed, and rules on the old name no longer match.",
    ),
}
"""Every code, in order: the one place that says how bad each is."""
