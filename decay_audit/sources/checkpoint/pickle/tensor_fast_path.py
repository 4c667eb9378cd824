"""The run of opcodes that `torch.save` writes for one strided tensor, matched whole instead of in 35 steps.

The result is that of `opcodes`, but what no honest stream asks for again (the tuples inside a run) is not memoized; a
stream that does ask is interpreted once more without this shortcut.
"""

import re
from math import prod
from typing import Any, Final

from decay_audit.sources.checkpoint.pickle.allowlist import ALLOWED, MAX_ELEMENTS
from decay_audit.sources.checkpoint.pickle.machine import Machine
from decay_audit.sources.checkpoint.pickle.values import Name, Tensor

_INTEGER = rb"(?:K.|M..|J....)"
_PUT = rb"(?:q.|r....)"
_GET = rb"(?:h.|j....)"
_SIZES = rb"(\)|\(?" + _INTEGER + rb"*+[t\x85\x86\x87])" + _PUT + rb"?"
_RUN = b"".join(
    (
        rb"\(\((" + _GET + rb")(" + _GET + rb")",  # persistent id: the word "storage", the storage's type,
        rb"X(.)\0\0\0([0-9]++)(" + _PUT + rb")" + _GET,  # its key, its place,
        rb"(" + _INTEGER + rb")t" + _PUT + rb"?Q",  # its length
        rb"(" + _INTEGER + rb")" + _SIZES + _SIZES,  # offset, shape, stride
        rb"([\x88\x89])(" + _GET + rb")\)R" + _PUT + rb"?",  # requires_grad, no hooks
        rb"t" + _PUT + rb"?R",
    )
)
_UNNAMED: Final = re.compile(_RUN[2:], re.DOTALL)  # after the MARK
_NAMED: Final = re.compile(rb"(" + _PUT + rb")(" + _GET + rb")" + _RUN + rb"(" + _PUT + rb")(?:X(..)\0\0)?", re.DOTALL)
_REBUILD = ALLOWED["torch._utils._rebuild_tensor_v2"]
_NO_HOOKS = ALLOWED["collections.OrderedDict"]

_WIDTHS = {ord("K"): 1, ord("M"): 2, ord("J"): 4}

Sizes = tuple[int, int, tuple[int, ...], tuple[int, ...]]


def named(machine: Machine, at: int) -> int:
    """Push the tensors that follow the name on the stack, and the names between them, as far as the runs go."""
    memo, stack, match_run, from_bytes = machine.memo, machine.stack, _NAMED.match, int.from_bytes
    while match := match_run(machine.data, at):
        name_put, *parts, put, length = match.groups()
        tensor = _tensor(machine, parts)
        if tensor is None:
            return at
        memo[from_bytes(name_put[1:], "little")] = stack[-1]
        memo[from_bytes(put[1:], "little")] = tensor
        stack.append(tensor)
        at = match.end()
        if length is None:
            return at
        end = at + from_bytes(length, "little")
        if end > len(machine.data):
            return at - 5  # the next name is read by its own opcode, which asks for more bytes
        stack.append(str(machine.data[at:end], "utf-8", "replace"))
        at = end
    return at


def unnamed(machine: Machine, at: int) -> int:
    """Replace the rebuild function on the stack, whose arguments follow the MARK before `at`, by its tensor."""
    match = _UNNAMED.match(machine.data, at)
    if match is None or not machine.stack or machine.stack[-1] is not _REBUILD:
        return at
    tensor = _tensor(machine, [b"", *match.groups()])
    if tensor is None:
        return at
    machine.stack[-1] = tensor
    return match.end()


def _tensor(machine: Machine, parts: list[Any]) -> Tensor | None:
    """Make the tensor of a run; None leaves what is odd to the single steps."""
    rebuild, word, kind_get, width, key, put, count, offset, shape, stride, trainable, hooks = parts
    frame, numbers = (rebuild, word, kind_get, hooks), (count, offset, shape, stride)
    kind = machine.frames.get(frame) or _frame(machine, frame)
    sizes = machine.runs.get(numbers) or _sizes(machine, numbers)
    if kind is None or sizes is None or machine.storage is None or width[0] != len(key):
        return None
    elements, first, size, step = sizes
    text = machine.memo[int.from_bytes(put[1:], "little")] = key.decode()
    storage = machine.storage(kind, text, elements)
    if storage.count != elements:
        return None
    return Tensor(
        shape=size,
        dtype=storage.dtype,
        storage=storage,
        offset=first + storage.first,
        stride=step,
        trainable=True if trainable == b"\x88" else None,
    )


def _frame(machine: Machine, frame: tuple[bytes, ...]) -> Name | None:
    """Look up what a run refers to: the rebuild function, the word "storage", the type, and that there are no hooks.

    Picklers use an index of the memo once, so what was found is kept.
    """
    rebuild, word, kind, hooks = (
        machine.memo.get(int.from_bytes(get[1:], "little")) if get else _REBUILD for get in frame
    )
    if rebuild is not _REBUILD or word != "storage" or hooks is not _NO_HOOKS or type(kind) is not Name:
        return None
    machine.frames[frame] = kind
    return kind


def _sizes(machine: Machine, numbers: tuple[bytes, ...]) -> Sizes | None:
    """Read the numbers of a run, and check that they fit a storage."""
    count, offset, shape, stride = numbers
    if not (_closed(shape) and _closed(stride)):
        return None
    (elements,), (first,), size, step = _integers(count), _integers(offset), _integers(shape), _integers(stride)
    if min(elements, first, *size, *step) < 0 or len(size) != len(step) or prod(size) > MAX_ELEMENTS:
        return None
    last = first + sum((n - 1) * s for n, s in zip(size, step, strict=True))
    if prod(size) and last >= elements:
        return None
    found = machine.runs[numbers] = elements, first, size, step
    return found


def _closed(sizes: bytes) -> bool:
    """Say whether the opcode that ends a tuple counts what is in it."""
    counted = {0x85: 1, 0x86: 2, 0x87: 3}.get(sizes[-1])
    if counted is None:
        return (sizes[:1] == b"(") == (sizes[-1:] == b"t")
    return sizes[:1] != b"(" and len(_integers(sizes)) == counted


def _integers(text: bytes) -> tuple[int, ...]:
    found, at = [], 0
    while at < len(text):
        width = _WIDTHS.get(text[at])
        if width:
            found.append(int.from_bytes(text[at + 1 : at + 1 + width], "little", signed=width == 4))
        at += 1 + (width or 0)
    return tuple(found)
