"""Which differing words of an image are addresses of the same thing on both sides, and which stayed although it moved.

An image says itself where its addresses are; only where it has no base relocations any aligned word may be one.
"""

from typing import Any

import numpy as np

from reprodiff.formats.pe.sides import PeBoth
from reprodiff.formats.program import debug
from reprodiff.formats.program.code import displacements, follow
from reprodiff.formats.program.names import EM_386, EM_X86_64, ET_REL, SHF_WRITE
from reprodiff.formats.program.pointers import jump_tables
from reprodiff.formats.program.sides import Pair
from reprodiff.formats.program.words import Check, Differing, among, gather

EMPTY = np.zeros(0, np.int64)
# Relocations of objects by what they put into 4 bytes: an address, a distance, an offset in a section; and into 8.
WORDS = {EM_X86_64: (2, 3, 4, 5, 6, 7, 8, 9, 11), EM_386: (6, 7, 11, 20)}
LONG = {EM_X86_64: 1}


def places(both: PeBoth, pair: Pair, *, relative: bool) -> tuple[Any, Any] | None:
    """Return the offsets of addresses in both sections, absolute or relative to the base; None where no side says."""
    found = []
    for side, section in ((both.left, pair.one), (both.right, pair.two)):
        said = side.references_of.relative if relative else side.references_of.pointers
        if said is None:
            return None
        found.append(said.get(section.number, EMPTY))
    return found[0], found[1]


def at(right: Any, check: Check) -> Check:
    """Return a check for places that the right side must name as well."""

    def checked(starts: Any, others: Any, ones: Any, twos: Any) -> Any:
        return among(others, right) & check(starts, others, ones, twos)

    return checked


def decide(both: PeBoth, pair: Pair, found: Differing) -> None:
    """Accept every word of a section that refers to the same thing on both sides."""
    one, two = pair.one, pair.two
    if not one.alloc:
        debug.decide(both, pair, found)
        if both.left.image.type == ET_REL:
            _addends(both, pair, found)
        return
    if both.left.image.type == ET_REL:
        _addends(both, pair, found)
        return
    machine, word = both.left.image.machine, both.left.image.word
    addresses = both.addresses

    def absolute(_starts: Any, _others: Any, ones: Any, twos: Any) -> Any:
        if word == 4:
            ones, twos = ones & 0xFFFFFFFF, twos & 0xFFFFFFFF
        return addresses.same(ones, twos)

    known = places(both, pair, relative=False)
    if known is not None:
        found.accept_fields(known[0], at(known[1], absolute), word)
    known_relative = places(both, pair, relative=True)
    if known_relative is not None:
        found.accept_fields(known_relative[0], at(known_relative[1], _to(both)))
    if one.code:
        if not both.x86:
            follow(both, pair, found)
        if both.x86 and not both.still:
            # What is weak and not there is called at address 0.
            plain = displacements(
                both, pair, found, lambda _at, left, right: addresses.same(left, right) | ((left == 0) & (right == 0))
            )
            if machine == EM_386 and found.open.any():
                tables = both.left.handled(one), both.right.handled(two)
                found.accept_fields(tables[0], at(tables[1], lambda s, o, ones, twos: addresses.same(
                    one.place + s + ones, two.place + o + twos)))  # fmt: skip
            if known is None and machine == EM_386:
                found.accept_fields(plain, absolute)
        return
    if known is None:
        found.accept(word, word, one.addr, absolute)
    if one.name.startswith((b".xdata", b".eh_frame", b".gcc_except")):
        # What a handler is given: distances and addresses relative to the base.
        found.accept(4, 4 if one.name == b".xdata" else 1, one.addr, lambda s, o, ones, twos: addresses.same(
            one.place + s + ones, two.place + o + twos), signed=True)  # fmt: skip
        if one.name == b".xdata":
            found.accept(4, 4, one.addr, _to(both))
    if one.name == b".eh_frame":
        found.accept(4, 4, one.addr, lambda s, o, ones, twos: (both.pieces(pair).to(s - ones) == o - twos) & (ones > 0),
                     signed=True)  # fmt: skip
    if not one.flags & SHF_WRITE:
        jump_tables(both, pair, found)


def _to(both: PeBoth) -> Check:
    """Return a check for addresses relative to the base; the end of what grew is that of its last byte."""
    addresses = both.addresses
    left, right = both.base

    def check(_starts: Any, _others: Any, ones: Any, twos: Any) -> Any:
        ones, twos = (ones & 0xFFFFFFFF) + left, (twos & 0xFFFFFFFF) + right
        return addresses.same(ones, twos) | addresses.same(ones - 1, twos - 1)

    return check


def stale(both: PeBoth, pair: Pair, found: Differing) -> list[tuple[int, int, int]]:
    """Return (left offset, right offset, size) of addresses that are the same although what they led to moved."""
    rows: list[tuple[int, int, int]] = []
    if both.left.image.type == ET_REL or not pair.one.alloc or both.still:
        return rows
    word = both.left.image.word
    for relative, width in ((False, word), (True, 4)):
        known = places(both, pair, relative=relative)
        if known is None or not len(known[0]):
            continue
        starts = known[0][known[0] + width <= len(found.left)]
        others = both.pieces(pair).to(starts)
        whole = (others >= 0) & (others + width <= len(found.right)) & among(others, known[1])
        starts, others = starts[whole], others[whole]
        ones = gather(found.left, starts, width, "<", False)
        twos = gather(found.right, others, width, "<", False)
        add = both.base if relative else (0, 0)
        fine = both.addresses.same(ones + add[0], twos + add[1])
        if relative:
            fine |= both.addresses.same(ones + add[0] - 1, twos + add[1] - 1)
        bad = (ones == twos) & both.told(ones + add[0], twos + add[1]) & ~fine
        rows += [(int(a), int(b), width) for a, b in zip(starts[bad], others[bad], strict=True)]
    return rows


def _addends(both: PeBoth, pair: Pair, found: Differing) -> None:
    """Accept the addends of relocations of objects that count from the start of a section (section 5.2)."""
    sides = []
    for side, section in ((both.left, pair.one), (both.right, pair.two)):
        view = side.view
        rows = relocations(view, section.number)
        symbols = view.numbered
        rows = zip(rows["at"].tolist(), rows["type"].tolist(), rows["symbol"].tolist(), strict=True)
        sides.append({at: (kind, symbols[number]) for at, kind, number in rows if number in symbols})
    machine = both.left.image.machine
    for width, kinds in ((4, WORDS.get(machine, ())), (8, (LONG.get(machine, -1),))):
        wanted = np.array(sorted(at for at, (kind, _entry) in sides[0].items() if kind in kinds), np.int64)

        def check(starts: Any, others: Any, ones: Any, twos: Any) -> Any:
            fits = np.zeros(len(starts), bool)
            for index, (a, b) in enumerate(zip(starts.tolist(), others.tolist(), strict=True)):
                one, two = sides[0].get(a), sides[1].get(b)
                if one is None or two is None or one[0] != two[0] or one[1].section <= 0:
                    continue
                target = both.by_index.get(one[1].section)
                if target is None or target.two.number != two[1].section:
                    continue
                place = np.array([one[1].value + int(ones[index])], np.int64)
                fits[index] = int(both.pieces(target).to(place)[0]) == two[1].value + int(twos[index])
            return fits

        found.accept_fields(wanted, check, width)


def relocations(view: Any, number: int) -> Any:
    """Return the relocations of a section of an object as a structured array (section 5.2)."""
    header = view.headers[number - 1]
    raw = (
        view.source.read(header.relocations, header.relocations + 10 * header.relocated) if header.relocations else b""
    )
    dtype = np.dtype([("at", "<u4"), ("symbol", "<u4"), ("type", "<u2")])
    return np.frombuffer(raw[: len(raw) // 10 * 10], dtype)
