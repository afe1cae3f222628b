"""What the comparison of programs needs to know of a file: its sections and segments, whatever its format."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from reprodiff.budget import Budget
from reprodiff.codecs import name_text
from reprodiff.formats.program.names import (
    SHF_ALLOC,
    SHF_COMPRESSED,
    SHF_EXECINSTR,
    SHF_MERGE,
    SHF_STRINGS,
    SHF_TLS,
    SHT_NOBITS,
    SHT_NULL,
    SHT_STRTAB,
)
from reprodiff.sources import Source

# Names are read up to here: an endless string is cut, not followed.
NAME_MAX = 1 << 16


class Section(NamedTuple):
    """A section with its name, as an ELF header has it; addresses, offsets and sizes in bytes."""

    number: int
    name: bytes
    type: int
    flags: int
    addr: int
    offset: int
    size: int
    link: int
    info: int
    align: int
    entsize: int

    @property
    def stored(self) -> int:
        """How many bytes of the file it has."""
        return 0 if self.type in {SHT_NOBITS, SHT_NULL} else self.size

    @property
    def place(self) -> int:
        """Its address as a signed number of 64 bits, for arithmetic over arrays: that of a kernel is negative."""
        return self.addr - (1 << 64) if self.addr >> 63 else self.addr

    @property
    def alloc(self) -> bool:
        return bool(self.flags & SHF_ALLOC)

    @property
    def mapped(self) -> bool:
        """Whether addresses lead into it: not where it is a template of threads that has no bytes."""
        return self.alloc and self.size > 0 and not (self.type == SHT_NOBITS and self.flags & SHF_TLS)

    @property
    def code(self) -> bool:
        return bool(self.flags & SHF_EXECINSTR)

    @property
    def compressed(self) -> bool:
        return bool(self.flags & SHF_COMPRESSED)

    @property
    def strings(self) -> bool:
        """Whether it is nothing but NUL-terminated strings of bytes, referred to by offset."""
        merged = SHF_MERGE | SHF_STRINGS
        # A linker that merges strings among other constants keeps the flags, but gives no size of an entry.
        single = self.entsize == 1 or (self.entsize == 0 and not self.alloc)
        return self.type == SHT_STRTAB or (self.flags & merged == merged and single)

    @property
    def label(self) -> str:
        """Its name as a step of a path."""
        return name_text(self.name).replace("/", "|").replace("[", "(") or "section"


class Segment(NamedTuple):
    """What is loaded as one, as an ELF program header has it."""

    type: int
    flags: int
    offset: int
    vaddr: int
    paddr: int
    filesz: int
    memsz: int
    align: int


class Program(Protocol):
    """One file. wide: 64 bit; order: '<' or '>', as in `struct`; word: bytes of an address; type and machine: the numbers
    that ELF has for them; by_name: the first section of each name."""

    source: Source
    wide: bool
    order: str
    word: int
    type: int
    machine: int
    sections: list[Section]
    segments: list[Segment]
    by_name: dict[bytes, Section]

    def data(self, section: Section, /) -> bytes:
        """Return the stored bytes of a section."""

    def decoded(self, section: Section, budget: Budget, /) -> Source:
        """Return what a compressed section holds. Raises FormatError where it is damaged."""

    def linked(self, section: Section, /) -> Section | None:
        """Return the section that a section names: the string table of a symbol table, the symbols of relocations."""

    def symbols(self, data: bytes, /) -> Iterator[tuple[int, int, int, int, int, int]]:
        """Yield (st_name, st_info, st_other, st_shndx, st_value, st_size) of a symbol table's bytes."""

    def string_place(self, section: Section, offset: int, /) -> str | None:
        """Return the place of the field whose value the string at an offset of a section is, None where there is none."""


def string(table: bytes, offset: int) -> bytes:
    """Return the NUL-terminated string at an offset; b'' beyond the end, cut where it is too long."""
    if offset >= len(table):
        return b""
    stop = table.find(b"\0", offset, offset + NAME_MAX)
    return table[offset : stop if stop >= 0 else min(len(table), offset + NAME_MAX)]
