"""The stages put together: a Request goes in; a Report, a comparison, code or a rewritten checkpoint comes out.

    options      every option, declared once for the command line, pyproject.toml and Python
    request      Request: the options, and a target or a live model
    loading      a Request -> LoadedTarget: the inventory, the built model, and the optimizers that were made for it
    making       an expression -> optimizers, and the model as it is after they were made; used by `loading`
    observing    a LoadedTarget, a Request -> what the live and saved optimizers do
    locking/     a Report -> a lock and its text; two locks, targets or git revisions -> what differs
    pipeline     run(request) -> Report: load, classify, decide, observe, compare; the only way to a Report
    running/     a training script under the recorder -> a Report for each model that it trains
    functions/   what Python users call: audit, assert_decay, param_groups, plan, ...
                 `audit_report`: the report with methods for Python and notebooks
                 `page_parts`: what a page of HTML shows beside a report
    comparing/   rulesets compared on one model: with each other, with an optimizer, with an imported codebase; and the
                 explanation of one parameter. `codebases` calls another codebase's own function on a live model
    emitting/    a plan -> Python code that was executed and compared with the plan
                 `editing`: a plan, a file of the user -> the file whose optimizer takes the param groups of the plan
    migrating/   a checkpoint -> one whose optimizer state fits other param groups
                 `resuming`: what the param groups of a plan do to a saved state, and the order that keeps it

`__init__.pyi` lists the public names. Each is imported when it is first used, because a help screen needs only the
options. torch is imported only inside the functions that need a model.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
