"""Which parameters of a PyTorch model get weight decay, which should, and where the two differ.

The verbs are functions here; each imports what it needs when it is first asked for, so that the command line starts
quickly.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from decay_audit.api import (
        DEFAULT_RULES,
        assert_decay,
        audit,
        classify,
        load_rules,
        param_groups,
        plan,
        read,
    )
    from decay_audit.decisions import Decision, Plan
    from decay_audit.errors import DecayAssertionError, DecayAuditError
    from decay_audit.findings import Finding
    from decay_audit.inventory import Inventory
    from decay_audit.parameters import Owner, Parameter
    from decay_audit.report import Report
    from decay_audit.roles.words import Classified, Evidence
    from decay_audit.rules import Rule, RuleSet

__all__ = [
    "DEFAULT_RULES",
    "Classified",
    "DecayAssertionError",
    "DecayAuditError",
    "Decision",
    "Evidence",
    "Finding",
    "Inventory",
    "Owner",
    "Parameter",
    "Plan",
    "Report",
    "Rule",
    "RuleSet",
    "assert_decay",
    "audit",
    "classify",
    "load_rules",
    "param_groups",
    "plan",
    "read",
]

_HOMES = {
    "DEFAULT_RULES": "api",
    "Classified": "roles.words",
    "DecayAssertionError": "errors",
    "DecayAuditError": "errors",
    "Decision": "decisions",
    "Evidence": "roles.words",
    "Finding": "findings",
    "Inventory": "inventory",
    "Owner": "parameters",
    "Parameter": "parameters",
    "Plan": "decisions",
    "Report": "report",
    "Rule": "rules",
    "RuleSet": "rules",
    "assert_decay": "api",
    "audit": "api",
    "classify": "api",
    "load_rules": "api",
    "param_groups": "api",
    "plan": "api",
    "read": "api",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
