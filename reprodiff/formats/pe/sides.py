"""Both files side by side: what the shared comparison of programs asks, answered from COFF symbols and tables of images."""

from bisect import bisect_right
from itertools import pairwise
from typing import Any

import numpy as np

from reprodiff.budget import Budget
from reprodiff.formats.pe.references import References
from reprodiff.formats.pe.view import C_EXT, C_FILE, C_STAT, C_WEAK, View
from reprodiff.formats.program.image import Section
from reprodiff.formats.program.links import from_frames, within
from reprodiff.formats.program.names import ET_REL
from reprodiff.formats.program.pieces import Symbol
from reprodiff.formats.program.side import Side
from reprodiff.formats.program.sides import Both, Makers, Pair
from reprodiff.formats.program.words import distinct, gather

Span = tuple[int, int]
# Stands for a byte of an address, whatever it is, where data is aligned by content.
MARK = b"\1"
# DW_EH_PE_pcrel | DW_EH_PE_sdata4, also with DW_EH_PE_indirect
PCREL = (b"\x1b", b"\x9b")


class PeSide(Side):
    """One file. references: where it says that addresses are."""

    def __init__(self, view: View, budget: Budget) -> None:
        super().__init__(view, budget)
        self.view = view
        self.references_of = References(view)
        self._handled: Any = None
        self._parts: dict[int, list[tuple[int, int, tuple[bytes, ...]]]] | None = None

    @property
    def stripped(self) -> bool:
        """Whether symbols name no function."""
        return not self.view.entries

    def _symbols(self) -> dict[int, list[Symbol]]:
        view = self.view
        sizes: dict[int, int] = {}
        for start, stop, _unwind in self.references_of.functions.tolist():
            sizes.setdefault(start + view.base, stop - start)
        found: dict[int, list[Symbol]] = {}
        seen: dict[tuple[bytes, bytes], int] = {}
        file = b""
        bounds: dict[int, set[int]] = {}
        for entry in view.entries:
            if entry.storage == C_FILE:
                file = view.file(entry).rpartition(b"/")[2]
                continue
            if not 0 < entry.section <= len(view.headers) or entry.storage not in {C_EXT, C_STAT, C_WEAK}:
                continue
            section = view.sections[entry.section]
            if entry.value > section.size:
                continue
            bounds.setdefault(section.number, set()).add(entry.value)
            if entry.part or entry.name.startswith((b".text", b".rdata", b".data", b".bss")):
                continue
            scope = file if entry.storage == C_STAT else b""
            number = seen.get((entry.name, scope), 0)
            seen[entry.name, scope] = number + 1
            size = sizes.get(section.addr + entry.value, 0) if section.code else 0
            found.setdefault(section.number, []).append(
                Symbol(entry.value, min(size, section.size - entry.value), (entry.name, scope, number))
            )
        for number, rows in found.items():
            rows.sort()
            if view.sections[number].code:
                rows[:] = self._completed(view.sections[number], rows)
            if not view.sections[number].code:
                ends = [*sorted(bounds[number]), view.sections[number].size]
                after = dict(pairwise(ends))
                rows[:] = [row._replace(size=after.get(row.start, row.start) - row.start) for row in rows]
        return found

    def _completed(self, section: Section, rows: list[Symbol]) -> list[Symbol]:
        """Add functions that tables list and no symbol names, by the symbol before them: those of libraries that keep
        no local symbols."""
        starts = [row.start for row in rows]
        counts: dict[int, int] = {}
        found = list(rows)
        for start, size in self.ranges(section):
            index = bisect_right(starts, start) - 1
            if index < 0 or starts[index] == start or start < starts[index] + rows[index].size:
                continue
            name, scope, number = rows[index].key
            counts[index] = counts.get(index, 0) + 1
            found.append(Symbol(start, size, (b"%s+%d" % (name, counts[index]), scope, number)))
        return sorted(found)

    def _listed(self) -> list[Span]:
        """Return (address, size) of all functions that the exception directory lists, else the frame table."""
        rows = self.references_of.functions
        if not len(rows):
            return super()._listed()
        return sorted({(start + self.view.base, stop - start) for start, stop, _unwind in rows.tolist()})

    def references(self, section: Section) -> Any:
        """Return the offsets in a section that code or words of data refer to, in order."""
        found = self._references.get(section.number)
        if found is None:
            hits = [np.zeros(0, np.int64)]
            if self.view.type != ET_REL:
                hits.append(super().references(section))
            for number, known in (self.references_of.pointers or {}).items():
                other, word = self.view.sections[number], self.image.word
                if other.stored and len(known):
                    data = np.frombuffer(self.data(other), np.uint8)
                    targets = gather(data, known[known + word <= len(data)], word, "<", False) - section.addr
                    hits.append(targets[(targets >= 0) & (targets < section.size)])
            found = self._references[section.number] = distinct(np.concatenate(hits))
        return found

    def handled(self, section: Section) -> Any:
        """Return the offsets of words in a section that are distances to types, in tables of exceptions that the frame
        table names (LSB 10.6): what is no image's own way of unwinding."""
        if self._handled is None:
            name = b".gcc_except_table"
            known = self.view.by_name
            if name not in known and b".text" in known:
                known[name] = known[b".text"]
            self._handled = distinct(from_frames(self)[1]) if name in known else np.zeros(0, np.int64)
        inside = self._handled[(self._handled >= section.addr) & (self._handled < section.addr + section.size)]
        data = self.data(section)
        rows = [
            at
            for start in (inside - section.addr).tolist()
            if data[start + 1 : start + 2] in PCREL
            for at in within(data, start)
        ]
        return distinct(np.array(rows, np.int64))

    def marked(self, section: Section) -> bytes:
        """Return the bytes of a section with one mark for whatever address stands in the places that are known."""
        data = bytearray(self.data(section))
        references = self.references_of
        for known, width in ((references.pointers or {}, self.image.word), (references.relative, 4)):
            for at in known.get(section.number, np.zeros(0, np.int64)).tolist():
                if at + width <= len(data):
                    data[at : at + width] = MARK * width
        return bytes(data)

    def parts(self, section: Section) -> list[tuple[int, int, tuple[bytes, ...]]]:
        """Return (start, stop, key) of what each input file has of a section, where symbols say."""
        if self._parts is None:
            self._parts = {}
            file = b""
            seen: dict[tuple[bytes, ...], int] = {}
            for entry in self.view.entries:
                if entry.storage == C_FILE:
                    file = self.view.file(entry).rpartition(b"/")[2]
                elif entry.part and entry.section <= len(self.view.headers):
                    size = int.from_bytes(entry.aux[:4], "little")
                    key = entry.name, file
                    seen[key] = seen.get(key, 0) + 1
                    if size and entry.value + size <= self.view.sections[entry.section].size:
                        rows = self._parts.setdefault(entry.section, [])
                        rows.append((entry.value, entry.value + size, (*key, b"%d" % seen[key])))
            for rows in self._parts.values():
                rows.sort()
        return self._parts.get(section.number, [])


class PeBoth(Both):
    """Two files. described: section number to those spans that trees describe which have a piece of their own; wanted:
    to all that they describe; base: what relative addresses count from."""

    left: PeSide
    right: PeSide

    def __init__(self, left: View, right: View, budget: Budget, makers: Makers) -> None:
        super().__init__(PeSide(left, budget), PeSide(right, budget), makers)
        self.base = left.base, right.base
        self.described: dict[int, list[tuple[Span, Span]]] = {}
        self.wanted: dict[int, list[tuple[Span, Span]]] = {}
        self._twins: list[tuple[Any, Any]] | None = None

    def describe(self, pair: Pair, rows: list[tuple[Span, Span]]) -> None:
        """Take what trees describe in a section, before its map is made."""
        self.wanted[pair.one.number] = rows

    def functions(self) -> list[tuple[Any, Any]]:
        """Return the rows of both exception directories that stand for the same function."""
        if self._twins is None:
            ones, twos = self.left.references_of.functions, self.right.references_of.functions
            there = {row[0]: row for row in reversed(twos.tolist())}
            self._twins = []
            code = [(p, self.pieces(p)) for p in self.code()]
            for p, pieces in code:
                inside = (ones[:, 0] >= p.one.addr - self.base[0]) & (
                    ones[:, 0] < p.one.addr - self.base[0] + p.one.size
                )
                rows = ones[inside]
                to = pieces.to(rows[:, 0] + self.base[0] - p.one.addr)
                for row, place in zip(rows.tolist(), to.tolist(), strict=True):
                    twin = there.get(place + p.two.addr - self.base[1]) if place >= 0 else None
                    if twin is not None:
                        self._twins.append((row, twin))
        return self._twins

    def unwound(self) -> dict[int, int]:
        """Return which unwind information on the left is which on the right, where all functions say the same."""
        found: dict[int, int] = {}
        odd: set[int] = set()
        for one, two in self.functions():
            if found.setdefault(one[2], two[2]) != two[2]:
                odd.add(one[2])
        return {one: two for one, two in found.items() if one not in odd}
