"""The metadata of a Rust crate (.rmeta, rustc_metadata): what in it names a source file or digests one.

A blob starts with its version and the position of its root. Strings are a LEB128 length, the bytes and 0xC1. Source
files stand last before the root: their names, the digest of their content, where lines start, and an identifier that is
SipHash 1-3 of the name and the crate's own identifier. A table of their positions follows, then the root, which starts
with the target, the digest of the whole crate (16 bytes) and the crate's name. Other crates are listed first, each
with its digest.
"""

import struct
from typing import NamedTuple

from reprodiff.spans import Span

MAGIC = b"rust\0\0\0"
# Versions of the encoding in which source files and the root are laid out as here.
VERSIONS = frozenset({9, 10})
END = 0xC1
STRING_MAX = 4096
FILES_MAX = 10_000
FLAGS_MAX = 12
WORD = (1 << 64) - 1


class File(NamedTuple):
    """A source file: where it starts, its strings with their lengths and ends, and its identifier where it was
    reproduced."""

    start: int
    strings: tuple[Span, ...]
    identifier: Span | None


class Dependency(NamedTuple):
    """A crate that this one was built with: its name, and where its digest stands."""

    name: bytes
    digest: Span


class Metadata(NamedTuple):
    """What was understood of a blob; spans are offsets in it. table: the positions of the files, of `width` bytes."""

    root: int
    digest: Span
    crate: Span
    files: tuple[File, ...]
    table: Span
    width: int
    dependencies: tuple[Dependency, ...]


def number(data: bytes, at: int) -> tuple[int, int]:
    """Return a LEB128 number and where it ends; raises IndexError at the end of the data."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80 or shift > 63:
            return value, at


def _string(data: bytes, at: int) -> tuple[bytes, Span]:
    """Return a string and its span with length and end; raises ValueError where none is."""
    size, start = number(data, at)
    if size > STRING_MAX or start + size >= len(data) or data[start + size] != END:
        raise ValueError
    return data[start : start + size], (at, start + size + 1)


def parse(data: bytes) -> Metadata | None:
    """Return what the blob says of itself, None where it is laid out otherwise."""
    if not data.startswith(MAGIC) or len(data) < 32 or data[7] not in VERSIONS:
        return None
    try:
        return _parse(data)
    except (ValueError, IndexError):
        return None


def _parse(data: bytes) -> Metadata | None:
    root = int.from_bytes(data[8:16], "little")
    version, (_start, at) = _string(data, 16)
    if not version.startswith(b"rustc ") or root >= len(data) or data[root]:
        return None
    _target, (_start, digest) = _string(data, root + 1)
    # The name is a symbol: 0, and the string.
    if data[digest + 16]:
        return None
    _name, (_start, after) = _string(data, digest + 17)
    # Flags (one since version 9, two since version 10), what the file's name has besides, and the identifier.
    _extra, (_start, crate) = _string(data, after + data[7] - 8)
    count = _count(data, crate + 8, root - at)
    dependencies = _dependencies(data, at, count)
    files, width = _files(data, root, data[crate : crate + 8])
    rows = len(files)
    return Metadata(
        root, (digest, digest + 16), (crate, crate + 8), files, (root - rows * width, root), width, dependencies
    )


def _count(data: bytes, at: int, distance: int) -> int:
    """Return how many crates are listed at a distance before the root; 0 where none is. Options and flags stand before
    that number, one byte each."""
    for start in range(at + 4, at + FLAGS_MAX):
        count, after = number(data, start)
        if count and number(data, after)[0] == distance:
            return count
    return 0


def _dependencies(data: bytes, at: int, count: int) -> tuple[Dependency, ...]:
    found = []
    for _ in range(min(count, FILES_MAX)):
        kind = data[at]
        if kind == 0:
            name, (_start, at) = _string(data, at + 1)
        else:
            start = at
            _value, at = number(data, at + 1)
            name = b"#%s" % data[start:at].hex().encode()
        digest = at
        at += 16
        host = data[at]
        at += 17 if host else 1
        # Kind of dependency, what its file's name has besides, whether it is private.
        extra, (_start, at) = _string(data, at + 1)
        at += 1
        found.append(Dependency(name + extra if kind == 0 else extra.lstrip(b"-") or name, (digest, digest + 16)))
    return tuple(found)


def _files(data: bytes, root: int, crate: bytes) -> tuple[tuple[File, ...], int]:
    """Return the source files that the table before the root refers to, in order, and how wide its entries are."""
    best: tuple[tuple[File, ...], int] = ((), 0)
    for width in range(1, 9):
        found: list[File] = []
        last = root
        while len(found) < FILES_MAX:
            end = root - len(found) * width
            position = int.from_bytes(data[end - width : end], "little")
            file = _file(data, position, last, crate) if 16 < position < last else None
            if file is None:
                break
            found.append(file)
            last = position
        if len(found) > len(best[0]):
            best = tuple(reversed(found)), width
    return best


def _file(data: bytes, start: int, stop: int, crate: bytes) -> File | None:
    """Return the source file that starts at a position and ends before another, None where there is none."""
    try:
        if data[start] or data[start + 1] > 1:
            return None
        names: list[bytes] = []
        spans: list[Span] = []
        at = start + 2
        # Local names, where there are, and those for others: the file's, the directory, and both as they are shown.
        for _ in range(6 if data[start + 1] else 3):
            name, span = _string(data, at)
            names.append(name)
            spans.append(span)
            at = span[1]
        if at > stop:
            return None
        plain = b"".join(map(hashed, names[-3:]))
        local = b"\1" + b"".join(map(hashed, names[:3])) if data[start + 1] else b"\0"
        behind = plain + data[at : at + 1] + b"\1" + crate
        # A name that was mapped for every use hides the local one.
        for before in (local, b""):
            found = data.find(digest(b"\0" + before + behind), at, stop)
            if found >= 0:
                return File(start, tuple(spans), (found, found + 16))
        return File(start, tuple(spans), None)
    except (ValueError, IndexError):
        return None


def hashed(path: bytes) -> bytes:
    """Return what Rust's standard library hashes of a path: its components, and a number made of their lengths."""
    parts = []
    number_of = start = 0
    for at in [*(i for i, byte in enumerate(path) if byte == 0x2F), len(path)]:
        part = path[start:at]
        if part and (part != b"." or start == 0):
            parts.append(part)
            total = (number_of + len(part)) & WORD
            number_of = (total >> 2) | ((total & 3) << 62)
        start = at + 1
    return b"".join(parts) + struct.pack("<Q", number_of)


def digest(data: bytes) -> bytes:
    """Return SipHash 1-3 with 128 bits and a key of zeros."""
    v0, v1, v2, v3 = 0x736F6D6570736575, 0x646F72616E646F6D ^ 0xEE, 0x6C7967656E657261, 0x7465646279746573

    def rounds(count: int) -> None:
        nonlocal v0, v1, v2, v3
        for _ in range(count):
            v0, v2 = (v0 + v1) & WORD, (v2 + v3) & WORD
            v1, v3 = _turn(v1, 13) ^ v0, _turn(v3, 16) ^ v2
            v0 = _turn(v0, 32)
            v2, v0 = (v2 + v1) & WORD, (v0 + v3) & WORD
            v1, v3 = _turn(v1, 17) ^ v2, _turn(v3, 21) ^ v0
            v2 = _turn(v2, 32)

    whole = len(data) // 8 * 8
    for (word,) in struct.iter_unpack("<Q", data[:whole]):
        v3 ^= word
        rounds(1)
        v0 ^= word
    last = (len(data) & 0xFF) << 56 | int.from_bytes(data[whole:], "little")
    v3 ^= last
    rounds(1)
    v0 ^= last
    v2 ^= 0xEE
    rounds(3)
    first = v0 ^ v1 ^ v2 ^ v3
    v1 ^= 0xDD
    rounds(3)
    return struct.pack("<QQ", first, v0 ^ v1 ^ v2 ^ v3)


def _turn(value: int, by: int) -> int:
    return ((value << by) | (value >> (64 - by))) & WORD
