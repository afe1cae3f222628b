"""Maps of what describes functions: records of frame tables, and units of debug information."""

from typing import Any

import numpy as np

from reprodiff.formats.program.image import Section
from reprodiff.formats.program.pieces import Piece
from reprodiff.formats.program.side import Side
from reprodiff.formats.program.sides import Both, Pair
from reprodiff.formats.program.units import abbreviations, based, reordered


def frames(both: Both, pair: Pair) -> list[Piece] | None:
    """Align the records of a frame table by the functions that they describe; None where these did not move."""
    code = both.code()
    maps = [both.pieces(p) for p in code]
    a, b = both.left.data(pair.one), both.right.data(pair.two)
    if all(pieces.identity for pieces in maps) and len(a) == len(b):
        return None

    def rows(side: Side, section: Section) -> list[tuple[int, int, int | None]]:
        places = dict(zip(*(column.tolist() for column in side.described(section)), strict=True))
        return [
            (start, stop, section.addr + places[start] if start in places else None)
            for start, stop, _pointer in side.records(section).tolist()
        ]

    ones, twos = rows(both.left, pair.one), rows(both.right, pair.two)
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


def _filled_up(one: bytes, two: bytes) -> bool:
    """Tell whether one of two frame records is the other and more zeros, which do nothing."""
    most = min(len(one), len(two))
    return len(one) != len(two) and not (one[most:] + two[most:]).strip(b"\0")


def units(both: Both, pair: Pair) -> list[Piece] | None:
    """Align units of debug information that stand in another order by the functions that they describe; None where
    code did not move."""
    code = both.code()
    maps = [both.pieces(p) for p in code]
    if not any(p.moved for p in code):
        return None
    functions = {
        piece.l0 + p.one.addr: piece.r0 + p.two.addr
        for p, pieces in zip(code, maps, strict=True)
        for piece in pieces.pieces
        if piece.name is not None and piece.r1 > piece.r0
    }
    image = both.left.image
    through = {b".debug_abbrev": abbreviations, b".debug_str_offsets": based}.get(pair.one.name)
    info = both.pair(b".debug_info")
    if through is not None and info is not None and info.one.stored and info.two.stored:
        data = [
            (side.data(first), side.data(second))
            for side, first, second in ((both.left, info.one, pair.one), (both.right, info.two, pair.two))
        ]
        found = through(data[0], data[1], image.order, both.pieces(info))
        if found is not None or through is abbreviations:
            return found
    return reordered(both.left.data(pair.one), both.right.data(pair.two), image.order, image.word, functions)
