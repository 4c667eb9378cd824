"""The code in a TorchScript archive, as text, becomes the names of each class's parameters; none of it is run.

TorchScript keeps parameters and buffers alike as attributes of their module; its classes list which are which.
"""

import re
from collections.abc import Mapping
from typing import Final

from decay_audit.sources.checkpoint.formats.byte_source import Opened
from decay_audit.sources.checkpoint.formats.zip_directory import Member, read_member

MAX_CODE: Final = 16 * 2**20
"""Bytes of code that are read: beyond it buffers are told by their names, as in a state dict."""

_CLASS = re.compile(rb"^class (\w+)\(Module\):\n  __parameters__ = \[(.*)\]$", re.MULTILINE)
_NAME = re.compile(rb'"([^"\\]*)"')


def parameters_of_classes(opened: Opened, folder: str, members: Mapping[str, Member]) -> Mapping[str, frozenset[str]]:
    """List the parameters of each class by its qualified name.

    Raises:
        MalformedError: the code is damaged.
    """
    root = f"{folder}code/"
    files = {name: member for name, member in members.items() if name.startswith(root) and name.endswith(".py")}
    if sum(member.size for member in files.values()) > MAX_CODE:
        return {}
    found = {}
    for name, member in files.items():
        module = name.removeprefix(root).removesuffix(".py").replace("/", ".")
        for kind, listed in _CLASS.findall(read_member(opened, name, member, MAX_CODE)):
            names = frozenset(each.decode("utf-8", "replace") for each in _NAME.findall(listed))
            found[f"{module}.{kind.decode()}"] = names
    return found
