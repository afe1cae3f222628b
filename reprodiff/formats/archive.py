"""Containers that libarchive reads and nobody here takes apart: 7z, cab, iso9660, rar, xar, lha, warc.

The container is one payload whose content is the listing of its members. It says less than the container does, so
that the container's own bytes stay unexplained where they differ; the listing tells where to look.
"""

import stat
from collections.abc import Iterator
from typing import Any

from reprodiff.budget import Budget
from reprodiff.errors import FormatError, ReprodiffError
from reprodiff.formats import Format, alone
from reprodiff.formats.directory import DIRECTORY, FILE, PACK, SECOND, SYMLINK, Extras, Listing
from reprodiff.formats.frames import library
from reprodiff.sources import Source, spool
from reprodiff.tree import Content, Group, Leaf, Role, listed

MAGICS = ((0, b"7z\xbc\xaf\x27\x1c"), (0, b"MSCF\0\0\0\0"), (0, b"Rar!\x1a\x07"), (0, b"xar!\0"), (0, b"WARC/"))
ISO_AT, ISO = 0x8001, b"CD001"
BLOCK = 1 << 16
TYPES = {stat.S_IFREG: FILE, stat.S_IFDIR: DIRECTORY, stat.S_IFLNK: SYMLINK, stat.S_IFIFO: b"p", stat.S_IFSOCK: b"s",
         stat.S_IFCHR: b"c", stat.S_IFBLK: b"b"}  # fmt: skip
EOF = 1
MODE_MAX, MOST = 0o7777, (1 << 63) - 1


def probe(head: bytes, source: Source) -> bool:
    """Tell whether a stream starts with the magic of one of these, or an ISO 9660 volume descriptor lies in it."""
    if any(head.startswith(magic, at) for at, magic in MAGICS):
        return True
    # lha: a method such as -lh5- after size and checksum of the header.
    if head[2:5] in {b"-lh", b"-lz", b"-pm"} and head[6:7] == b"-":
        return True
    return not alone(head) and source.size > ISO_AT and source.read(ISO_AT, ISO_AT + len(ISO)) == ISO


def parse(source: Source, _budget: Budget) -> Group:
    """Describe the container as one payload; it is opened when its content is asked for."""
    ffi = library("libarchive.ffi", "An archive that libarchive reads", "libarchive-c", "python3-libarchive-c")
    listing: list[Listing] = []

    def content(budget: Budget) -> Listing:
        if not listing:
            listing.append(_Reader(ffi, source, budget).listing())
        return listing[0]

    payload = Leaf("content", 0, source.size, Role.PAYLOAD, content=Content("archive", content, partial=True))
    return Group("archive", 0, source.size, listed([payload]))


class _Reader:
    """Reads members through libarchive; nothing is written by the name of a member."""

    def __init__(self, ffi: Any, source: Source, budget: Budget) -> None:
        self.ffi = ffi
        self.source = source
        self.budget = budget
        self.at = 0
        self.piece = b""
        self.members: list[tuple[bytes, bytes, Extras | None, int]] = []

    def listing(self) -> Listing:
        """Return all members, their contents one after another in one spool. Raises FormatError or LimitError."""
        ffi = self.ffi
        # Warnings about a member are no output of ours.
        ffi.logger.disabled = True
        archive = ffi.read_new()
        # The callbacks must live as long as the archive.
        read, seek = ffi.READ_CALLBACK(self._read), ffi.SEEK_CALLBACK(self._seek)
        try:
            ffi.read_support_filter_none(archive)
            ffi.read_support_format_all(archive)
            ffi.read_set_seek_callback(archive, seek)
            ffi.read_open(archive, None, ffi.NO_OPEN_CB, read, ffi.NO_CLOSE_CB)
            entry = ffi.entry_new()
            try:
                contents = spool(self._members(archive, entry), self.budget)
            finally:
                ffi.entry_free(entry)
        except ReprodiffError:
            raise
        except Exception as error:
            if type(error).__name__ != "ArchiveError":
                raise
            raise FormatError(f"libarchive: {error}") from error
        finally:
            ffi.read_free(archive)
        return _listed(self.members, contents)

    def _members(self, archive: Any, entry: Any) -> Iterator[bytes]:
        ffi = self.ffi
        while ffi.read_next_header2(archive, entry) != EOF:
            self.budget.count(1)
            self.budget.check_time()
            size = 0
            for block in self._blocks(archive):
                size += len(block)
                yield block
            self.members.append(_member(ffi, entry, size))

    def _blocks(self, archive: Any) -> Iterator[bytes]:
        """Yield the data of the current member; holes of sparse ones as zeros."""
        import ctypes

        pointer, size, offset = ctypes.c_void_p(), ctypes.c_size_t(), ctypes.c_longlong()
        at = 0
        read = self.ffi.read_data_block
        while read(archive, ctypes.byref(pointer), ctypes.byref(size), ctypes.byref(offset)) != EOF:
            while at < offset.value:
                hole = min(offset.value - at, BLOCK)
                at += hole
                yield bytes(hole)
            if size.value and pointer.value:
                at += size.value
                yield ctypes.string_at(pointer.value, size.value)

    def _read(self, _archive: Any, _context: Any, pointer: Any) -> int:
        import ctypes

        self.piece = self.source.read(self.at, self.at + BLOCK)
        self.at += len(self.piece)
        ctypes.cast(pointer, ctypes.POINTER(ctypes.c_char_p))[0] = self.piece
        return len(self.piece)

    def _seek(self, _archive: Any, _context: Any, offset: int, whence: int) -> int:
        base = (0, self.at, self.source.size)[whence]
        self.at = max(0, min(base + offset, self.source.size))
        return self.at


def _text(wide: Any, narrow: Any, entry: Any) -> bytes:
    """Return a name as UTF-8, or as the archive has it: the wide one first, for it does not depend on the locale."""
    try:
        text = wide(entry)
    except ValueError:
        text = None
    found: bytes = narrow(entry) or b"" if text is None else text.encode("utf-8", "surrogatepass")
    return found


def _member(ffi: Any, entry: Any, size: int) -> tuple[bytes, bytes, Extras | None, int]:
    name = _text(ffi.entry_pathname_w, ffi.entry_pathname, entry)
    kind = TYPES.get(ffi.entry_filetype(entry), b"?")
    link = _text(ffi.entry_hardlink_w, ffi.entry_hardlink, entry)
    seconds = ffi.entry_mtime(entry) if ffi.entry_mtime_is_set(entry) else 0
    nanoseconds = ffi.entry_mtime_nsec(entry) if ffi.entry_mtime_is_set(entry) else 0
    device = kind in {b"c", b"b"}
    status = PACK(
        kind,
        ffi.entry_mode(entry) & MODE_MAX,
        max(ffi.entry_uid(entry), 0),
        max(ffi.entry_gid(entry), 0),
        max(-MOST, min(seconds * SECOND + nanoseconds, MOST)),
        ffi.entry_rdevmajor(entry) & 0xFFFFFFFF if device else 0,
        ffi.entry_rdevminor(entry) & 0xFFFFFFFF if device else 0,
    )
    parts: list[tuple[str, bytes | None, bytes]] = []
    if kind == SYMLINK:
        parts.append(("target", None, _text(ffi.entry_symlink_w, ffi.entry_symlink, entry)))
    if link:
        parts.append(("link", None, link))
    return name.rstrip(b"/") or name, status, Extras(tuple(parts)) if parts else None, size


def _listed(members: list[tuple[bytes, bytes, Extras | None, int]], contents: Source) -> Listing:
    places: list[int] = []
    at = 0

    def content(number: int, start: int, stop: int) -> bytes:
        return contents.read(places[number] + start, places[number] + stop)

    found = Listing(content)
    for member in members:
        places.append(at)
        at += member[3]
        found.add(*member)
    return found


FORMAT = Format("archive", "libarchive 3", parse)
