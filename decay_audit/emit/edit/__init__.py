"""Change a Python file of the user: its optimizer takes param groups, and the function that makes them is added.

- source: the bytes of a file -> its syntax tree, and the place of each node in the text
- call: a file -> the call that makes an optimizer of `model.parameters()`, or the reason why it is not understood
- imports: a file -> what its names are bound to, and the imports that the emitted code still needs
- change: a file, a call and emitted code -> the text of the changed file

The file is read, never executed. What is not changed keeps every byte.
"""

from decay_audit.emit.edit.call import ReplacedCall, find_call
from decay_audit.emit.edit.change import change, split
from decay_audit.emit.edit.source import SourceFile, read

__all__ = ["ReplacedCall", "SourceFile", "change", "find_call", "read", "split"]
