"""What code and pointers refer to says where the things in read-only data begin: texts without an end, tables, numbers.

Such things stand one behind the other without a bound of their own. Where a reference on the left and its counterpart
on the right lead into a stretch that has no content in common as a whole, both ends of it are cut there. What lies
between two cuts is still compared byte by byte: a reference says what corresponds, never that it is the same.
"""

import itertools
from bisect import bisect_left
from typing import Any

import numpy as np

from reprodiff.formats.program.machines import eight, x86
from reprodiff.formats.program.names import EM_X86_64, ET_EXEC, ET_REL, SHF_WRITE, SHT_PROGBITS
from reprodiff.formats.program.pieces import PRINTED, Piece, Pieces, by_content, texts, unlike
from reprodiff.formats.program.sides import Both, Pair
from reprodiff.formats.program.words import among, displaced, distinct_rows, gather
from reprodiff.spans import common_prefix, common_suffix

# What both have in common between two stretches that differ: so little says nothing about what corresponds.
BETWEEN_MAX = 64
# How far from a reference the length of a text may stand in code, and how long a text may be.
NEAR, LENGTH_MAX = 32, 1 << 16
LENGTHS_MAX = 2000


def refine(both: Both, pair: Pair, pieces: list[Piece], left: bytes, right: bytes) -> list[Piece]:
    """Return the pieces of read-only data with those that have no content in common cut at what is referred to."""
    if all(left[p.l0 : p.l1] == right[p.r0 : p.r1] for p in pieces if p.name is None):
        return pieces
    if pair.one.flags & SHF_WRITE or pair.one.type != SHT_PROGBITS or both.left.image.type == ET_REL:
        return pieces
    areas, rest = _areas(pieces, left, right)
    if not areas:
        return pieces
    begins, ends = _pairs(both, pair)
    known = begins.tolist(), ends.tolist()
    found = list(rest)
    for area in areas:
        l0, l1, r0, r1 = area[0].l0, area[-1].l1, area[0].r0, area[-1].r1
        cut = _cut(left, right, (l0, l1, r0, r1), *known)
        found += cut if _open(cut, left, right) < _open(area, left, right) else area
    return _across(found, left, right, begins, ends)


def _across(pieces: list[Piece], left: bytes, right: bytes, begins: Any, ends: Any) -> list[Piece]:
    """Pair what is left over where references say that it stands elsewhere: linkers sort constants by their digests."""
    rest = [p for p in pieces if p.name is not None or (p.l1 > p.l0 and left[p.l0 : p.l1] == right[p.r0 : p.r1])]
    kept = set(map(id, rest))
    odd = [p for p in pieces if id(p) not in kept]
    ranges = _merged([(p.l0, p.l1) for p in odd]), _merged([(p.r0, p.r1) for p in odd])
    if not ranges[0] or not ranges[1]:
        return pieces
    rows = np.concatenate([begins, ends])
    inside = _within(ranges[0], rows[:, 0]) & _within(ranges[1], rows[:, 1])
    twins: dict[int, int] = dict(rows[inside].tolist())
    if not twins:
        return pieces
    sure = set(begins[:, 0].tolist())
    taken = set(twins.values())
    for p in odd:
        if p.l1 > p.l0 and p.r1 > p.r0 and p.l0 not in twins and p.r0 not in taken:
            twins[p.l0] = p.r0
            taken.add(p.r0)
    cut: list[Piece] = []
    ones, twos = _segments(ranges[0], twins.keys()), _segments(ranges[1], twins.values())
    for a, a1 in ones.items():
        b = twins.get(a)
        b1 = twos.get(b) if b is not None else None
        if b is None or b1 is None or (a in sure and not _begins(left[a:a1], right[b:b1])):
            cut.append(Piece(a, a1, 0, 0))
            continue
        cut += [Piece(a + p.l0, a + p.l1, b + p.r0, b + p.r1) for p in _block(left[a:a1], right[b:b1], a, b)]
    covered = {p.r0 for p in cut if p.r1 > p.r0}
    paired = {twins[a] for a in ones if a in twins}
    cut += [Piece(0, 0, b, b1) for b, b1 in twos.items() if b not in paired or b not in covered]
    old, new = (_score(rows_of, left, right, rows[inside]) for rows_of in (odd, cut))
    return rest + cut if new < old else pieces


def _score(pieces: list[Piece], left: bytes, right: bytes, rows: Any) -> tuple[int, int]:
    """Return how many bytes differ, and how many references lead to something else."""
    found = Pieces(pieces)
    return _open(pieces, left, right), int((found.to(rows[:, 0]) != rows[:, 1]).sum())


def _merged(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for start, stop in sorted(ranges):
        if stop > start and found and found[-1][1] == start:
            found[-1] = found[-1][0], stop
        elif stop > start:
            found.append((start, stop))
    return found


def _within(ranges: list[tuple[int, int]], places: Any) -> Any:
    starts, stops = (np.array(column, np.int64) for column in zip(*ranges, strict=True))
    index = np.searchsorted(starts, places, "right") - 1
    return (index >= 0) & (places < stops[np.maximum(index, 0)])


def _segments(ranges: list[tuple[int, int]], cuts: Any) -> dict[int, int]:
    """Return where the stretches end that ranges are cut into, by where they begin."""
    found: dict[int, int] = {}
    places = sorted(cuts)
    for start, stop in ranges:
        inside = places[bisect_left(places, start + 1) : bisect_left(places, stop)]
        bounds = [start, *inside, stop]
        found.update(itertools.pairwise(bounds))
    return found


def _open(pieces: list[Piece], left: bytes, right: bytes) -> int:
    """Count the bytes of pieces that differ, except for the common ends of those that are not equally long."""
    total = 0
    for p in pieces:
        a, b = left[p.l0 : p.l1], right[p.r0 : p.r1]
        if a == b or not (a.strip(b"\0") or b.strip(b"\0")):
            continue
        if p.equal:
            total += unlike(a, b)
        else:
            most = min(len(a), len(b))
            tail = common_suffix(a, b, most)
            total += max(len(a), len(b)) - tail - common_prefix(a[: len(a) - tail], b[: len(b) - tail])
    return total


def _areas(pieces: list[Piece], left: bytes, right: bytes) -> tuple[list[list[Piece]], list[Piece]]:
    """Return runs of neighbouring pieces that begin and end with a difference, and all other pieces."""
    areas: list[list[Piece]] = []
    rest: list[Piece] = []
    run: list[Piece] = []
    tail: list[Piece] = []

    def close() -> None:
        nonlocal run, tail
        if run:
            areas.append(run)
        rest.extend(tail)
        run, tail = [], []

    for piece in sorted(pieces, key=lambda p: (p.l0, p.r0)):
        last = (tail or run)[-1] if run else None
        if last is not None and (last.l1 != piece.l0 or last.r1 != piece.r0 or piece.name is not None):
            close()
        same = piece.name is not None or left[piece.l0 : piece.l1] == right[piece.r0 : piece.r1]
        if not same:
            run += [*tail, piece]
            tail = []
        elif not run:
            rest.append(piece)
        else:
            tail.append(piece)
            if piece.name is not None or sum(p.l1 - p.l0 for p in tail) > BETWEEN_MAX:
                close()
    close()
    return areas, rest


class _Found:
    """Where things begin on both sides, and where texts end that grew, as offsets in the section."""

    def __init__(self, both: Both, pair: Pair) -> None:
        self.sizes = pair.one.size, pair.two.size
        self.data = both.left.data(pair.one), both.right.data(pair.two)
        self.begins: list[Any] = [np.zeros((0, 2), np.int64)]
        self.ends: list[Any] = [np.zeros((0, 2), np.int64)]

    def add(self, ones: Any, twos: Any) -> None:
        self.begins.append(np.stack([ones, twos], 1))

    def lengths(self, ones: Any, twos: Any, first: Any, second: Any) -> None:
        """Take numbers beside references as the lengths of texts where they differ and the bytes there are text."""
        fits = (first != second) & (first > 0) & (second > 0) & (np.maximum(first, second) <= LENGTH_MAX)
        fits &= (ones >= 0) & (twos >= 0) & (ones + first <= self.sizes[0]) & (twos + second <= self.sizes[1])
        rows = np.stack([ones, twos, first, second], 1)[fits]
        for a, b, one, two in distinct_rows(rows)[:LENGTHS_MAX].tolist():
            if texts(self.data[0][a : a + one], self.data[1][b : b + two]):
                self.ends.append(np.array([[a + one, b + two]], np.int64))

    def pairs(self) -> tuple[Any, Any]:
        """Return (left, right) of what begins and of what ends, each one to one."""
        begins, ends = (_single(np.concatenate(rows), self.sizes) for rows in (self.begins, self.ends))
        known = among(ends[:, 0], begins[:, 0]) | among(ends[:, 1], begins[:, 1])
        return begins, ends[~known]


def _single(rows: Any, sizes: tuple[int, int]) -> Any:
    """Return the pairs of offsets within the section of which each side occurs once, in order."""
    rows = distinct_rows(rows[(rows >= 0).all(1) & (rows < np.array(sizes)).all(1)])
    return rows[_lone(rows[:, 0]) & _lone(rows[:, 1])]


def _lone(values: Any) -> Any:
    """Tell which numbers of an array occur once."""
    order = np.argsort(values)
    same = values[order[1:]] == values[order[:-1]]
    found = np.ones(len(values), bool)
    found[order[1:][same]] = found[order[:-1][same]] = False
    return found


def _pairs(both: Both, pair: Pair) -> tuple[Any, Any]:
    """Return what is referred to on both sides from corresponding places."""
    found = _Found(both, pair)
    for other in both.pairs:
        a, b = other.one, other.two
        if not a.alloc or not a.stored or not b.stored:
            continue
        if a.code and both.left.image.machine == EM_X86_64:
            _code(both, pair, other, found)
        elif other is pair and both.left.image.type == ET_EXEC:
            # Tables that are only read hold addresses as well where nothing needs a relocation.
            _words(both, pair, other, found)
        elif a.flags & SHF_WRITE and a.type == SHT_PROGBITS and (other.known or a.name != b".got"):
            _words(both, pair, other, found)
            _relocated(both, pair, other, found)
    return found.pairs()


def _code(both: Both, pair: Pair, other: Pair, found: _Found) -> None:
    """Add what instructions refer to."""
    a, b = other.one, other.two
    fields = both.left.sweep(a)
    at, end = fields.at[fields.kind == x86.RIP], fields.end[fields.kind == x86.RIP]
    data = np.frombuffer(both.left.data(a), np.uint8), np.frombuffer(both.right.data(b), np.uint8)
    targets = gather(data[0], at, 4, "<", True) + end + (a.place - pair.one.place)
    chosen = (targets >= 0) & (targets < pair.one.size)
    pieces = both.pieces(other)
    at, _to, targets, others = displaced(pieces, *data, at[chosen], end[chosen])
    targets, others = targets + (a.place - pair.one.place), others + (b.place - pair.two.place)
    found.add(targets, others)
    numbers = fields.at[fields.kind == x86.ABSOLUTE]
    if not len(numbers):
        return
    if both.left.image.type == ET_EXEC:
        there = pieces.to(numbers)
        whole = (there >= 0) & (there + 4 <= len(data[1]))
        places = numbers[whole], there[whole]
        ones, twos = (
            eight.address(raw, at, section.place) - target.place
            for raw, at, section, target in zip(data, places, (a, b), (pair.one, pair.two), strict=True)
        )
        chosen = (ones >= 0) & (ones < pair.one.size)
        found.add(ones[chosen], twos[chosen])
    first = np.searchsorted(numbers, at)
    for step in (-2, -1, 0, 1):
        index = first + step
        near = numbers[np.clip(index, 0, len(numbers) - 1)]
        there = pieces.to(near)
        fits = (index >= 0) & (index < len(numbers)) & (np.abs(near - at) <= NEAR) & (there >= 0)
        fits &= there + 4 <= len(data[1])
        values = gather(data[0], near[fits], 4, "<", True), gather(data[1], there[fits], 4, "<", True)
        found.lengths(targets[fits], others[fits], *values)


def _words(both: Both, pair: Pair, other: Pair, found: _Found) -> None:
    """Add what aligned words of data are addresses of on both sides, with the length that may stand behind each."""
    width, order = both.left.image.word, both.left.image.order
    data = np.frombuffer(both.left.data(other.one), np.uint8), np.frombuffer(both.right.data(other.two), np.uint8)
    first = -other.one.addr % width
    at = np.arange(first, max(len(data[0]) - width + 1, first), width, dtype=np.int64)
    ones = gather(data[0], at, width, order, False) - pair.one.place
    chosen = (ones >= 0) & (ones < pair.one.size)
    at, ones = at[chosen], ones[chosen]
    to = both.pieces(other).to(at)
    whole = (to >= 0) & (to + width <= len(data[1]))
    at, ones, to = at[whole], ones[whole], to[whole]
    twos = gather(data[1], to, width, order, False) - pair.two.place
    found.add(ones, twos)
    _behind(data, at, to, ones, twos, width, order, found)


def _behind(data: Any, at: Any, to: Any, ones: Any, twos: Any, width: int, order: str, found: _Found) -> None:
    """Add the ends of texts whose length is the word behind their address."""
    inside = (at + 2 * width <= len(data[0])) & (to + 2 * width <= len(data[1]))
    at, to, ones, twos = at[inside], to[inside], ones[inside], twos[inside]
    values = gather(data[0], at + width, width, order, False), gather(data[1], to + width, width, order, False)
    found.lengths(ones, twos, *values)


def _relocated(both: Both, pair: Pair, other: Pair, found: _Found) -> None:
    """Add what relocations of corresponding places refer to."""
    (lefts, targets), (rights, others) = both.left.relocations(), both.right.relocations()
    if not len(lefts) or not len(rights):
        return
    place = lefts - other.one.place
    target = targets - pair.one.place
    chosen = (place >= 0) & (place < other.one.size) & (target >= 0) & (target < pair.one.size)
    at, ones = place[chosen], target[chosen]
    to = both.pieces(other).to(at)
    index = np.minimum(np.searchsorted(rights, to + other.two.place), len(rights) - 1)
    there = (to >= 0) & (rights[index] == to + other.two.place)
    at, to, ones, twos = at[there], to[there], ones[there], others[index[there]] - pair.two.place
    found.add(ones, twos)
    image = both.left.image
    data = np.frombuffer(both.left.data(other.one), np.uint8), np.frombuffer(both.right.data(other.two), np.uint8)
    _behind(data, at, to, ones, twos, image.word, image.order, found)


def _cut(
    left: bytes, right: bytes, area: tuple[int, int, int, int], begins: list[list[int]], ends: list[list[int]]
) -> list[Piece]:
    """Align an area that is cut where references lead to and where texts end: pairs of offsets, in order."""
    l0, l1, r0, r1 = area

    def inside(rows: list[list[int]]) -> list[tuple[int, int]]:
        return [(a, b) for a, b in rows[bisect_left(rows, [l0 + 1]) : bisect_left(rows, [l1])] if r0 < b < r1]

    free = {(l0, r0), *inside(ends)}
    starts = [*free, *inside(begins)]
    while True:
        blocks = _blocks(starts, l1, r1)
        # Zeros may fill up: where nothing else begins there, a reference to more or fewer of them proves nothing.
        wrong = {(a, b) for a, a1, b, b1 in blocks if (a, b) not in free and not _begins(left[a:a1], right[b:b1])}
        if not wrong:
            break
        starts = [start for start in starts if start not in wrong]
    return [
        Piece(a + p.l0, a + p.l1, b + p.r0, b + p.r1)
        for a, a1, b, b1 in blocks
        for p in _block(left[a:a1], right[b:b1], a, b)
    ]


def _blocks(starts: list[tuple[int, int]], l1: int, r1: int) -> list[tuple[int, int, int, int]]:
    """Return the stretches that begin at pairs of offsets and end where the next one does, on each side."""
    lefts = sorted(a for a, _b in starts)
    rights = sorted(b for _a, b in starts)
    after = dict(zip(lefts, [*lefts[1:], l1], strict=True)), dict(zip(rights, [*rights[1:], r1], strict=True))
    return [(a, after[0][a], b, after[1][b]) for a, b in sorted(starts)]


def _begins(one: bytes, two: bytes) -> bool:
    """Tell whether two stretches have as many zeros first, before anything else."""
    return len(one) == len(two) or (
        len(one) - len(one.lstrip(b"\0")) == len(two) - len(two.lstrip(b"\0")) and bool(one.strip(b"\0"))
    )


def _block(a: bytes, b: bytes, one: int, two: int) -> list[Piece]:
    """Align what stands between two references, at two offsets: texts, the same with other zeros to fill up, else by
    content."""
    if len(a) == len(b):
        return [Piece(0, len(a), 0, len(b))]
    x, y = a.rstrip(b"\0"), b.rstrip(b"\0")
    most = min(len(x), len(y))
    head = common_prefix(x, y)
    tail = common_suffix(x, y, most - head)
    cuts = [(0, 0), (head, head), (len(x) - tail, len(y) - tail), (len(x), len(y)), (len(a), len(b))]
    if not (x[head : len(x) - tail] + y[head : len(y) - tail]).strip(b"\0"):
        if tail and not all(_fills(side, len(side) - tail, at) for side, at in ((x, one), (y, two))):
            return [Piece(0, len(a), 0, len(b))]
    elif texts(x, y):
        cuts = [(0, 0), (len(x), len(y)), (len(a), len(b))]
    else:
        return by_content(a, b, PRINTED)
    found = [Piece(i, k, j, m) for (i, j), (k, m) in itertools.pairwise(cuts)]
    return [p for p in found if p.l1 > p.l0 or p.r1 > p.r0]


def _fills(data: bytes, end: int, at: int) -> bool:
    """Tell whether the zeros before an offset may be there to align what follows: fewer than it is aligned to."""
    count = end - len(data[:end].rstrip(b"\0"))
    return (at + end) % (1 << count.bit_length()) == 0
