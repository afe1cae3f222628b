"""Both files side by side: what the shared comparison of programs asks, answered from Mach-O symbols."""

from typing import Any

import numpy as np

from reprodiff.budget import Budget
from reprodiff.formats.macho.view import N_SECT, N_STAB, N_TYPE, View
from reprodiff.formats.program import debug, maps
from reprodiff.formats.program.code import displacements, follow
from reprodiff.formats.program.pieces import Pieces, Symbol, identity
from reprodiff.formats.program.pointers import jump_tables
from reprodiff.formats.program.side import Side
from reprodiff.formats.program.sides import Both, Makers, Pair
from reprodiff.formats.program.words import Addresses, Differing

HEADERS = 32


class MachoSide(Side):
    """One file."""

    def __init__(self, view: View, budget: Budget) -> None:
        super().__init__(view, budget)
        self.view = view

    @property
    def stripped(self) -> bool:
        """Whether symbols name no function."""
        return not any(self.named(section) for section in self.view.sections if section.code)

    def _symbols(self) -> dict[int, list[Symbol]]:
        found: dict[int, list[Symbol]] = {}
        seen: dict[bytes, int] = {}
        for name, kind, number, value in self.view.entries():
            if kind & N_STAB or kind & N_TYPE != N_SECT or not 0 < number < len(self.view.sections):
                continue
            section = self.view.sections[number]
            start = value - section.addr
            # Literals are told by their content.
            if 0 <= start <= section.size and not section.strings:
                seen[name] = seen.get(name, 0) + 1
                found.setdefault(number, []).append(Symbol(start, 0, (name, b"", seen[name])))
        for rows in found.values():
            rows.sort()
        return found

    def _listed(self) -> list[tuple[int, int]]:
        """Return (address, size) of all functions."""
        starts = self.view.functions()
        found = []
        for section in self.view.sections:
            if section.code:
                inside = [start for start in starts if section.addr <= start < section.addr + section.size]
                ends = [*inside[1:], section.addr + section.size]
                found += [(start, end - start) for start, end in zip(inside, ends, strict=False)]
        return sorted(found)


class MachoBoth(Both):
    """Two files."""

    left: MachoSide
    right: MachoSide


def sides(left: View, right: View, budget: Budget) -> MachoBoth:
    """Put two files side by side."""
    return MachoBoth(MachoSide(left, budget), MachoSide(right, budget), Makers(pieces, addresses, maps.go))


def pieces(both: MachoBoth, pair: Pair) -> None:
    """Make the map of a section pair."""
    if pair.one.alloc and not both.begun:
        both.begun = True
        maps.code(both)
    maps.pieces(both, pair)


def addresses(both: MachoBoth) -> Addresses:
    """Return the map of all that is loaded, with the headers before it."""
    loaded = [p for p in both.pairs if p.one.alloc and p.one.size and p.two.size]
    parts = [(p.one.addr, p.one.size, p.two.addr, p.two.size, both.pieces(p)) for p in loaded]
    bases = both.left.view.base, both.right.view.base
    if all(part[0] >= bases[0] + HEADERS for part in parts):
        parts.append((bases[0], HEADERS, bases[1], HEADERS, Pieces(identity(HEADERS, HEADERS))))
    return Addresses(parts)


def decide(both: MachoBoth, pair: Pair, found: Differing) -> None:
    """Accept every word of a section that refers to the same thing on both sides."""
    one, two = pair.one, pair.two
    if not one.alloc:
        debug.decide(both, pair, found)
        return
    addresses, word = both.addresses, both.left.image.word
    bases = both.left.view.base, both.right.view.base

    def apart(starts: Any, others: Any, ones: Any, twos: Any) -> Any:
        return addresses.same(one.addr + starts + ones, two.addr + others + twos)

    words = np.array(both.left.view.targets(one), np.int64)
    if len(words) and np.array_equal(both.pieces(pair).to(words), np.array(both.right.view.targets(two), np.int64)):
        found.accept_fields(words, lambda _s, _o, ones, twos: addresses.same(ones, twos))
    if one.code:
        if not both.x86:
            follow(both, pair, found)
        if both.x86 and not both.still:
            displacements(both, pair, found, lambda _at, left, right: addresses.same(left, right))
        return
    found.accept(word, word, one.addr, lambda _s, _o, ones, twos: addresses.same(ones, twos))
    name = one.name.rpartition(b",")[2]
    if name == b"__eh_frame":
        found.accept(word, 1, one.addr, apart, signed=True)
        found.accept(4, 4, one.addr, lambda s, o, ones, twos: (both.pieces(pair).to(s - ones) == o - twos) & (ones > 0),
                     signed=True)  # fmt: skip
    if name in {b"__eh_frame", b"__gcc_except_tab"}:
        found.accept(4, 1, one.addr, apart, signed=True)
    if name == b"__unwind_info":
        found.accept(4, 4, one.addr, lambda _s, _o, ones, twos: addresses.same(ones + bases[0], twos + bases[1]))
    jump_tables(both, pair, found)
