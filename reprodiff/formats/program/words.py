"""Which differing words are pointers whose targets correspond, decided over arrays.

A word is accepted only if what it points at on the left is, by the map of the sections, exactly what it points at
on the right. What is not accepted is a change.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from reprodiff.formats.program.pieces import Pieces

# (left offsets, right offsets, left values, right values) of words to whether each is the same pointer, as arrays
Check: TypeAlias = Callable[[Any, Any, Any, Any], Any]


# So many words are looked at together: what is made of them on the way takes some hundred bytes for each.
PART = 1 << 18
# What numpy has numbers of.
WIDTHS = (1, 2, 4, 8)


def _parts(chosen: Any) -> list[Any]:
    return [chosen[at : at + PART] for at in range(0, len(chosen), PART)]


def gather(data: Any, starts: Any, width: int, order: str, signed: bool) -> Any:
    """Return the integers of `width` bytes at offsets of a byte array, as int64 (two's complement for 8 bytes)."""
    if width in WIDTHS and data.flags.c_contiguous and len(starts) and starts.min() >= 0:
        # All words that there are, at any offset, as one array over the same bytes.
        every: Any = np.ndarray(
            (max(len(data) - width + 1, 0),), f"{order}{'i' if signed else 'u'}{width}", data, 0, (1,)
        )
        return every[starts].astype(np.int64)
    value = np.zeros(len(starts), np.uint64)
    for i in range(width):
        byte = data[starts + i].astype(np.uint64)
        value |= byte << np.uint64(8 * (i if order == "<" else width - 1 - i))
    found = value.view(np.int64)
    if signed and width < 8:
        half = 1 << (8 * width - 1)
        found = np.where(found >= half, found - (1 << (8 * width)), found)
    return found


def displaced(pieces: Pieces, left: Any, right: Any, at: Any, end: Any) -> tuple[Any, Any, Any, Any]:
    """Read little-endian displacements of 4 bytes at left offsets that count from `end`, and those that correspond.

    Returns, for those that the right side has as a whole: their left and right offsets, and the offsets that they lead to
    on the left and on the right.
    """
    to = pieces.to(at)
    whole = (to >= 0) & (to + 4 <= len(right))
    at, end, to = at[whole], end[whole], to[whole]
    ones, twos = gather(left, at, 4, "<", True) + end, gather(right, to, 4, "<", True) + to + (end - at)
    return at, to, ones, twos


def distinct(values: Any) -> Any:
    """Return the distinct numbers of an array, in order: as numpy.unique, which brings in masked arrays."""
    ordered = np.sort(values)
    return ordered[np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]]


def among(values: Any, others: Any) -> Any:
    """Tell which numbers of an array are among others, as numpy.isin."""
    if not len(others):
        return np.zeros(len(values), bool)
    ordered = np.sort(others)
    return ordered[np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)] == values


def without(values: Any, others: Any) -> Any:
    """Return the distinct numbers of an array that are not among others, in order, as numpy.setdiff1d."""
    found = distinct(values)
    return found[~among(found, others)]


def distinct_rows(rows: Any) -> Any:
    """Return the distinct rows of an array of two dimensions, in order."""
    ordered = rows[np.lexsort(rows.T[::-1])]
    return ordered[np.append(True, (ordered[1:] != ordered[:-1]).any(1))[: len(ordered)]]


ALIGNED = 8


class Differing:
    """The bytes that differ at corresponding offsets of a section pair; `open` marks those without an explanation."""

    def __init__(self, left: bytes, right: bytes, pieces: Pieces, order: str) -> None:
        self.left = np.frombuffer(left, np.uint8)
        self.right = np.frombuffer(right, np.uint8)
        self.pieces = pieces
        self.order = order
        ones, twos = [], []
        alike = pieces.alike
        for l0, r0, length in zip(
            *(column[alike].tolist() for column in (pieces.starts, pieces.rights, pieces.lengths)), strict=True
        ):
            if left[l0 : l0 + length] != right[r0 : r0 + length]:
                found = np.flatnonzero(self.left[l0 : l0 + length] != self.right[r0 : r0 + length])
                ones.append(found + l0)
                twos.append(found + r0)
        empty = np.zeros(0, np.int64)
        self.one = np.concatenate(ones) if ones else empty
        self.two = np.concatenate(twos) if twos else empty
        self.open = np.ones(len(self.one), bool)

    def accept(self, width: int, align: int, base: int, check: Check, signed: bool = False) -> None:
        """Try all words of `width` bytes that hold an open byte: those aligned to `align` from `base`, the address
        of the section's start, or at any offset where it is 1."""
        for back in range(width) if align == 1 else (-1,):
            chosen = np.flatnonzero(self.open)
            if not len(chosen):
                return
            for part in _parts(chosen):
                one, two = self.one[part], self.two[part]
                off = (one + base % align) % align if back < 0 else back
                self._try(part, one - off, two - off, width, check, signed)

    def _try(self, chosen: Any, starts: Any, others: Any, width: int, check: Check, signed: bool) -> None:
        whole = (starts >= 0) & (others >= 0) & (starts + width <= len(self.left)) & (others + width <= len(self.right))
        chosen, starts, others = chosen[whole], starts[whole], others[whole]
        if not len(chosen):
            return
        inside = (self.pieces.to(starts) == others) & (self.pieces.to(starts + width - 1) == others + width - 1)
        chosen, starts, others = chosen[inside], starts[inside], others[inside]
        ones = gather(self.left, starts, width, self.order, signed)
        twos = gather(self.right, others, width, self.order, signed)
        self.open[chosen[check(starts, others, ones, twos)]] = False

    def accept_fields(self, at: Any, check: Check, width: int = 4) -> None:
        """Try words at known places, in order: offsets of the left side."""
        chosen = np.flatnonzero(self.open)
        if not len(chosen) or not len(at):
            return
        index = np.searchsorted(at, self.one[chosen], "right") - 1
        off = self.one[chosen] - at[np.maximum(index, 0)]
        inside = (index >= 0) & (off < width)
        chosen, off = chosen[inside], off[inside]
        self._try(chosen, self.one[chosen] - off, self.two[chosen] - off, width, check, True)

    def close_words(self, at: Any, size: Any) -> None:
        """Take the bytes of words at offsets of the left side, in order, as explained."""
        if len(at):
            index = np.searchsorted(at, self.one, "right") - 1
            self.open &= (index < 0) | (self.one - at[np.maximum(index, 0)] >= size[np.maximum(index, 0)])

    def close(self, start: int, stop: int) -> None:
        """Take what differs in a range of left offsets as explained."""
        self.open[(self.one >= start) & (self.one < stop)] = False

    def drop(self, chosen: Any) -> None:
        """Leave out bytes that are told of elsewhere; chosen: which, as an array of truths."""
        self.one, self.two, self.open = self.one[~chosen], self.two[~chosen], self.open[~chosen]

    @property
    def explained(self) -> int:
        return int(len(self.open) - self.open.sum())

    def runs(self) -> list[tuple[int, int, int]]:
        """Return the open bytes as (left start, right start, length) of runs without a break."""
        one, two = self.one[self.open], self.two[self.open]
        if not len(one):
            return []
        cuts = np.flatnonzero((np.diff(one) != 1) | (np.diff(two) != 1)) + 1
        starts = np.concatenate([[0], cuts])
        stops = np.concatenate([cuts, [len(one)]])
        return [(int(one[a]), int(two[a]), int(b - a)) for a, b in zip(starts, stops, strict=True)]


class Addresses:
    """The map of the address spaces: every allocated section pair in one table."""

    def __init__(
        self, parts: list[tuple[int, int, int, int, Pieces]], odd: list[tuple[int, int]] | None = None
    ) -> None:
        """parts: (left address, left size, right address, right size, map) of the sections; odd: (left address, size)
        of those in which the lowest bit of an address is none of it."""
        parts = sorted((p for p in parts if len(p[4].pieces)), key=lambda p: p[0])
        self.starts = _join([p[4].starts + p[0] for p in parts])
        self.lengths = _join([p[4].lengths for p in parts])
        self.rights = _join([p[4].rights + p[2] for p in parts])
        self.others = _join([p[4].others for p in parts])
        self.alike = _join([p[4].alike for p in parts]).astype(bool)
        self.tails = _join([p[4].tails for p in parts])
        self.odd = odd or []
        ends: dict[int, int] = {p[0] + p[1]: p[2] + p[3] for p in parts}
        self.ends = np.array(sorted(ends), np.int64)
        self.right_ends = np.array([ends[end] for end in sorted(ends)], np.int64)
        # Where an empty table behind a section begins.
        filled = {-(-one // ALIGNED) * ALIGNED: -(-two // ALIGNED) * ALIGNED for one, two in ends.items()}
        self.aligned = np.array(sorted(filled), np.int64), np.array([filled[end] for end in sorted(filled)], np.int64)

    def same(self, one: Any, two: Any) -> Any:
        """Tell of pairs of addresses, as arrays, whether they are the same place."""
        found = self._same(one, two)
        for start, size in self.odd:
            chosen = np.flatnonzero(~found & (one & two & 1 != 0) & (one > start) & (one <= start + size))
            if len(chosen):
                found[chosen] = self._same(one[chosen] - 1, two[chosen] - 1)
        return found

    def _same(self, one: Any, two: Any) -> Any:
        if not len(self.starts):
            return np.zeros(len(one), bool)
        index = np.maximum(np.searchsorted(self.starts, one, "right") - 1, 0)
        inside = one - self.starts[index]
        length, other = self.lengths[index], self.others[index]
        within = (inside >= 0) & (inside < length)
        ok = within & (self.alike[index] | ((inside == 0) & (other > 0))) & (self.rights[index] + inside == two)
        tail = within & (inside >= length - self.tails[index]) & (self.rights[index] + other - (length - inside) == two)
        at = np.minimum(np.searchsorted(self.ends, one), len(self.ends) - 1)
        ok |= tail | ((self.ends[at] == one) & (self.right_ends[at] == two))
        lefts, rights = self.aligned
        at = np.minimum(np.searchsorted(lefts, one), len(lefts) - 1)
        return ok | ((lefts[at] == one) & (rights[at] == two))

    def to(self, places: Any) -> Any:
        """Return the right addresses of left ones, -1 where nothing corresponds exactly."""
        if not len(self.starts):
            return np.full(len(places), -1, np.int64)
        index = np.maximum(np.searchsorted(self.starts, places, "right") - 1, 0)
        return np.where(self.covered(places), self.rights[index] + places - self.starts[index], -1)

    def covered(self, places: Any) -> Any:
        """Tell which left addresses have exactly one counterpart: in what is as long on both sides, and starts."""
        if not len(self.starts):
            return np.zeros(len(places), bool)
        index = np.maximum(np.searchsorted(self.starts, places, "right") - 1, 0)
        inside = places - self.starts[index]
        exact = self.alike[index] | ((inside == 0) & (self.others[index] > 0))
        return (inside >= 0) & (inside < self.lengths[index]) & exact

    def one(self, left: int, right: int) -> bool:
        """As `same` for one pair."""
        return bool(
            self.same(np.array([left], np.uint64).view(np.int64), np.array([right], np.uint64).view(np.int64))[0]
        )


def _join(arrays: list[Any]) -> Any:
    return np.concatenate(arrays) if arrays else np.zeros(0, np.int64)
