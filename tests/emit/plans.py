"""Plans whose decisions are written by hand, so that tests of emitted code depend on no rule; and a check by ruff."""

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


class Fields(Struct, frozen=True, kw_only=True):
    """The fields of a decision about a parameter."""

    weight_decay: float
    rule: str = "default"
    location: str = "house.yaml:9"
    lr_scale: float = 1.0
    use: str | None = None


DECAYED = Fields(weight_decay=0.05)
SPARED = Fields(weight_decay=0.0, rule="norms", location="house.yaml:4")


def matrices(name: str, tensor: nn.Parameter) -> Fields:
    """Decay what has two dimensions or more."""
    return DECAYED if tensor.ndim > 1 else SPARED


def plan_for(model: nn.Module, decide: Callable[[str, nn.Parameter], Fields] = matrices, owner: Owner = MODULE) -> Plan:
    """Make the plan for a bare model."""
    return make_plan(
        make_decision(name, decide(name, tensor), tuple(tensor.shape), trainable=tensor.requires_grad, owner=owner)
        for name, tensor in model.named_parameters()
    )


def make_plan(decisions: Iterable[Decision]) -> Plan:
    """Make a plan from decisions."""
    ruleset = RuleSet(name="house", weight_decay=0.05, default=Amount())
    return Plan(ruleset=ruleset, decisions=tuple(decisions))


def make_decision(
    name: str, fields: Fields, shape: tuple[int, ...] = (2, 3), *, trainable: bool = True, owner: Owner = MODULE
) -> Decision:
    """Decide one parameter."""
    parameter = Parameter(name=name, raw_name=name, shape=shape, dtype="float32", owner=owner, trainable=trainable)
    classified = Classified(parameter=parameter, role="unclassified", layer="other", confidence="guess", evidence=())
    if not trainable:
        return Decision(classified=classified, weight_decay=0.0, rule=FROZEN)
    return Decision(
        classified=classified,
        weight_decay=fields.weight_decay,
        rule=fields.rule,
        location=fields.location,
        lr_scale=fields.lr_scale,
        use=fields.use,
    )


def ruff_complaints(folder: Path) -> str:
    """Return the complaints of `ruff format` and `ruff check` about the files of a folder; "" if there are none."""
    ruff = shutil.which("ruff", path=str(Path(sys.executable).parent)) or shutil.which("ruff")
    assert ruff, "ruff is in the test extra"
    results = [
        subprocess.run([ruff, *command, "--isolated", folder], capture_output=True, text=True, check=False)
        for command in (["format", "--diff"], ["check"])
    ]
    return "".join(result.stdout + result.stderr for result in results if result.returncode)
