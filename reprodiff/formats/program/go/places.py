"""Where a Go program holds its table of functions and the record of its module, and what functions it has."""

from typing import Any, NamedTuple

import numpy as np

from reprodiff.errors import FormatError
from reprodiff.formats.program.go.pclntab import MAGICS, NAME, Table
from reprodiff.formats.program.image import Section
from reprodiff.formats.program.pieces import Symbol
from reprodiff.formats.program.words import gather

# Where the linker of C puts what has to be relocated.
MERGED = (b".data.rel.ro", b".rodata")
# Words of the module's record behind the six slices of the table (runtime/symtab.go, moduledata), and how many of
# them releases of Go from 1.20 on have between the bounds of data and the other bases.
SLICES = 6
ADDED = (0, 2)
WORDS = 42


class Module(NamedTuple):
    """The record of a module: where it is, and the addresses that offsets count from; code, types: start and stop;
    sections: of the list of sections of code."""

    section: Section
    at: int
    findfunctab: int
    code: tuple[int, int]
    types: tuple[int, int]
    rodata: int
    funcs: int
    sections: int

    @property
    def text(self) -> int:
        """Where code begins."""
        return self.code[0]


class Place(NamedTuple):
    """Where the table of functions lies: start and stop in its section. A linker of C may put it among other data."""

    section: Section
    start: int
    stop: int
    table: Table

    @property
    def address(self) -> int:
        """Where the table is loaded."""
        return self.section.addr + self.start


def table_of(side: Any) -> Place | None:
    """Return the table of functions of one file, None where it has none that is understood."""
    order = side.image.order
    for section in side.image.sections:
        if section.name.endswith(NAME) and section.stored and not section.compressed:
            try:
                return Place(section, 0, section.size, Table(side.data(section), order))
            except (FormatError, IndexError, ValueError):
                return None
    heads = [magic.to_bytes(4, "little" if order == "<" else "big") + b"\0\0" for magic in MAGICS]
    for section in side.image.sections:
        if section.name not in MERGED or not section.stored:
            continue
        data = side.data(section)
        for head in heads:
            at = data.find(head)
            while at >= 0:
                try:
                    end = at + Table(data[at:], order).end
                    return Place(section, at, end, Table(data[at:end], order))
                except (FormatError, IndexError, ValueError):
                    at = data.find(head, at + 1)
    return None


def module_of(side: Any, place: Place) -> Module | None:
    """Return the record of the module that begins with the addresses of the table and its parts (Go 1.18 and later)."""
    table, address = place.table, place.address
    if table.version < 18:
        return None
    word, order = side.image.word, side.image.order
    for other in side.image.sections:
        if not other.alloc or other.code or not other.stored:
            continue
        data = np.frombuffer(side.data(other), np.uint8)
        base = -other.addr % word
        places = np.arange(base, len(data) - WORDS * word, word)
        if not len(places):
            continue
        # A program that is loaded anywhere may have its addresses in its relocations alone.
        hits = places[gather(data, places, word, order, signed=False) == address]
        moved = side.relocations()
        hits = np.append(hits, moved[0][moved[1] == address] - other.addr)
        for at in hits[(hits >= 0) & (hits < len(data) - WORDS * word)].tolist():
            spots = at + np.arange(WORDS) * word
            values = gather(data, spots, word, order, signed=False)
            known = side.relocated(other.addr + spots)
            row = np.where(values == 0, known, values).tolist()
            starts = [address + start for start, _stop in table.regions.values()]
            if [row[1 + 3 * i] for i in range(SLICES - 1)] != starts or row[16] != starts[-1]:
                continue
            for added in ADDED:
                types, stop, rodata, funcs = row[35 + added : 39 + added]
                if row[22] <= row[23] and types <= stop and types and rodata and funcs and table.text in {0, row[22]}:
                    return Module(other, at, row[19], (row[22], row[23]), (types, stop), rodata, funcs, row[39 + added])
    return None


def text_of(side: Any, table: Table) -> int:
    """Return the address that code is counted from where the record of the module is not found."""
    section = side.image.by_name.get(b".text")
    return table.text or (section.addr if section is not None else 0)


def functions(side: Any) -> dict[int, list[Symbol]]:
    """Return the functions that the table of a program lists as symbols, by the number of their section."""
    place = table_of(side)
    if place is None:
        return {}
    table = place.table
    module = module_of(side, place)
    base = module.text if module else text_of(side, table)
    starts = (table.entries + (base if table.version >= 18 else 0)).tolist()
    end = int(table.read(np.array([table.at_end]), table.step)[0]) + (base if table.version >= 18 else 0)
    rows: dict[int, list[Symbol]] = {}
    seen: dict[bytes, int] = {}
    for code in side.image.sections:
        if not code.code or not code.stored or not code.alloc:
            continue
        data = side.data(code)
        for start, stop, name in zip(starts, [*starts[1:], end], table.names, strict=True):
            if code.addr <= start < stop <= code.addr + code.size:
                # What fills up to the next function does not belong to it.
                size = len(data[start - code.addr : stop - code.addr].rstrip(b"\xcc"))
                seen[name] = seen.get(name, 0) + 1
                rows.setdefault(code.number, []).append(Symbol(start - code.addr, size, (name, b"", seen[name] - 1)))
    return rows
