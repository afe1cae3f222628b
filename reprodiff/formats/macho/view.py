"""A thin Mach-O file as what the comparison of programs works on: sections with addresses, symbols, where functions begin.

Numbers and flags of sections are those of ELF, which the shared parts speak; sections of debug information have the names
that they have there.
"""

from typing import NamedTuple

from reprodiff.errors import FormatError
from reprodiff.formats.program.flat import Flat
from reprodiff.formats.program.image import Section, Segment, string
from reprodiff.formats.program.names import (
    EM_386,
    EM_AARCH64,
    EM_X86_64,
    ET_DYN,
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

MACHINES = {7: EM_386, 0x1000007: EM_X86_64, 0x100000C: EM_AARCH64}
MAGICS = {b"\xcf\xfa\xed\xfe": True, b"\xce\xfa\xed\xfe": False}
SEGMENTS = {0x01: False, 0x19: True}
# Names of sections have 16 bytes at most.
LONG = {
    b".debug_str_offs": b".debug_str_offsets",
    b".debug_gnu_pubn": b".debug_gnu_pubnames",
    b".debug_gnu_pubt": b".debug_gnu_pubtypes",
}
SYMTAB, FUNCTION_STARTS = 0x02, 0x26
OBJECT = 1
ZEROFILL = frozenset({0x01, 0x0C, 0x12})
CSTRINGS = 0x02
INSTRUCTIONS = 0x80000400
# Of debug information, the sections that are nothing but strings.
TEXTS = frozenset((b".debug_str", b".debug_line_str"))
N_STAB, N_TYPE, N_SECT, N_FUN = 0xE0, 0x0E, 0x0E, 0x24


class Part(NamedTuple):
    """A segment's command. sections: numbers of its sections."""

    name: bytes
    vmaddr: int
    vmsize: int
    fileoff: int
    filesize: int
    sections: tuple[int, ...]


class View(Flat):
    """One file. parts: its segments in order; moves: where the relocations
    of sections are, and how many; base: the address of its header; starts: where functions begin."""

    order = "<"

    def __init__(self, source: Source) -> None:
        """Raises FormatError for what is no little-endian file of a known machine, or lies outside of the file."""
        self.source = source
        head = source.read(0, 32)
        if head[:4] not in MAGICS or len(head) < 32:
            raise FormatError("a kind of file whose addresses are not followed")
        self.wide = MAGICS[head[:4]]
        self.word = 8 if self.wide else 4
        cpu, self.filetype, count, size = (int.from_bytes(head[at : at + 4], "little") for at in (4, 12, 16, 20))
        if cpu not in MACHINES:
            raise FormatError("a machine whose addresses are not followed")
        self.machine = MACHINES[cpu]
        self.type = ET_DYN
        self.sections = [Section(0, b"", SHT_NULL, *[0] * 8)]
        self.parts: list[Part] = []
        self.moves: list[tuple[int, int]] = [(0, 0)]
        self.starts_at = self.symbols_at = (0, 0)
        self.strings_at = (0, 0)
        start = 32 if self.wide else 28
        self._commands(source.read(start, start + size), count)
        self.base = next((part.vmaddr for part in self.parts if part.fileoff == 0 and part.filesize), 0)
        self.segments: list[Segment] = []
        self.misplaced: set[int] = set()
        self.by_name: dict[bytes, Section] = {}
        for section in self.sections:
            self.by_name.setdefault(section.name, section)

    def _commands(self, raw: bytes, count: int) -> None:
        at = 0
        for _ in range(count):
            kind, size = (int.from_bytes(raw[i : i + 4], "little") for i in (at, at + 4))
            if size < 8 or at + size > len(raw):
                raise FormatError("the load commands are cut off")
            command = raw[at : at + size]
            if kind in SEGMENTS:
                self._segment(command, SEGMENTS[kind])
            elif kind == SYMTAB and size >= 24:
                numbers = [int.from_bytes(command[i : i + 4], "little") for i in (8, 12, 16, 20)]
                self.symbols_at, self.strings_at = (numbers[0], numbers[1]), (numbers[2], numbers[3])
            elif kind == FUNCTION_STARTS and size >= 16:
                self.starts_at = int.from_bytes(command[8:12], "little"), int.from_bytes(command[12:16], "little")
            at += size

    def _segment(self, raw: bytes, wide: bool) -> None:
        word, head, step = (8, 72, 80) if wide else (4, 56, 68)
        if wide != self.wide or len(raw) < head:
            raise FormatError("a segment of another word size")
        numbers = [int.from_bytes(raw[24 + word * i : 24 + word * (i + 1)], "little") for i in range(4)]
        count = int.from_bytes(raw[head - 8 : head - 4], "little")
        if head + count * step > len(raw):
            raise FormatError("a segment's command is cut off")
        first = len(self.sections)
        for number in range(count):
            self._section(raw[head + number * step : head + (number + 1) * step], word)
        rest = tuple(range(first, len(self.sections)))
        self.parts.append(Part(raw[8:24].rstrip(b"\0"), numbers[0], numbers[1], numbers[2], numbers[3], rest))

    def _section(self, raw: bytes, word: int) -> None:
        name, segment = raw[:16].rstrip(b"\0"), raw[16:32].rstrip(b"\0")
        address, size = (int.from_bytes(raw[32 + word * i : 32 + word * (i + 1)], "little") for i in (0, 1))
        at = 32 + 2 * word
        offset, align, reloff, nreloc, flags = (int.from_bytes(raw[i : i + 4], "little") for i in range(at, at + 20, 4))
        apart = segment in {b"__DWARF", b"__LLVM"}
        stored = bool(offset) and flags & 0xFF not in ZEROFILL
        if stored and offset + size > self.source.size:
            raise FormatError("a section lies beyond the end of the file")
        if address >> 62 or (address + size) >> 62:
            raise FormatError("an address beyond all")
        label = b"." + name[2:] if apart and name.startswith(b"__") else segment + b"," + name
        label = LONG.get(label, label)
        kind = 0 if apart else SHF_ALLOC
        kind |= SHF_EXECINSTR if flags & INSTRUCTIONS else 0
        kind |= SHF_WRITE if segment.startswith(b"__DATA") else 0
        kind |= SHF_MERGE | SHF_STRINGS if flags & 0xFF == CSTRINGS or label in TEXTS else 0
        number = len(self.sections)
        self.moves.append((reloff, nreloc))
        type_ = SHT_PROGBITS if stored else SHT_NOBITS
        self.sections.append(
            Section(number, label, type_, kind, address, offset if stored else 0, size, 0, 0, 1 << min(align, 31), 1)
        )

    def functions(self) -> list[int]:
        """Return the addresses at which functions begin (LC_FUNCTION_STARTS)."""
        data = self.source.read(self.starts_at[0], self.starts_at[0] + self.starts_at[1])
        found: list[int] = []
        address, value, shift = self.base, 0, 0
        for byte in data:
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte & 0x80 and shift < 70:
                continue
            if not value:
                break
            address += value
            found.append(address)
            value = shift = 0
        return found

    def targets(self, section: Section) -> list[int]:
        """Return the offsets of 4-byte words of an object that hold an address in it: relocations of the plain kind whose
        target is a section (mach-o/reloc.h)."""
        start, count = self.moves[section.number]
        data = self.source.read(start, start + 8 * count) if self.filetype == OBJECT else b""
        found = []
        for at in range(0, len(data) - 7, 8):
            place, rest = (int.from_bytes(data[i : i + 4], "little") for i in (at, at + 4))
            # r_extern, r_length and r_type
            if rest >> 27 & 1 == 0 and rest >> 25 & 3 == 2 and rest >> 28 == 0 and place + 4 <= section.size:
                found.append(place)
        return sorted(found)

    def entries(self) -> list[tuple[bytes, int, int, int]]:
        """Return (name, type, section, value) of all symbols."""
        import struct

        width = 16 if self.wide else 12
        start, count = self.symbols_at
        data = self.source.read(start, start + count * width)
        text = self.source.read(self.strings_at[0], sum(self.strings_at))
        rows = struct.iter_unpack("<IBBHQ" if self.wide else "<IBBHI", data[: len(data) // width * width])
        return [(string(text, strx), kind, section, value) for strx, kind, section, _desc, value in rows]
