"""Both files side by side: what the shared comparison of programs asks, answered from COFF symbols and tables of images."""

from bisect import bisect_right
from itertools import pairwise
from typing import Any

import numpy as np

from reprodiff.budget import Budget
from reprodiff.formats.pe.references import References
from reprodiff.formats.pe.view import C_EXT, C_FILE, C_STAT, C_WEAK, View
from reprodiff.formats.program.anchors import refine
from reprodiff.formats.program.image import Section
from reprodiff.formats.program.links import from_frames, within
from reprodiff.formats.program.names import ET_REL, SHF_WRITE
from reprodiff.formats.program.pieces import Piece, Pieces, Symbol, by_content, identity, permuted
from reprodiff.formats.program.side import Side
from reprodiff.formats.program.sides import Both, Pair
from reprodiff.formats.program.words import Addresses, gather

Span = tuple[int, int]
# Stands for a byte of an address, whatever it is, where data is aligned by content.
MARK = b"\1"
# So much behind the end of a section moves with it: linkers put symbols there.
BEHIND = 16
HEADERS = 64
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
            found = self._references[section.number] = np.unique(np.concatenate(hits))
        return found

    def handled(self, section: Section) -> Any:
        """Return the offsets of words in a section that are distances to types, in tables of exceptions that the frame
        table names (LSB 10.6): what is no image's own way of unwinding."""
        if self._handled is None:
            name = b".gcc_except_table"
            known = self.view.by_name
            if name not in known and b".text" in known:
                known[name] = known[b".text"]
            self._handled = np.unique(from_frames(self)[1]) if name in known else np.zeros(0, np.int64)
        inside = self._handled[(self._handled >= section.addr) & (self._handled < section.addr + section.size)]
        data = self.data(section)
        rows = [
            at
            for start in (inside - section.addr).tolist()
            if data[start + 1 : start + 2] in PCREL
            for at in within(data, start)
        ]
        return np.unique(np.array(rows, np.int64))

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
    """Two files. described: section number to those spans that trees describe which have a piece of their own."""

    left: PeSide
    right: PeSide

    def __init__(self, left: View, right: View, budget: Budget) -> None:
        super().__init__(left, right, budget)
        self.left, self.right = PeSide(left, budget), PeSide(right, budget)
        self.base = left.base, right.base
        self.described: dict[int, list[tuple[Span, Span]]] = {}
        self._wanted: dict[int, list[tuple[Span, Span]]] = {}
        self._twins: list[tuple[Any, Any]] | None = None
        self._back: Addresses | None = None

    def describe(self, pair: Pair, rows: list[tuple[Span, Span]]) -> None:
        """Take what trees describe in a section, before its map is made."""
        self._wanted[pair.one.number] = rows

    def _arrange(self) -> None:
        for pair in self._code():
            pair.pieces(self.left, self.right)

    def pieces(self, pair: Pair) -> Pieces:
        """Return the map of a section pair."""
        plain = pair.one.alloc and not pair.one.code and pair.one.stored and pair.two.stored
        if plain and not pair.known and not pair.one.name.startswith(b".eh_frame"):
            found = self._data(pair)
            a, b = self.left.data(pair.one), self.right.data(pair.two)
            pair.take(found, a, b)
            if found is not None and not pair.one.flags & SHF_WRITE and len(found) > 1:
                pair.take(refine(self, pair, found, a, b), a, b)
        return super().pieces(pair)

    def _data(self, pair: Pair) -> list[Piece] | None:
        """Align data between what the images say begins and ends there; None: as any section."""
        one, two = pair.one, pair.two
        a, b = self.left.data(one), self.right.data(two)
        fixed = self._fixed(pair)
        if one.flags & SHF_WRITE and not fixed:
            return None
        if a == b or (one.flags & SHF_WRITE and len(a) == len(b) and all(x == y for x, y in fixed)):
            self.described[one.number] = [row for row in self._wanted.get(one.number, []) if row[0] == row[1]]
            return [Piece(0, len(a), 0, len(b))] if len(a) == len(b) and a else None
        places = {key: (start, stop) for start, stop, key in self.right.parts(two)}
        parts = [((start, stop), places[key]) for start, stop, key in self.left.parts(one) if key in places]
        wanted = self._wanted.get(one.number, [])
        found: list[Piece] = []
        described: list[tuple[Span, Span]] = []
        last = 0, 0
        ends = ((len(a), len(a)), (len(b), len(b)))
        marked = self.left.marked(one), self.right.marked(two)
        for row in [*_monotone(fixed), ends]:
            (a0, a1), (b0, b1) = row
            found += _between(*marked, (last[0], a0, last[1], b0), parts)
            if a1 > a0 and b1 > b0:
                found.append(Piece(a0, a1, b0, b1))
            if row in wanted:
                described.append(row)
            last = a1, b1
        self.described[one.number] = described
        return found

    def _fixed(self, pair: Pair) -> list[tuple[Span, Span]]:
        """Return the spans of what surely corresponds: described parts of the trees, and tables of the images."""
        if self.left.view.type == ET_REL:
            return []
        found = list(self._wanted.get(pair.one.number, []))
        rights = {
            t.key: t for t in self.right.references_of.tables if t.section == pair.two.number and t.key[0] != b"unwind"
        }
        unwinds = {
            t.key: t for t in self.right.references_of.tables if t.section == pair.two.number and t.key[0] == b"unwind"
        }
        twins: dict[int, int] | None = None
        for table in self.left.references_of.tables:
            if table.section != pair.one.number:
                continue
            other = rights.get(table.key)
            if table.key[0] == b"unwind":
                if twins is None:
                    twins = self._unwound()
                other = unwinds.get((b"unwind", b"%d" % twins.get(int(table.key[1]), -1)))
            if other is not None:
                found.append(((table.start, table.stop), (other.start, other.stop)))
        return sorted(found)

    @property
    def addresses(self) -> Addresses:
        """The map of all that is loaded, with the headers before it and a little behind the end of each section."""
        if self._addresses is None:
            self._addresses = Addresses(self._areas())
        return self._addresses

    def _areas(self) -> list[tuple[int, int, int, int, Pieces]]:
        loaded = [p for p in self.pairs if p.one.alloc and p.one.size and p.two.size]
        parts = [(p.one.place, p.one.size, p.two.place, p.two.size, self.pieces(p)) for p in loaded]
        around = Pieces(identity(HEADERS, HEADERS)), Pieces(identity(BEHIND, BEHIND))
        starts = sorted(p[0] for p in parts), sorted(p[2] for p in parts)
        parts.append((self.base[0], HEADERS, self.base[1], HEADERS, around[0]))
        for place, size, other, length, _pieces in parts[:-1]:
            if _free(starts[0], place + size) and _free(starts[1], other + length):
                parts.append((place + size, BEHIND, other + length, BEHIND, around[1]))
        return parts

    @property
    def reverse(self) -> Addresses:
        """The map of the address spaces from right to left."""
        if self._back is None:
            self._back = Addresses([
                (other, length, place, size, Pieces([Piece(p.r0, p.r1, p.l0, p.l1) for p in pieces.pieces if p.r1 > p.r0]))
                for place, size, other, length, pieces in self._areas()
            ])  # fmt: skip
        return self._back

    def told(self, left: Any, right: Any) -> Any:
        """Tell of pairs of addresses for which it is known, from either side, what the other one would have to be."""
        return self.addresses.covered(left) | self.reverse.covered(right)

    def functions(self) -> list[tuple[Any, Any]]:
        """Return the rows of both exception directories that stand for the same function."""
        if self._twins is None:
            ones, twos = self.left.references_of.functions, self.right.references_of.functions
            there = {row[0]: row for row in reversed(twos.tolist())}
            self._twins = []
            code = [(p, self.pieces(p)) for p in self._code()]
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

    def _unwound(self) -> dict[int, int]:
        """Return which unwind information on the left is which on the right, where all functions say the same."""
        found: dict[int, int] = {}
        odd: set[int] = set()
        for one, two in self.functions():
            if found.setdefault(one[2], two[2]) != two[2]:
                odd.add(one[2])
        return {one: two for one, two in found.items() if one not in odd}


def _free(starts: list[int], end: int) -> bool:
    """Tell whether nothing begins right behind an address; starts: where sections begin, in order."""
    index = bisect_right(starts, end - 1)
    return index == len(starts) or starts[index] >= end + BEHIND


def _monotone(rows: list[tuple[Span, Span]]) -> list[tuple[Span, Span]]:
    """Return the rows that follow each other on both sides."""
    found: list[tuple[Span, Span]] = []
    for row in sorted(set(rows)):
        if not found or (row[0][0] >= found[-1][0][1] and row[1][0] >= found[-1][1][1]):
            found.append(row)
    return found


def _between(a: bytes, b: bytes, area: tuple[int, int, int, int], parts: list[tuple[Span, Span]]) -> list[Piece]:
    """Align what lies between two things that are known: by input file where symbols say, then by content."""
    a0, a1, b0, b1 = area
    found: list[Piece] = []
    inside = [(x, y) for x, y in parts if a0 <= x[0] and x[1] <= a1 and b0 <= y[0] and y[1] <= b1]
    for (x0, x1), (y0, y1) in [*_monotone(inside), ((a1, a1), (b1, b1))]:
        found += _content(a, b, a0, x0, b0, y0)
        found += _content(a, b, x0, x1, y0, y1)
        a0, b0 = x1, y1
    return found


def _content(a: bytes, b: bytes, a0: int, a1: int, b0: int, b1: int) -> list[Piece]:
    if a0 == a1 and b0 == b1:
        return []
    if a0 == a1 or b0 == b1:
        return [Piece(a0, a1, b0, b1)]
    left, right = a[a0:a1], b[b0:b1]
    if left == right:
        return [Piece(a0, a1, b0, b1)]
    return [Piece(a0 + p.l0, a0 + p.l1, b0 + p.r0, b0 + p.r1) for p in permuted(by_content(left, right), left, right)]
