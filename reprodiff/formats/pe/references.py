"""What an image says itself about where it holds addresses: base relocations, unwind, import and export tables.

Places are offsets in sections. Only what these tables name is taken for an address (Microsoft PE/COFF, section 6).
"""

import re
from typing import Any, NamedTuple

import numpy as np

from reprodiff.formats.pe.view import View
from reprodiff.formats.program.image import Section
from reprodiff.formats.program.names import EM_386, EM_AARCH64, EM_X86_64
from reprodiff.formats.program.words import distinct, gather

EXPORT, IMPORT, EXCEPTION, RELOCATIONS = 0, 1, 3, 5
HIGHLOW, DIR64 = 3, 10
DESCRIPTOR = 20
# More than any program has: what goes on beyond is not looked at.
MOST = 1 << 20
LIBRARIES_MAX, THUNKS_MAX = 4096, 1 << 16
EMPTY = np.zeros(0, np.int64)


class Table(NamedTuple):
    """A table that another one points to. key: the same on both sides for what is the same."""

    section: int
    start: int
    stop: int
    key: tuple[bytes, ...]


# The head of a list of pseudo relocations of version 1.
_PSEUDO = re.compile(rb"\0{8}\x01\0\0\0")


class References:
    """Where the addresses of one side are.

    pointers  section number to offsets of words that hold an absolute address; None where the image does not say
    relative  section number to offsets of words of 4 bytes that hold an address relative to the base
    tables    what else begins and ends where the image says
    functions (start, end, unwind information) of every function, relative to the base, in order
    canonical whether the base relocations are written as linkers write them
    """

    def __init__(self, view: View) -> None:
        self.view = view
        self.data: dict[int, bytes] = {}
        self.tables: list[Table] = []
        self._relative: dict[int, list[Any]] = {}
        self.canonical = True
        self.relocated = self._relocations()
        self.pointers = None if self.relocated is None else self._placed(self.relocated)
        self.functions = self._functions()
        self._imports()
        self._exports()
        self._pseudo()
        self.relative = {number: distinct(np.concatenate(rows)) for number, rows in self._relative.items()}

    def _bytes(self, section: Section) -> bytes:
        found = self.data.get(section.number)
        if found is None:
            found = self.data[section.number] = self.view.data(section)
        return found

    def _directory(self, number: int) -> tuple[Section, int, int] | None:
        """Return the section, the offset in it and the size of what a data directory points to, where it is stored."""
        rva, size = self.view.directories[number] if number < len(self.view.directories) else (0, 0)
        found = self.view.at(rva) if rva and size else None
        return None if found is None else (*found, min(size, found[0].size - found[1]))

    def _add(self, section: Section, offsets: Any) -> None:
        offsets = offsets[(offsets >= 0) & (offsets + 4 <= section.size)]
        self._relative.setdefault(section.number, []).append(offsets)

    def _placed(self, rvas: Any) -> dict[int, Any]:
        found = {}
        rvas = distinct(rvas)
        for section in self.view.sections[1:]:
            offsets = rvas - (section.addr - self.view.base)
            found[section.number] = offsets[(offsets >= 0) & (offsets < section.size)]
        return found

    def _relocations(self) -> Any:
        """Return what base relocations apply to, relative to the base (section 6.6); None where there are none."""
        found = self._directory(RELOCATIONS)
        if found is None:
            return None
        section, at, size = found
        data = self._bytes(section)[at : at + size]
        wanted = HIGHLOW if self.view.machine == EM_386 else DIR64
        rows, last, at = [EMPTY], -1, 0
        while at + 8 <= len(data):
            page, length = int.from_bytes(data[at : at + 4], "little"), int.from_bytes(data[at + 4 : at + 8], "little")
            if length < 8 or at + length > len(data) or page <= last:
                break
            words = np.frombuffer(data[at + 8 : at + length // 2 * 2], "<u2").astype(np.int64)
            kinds, rest = words >> 12, words & 0xFFF
            used = len(words) - int(len(words) > 0 and words[-1] == 0)
            places = rest[:used] + page
            if (
                length % 4
                or page % 0x1000
                or page <= last
                or (kinds[:used] != wanted).any()
                or (np.diff(places) <= 0).any()
            ):
                self.canonical = False
            rows.append(places[kinds[:used] == wanted])
            last, at = page, at + length
        self.canonical = self.canonical and not data[at:].strip(b"\0")
        return np.concatenate(rows)

    def _functions(self) -> Any:
        """Return the functions of the exception directory (section 5.5), and take in its unwind information."""
        found = self._directory(EXCEPTION)
        nothing = np.zeros((0, 3), np.int64)
        if found is None or self.view.machine not in {EM_X86_64, EM_AARCH64}:
            return nothing
        section, at, size = found
        width = 3 if self.view.machine == EM_X86_64 else 2
        data = self._bytes(section)[at : at + min(size, 4 * width * MOST)]
        rows = np.frombuffer(data[: len(data) // (4 * width) * 4 * width], "<u4").reshape(-1, width).astype(np.int64)
        rows = rows[: len(rows) if (rows[:, 0] != 0).all() else int(np.flatnonzero(rows[:, 0] == 0)[0])]
        if width == 2:
            packed = rows[:, 1] & 3 != 0
            starts = at + 8 * np.arange(len(rows))
            self._add(section, np.concatenate([starts, starts[~packed] + 4]))
            return nothing
        self._add(section, (at + 12 * np.arange(len(rows)).reshape(-1, 1) + np.array([0, 4, 8])).reshape(-1))
        self._unwind(distinct(rows[:, 2]))
        return rows

    def _unwind(self, rvas: Any) -> None:
        """Take in what unwind information refers to: handlers, and what a chain goes on with."""
        for section in self.view.sections[1:]:
            if not section.stored:
                continue
            data = self._bytes(section)
            first = section.addr - self.view.base
            starts = rvas[(rvas >= first) & (rvas + 4 <= first + section.size)] - first
            places: list[int] = []
            for start in starts.tolist():
                flags = data[start] >> 3
                stop = start + 4 + 2 * (data[start + 2] + 1 & ~1)
                if flags & 4:
                    places += range(stop, stop + 12, 4)
                    stop += 12
                elif flags & 3:
                    places.append(stop)
                    stop += 4
                self.tables.append(
                    Table(section.number, start, min(stop, section.size), (b"unwind", b"%d" % (first + start)))
                )
            if places:
                self._add(section, np.array(places, np.int64))

    def _imports(self) -> None:
        """Take in the import lookup and address tables (section 6.4)."""
        found = self._directory(IMPORT)
        if found is None:
            return
        section, at, _size = found
        data = self._bytes(section)
        number = 0
        while number < LIBRARIES_MAX and at + DESCRIPTOR <= len(data) and any(data[at : at + DESCRIPTOR]):
            lookup, _time, _chain, name, address = np.frombuffer(data[at : at + DESCRIPTOR], "<u4").tolist()
            text = self._text(name)
            self._add(
                section,
                np.array([place for place, value in ((at, lookup), (at + 12, name), (at + 16, address)) if value]),
            )
            for kind, rva in ((b"lookup", lookup), (b"address", address)):
                self._thunks(rva, (b"import", kind, text, b"%d" % number if not text else b""))
            number += 1
            at += DESCRIPTOR

    def _text(self, rva: int) -> bytes:
        found = self.view.at(rva)
        return b"" if found is None else self._bytes(found[0])[found[1] : found[1] + 256].split(b"\0", 1)[0]

    def _thunks(self, rva: int, key: tuple[bytes, ...]) -> None:
        found = self.view.at(rva) if rva else None
        if found is None:
            return
        section, at = found
        width = self.view.word
        data = self._bytes(section)
        rows = np.frombuffer(data[at : at + min((len(data) - at) // width, THUNKS_MAX) * width], f"<u{width}")
        ends = np.flatnonzero(rows == 0)
        rows = rows[: int(ends[0]) if len(ends) else 0]
        named = np.flatnonzero(rows >> np.array(8 * width - 1, rows.dtype) == 0)
        self._add(section, at + width * named)
        if len(rows):
            self.tables.append(Table(section.number, at, at + width * (len(rows) + 1), key))

    def _exports(self) -> None:
        """Take in the export address and name pointer tables (section 6.3)."""
        found = self._directory(EXPORT)
        if found is None or found[2] < 40:
            return
        section, at, _size = found
        head = np.frombuffer(self._bytes(section)[at : at + 40], "<u4").astype(np.int64).tolist()
        self._add(section, at + np.array([12, 28, 32, 36]))
        for kind, count, rva, width in (
            (b"addresses", head[5], head[7], 4), (b"names", head[6], head[8], 4), (b"ordinals", head[6], head[9], 2),
        ):  # fmt: skip
            place = self.view.at(rva)
            if place is None or not 0 < count < MOST:
                continue
            other, start = place
            stored = min(count, (other.size - start) // width)
            if width == 4:
                offsets = start + 4 * np.arange(stored)
                values = gather(np.frombuffer(self._bytes(other), np.uint8), offsets, 4, "<", False)
                self._add(other, offsets[values != 0])
            self.tables.append(Table(other.number, start, start + width * stored, (b"export", kind)))

    def _pseudo(self) -> None:
        """Take in the list of mingw-w64's pseudo relocations (pseudo-reloc.c): an entry of an import address table, a
        word that its value is put into, and the bits of that."""
        slots = [
            (table.start + first, table.stop + first)
            for table in self.tables
            if table.key[:2] == (b"import", b"address")
            for first in [self.view.sections[table.section].addr - self.view.base]
        ]
        for section in self.view.sections[1:] if slots else ():
            if section.code or not section.stored:
                continue
            data = self._bytes(section)
            for match in _PSEUDO.finditer(data):
                at = match.end()
                while at + 12 <= len(data):
                    entry, word, bits = np.frombuffer(data[at : at + 12], "<u4").tolist()
                    if (
                        bits not in {8, 16, 32, 64}
                        or not any(a <= entry < b for a, b in slots)
                        or not self.view.at(word)
                    ):
                        break
                    at += 12
                count = (at - match.end()) // 12
                if match.start() % 4 == 0 and count:
                    self._add(
                        section, (match.end() + 12 * np.arange(count).reshape(-1, 1) + np.array([0, 4])).reshape(-1)
                    )


def blocks(relocated: Any, kind: int) -> bytes:
    """Return base relocations as linkers write them: one block a page, filled up to whole words."""
    found = []
    pages = relocated & ~0xFFF
    for page in distinct(pages).tolist():
        words = (relocated[pages == page] & 0xFFF | kind << 12).astype("<u2").tobytes()
        words += bytes(-len(words) % 4)
        found.append(page.to_bytes(4, "little") + (8 + len(words)).to_bytes(4, "little") + words)
    return b"".join(found)
