"""One pair of sections whose parts stand in another order, as far as it is known which part is which."""

from bisect import bisect_right, insort
from typing import Any

import numpy as np

from reprodiff.formats.elf.image import Section
from reprodiff.formats.elf.pieces import Piece
from reprodiff.spans import common_prefix, common_suffix

WORD = 8


class _Cover:
    """Ranges that do not overlap, in order."""

    def __init__(self, size: int) -> None:
        self.starts: list[int] = []
        self.stops: list[int] = []
        self.size = size

    def room(self, at: int) -> int:
        """Return how much is free from an offset on; 0 where it is taken."""
        index = bisect_right(self.starts, at)
        if index and self.stops[index - 1] > at:
            return 0
        return (self.starts[index] if index < len(self.starts) else self.size) - at

    def before(self, at: int) -> int:
        """Return how much is free before an offset."""
        index = bisect_right(self.starts, at - 1)
        return at - self.stops[index - 1] if index else at

    def take(self, start: int, stop: int) -> None:
        index = bisect_right(self.starts, start)
        self.starts.insert(index, start)
        self.stops.insert(index, stop)

    def gaps(self) -> list[tuple[int, int]]:
        """Return what is free."""
        bounds = zip([0, *self.stops], [*self.starts, self.size], strict=True)
        return [(start, stop) for start, stop in bounds if stop > start]


class Region:
    """Parts of two sections that correspond, all of them equally long on both sides.

    begins: where parts begin for all that refers to them, on both sides; marks: what relocations write to.
    """

    def __init__(self, number: int, one: Section, two: Section, data: tuple[bytes, bytes] | None) -> None:
        self.number, self.one, self.two, self.data = number, one, two, data
        self.cover = _Cover(one.size), _Cover(two.size)
        self.found: list[Piece] = []
        self.begins: tuple[list[int], list[int]] = ([], [])
        self.marks: tuple[Any, Any] = (np.zeros(0, np.int64), np.zeros(0, np.int64))

    def add(self, start: int, other: int, size: int, name: bytes | None = None) -> bool:
        """Take two ranges to correspond; False where one of them is taken."""
        if size <= 0 or self.cover[0].room(start) < size or self.cover[1].room(other) < size:
            return False
        self.cover[0].take(start, start + size)
        self.cover[1].take(other, other + size)
        self.found.append(Piece(start, start + size, other, other + size, name))
        return True

    def begin(self, side: int, at: int) -> None:
        """Let a part begin at an offset of a side."""
        if at not in self.begins[side]:
            insort(self.begins[side], at)

    def room(self, start: int, other: int) -> tuple[int, int]:
        """Return how much is free from two offsets on, up to where the next part begins, on either side."""
        sizes = []
        for side, at in enumerate((start, other)):
            begins = self.begins[side]
            index = bisect_right(begins, at)
            after = begins[index] if index < len(begins) else self.cover[side].size
            sizes.append(min(self.cover[side].room(at), after - at))
        return sizes[0], sizes[1]

    def marked(self, start: int, other: int, size: int) -> int:
        """Return up to where two ranges have relocations at the same places."""
        rows = []
        for marks, at in zip(self.marks, (start, other), strict=True):
            first, last = np.searchsorted(marks, (at, at + size))
            rows.append(marks[first:last] - at)
        if len(rows[0]) == len(rows[1]) and (rows[0] == rows[1]).all():
            return size
        most = min(len(rows[0]), len(rows[1]))
        differ = np.flatnonzero(rows[0][:most] != rows[1][:most])
        index = int(differ[0]) if len(differ) else most
        return int(min(row[index] if index < len(row) else size for row in rows))

    def grow(self, like: Any) -> bool:
        """Let parts take what lies around them as far as it is alike: like(start, other, size) counts the bytes.

        Returns whether any grew.
        """
        before = len(self.found)
        for piece in sorted(self.found):
            size = min(self.cover[0].room(piece.l1), self.cover[1].room(piece.r1)) if piece.l1 < self.one.size else 0
            if size > 0 and piece.r1 < self.two.size:
                size = like(piece.l1, piece.r1, size)
                self.add(piece.l1, piece.r1, size)
        for piece in sorted(self.found):
            size = min(self.cover[0].before(piece.l0), self.cover[1].before(piece.r0))
            if size > 0 and self.data is not None:
                a, b = self.data[0][piece.l0 - size : piece.l0], self.data[1][piece.r0 - size : piece.r0]
                same = common_suffix(a, b, size)
                # What relocations write to must be the same as well.
                while same and self.marked(piece.l0 - same, piece.r0 - same, same) < same:
                    same -= 1
                self.add(piece.l0 - same, piece.r0 - same, same)
            elif size > 0:
                self.add(piece.l0 - size, piece.r0 - size, size)
        return len(self.found) > before

    def bridge(self) -> bool:
        """Take what lies between two parts that moved by the same distance to have moved with them."""
        rows = sorted(self.found)
        before = len(self.found)
        for one, two in zip(rows, rows[1:], strict=False):
            if one.l1 < two.l0 and one.r0 - one.l0 == two.r0 - two.l0:
                self.add(one.l1, one.r1, two.l0 - one.l1)
        return len(self.found) > before

    def equal(self, start: int, other: int, size: int) -> int:
        """Count the bytes that are equal from two offsets on."""
        if self.data is None:
            return size
        a, b = self.data[0][start : start + size], self.data[1][other : other + size]
        return size if a == b else common_prefix(a, b)

    def finish(self) -> list[Piece]:
        """Return all of both sections in pieces: what corresponds, and the rest by content."""
        gaps = self.cover[0].gaps(), self.cover[1].gaps()
        rest: list[Piece] = []
        if self.data is None:
            rest = [Piece(*gap, 0, 0) for gap in gaps[0]] + [Piece(0, 0, *gap) for gap in gaps[1]]
            return joined([*self.found, *rest])
        trimmed: list[list[tuple[int, int]]] = [[], []]
        for side, (data, rows) in enumerate(zip(self.data, gaps, strict=True)):
            for start, stop in rows:
                text = data[start:stop]
                first = start + len(text) - len(text.lstrip(b"\0"))
                last = stop - (len(text) - len(text.rstrip(b"\0")))
                if first >= last:
                    first = last = stop
                # A string ends with its NUL.
                last = min(last + 1, stop)
                for a, b in ((start, first), (last, stop)):
                    if b > a:
                        rest.append(Piece(0, 0, a, b) if side else Piece(a, b, 0, 0))
                if last > first:
                    trimmed[side].append((first, last))
        places: dict[bytes, list[tuple[int, int]]] = {}
        for span in reversed(trimmed[1]):
            places.setdefault(self.data[1][slice(*span)], []).append(span)
        alone: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])
        for span in trimmed[0]:
            twins = places.get(self.data[0][slice(*span)])
            if twins:
                rest.append(Piece(*span, *twins.pop()))
            else:
                alone[0].append(span)
        alone[1].extend(sorted(span for twins in places.values() for span in twins))
        if len(alone[0]) == len(alone[1]):
            rest += [Piece(*a, *b) for a, b in zip(*alone, strict=True)]
        else:
            rest += [Piece(*a, 0, 0) for a in alone[0]] + [Piece(0, 0, *b) for b in alone[1]]
        return joined([*self.found, *rest])


def joined(pieces: list[Piece]) -> list[Piece]:
    """Join pieces without a name that go on where the one before ends."""
    found: list[Piece] = []
    for piece in sorted(p for p in pieces if p.l1 > p.l0):
        last = found[-1] if found else None
        if (
            last
            and last.name is piece.name is None
            and last.equal
            and piece.equal
            and last.l1 == piece.l0
            and last.r1 == piece.r0
        ):
            found[-1] = Piece(last.l0, piece.l1, last.r0, piece.r1)
        else:
            found.append(piece)
    return found + [p for p in pieces if p.l1 == p.l0]
