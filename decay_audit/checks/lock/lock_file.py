"""Write a Lock as the text of a lock file, and read it: a header, then the parameters in order of their names.

Parameters that differ only in the numbers of their blocks share a line: one changed decision is one changed line.

    blocks.{0-11}.norm1.weight  192  norm_weight  weight_decay=0  rule=norms
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from decay_audit.checks.lock.entries import Entry, Lock, NameParts
from decay_audit.errors import DecayAuditError

FORMAT_VERSION = "1"
"""The version of the file format, in the first line of the file."""

_TITLE = "decay-audit lock"
_COMMENT = "# `decay-audit check` compares with this file; `decay-audit lock --update` shows changes and rewrites it"
_FIELDS = ("weight_decay", "lr_scale", "use", "rule", "observed")
"""The fields of an Entry that are written as `field=value`, in this order."""
# A word of a line, whose value may be quoted; a word that needs no quotes; and the lines that git adds in a conflict.
_WORD_PATTERN = re.compile(r'[\w.=+-]*"(?:[^"\\]|\\.)*"|\S+')
_PLAIN_WORD = re.compile(r"[^\s\"{}\\=#<>|][^\s\"{}\\=]*")
_CONFLICT_MARKER = re.compile(r"<{7}( |$)|={7}$|>{7}( |$)|\|{7}( |$)")
# A number that is written without loss as a number, and a set of numbers such as {0-3,5}.
_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}")
_NUMBER_SET = re.compile(r"\{([0-9]+(?:-[0-9]+)?(?:,[0-9]+(?:-[0-9]+)?)*)\}")
_MAX_NAMES_IN_LINE = 10_000_000
"""The most names that a line may stand for: a damaged set of numbers must not fill the memory."""
_HINT = "`decay-audit lock`, with the same target and options, writes a new one"


def write(lock: Lock) -> str:
    """Write a lock as text. The order of the parameters in the model does not matter."""
    header = [
        f"{_TITLE} {FORMAT_VERSION}",
        _COMMENT,
        f"target {_quote(lock.target)}",
        f"ruleset {_quote(lock.ruleset)} {lock.ruleset_hash}",
        f"weight_decay {lock.weight_decay} from {lock.weight_decay_from}",
        *([f"optimizers {_quote(lock.optimizers)}"] if lock.optimizers else []),
        f"versions {_quote(lock.versions)}",
        "",
    ]
    rows = {_name_parts(name): _entry_text(entry) for name, entry in lock.entries.items()}
    lines = sorted(_fold_numbers(rows).items(), key=lambda row: [_sort_key(part) for part in row[0]])
    return "".join(f"{line}\n" for line in (*header, *(f"{'.'.join(parts)}  {text}" for parts, text in lines)))


def _name_parts(name: str) -> NameParts:
    """Split a name at its dots; a name with characters of this file's own syntax is quoted and has one part."""
    word = _quote(name)
    return tuple(name.split(".")) if word == name else (word,)


def _entry_text(entry: Entry) -> str:
    values = ((field, getattr(entry, field)) for field in _FIELDS)
    settings = (
        f"{field}={_quote(value)}" for field, value in values if value and not (field == "lr_scale" and value == "1")
    )
    return "  ".join((entry.shape, entry.role, *settings))


def _quote(text: str) -> str:
    """Quote a text unless it is one word without characters of this file's own syntax."""
    return text if _PLAIN_WORD.fullmatch(text) and text.isprintable() else json.dumps(text)


def _sort_key(part: str) -> tuple[int, int, str]:
    """Sort numbers by their value, and before words. Nine digits are compared: a name may have a longer number."""
    first = re.match(r"\{?([0-9]+)", part)
    return (0, int(first[1][:9]), part) if first else (1, 0, part)


def _fold_numbers(rows: Mapping[NameParts, str]) -> dict[NameParts, str]:
    """Join rows that differ in one number and in nothing else, starting with the last part of the names."""
    for index in reversed(range(max(map(len, rows), default=0))):
        numbers_by_row: dict[tuple[NameParts, NameParts, str], list[str]] = {}
        for parts, text in rows.items():
            number = parts[index] if index < len(parts) and _NUMBER.fullmatch(parts[index]) else None
            # a row without a number at this place gets a key of its own
            key = (parts[:index], parts[index + 1 :], text) if number else (parts, (), text)
            numbers_by_row.setdefault(key, []).append(number or "")
        rows = {
            (*before, _write_numbers(numbers), *after) if numbers[0] else before: text
            for (before, after, text), numbers in numbers_by_row.items()
        }
    return dict(rows)


def _write_numbers(numbers: list[str]) -> str:
    if len(numbers) == 1:
        return numbers[0]
    ranges: list[list[int]] = []
    for number in sorted(map(int, numbers)):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return "{" + ",".join(f"{low}" if low == high else f"{low}-{high}" for low, high in ranges) + "}"


def read(text: str, file: str) -> Lock:
    """Read the text of a lock file.

    Args:
        file: the name of the lock file, for messages.

    Raises:
        DecayAuditError: the text is no lock, holds a merge conflict, or has a line that cannot be read, which the
            message names.
    """
    first, *lines = text.splitlines() or [""]
    _refuse_conflict(first, file, 1)
    if first != f"{_TITLE} {FORMAT_VERSION}":
        raise DecayAuditError(f"{file} is not a lock: its first line is not `{_TITLE} {FORMAT_VERSION}`", _HINT)
    header: dict[str, list[str]] = {}
    entries: dict[str, Entry] = {}
    line_of: dict[str, int] = {}
    entry_by_text: dict[str, Entry] = {}
    in_header = True
    for number, line in enumerate(lines, 2):
        if not line or line[0] in "#<=>|":
            _refuse_conflict(line, file, number)
            in_header = in_header and bool(line)
            continue
        try:
            if in_header:
                key, *header[key] = _split_words(line)
                continue
            names, rest = _split_line(line)
            entry = entry_by_text.get(rest) or entry_by_text.setdefault(rest, _parse_entry(_split_words(rest)))
            for name in names:
                if name in entries:
                    raise ValueError(f"{name} is also in line {line_of[name]}")
                entries[name], line_of[name] = entry, number
        except (ValueError, IndexError) as error:
            raise DecayAuditError(f"{file}:{number}: this line cannot be read: {error}", _HINT) from error
    return _make_lock(header, entries, line_of, file)


def is_lock(text: str) -> bool:
    """Whether a text is a lock of any version. A merge conflict may stand before its first line."""
    return any(line.startswith(f"{_TITLE} ") for line in text.splitlines()[:20])


def recorded_optimizers(text: str) -> str:
    """Return the classes of the optimizers in the text of a lock, or ""; the rest of the text may be damaged."""
    header = text.partition("\n\n")[0]
    lines = (line for line in header.splitlines() if line.startswith("optimizers "))
    return " ".join(word for line in lines for word in _split_words(line)[1:])


def _refuse_conflict(line: str, file: str, number: int) -> None:
    if _CONFLICT_MARKER.match(line):
        raise DecayAuditError(
            f"{file}:{number}: a merge conflict is not resolved",
            "`decay-audit lock`, with the same target and options, writes it anew; `git diff` shows what changes",
        )


def _make_lock(
    header: Mapping[str, list[str]], entries: Mapping[str, Entry], lines: Mapping[str, int], file: str
) -> Lock:
    try:
        (target,), (ruleset, ruleset_hash) = header["target"], header["ruleset"]
        weight_decay, _, source = header["weight_decay"]
    except (KeyError, ValueError) as error:
        hint = "the header has the lines target, ruleset and weight_decay"
        raise DecayAuditError(f"{file}: its header is damaged", f"{hint}; {_HINT}") from error
    if source not in ("ruleset", "option", "optimizer"):
        raise DecayAuditError(f"{file}: weight_decay comes from `{source}`", "it must be ruleset, option or optimizer")
    return Lock(
        target=target,
        ruleset=ruleset,
        ruleset_hash=ruleset_hash,
        weight_decay=weight_decay,
        weight_decay_from=source,  # type: ignore[arg-type]
        optimizers=" ".join(header.get("optimizers", ())),
        versions=" ".join(header.get("versions", ())),
        entries=entries,
        lines=lines,
    )


def _split_words(line: str) -> list[str]:
    return line.split() if '"' not in line else [_unquoted(word) for word in _WORD_PATTERN.findall(line)]


def _unquoted(word: str) -> str:
    key, quote, rest = word.partition('"')
    return word if not quote else key + str(json.loads(quote + rest))


def _split_line(line: str) -> tuple[Sequence[str], str]:
    """Split a line into the names that it stands for, and the rest."""
    if line[0] == '"':
        name, end = json.JSONDecoder().raw_decode(line)
        return (name,), line[end:]
    pattern, _, rest = line.partition(" ")
    return _expand_names(pattern) if "{" in pattern else (pattern,), rest


def _parse_entry(words: list[str]) -> Entry:
    shape, role, *settings = words
    values = dict(setting.split("=", 1) for setting in settings)
    if unknown := values.keys() - set(_FIELDS):
        raise ValueError(f"`{min(unknown)}` is not one of {', '.join(_FIELDS)}")
    if "weight_decay" not in values:
        raise ValueError("it has no weight_decay")
    return Entry(shape=shape, role=role, **values)


def _expand_names(pattern: str) -> Sequence[str]:
    """List the names that a pattern stands for: `blocks.{0-2}.weight` stands for three names."""
    names = [""]
    for index, text in enumerate(_NUMBER_SET.split(pattern)):  # plain texts and sets of numbers alternate
        if index % 2 == 0 and not {"{", "}"}.isdisjoint(text):
            raise ValueError(f"`{pattern}` has braces that hold no numbers")
        choices = [text] if index % 2 == 0 else [str(number) for number in _expand_numbers(text)]
        if len(names) * len(choices) > _MAX_NAMES_IN_LINE:
            raise ValueError("it stands for too many parameters")
        names = [f"{name}{choice}" for name in names for choice in choices]
    return names


def _expand_numbers(text: str) -> Iterator[int]:
    for part in text.split(","):
        low, _, high = part.partition("-")
        if int(high or low) - int(low) > _MAX_NAMES_IN_LINE:
            raise ValueError("it stands for too many parameters")
        yield from range(int(low), int(high or low) + 1)
