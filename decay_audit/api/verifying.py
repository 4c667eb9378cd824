"""An imported ruleset on one model: what its rules take, and whether the codebase's own function says the same."""

from decay_audit import roles, rulesets
from decay_audit.api.loading import Loaded
from decay_audit.rulesets import plan as decisions
from decay_audit.rulesets.conformance import Conformance, differences
from decay_audit.rulesets.importing import Imported


def verify(loaded: Loaded, imported: Imported) -> Conformance:
    """Decide a model by an imported ruleset, and ask the codebase's own function where it can be called.

    Raises:
        PlanError: the ruleset has no answer for the model.
    """
    ruleset = rulesets.from_text(imported.text, "the imported ruleset")
    base = ruleset.weight_decay or 1.0  # a file may have multiples of a coefficient that another file gives
    plan = decisions.plan(roles.classify(loaded.inventory.parameters), ruleset, base)
    target = loaded.inventory.target
    if loaded.built is None:
        said = f"{target} is a checkpoint, and {imported.source} asks a live model"
        return Conformance(plan=plan, target=target, not_compared=said)
    from decay_audit.api import codebases

    try:
        codebase = codebases.version(imported.source)
        theirs = codebases.treatments(imported.source, loaded.built.model, imported.configuration, base)
    except codebases.CodebaseUnavailableError as error:
        return Conformance(plan=plan, target=target, not_compared=error.message)
    return Conformance(plan=plan, target=target, codebase=codebase, differences=differences(plan, theirs))
