"""Change the file of the user that makes the optimizer, so that the optimizer takes the param groups of a ruleset."""

import re
from collections.abc import Callable
from difflib import unified_diff
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from decay_audit import files, rulesets
from decay_audit.api.emitting import emit_target
from decay_audit.api.options import AuditOptions, CodeOptions
from decay_audit.api.request import no_progress
from decay_audit.errors import DecayAuditError

if TYPE_CHECKING:
    from decay_audit.emit.edit import ReplacedCall

_FILE_AND_LINE = re.compile(r"(?P<file>.+\.py):(?P<line>[0-9]+)")


class EditedFile(Struct, frozen=True, kw_only=True):
    """The change of a file as a unified diff, which `patch` and `git apply` read, and notes for the user."""

    diff: str
    notes: tuple[str, ...] = ()


def edit_file(
    target: str, options: AuditOptions, code_options: CodeOptions, progress: Callable[[str], None] = no_progress
) -> EditedFile:
    """Replace `AdamW(model.parameters(), ...)` in the file of `--diff` by a function and its call.

    The coefficient of the call stays in effect, unless `--weight-decay` gives another. With `--write`, the file is
    replaced as a whole; nothing else is written.

    Raises:
        DecayAuditError: the call is not understood, or the code cannot be written for the target.
    """
    from decay_audit.emit import edit

    _check(code_options)
    match = _FILE_AND_LINE.fullmatch(code_options.diff or "")
    name, line = (match["file"], int(match["line"])) if match else (code_options.diff or "", None)
    source = edit.read(name)
    call = edit.find_call(source, line)
    ruleset = rulesets.load(options.rules)
    if call.only_trainable and ruleset.frozen != "skip":
        raise source.refusal(
            call.node.lineno,
            f"the call leaves frozen parameters out, and {ruleset.name} has groups for them",
            "use a ruleset with `frozen: skip`, or pass model.parameters()",
        )
    replaces = options.weight_decay is not None and options.weight_decay != call.literal_weight_decay
    options, note = _with_coefficient_of_call(options, call, f"{name}:{call.node.lineno}")
    emitted = emit_target(target, options, code_options, progress)
    parts = edit.split(emitted.text)
    text = edit.change(source, call, parts, keeps_weight_decay=not replaces)
    if "weight_decay" not in parts.arguments and call.weight_decay is not None:
        note = (
            f"{ruleset.name} sets the coefficients itself: weight_decay={source.code(call.weight_decay.value)} is gone"
        )
    notes = [note] if note else []
    if code_options.write:
        with files.atomic_write(source.path, may_be_input=True) as path:
            path.write_bytes(text.encode(source.encoding))
        notes.insert(0, f"{name} is changed: the optimizer of line {call.node.lineno} takes param groups now")
    diff = _unified_diff(name, source.text.decode(), text)
    return EditedFile(diff=diff, notes=(*notes, *emitted.notes))


def _check(options: CodeOptions) -> None:
    """Refuse options that do not go with --diff."""
    if options.diff is None:
        raise DecayAuditError("--write changes the file of --diff", "name the file: --diff train.py --write")
    settings = (options.like, options.optimizer, options.lr, options.keep_order_of)
    if options.for_ != "torch" or options.set_ or any(value is not None for value in settings):
        raise DecayAuditError(
            "--diff keeps the optimizer that the file makes",
            "leave out --for, --like, --optimizer, --lr, --set and --keep-order-of",
        )


def _with_coefficient_of_call(options: AuditOptions, call: "ReplacedCall", where: str) -> tuple[AuditOptions, str]:
    """Take the base coefficient from the call, or from the default of its class.

    Returns:
        The options, and a note for the user on where the coefficient comes from; "" if it is written in the call.
    """
    literal = call.literal_weight_decay
    if options.weight_decay is not None:
        replaced = call.weight_decay is not None and literal != options.weight_decay
        return options, f"--weight-decay replaces the coefficient of {where}" if replaced else ""
    if literal:
        return replace(options, weight_decay=literal), ""
    if call.weight_decay is not None:
        return options, ""
    if call.default:
        return replace(options, weight_decay=call.default), (
            f"{where} sets no weight_decay: the groups keep the default of {call.class_name}, {call.default:g}"
        )
    return options, (
        f"{where} sets no weight_decay: the groups get that of {options.rules}; --weight-decay X sets another"
    )


def _unified_diff(name: str, old: str, new: str) -> str:
    """Compare two texts line by line, as `diff -u` does."""
    old_lines, new_lines = (re.findall(r"[^\n]*\n|[^\n]+", text) for text in (old, new))
    lines = unified_diff(old_lines, new_lines, fromfile=f"a/{name}", tofile=f"b/{name}")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
