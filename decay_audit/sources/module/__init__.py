"""Reading models from Python: a target built, or a live model walked, into an Inventory. Knows no roles or rules."""

from decay_audit.sources.module.build import Built, build
from decay_audit.sources.module.make_optimizer import make
from decay_audit.sources.module.to_module import checked
from decay_audit.sources.module.user_code.evaluate import evaluate
from decay_audit.sources.module.user_code.import_context import home_of, running
from decay_audit.sources.module.walk import read
from decay_audit.sources.module.walk.tensors import names, tensors

__all__ = ["Built", "build", "checked", "evaluate", "home_of", "make", "names", "read", "running", "tensors"]
