"""Predict, from the classes of modules and optimizers, whether the first step raises an error: DA506."""

from collections.abc import Iterator, Sequence
from typing import Literal

from decay_audit.checks.codes import Finding, finding
from decay_audit.checks.finding_text import count_by_kind
from decay_audit.checks.observed_plan import ObservedPlan, Pair
from decay_audit.model.observations import Optimizer
from decay_audit.model.parameters import Parameter
from decay_audit.text import count_noun

_SPARSE_MODULES = frozenset({"torch.nn.Embedding", "torch.nn.EmbeddingBag"})
"""Modules whose weight gets sparse gradients if they are built with sparse=True."""
_ACCEPTS_SPARSE: dict[str, Literal["always", "without decay", "only"]] = {
    "SGD": "without decay",
    "Adagrad": "without decay",
    "SparseAdam": "only",
    "LBFGS": "always",
}
"""When classes of torch.optim accept sparse gradients. All other classes raise an error."""


def check_first_step(observed: ObservedPlan) -> Iterator[Finding]:
    """Find gradients and tensors that the optimizer's class refuses. Only classes of torch.optim are known."""
    for optimizer in observed.optimizers.values() if observed.origin == "live" else ():
        if "." in optimizer.import_path or optimizer.import_path != optimizer.type:
            continue  # the class is not in torch.optim: those classes have no module in their path
        yield from _find_mixed_groups(observed, optimizer)
        pairs = [
            pair
            for pair in observed.pairs()
            if pair[1].optimizer == optimizer.name and pair[0].classified.parameter.trainable is not False
        ]
        sparse = [pair for pair in pairs if _has_sparse_gradient(pair[0].classified.parameter)]
        accepts = _ACCEPTS_SPARSE.get(optimizer.type)
        if accepts == "without decay":
            sparse = [pair for pair in sparse if pair[1].weight_decay]
        if sparse and accepts not in ("only", "always"):
            yield _sparse_finding(observed, optimizer, sparse, decayed=accepts == "without decay")
        dense = [pair for pair in pairs if _has_dense_gradient(pair[0].classified.parameter)]
        if dense and accepts == "only":
            yield _dense_finding(observed, optimizer, dense)


def _find_mixed_groups(observed: ObservedPlan, optimizer: Optimizer) -> Iterator[Finding]:
    """Find groups of DTensors and plain tensors: no operation of torch takes both."""
    trainable = {
        decision.name for decision in observed.plan.decisions if decision.classified.parameter.trainable is not False
    }
    for index, group in enumerate(optimizer.groups):
        distributed = trainable.intersection(group.distributed_parameters)
        plain_names = trainable.intersection(group.parameters) - distributed
        if group.updates_together and distributed and plain_names:
            name = f"group {index} of {observed.optimizer_name(optimizer)}"
            yield finding(
                "DA506",
                f"{name} updates {count_noun(len(distributed), 'DTensor')} and "
                f"{count_noun(len(plain_names), 'plain tensor')} together: the first step raises RuntimeError",
                [parameter for parameter in group.parameters if parameter in plain_names],
                expected="only DTensors, or only plain tensors",
                found=f"{len(distributed)} and {len(plain_names)}",
                where=name,
                fix="give the plain tensors a group of their own, shard their modules, or use foreach=False",
            )


def _has_sparse_gradient(parameter: Parameter) -> bool:
    """Whether a parameter is the weight of a sparse embedding and not tied: tied weights may get dense gradients."""
    is_sparse = parameter.owner.settings.get("sparse") is True
    return is_sparse and not parameter.tied_to and not _SPARSE_MODULES.isdisjoint(parameter.owner.types)


def _has_dense_gradient(parameter: Parameter) -> bool:
    """Whether a parameter belongs to a module of torch.nn that is not a sparse embedding."""
    types = parameter.owner.types
    return bool(types) and types[0].startswith("torch.nn.") and parameter.owner.settings.get("sparse") is not True


def _sparse_finding(observed: ObservedPlan, optimizer: Optimizer, pairs: Sequence[Pair], *, decayed: bool) -> Finding:
    decisions = list({decision.name: decision for decision, _ in pairs}.values())
    have = "has" if len(decisions) == 1 else "have"
    them = "it" if len(decisions) == 1 else "them"
    reason = f"{optimizer.type} cannot decay with sparse gradients" if decayed else f"{optimizer.type} refuses them"
    return finding(
        "DA506",
        f"{count_by_kind(decisions)} {have} sparse gradients, and {reason}: the first step raises RuntimeError",
        (decision.name for decision in decisions),
        expected="dense gradients" + (", or weight_decay 0" if decayed else ""),
        found="sparse=True in "
        + ", ".join(sorted({decision.classified.parameter.owner.type_name for decision in decisions})),
        where=", ".join(dict.fromkeys(observed.group_name(observation) for _, observation in pairs)),
        fix=f"put {them} in a group with weight_decay 0, or build the module with sparse=False"
        if decayed
        else f"build the module with sparse=False, or give {them} to torch.optim.SparseAdam",
    )


def _dense_finding(observed: ObservedPlan, optimizer: Optimizer, pairs: Sequence[Pair]) -> Finding:
    decisions = list({decision.name: decision for decision, _ in pairs}.values())
    return finding(
        "DA506",
        f"{count_by_kind(decisions)} {'has' if len(decisions) == 1 else 'have'} dense gradients, and {optimizer.type} "
        "refuses them: the first step raises RuntimeError",
        (decision.name for decision in decisions),
        expected="sparse gradients",
        found="modules without sparse=True",
        where=", ".join(dict.fromkeys(observed.group_name(observation) for _, observation in pairs)),
        fix="give SparseAdam only the embeddings with sparse=True, and the rest to another optimizer",
    )
