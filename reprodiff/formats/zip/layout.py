"""The records of a zip archive and how they spell their values (APPNOTE.TXT 4.3 and 4.4)."""

import struct
import zlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from reprodiff.codecs import DOS_TIME, LE, LE_HEX, RAW, Codec
from reprodiff.tree import Derive, Field, Refs, Role, Table

LOCAL, CENTRAL, END = b"PK\3\4", b"PK\1\2", b"PK\5\6"
END64, LOCATOR, DESCRIPTOR = b"PK\6\6", b"PK\6\7", b"PK\7\x08"
# What a field of 32 or 16 bits holds when the value is in the zip64 extended information instead (4.4.8, 4.4.21).
FULL, FULL_SHORT = 0xFFFFFFFF, 0xFFFF
LENGTHS = struct.Struct("<HHH")
SHORTEST = 16
FULL_BYTES = b"\xff\xff\xff\xff"

ENCRYPTED, STREAMED, UTF8 = 1, 8, 0x800
STORED, IMPLODED, DEFLATED, BZIP2, LZMA, ZSTD, XZ = 0, 6, 8, 12, 14, 93, 95
METHODS = {STORED: "stored", 1: "shrunk", IMPLODED: "imploded", DEFLATED: "deflated", 9: "deflate64", BZIP2: "bzip2",
           LZMA: "lzma", ZSTD: "zstd", XZ: "xz", 99: "encrypted"}  # fmt: skip
# Version needed to extract, at least (4.4.3.2).
VERSIONS = {BZIP2: 46, LZMA: 63, ZSTD: 63, XZ: 63, 9: 21, 99: 51}
SYSTEMS = ("FAT", "Amiga", "OpenVMS", "Unix", "VM/CMS", "Atari ST", "HPFS", "Macintosh", "Z-System", "CP/M", "NTFS",
           "MVS", "VSE", "Acorn", "VFAT", "alternate MVS", "BeOS", "Tandem", "OS/400", "OS X")  # fmt: skip
# Where the upper half of the external attributes is a Unix mode, or empty.
UNIX_LIKE = frozenset((0, 3, 6, 10, 11, 14, 19))

FILE_TYPE, REGULAR, DIRECTORY, SYMLINK = 0o170000, 0o100000, 0o040000, 0o120000
DOS_READ_ONLY, DOS_DIRECTORY = 0x01, 0x10
# Bits of the lower half that say nothing beside a mode: read-only, directory, archive, and 7-Zip's "has a mode".
DOS_REDUNDANT = DOS_READ_ONLY | DOS_DIRECTORY | 0x20 | 0x8000


class SourceTime(tuple[int, ...]):
    """DOS time of a Clojure source: its class is used only while it is newer."""

    __slots__ = ()


class ClassTime(tuple[int, ...]):
    """DOS time of a class in an archive that has Clojure sources."""

    __slots__ = ()


def _stays(_value: object, _size: int) -> bytes:
    raise ValueError("another value would change what other bytes mean")


TIMES = {
    "": DOS_TIME,
    # The check byte of the encryption header is the upper byte of the time (4.4.4, bit 3; 6.1.6).
    "encrypted": DOS_TIME._replace(encode=_stays),
    "source": DOS_TIME._replace(decode=lambda raw: SourceTime(DOS_TIME.decode(raw))),
    "class": DOS_TIME._replace(decode=lambda raw: ClassTime(DOS_TIME.decode(raw))),
}


def _show_made_by(value: int) -> str:
    system, version = value >> 8, value & 255
    name = SYSTEMS[system] if system < len(SYSTEMS) else str(system)
    return f"{version // 10}.{version % 10} {name}"


def _show_version(value: int) -> str:
    return f"{value // 10}.{value % 10}"


def _show_method(value: int) -> str:
    return f"{value} ({METHODS[value]})" if value in METHODS else str(value)


class Told(int):
    """A value that is written also where another program may take the member for something else then."""

    __slots__ = ()


def _when_told(encode: Callable[[Any, int], bytes]) -> Callable[[Any, int], bytes]:
    def written(value: Any, size: int) -> bytes:
        return encode(value, size) if isinstance(value, Told) else _stays(value, size)

    return written


# Two tables have it, by what stays: the size is its own, not that of a place.
MADE_BY = LE._replace(encode=lambda value, _size: int(value).to_bytes(2, "little"), show=_show_made_by)
# By what stays: nothing; a member without a mode, which the system gives it; a name that the system decides (4.4.2).
MADE_BYS = {
    "": MADE_BY,
    "mode": MADE_BY._replace(encode=_when_told(MADE_BY.encode)),
    "name": MADE_BY._replace(encode=_stays),
}
VERSION = LE._replace(show=_show_version)
METHOD = LE._replace(show=_show_method)


@lru_cache(256)
def _flags(kept: int) -> Codec:
    """Flags of a member for which the bits of `kept` have a meaning: they are written whatever the value says."""
    return LE_HEX._replace(encode=lambda value, size: int(value | kept).to_bytes(size, "little"))


@lru_cache(256)
def _version(least: int) -> Codec:
    return VERSION._replace(encode=lambda value, size: max(value, least).to_bytes(size, "little"))


def _attributes(directory: bool) -> Codec:
    """External attributes as the Unix mode that they mean, with the file type; DOS attributes without a Unix mode mean
    the usual one. DOS bits beside those are kept in bits 16 and up."""
    usual, kind = (DIRECTORY | 0o755, DIRECTORY) if directory else (REGULAR | 0o644, REGULAR)

    def decode(raw: bytes) -> int:
        low, mode = int.from_bytes(raw[:2], "little"), int.from_bytes(raw[2:], "little")
        if not mode:
            mode = DIRECTORY | 0o755 if low & DOS_DIRECTORY else usual
            if low & DOS_READ_ONLY:
                mode &= ~0o222
        elif not mode & FILE_TYPE:
            mode |= DIRECTORY if low & DOS_DIRECTORY else kind
        return mode | (low & ~DOS_REDUNDANT) << 16

    def encode(value: int, _size: int) -> bytes:
        mode, low = value & 0xFFFF, value >> 16
        low |= DOS_DIRECTORY if mode & FILE_TYPE == DIRECTORY else 0
        low |= 0 if mode & 0o200 else DOS_READ_ONLY
        return low.to_bytes(2, "little") + mode.to_bytes(2, "little")

    return Codec(decode, encode, lambda value: f"{value:06o}")


ATTRIBUTES = {False: _attributes(False), True: _attributes(True)}
_MODELESS = {key: codec._replace(encode=_when_told(codec.encode)) for key, codec in ATTRIBUTES.items()}
FOREIGN_ATTRIBUTES = LE_HEX._replace(encode=_stays)


def checksum(refs: Refs) -> bytes:
    """Return the CRC-32 of the decoded content."""
    crc = 0
    for chunk in refs.decoded("content"):
        crc = zlib.crc32(chunk, crc)
    return crc.to_bytes(4, "little")


def _short(value: int) -> bytes:
    return min(value, FULL).to_bytes(4, "little")


def _unknown_yet(header: bytes, refs: Refs) -> bool:
    """Tell whether a local header leaves CRC and sizes to the data descriptor (4.4.4, bit 3)."""
    return refs.has("descriptor") and header[14:18] == b"\0\0\0\0"


def _local_crc(header: bytes, refs: Refs) -> bytes:
    old = header[14:18]
    if _unknown_yet(header, refs):
        return old
    if refs.changed("content"):
        return checksum(refs)
    # Zero beside a content: a data descriptor had it, and agreed with the directory.
    return refs.raw("central")[16:20] if old == b"\0\0\0\0" and refs.size("content") else old


def _local_stored_size(header: bytes, refs: Refs) -> bytes:
    old = header[18:22]
    if (old == FULL_BYTES and refs.has("zip64")) or (old == b"\0\0\0\0" and refs.has("descriptor")):
        return old
    return _short(refs.size("content"))


def _local_size(header: bytes, refs: Refs) -> bytes:
    old = header[22:26]
    if (old == FULL_BYTES and refs.has("zip64")) or (old == b"\0\0\0\0" and refs.has("descriptor")):
        return old
    if not refs.changed("content"):
        if old not in {b"\0\0\0\0", FULL_BYTES} or not refs.size("content"):
            return old
        known = refs.raw("central")[24:28]
        # So short a content may as well be nothing, compressed.
        if known != FULL_BYTES and refs.size("content") > SHORTEST:
            return known
    return _short(refs.decoded_size("content"))


def _local_name(header: bytes, _refs: Refs) -> bytes:
    return (len(header) - 30).to_bytes(2, "little")


def _local_extra(_header: bytes, refs: Refs) -> bytes:
    return (refs.offset("content") - refs.offset("header") - refs.size("header")).to_bytes(2, "little")


@lru_cache(4096)
def local_header(name: int, kept: int, least: int, time: str, sealed: bool) -> Table:
    """The local file header of a member with a name of so many bytes (4.3.7).

    kept    flag bits that mean something for it; least: version that its method needs
    time    which of TIMES; sealed: encrypted, so that CRC and size do not follow from bytes that can be read
    """
    derived = Role.VALUE if sealed else Role.DERIVED
    return Table(
        Field("signature", 4, RAW, Role.FIXED),
        Field("version", 2, _version(least)),
        Field("flags", 2, _flags(kept)),
        Field("method", 2, METHOD),
        Field("time", 4, TIMES[time]),
        Field("crc-32", 4, LE_HEX, derived, None if sealed else _local_crc),
        Field("compressed-size", 4, LE, Role.DERIVED, _local_stored_size),
        Field("uncompressed-size", 4, LE, derived, None if sealed else _local_size),
        Field("name-length", 2, LE, Role.DERIVED, _local_name),
        Field("extra-length", 2, LE, Role.DERIVED, _local_extra),
        Field("name", name),
    )


def _same_as_local(start: int, stop: int, local: int) -> Derive:
    width = stop - start

    def derive(header: bytes, refs: Refs) -> bytes:
        return refs.raw("local")[local : local + width] if refs.changed("local") else header[start:stop]

    return derive


_central_flags = _same_as_local(8, 10, 6)
_central_method = _same_as_local(10, 12, 8)
_central_time = _same_as_local(12, 16, 10)


def _central_crc(header: bytes, refs: Refs) -> bytes:
    return checksum(refs) if refs.changed("content") else header[16:20]


def _central_stored_size(header: bytes, refs: Refs) -> bytes:
    old = header[20:24]
    return old if old == FULL_BYTES and refs.has("zip64") else _short(refs.size("content"))


def _central_size(header: bytes, refs: Refs) -> bytes:
    old = header[24:28]
    if old == FULL_BYTES and refs.has("zip64"):
        return old
    if not refs.changed("content") and old != FULL_BYTES:
        return old
    return _short(refs.decoded_size("content"))


def _central_name_length(header: bytes, _refs: Refs) -> bytes:
    return (len(header) - 46).to_bytes(2, "little")


def _central_name(header: bytes, refs: Refs) -> bytes:
    return refs.raw("local")[30:] if refs.changed("local") else header[46:]


def _central_extra(_header: bytes, refs: Refs) -> bytes:
    size = refs.size("entry") - refs.size("header") - (refs.size("comment") if refs.has("comment") else 0)
    return size.to_bytes(2, "little")


def _central_comment(_header: bytes, refs: Refs) -> bytes:
    return (refs.size("comment") if refs.has("comment") else 0).to_bytes(2, "little")


def _central_disk(header: bytes, refs: Refs) -> bytes:
    return header[34:36] if header[34:36] != b"\xff\xff" or refs.has("zip64") else b"\0\0"


def place(refs: Refs, name: str) -> int:
    """Return the offset of a bound node as the archive counts: bytes before it that it does not know do not count."""
    return refs.offset(name) - (refs.size("uncounted") if refs.has("uncounted") else 0)


def _central_offset(header: bytes, refs: Refs) -> bytes:
    old = header[42:46]
    return old if old == FULL_BYTES and refs.has("zip64") else _short(place(refs, "member"))


@lru_cache(4096)
def central_header(
    name: int, least: int, directory: bool, foreign: bool, sealed: bool, time: str, system: str, modeless: bool
) -> Table:
    """The central directory header of a member (4.3.12).

    foreign: made where attributes hold no Unix mode; system: which of MADE_BYS; modeless: its attributes could hold a
    Unix mode and have none."""
    attributes = FOREIGN_ATTRIBUTES if foreign else _MODELESS[directory] if modeless else ATTRIBUTES[directory]
    derived = Role.VALUE if sealed else Role.DERIVED
    return Table(
        Field("signature", 4, RAW, Role.FIXED),
        Field("made-by", 2, MADE_BYS[system]),
        Field("version", 2, _version(least)),
        Field("flags", 2, LE_HEX, Role.DERIVED, _central_flags),
        Field("method", 2, METHOD, Role.DERIVED, _central_method),
        Field("time", 4, TIMES[time], Role.DERIVED, _central_time),
        Field("crc-32", 4, LE_HEX, derived, None if sealed else _central_crc),
        Field("compressed-size", 4, LE, Role.DERIVED, _central_stored_size),
        Field("uncompressed-size", 4, LE, derived, None if sealed else _central_size),
        Field("name-length", 2, LE, Role.DERIVED, _central_name_length),
        Field("extra-length", 2, LE, Role.DERIVED, _central_extra),
        Field("comment-length", 2, LE, Role.DERIVED, _central_comment),
        Field("disk", 2, LE, Role.DERIVED, _central_disk),
        Field("internal", 2, LE_HEX),
        Field("external", 4, attributes),
        Field("offset", 4, LE, Role.DERIVED, _central_offset),
        Field("name", name, RAW, Role.DERIVED, _central_name),
    )


def _descriptor(signed: bool, width: int) -> Table:
    at = 4 if signed else 0
    signature = (Field("signature", 4, RAW, Role.FIXED),) if signed else ()
    return Table(
        *signature,
        Field("crc-32", 4, LE_HEX, Role.DERIVED,
              lambda raw, refs: checksum(refs) if refs.changed("content") else raw[at : at + 4]),
        Field("compressed-size", width, LE, Role.DERIVED,
              lambda _raw, refs: refs.size("content").to_bytes(width, "little")),
        Field("uncompressed-size", width, LE, Role.DERIVED,
              lambda raw, refs: refs.decoded_size("content").to_bytes(width, "little")
              if refs.changed("content") else raw[at + 4 + width :]),
    )  # fmt: skip


# Data descriptors by their size (4.3.9): the signature is optional, sizes have eight bytes in zip64.
DESCRIPTORS = {12: _descriptor(False, 4), 16: _descriptor(True, 4), 20: _descriptor(False, 8), 24: _descriptor(True, 8)}


def count(directory: bytes) -> int:
    """Count the headers of a central directory."""
    at = found = 0
    while directory[at : at + 4] == CENTRAL:
        name, extra, comment = LENGTHS.unpack_from(directory, at + 28)
        at += 46 + name + extra + comment
        found += 1
    return found


def _entries(width: int, start: int) -> Derive:
    full = b"\xff" * width

    def derive(record: bytes, refs: Refs) -> bytes:
        old = record[start : start + width]
        if width == 2 and old == full and refs.has("zip64"):
            return old
        return min(count(refs.raw("directory")), (1 << 8 * width) - 1).to_bytes(width, "little")

    return derive


def _directory_size(record: bytes, refs: Refs) -> bytes:
    old = record[12:16]
    return old if old == FULL_BYTES and refs.has("zip64") else _short(refs.size("directory"))


def _directory_offset(record: bytes, refs: Refs) -> bytes:
    old = record[16:20]
    return old if old == FULL_BYTES and refs.has("zip64") else _short(place(refs, "directory"))


def _disk(start: int) -> Derive:
    def derive(record: bytes, refs: Refs) -> bytes:
        old = record[start : start + 2]
        return old if old != b"\xff\xff" or refs.has("zip64") else b"\0\0"

    return derive


# End of central directory record (4.3.16).
END_RECORD = Table(
    Field("signature", 4, RAW, Role.FIXED),
    Field("disk", 2, LE, Role.DERIVED, _disk(4)),
    Field("directory-disk", 2, LE, Role.DERIVED, _disk(6)),
    Field("disk-entries", 2, LE, Role.DERIVED, _entries(2, 8)),
    Field("entries", 2, LE, Role.DERIVED, _entries(2, 10)),
    Field("directory-size", 4, LE, Role.DERIVED, _directory_size),
    Field("directory-offset", 4, LE, Role.DERIVED, _directory_offset),
    Field("comment-length", 2, LE, Role.DERIVED, lambda _raw, refs: refs.size("comment").to_bytes(2, "little")),
)

# Zip64 end of central directory record (4.3.14), without its extensible data sector.
END64_RECORD = Table(
    Field("signature", 4, RAW, Role.FIXED),
    Field("record-size", 8, LE, Role.DERIVED,
          lambda _raw, refs: (44 + (refs.size("extensible") if refs.has("extensible") else 0)).to_bytes(8, "little")),
    Field("made-by", 2, MADE_BY),
    Field("version", 2, VERSION),
    Field("disk", 4, LE),
    Field("directory-disk", 4, LE),
    Field("disk-entries", 8, LE, Role.DERIVED, _entries(8, 24)),
    Field("entries", 8, LE, Role.DERIVED, _entries(8, 32)),
    Field("directory-size", 8, LE, Role.DERIVED, lambda _raw, refs: refs.size("directory").to_bytes(8, "little")),
    Field("directory-offset", 8, LE, Role.DERIVED, lambda _raw, refs: place(refs, "directory").to_bytes(8, "little")),
)  # fmt: skip

# Zip64 end of central directory locator (4.3.15).
LOCATOR_RECORD = Table(
    Field("signature", 4, RAW, Role.FIXED),
    Field("disk", 4, LE),
    Field("offset", 8, LE, Role.DERIVED, lambda _raw, refs: place(refs, "end").to_bytes(8, "little")),
    Field("disks", 4, LE),
)
