"""Read the directory of a zip archive, and the contents of single small members, and check them."""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from struct import Struct as Layout, error as struct_error
from typing import Final

from msgspec import Struct

from decay_audit.sources.checkpoint.contents import MalformedError
from decay_audit.sources.checkpoint.formats.byte_source import OpenFile
from decay_audit.text import count_noun, first_few

# The records of a zip archive: the end record, the zip64 end record and its locator, an entry of the directory, and the
# header in front of a member.
_END = Layout("<4s4H2LH")
_END_64 = Layout("<4sQ2H2L4Q")
_LOCATOR_64 = Layout("<4sLQL")
_ENTRY = Layout("<4s4x2H4x3L3H8xL")
_LOCAL = Layout("<4s22x2H")
_IN_ZIP64: Final = 0xFFFFFFFF
"""The value of a field whose real value is in a zip64 record."""

MAX_DIRECTORY: Final = 48 * 2**20
"""The most bytes of a directory: those of about 500,000 members."""
_SAVE_HINT: Final = "save the state dict again with torch.save"
"""The hint of an archive that torch would not write."""


class ZipMember(Struct, frozen=True, kw_only=True, eq=False, gc=False):
    """An entry of the directory: the sizes of a member, and the position of its header in bytes."""

    flags: int
    method: int
    checksum: int
    packed: int
    size: int
    position: int


def read_directory(file: OpenFile, notes: list[str]) -> Mapping[str, ZipMember]:
    """List the members of the archive by name.

    Args:
        notes: the list to which a sentence is added if the archive is unusual, but torch reads it.

    Raises:
        MalformedError: there is no directory (the file is cut), or it contradicts itself.
    """
    count, size, position = _end(file, notes)
    if size > MAX_DIRECTORY:
        raise MalformedError(f"its zip directory is {size} bytes long; at most {MAX_DIRECTORY} are read", _SAVE_HINT)
    try:
        entries = list(_entries(file.read(position, size)))
    except (struct_error, IndexError) as error:
        raise MalformedError("its zip directory is cut or malformed") from error
    members = dict(entries)
    if len(entries) != count:
        raise MalformedError(f"its zip directory lists {len(entries)} files and says that it lists {count}")
    if len(members) != len(entries):
        _check_duplicates(entries, members, notes)
    return members


def _check_duplicates(
    entries: Sequence[tuple[str, ZipMember]], members: Mapping[str, ZipMember], notes: list[str]
) -> None:
    """Refuse members of one name that differ in size, and pickles and code that differ at all.

    Which of them torch reads depends on the names of the other members.
    """
    repeated = {name for name, member in entries if members[name] is not member}
    for name, member in entries:
        last = members[name]
        differs = (member.size, member.checksum) != (last.size, last.checksum)
        if differs and (name.endswith((".pkl", ".py")) or member.size != last.size):
            raise MalformedError(f"its zip directory lists two different files of the name {_quoted(name)}")
    notes.append(f"its zip directory lists {first_few([_quoted(name) for name in sorted(repeated)], 3)} more than once")


def _end(file: OpenFile, notes: list[str]) -> tuple[int, int, int]:
    """Read the end record: the number of members, and the size and the position of the directory."""
    # 98 bytes hold the three end records without a comment, 65,600 bytes an end record with the longest comment
    tail = file.read(max(file.size - 98, 0), min(98, file.size))
    position = len(tail) - _END.size
    if position < 0 or tail[position : position + 4] != b"PK\5\6":
        tail = file.read(max(file.size - 65_600, 0), min(65_600, file.size))
        position = tail.rfind(b"PK\5\6")
    if position < 0 or position + _END.size > len(tail):
        raise MalformedError("its zip directory is missing, so the file is incomplete")
    _, _, _, _, count, size, start, comment = _END.unpack_from(tail, position)
    trailing = len(tail) - position - _END.size - comment
    if trailing > 0:
        notes.append(f"{count_noun(trailing, 'byte')} after the end of its zip archive were not read")
    if _IN_ZIP64 not in (start, size) and count != 0xFFFF:
        return count, size, start
    locator = position - _LOCATOR_64.size
    if locator < 0 or tail[locator : locator + 4] != b"PK\6\7":
        return count, size, start
    record = file.read(_LOCATOR_64.unpack_from(tail, locator)[2], _END_64.size)
    signature, *_, count, size, start = _END_64.unpack(record)
    if signature != b"PK\6\6":
        raise MalformedError("its zip64 end record is not at the position that its locator gives")
    return count, size, start


def _entries(directory: bytes) -> Iterator[tuple[str, ZipMember]]:
    position = 0
    while position < len(directory):
        signature, flags, method, checksum, packed, size, name, extra, comment, start = _ENTRY.unpack_from(
            directory, position
        )
        if signature != b"PK\1\2":
            raise MalformedError("its zip directory is malformed")
        position += _ENTRY.size
        text = directory[position : position + name].decode("utf-8", "replace")
        if _IN_ZIP64 in (size, packed, start):
            size, packed, start = _from_zip64(directory[position + name : position + name + extra], size, packed, start)
        position += name + extra + comment
        yield text, ZipMember(flags=flags, method=method, checksum=checksum, packed=packed, size=size, position=start)
    if position != len(directory):
        raise MalformedError("its zip directory is cut")


def _from_zip64(extra: bytes, *values: int) -> tuple[int, int, int]:
    """Replace each value of 2**32 - 1 by the next value of the zip64 extra field."""
    position = 0
    while position + 4 <= len(extra):
        kind, length = (
            int.from_bytes(extra[position : position + 2], "little"),
            int.from_bytes(extra[position + 2 : position + 4], "little"),
        )
        if kind == 1:
            field = extra[position + 4 : position + 4 + length]
            wide = iter(int.from_bytes(field[i : i + 8], "little") for i in range(0, len(field) - 7, 8))
            size, packed, start = (next(wide, value) if value == _IN_ZIP64 else value for value in values)
            return size, packed, start
        position += 4 + length
    size, packed, start = values
    return size, packed, start


def read_member(file: OpenFile, name: str, member: ZipMember, limit: int, notes: list[str]) -> bytes:
    """Return the content of one member.

    Args:
        notes: the list to which a sentence is added if the checksum does not match. Torch does not check it, and may
            not write it.

    Raises:
        MalformedError: the member is larger than `limit`, or has another size than the directory says.
    """
    if member.size > limit or member.packed > limit:
        raise MalformedError(
            f"its {_quoted(name)} is {member.size} bytes; at most {limit} of a compressed file are read",
            _SAVE_HINT,
        )
    content = _unpack(name, member, file.read(find_data(file, name, member), member.packed))
    if len(content) != member.size:
        raise MalformedError(f"its {_quoted(name)} is {len(content)} bytes, and its zip directory says {member.size}")
    if zlib.crc32(content) != member.checksum:
        notes.append(
            f"the checksum (CRC) of its {_quoted(name)} does not match: it was saved without one, or is damaged"
        )
    return content


def find_data(file: OpenFile, name: str, member: ZipMember) -> int:
    """Return the position at which the bytes of a member begin.

    Raises:
        MalformedError: the member is encrypted, or is not at the position that the directory gives.
    """
    if member.flags & 1:
        raise MalformedError(f"its {_quoted(name)} is encrypted", _SAVE_HINT)
    signature, name_length, extra_length = _LOCAL.unpack(file.read(member.position, _LOCAL.size))
    if signature != b"PK\3\4":
        raise MalformedError(f"its {_quoted(name)} is not at the position that its zip directory gives")
    return member.position + _LOCAL.size + int(name_length) + int(extra_length)


def _unpack(name: str, member: ZipMember, packed: bytes) -> bytes:
    match member.method:
        case 0:
            return packed
        case 8:
            try:
                return zlib.decompressobj(-15).decompress(packed, member.size + 1)
            except zlib.error as error:
                raise MalformedError(f"its {_quoted(name)} cannot be decompressed: {error}") from error
        case _:
            raise MalformedError(
                f"its {_quoted(name)} is compressed by zip method {member.method}; only 0 and 8 (deflate) are read",
                _SAVE_HINT,
            )


def _quoted(name: str) -> str:
    return repr(name[-64:])
