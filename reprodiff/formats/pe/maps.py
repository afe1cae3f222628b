"""Who makes the maps of the sections and address spaces of two images or objects."""

from bisect import bisect_right

from reprodiff.budget import Budget
from reprodiff.formats.pe.sides import PeBoth, Span
from reprodiff.formats.pe.view import View
from reprodiff.formats.program import maps
from reprodiff.formats.program.anchors import refine
from reprodiff.formats.program.names import ET_REL, SHF_WRITE
from reprodiff.formats.program.pieces import Piece, Pieces, by_content, identity, permuted
from reprodiff.formats.program.sides import Makers, Pair
from reprodiff.formats.program.words import Addresses

# So much behind the end of a section moves with it: linkers put symbols there.
BEHIND = 16
HEADERS = 64


def sides(left: View, right: View, budget: Budget) -> PeBoth:
    """Put two files side by side."""
    return PeBoth(left, right, budget, Makers(pieces, addresses, maps.go, reverse))


def pieces(both: PeBoth, pair: Pair) -> None:
    """Make the map of a section pair."""
    plain = pair.one.alloc and not pair.one.code and pair.one.stored and pair.two.stored
    if plain and not pair.one.name.startswith(b".eh_frame"):
        found = _data(both, pair)
        a, b = both.left.data(pair.one), both.right.data(pair.two)
        pair.take(found, a, b)
        if found is not None and not pair.one.flags & SHF_WRITE and len(found) > 1:
            pair.take(refine(both, pair, found, a, b), a, b)
    if pair.one.alloc and not both.begun:
        both.begun = True
        maps.code(both)
    maps.pieces(both, pair)


def _data(both: PeBoth, pair: Pair) -> list[Piece] | None:
    """Align data between what the images say begins and ends there; None: as any section."""
    one, two = pair.one, pair.two
    a, b = both.left.data(one), both.right.data(two)
    fixed = _fixed(both, pair)
    if one.flags & SHF_WRITE and not fixed:
        return None
    if a == b or (one.flags & SHF_WRITE and len(a) == len(b) and all(x == y for x, y in fixed)):
        both.described[one.number] = [row for row in both.wanted.get(one.number, []) if row[0] == row[1]]
        return [Piece(0, len(a), 0, len(b))] if len(a) == len(b) and a else None
    places = {key: (start, stop) for start, stop, key in both.right.parts(two)}
    parts = [((start, stop), places[key]) for start, stop, key in both.left.parts(one) if key in places]
    wanted = both.wanted.get(one.number, [])
    found: list[Piece] = []
    described: list[tuple[Span, Span]] = []
    last = 0, 0
    ends = ((len(a), len(a)), (len(b), len(b)))
    marked = both.left.marked(one), both.right.marked(two)
    for row in [*_monotone(fixed), ends]:
        (a0, a1), (b0, b1) = row
        found += _between(*marked, (last[0], a0, last[1], b0), parts)
        if a1 > a0 and b1 > b0:
            found.append(Piece(a0, a1, b0, b1))
        if row in wanted:
            described.append(row)
        last = a1, b1
    both.described[one.number] = described
    return found


def _fixed(both: PeBoth, pair: Pair) -> list[tuple[Span, Span]]:
    """Return the spans of what surely corresponds: described parts of the trees, and tables of the images."""
    if both.left.view.type == ET_REL:
        return []
    found = list(both.wanted.get(pair.one.number, []))
    rights = {
        t.key: t for t in both.right.references_of.tables if t.section == pair.two.number and t.key[0] != b"unwind"
    }
    unwinds = {
        t.key: t for t in both.right.references_of.tables if t.section == pair.two.number and t.key[0] == b"unwind"
    }
    twins: dict[int, int] | None = None
    for table in both.left.references_of.tables:
        if table.section != pair.one.number:
            continue
        other = rights.get(table.key)
        if table.key[0] == b"unwind":
            if twins is None:
                twins = both.unwound()
            other = unwinds.get((b"unwind", b"%d" % twins.get(int(table.key[1]), -1)))
        if other is not None:
            found.append(((table.start, table.stop), (other.start, other.stop)))
    return sorted(found)


def addresses(both: PeBoth) -> Addresses:
    """Return the map of all that is loaded, with the headers before it and a little behind the end of each section."""
    return Addresses(_areas(both))


def _areas(both: PeBoth) -> list[tuple[int, int, int, int, Pieces]]:
    loaded = [p for p in both.pairs if p.one.alloc and p.one.size and p.two.size]
    parts = [(p.one.place, p.one.size, p.two.place, p.two.size, both.pieces(p)) for p in loaded]
    around = Pieces(identity(HEADERS, HEADERS)), Pieces(identity(BEHIND, BEHIND))
    starts = sorted(p[0] for p in parts), sorted(p[2] for p in parts)
    parts.append((both.base[0], HEADERS, both.base[1], HEADERS, around[0]))
    for place, size, other, length, _pieces in parts[:-1]:
        if _free(starts[0], place + size) and _free(starts[1], other + length):
            parts.append((place + size, BEHIND, other + length, BEHIND, around[1]))
    return parts


def reverse(both: PeBoth) -> Addresses:
    """Return the map of the address spaces from right to left."""
    return Addresses([
        (other, length, place, size, Pieces([Piece(p.r0, p.r1, p.l0, p.l1) for p in pieces.pieces if p.r1 > p.r0]))
        for place, size, other, length, pieces in _areas(both)
    ])  # fmt: skip


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
