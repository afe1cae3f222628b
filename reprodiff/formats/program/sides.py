"""Both files side by side: which sections correspond, what symbols they have, and where their bytes moved to."""

import re
from bisect import bisect_right
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from reprodiff.formats.program import binary
from reprodiff.formats.program.digests import plain
from reprodiff.formats.program.image import Section
from reprodiff.formats.program.mangled import renamed
from reprodiff.formats.program.names import (
    EM_386,
    EM_X86_64,
    SHT_DYNSYM,
    SHT_NULL,
    SHT_REL,
    SHT_RELA,
    SHT_STRTAB,
    SHT_SYMTAB,
)
from reprodiff.formats.program.pieces import Piece, Pieces, Symbol
from reprodiff.formats.program.siblings import Siblings
from reprodiff.formats.program.side import Side
from reprodiff.formats.program.symbols import agreed
from reprodiff.formats.program.words import Addresses, among

# How far from the data that it serves a global pointer is: half of what 12 or 16 bits reach.
POINTER_FAR = (-0x800, 0x800, -0x8000)
# What link-time optimization and section names of one translation unit end in.
HASH = re.compile(rb"\.[0-9a-f]{8,16}(?:\.[0-9a-f]{8,16})?$")


class Pair:
    """Two sections that correspond. map: where the bytes of one are in the other, None while nobody knows."""

    def __init__(self, one: Section, two: Section) -> None:
        self.one = one
        self.two = two
        self.moved = False
        self.arranged = False
        self._agreed = False
        self.map: Pieces | None = None

    @property
    def known(self) -> bool:
        return self.map is not None

    def take(self, pieces: Pieces | list[Piece] | None, left: bytes = b"", right: bytes = b"") -> None:
        """Take a map that was made elsewhere; left, right: the bytes of the sections."""
        if pieces is not None:
            self.map = pieces if isinstance(pieces, Pieces) else Pieces(pieces, left, right)

    def state(self) -> Any:
        """Return what is known, to go back to."""
        return self.map, self.moved, self.arranged

    def restore(self, state: Any) -> None:
        """Go back to what was known."""
        self.map, self.moved, self.arranged = state

    def forget(self) -> None:
        """Let the map be made anew."""
        self.map = None

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


class Makers(NamedTuple):
    """Who makes what two files of a format are asked for, when they are first asked. Each is given the `Both`.

    pieces: gives a section pair its map; addresses: the map of the address spaces from left to right; go: what Go
    programs say about themselves; reverse: the map of the address spaces from right to left, where it tells more.
    """

    pieces: Callable[[Any, Pair], None]
    addresses: Callable[[Any], Addresses]
    go: Callable[[Any], Any]
    reverse: Callable[[Any], Addresses] | None = None


class Both:
    """Two files, their corresponding sections, and the map of their address spaces."""

    def __init__(self, left: Side, right: Side, makers: Makers) -> None:
        self.left, self.right = left, right
        self.makers = makers
        self.pairs, self.only_left, self.only_right = _align_sections(left.image.sections, right.image.sections)
        self.right.twins = {pair.two.number: (self.left, pair.one) for pair in self.pairs}
        self.to_right = {pair.one.number: pair.two.number for pair in self.pairs}
        self.by_index = {pair.one.number: pair for pair in self.pairs}
        # Whether the maps of all that is loaded are there, or being made.
        self.begun = False
        # Places of left references to the end of what moved, and to texts that are stored twice.
        self.ends = np.zeros(0, np.int64)
        self.copies = np.zeros(0, np.int64)
        self.family = left.family
        self.x86 = left.image.machine in {EM_386, EM_X86_64}
        self._addresses: Addresses | None = None
        self._reverse: Addresses | None = None
        self._still: bool | None = None
        self._pointed: bool | None = None
        self._names: dict[bytes, bytes] | None = None
        self._go: list[Any] = []
        # Texts of object files that stand in another section of strings on the other side.
        self.siblings: Siblings | None = None
        # Which symbol of a table is which, as arrays, by the table's number.
        self.numbered: dict[int, Any] = {}

    @property
    def names(self) -> dict[bytes, bytes]:
        """Which symbol of the right side is which of the left, where only digests in the names tell them apart, or the
        directory of a file whose bytes they name."""
        return self._rename()

    def _rename(self) -> dict[bytes, bytes]:
        if self._names is None:
            self._names = renamed(self.left, self.right)
            if b"_binary_" in self.left.strings():
                self._names |= binary.paired(self.left.labels(), self.right.labels())
            self.right.rename({two: one for one, two in self._names.items()})
        return self._names

    def pieces(self, pair: Pair) -> Pieces:
        """Return the map of a section pair."""
        if pair.map is None:
            # Symbols are called alike before a map is made by them.
            self._rename()
            self.makers.pieces(self, pair)
        assert pair.map is not None
        return pair.map

    def forget(self) -> None:
        """Let what follows from the maps of sections be made anew."""
        self._addresses = self._still = None

    @property
    def go(self) -> Any:
        """What two Go programs say about themselves, None where they are none."""
        if not self._go:
            self._go.append(None)
            self._go[0] = self.makers.go(self)
        return self._go[0]

    def code(self) -> list[Pair]:
        """Return the pairs of code, whatever tables say that they are code."""
        tables = (b".eh_frame", b".debug_")
        return [
            p for p in self.pairs if p.one.code and p.one.stored and p.two.stored and not p.one.name.startswith(tables)
        ]

    def linked(self, pair: Pair) -> tuple[Section | None, Section | None]:
        """Return what the sh_link of two sections says belongs to them. Where that is no pair one of them was changed, as
        its header tells: then the pair of the one that is such a table."""
        one, two = self.left.image.linked(pair.one), self.right.image.linked(pair.two)
        if one is None or two is None or self.to_right.get(one.number) == two.number:
            return one, two
        kinds = {SHT_SYMTAB, SHT_DYNSYM} if pair.one.type in {SHT_REL, SHT_RELA} else {SHT_STRTAB}
        others = (self.by_index.get(one.number), next((p for p in self.pairs if p.two.number == two.number), None))
        found = next((p for p in others if p is not None and p.one.type == p.two.type and p.one.type in kinds), None)
        return (found.one, found.two) if found is not None else (one, two)

    def pair(self, name: bytes) -> Pair | None:
        """Return the first section pair of a name."""
        return next((pair for pair in self.pairs if pair.one.name == name), None)

    def told(self, left: Any, right: Any) -> Any:
        """Tell of pairs of addresses, as arrays, for which it is known what the other one would have to be."""
        found = self.addresses.covered(left)
        return found | self.reverse.covered(right) if self.reverse is not None else found

    def section_at(self, address: int) -> Pair | None:
        """Return the allocated section pair in which a left address lies."""
        for pair in self.pairs:
            if pair.one.mapped and pair.one.place <= address < pair.one.place + pair.one.size:
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
            loaded = [pair for pair in self.pairs if pair.one.mapped and pair.two.mapped]
            self._still = all(pair.one.addr == pair.two.addr and self.pieces(pair).identity for pair in loaded)
        return self._still

    def leads(self, places: Any, ones: Any, twos: Any) -> Any:
        """Tell of the targets of references whether they are the same place, the end of the same thing or the same text."""
        found = self.addresses.same(ones, twos)
        if len(self.ends):
            found |= among(places, self.ends) & (self.addresses.to(ones - 1) == twos - 1)
        if len(self.copies):
            found |= among(places, self.copies)
        return found

    def back(self, right: int) -> int:
        """Return the left address of a right one, -1 where nothing corresponds exactly."""
        for pair in self.pairs:
            if pair.two.mapped and pair.two.place <= right < pair.two.place + pair.two.size:
                offset = right - pair.two.place
                for piece in self.pieces(pair).pieces:
                    if piece.equal and piece.r0 <= offset < piece.r1:
                        return piece.l0 + offset - piece.r0 + pair.one.place
        return -1

    @property
    def addresses(self) -> Addresses:
        """The map of the address spaces: of all that is loaded."""
        if self._addresses is None:
            self._addresses = self.makers.addresses(self)
        return self._addresses

    @property
    def reverse(self) -> Addresses | None:
        """The map of the address spaces from right to left, None where it tells no more."""
        if self._reverse is None and self.makers.reverse is not None:
            self._reverse = self.makers.reverse(self)
        return self._reverse

    def pointing(self, addresses: Addresses) -> bool:
        """Tell whether the global pointers of both sides are as far behind or before what corresponds as linkers place
        them."""
        one, two = self.left.pointer, self.right.pointer
        return bool(one and two) and any(addresses.one(one + far, two + far) for far in POINTER_FAR)

    def reaches(self, ones: Any, twos: Any) -> Any:
        """Tell of the targets of references whether they are the global pointers of both sides, if these correspond."""
        if self._pointed is None:
            self._pointed = self.pointing(self.addresses)
        if not self._pointed:
            return np.zeros(len(ones), bool)
        return (ones == self.left.pointer) & (twos == self.right.pointer)


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
