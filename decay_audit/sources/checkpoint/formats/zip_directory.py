"""The directory of a zip archive, and one small member of it, checked. The other members are never read."""

import zlib
from collections.abc import Iterator, Mapping
from struct import Struct as Layout, error as struct_error
from typing import Final

from msgspec import Struct

from decay_audit.sources.checkpoint.formats.byte_source import Opened
from decay_audit.sources.checkpoint.pickle.values import MalformedError

_END = Layout("<4s4H2LH")
_END_64 = Layout("<4sQ2H2L4Q")
_LOCATOR_64 = Layout("<4sLQL")
_ENTRY = Layout("<4s4x2H4x3L3H8xL")
_LOCAL = Layout("<4s22x2H")
_FULL: Final = 0xFFFFFFFF

MAX_DIRECTORY: Final = 48 * 2**20


class Member(Struct, frozen=True, kw_only=True, eq=False, gc=False):
    """Where a member's data is, and what the directory says about it. Sizes and positions in bytes."""

    flags: int
    method: int
    checksum: int
    packed: int
    size: int
    at: int


def read_directory(opened: Opened) -> Mapping[str, Member]:
    """List the members of the archive by name.

    Raises:
        MalformedError: there is no directory (the file is cut), or it contradicts itself.
    """
    count, size, at = _end(opened)
    if size > MAX_DIRECTORY:
        raise MalformedError(f"its zip directory claims {size} bytes; at most {MAX_DIRECTORY} are read")
    try:
        found = list(_entries(opened.read(at, size)))
    except (struct_error, IndexError) as error:
        raise MalformedError("its zip directory is cut or malformed") from error
    members = dict(found)
    if len(found) != count:
        raise MalformedError(f"its zip directory claims {count} members and has {len(found)}")
    if len(members) != len(found):
        raise MalformedError("two members of its zip directory have the same name")
    return members


def _end(opened: Opened) -> tuple[int, int, int]:
    """Find the end record: members, size and position of the directory."""
    tail = opened.read(max(opened.size - 98, 0), min(98, opened.size))
    at = len(tail) - _END.size
    if at < 0 or tail[at : at + 4] != b"PK\5\6":
        tail = opened.read(max(opened.size - 65_600, 0), min(65_600, opened.size))
        at = tail.rfind(b"PK\5\6")
    if at < 0 or at + _END.size > len(tail):
        raise MalformedError("its zip directory is missing: the file is incomplete (a download that was cut?)")
    _, _, _, _, count, size, start, _ = _END.unpack_from(tail, at)
    if _FULL not in (start, size) and count != 0xFFFF:
        return count, size, start
    locator = at - _LOCATOR_64.size
    if locator < 0 or tail[locator : locator + 4] != b"PK\6\7":
        return count, size, start
    record = opened.read(_LOCATOR_64.unpack_from(tail, locator)[2], _END_64.size)
    signature, *_, count, size, start = _END_64.unpack(record)
    if signature != b"PK\6\6":
        raise MalformedError("its zip64 end record is not where it should be")
    return count, size, start


def _entries(directory: bytes) -> Iterator[tuple[str, Member]]:
    at = 0
    while at < len(directory):
        signature, flags, method, checksum, packed, size, name, extra, comment, start = _ENTRY.unpack_from(
            directory, at
        )
        if signature != b"PK\1\2":
            raise MalformedError("its zip directory is malformed")
        at += _ENTRY.size
        text = directory[at : at + name].decode("utf-8", "replace")
        if _FULL in (size, packed, start):
            size, packed, start = _large(directory[at + name : at + name + extra], size, packed, start)
        at += name + extra + comment
        yield text, Member(flags=flags, method=method, checksum=checksum, packed=packed, size=size, at=start)
    if at != len(directory):
        raise MalformedError("its zip directory is cut")


def _large(extra: bytes, *values: int) -> tuple[int, int, int]:
    """Take the 64-bit values of a zip64 extra field, in order, for those that were full."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = int.from_bytes(extra[at : at + 2], "little"), int.from_bytes(extra[at + 2 : at + 4], "little")
        if kind == 1:
            field = extra[at + 4 : at + 4 + length]
            wide = iter(int.from_bytes(field[i : i + 8], "little") for i in range(0, len(field) - 7, 8))
            size, packed, start = (next(wide, value) if value == _FULL else value for value in values)
            return size, packed, start
        at += 4 + length
    size, packed, start = values
    return size, packed, start


def read_member(opened: Opened, name: str, member: Member, limit: int) -> bytes:
    """Give the content of one member.

    Raises:
        MalformedError: larger than `limit`, or not what its checksum says.
    """
    shown = repr(name[-64:])
    if member.size > limit or member.packed > limit:
        raise MalformedError(f"{shown} in it is {member.size} bytes; at most {limit} are read of what is packed")
    content = _unpack(opened.read(begin(opened, name, member), member.packed), member, shown)
    if len(content) != member.size:
        raise MalformedError(f"{shown} in it is {len(content)} bytes, its zip directory says {member.size}")
    if zlib.crc32(content) != member.checksum:
        raise MalformedError(f"{shown} in it is damaged: its checksum (CRC) does not fit")
    return content


def begin(opened: Opened, name: str, member: Member) -> int:
    """Find where the bytes of a member begin.

    Raises:
        MalformedError: it is encrypted, or not where the directory says.
    """
    if member.flags & 1:
        raise MalformedError(f"{name[-64:]!r} in it is encrypted")
    signature, name_length, extra_length = _LOCAL.unpack(opened.read(member.at, _LOCAL.size))
    if signature != b"PK\3\4":
        raise MalformedError(f"{name[-64:]!r} is not where its zip directory says")
    return member.at + _LOCAL.size + int(name_length) + int(extra_length)


def _unpack(packed: bytes, member: Member, shown: str) -> bytes:
    match member.method:
        case 0:
            return packed
        case 8:
            try:
                return zlib.decompressobj(-15).decompress(packed, member.size + 1)
            except zlib.error as error:
                raise MalformedError(f"{shown} in it cannot be unpacked: {error}") from error
        case _:
            raise MalformedError(f"{shown} in it is packed by method {member.method}; stored and deflated are read")
