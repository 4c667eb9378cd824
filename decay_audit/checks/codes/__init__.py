"""The value that a check returns, and the table of codes: what each means, and its severity.

- code: the class of an entry
- over_run: the entries DA8xx: what decay comes to, and what happens while training runs
"""

from collections.abc import Iterable

from msgspec import Struct

from decay_audit.checks.codes.code import Code
from decay_audit.checks.codes.over_run import RUN_CODES
from decay_audit.model.choices import Severity


class Finding(Struct, frozen=True, kw_only=True):
    """One difference, with every parameter that it concerns. There is one finding for each code and cause.

    Attributes:
        expected: what the ruleset or the model asks for.
        found: what is there instead.
        where: rule (file:line), group or file that the finding points to; may be empty.
        fix: the command or edit that repairs it; may be empty.
        exception: the reason for which a project accepts it; "" for a finding that counts.
    """

    code: str
    severity: Severity
    parameters: tuple[str, ...] = ()
    message: str
    expected: str = ""
    found: str = ""
    where: str = ""
    fix: str = ""
    exception: str = ""


def finding(
    code: str,
    message: str,
    parameters: Iterable[str] = (),
    *,
    expected: str = "",
    found: str = "",
    where: str = "",
    fix: str = "",
    severity: Severity | None = None,
) -> Finding:
    """Make the finding of a code. `severity` replaces the severity in the table, for a milder case."""
    return Finding(
        code=code,
        severity=severity or CODES[code].severity,
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
        explanation="PyTorch applies weight_decay to every parameter of a param group, also to biases, norm weights "
        "and position embeddings, and reports nothing. Usual causes: one group made of model.parameters(), or a split "
        "by names or classes that match nothing in this model. `decay-audit emit` writes the groups that the ruleset "
        "asks for. The finding is only a note if the rule is lenient: published practice differs there, and both are "
        "accepted.",
    ),
    "DA102": Code(
        title="the optimizer spares a parameter that the ruleset decays",
        severity="error",
        explanation="The parameter is in a group with weight_decay 0, but the ruleset decays it. Usual causes: a word "
        "such as `bias` or `ln` that also matches a matrix (relative_attention_bias.weight), a test on the number of "
        "dimensions after tensors were flattened or sharded, or a group that lost its weight_decay key. The finding "
        "is only a note if the rule is lenient: published practice differs there, and both are accepted.",
    ),
    "DA103": Code(
        title="the optimizer decays a parameter with another coefficient",
        severity="error",
        explanation="The optimizer and the ruleset both decay the parameter, but with different coefficients. The "
        "coefficient is often changed after the optimizer is built: by a schedule, by a configuration key, or by a "
        "resumed checkpoint, whose weight_decay replaces the new one. The finding is only a note if the rule is "
        "lenient. If the ruleset says `compare: product`, lr x weight_decay is compared: muP (Yang et al. 2022, "
        "arXiv:2203.03466) divides the learning rate of hidden matrices by their width and multiplies weight_decay by "
        "it.",
    ),
    "DA104": Code(
        title="a parameter is in a different optimizer from the one that the ruleset names",
        severity="error",
        explanation="The ruleset's `optimizer` entries give each parameter to an optimizer, and the parameter is in "
        "another one. Usual causes: a filter by the number of dimensions, which also gives embeddings, the head and "
        "LoRA matrices to Muon, or a name in the filter that this model does not use. Optimizers are told apart by "
        "class, by name, and by keys of their groups such as `use_muon`. The finding is only a warning if no "
        "optimizer has a name that the ruleset uses.",
    ),
    "DA105": Code(
        title="a learning rate differs from the ruleset's, relative to its optimizer's base",
        severity="warning",
        explanation="The ruleset scales learning rates (`lr_scale`, `layer_decay`), and the groups of the optimizer "
        "have other ratios. The base is the learning rate of parameters with the scale 1, before any schedule "
        "(`initial_lr`). Usual causes: a pattern that numbers the layers of two towers alike, a count of layers that "
        "is off by one, or a group that was made without its scale. A group with timm's `lr_scale` counts as scaled.",
    ),
    "DA201": Code(
        title="a trainable parameter is in no optimizer",
        severity="error",
        explanation="The parameter requires a gradient, but no optimizer holds it, so it keeps its initial value for "
        "the whole run. Usual causes: a list of parameters written by hand, or a layer added after the optimizer was "
        "built. PyTorch reports nothing. If it is meant, set requires_grad=False: that is no finding, and saves the "
        "gradient. `run` also reports parameters of modules that are not part of an audited model, such as a loss with "
        "weights, if they got a gradient: that is only a warning, because a network that only measures a loss needs no "
        "optimizer.",
    ),
    "DA202": Code(
        title="a parameter is listed more than once",
        severity="error",
        explanation="A parameter that is listed twice, in one group, in two groups or in two optimizers, is updated "
        "twice in each step, and decayed twice. Within one group PyTorch only warns; between two optimizers nothing "
        "checks it. Usual causes: tied weights listed under both names, or modules that are walked twice.",
    ),
    "DA203": Code(
        title="an optimizer holds a tensor that is not a parameter of the model",
        severity="error",
        explanation="The optimizer updates a tensor that this model does not use. If a layer was replaced, resized or "
        "moved after the optimizer was built, or the optimizer was built from another copy of the model, the "
        "parameters that the model uses now are not trained. The finding is only a warning if the tensor belongs to "
        "another module, such as a loss with weights, seems to be the float32 copy of a 16-bit parameter, or is there "
        "besides all trainable parameters of the model: then nothing is wrong, but its decay was not compared.",
    ),
    "DA204": Code(
        title="a frozen parameter is in a group with weight decay",
        severity="warning",
        explanation="A parameter with requires_grad=False has no gradient, and torch optimizers skip parameters whose "
        "gradient is None. They do not skip a gradient of zeros: after zero_grad(set_to_none=False), or with engines "
        "that fill in zeros, the frozen weight decays. Adam with coupled decay even moves it by about lr per step.",
    ),
    "DA205": Code(
        title="the rules decide differently for two names of one tensor",
        severity="warning",
        explanation="A tied tensor has several names (an embedding that is also the head), and the rules give them "
        "different decisions. A tensor can have only one coefficient. decay-audit uses its first name; code that "
        "walks the modules in another order may use the other name.",
    ),
    "DA206": Code(
        title="an empty param group",
        severity="warning",
        explanation="The group holds no parameters: the condition that should fill it matched nothing in this model. "
        "Some engines and checkpoint formats also fail on empty groups.",
    ),
    "DA207": Code(
        title="groups with identical hyperparameters",
        severity="note",
        explanation="Several groups of one optimizer have the same hyperparameters. The result is the same as with "
        "one group, but each group costs kernel launches and bookkeeping in every step: fused and foreach updates "
        "work per group.",
    ),
    "DA208": Code(
        title="a group has a key that its optimizer does not read, or lacks one that it reads",
        severity="warning",
        explanation="torch keeps any key in a param group and reports nothing: `weight_decay_rate`, `wd` or "
        "`learning_rate` of another library change nothing in AdamW, and the group keeps the default. A factor such "
        "as `lr_scale` is for a scheduler that applies it, so the finding is only a note. A group that lacks a key "
        "was put into the list by a wrapper that does not know the defaults of the optimizer inside (SAM with "
        "add_param_group): the next step of a torch.optim class raises KeyError, so the finding is an error.",
    ),
    "DA209": Code(
        title="parameters appear after the optimizer was made",
        severity="error",
        explanation="The first forward pass creates parameters, as a quantizer that sets its step size from the first "
        "batch, or a layer that takes its input size from it. The optimizer was made before and does not have them, so "
        "they keep their initial values for the whole run. PyTorch reports nothing. Only `--trace` shows it. Make the "
        "parameters in __init__, or run one forward pass before the optimizer is made.",
    ),
    "DA210": Code(
        title="a parameter without a gradient is in a group with weight decay",
        severity="note",
        explanation="No gradient reaches the parameter, or some of its elements. With `--trace`: the forward pass does "
        "not use it, such as a second head; torch optimizers skip it while its gradient is None, but after "
        "zero_grad(set_to_none=False), or with engines that fill in zeros, it decays. Without a trace: "
        "torch.nn.utils.prune keeps the whole parameter as `weight_orig` beside a mask. The elements that the mask "
        "sets to zero have a gradient of zero, so each step decays them, and they are smaller when the mask changes.",
    ),
    "DA301": Code(
        title="a rule matched nothing in this model",
        severity="warning",
        explanation="A name or class in the rule matches no parameter: `LayerNorm` where the model says `layer_norm`, "
        "a name that the model does not use, a custom norm class. The rule was written for other models, or it has a "
        "mistake. Many published bugs are of this kind, because nothing fails.",
    ),
    "DA302": Code(
        title="earlier rules match everything that a rule matches",
        severity="warning",
        explanation="The first rule that matches decides. Rules above this one match all of its parameters, so it has "
        "no effect. Move the rule up, or delete it.",
    ),
    "DA303": Code(
        title="a rule matches only with, or only without, wrapper prefixes",
        severity="warning",
        explanation="torch.compile, DataParallel and FSDP add prefixes to parameter names (`_orig_mod.`, `module.`, "
        "`_fsdp_wrapped_module.`). A rule that is written for one form matches nothing in the other. decay-audit "
        "removes these prefixes before it matches, unless the ruleset says `names: raw`.",
    ),
    "DA304": Code(
        title="a parameter is unclassified",
        severity="warning",
        explanation="The parameter's role is unknown: its module's class, its name, its shape and its traced use do "
        "not show it. Rules on roles do not match it. `--trace` may show the role, or a rule can match the parameter "
        "by name.",
    ),
    "DA305": Code(
        title="the model declares no_weight_decay for a parameter, but it is decayed",
        severity="warning",
        explanation="The model declares that this parameter should not decay: in no_weight_decay(), "
        "no_weight_decay_keywords() or no_weight_decay_patterns(), or in an attribute `_no_weight_decay` of the "
        "tensor. The ruleset or the optimizer decays it. Wrappers hide these declarations (DistributedDataParallel has "
        "no no_weight_decay), and torch.compile changes the names in them. The finding is only a note if the rule "
        "that decides the parameter is lenient.",
    ),
    "DA306": Code(
        title="a rule was not applied, because it needs facts that this source does not have",
        severity="warning",
        explanation="A checkpoint holds names, shapes and dtypes. It does not hold the classes of modules, what the "
        "model declares, attributes of tensors, or which parameters were trainable. A rule that needs them was "
        "skipped for the parameters listed, so their decision may differ from the decision for the model itself. "
        "`--model TARGET` supplies the facts. Whether a parameter is scale-invariant or "
        "inert is known only with `--invariance`; where a gain rests and what it feeds, only with `--trace`.",
    ),
    "DA307": Code(
        title="a rule on names covers less than it seems to",
        severity="warning",
        explanation="A pattern in a list of names matches nothing in this model, and the rule's other patterns match; "
        "or a rule spares norm parameters or biases by their names alone, and others of the same class decay, "
        "because no name fits them (`norm1` is spared, and `ln_f` decays). Usual causes: a module was "
        "renamed, or another model is audited than the one that the list was written for. A rule on roles "
        "does not depend on names: `when: {role: [norm_weight, norm_bias]}`. Only the project's own rules "
        "are checked, not those of presets.",
    ),
    "DA401": Code(
        title="nothing decays although a coefficient is set",
        severity="error",
        explanation="The ruleset has a coefficient and parameters to decay, but no parameter is decayed. Usual "
        "causes: every group has weight_decay 0, a configuration key has another name, or the condition for no decay "
        "matches every parameter. Training without decay is a choice as well: the finding is only a note if no option "
        "gives a coefficient and the groups have the default 0 of their class, or the only group is set to 0. "
        "It is an error, too, if the groups have a coefficient and a measured step ignores it.",
    ),
    "DA402": Code(
        title="inverted: biases and norms decay, matrices do not",
        severity="error",
        explanation="The two groups are swapped: biases and norms decay, weight matrices do not. Usual causes: a "
        "`not` in the wrong place, or a checkpoint whose groups were saved in the other order.",
    ),
    "DA501": Code(
        title="the optimizer's default coefficient is in effect",
        severity="warning",
        explanation="The code does not set weight_decay, and this optimizer's default is not 0: AdamW decays with "
        "0.01, torch.optim.Muon with 0.1. A param group without the key gets the default, too. Set the coefficient in "
        "the code, even if it is the default.",
    ),
    "DA502": Code(
        title="weight decay is coupled through an adaptive denominator",
        severity="note",
        explanation="The optimizer (Adam, Adagrad, RMSprop) adds weight_decay * w to the gradient and then divides by "
        "a running magnitude of the gradient. The decay is then not proportional to the weight: parameters with small "
        "gradients move towards zero by up to lr per step, whatever the coefficient is. AdamW decouples the decay "
        "(Loshchilov and Hutter 2019, arXiv:1711.05101).",
    ),
    "DA503": Code(
        title="the measured decay differs from the declared one",
        severity="error",
        explanation="decay-audit ran optimizer.step() on small copies of the parameters, and the copies did not decay "
        "as the param group and the optimizer's class declare. The optimizer ignores the coefficient, applies it to "
        "some shapes only, scales it by something other than lr, or subtracts an amount that does not depend on the "
        "weight. The finding is only a warning if the class is not known, because its semantics are then only "
        "inferred.",
    ),
    "DA504": Code(
        title="lr x weight_decay is rounded away in the parameter's dtype",
        severity="warning",
        explanation="Decoupled decay multiplies w by (1 - lr * weight_decay) and rounds the result to the parameter's "
        "dtype. bfloat16 has 8 significant bits: if lr * weight_decay is below 2^-9, the result rounds back to w, and "
        "nothing decays, however long the run is. Use float32 master weights, stochastic rounding, or a larger "
        "product.",
    ),
    "DA505": Code(
        title="a flattened parameter: rules on shape do not work",
        severity="warning",
        explanation="A wrapper has packed many parameters into one 1-D tensor (FSDP with use_orig_params=False, "
        "engines that flatten). A rule on dimensions or shape sees a vector, and all parameters in the tensor get "
        "the same coefficient. Build the param groups before wrapping, or use use_orig_params=True or fully_shard. "
        "An optimizer in mixed precision may hold flat copies of the parameters: they are found by their elements, "
        "and reported if the ruleset decides differently for parameters in the same one.",
    ),
    "DA506": Code(
        title="the first step raises an error",
        severity="error",
        explanation="An embedding with sparse=True has sparse gradients. Adam, AdamW and most classes of torch.optim "
        "refuse them, SGD and Adagrad refuse to decay with them, and SparseAdam refuses dense ones. The model and the "
        "optimizer can be built, and only the first step raises RuntimeError. It raises as well where one group holds "
        "DTensors (fully_shard, tensor parallelism) and plain tensors and updates them together, by foreach=True, "
        "fused=True, or by default on a GPU.",
    ),
    "DA507": Code(
        title="the optimizer's class is not known, or its step could not be measured",
        severity="note",
        explanation="The effect of weight_decay depends on the step() of the optimizer's class. decay-audit knows the "
        "classes in docs/optimizers.md. For any other class, it runs step() on small copies of the parameters and "
        "measures how they decay. If step() cannot be measured, or with --no-measure, the groups are not compared with "
        "the ruleset: step() may skip parameters, decay them in another way, or pull them towards values other than "
        "0.",
    ),
    "DA601": Code(
        title="saved optimizer state does not fit the parameters at its positions",
        severity="error",
        explanation="load_state_dict assigns groups and states by position. If the groups have the same sizes in "
        "another order, PyTorch accepts the state, and parameters get the hyperparameters and momenta of other "
        "parameters. `decay-audit migrate` rewrites a checkpoint for new groups by name.",
    ),
    "DA602": Code(
        title="the checkpoint's pickle refers to code outside the allow-list",
        severity="note",
        explanation="The file asks Python to import and call something that a state dict does not need. decay-audit "
        "never imports or calls it, and only lists its name here. torch.load(weights_only=False) would run the code. "
        "Names such as os.system, which run commands or code, come first and make the finding an error: do not load "
        "such a file.",
    ),
    "DA701": Code(
        title="a decision differs from the lock",
        severity="error",
        explanation="The lock says what was decided for the parameter, and what its optimizer did, when the lock was "
        "written; now it differs. Usual causes: a module was renamed, and a rule or an optimizer selects by name; the "
        "ruleset changed, or a param group was lost. If the change is intended, `decay-audit lock --update` "
        "shows what changes and rewrites the lock. The finding is only a note if the role, the shape "
        "or the name of the rule changed, but the decision is the same.",
    ),
    "DA702": Code(
        title="a parameter is not in the lock",
        severity="error",
        explanation="The model has a parameter that it did not have when the lock was written. Read what is decided "
        "for it; `decay-audit lock --update` then adds it to the lock.",
    ),
    "DA703": Code(
        title="a parameter of the lock is not in the model",
        severity="error",
        explanation="The lock has a parameter that the model does not have any more. A parameter that was only renamed "
        "is recognized by its shape, its role and the parts of its name that stayed; if its decision is the same, the "
        "finding is a warning. `decay-audit lock --update` rewrites the lock.",
    ),
    "DA704": Code(
        title="an exception covers nothing",
        severity="warning",
        explanation="pyproject.toml has an exception for a finding that no audit has. The finding was mended, or a "
        "name in the exception is misspelled. Delete the exception: it would hide the finding if it came back.",
    ),
    "DA705": Code(
        title="an exception has expired",
        severity="error",
        explanation="The exception has a date in `until`, and that day is over. The findings that it covered count "
        "again. Mend them, or write another date with the reason.",
    ),
    "DA706": Code(
        title="an exception covers more parameters than when it was written",
        severity="warning",
        explanation="The exception says in `covers` how many parameters it covered when it was written, and now its "
        "patterns match more: new parameters of the model are accepted without anyone having looked at them. Look at "
        "them with `check --show-exceptions`, then write the new number.",
    ),
    **RUN_CODES,
}
"""Every code, in order, with its severity and its texts."""
