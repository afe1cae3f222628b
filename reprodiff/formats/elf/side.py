"""One of two files: the bytes of its sections, its functions and objects, and what its code refers to."""

import struct
from bisect import bisect_left
from typing import Any

import numpy as np

from reprodiff.budget import Budget
from reprodiff.errors import FormatError
from reprodiff.formats.elf import x86
from reprodiff.formats.elf.digests import plain
from reprodiff.formats.elf.dwarf import frames
from reprodiff.formats.elf.gopclntab import go_program
from reprodiff.formats.elf.image import Image, Section, string
from reprodiff.formats.elf.names import (
    EM_X86_64,
    ET_EXEC,
    ET_REL,
    RELATIVE,
    SHN_LORESERVE,
    SHT_DYNSYM,
    SHT_NOBITS,
    SHT_RELA,
    SHT_SYMTAB,
    STT_FILE,
    STT_FUNC,
    STT_GNU_IFUNC,
    STT_OBJECT,
    STT_TLS,
)
from reprodiff.formats.elf.parts import decoded
from reprodiff.formats.elf.pieces import (
    Symbol,
)
from reprodiff.formats.elf.words import gather

BATCH = 1 << 19


class Side:
    """One file: its sections' bytes, kept as long as they are compared."""

    def __init__(self, image: Image, budget: Budget) -> None:
        self.image = image
        self.budget = budget
        self._data: dict[int, bytes] = {}
        self._named: dict[int, list[Symbol]] | None = None
        self._raw: dict[int, list[Symbol]] = {}
        self._bounds: dict[int, list[int]] = {}
        self._references: dict[int, Any] = {}
        self._ranges: list[tuple[int, int]] | None = None
        self._swept: dict[int, x86.Fields] = {}
        self._relative: tuple[Any, Any] | None = None

    def data(self, section: Section) -> bytes:
        """Return the bytes of a section, decoded where they are compressed and whole."""
        found = self._data.get(section.number)
        if found is None:
            found = self._data[section.number] = self._read(section)
        return found

    def _read(self, section: Section) -> bytes:
        if section.compressed:
            try:
                source = decoded(self.image, section)(self.budget)
                return source.read(0, source.size)
            except (FormatError, struct.error):
                pass
        return self.image.data(section)

    def forget(self, section: Section) -> None:
        """Let go of the bytes of a section that nothing refers to."""
        self._data.pop(section.number, None)

    def named(self, section: Section) -> list[Symbol]:
        """Return functions and objects of a section by offset, one for each place once `take` said which."""
        if self._named is None:
            self._raw = self._symbols()
            self._named = dict(self._raw)
        return self._named.get(section.number, [])

    def symbols(self, section: Section) -> list[Symbol]:
        """Return all functions and objects of a section as the file has them, by offset."""
        self.named(section)
        return self._raw.get(section.number, [])

    def take(self, section: Section, symbols: list[Symbol]) -> None:
        """Take what the symbols of a section are, as both sides agree."""
        if self._named is not None:
            self._named[section.number] = symbols
            self._bounds.pop(section.number, None)

    def _symbols(self) -> dict[int, list[Symbol]]:
        tables = [s for s in self.image.sections if s.type == SHT_SYMTAB] or [
            s for s in self.image.sections if s.type == SHT_DYNSYM
        ]
        found: dict[int, list[Symbol]] = {}
        if not tables or tables[0].compressed:
            return self._listed_by_go(set())
        table = tables[0]
        names = self.image.linked(table)
        text = self.data(names) if names else b""
        file = b""
        seen: dict[tuple[bytes, bytes], int] = {}
        sections = self.image.sections
        relocatable = self.image.type == ET_REL
        wanted = {STT_FUNC, STT_OBJECT, STT_GNU_IFUNC, STT_TLS}
        for name, info, _other, shndx, value, size in self.image.symbols(self.data(table)):
            kind = info & 15
            if kind == STT_FILE:
                file = string(text, name)
                continue
            if kind not in wanted or not 0 < shndx < min(len(sections), SHN_LORESERVE):
                continue
            label = string(text, name)
            scope = plain(file.rpartition(b"/")[2]) if info >> 4 == 0 else b""
            number = seen.get((label, scope), 0)
            seen[label, scope] = number + 1
            start = value if relocatable or kind == STT_TLS else value - sections[shndx].addr
            if 0 <= start <= sections[shndx].size:
                room = sections[shndx].size - start
                found.setdefault(shndx, []).append(Symbol(start, min(size, room), (label, scope, number)))
        found.update(self._listed_by_go({number for number in found if sections[number].code}))
        for rows in found.values():
            rows.sort()
        return found

    def labels(self) -> list[bytes]:
        """Return the names of all symbols, in order, those of files and other sections too."""
        table = next((s for s in self.image.sections if s.type == SHT_SYMTAB and not s.compressed), None)
        names = self.image.linked(table) if table else None
        if table is None or names is None:
            return []
        text = self.data(names)
        return [string(text, row[0]) for row in self.image.symbols(self.data(table))]

    def rename(self, names: dict[bytes, bytes]) -> None:
        """Call symbols what the other side calls them; names: from the own name."""
        for rows in (self._named or {}).values():
            for number, symbol in enumerate(rows):
                name = names.get(symbol.name)
                if name is not None:
                    rows[number] = symbol._replace(key=(name, *symbol.key[1:]))

    def _listed_by_go(self, code: set[int]) -> dict[int, list[Symbol]]:
        """Return the functions of a Go program, as its own table has them, by section; {} where there is none, or where
        sections of code, given by number, have symbols."""
        if code or not go_program(self.image):
            return {}
        from reprodiff.formats.elf.golang import functions

        return functions(self)

    def bounds(self, section: Section) -> list[int]:
        """Return offsets at which code of a section surely begins: functions, else what the frame table lists."""
        found = self._bounds.get(section.number)
        if found is None:
            places = {symbol.start for symbol in self.named(section)}
            places |= {start for start, _size in self.ranges(section)}
            found = self._bounds[section.number] = sorted({0, *places})
        return found

    def begin(self, section: Section, starts: list[int]) -> None:
        """Take where code of a section begins, as it was found out."""
        self._bounds[section.number] = sorted({0, *starts})

    def ranges(self, section: Section) -> list[tuple[int, int]]:
        """Return (offset, size) of the functions that .eh_frame lists in a section; [] where its encoding is another
        than pc-relative, 4 bytes, as all compilers write on x86 and AArch64."""
        if self._ranges is None:
            self._ranges = self._listed()
        places = self._ranges
        first = bisect_left(places, (section.addr, 0))
        last = bisect_left(places, (section.addr + section.size, 0))
        return [
            (at - section.addr, size) for at, size in places[first:last] if at + size <= section.addr + section.size
        ]

    def _listed(self) -> list[tuple[int, int]]:
        """Return (address, size) of all functions that .eh_frame lists."""
        table = self.image.by_name.get(b".eh_frame")
        if table is None or table.type == SHT_NOBITS or self.image.type == ET_REL:
            return []
        data = self.data(table)
        order = "little" if self.image.order == "<" else "big"
        found = []
        for start, stop, pointer in frames(data, self.image.order):
            if pointer > 0 and stop - start >= 16:
                at = int.from_bytes(data[start + 8 : start + 12], order, signed=True) + table.addr + start + 8  # type: ignore[arg-type]
                size = int.from_bytes(data[start + 12 : start + 16], order)  # type: ignore[arg-type]
                found.append((at, size))
        return sorted(set(found))

    def sweep(self, section: Section) -> x86.Fields:
        """Return the fields of all instructions of a section, without where these begin; kept."""
        found = self._swept.get(section.number)
        if found is None:
            found = self._swept[section.number] = self.fields(section, None)._replace(starts=np.zeros(0, np.int64))
        return found

    def fields(self, section: Section, offsets: Any) -> x86.Fields:
        """Return the fields of the instructions of the functions that offsets lie in; None: of the whole section."""
        code = self.data(section)
        bounds = np.array(self.bounds(section), np.int64)
        if offsets is None:
            chosen = np.arange(len(bounds))
        else:
            chosen = np.unique(np.searchsorted(bounds, offsets, "right") - 1)
        stops = np.append(bounds[1:], len(code))
        parts: list[x86.Fields] = []
        starts: list[int] = []
        first = last = -1

        def flush() -> None:
            if starts:
                got = x86.fields(code[first:last], [start - first for start in starts], self.image.machine == EM_X86_64)
                parts.append(x86.Fields(got.at + first, got.kind, got.end + first, got.starts + first))

        for index in chosen.tolist():
            start, stop = int(bounds[index]), int(stops[index])
            if starts and (start > last + 64 or stop - first > BATCH):
                flush()
                starts = []
            if not starts:
                first = start
            starts.append(start)
            last = stop
        flush()
        if not parts:
            empty = np.zeros(0, np.int64)
            return x86.Fields(empty, empty, empty, empty)
        found = x86.Fields(*(np.concatenate(column) for column in zip(*parts, strict=True)))
        if self.image.type != ET_EXEC or self.image.machine != EM_X86_64:
            return found
        from reprodiff.formats.elf.operands import operands

        more = np.setdiff1d(operands(code, found.starts), found.at)
        at = np.concatenate([found.at, more])
        kind = np.concatenate([found.kind, np.full(len(more), x86.ABSOLUTE, found.kind.dtype)])
        end = np.concatenate([found.end, more + 4])
        order = np.argsort(at, kind="stable")
        return x86.Fields(at[order], kind[order], end[order], found.starts)

    def relocations(self) -> tuple[Any, Any]:
        """Return where relative relocations apply (DT_RELA), in order, and what they put there, as arrays."""
        if self._relative is None:
            image = self.image
            tables = [s for s in image.sections if s.type == SHT_RELA and s.alloc and s.stored]
            found = [np.zeros((0, 3), np.int64)]
            for table in tables if image.type != ET_REL else ():
                rows = np.frombuffer(self.data(table)[: table.size // (3 * image.word) * 3 * image.word],
                                     f"{image.order}i{image.word}").reshape(-1, 3)  # fmt: skip
                mask = 0xFFFFFFFF if image.wide else 0xFF
                found.append(rows[np.isin(rows[:, 1] & mask, RELATIVE.get(image.machine, ()))].astype(np.int64))
            rows = np.concatenate(found)
            rows = rows[np.argsort(rows[:, 0], kind="stable")]
            self._relative = rows[:, 0], rows[:, 2]
        return self._relative

    def relocated(self, addresses: Any) -> Any:
        """Return what relative relocations put at addresses, 0 where there are none."""
        at, put = self.relocations()
        if not len(at):
            return np.zeros(len(addresses), np.int64)
        index = np.maximum(np.searchsorted(at, addresses, "right") - 1, 0)
        return np.where(at[index] == addresses, put[index], 0)

    def references(self, section: Section) -> Any:
        """Return the offsets in a section that code refers to, in order: where tables begin."""
        found = self._references.get(section.number)
        if found is None:
            hits = [np.zeros(0, np.int64)]
            for code in self.image.sections if self.image.machine == EM_X86_64 else ():
                if code.code and code.stored:
                    fields = self.sweep(code)
                    at, end = fields.at[fields.kind == x86.RIP], fields.end[fields.kind == x86.RIP]
                    target = (
                        gather(np.frombuffer(self.data(code), np.uint8), at, 4, "<", True)
                        + end
                        + (code.addr - section.addr)
                    )
                    hits.append(target[(target >= 0) & (target < section.size)])
            found = self._references[section.number] = np.unique(np.concatenate(hits))
        return found
