"""A Plan becomes Python code, which is executed and compared with the plan before it is printed.

- styles: a plan -> code, in the style that the user asks for
- rule/: the style of conditions, such as `isinstance(module, nn.LayerNorm)`
- names: the style of names: every parameter by its name
- construction: the optimizers that the code makes, and the groups that each of them takes
- optimizer: the class and the settings of an optimizer, as the user writes them -> Python
- function_proof: a function of the user is compared with a plan
- verification: code is executed on a model and compared with the plan
- groups: plans -> the groups of the code
- like/: optimizers that exist -> data from which code can make them again
- edit/: a file of the user -> the same file, whose optimizer takes the param groups
- frameworks/: a plan -> what a framework takes instead of param groups
- python/: literals, lines and templates
"""

from decay_audit.emit.construction import notes
from decay_audit.emit.groups import assign_copies
from decay_audit.emit.like.proof import DifferentOptimizerError
from decay_audit.emit.styles import layer_problem, write_code
from decay_audit.emit.verification import DifferentGroupsError, verify

__all__ = [
    "DifferentGroupsError",
    "DifferentOptimizerError",
    "assign_copies",
    "layer_problem",
    "notes",
    "verify",
    "write_code",
]
