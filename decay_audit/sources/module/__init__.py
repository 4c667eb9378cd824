"""Reading models from Python: a target built, or a live model walked, into an Inventory. Knows no roles or rules."""

from decay_audit.sources.module.beside import make
from decay_audit.sources.module.building import Built, Device, build
from decay_audit.sources.module.calling import checked
from decay_audit.sources.module.evaluating import evaluate
from decay_audit.sources.module.surroundings import home_of, running
from decay_audit.sources.module.tensors import names, tensors
from decay_audit.sources.module.walk import read

__all__ = ["Built", "Device", "build", "checked", "evaluate", "home_of", "make", "names", "read", "running", "tensors"]
