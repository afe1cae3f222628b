"""One pair of sections whose parts stand in another order, as far as it is known which part is which."""

import re
from bisect import bisect_right
from itertools import pairwise
from typing import Any

import numpy as np

from reprodiff.formats.program.image import Section
from reprodiff.formats.program.pieces import Piece
from reprodiff.spans import common_prefix

WORD = 8
TEXT = re.compile(rb"[\t\n\r\x20-\x7e]{3,}")
Span = tuple[int, int]


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

    @property
    def marked_at_all(self) -> bool:
        return bool(len(self.marks[0]) or len(self.marks[1]))

    def room(self, start: int, other: int) -> tuple[int, int]:
        """Return how much is free from two offsets on, up to where the next part begins, on either side."""
        sizes = []
        for side, at in enumerate((start, other)):
            begins = self.begins[side]
            index = bisect_right(begins, at)
            after = begins[index] if index < len(begins) else self.cover[side].size
            sizes.append(min(self.cover[side].room(at), after - at))
        return sizes[0], sizes[1]

    def marked(self, start: int, other: int, size: int) -> tuple[Any, Any]:
        """Return where in two ranges both have relocations, and where one of them alone has."""
        rows = []
        for marks, at in zip(self.marks, (start, other), strict=True):
            first, last = np.searchsorted(marks, (at, at + size))
            rows.append(marks[first:last] - at)
        one, two = rows
        if np.array_equal(one, two):
            return one, one[:0]
        return np.intersect1d(one, two, assume_unique=True), np.setxor1d(one, two, assume_unique=True)

    def grow(self, odd: Any) -> bool:
        """Let parts take what lies around them and nothing refers to, where all of it agrees, or whole texts of it:
        odd(start, other, size) marks the bytes that do not.

        Returns whether any grew.
        """
        before = len(self.found)
        for piece in sorted(self.found):
            if piece.l1 >= self.one.size or piece.r1 >= self.two.size:
                continue
            if self._begins(0, piece.l1, 1) or self._begins(1, piece.r1, 1):
                continue
            size = min(self.room(piece.l1, piece.r1))
            if size > 0:
                wrong = odd(piece.l1, piece.r1, size)
                same = int(np.argmax(wrong)) if wrong.any() else size
                if same < size and self.data is not None:
                    same = self.data[0].rfind(b"\0", piece.l1, piece.l1 + same) + 1 - piece.l1
                self.add(piece.l1, piece.r1, same)
        for piece in sorted(self.found):
            size = min(self.cover[0].before(piece.l0), self.cover[1].before(piece.r0))
            if size <= 0 or self._begins(0, piece.l0 - size, size) or self._begins(1, piece.r0 - size, size):
                continue
            if not odd(piece.l0 - size, piece.r0 - size, size).any():
                self.add(piece.l0 - size, piece.r0 - size, size)
        return len(self.found) > before

    def _begins(self, side: int, start: int, size: int) -> bool:
        """Tell whether something begins in a range."""
        begins = self.begins[side]
        index = bisect_right(begins, start - 1)
        return index < len(begins) and begins[index] < start + size

    def alone(self, side: int, at: int, size: int) -> bool:
        """Tell whether a range is no piece of something larger that is referred to."""
        begins = self.begins[side]
        index = bisect_right(begins, at) - 1
        if index < 0 or self.cover[side].before(at + 1) <= at - begins[index]:
            return True
        after = begins[index + 1] if index + 1 < len(begins) else self.cover[side].size
        return begins[index] == at and (after == at + size or self.cover[side].room(at) == size)

    def bridge(self) -> bool:
        """Take what lies between two parts that moved by the same distance to have moved with them."""
        rows = sorted(self.found)
        before = len(self.found)
        for one, two in pairwise(rows):
            if one.l1 < two.l0 and one.r0 - one.l0 == two.r0 - two.l0:
                self.add(one.l1, one.r1, two.l0 - one.l1)
        return len(self.found) > before

    def equal(self, start: int, other: int, size: int) -> int:
        """Count the bytes that are equal from two offsets on."""
        if self.data is None:
            return size
        a, b = self.data[0][start : start + size], self.data[1][other : other + size]
        return size if a == b else common_prefix(a, b)

    def parts(self, side: int, targets: Any) -> tuple[dict[Any, list[Span]], list[Span]]:
        """Return what is free on a side, in small parts by content, and what only fills up there.

        targets: what stands for the value of words that relocations write to, by offset.
        """
        assert self.data is not None
        data = self.data[side]
        found: dict[Any, list[Span]] = {}
        filling: list[Span] = []
        for first, last in self.cover[side].gaps():
            begins = self.begins[side]
            cuts = begins[bisect_right(begins, first) : bisect_right(begins, last - 1)]
            for start, stop in pairwise([first, *cuts, last]):
                at = start
                while text := TEXT.match(data, at, stop):
                    if data[text.end() : text.end() + 1] != b"\0" or text.end() >= stop:
                        break
                    found.setdefault(data[at : text.end() + 1], []).append((at, text.end() + 1))
                    at = text.end() + 1
                marks = [place for place in sorted(targets) if at <= place < stop] if targets else []
                end = max(at + len(data[at:stop].rstrip(b"\0")), marks[-1] + WORD if marks else 0)
                end = min(end + -end % 4, stop)
                begin = at + (len(data[at:end]) - len(data[at:end].lstrip(b"\0")))
                begin = min([begin // 4 * 4 if begin < end else end, *marks[:1]])
                begin = max(begin, at)
                if begin > at:
                    filling.append((at, begin))
                if end > begin:
                    content: list[Any] = []
                    place = begin
                    for mark in marks:
                        content += [data[place:mark], targets[mark]]
                        place = mark + WORD
                    found.setdefault((*content, data[place:end]), []).append((begin, end))
                if stop > max(end, at):
                    filling.append((max(end, at), stop))
        return found, filling

    def finish(self, targets: tuple[Any, Any]) -> list[Piece]:
        """Return all of both sections in pieces: what corresponds, and the rest by content."""
        if self.data is None:
            gaps = self.cover[0].gaps(), self.cover[1].gaps()
            return joined(
                [*self.found, *(Piece(*gap, 0, 0) for gap in gaps[0]), *(Piece(0, 0, *gap) for gap in gaps[1])]
            )
        (ones, fills), (twos, others) = (self.parts(side, targets[side]) for side in (0, 1))
        rest = [Piece(*span, 0, 0) for span in fills] + [Piece(0, 0, *span) for span in others]
        alone: tuple[list[Span], list[Span]] = ([], [])
        for content, spans in ones.items():
            twins = twos.pop(content, [])
            rest += [Piece(*one, *two) for one, two in zip(spans, twins, strict=False)]
            alone[0].extend(spans[len(twins) :])
            alone[1].extend(twins[len(spans) :])
        alone[1].extend(span for spans in twos.values() for span in spans)
        runs = [together(sorted(spans)) for spans in alone]
        if len(runs[0]) == len(runs[1]):
            rest += [Piece(*a, *b) for a, b in zip(*runs, strict=True)]
        else:
            rest += [Piece(*a, 0, 0) for a in runs[0]] + [Piece(0, 0, *b) for b in runs[1]]
        return joined([*self.found, *rest])


def together(spans: list[Span]) -> list[Span]:
    """Join ranges that go on where the one before ends."""
    found: list[Span] = []
    for start, stop in spans:
        if found and found[-1][1] == start:
            found[-1] = found[-1][0], stop
        else:
            found.append((start, stop))
    return found


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
