"""What images and objects share: the section table, what its rows point to, symbols and strings."""

from collections.abc import Callable
from typing import NamedTuple

from reprodiff.budget import Budget
from reprodiff.codecs import name_text
from reprodiff.errors import FormatError
from reprodiff.formats.parts import Parts
from reprodiff.formats.pe.tables import RELOCATION, SECTION
from reprodiff.sources import Source
from reprodiff.tree import Group, Leaf, Node, Record, listed

SECTION_HEADER = 40
MOST_NAME = 4096


class Section(NamedTuple):
    """A section with raw data: what is found inside goes into `parts`. va: its address relative to the image base."""

    parts: Parts
    va: int


class Image(NamedTuple):
    """A file while it is described. parts: of the whole file; sections: those with raw data;
    notes: what cannot be, in words."""

    source: Source
    budget: Budget
    parts: Parts
    sections: list[Section]
    notes: list[str]

    def add(self, node: Node) -> bool:
        """Take in a node inside the raw data of one section."""
        return any(section.parts.add(node) for section in self.sections)

    def fits(self, start: int, stop: int) -> bool:
        """Tell whether a span inside the raw data of one section is still free."""
        return any(section.parts.fits(start, stop) for section in self.sections)

    def at(self, rva: int) -> int | None:
        """Return the file offset of an address relative to the image base, None where no section stores it."""
        for section in self.sections:
            if section.va <= rva < section.va + section.parts.stop - section.parts.start:
                return section.parts.start + rva - section.va
        return None


def u16(source: Source, at: int) -> int:
    """Return the 16-bit number at an offset, 0 behind the end."""
    return int.from_bytes(source.read(at, at + 2), "little")


def u32(source: Source, at: int) -> int:
    """Return the 32-bit number at an offset, 0 behind the end."""
    return int.from_bytes(source.read(at, at + 4), "little")


def section_table(image: Image, start: int, count: int, strings: int) -> Group:
    """Describe `count` section headers and take in what they point to. strings: offset of the string table, 0 for
    none. Raises FormatError when the table does not fit into the file."""
    source, budget = image.source, image.budget
    stop = start + count * SECTION_HEADER
    if stop > source.size:
        raise FormatError("the section table is cut off")
    budget.count(count)
    found: list[Node] = []
    headers = Group("sections", start, stop, listed(found))
    if count and not image.parts.add(headers):
        raise FormatError("no room for the section table")
    table = source.read(start, stop)
    for at in range(0, len(table), SECTION_HEADER):
        row = table[at : at + SECTION_HEADER]
        va, size, pointer, moves = (int.from_bytes(row[i : i + 4], "little") for i in (12, 16, 20, 24))
        number = int.from_bytes(row[32:34], "little")
        name = _name(source, row[:8], strings)
        refs: dict[str, Node] = {}
        parts = Parts(pointer, pointer + size)
        data = Group("section", pointer, pointer + size, _contents(parts), name)
        if pointer and image.parts.add(data):
            image.sections.append(Section(parts, va))
            refs["data"] = data
        elif pointer and size:
            image.notes.append(f"the bytes of section {name_text(name)} lie outside of the file, or in another part")
        entries = Leaf("entries", moves, moves + number * RELOCATION)
        relocations = Group("relocations", entries.start, entries.stop, listed([entries]), name)
        if image.parts.add(relocations):
            refs["relocations"] = relocations
        fields = Record("fields", start + at, SECTION["data" in refs, "relocations" in refs], refs)
        found.append(Group("sectionheader", fields.start, fields.stop, listed([fields]), name))
    return headers


def _contents(parts: Parts) -> Callable[[Group], list[Node]]:
    return lambda _group: parts.filled("data")


def _name(source: Source, raw: bytes, strings: int) -> bytes:
    name = raw.rstrip(b"\0")
    if strings and name[:1] == b"/" and name[1:].isdigit():
        at = strings + int(name[1:])
        name = source.read(at, at + MOST_NAME).split(b"\0", 1)[0] or name
    return name


def symbols(image: Image, pointer: int, count: int, width: int) -> dict[str, Node]:
    """Take in the symbol table and the string table behind it; width: bytes of a symbol."""
    found: dict[str, Node] = {}
    if not pointer or pointer > image.source.size:
        return found
    table = Leaf("symbols", pointer, pointer + count * width)
    if image.parts.add(table):
        found["symbols"] = table
    elif count:
        return found
    at = pointer + count * width
    size = u32(image.source, at)
    if size >= 4:
        image.parts.add(Leaf("strings", at, at + size))
    return found
