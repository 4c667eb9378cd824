# The public names, written once: what type checkers see, and where `__init__.py` finds each when it is asked for.
from .api.functions import (
    assert_decay as assert_decay,
    audit as audit,
    classify as classify,
    load_rules as load_rules,
    param_groups as param_groups,
    plan as plan,
    read as read,
)
from .api.functions.audit_report import AuditReport as AuditReport
from .api.options import DEFAULT_RULES as DEFAULT_RULES
from .checks.codes import Finding as Finding
from .errors import DecayAssertionError as DecayAssertionError, DecayAuditError as DecayAuditError
from .integrations.watching import watch as watch
from .model.inventory import Inventory as Inventory
from .model.parameters import Owner as Owner, Parameter as Parameter
from .reports.report import Report as Report
from .roles.words import Classified as Classified, Evidence as Evidence
from .rulesets.plan import Decision as Decision, Plan as Plan
from .rulesets.ruleset import Rule as Rule, RuleSet as RuleSet
