"""A Plan becomes Python code, which is executed and compared with the plan before it is printed.

- styles: a plan -> code, in the style that the user asks for
- rule/: the style of conditions, such as `isinstance(module, nn.LayerNorm)`
- names: the style of names: every parameter by its name
- construction: which optimizers the code makes, of which groups
- optimizer: the classes and settings that the user names, checked as text
- verification: code is executed on a model and compared with the plan
- literals: text -> Python literals; `layout` breaks lines, `template` fills `templates/`
"""

from decay_audit.emit.construction import notes
from decay_audit.emit.styles import code
from decay_audit.emit.verification import DifferentGroupsError, verify

__all__ = ["DifferentGroupsError", "code", "notes", "verify"]
