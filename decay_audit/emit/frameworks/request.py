"""The argument and the result of each function that writes code for a framework: FrameworkRequest, FrameworkCode."""

from collections.abc import Mapping

from msgspec import Struct

from decay_audit.rulesets.plan import Plan


class FrameworkRequest(Struct, frozen=True, kw_only=True, eq=False):
    """A plan, and the optimizer for it.

    Attributes:
        target: the target as the user wrote it, for the first comment.
        optimizer: the name of the optimizer's class.
        lr: the learning rate; None if the user gave none.
        code: code for torch that makes the param groups; the code of some frameworks calls it.
        has_optimizer: whether `code` makes the optimizer, too.
        is_lightning: whether the model itself is a LightningModule.
    """

    plan: Plan
    target: str
    optimizer: str = "AdamW"
    lr: float | None = None
    code: str = ""
    has_optimizer: bool = False
    is_lightning: bool = False


class FrameworkCode(Struct, frozen=True, kw_only=True):
    """Code for a framework.

    Attributes:
        differences: for each parameter that the framework would treat differently from the plan, the difference.
        notes: what the user must know or do beside the code.
        defines_groups: whether the code defines `param_groups(model)`.
    """

    text: str
    differences: Mapping[str, str] = {}
    notes: tuple[str, ...] = ()
    defines_groups: bool = False
