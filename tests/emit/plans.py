"""Plans made by hand, so that what is emitted is held against decisions that no rule of ours took; and ruff."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from msgspec import Struct
from torch import nn

from decay_audit.model.parameters import Owner, Parameter
from decay_audit.roles.words import Classified
from decay_audit.rulesets.plan import FROZEN, Decision, Plan
from decay_audit.rulesets.ruleset import Amount, RuleSet

MODULE = Owner(types=("torch.nn.Linear",))
FILE = Owner()  # a file cannot know classes


class Said(Struct, frozen=True, kw_only=True):
    """What the plan shall say of a parameter."""

    weight_decay: float
    rule: str = "default"
    location: str = "house.yaml:9"
    lr_scale: float = 1.0
    use: str | None = None


DECAYED = Said(weight_decay=0.05)
SPARED = Said(weight_decay=0.0, rule="norms", location="house.yaml:4")


def matrices(name: str, tensor: nn.Parameter) -> Said:
    """Decay what has two dimensions or more."""
    return DECAYED if tensor.ndim > 1 else SPARED


def plan_of(model: nn.Module, say: Callable[[str, nn.Parameter], Said] = matrices, owner: Owner = MODULE) -> Plan:
    """Make the plan for a bare model."""
    return plan(
        decision(name, say(name, tensor), tuple(tensor.shape), trainable=tensor.requires_grad, owner=owner)
        for name, tensor in model.named_parameters()
    )


def plan(decisions: Iterable[Decision]) -> Plan:
    """Make a plan from decisions."""
    ruleset = RuleSet(name="house", weight_decay=0.05, default=Amount())
    return Plan(ruleset=ruleset, decisions=tuple(decisions))


def decision(
    name: str, said: Said, shape: tuple[int, ...] = (2, 3), *, trainable: bool = True, owner: Owner = MODULE
) -> Decision:
    """Decide one parameter."""
    parameter = Parameter(name=name, raw_name=name, shape=shape, dtype="float32", owner=owner, trainable=trainable)
    subject = Classified(parameter=parameter, role="unclassified", layer="other", confidence="guess", evidence=())
    if not trainable:
        return Decision(classified=subject, weight_decay=0.0, rule=FROZEN)
    return Decision(
        classified=subject,
        weight_decay=said.weight_decay,
        rule=said.rule,
        location=said.location,
        lr_scale=said.lr_scale,
        use=said.use,
    )


def complaints(folder: Path) -> str:
    """What ruff would format otherwise, or objects to, in the files of a folder; "" is nothing."""
    ruff = shutil.which("ruff", path=str(Path(sys.executable).parent)) or shutil.which("ruff")
    assert ruff, "ruff is in the test extra"
    ran = [
        subprocess.run([ruff, *command, "--isolated", folder], capture_output=True, text=True, check=False)
        for command in (["format", "--diff"], ["check"])
    ]
    return "".join(one.stdout + one.stderr for one in ran if one.returncode)
