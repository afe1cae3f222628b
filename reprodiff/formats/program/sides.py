"""Both files side by side: which sections correspond, what symbols they have, and where their bytes moved to."""

import re
from bisect import bisect_right
from contextlib import suppress
from itertools import pairwise
from typing import Any

import numpy as np

from reprodiff.budget import Budget
from reprodiff.errors import FormatError
from reprodiff.formats.program.anchors import refine
from reprodiff.formats.program.go.pclntab import go_program
from reprodiff.formats.program.image import Program, Section
from reprodiff.formats.program.linkage import entries
from reprodiff.formats.program.machines import x86
from reprodiff.formats.program.names import (
    EM_386,
    EM_ARM,
    EM_X86_64,
    ET_REL,
    SHF_TLS,
    SHF_WRITE,
    SHT_NOBITS,
    SHT_NULL,
    SHT_PROGBITS,
    SHT_SYMTAB,
)
from reprodiff.formats.program.offsets import slots
from reprodiff.formats.program.pieces import (
    Piece,
    Pieces,
    Symbol,
    by_content,
    by_symbols,
    filled,
    identity,
    permuted,
    strings,
    texts,
)
from reprodiff.formats.program.rust.digests import plain
from reprodiff.formats.program.rust.mangled import renamed
from reprodiff.formats.program.side import Side
from reprodiff.formats.program.symbols import agreed
from reprodiff.formats.program.units import abbreviations, based, inside_units, joined, reordered, rows_of_units
from reprodiff.formats.program.words import Addresses, gather

# How far from the data that it serves a global pointer is: half of what 12 or 16 bits reach.
POINTER_FAR = (-0x800, 0x800, -0x8000)
# References that lead astray are many where data stands in another order.
ASTRAY_MIN = 8
# Bytes of an ELF header of 64 bit and of 32 bit.
HEADERS = {True: 64, False: 52}
# What link-time optimization and section names of one translation unit end in.
HASH = re.compile(rb"\.[0-9a-f]{8,16}(?:\.[0-9a-f]{8,16})?$")


class Pair:
    """Two sections that correspond."""

    def __init__(self, one: Section, two: Section) -> None:
        self.one = one
        self.two = two
        self.moved = False
        self.arranged = False
        self._agreed = False
        self._pieces: Pieces | None = None
        self.names: dict[bytes, bytes] = {}

    @property
    def known(self) -> bool:
        return self._pieces is not None

    def take(self, pieces: Pieces | list[Piece] | None, left: bytes = b"", right: bytes = b"") -> None:
        """Take a map that was made elsewhere; left, right: the bytes of the sections."""
        if pieces is not None:
            self._pieces = pieces if isinstance(pieces, Pieces) else Pieces(pieces, left, right)

    def state(self) -> Any:
        """Return what is known, to go back to."""
        return self._pieces, self.moved, self.arranged

    def restore(self, state: Any) -> None:
        """Go back to what was known."""
        self._pieces, self.moved, self.arranged = state

    def forget(self) -> None:
        """Let the map be made anew."""
        self._pieces = None

    def pieces(self, left: Side, right: Side) -> Pieces:
        """Return the map of the section, made when first asked for."""
        if self._pieces is None:
            self.agree(left, right)
            self._pieces = self._align(left, right)
        return self._pieces

    def agree(self, left: Side, right: Side) -> None:
        """Let both sides agree on what the symbols of the section are."""
        ones, twos = left.named(self.one), right.named(self.two)
        if (ones or twos) and not self._agreed:
            self._agreed = True
            stored = self.one.stored and self.two.stored
            data = (left.data(self.one), right.data(self.two)) if stored else None
            rows = agreed(ones, twos, data, (self.one.size, self.two.size))
            left.take(self.one, rows[0])
            right.take(self.two, rows[1])

    def _constants(self, left: Side, right: Side, found: list[Piece], a: bytes, b: bytes) -> list[Piece]:
        """Cut what has no content in common where code on both sides refers to it as often: where tables begin."""
        odd = [p for p in found if p.l1 > p.l0 and p.r1 > p.r0 and p.name is None and (not p.equal or p.l0 != p.r0)]
        odd = [p for p in odd if a[p.l0 : p.l1] != b[p.r0 : p.r1] and not texts(a[p.l0 : p.l1], b[p.r0 : p.r1])]
        if not any(not p.equal and (a[p.l0 : p.l1].strip(b"\0") or b[p.r0 : p.r1].strip(b"\0")) for p in odd):
            return found
        ones, twos = left.references(self.one), right.references(self.two)
        cut: list[Piece] = []
        chosen = set(map(id, odd))
        for piece in found:
            if id(piece) not in chosen:
                cut.append(piece)
                continue
            i = ones[np.searchsorted(ones, piece.l0, "right") : np.searchsorted(ones, piece.l1)].tolist()
            j = twos[np.searchsorted(twos, piece.r0, "right") : np.searchsorted(twos, piece.r1)].tolist()
            if len(i) != len(j) or not i:
                cut.append(piece)
                continue
            for (a0, a1), (b0, b1) in zip(
                zip([piece.l0, *i], [*i, piece.l1], strict=True),
                zip([piece.r0, *j], [*j, piece.r1], strict=True),
                strict=True,
            ):
                cut += [Piece(a0 + p.l0, a0 + p.l1, b0 + p.r0, b0 + p.r1) for p in filled(a[a0:a1], b[b0:b1])]
        return cut

    def _align(self, left: Side, right: Side) -> Pieces:
        one, two = self.one, self.two
        if not one.stored or not two.stored:
            known = one.size != two.size and bool(left.named(one) and right.named(two))
            return Pieces(self._by_symbols(left, right) if known else identity(one.size, two.size))
        a, b = left.data(one), right.data(two)
        if a == b and not one.alloc:
            return Pieces(identity(len(a), len(b)))
        if one.strings and two.strings:
            return Pieces(strings(a, b, self.names), a, b)
        if one.alloc and one.type == SHT_PROGBITS and not one.name.startswith(b".eh_frame"):
            ones, twos = left.named(one), right.named(two)
            same = _same_places(ones, twos) if ones and twos else one.size == two.size
            if one.code:
                known = bool(ones and twos)
                if one.size == two.size and same and (known or left.ranges(one) == right.ranges(two)):
                    return Pieces(identity(len(a), len(b)))
                return Pieces(self._code(left, right), a, b)
            if not same and ones and twos:
                return Pieces(self._objects(left, right, a, b), a, b)
            if a == b or (one.size == two.size and one.flags & SHF_WRITE):
                return Pieces(identity(len(a), len(b)))
            return Pieces(self._constants(left, right, permuted(by_content(a, b), a, b), a, b), a, b)
        if one.name.startswith(b".debug_") and len(a) != len(b):
            return Pieces(_by_units(a, b, left.image.order, one.name == b".debug_line"), a, b)
        return Pieces(identity(len(a), len(b)) if len(a) == len(b) else by_content(a, b), a, b)

    def _by_symbols(self, left: Side, right: Side) -> list[Piece]:
        found, self.moved = by_symbols(left.named(self.one), right.named(self.two), self.one.size, self.two.size)
        return found

    def _objects(self, left: Side, right: Side, a: bytes, b: bytes) -> list[Piece]:
        """Objects by their symbols, and what lies between them by content."""
        found: list[Piece] = []
        # What no size says the end of is not all one object.
        endless = {symbol.start for symbol in left.named(self.one) if not symbol.size}
        for piece in self._by_symbols(left, right):
            if (piece.name is None or piece.l0 in endless) and piece.l1 > piece.l0 and piece.r1 > piece.r0:
                found += [
                    Piece(piece.l0 + p.l0, piece.l0 + p.l1, piece.r0 + p.r0, piece.r0 + p.r1)
                    for p in by_content(a[piece.l0 : piece.l1], b[piece.r0 : piece.r1])
                ]
            else:
                found.append(piece)
        found = permuted(found, a, b)
        return found if self.one.flags & SHF_WRITE else self._constants(left, right, found, a, b)

    def _code(self, left: Side, right: Side) -> list[Piece]:
        names = left.named(self.one), right.named(self.two)
        ones, twos = left.functions(self.one), right.functions(self.two)
        # A few names, of a file without symbols but those that it exports, leave most functions without one.
        few = left.stripped and right.stripped and len(names[0]) < len(ones) and len(names[1]) < len(twos)
        if all(names) and not few:
            return self._by_symbols(left, right)
        if not ones or not twos:
            return identity(self.one.size, self.two.size)
        from reprodiff.formats.program.functions import alike, called

        rows = alike(left, right, self.one, self.two, ones, twos)
        if all(names):
            rows = called(rows, names)
        found, self.moved = by_symbols(rows[0], rows[1], self.one.size, self.two.size)
        return found


def _by_units(a: bytes, b: bytes, order: str, lines: bool) -> list[Piece]:
    """Align the units of a DWARF section in order, and what they hold by content."""
    ones, twos = rows_of_units(a, order), rows_of_units(b, order)
    if len(ones) != len(twos) or not ones:
        return by_content(a, b)
    return joined(inside_units(a, b, list(zip(ones, twos, strict=True)), lines))


class Both:
    """Two files, their corresponding sections, and the map of their address spaces."""

    def __init__(self, left: Program, right: Program, budget: Budget) -> None:
        left.straighten()
        right.straighten()
        self.left, self.right = Side(left, budget), Side(right, budget)
        self.pairs, self.only_left, self.only_right = _align_sections(left.sections, right.sections)
        self.to_right = {pair.one.number: pair.two.number for pair in self.pairs}
        self.by_index = {pair.one.number: pair for pair in self.pairs}
        self._addresses: Addresses | None = None
        self._still: bool | None = None
        self.family = self.left.family
        self._pointed: bool | None = None
        self._arranged = False
        # Places of left references to the end of what moved, and to texts that are stored twice.
        self.ends = np.zeros(0, np.int64)
        self.copies = np.zeros(0, np.int64)
        self._names: dict[bytes, bytes] | None = None
        self._go: list[Any] = []
        if go_program(left) and go_program(right):
            named = [any(s.type == SHT_SYMTAB for s in image.sections) for image in (left, right)]
            self.left.by_table = self.right.by_table = named[0] != named[1]
        self.x86 = left.machine in {EM_386, EM_X86_64}

    @property
    def names(self) -> dict[bytes, bytes]:
        """Which symbol of the right side is which of the left, where only digests in the names tell them apart."""
        if self._names is None:
            self._names = renamed(self.left, self.right)
            self.right.rename({two: one for one, two in self._names.items()})
        return self._names

    def pieces(self, pair: Pair) -> Pieces:
        """Return the map of a section pair."""
        pair.names = self.names
        if pair.one.alloc and not self._arranged:
            self._arranged = True
            self._arrange()
        if pair.one.stored and pair.two.stored and not pair.known:
            if pair.one.name == b".eh_frame":
                pair.take(self._frames(pair))
            elif pair.one.name.startswith(b".debug_"):
                pair.take(self._units(pair))
            elif pair.one.name == b".got":
                pair.take(slots(self, pair))
            elif pair.one.name == b".got.plt":
                pair.take(entries(self, pair))
            elif self.go is not None:
                pair.agree(self.left, self.right)
                pair.take(self.go.pieces(pair))
        known = pair.known
        found = pair.pieces(self.left, self.right)
        if not known and _constant(pair):
            left, right = self.left.data(pair.one), self.right.data(pair.two)
            pieces = [*found.pieces, *found.added]
            cut = refine(self, pair, pieces, left, right)
            if cut is not pieces:
                pair.take(cut, left, right)
                return pair.pieces(self.left, self.right)
        return found

    def _arrange(self) -> None:
        """Make the maps of all that is loaded at once where functions or objects stand in another order."""
        # Go sorts its strings and tables by length: that moves them, and their own table says what is which.
        if self.left.image.type == ET_REL or go_program(self.left.image):
            return
        code = self._code()
        for pair in code:
            if pair.one.name.startswith(b".plt") and not pair.known:
                pair.take(entries(self, pair))
            pair.pieces(self.left, self.right)
        if any(pair.moved for pair in code) or any(self._permuted(pair) for pair in self.pairs if _mapped(pair.one)):
            from reprodiff.formats.program.arrange import arrange

            arrange(self)
            return
        before = self._astray(code)
        self._addresses = self._still = None
        if before >= ASTRAY_MIN:
            self._data_arranged(code, before)

    def _data_arranged(self, code: list[Pair], before: int) -> None:
        """Take it that data without symbols stands in another order, where that leaves few references that lead to
        something else; before: how many there are otherwise."""
        from reprodiff.formats.program.arrange import arrange

        loaded = [pair for pair in self.pairs if _mapped(pair.one)]
        old = [(pair, pair.state()) for pair in loaded]
        sides = [(side, side.state()) for side in (self.left, self.right)]
        arrange(self)
        for pair in loaded:
            if not pair.arranged and not pair.one.code:
                pair.forget()
        self._addresses = self._still = None
        parts = [[p.r0 for p in self.pieces(pair).pieces if p.equal] for pair in loaded if not pair.one.code]
        permuted = any(one > two for rows in parts for one, two in pairwise(rows))
        if not permuted or 8 * self._astray(code) > before:
            for pair, state in old:
                pair.restore(state)
            for side, known in sides:
                side.restore(known)
            self.ends = self.copies = np.zeros(0, np.int64)
        self._addresses = self._still = None

    def _astray(self, code: list[Pair]) -> int:
        """Count the references of code that lead to something else."""
        if self.left.image.machine != EM_X86_64:
            return 0
        total = 0
        for pair in code:
            a, b = self.left.data(pair.one), self.right.data(pair.two)
            if a == b:
                continue
            found = self.left.sweep(pair.one)
            chosen = np.isin(found.kind, (x86.BRANCH, x86.RIP))
            at, end = found.at[chosen], found.end[chosen]
            others = self.pieces(pair).to(at)
            whole = (others >= 0) & (others + 4 <= len(b))
            at, end, others = at[whole], end[whole], others[whole]
            ones, twos = (
                gather(np.frombuffer(data, np.uint8), places, 4, "<", True) for data, places in ((a, at), (b, others))
            )
            left, right = pair.one.place + end + ones, pair.two.place + others + (end - at) + twos
            total += int((~self.addresses.same(left, right)).sum())
        return total

    def _permuted(self, pair: Pair) -> bool:
        """Tell whether the objects of a section that have symbols stand in another order."""
        if pair.one.code or not self.left.named(pair.one):
            return False
        pair.agree(self.left, self.right)
        homes = {symbol.key: symbol.start for symbol in self.right.named(pair.two)}
        places = [homes[symbol.key] for symbol in self.left.named(pair.one) if symbol.key in homes]
        return any(one > two for one, two in pairwise(places))

    @property
    def go(self) -> Any:
        """What two Go programs say about themselves, None where they are none (`go.program.Go`)."""
        if not self._go:
            self._go.append(None)
            if go_program(self.left.image) and go_program(self.right.image):
                from reprodiff.formats.program.go.program import Go

                with suppress(FormatError, ValueError, IndexError):
                    self._go[0] = Go(self)
        return self._go[0]

    def _code(self) -> list[Pair]:
        """Return the pairs of code, whatever tables say that they are code."""
        tables = (b".eh_frame", b".debug_")
        return [
            p for p in self.pairs if p.one.code and p.one.stored and p.two.stored and not p.one.name.startswith(tables)
        ]

    def _frames(self, pair: Pair) -> list[Piece] | None:
        """Align the records of a frame table by the functions that they describe; None where these did not move."""
        code = self._code()
        maps = [self.pieces(p) for p in code]
        a, b = self.left.data(pair.one), self.right.data(pair.two)
        if all(pieces.identity for pieces in maps) and len(a) == len(b):
            return None

        def rows(side: Side, section: Section) -> list[tuple[int, int, int | None]]:
            places = dict(zip(*(column.tolist() for column in side.described(section)), strict=True))
            return [
                (start, stop, section.addr + places[start] if start in places else None)
                for start, stop, _pointer in side.records(section).tolist()
            ]

        ones, twos = rows(self.left, pair.one), rows(self.right, pair.two)
        places = {place: (start, stop) for start, stop, place in twos if place is not None}
        others = [(start, stop) for start, stop, place in twos if place is None]
        found: list[Piece] = []
        used: set[Any] = set()
        moved: dict[int, int] = {}
        for p, pieces in zip(code, maps, strict=True):
            here = [place for _start, _stop, place in ones if place and p.one.addr <= place < p.one.addr + p.one.size]
            to = pieces.to(np.array(here, np.uint64).view(np.int64) - p.one.place)
            moved.update({place: at + p.two.addr for place, at in zip(here, to.tolist(), strict=True) if at >= 0})
        for start, stop, place in ones:
            twin = None
            if place is None:
                twin = others.pop(0) if others else None
            elif place in moved:
                twin = places.pop(moved[place], None)
            size = stop - start
            if twin is not None and twin[1] - twin[0] != size and _filled_up(a[start:stop], b[slice(*twin)]):
                # The last record of an input is filled up.
                most = min(size, twin[1] - twin[0])
                found.append(Piece(start, start + most, twin[0], twin[0] + most))
                found.append(Piece(start + most, stop, twin[0] + most, twin[1]))
                used.add(twin)
                continue
            found.append(Piece(start, stop, *(twin or (0, 0))))
            used.add(twin)
        found += [Piece(0, 0, start, stop) for start, stop, _place in twos if (start, stop) not in used]
        end = max((stop for _start, stop, _place in ones), default=0), max((stop for _s, stop, _p in twos), default=0)
        found.append(Piece(end[0], len(a), end[1], len(b)))
        return [piece for piece in found if piece.l1 > piece.l0 or piece.r1 > piece.r0]

    def _units(self, pair: Pair) -> list[Piece] | None:
        """Align units of debug information that stand in another order by the functions that they describe; None where
        code did not move."""
        code = self._code()
        maps = [self.pieces(p) for p in code]
        if not any(p.moved for p in code):
            return None
        functions = {
            piece.l0 + p.one.addr: piece.r0 + p.two.addr
            for p, pieces in zip(code, maps, strict=True)
            for piece in pieces.pieces
            if piece.name is not None and piece.r1 > piece.r0
        }
        image = self.left.image
        through = {b".debug_abbrev": abbreviations, b".debug_str_offsets": based}.get(pair.one.name)
        info = self.pair(b".debug_info")
        if through is not None and info is not None and info.one.stored and info.two.stored:
            data = [
                (side.data(first), side.data(second))
                for side, first, second in ((self.left, info.one, pair.one), (self.right, info.two, pair.two))
            ]
            found = through(data[0], data[1], image.order, self.pieces(info))
            if found is not None or through is abbreviations:
                return found
        return reordered(self.left.data(pair.one), self.right.data(pair.two), image.order, image.word, functions)

    def pair(self, name: bytes) -> Pair | None:
        """Return the first section pair of a name."""
        return next((pair for pair in self.pairs if pair.one.name == name), None)

    def told(self, left: Any, _right: Any) -> Any:
        """Tell of pairs of addresses, as arrays, for which it is known what the other one would have to be."""
        return self.addresses.covered(left)

    def section_at(self, address: int) -> Pair | None:
        """Return the allocated section pair in which a left address lies."""
        for pair in self.pairs:
            if _mapped(pair.one) and pair.one.place <= address < pair.one.place + pair.one.size:
                return pair
        return None

    @property
    def arranged(self) -> bool:
        """Whether functions or objects stand in another order."""
        return any(pair.arranged for pair in self.pairs)

    @property
    def still(self) -> bool:
        """Whether nothing that is loaded lies elsewhere on the other side."""
        if self._still is None:
            loaded = [pair for pair in self.pairs if _mapped(pair.one) and _mapped(pair.two)]
            self._still = all(pair.one.addr == pair.two.addr and self.pieces(pair).identity for pair in loaded)
        return self._still

    def leads(self, places: Any, ones: Any, twos: Any) -> Any:
        """Tell of the targets of references whether they are the same place, the end of the same thing or the same text."""
        found = self.addresses.same(ones, twos)
        if len(self.ends):
            found |= np.isin(places, self.ends) & (self.addresses.to(ones - 1) == twos - 1)
        if len(self.copies):
            found |= np.isin(places, self.copies)
        return found

    def back(self, right: int) -> int:
        """Return the left address of a right one, -1 where nothing corresponds exactly."""
        for pair in self.pairs:
            if _mapped(pair.two) and pair.two.place <= right < pair.two.place + pair.two.size:
                offset = right - pair.two.place
                for piece in self.pieces(pair).pieces:
                    if piece.equal and piece.r0 <= offset < piece.r1:
                        return piece.l0 + offset - piece.r0 + pair.one.place
        return -1

    @property
    def addresses(self) -> Addresses:
        """The map of all allocated sections and of the headers before them."""
        if self._addresses is None:
            parts = [
                (p.one.place, p.one.size, p.two.place, p.two.size, self.pieces(p))
                for p in self.pairs
                if _mapped(p.one) and _mapped(p.two)
            ]
            heads = [
                next(
                    (
                        s.vaddr - (1 << 64) if s.vaddr >> 63 else s.vaddr
                        for s in side.image.segments
                        if s.type == 1 and s.offset == 0 and s.filesz
                    ),
                    None,
                )
                for side in (self.left, self.right)
            ]
            size = HEADERS[self.left.image.wide]
            if heads[0] is not None and heads[1] is not None and all(p[0] >= heads[0] + size for p in parts):
                parts.append((heads[0], size, heads[1], size, Pieces(identity(size, size))))
            odd = [(p.one.addr, p.one.size) for p in self.pairs if p.one.code and self.left.image.machine == EM_ARM]
            found = Addresses(parts, odd)
            pointer = self._pointer(found)
            self._addresses = Addresses([*parts, pointer], odd) if pointer else found
        return self._addresses

    def _pointer(self, addresses: Addresses) -> tuple[int, int, int, int, Pieces] | None:
        """Return the global pointers of both sides as a part of the map where they lie in no section."""
        one, two = self.left.pointer, self.right.pointer
        if addresses.covered(np.array([one], np.int64))[0] or not self._pointing(addresses):
            return None
        return one, 1, two, 1, Pieces(identity(1, 1))

    def _pointing(self, addresses: Addresses) -> bool:
        """Tell whether the global pointers of both sides are as far behind or before what corresponds as linkers place
        them."""
        one, two = self.left.pointer, self.right.pointer
        return bool(one and two) and any(addresses.one(one + far, two + far) for far in POINTER_FAR)

    def reaches(self, ones: Any, twos: Any) -> Any:
        """Tell of the targets of references whether they are the global pointers of both sides, if these correspond."""
        if self._pointed is None:
            self._pointed = self._pointing(self.addresses)
        if not self._pointed:
            return np.zeros(len(ones), bool)
        return (ones == self.left.pointer) & (twos == self.right.pointer)


def _same_places(ones: list[Symbol], twos: list[Symbol]) -> bool:
    """Tell whether the same functions and objects stand in the same places; one may have another name altogether."""
    if [symbol[:2] for symbol in ones] != [symbol[:2] for symbol in twos]:
        return False
    left, right = {symbol.name for symbol in ones}, {symbol.name for symbol in twos}
    return all(
        a.name == b.name or (a.name not in right and b.name not in left) for a, b in zip(ones, twos, strict=True)
    )


def _constant(pair: Pair) -> bool:
    """Tell whether a section is read-only data."""
    return all(
        s.alloc and s.stored > 0 and s.type == SHT_PROGBITS and not s.code and not s.strings
        and not s.flags & SHF_WRITE and not s.name.startswith(b".eh_frame")
        for s in (pair.one, pair.two)
    )  # fmt: skip


def _filled_up(one: bytes, two: bytes) -> bool:
    """Tell whether one of two frame records is the other and more zeros, which do nothing."""
    most = min(len(one), len(two))
    return len(one) != len(two) and not (one[most:] + two[most:]).strip(b"\0")


def _mapped(section: Section) -> bool:
    return section.alloc and section.size > 0 and not (section.type == SHT_NOBITS and section.flags & SHF_TLS)


def _align_sections(ones: list[Section], twos: list[Section]) -> tuple[list[Pair], list[Section], list[Section]]:
    pairs: list[Pair] = []
    left = [s for s in ones if s.number and (s.type != SHT_NULL or s.name)]
    right = [s for s in twos if s.number and (s.type != SHT_NULL or s.name)]
    for key in (lambda s: s.name, lambda s: HASH.sub(b"", s.name), lambda s: plain(s.name)):
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
        right = sorted((s for twins in places.values() for s in twins), key=lambda s: s.number)
    pairs.sort(key=lambda pair: pair.one.number)
    return pairs, left, right


def at_symbol(symbols: list[Symbol], offset: int) -> Symbol | None:
    """Return the symbol whose range, or what lies behind it, an offset is in."""
    index = bisect_right(symbols, offset, key=lambda symbol: symbol.start) - 1
    return symbols[index] if index >= 0 else None
