"""The headers of an ELF file (System V gABI, chapter 4 and 5): what it says of its sections and segments."""

import struct
from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple

from reprodiff.budget import Budget
from reprodiff.codecs import BE, BE_HEX, LE, LE_HEX
from reprodiff.errors import FormatError
from reprodiff.formats.elf.compressed import inflate
from reprodiff.formats.elf.names import DT_NEEDED, DT_RPATH, DT_RUNPATH, DT_SONAME, dynamic_name
from reprodiff.formats.program.image import Program, Section, Segment, string
from reprodiff.formats.program.names import (
    PT_LOAD,
    SHF_ALLOC,
    SHN_XINDEX,
    SHT_DYNAMIC,
    SHT_NOBITS,
    SHT_NULL,
)
from reprodiff.sources import Source
from reprodiff.tree import Field, Role, Table

MAGIC = b"\x7fELF"


class Layout(NamedTuple):
    """The record tables of one class and byte order."""

    header: Table
    segment: Table
    section: Table
    symbol: Table
    rel: Table
    rela: Table
    dynamic: Table
    chdr: Table


def _layout(wide: bool, order: str) -> Layout:
    number, hexadecimal = (LE, LE_HEX) if order == "<" else (BE, BE_HEX)
    word = 8 if wide else 4

    def table(*rows: tuple[str, int] | tuple[str, int, bool]) -> Table:
        return Table(*(Field(row[0], row[1], hexadecimal if len(row) > 2 else number) for row in rows))

    header = Table(
        Field("ei_mag", 4, role=Role.FIXED),
        *(Field(name, 1, number) for name in ("ei_class", "ei_data", "ei_version", "ei_osabi", "ei_abiversion")),
        Field("ei_pad", 7, role=Role.VALUE),
        *(Field(name, 2, number) for name in ("e_type", "e_machine")),
        Field("e_version", 4, number),
        *(Field(name, word, hexadecimal) for name in ("e_entry", "e_phoff", "e_shoff")),
        Field("e_flags", 4, hexadecimal),
        *(Field(name, 2, number) for name in ("e_ehsize", "e_phentsize", "e_phnum", "e_shentsize", "e_shnum", "e_shstrndx")),
    )  # fmt: skip
    places = [(name, word, True) for name in ("p_offset", "p_vaddr", "p_paddr", "p_filesz", "p_memsz")]
    if wide:
        segment = table(("p_type", 4, True), ("p_flags", 4, True), *places, ("p_align", 8, True))
        symbol = table(
            ("st_name", 4),
            ("st_info", 1, True),
            ("st_other", 1, True),
            ("st_shndx", 2),
            ("st_value", 8, True),
            ("st_size", 8),
        )
        chdr = table(("ch_type", 4), ("ch_reserved", 4), ("ch_size", 8), ("ch_addralign", 8))
    else:
        segment = table(("p_type", 4, True), *places, ("p_flags", 4, True), ("p_align", 4, True))
        symbol = table(
            ("st_name", 4),
            ("st_value", 4, True),
            ("st_size", 4),
            ("st_info", 1, True),
            ("st_other", 1, True),
            ("st_shndx", 2),
        )
        chdr = table(("ch_type", 4), ("ch_size", 4), ("ch_addralign", 4))
    section = table(
        ("sh_name", 4), ("sh_type", 4, True), ("sh_flags", word, True), ("sh_addr", word, True), ("sh_offset", word, True),
        ("sh_size", word, True), ("sh_link", 4), ("sh_info", 4), ("sh_addralign", word), ("sh_entsize", word),
    )  # fmt: skip
    rel = (("r_offset", word, True), ("r_info", word, True))
    return Layout(
        header, segment, section, symbol, table(*rel), table(*rel, ("r_addend", word, True)),
        table(("d_tag", word, True), ("d_val", word, True)), chdr,
    )  # fmt: skip


_LAYOUTS: dict[tuple[bool, str], Layout] = {}


def layout(wide: bool, order: str) -> Layout:
    """Return the record tables of a class (64 bit or not) and byte order ('<' or '>'), made once."""
    found = _LAYOUTS.get((wide, order))
    if found is None:
        found = _LAYOUTS[wide, order] = _layout(wide, order)
    return found


class Image:
    """The headers of one file. wide: 64 bit; order: '<' or '>', as in `struct`."""

    def __init__(self, source: Source, budget: Budget) -> None:
        """Raises FormatError when the headers do not fit the stream."""
        self.source = source
        head = source.read(0, 64)
        if head[:4] != MAGIC or len(head) < 52 or head[4] not in {1, 2} or head[5] not in {1, 2}:
            raise FormatError("not an ELF file of a known class and byte order")
        self.wide = head[4] == 2
        self.order = "<" if head[5] == 1 else ">"
        self.word = 8 if self.wide else 4
        self.layout = layout(self.wide, self.order)
        if len(head) < self.layout.header.size:
            raise FormatError("the ELF header is cut off")
        q = "Q" if self.wide else "I"
        (self.type, self.machine, _version, self.entry, self.phoff, self.shoff, self.flags, self.ehsize, self.phentsize,
         phnum, self.shentsize, shnum, shstrndx) = struct.unpack_from(f"{self.order}HHI{q}{q}{q}I6H", head, 16)  # fmt: skip
        self.sections = self._sections(shnum, shstrndx, budget) if self.shoff else []
        if phnum == 0xFFFF and self.sections:
            phnum = self.sections[0].info
        self.segments = self._segments(phnum) if self.phoff and phnum else []
        self.shstrndx = shstrndx
        self.misplaced: set[int] = set()
        self.by_name: dict[bytes, Section] = {}
        for section in self.sections:
            self.by_name.setdefault(section.name, section)

    def _sections(self, count: int, names_at: int, budget: Budget) -> list[Section]:
        size = self.layout.section.size
        if self.shentsize != size:
            raise FormatError(f"section headers of {self.shentsize} bytes")
        form = struct.Struct(f"{self.order}IIQQQQIIQQ" if self.wide else f"{self.order}10I")
        first = self.source.read(self.shoff, self.shoff + size)
        if len(first) < size:
            raise FormatError("the section headers lie beyond the end of the file")
        row = form.unpack(first)
        count = count or row[5]
        if names_at == SHN_XINDEX:
            names_at = row[6]
        if count * size > self.source.size - self.shoff:
            raise FormatError(f"{count} section headers do not fit into the file")
        budget.count(count)
        rows = list(form.iter_unpack(self.source.read(self.shoff, self.shoff + count * size)))
        for row in rows:
            if row[1] not in {SHT_NULL, SHT_NOBITS} and row[4] + row[5] > self.source.size:
                raise FormatError("a section lies beyond the end of the file")
        names = b""
        if names_at < count and rows[names_at][1] != SHT_NOBITS:
            names = self.source.read(rows[names_at][4], rows[names_at][4] + rows[names_at][5])
        return [Section(index, string(names, row[0]), *row[1:]) for index, row in enumerate(rows)]

    def _segments(self, count: int) -> list[Segment]:
        size = self.layout.segment.size
        if self.phentsize != size:
            raise FormatError(f"program headers of {self.phentsize} bytes")
        data = self.source.read(self.phoff, self.phoff + count * size)
        if len(data) < count * size:
            raise FormatError(f"{count} program headers do not fit into the file")
        if self.wide:
            return [Segment._make(row) for row in struct.iter_unpack(f"{self.order}IIQQQQQQ", data)]
        rows = struct.iter_unpack(f"{self.order}8I", data)
        return [Segment._make((row[0], row[6], *row[1:6], row[7])) for row in rows]

    def straighten(self) -> None:
        """Take the addresses of sections, and whether they are loaded, from the segments where a single header says
        something else: only segments matter to the loader, and all that refers to such a section would look wrong.
        `misplaced`: the numbers of those with another address."""
        loads = [segment for segment in self.segments if segment.type == PT_LOAD]
        odd: list[tuple[Section, list[Segment]]] = []
        agree: dict[Segment, int] = {}
        differ: dict[Segment, int] = {}
        for section in self.sections:
            around = [
                s for s in loads if s.offset <= section.offset and section.offset + section.size <= s.offset + s.filesz
            ]  # fmt: skip
            if not section.stored or not around:
                continue
            right = [s for s in around if s.vaddr + section.offset - s.offset == section.addr]
            if not section.alloc:
                if right:
                    self._take(section._replace(flags=section.flags | SHF_ALLOC))
                continue
            for segment in right or around:
                counts = agree if right else differ
                counts[segment] = counts.get(segment, 0) + 1
            if not right:
                odd.append((section, around))
        for section, around in odd:
            segment = around[0]
            if len(around) == 1 and agree.get(segment, 0) > differ[segment]:
                self._take(section._replace(addr=segment.vaddr + section.offset - segment.offset))
                self.misplaced.add(section.number)

    def _take(self, section: Section) -> None:
        known = self.sections[section.number]
        self.sections[section.number] = section
        if self.by_name.get(section.name) is known:
            self.by_name[section.name] = section

    def gap(self, section: Section) -> int:
        """Return how far behind the end of what lies before it a section begins."""
        index = bisect_right(self._ends, section.offset)
        return section.offset - (self._ends[index - 1] if index else self.layout.header.size)

    @cached_property
    def _ends(self) -> list[int]:
        return sorted(s.offset + s.stored for s in self.sections if s.stored)

    @cached_property
    def aligned_to(self) -> dict[int, int]:
        """What empty sections are aligned to, at most, by the offset where they stand."""
        found: dict[int, int] = {}
        for section in self.sections:
            if not section.stored:
                found[section.offset] = max(section.align, found.get(section.offset, 0))
        return found

    def data(self, section: Section) -> bytes:
        """Return the stored bytes of a section."""
        return self.source.read(section.offset, section.offset + section.stored)

    def decoded(self, section: Section, budget: Budget) -> Source:
        """Return what a compressed section holds. Raises FormatError for an unknown compression, and where it is damaged."""
        start = section.offset + self.layout.chdr.size
        kind = struct.unpack(f"{self.order}I", self.source.read(section.offset, section.offset + 4))[0]
        if kind not in {1, 2} or start >= section.offset + section.size:
            raise FormatError(f"compression {kind} of a section")
        return inflate(self.source, start, section.offset + section.size, kind)(budget)

    def linked(self, section: Section) -> Section | None:
        """Return the section that sh_link names: the string table of a symbol table, the symbols of relocations."""
        return self.sections[section.link] if 0 < section.link < len(self.sections) else None

    def symbols(self, data: bytes) -> Iterator[tuple[int, int, int, int, int, int]]:
        """Yield (st_name, st_info, st_other, st_shndx, st_value, st_size) of a symbol table's bytes."""
        data = data[: len(data) - len(data) % self.layout.symbol.size]
        if self.wide:
            rows: Iterator[Any] = struct.iter_unpack(f"{self.order}IBBHQQ", data)
            yield from rows
        else:
            for name, value, size, info, other, shndx in struct.iter_unpack(f"{self.order}IIIBBH", data):
                yield name, info, other, shndx, value, size

    def dynamic(self, data: bytes) -> list[tuple[int, int]]:
        """Return (tag, value) of the bytes of a dynamic section."""
        return tags(self, data)

    def string_place(self, section: Section, offset: int) -> str | None:
        """Return the place of the dynamic entry whose value the string at an offset of a section is, None for others."""
        if section.name == b".dynstr":
            dynamic = next((s for s in self.sections if s.type == SHT_DYNAMIC and s.stored), None)
            for tag, value in self.dynamic(self.data(dynamic)) if dynamic else ():
                if tag in {DT_NEEDED, DT_SONAME, DT_RPATH, DT_RUNPATH} and value == offset:
                    return f"elf/.dynamic/{dynamic_name(tag)}"
        return None

    def notes(self, data: bytes, align: int) -> Iterator[tuple[int, int, int, int, bytes]]:
        """Yield (start, descriptor's start, descriptor's stop, type, name) of well-formed notes in a row."""
        step = 8 if align == 8 else 4
        at = 0
        while at + 12 <= len(data):
            namesz, descsz, kind = struct.unpack_from(f"{self.order}III", data, at)
            desc = at + (12 + namesz + step - 1) // step * step
            if namesz > len(data) or descsz > len(data) or desc + descsz > len(data):
                return
            yield at, desc, desc + descsz, kind, data[at + 12 : at + 12 + namesz].rstrip(b"\0")
            at = min(desc + (descsz + step - 1) // step * step, len(data))


def tags(image: Program, data: bytes) -> list[tuple[int, int]]:
    """Return (tag, value) of the bytes of a dynamic section."""
    width = 2 * image.word
    return list(struct.iter_unpack(f"{image.order}{'QQ' if image.wide else 'II'}", data[: len(data) // width * width]))
