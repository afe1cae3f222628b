"""Which unit of debug information is which on the other side."""

from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np

from reprodiff.formats.program.dwarf import units
from reprodiff.formats.program.linehead import align
from reprodiff.formats.program.pieces import PRINTED, Piece, by_content
from reprodiff.formats.program.words import among, gather

Range = tuple[int, int]
STEP = 1 << 20
# Bytes of units that are held against each other.
ALIKE_MAX = 1 << 26
# Larger units are not searched for addresses as long as something else tells them apart.
SMALL = 1 << 14
# How far from its start the first entry of a unit has its bases.
NEAR = 96


def rows_of_units(data: bytes, order: str) -> list[Range]:
    """Return where the units of a section lie; [] where they do not make up all of it."""
    found = [(start, stop) for start, stop, *_ in units(data, order)]
    return found if found and found[-1][1] == len(data) else []


def inside_units(a: bytes, b: bytes, pairs: list[tuple[Range, Range]], lines: bool = False) -> list[Piece]:
    """Align what units that correspond hold by content; lines: they are those of .debug_line."""
    found: list[Piece] = []
    for (a0, a1), (b0, b1) in pairs:
        if a1 - a0 == b1 - b0:
            found.append(Piece(a0, a1, b0, b1))
            continue
        inside = align(a, (a0, a1), b, (b0, b1)) if lines else None
        if inside is not None:
            found += inside
            continue
        found.append(Piece(a0, a0 + 4, b0, b0 + 4))
        found += [
            Piece(a0 + 4 + p.l0, a0 + 4 + p.l1, b0 + 4 + p.r0, b0 + 4 + p.r1)
            for p in by_content(a[a0 + 4 : a1], b[b0 + 4 : b1], PRINTED)
        ]
    return found


def joined(pieces: list[Piece]) -> list[Piece]:
    """Join pieces that go on where the one before ends."""
    found: list[Piece] = []
    for piece in pieces:
        last = found[-1] if found else None
        if last and last.equal and piece.equal and last.l1 == piece.l0 and last.r1 == piece.r0:
            found[-1] = Piece(last.l0, piece.l1, last.r0, piece.r1)
        else:
            found.append(piece)
    return found


def reordered(a: bytes, b: bytes, order: str, word: int, functions: dict[int, int]) -> list[Piece] | None:
    """Align units that may stand in another order: equal ones, then those that hold the same addresses, then the rest.

    functions: left to right address of every function; word: size of an address in bytes. None where the sections do
    not consist of as many units, or these stand in order.
    """
    ones, twos = rows_of_units(a, order), rows_of_units(b, order)
    if len(ones) != len(twos) or len(ones) < 2:
        return None
    twin: dict[int, int] = {}
    taken: set[int] = set()

    def pair(i: int, j: int) -> None:
        twin[i] = j
        taken.add(j)

    same: dict[bytes, list[int]] = {}
    for j in reversed(range(len(twos))):
        same.setdefault(b[slice(*twos[j])], []).append(j)
    for i, one in enumerate(ones):
        places = same.get(a[slice(*one)])
        if places:
            pair(i, places.pop())
    lefts, rights = np.array(sorted(functions), np.int64), np.array(sorted(functions.values()), np.int64)
    sizes: dict[int, tuple[list[int], list[int]]] = {}
    for i, (start, stop) in enumerate(ones):
        if i not in twin:
            sizes.setdefault(stop - start, ([], []))[0].append(i)
    for j, (start, stop) in enumerate(twos):
        if j not in taken:
            sizes.setdefault(stop - start, ([], []))[1].append(j)
    for size, (here, there) in sizes.items():
        if len(here) * len(there) * size > ALIKE_MAX:
            continue
        # Those of a size that have the same addresses, or most in common.
        views = [[np.frombuffer(data, np.uint8, size, rows[k][0]) for k in group]
                 for data, rows, group in ((a, ones, here), (b, twos, there))]  # fmt: skip
        several = size <= SMALL and len(here) > 1
        held = [
            Counter(functions[at] for at in _held(a, ones[i], word, order, lefts)) if several else Counter()
            for i in here
        ]
        others = [Counter(_held(b, twos[j], word, order, rights)) if several else Counter() for j in there]
        scores = [
            ((held[x] & others[y]).total(), int((one == two).sum()), -abs(x - y), i, j)
            for x, (i, one) in enumerate(zip(here, views[0], strict=True))
            for y, (j, two) in enumerate(zip(there, views[1], strict=True))
        ]
        for shared, score, _near, i, j in sorted(scores, reverse=True):
            if (shared or 2 * score >= size) and i not in twin and j not in taken:
                pair(i, j)
    homes: dict[int, int] = {}
    for j in sorted(set(range(len(twos))) - taken):
        for address in _held(b, twos[j], word, order, rights):
            homes.setdefault(address, j)
    for i in range(len(ones)):
        if i not in twin:
            votes = Counter(homes.get(functions[address], -1) for address in _held(a, ones[i], word, order, lefts))
            best = [j for j, _count in votes.most_common() if j >= 0 and j not in taken]
            if best:
                pair(i, best[0])
    rest = [j for j in range(len(twos)) if j not in taken]
    for i in range(len(ones)):
        if i not in twin:
            twin[i] = rest.pop(0)
    if all(i == j for i, j in twin.items()):
        return None
    return joined(inside_units(a, b, [(ones[i], twos[twin[i]]) for i in range(len(ones))]))


def based(left: tuple[bytes, bytes], right: tuple[bytes, bytes], order: str, pieces: Any) -> list[Piece] | None:
    """Align units whose first entry the units of .debug_info name near their own start (DW_AT_str_offsets_base): as those
    correspond. left, right: (.debug_info, the other section); pieces: the map of the first."""
    sides = []
    for info, other in (left, right):
        rows = rows_of_units(other, order)
        # Behind length, version and padding (7.26).
        bases = {start + 8: (start, stop) for start, stop in rows}
        found = {}
        for start, stop in rows_of_units(info, order):
            view = np.frombuffer(info[start + 11 : min(start + 11 + NEAR, stop)], np.uint8)
            values = gather(view, np.arange(max(len(view) - 3, 0)), 4, order, signed=False).tolist()
            found[start] = next((bases[value] for value in values if value in bases), None)
        used = [row for row in found.values() if row is not None]
        if sorted(used) != sorted(rows) or not rows:
            return None
        sides.append(found)
    firsts = list(sides[0])
    moved = pieces.to(np.array(firsts, np.int64)).tolist()
    rows_found = []
    for one, two in zip(firsts, moved, strict=True):
        a, b = sides[0][one], sides[1].get(two)
        if (a is None) != (b is None):
            return None
        if a is not None and b is not None:
            rows_found.append((a, b))
    return joined(inside_units(left[1], right[1], sorted(rows_found)))


def abbreviations(left: tuple[bytes, bytes], right: tuple[bytes, bytes], order: str, pieces: Any) -> list[Piece] | None:
    """Align the tables of abbreviations of units that correspond: (.debug_info, .debug_abbrev) of both sides and the map
    of the first. None where they stand in order, or not each of them is of one unit."""
    starts = []
    for info, _tables in (left, right):
        found = {}
        for start, _stop, width, version in units(info, order):
            if width == 4:
                # Behind the version, from DWARF 5 on two bytes further (7.5.1).
                at = start + (8 if version >= 5 else 6)
                found[start] = int.from_bytes(info[at : at + 4], "little" if order == "<" else "big")
        starts.append(found)
    stops = []
    for found, (_info, tables) in zip(starts, (left, right), strict=True):
        bounds = sorted({*found.values(), len(tables)})
        if len(bounds) != len(found) + 1 or bounds[0] != 0:
            return None
        stops.append(dict(pairwise(bounds)))
    firsts = list(starts[0])
    moved = pieces.to(np.array(firsts, np.int64)).tolist() if firsts else []
    if sorted(moved) != sorted(starts[1]):
        return None
    rows = sorted((starts[0][i], starts[1][j]) for i, j in zip(firsts, moved, strict=True))
    return joined([Piece(a, stops[0][a], b, stops[1][b]) for a, b in rows])


def _held(data: bytes, row: Range, word: int, order: str, wanted: Any) -> list[int]:
    """Return which of the wanted addresses stand in a range, at any offset."""
    found: list[int] = []
    for start in range(row[0], row[1] - word + 1, STEP):
        piece = np.frombuffer(data[start : min(start + STEP + word - 1, row[1])], np.uint8)
        values = gather(piece, np.arange(len(piece) - word + 1), word, order, signed=False)
        found += values[among(values, wanted)].tolist()
    return found
