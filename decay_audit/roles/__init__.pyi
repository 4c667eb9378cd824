# The names that other packages take from `decay_audit.roles`, and the module of each.
from .classification import classify as classify
