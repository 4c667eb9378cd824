"""What the code of a framework is written from, and what it comes to."""

from collections.abc import Mapping

from msgspec import Struct

from decay_audit.rulesets.plan import Plan


class FrameworkRequest(Struct, frozen=True, kw_only=True, eq=False):
    """A plan, and the optimizer for it.

    Attributes:
        target: the target as the user wrote it, for the first comment.
        optimizer: the name of the optimizer's class.
        lr: its learning rate; None if the user gave none.
        code: the param groups as code for torch, for frameworks that call it.
        has_optimizer: this code makes the optimizer, too.
        is_lightning: the model is a LightningModule itself.
    """

    plan: Plan
    target: str
    optimizer: str = "AdamW"
    lr: float | None = None
    code: str = ""
    has_optimizer: bool = False
    is_lightning: bool = False


class FrameworkCode(Struct, frozen=True, kw_only=True):
    """Code of a framework.

    Attributes:
        differences: by parameter, what the framework would do that the plan does not say.
        defines_groups: the code defines `param_groups(model)`.
    """

    text: str
    differences: Mapping[str, str] = {}
    notes: tuple[str, ...] = ()
    defines_groups: bool = False
