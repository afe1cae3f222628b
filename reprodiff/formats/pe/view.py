"""A PE image or COFF object as what the comparison of programs works on: sections with addresses, and symbols.

Numbers and flags of sections are those of ELF, which the shared parts speak: what a section is follows from its
characteristics (Microsoft PE/COFF, section 4.1). Addresses are absolute in images, sections of objects begin at 0.
"""

import struct
from typing import NamedTuple

from reprodiff.errors import FormatError
from reprodiff.formats.pe.coff import SECTION_HEADER
from reprodiff.formats.program.flat import Flat
from reprodiff.formats.program.image import NAME_MAX, Section, Segment, string
from reprodiff.formats.program.names import (
    EM_386,
    EM_AARCH64,
    EM_X86_64,
    ET_EXEC,
    ET_REL,
    PT_LOAD,
    SHF_ALLOC,
    SHF_EXECINSTR,
    SHF_MERGE,
    SHF_STRINGS,
    SHF_WRITE,
    SHT_NOBITS,
    SHT_NULL,
    SHT_PROGBITS,
)
from reprodiff.sources import Source

MACHINES = {0x14C: EM_386, 0x8664: EM_X86_64, 0xAA64: EM_AARCH64}
PE32_PLUS = 0x20B
HEADER = 20
# No loader takes an image with as many.
SECTIONS_MAX = 1024
SYMBOL = 18
# Characteristics of a section.
CODE, DATA, ZEROS, INFO, REMOVE, EXECUTE, WRITE = 0x20, 0x40, 0x80, 0x200, 0x800, 1 << 29, 1 << 31
TEXTS = (b".debug_str", b".debug_line_str")
C_EXT, C_STAT, C_LABEL, C_FUNCTION, C_FILE, C_SECTION, C_WEAK = 2, 3, 6, 101, 103, 104, 105
FUNCTION = 0x20


class Header(NamedTuple):
    """A section header as it stands (section 4)."""

    name: bytes
    virtual: int
    rva: int
    raw: int
    pointer: int
    relocations: int
    relocated: int
    characteristics: int


class Entry(NamedTuple):
    """A symbol: its number in the table, its name, the record's fields and those records that belong to it."""

    number: int
    name: bytes
    value: int
    section: int
    type: int
    storage: int
    aux: bytes

    @property
    def part(self) -> bool:
        """Whether it stands for what one input file has of a section."""
        return self.storage == C_STAT and self.type == 0 and len(self.aux) == SYMBOL and self.section > 0


class View(Flat):
    """One file. headers: those of sections in order; directories: (address relative to the base, size) in order;
    entries: the symbols; numbered: the same by their numbers; base: what all relative addresses count from."""

    order = "<"

    def __init__(self, source: Source) -> None:
        """Raises FormatError for what is no image or object of a known machine, or lies outside of the file."""
        self.source = source
        head = source.read(0, 64)
        at = int.from_bytes(head[60:64], "little") + 4 if head[:2] == b"MZ" else 0
        self.image = at > 0
        self.header = at
        raw = source.read(at, at + HEADER)
        if len(raw) < HEADER:
            raise FormatError("the header is cut off")
        machine, count, _time, self.symbols_at, self.symbols_count, optional, _flags = struct.unpack("<HHIIIHH", raw)
        if machine not in MACHINES or (not self.image and optional):
            raise FormatError("a machine or kind of file whose addresses are not followed")
        self.machine = MACHINES[machine]
        self.type = ET_EXEC if self.image else ET_REL
        self.optional = at + HEADER
        self.wide = self.machine != EM_386
        self.word = 8 if self.wide else 4
        self.base = self.entry = 0
        self.alignments = 1, 1
        self.directories: list[tuple[int, int]] = []
        if self.image:
            self._optional(source.read(self.optional, self.optional + optional))
        self.table = self.optional + optional
        self.strings_at = self.symbols_at + self.symbols_count * SYMBOL
        self.strings = self._strings()
        self.headers = self._headers(count)
        self.sections = [Section(0, b"", SHT_NULL, *[0] * 8)]
        self.sections += [self._section(number, header) for number, header in enumerate(self.headers, 1)]
        for number, header in enumerate(self.headers, 1):
            rest = header.virtual - header.raw
            if self.image and header.raw and rest > 0:
                # What has no bytes of its own behind those that are stored.
                where = self.base + header.rva + header.raw
                flags = self.sections[number].flags
                self.sections.append(
                    Section(len(self.sections), header.name + b"\0", SHT_NOBITS, flags, where, 0, rest, 0, 0, 1, 0)
                )
        self.segments = [Segment(PT_LOAD, 0, 0, self.base, self.base, 1, 1, 1)] if self.image else []
        self.misplaced: set[int] = set()
        self.by_name: dict[bytes, Section] = {}
        for section in self.sections:
            self.by_name.setdefault(section.name, section)
        self.entries = self._entries()
        self.numbered = {entry.number: entry for entry in self.entries}

    def _optional(self, raw: bytes) -> None:
        wide = int.from_bytes(raw[:2], "little") == PE32_PLUS
        if wide != self.wide or len(raw) < (112 if wide else 96):
            raise FormatError("an optional header of another kind than the machine's")
        self.base = int.from_bytes(raw[24:32] if wide else raw[28:32], "little")
        if self.base >> 62:
            raise FormatError("an image base beyond all addresses")
        self.alignments = struct.unpack_from("<II", raw, 32)
        self.entry = self.base + int.from_bytes(raw[16:20], "little")
        start = 112 if wide else 96
        count = min(int.from_bytes(raw[start - 4 : start], "little"), (len(raw) - start) // 8)
        self.directories = list(struct.iter_unpack("<II", raw[start : start + 8 * count]))

    def _strings(self) -> bytes:
        if not self.symbols_at or self.strings_at + 4 > self.source.size:
            return b""
        size = int.from_bytes(self.source.read(self.strings_at, self.strings_at + 4), "little")
        return self.source.read(self.strings_at, min(self.strings_at + size, self.source.size)) if size >= 4 else b""

    def text(self, offset: int) -> bytes:
        """Return a string of the string table."""
        return string(self.strings, offset)

    def _headers(self, count: int) -> list[Header]:
        raw = self.source.read(self.table, self.table + count * SECTION_HEADER)
        if len(raw) < count * SECTION_HEADER:
            raise FormatError("the section table is cut off")
        if self.image and count > SECTIONS_MAX:
            raise FormatError("more sections than a loader takes")
        found = []
        for row in struct.iter_unpack("<8sIIIIII HHI", raw):
            name = row[0].rstrip(b"\0")
            if name[:1] == b"/" and name[1:].isdigit():
                name = self.text(int(name[1:])) or name
            zeros = not row[4] or (not self.image and row[9] & ZEROS)
            stored = 0 if zeros else row[3]
            if stored and row[4] + stored > self.source.size:
                raise FormatError("a section lies beyond the end of the file")
            virtual = row[1] if self.image else (row[3] if zeros else stored)
            found.append(Header(name, virtual, row[2], stored, row[4], row[5], row[7], row[9]))
        return found

    def _section(self, number: int, header: Header) -> Section:
        flags = header.characteristics
        apart = header.name.startswith((b".debug_", b".zdebug_", b".gnu_debug", b".llvm_"))
        loaded = not apart and not flags & (INFO | REMOVE)
        kind = SHF_ALLOC if loaded else 0
        kind |= SHF_EXECINSTR if flags & (CODE | EXECUTE) and loaded else 0
        kind |= SHF_WRITE if flags & WRITE else 0
        kind |= SHF_MERGE | SHF_STRINGS if header.name in TEXTS else 0
        size = min(header.raw, header.virtual) if self.image and header.virtual and header.raw else header.raw
        where = self.base + header.rva if self.image else 0
        if header.raw:
            return Section(number, header.name, SHT_PROGBITS, kind, where, header.pointer, size, 0, 0, 1, 1)
        return Section(number, header.name, SHT_NOBITS, kind, where, 0, header.virtual, 0, 0, 1, 0)

    def _entries(self) -> list[Entry]:
        """Read the symbol table; [] where it does not fit into the file."""
        size = self.symbols_count * SYMBOL
        data = self.source.read(self.symbols_at, self.symbols_at + size) if self.symbols_at else b""
        found: list[Entry] = []
        if len(data) < size or not size:
            return found
        rows = list(struct.iter_unpack("<8sIhHBB", data))
        at = 0
        while at < len(rows):
            name, value, section, kind, storage, more = rows[at]
            stop = min(at + 1 + more, len(rows))
            text = self.text(int.from_bytes(name[4:], "little")) if name[:4] == bytes(4) else name.rstrip(b"\0")
            found.append(Entry(at, text, value, section, kind, storage, data[(at + 1) * SYMBOL : stop * SYMBOL]))
            at = stop
        return found

    def file(self, entry: Entry) -> bytes:
        """Return the name of the source file that a symbol of its class names."""
        if entry.aux[:4] == bytes(4) and entry.aux[4:8] != bytes(4):
            return self.text(int.from_bytes(entry.aux[4:8], "little"))
        return entry.aux[:NAME_MAX].split(b"\0", 1)[0]

    def at(self, rva: int) -> tuple[Section, int] | None:
        """Return the section that stores an address relative to the base, and the offset inside."""
        address = self.base + rva
        for section in self.sections[1:]:
            if section.stored and section.addr <= address < section.addr + section.size:
                return section, address - section.addr
        return None
