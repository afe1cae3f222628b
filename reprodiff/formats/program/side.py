"""One of two files: the bytes of its sections, its functions and objects, and what its code refers to."""

import re
import struct
from bisect import bisect_left
from itertools import pairwise
from typing import Any

import numpy as np

from reprodiff.budget import Budget
from reprodiff.errors import FormatError
from reprodiff.formats.program.dwarf import frames
from reprodiff.formats.program.go.pclntab import go_program
from reprodiff.formats.program.image import Program, Section, string
from reprodiff.formats.program.machines import family, instructions
from reprodiff.formats.program.named import Named
from reprodiff.formats.program.names import (
    EM_386,
    EM_ARM,
    EM_MIPS,
    EM_RISCV,
    EM_X86_64,
    ET_EXEC,
    ET_REL,
    SHT_ARM_EXIDX,
    SHT_DYNSYM,
    SHT_NOBITS,
    SHT_SYMTAB,
)
from reprodiff.formats.program.pieces import (
    Symbol,
)
from reprodiff.formats.program.rows import relative
from reprodiff.formats.program.words import distinct, gather, without

# Parts of functions that compilers move away from them, where jumps lead to.
COLD = re.compile(rb"\.cold(?:\.\d+)?$")


class Side:
    """One file: its sections' bytes, kept as long as they are compared."""

    def __init__(self, image: Program, budget: Budget) -> None:
        self.image = image
        self.budget = budget
        self._data: dict[int, bytes] = {}
        self._named: dict[int, list[Symbol]] | None = None
        self._raw: dict[int, list[Symbol]] = {}
        self._bounds: dict[int, list[int]] = {}
        self._edges: dict[int, Any] = {}
        self._records: dict[int, Any] = {}
        self._marked: dict[int, instructions.Marks] = {}
        self._references: dict[int, Any] = {}
        self._ranges: list[tuple[int, int]] | None = None
        self._swept: dict[int, instructions.Fields] = {}
        self._followed: dict[int, Any] = {}
        self._relative: tuple[Any, Any] | None = None
        self._marks: dict[int, list[tuple[int, int]]] = {}
        self._thumb: dict[int, Any] = {}
        self.family = family(image.machine, image.wide, image.order)
        self._pointer: int | None = None
        # The other file and its section for each of this one, where fields are looked for in that one first.
        self.twins: dict[int, tuple[Side, Section]] = {}
        # Whether a Go program's own table names its functions, whatever symbols say: as the other side has none.
        self.by_table = False

    def data(self, section: Section) -> bytes:
        """Return the bytes of a section, decoded where they are compressed and whole."""
        found = self._data.get(section.number)
        if found is None:
            found = self._data[section.number] = self._read(section)
        return found

    def _read(self, section: Section) -> bytes:
        if section.compressed:
            try:
                source = self.image.decoded(section, self.budget)
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
            self._edges.pop(section.number, None)
            self._marked.pop(section.number, None)

    def _symbols(self) -> dict[int, list[Symbol]]:
        tables = [s for s in self.image.sections if s.type == SHT_SYMTAB] or [
            s for s in self.image.sections if s.type == SHT_DYNSYM
        ]
        if not tables or tables[0].compressed:
            return self._listed_by_go(set())
        names = self.image.linked(tables[0])
        named = Named(self.image, self.data(tables[0]), self.data(names) if names else b"")
        self._marks = named.marks
        found = named.symbols
        sections = self.image.sections
        return found | self._listed_by_go({number for number in found if sections[number].code and not self.by_table})

    def _table(self) -> Section | None:
        return next((s for s in self.image.sections if s.type == SHT_SYMTAB and not s.compressed), None)

    def strings(self) -> bytes:
        """Return the table that the names of symbols are in."""
        table = self._table()
        names = self.image.linked(table) if table else None
        return self.data(names) if names else b""

    def labels(self) -> list[bytes]:
        """Return the names of all symbols, in order, those of files and other sections too."""
        table = self._table()
        if table is None:
            return []
        text = self.strings()
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
        from reprodiff.formats.program.go.places import functions

        return functions(self)

    @property
    def stripped(self) -> bool:
        """Whether the file has no symbols but those that it shares with others."""
        return not any(s.type == SHT_SYMTAB for s in self.image.sections)

    def bounds(self, section: Section) -> list[int]:
        """Return offsets at which code of a section surely begins: functions, else what the frame table lists."""
        found = self._bounds.get(section.number)
        if found is None:
            places = {symbol.start for symbol in self.named(section)}
            places |= {start for start, _size in self.ranges(section)}
            found = self._bounds[section.number] = sorted({0, *places})
        return found

    def state(self) -> Any:
        """Return what is known of symbols and code, to go back to."""
        return dict(self._named or {}), dict(self._bounds), dict(self._swept)

    def restore(self, state: Any) -> None:
        """Go back to what was known."""
        self._named, self._bounds, self._swept = state

    def begin(self, section: Section, starts: list[int]) -> None:
        """Take where code of a section begins, as it was found out."""
        self._bounds[section.number] = sorted({0, *starts})
        self._edges.pop(section.number, None)

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

    def functions(self, section: Section) -> list[tuple[int, int]]:
        """Return (offset, size) of functions of a section without symbols: what a table lists, and where compilers write
        none for all functions, what is called, each up to the next."""
        listed = self.ranges(section)
        calls = self.family.calls if self.family is not None else None
        # The index of Arm says where functions begin only, so that one may stand for all that follow.
        most = 2 * sum(size for _start, size in listed) > section.size and self.image.machine != EM_ARM
        if calls is None or most or self.image.type == ET_REL:
            return listed
        starts = {0, *(start for start, _size in listed)}
        for code in self.image.sections:
            if not code.code or not code.stored:
                continue
            fields = self.sweep(code)
            rows = fields.take(np.flatnonzero(fields.role == instructions.BRANCH))
            held = self.read(code, rows, rows.at, rows.at + rows.head, rows.at + rows.anchor)
            target = held.read.target[calls(rows.kind, held.word)] - section.place
            starts.update(target[(target >= 0) & (target < section.size)].tolist())
        ordered = sorted(starts)
        return [(start, stop - start) for start, stop in pairwise([*ordered, section.size])]

    def _listed(self) -> list[tuple[int, int]]:
        """Return (address, size) of all functions that .eh_frame lists, on 32-bit Arm .ARM.exidx."""
        if self.image.machine == EM_ARM and self.image.type != ET_REL:
            return self._indexed()
        table = self.image.by_name.get(b".eh_frame")
        if table is None or table.type == SHT_NOBITS or self.image.type == ET_REL:
            return []
        rows, at = self.described(table, 16)
        data = np.frombuffer(self.data(table), np.uint8)
        size = gather(data, rows + 12, 4, self.image.order, False)
        return sorted({(table.addr + first, length) for first, length in zip(at.tolist(), size.tolist(), strict=True)})

    def described(self, table: Section, least: int = 12) -> tuple[Any, Any]:
        """Return where records of a frame table start that describe a function, and where that begins, both counted from
        the table's start. least: how many bytes a record has."""
        records = self.records(table)
        starts = records[(records[:, 2] > 0) & (records[:, 1] - records[:, 0] >= least), 0]
        data = np.frombuffer(self.data(table), np.uint8)
        return starts, gather(data, starts + 8, 4, self.image.order, True) + starts + 8

    def records(self, section: Section) -> Any:
        """Return the records of a frame table as rows of (start, stop, CIE pointer), as `frames` has them; kept."""
        found = self._records.get(section.number)
        if found is None:
            rows = list(frames(self.data(section), self.image.order))
            found = self._records[section.number] = np.array(rows, np.int64).reshape(-1, 3)
        return found

    def _indexed(self) -> list[tuple[int, int]]:
        """Return (address, size) of the functions that an index of unwinding lists: each ends where the next begins
        (Exception Handling ABI for the Arm Architecture, 6)."""
        tables = [s for s in self.image.sections if s.type == SHT_ARM_EXIDX and s.stored]
        starts: list[int] = []
        for table in tables:
            words = np.frombuffer(self.data(table)[: table.size // 8 * 8], f"{self.image.order}u4")[::2].astype(
                np.int64
            )
            places = instructions.signed(words, 31) + table.addr + np.arange(len(words)) * 8
            starts += places.tolist()
        starts = sorted(set(starts))
        return [(start, stop - start) for start, stop in pairwise(starts)]

    def thumb(self, section: Section, offset: int) -> bool:
        """Tell whether code at an offset is T32."""
        if self.image.machine != EM_ARM:
            return False
        found = self._thumb.get(section.number)
        if found is None:
            from reprodiff.formats.program.machines.arm import thumb

            found = self._thumb[section.number] = thumb(self.data(section), self.bounds(section), self.marks(section))
        return offset // 2 < len(found) and bool(found[offset // 2])

    def sweep(self, section: Section) -> instructions.Fields:
        """Return the fields of all instructions of a section, without where these begin; kept."""
        found = self._swept.get(section.number)
        if found is None:
            found = self._as_twin(section) or self.fields(section, None)._replace(starts=np.zeros(0, np.int64))
            self._swept[section.number] = found
            self._followed[section.number] = self._bounded(section)
        return found

    def _as_twin(self, section: Section) -> instructions.Fields | None:
        """Return the fields of the same section of the other file where they are those of this one too: functions begin at
        the same offsets, and what differs lies in fields, which do not tell what is an instruction. None otherwise."""
        twin = self.twins.get(section.number)
        if twin is None or self.family is None or not self.family.bare:
            return None
        found, edges = twin[0].swept(twin[1])
        if found is None or not found.tidy or not np.array_equal(edges, self._bounded(section)):
            return None
        a, b = np.frombuffer(twin[0].data(twin[1]), np.uint8), np.frombuffer(self.data(section), np.uint8)
        differ = np.flatnonzero(a != b)
        index = np.searchsorted(found.at, differ, "right") - 1
        if (index < 0).any() or (differ - found.at[index] >= found.size[index]).any():
            return None
        return found

    def swept(self, section: Section) -> tuple[instructions.Fields | None, Any]:
        """Return the fields of a section if they were asked for before, and where functions began then, as `_bounded`."""
        return self._swept.get(section.number), self._followed.get(section.number)

    def _bounded(self, section: Section) -> Any:
        """Return where code surely begins, and at last the end of the section, as an array."""
        edges = self._edges.get(section.number)
        if edges is None:
            edges = np.array([*self.bounds(section), len(self.data(section))], np.int64)
            self._edges[section.number] = edges
        return edges

    def fields(self, section: Section, offsets: Any) -> instructions.Fields:
        """Return the fields of the instructions of the functions that offsets lie in; None: of the whole section."""
        family = self.family
        if family is None:
            return instructions.nothing()
        code = self.data(section)
        marks = self.marks(section)
        edges = self._bounded(section)
        bounds, stops = edges[:-1], edges[1:]
        if offsets is None:
            chosen = np.arange(len(bounds))
        else:
            chosen = distinct(np.searchsorted(bounds, offsets, "right") - 1)
        parts: list[instructions.Fields] = []
        starts: list[int] = []
        first = last = -1

        def flush() -> None:
            if starts:
                got = family.find(
                    code[first:last],
                    section.place + first,
                    [start - first for start in starts],
                    marks.within(first, last),
                )
                parts.append(got.moved(first))

        for index in chosen.tolist():
            start, stop = int(bounds[index]), int(stops[index])
            if starts and (start > last + 64 or stop - first > family.batch):
                flush()
                starts = []
            if not starts:
                first = start
            starts.append(start)
            last = stop
        flush()
        found = instructions.joined(parts)
        if self.image.type != ET_EXEC or self.image.machine != EM_X86_64:
            return found
        from reprodiff.formats.program.machines.operands import operands
        from reprodiff.formats.program.machines.x86 import filled

        more = without(operands(code, found.starts), found.at)
        at = np.concatenate([found.at, more])
        kind = np.concatenate([found.kind, np.full(len(more), instructions.ABSOLUTE, found.kind.dtype)])
        end = np.concatenate([found.end, more + 4])
        order = np.argsort(at, kind="stable")
        return filled(at[order], kind[order], end[order], found.starts)._replace(tidy=found.tidy)

    def starts(self, section: Section, offset: int) -> list[int]:
        """Return offsets at which instructions begin in the function that an offset lies in, one before it at least."""
        width = self.family.width if self.family is not None else 0
        return (
            [offset // width * width] if width else self.fields(section, np.array([offset], np.int64)).starts.tolist()
        )

    def read(self, section: Section, fields: instructions.Fields, at: Any, head: Any, anchor: Any) -> instructions.Held:
        """Return the words that rows of either side have here, and what they hold; at, head, anchor: this side's offsets."""
        assert self.family is not None
        data, order = np.frombuffer(self.data(section), np.uint8), self.image.order
        word = instructions.words(data, at, fields.size, order)
        upper = np.zeros(len(word), np.int64)
        headed = np.flatnonzero(fields.head)
        upper[headed] = instructions.words(data, head[headed], fields.top[headed], order)
        role = fields.role
        base = np.where(role == instructions.ABSOLUTE, 0, section.place + anchor + fields.bias)
        if (role == instructions.GLOBAL).any():
            base = np.where(role == instructions.GLOBAL, self.pointer, base)
        found = self.family.read(fields.kind, word, upper, base, section.place + at)
        if self.family.through is not None:
            entries, more = self.family.through(fields.kind, word)
            if entries.any():
                found = found._replace(target=np.where(entries, self._entry(found.target) + more, found.target))
        return instructions.Held(word, upper, found)

    def _entry(self, places: Any) -> Any:
        """Return the words of the offset table at addresses, -1 where it has none."""
        table, width = self.image.by_name.get(b".got"), self.image.word
        if table is None or not table.stored:
            return np.full(len(places), -1, np.int64)
        data = np.frombuffer(self.data(table), np.uint8)
        at = places - table.place
        inside = (at >= 0) & (at + width <= len(data)) & (at % width == 0)
        found = gather(data, np.where(inside, at, 0), width, self.image.order, False)
        return np.where(inside, found, -1 << 40)

    @property
    def pointer(self) -> int:
        """The global pointer, 0 where it is not known: what a symbol says that the linker makes."""
        if self._pointer is None:
            self._pointer = self._global()
        return self._pointer

    @property
    def offset_table(self) -> int | None:
        """The address that code counts from: where the linkage table's entries are, else all entries; None without."""
        section = self.image.by_name.get(b".got.plt") or self.image.by_name.get(b".got")
        return section.place if section is not None else None

    def _global(self) -> int:
        names = {EM_RISCV: b"__global_pointer$", EM_MIPS: b"_gp"}
        wanted = names.get(self.image.machine)
        for table in self.image.sections:
            if table.type != SHT_SYMTAB or wanted is None or table.compressed:
                continue
            strings = self.image.linked(table)
            text = self.data(strings) if strings else b""
            places = {match.start() for match in re.finditer(re.escape(wanted) + rb"(?=\0)", text)}
            for name, _info, _other, shndx, value, _size in self.image.symbols(self.data(table)) if places else ():
                if name in places and shndx and string(text, name) == wanted:
                    return value
        return self.family.pointer(self) if self.family is not None and self.family.pointer is not None else 0

    def targets(self, section: Section, fields: instructions.Fields) -> tuple[Any, Any]:
        """Return where code of a section refers to data, and the addresses it refers to."""
        if self.family is None:
            return fields.at, fields.at
        role = fields.role
        wanted = ((role == instructions.DATA) & (fields.kind != instructions.AGAIN)) | (role == instructions.GLOBAL)
        if self.image.type == ET_EXEC and self.image.machine not in {EM_386, EM_X86_64}:
            wanted |= role == instructions.ABSOLUTE
        rows = fields.take(np.flatnonzero(wanted))
        return rows.at, self.read(section, rows, rows.at, rows.at + rows.head, rows.at + rows.anchor).read.target

    def links(self, section: Section, fields: instructions.Fields) -> tuple[Any, Any]:
        """Return where code of a section refers to anything, and the addresses it refers to."""
        wanted = fields.kind != instructions.AGAIN
        if self.image.type != ET_EXEC:
            wanted &= fields.role != instructions.ABSOLUTE
        rows = fields.take(np.flatnonzero(wanted))
        return rows.at, self.read(section, rows, rows.at, rows.at + rows.head, rows.at + rows.anchor).read.target

    def marks(self, section: Section) -> instructions.Marks:
        """Return what symbols say of a section's code besides where functions begin."""
        if self._named is None:
            self._named = self._symbols()
        found = self._marked.get(section.number)
        if found is None:
            rows = self._marks.get(section.number, [])
            symbols = self._named.get(section.number, ()) if self.family is not None and self.family.calls else ()
            cold = [s.start for s in symbols if COLD.search(s.name)]
            found = self._marked[section.number] = instructions.Marks(
                np.array([at for at, _state in rows], np.int64), np.array([state for _at, state in rows], np.uint8),
                np.array(cold, np.int64),
            )  # fmt: skip
        return found

    def relocations(self) -> tuple[Any, Any]:
        """Return where relative relocations apply (DT_RELA), in order, and what they put there, as arrays."""
        if self._relative is None:
            self._relative = relative(self.image, self.data)
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
            for code in self.image.sections if self.family is not None and self.image.machine != EM_386 else ():
                if code.code and code.stored:
                    target = self.targets(code, self.sweep(code))[1] - section.place
                    hits.append(target[(target >= 0) & (target < section.size)])
            found = self._references[section.number] = distinct(np.concatenate(hits))
        return found
