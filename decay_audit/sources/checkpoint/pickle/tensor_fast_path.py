"""Match all opcodes that `torch.save` writes for one strided tensor by one regular expression, not in 35 steps.

The result is the same, except that the tuples are not memoized: picklers do not refer to them again. If a pickle does
refer to them, it is interpreted a second time without the fast path.
"""

import re
from math import prod
from typing import Any, Final

from decay_audit.sources.checkpoint.contents import Tensor
from decay_audit.sources.checkpoint.pickle.allowlist import ALLOWED, MAX_ELEMENTS
from decay_audit.sources.checkpoint.pickle.inert_values import Global
from decay_audit.sources.checkpoint.pickle.machine import Machine, Sizes

# Opcodes of pickle protocol 2 as regular expressions: an integer, PUT and GET of the memo, and a tuple of integers.
_INTEGER = rb"(?:K.|M..|J....)"
_PUT = rb"(?:q.|r....)"
_GET = rb"(?:h.|j....)"
_TUPLE = rb"(\)|\(?" + _INTEGER + rb"*+[t\x85\x86\x87])" + _PUT + rb"?"
_OPCODES = b"".join(
    (
        rb"\(\((" + _GET + rb")(" + _GET + rb")",  # persistent id: the word "storage", the storage class,
        rb"X(.)\0\0\0([0-9]++)(" + _PUT + rb")" + _GET,  # its key, its device,
        rb"(" + _INTEGER + rb")t" + _PUT + rb"?Q",  # its length
        rb"(" + _INTEGER + rb")" + _TUPLE + _TUPLE,  # offset, shape, stride
        rb"([\x88\x89])(" + _GET + rb")\)R" + _PUT + rb"?",  # requires_grad, no hooks
        rb"t" + _PUT + rb"?R",
    )
)
_TENSOR: Final = re.compile(_OPCODES[2:], re.DOTALL)  # after the MARK
_NAMED_TENSOR: Final = re.compile(
    rb"(" + _PUT + rb")(" + _GET + rb")" + _OPCODES + rb"(" + _PUT + rb")(?:X(..)\0\0)?", re.DOTALL
)
_REBUILD = ALLOWED["torch._utils._rebuild_tensor_v2"]
"""The function that torch calls for a strided tensor."""
_NO_HOOKS = ALLOWED["collections.OrderedDict"]
"""The class of the empty dict that stands for the hooks of a tensor."""

_WIDTHS = {ord("K"): 1, ord("M"): 2, ord("J"): 4}
"""How many bytes of the number follow each opcode of an integer."""


def read_named_tensors(machine: Machine, position: int) -> int:
    """Push the tensor that follows the name on the stack, and all further pairs of name and tensor."""
    memo, stack, match_tensor, from_bytes = machine.memo, machine.stack, _NAMED_TENSOR.match, int.from_bytes
    while match := match_tensor(machine.data, position):
        name_put, *parts, put, length = match.groups()
        tensor = _tensor(machine, parts)
        if tensor is None:
            return position
        memo[from_bytes(name_put[1:], "little")] = stack[-1]
        memo[from_bytes(put[1:], "little")] = tensor
        stack.append(tensor)
        position = match.end()
        if length is None:
            return position
        end = position + from_bytes(length, "little")
        if end > len(machine.data):
            return position - 5  # back to the opcode of the next name (1 byte, and 4 of length): it asks for more bytes
        stack.append(str(machine.data[position:end], "utf-8", "replace"))
        position = end
    return position


def read_tensor(machine: Machine, position: int) -> int:
    """Replace the rebuild function on top of the stack by its tensor. Its arguments begin at `position`."""
    match = _TENSOR.match(machine.data, position)
    if match is None or not machine.stack or machine.stack[-1] is not _REBUILD:
        return position
    tensor = _tensor(machine, [b"", *match.groups()])  # b"": there is no GET of the rebuild function
    if tensor is None:
        return position
    machine.stack[-1] = tensor
    return match.end()


def _tensor(machine: Machine, parts: list[Any]) -> Tensor | None:
    """Make the tensor of a match; None if it is unusual, and the opcodes must be interpreted one by one."""
    rebuild, word, storage_type_get, width, key, put, count, offset, shape, stride, trainable, hooks = parts
    gets, numbers = (rebuild, word, storage_type_get, hooks), (count, offset, shape, stride)
    storage_type = machine.storage_types.get(gets) or _storage_type(machine, gets)
    sizes = machine.tensor_sizes.get(numbers) or _sizes(machine, numbers)
    if storage_type is None or sizes is None or machine.make_storage is None or width[0] != len(key):
        return None
    elements, offset, shape, stride = sizes
    storage_key = machine.memo[int.from_bytes(put[1:], "little")] = key.decode()
    storage = machine.make_storage(storage_type, storage_key, elements)
    if storage.count != elements:
        return None
    return Tensor(
        shape=shape,
        dtype=storage.dtype,
        storage=storage,
        offset=offset + storage.first,
        stride=stride,
        trainable=True if trainable == b"\x88" else None,
    )


def _storage_type(machine: Machine, gets: tuple[bytes, ...]) -> Global | None:
    """Look up the storage class in the memo; None if the memo does not hold what torch writes for a strided tensor.

    A pickler writes an index of the memo only once, so the result is cached by the GET opcodes.
    """
    rebuild, word, storage_type, hooks = (
        machine.memo.get(int.from_bytes(get[1:], "little")) if get else _REBUILD for get in gets
    )
    if rebuild is not _REBUILD or word != "storage" or hooks is not _NO_HOOKS or type(storage_type) is not Global:
        return None
    machine.storage_types[gets] = storage_type
    return storage_type


def _sizes(machine: Machine, numbers: tuple[bytes, ...]) -> Sizes | None:
    """Read length, offset, shape and stride, and check that they fit together; None if they do not."""
    count, offset, shape, stride = numbers
    if not (_is_tuple(shape) and _is_tuple(stride)):
        return None
    (elements,), (first,), sizes, strides = _integers(count), _integers(offset), _integers(shape), _integers(stride)
    if min(elements, first, *sizes, *strides) < 0 or len(sizes) != len(strides) or prod(sizes) > MAX_ELEMENTS:
        return None
    last = first + sum((size - 1) * step for size, step in zip(sizes, strides, strict=True))
    if prod(sizes) and last >= elements:
        return None
    result = machine.tensor_sizes[numbers] = elements, first, sizes, strides
    return result


def _is_tuple(opcodes: bytes) -> bool:
    """Check that the last opcode makes a tuple of exactly the integers before it."""
    length = {0x85: 1, 0x86: 2, 0x87: 3}.get(opcodes[-1])
    if length is None:
        return (opcodes[:1] == b"(") == (opcodes[-1:] == b"t")
    return opcodes[:1] != b"(" and len(_integers(opcodes)) == length


def _integers(opcodes: bytes) -> tuple[int, ...]:
    integers, position = [], 0
    while position < len(opcodes):
        width = _WIDTHS.get(opcodes[position])
        if width:
            integers.append(int.from_bytes(opcodes[position + 1 : position + 1 + width], "little", signed=width == 4))
        position += 1 + (width or 0)
    return tuple(integers)
