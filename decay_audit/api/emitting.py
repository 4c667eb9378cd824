"""A plan becomes Python code, which is executed with the imports of the target's code and compared with the plan."""

from decay_audit.api.loading import LoadedTarget, import_context
from decay_audit.api.options import OptimizerCode
from decay_audit.rulesets.plan import Plan


def code(loaded: LoadedTarget, plan: Plan, optimizer_code: OptimizerCode) -> str:
    """Write the param groups of a plan as Python, execute the code, and compare its groups with the plan.

    Raises:
        DecayAuditError: the optimizer is not known, or the code's groups differ from the plan.
    """
    from decay_audit import emit

    text = emit.code(
        plan,
        target=loaded.inventory.target,
        optimizer=optimizer_code.optimizer,
        lr=optimizer_code.lr,
        settings=optimizer_code.set_,
    )
    with import_context(loaded):
        emit.verify(text, plan, None if loaded.built is None else loaded.built.model)
    return text
