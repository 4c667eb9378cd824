"""Which parameters of a PyTorch model get weight decay, which should, and where the two differ.

    >>> import torch
    >>> import decay_audit
    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))
    >>> optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    >>> [finding.message for finding in decay_audit.audit(model, optimizer).findings]
    ['2 norm parameters and 1 bias are decayed; no-norm-no-bias spares them']

The public names stand in `__init__.pyi`; each is imported when it is first asked for, so that the command line starts
quickly and `import decay_audit` does not import torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
