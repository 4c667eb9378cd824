"""Which parameters of a PyTorch model get weight decay, which should, and where the two differ.

    >>> import torch
    >>> import decay_audit
    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))
    >>> optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    >>> [finding.message for finding in decay_audit.audit(model, optimizer).findings]
    ['2 norm parameters and 1 bias are decayed; no-norm-no-bias spares them']

Data goes through these packages, from top to bottom:

    sources       a target -> Inventory: its parameters, and saved optimizer states
    roles         Inventory -> Classified: the role and layer of each parameter, with evidence
    rulesets      Classified, RuleSet -> Plan: the decision about each parameter
    optimizers    live and saved optimizers -> Observations: what they do to each parameter
    checks        Plan, Observations -> Findings: where they differ
    reports       Report -> text, JSON, SARIF, ...
    emit          Plan -> Python code
    api           joins the stages; the functions that Python code calls
    cli           the command line
    integrations  the audit in pytest, Lightning and transformers' Trainer
    model         the values that all of them use; below it `errors`, `files`, `text` and `work` (limits of work)

The public names are listed in `__init__.pyi`. Each is imported when it is first used: the command line starts quickly,
and `import decay_audit` does not import torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
