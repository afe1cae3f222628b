"""Both files side by side: which sections correspond, what symbols they have, and where their bytes moved to."""

import re
import struct
from bisect import bisect_right
from typing import Any

import numpy as np

from reprodiff.budget import Budget
from reprodiff.errors import FormatError
from reprodiff.formats.elf import x86
from reprodiff.formats.elf.image import Image, Section, string
from reprodiff.formats.elf.names import (
    EM_386,
    EM_X86_64,
    ET_REL,
    SHF_TLS,
    SHF_WRITE,
    SHN_LORESERVE,
    SHT_DYNSYM,
    SHT_NOBITS,
    SHT_NULL,
    SHT_PROGBITS,
    SHT_SYMTAB,
    STT_FILE,
    STT_FUNC,
    STT_GNU_IFUNC,
    STT_OBJECT,
    STT_TLS,
)
from reprodiff.formats.elf.parts import decoded, frames, units
from reprodiff.formats.elf.pieces import PRINTED, Piece, Pieces, Symbol, by_content, by_symbols, filled, identity, strings, texts
from reprodiff.formats.elf.words import Addresses, gather

# What link-time optimization and section names of one translation unit end in.
HASH = re.compile(rb"\.[0-9a-f]{8,16}(?:\.[0-9a-f]{8,16})?$")
BATCH = 2 << 20


class Side:
    """One file: its sections' bytes, kept as long as they are compared."""

    def __init__(self, image: Image, budget: Budget) -> None:
        self.image = image
        self.budget = budget
        self._data: dict[int, bytes] = {}
        self._named: dict[int, list[Symbol]] | None = None
        self._bounds: dict[int, list[int]] = {}
        self._references: dict[int, Any] = {}

    def data(self, section: Section) -> bytes:
        """Return the bytes of a section, decoded where they are compressed and whole."""
        found = self._data.get(section.index)
        if found is None:
            found = self._data[section.index] = self._read(section)
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
        self._data.pop(section.index, None)

    def named(self, section: Section) -> list[Symbol]:
        """Return functions and objects of a section by offset, one for each place."""
        if self._named is None:
            self._named = self._symbols()
        return self._named.get(section.index, [])

    def _symbols(self) -> dict[int, list[Symbol]]:
        tables = [s for s in self.image.sections if s.type == SHT_SYMTAB] or [
            s for s in self.image.sections if s.type == SHT_DYNSYM
        ]
        found: dict[int, dict[int, Symbol]] = {}
        if not tables or tables[0].compressed:
            return {}
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
            start = value if relocatable or kind == STT_TLS else value - sections[shndx].addr
            if not 0 <= start <= sections[shndx].size or start + size > sections[shndx].size:
                continue
            label = string(text, name)
            scope = file.rpartition(b"/")[2] if info >> 4 == 0 else b""
            number = seen.get((label, scope), 0)
            seen[label, scope] = number + 1
            places = found.setdefault(shndx, {})
            symbol = Symbol(start, size, (label, scope, number))
            old = places.get(start)
            # Of aliases one: the longest, then the first name.
            if old is None or (-size, symbol.key) < (-old.size, old.key):
                places[start] = symbol
        result = {}
        for index, places in found.items():
            rows: list[Symbol] = []
            for start in sorted(places):
                # What lies inside another is part of it.
                if rows and start < rows[-1].start + rows[-1].size:
                    continue
                rows.append(places[start])
            result[index] = rows
        return result

    def bounds(self, section: Section) -> list[int]:
        """Return offsets at which code of a section surely begins: functions, else what the frame table lists."""
        found = self._bounds.get(section.index)
        if found is None:
            places = {symbol.start for symbol in self.named(section)}
            places |= {start for start, _size in self.ranges(section)}
            found = self._bounds[section.index] = sorted({0, *places})
        return found

    def ranges(self, section: Section) -> list[tuple[int, int]]:
        """Return (offset, size) of the functions that .eh_frame lists in a section; [] where its encoding is another
        than pc-relative, 4 bytes, as all compilers write on x86 and AArch64."""
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
                if section.addr <= at and at + size <= section.addr + section.size:
                    found.append((at - section.addr, size))
        return sorted(set(found))

    def fields(self, section: Section, offsets: Any) -> x86.Fields:
        """Return the fields of the instructions of all functions that the offsets lie in; the whole section for None."""
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
        return x86.Fields(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def references(self, section: Section) -> Any:
        """Return the offsets in a section that code refers to, in order: where tables begin."""
        found = self._references.get(section.index)
        if found is None:
            hits = [np.zeros(0, np.int64)]
            for code in self.image.sections if self.image.machine == EM_X86_64 else ():
                if code.code and code.stored:
                    fields = self.fields(code, None)
                    at, end = fields.at[fields.kind == x86.RIP], fields.end[fields.kind == x86.RIP]
                    target = gather(np.frombuffer(self.data(code), np.uint8), at, 4, "<", True) + end + code.addr - section.addr
                    hits.append(target[(target >= 0) & (target < section.size)])
            found = self._references[section.index] = np.unique(np.concatenate(hits))
        return found


class Pair:
    """Two sections that correspond."""

    def __init__(self, one: Section, two: Section) -> None:
        self.one = one
        self.two = two
        self.moved = False
        self._pieces: Pieces | None = None

    def pieces(self, left: Side, right: Side) -> Pieces:
        """Return the map of the section, made when first asked for."""
        if self._pieces is None:
            self._pieces = self._align(left, right)
        return self._pieces

    def _constants(self, left: Side, right: Side, found: list[Piece], a: bytes, b: bytes) -> list[Piece]:
        """Cut what has no content in common where code on both sides refers to it as often: where tables begin."""
        odd = [p for p in found if p.l1 > p.l0 and p.r1 > p.r0 and p.name is None and (not p.equal or p.l0 != p.r0)]
        odd = [p for p in odd if a[p.l0 : p.l1] != b[p.r0 : p.r1] and not texts(a[p.l0 : p.l1], b[p.r0 : p.r1])]
        if not any(not p.equal and (a[p.l0 : p.l1].strip(b"\0") or b[p.r0 : p.r1].strip(b"\0")) for p in odd):
            return found
        ones, twos = left.references(self.one), right.references(self.two)
        cut: list[Piece] = []
        for piece in found:
            if piece not in odd:
                cut.append(piece)
                continue
            i = ones[np.searchsorted(ones, piece.l0, "right") : np.searchsorted(ones, piece.l1)].tolist()
            j = twos[np.searchsorted(twos, piece.r0, "right") : np.searchsorted(twos, piece.r1)].tolist()
            if len(i) != len(j) or not i:
                cut.append(piece)
                continue
            for (a0, a1), (b0, b1) in zip(
                zip([piece.l0, *i], [*i, piece.l1], strict=True), zip([piece.r0, *j], [*j, piece.r1], strict=True), strict=True
            ):
                cut += [
                    Piece(a0 + p.l0, a0 + p.l1, b0 + p.r0, b0 + p.r1) for p in filled(a[a0:a1], b[b0:b1])
                ]
        return cut

    def _align(self, left: Side, right: Side) -> Pieces:
        one, two = self.one, self.two
        if not one.stored or not two.stored:
            return Pieces(self._by_symbols(left, right) if one.size != two.size else identity(one.size, two.size))
        a, b = left.data(one), right.data(two)
        if a == b and not one.alloc:
            return Pieces(identity(len(a), len(b)))
        if one.strings and two.strings:
            return Pieces(strings(a, b), a, b)
        if one.alloc and one.type == SHT_PROGBITS and not one.name.startswith(b".eh_frame"):
            same = [(s.start, s.size, s.key[0]) for s in left.named(one)] == [
                (s.start, s.size, s.key[0]) for s in right.named(two)
            ]
            if one.code:
                if one.size == two.size and same and (left.named(one) or left.ranges(one) == right.ranges(two)):
                    return Pieces(identity(len(a), len(b)))
                return Pieces(self._code(left, right), a, b)
            if not same:
                return Pieces(self._objects(left, right, a, b), a, b)
            if a == b or (one.size == two.size and one.flags & SHF_WRITE):
                return Pieces(identity(len(a), len(b)))
            return Pieces(self._constants(left, right, by_content(a, b), a, b), a, b)
        if one.name.startswith(b".debug_") and len(a) != len(b):
            return Pieces(_by_units(a, b, left.image.order), a, b)
        return Pieces(identity(len(a), len(b)) if len(a) == len(b) else by_content(a, b), a, b)

    def _by_symbols(self, left: Side, right: Side) -> list[Piece]:
        found, self.moved = by_symbols(left.named(self.one), right.named(self.two), self.one.size, self.two.size)
        return found

    def _objects(self, left: Side, right: Side, a: bytes, b: bytes) -> list[Piece]:
        """Objects by their symbols, and what lies between them by content."""
        found: list[Piece] = []
        for piece in self._by_symbols(left, right):
            if piece.name is None and piece.l1 > piece.l0 and piece.r1 > piece.r0:
                found += [
                    Piece(piece.l0 + p.l0, piece.l0 + p.l1, piece.r0 + p.r0, piece.r0 + p.r1)
                    for p in by_content(a[piece.l0 : piece.l1], b[piece.r0 : piece.r1])
                ]
            else:
                found.append(piece)
        return found if self.one.flags & SHF_WRITE else self._constants(left, right, found, a, b)

    def _code(self, left: Side, right: Side) -> list[Piece]:
        if left.named(self.one) and right.named(self.two):
            return self._by_symbols(left, right)
        ones, twos = left.ranges(self.one), right.ranges(self.two)
        if not ones or not twos:
            return identity(self.one.size, self.two.size)
        from reprodiff.formats.elf.functions import alike

        rows = alike(left, right, self.one, self.two, ones, twos)
        found, self.moved = by_symbols(rows[0], rows[1], self.one.size, self.two.size)
        return found


def _by_units(a: bytes, b: bytes, order: str) -> list[Piece]:
    """Align the units of a DWARF section in order, and what they hold by content."""
    ones, twos = list(units(a, order)), list(units(b, order))
    if len(ones) != len(twos) or not ones or ones[-1][1] != len(a) or twos[-1][1] != len(b):
        return by_content(a, b)
    found: list[Piece] = []
    for (a0, a1, *_), (b0, b1, *_) in zip(ones, twos, strict=True):
        if a1 - a0 == b1 - b0:
            found.append(Piece(a0, a1, b0, b1))
            continue
        found.append(Piece(a0, a0 + 4, b0, b0 + 4))
        found += [
            Piece(a0 + 4 + p.l0, a0 + 4 + p.l1, b0 + 4 + p.r0, b0 + 4 + p.r1)
            for p in by_content(a[a0 + 4 : a1], b[b0 + 4 : b1], PRINTED)
        ]
    joined: list[Piece] = []
    for piece in found:
        last = joined[-1] if joined else None
        if last and last.equal and piece.equal and last.l1 == piece.l0 and last.r1 == piece.r0:
            joined[-1] = Piece(last.l0, piece.l1, last.r0, piece.r1)
        else:
            joined.append(piece)
    return joined


class Both:
    """Two files, their corresponding sections, and the map of their address spaces."""

    def __init__(self, left: Image, right: Image, budget: Budget) -> None:
        self.left, self.right = Side(left, budget), Side(right, budget)
        self.pairs, self.only_left, self.only_right = _align_sections(left.sections, right.sections)
        self.to_right = {pair.one.index: pair.two.index for pair in self.pairs}
        self.by_index = {pair.one.index: pair for pair in self.pairs}
        self._addresses: Addresses | None = None
        self.x86 = left.machine in {EM_386, EM_X86_64}

    def pieces(self, pair: Pair) -> Pieces:
        return pair.pieces(self.left, self.right)

    def pair(self, name: bytes) -> Pair | None:
        """Return the first section pair of a name."""
        return next((pair for pair in self.pairs if pair.one.name == name), None)

    def section_at(self, address: int) -> Pair | None:
        """Return the allocated section pair in which a left address lies."""
        for pair in self.pairs:
            if _mapped(pair.one) and pair.one.addr <= address < pair.one.addr + pair.one.size:
                return pair
        return None

    @property
    def addresses(self) -> Addresses:
        """The map of all allocated sections and of the headers before them."""
        if self._addresses is None:
            parts = [
                (p.one.addr, p.one.size, p.two.addr, p.two.size, self.pieces(p))
                for p in self.pairs
                if _mapped(p.one) and _mapped(p.two)
            ]
            heads = [
                next((s.vaddr for s in side.image.segments if s.type == 1 and s.offset == 0 and s.filesz), None)
                for side in (self.left, self.right)
            ]
            size = self.left.image.layout.header.size
            if heads[0] is not None and heads[1] is not None and all(p[0] >= heads[0] + size for p in parts):
                parts.append((heads[0], size, heads[1], size, Pieces(identity(size, size))))
            self._addresses = Addresses(parts)
        return self._addresses


def _mapped(section: Section) -> bool:
    return section.alloc and section.size > 0 and not (section.type == SHT_NOBITS and section.flags & SHF_TLS)


def _align_sections(ones: list[Section], twos: list[Section]) -> tuple[list[Pair], list[Section], list[Section]]:
    pairs: list[Pair] = []
    left = [s for s in ones if s.type != SHT_NULL or s.name]
    right = [s for s in twos if s.type != SHT_NULL or s.name]
    for key in (lambda s: s.name, lambda s: HASH.sub(b"", s.name)):
        places: dict[bytes, list[Section]] = {}
        for section in reversed(right):
            places.setdefault(key(section), []).append(section)
        rest = []
        for section in left:
            twins = places.get(key(section))
            if twins:
                pairs.append(Pair(section, twins.pop()))
            else:
                rest.append(section)
        left = rest
        right = sorted((s for twins in places.values() for s in twins), key=lambda s: s.index)
    pairs.sort(key=lambda pair: pair.one.index)
    return pairs, left, right


def at_symbol(symbols: list[Symbol], offset: int) -> Symbol | None:
    """Return the symbol whose range, or what lies behind it, an offset is in."""
    index = bisect_right(symbols, offset, key=lambda symbol: symbol.start) - 1
    return symbols[index] if index >= 0 else None
