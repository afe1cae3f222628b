"""Which bytes of one section correspond to which of its twin: the piecewise map from left to right.

A piece whose sides are equally long maps offset by offset; one whose sides are not maps its start, and its end as
far as both sides end alike. Everything that decides whether a pointer still points at the same thing asks this map.
"""

import re
from bisect import bisect_right
from typing import Any, NamedTuple

import numpy as np

from reprodiff.formats.program.sequence import matched
from reprodiff.paths import is_source
from reprodiff.spans import common_prefix, common_suffix

TOKEN = re.compile(rb"[^\0]+")
# Where strings stand among numbers of one byte.
PRINTED = re.compile(rb"[^\0-\x1f\x7f]+|[\x01-\x1f\x7f]+")
# Shorter runs of bytes recur by chance: they say nothing about what corresponds.
ANCHOR = 4
# As numbers of Python shorter strings are compared in less time than arrays of them are made.
SHORT = 1024
PAIRS_MAX = 128


class Piece(NamedTuple):
    """left[l0:l1] corresponds to right[r0:r1]; a side that is empty has nothing. name: of the function or object."""

    l0: int
    l1: int
    r0: int
    r1: int
    name: bytes | None = None

    @property
    def equal(self) -> bool:
        return self.l1 - self.l0 == self.r1 - self.r0


class Pieces:
    """The map of one section pair.

    As arrays, in order: starts and lengths on the left, rights and others on the right, whether both lengths are alike,
    and in tails how many bytes are at the end where they are not. Pieces whose sides are equally long and that go on
    where the one before ended are one row there.
    """

    def __init__(self, pieces: list[Piece], left: bytes = b"", right: bytes = b"") -> None:
        self.pieces = sorted([p for p in pieces if p[1] > p[0]])
        self.added = sorted([p for p in pieces if p[1] == p[0] and p[3] > p[2]], key=lambda p: p.r0)
        count = len(self.pieces)
        columns = list(zip(*self.pieces, strict=True))[:4] or [()] * 4
        l0, l1, r0, r1 = (np.array(column, np.int64) for column in columns)
        alike = l1 - l0 == r1 - r0
        on = alike[1:] & alike[:-1] & (l0[1:] == l1[:-1]) & (r0[1:] == r1[:-1])
        first = np.flatnonzero(np.append(True, ~on)[:count])
        last = np.append(first[1:], count)[: len(first)] - 1
        self.starts, self.lengths = l0[first], l1[last] - l0[first]
        self.rights, self.others = r0[first], r1[last] - r0[first]
        self.alike = alike[first]
        self.tails = np.zeros(len(first), np.int64)
        for row in np.flatnonzero(~self.alike).tolist():
            p = self.pieces[first[row]]
            self.tails[row] = _tail(left[p.l0 : p.l1], right[p.r0 : p.r1])

    @property
    def identity(self) -> bool:
        return (
            len(self.pieces) == 1 and self.pieces[0].equal and self.pieces[0].r0 == self.pieces[0].l0 and not self.added
        )

    @property
    def unmoved(self) -> bool:
        """Whether every byte corresponds to the one at its own offset."""
        return not self.added and bool(self.alike.all() and (self.starts == self.rights).all())

    def find(self, offset: int) -> Piece | None:
        """Return the piece that a left offset lies in."""
        index = bisect_right(self.pieces, offset, key=lambda piece: piece.l0) - 1
        return self.pieces[index] if index >= 0 and offset < self.pieces[index].l1 else None

    def to(self, offsets: Any) -> Any:
        """Return the right offsets of an array of left offsets, -1 where nothing corresponds."""
        if not self.pieces:
            return np.full(len(offsets), -1, np.int64)
        index = np.searchsorted(self.starts, offsets, "right") - 1
        index = np.maximum(index, 0)
        inside = offsets - self.starts[index]
        length, other = self.lengths[index], self.others[index]
        ok = (inside >= 0) & (inside < length)
        tail = inside >= length - self.tails[index]
        ahead = ok & (self.alike[index] | ((inside == 0) & (other > 0)))
        return np.where(
            ahead,
            self.rights[index] + inside,
            np.where(ok & tail & (self.tails[index] > 0), self.rights[index] + other - (length - inside), -1),
        )


def unlike(left: bytes, right: bytes) -> int:
    """Return in how many places two byte strings of one length differ."""
    if len(left) > SHORT:
        return int((np.frombuffer(left, np.uint8) != np.frombuffer(right, np.uint8)).sum())
    mask = int.from_bytes(left, "little") ^ int.from_bytes(right, "little")
    return len(left) - mask.to_bytes(len(left), "little").count(0)


def _tail(left: bytes, right: bytes) -> int:
    return common_suffix(left, right, min(len(left), len(right))) if left and right else 0


def identity(left: int, right: int) -> list[Piece]:
    """Return the map of two sections that correspond byte by byte from the start."""
    both = min(left, right)
    pieces = [Piece(0, both, 0, both)] if both else []
    if left != right:
        pieces.append(Piece(both, left, both, right))
    return pieces


class _Joiner:
    """Collects pieces in order and joins those that go on where the last one ended."""

    def __init__(self) -> None:
        self.pieces: list[Piece] = []

    def add(self, l0: int, l1: int, r0: int, r1: int) -> None:
        if l1 == l0 and r1 == r0:
            return
        if self.pieces and l1 - l0 == r1 - r0:
            last = self.pieces[-1]
            if last.equal and last.l1 == l0 and last.r1 == r0:
                self.pieces[-1] = Piece(last.l0, l1, last.r0, r1)
                return
        self.pieces.append(Piece(l0, l1, r0, r1))


def by_content(left: bytes, right: bytes, token: re.Pattern[bytes] = TOKEN) -> list[Piece]:
    """Align two data sections by the strings and other runs without zeros that both have, in order.

    token: what such a run is.
    """
    if left == right:
        return identity(len(left), len(right))
    most = min(len(left), len(right))
    head = common_prefix(left, right)
    tail = common_suffix(left, right, most - head)
    # To the bounds of what lies around: a run is one thing.
    head = max(left.rfind(b"\0", 0, head), right.rfind(b"\0", 0, head), -1) + 1
    while tail and left[len(left) - tail - 1 : len(left) - tail] not in {b"\0", b""}:
        tail -= 1
    a, b = left[head : len(left) - tail], right[head : len(right) - tail]
    found = _Joiner()
    found.add(0, head, 0, head)
    _tokens(a, b, head, found, token)
    found.add(len(left) - tail, len(left), len(right) - tail, len(right))
    return found.pieces


def _tokens(a: bytes, b: bytes, base: int, found: _Joiner, token: re.Pattern[bytes]) -> None:
    ones = [m.span() for m in token.finditer(a) if m.end() - m.start() >= ANCHOR]
    twos = [m.span() for m in token.finditer(b) if m.end() - m.start() >= ANCHOR]
    runs = matched([a[i:j] for i, j in ones], [b[i:j] for i, j in twos])
    at_a = at_b = 0
    for i, j, count in runs:
        for step in range(count):
            (a0, a1), (b0, b1) = ones[i + step], twos[j + step]
            _gap(a, b, (at_a, a0, at_b, b0), base, found, token)
            found.add(base + a0, base + a1, base + b0, base + b1)
            at_a, at_b = a1, b1
    _gap(a, b, (at_a, len(a), at_b, len(b)), base, found, token)


def _gap(
    a: bytes, b: bytes, area: tuple[int, int, int, int], base: int, found: _Joiner, token: re.Pattern[bytes]
) -> None:
    """Align what lies between two runs that both sides have: strings that changed, what fills up, tables of words."""
    a0, a1, b0, b1 = area
    while a0 < a1 and b0 < b1:
        one, two = token.search(a, a0, a1), token.search(b, b0, b1)
        if not one or not two or (one[0] != two[0] and not _changed_text(one[0], two[0])):
            break
        # One NUL ends a string; what is more of them fills up.
        ends = min(one.start() - a0, two.start() - b0, 1)
        found.add(base + a0, base + a0 + ends, base + b0, base + b0 + ends)
        found.add(base + a0 + ends, base + one.start(), base + b0 + ends, base + two.start())
        found.add(base + one.start(), base + one.end(), base + two.start(), base + two.end())
        a0, b0 = one.end(), two.end()
    if a[a0:a1] != b[b0:b1]:
        x, y = _filled(a, a0, a1), _filled(b, b0, b1)
        if x[1] - x[0] != y[1] - y[0]:
            x, y = (x[0] // 4 * 4, -(-x[1] // 4) * 4), (y[0] // 4 * 4, -(-y[1] // 4) * 4)
        inside = a0 <= x[0] and x[1] <= a1 and b0 <= y[0] and y[1] <= b1
        if inside and x[1] - x[0] == y[1] - y[0]:
            found.add(base + a0, base + x[0], base + b0, base + y[0])
            found.add(base + x[0], base + x[1], base + y[0], base + y[1])
            a0, b0 = x[1], y[1]
    found.add(base + a0, base + a1, base + b0, base + b1)


TEXT = re.compile(rb"[^\0]{4,}")
# Shorter runs that are no text recur by chance in tables of words.
NUMBER = 8


def _whole(data: bytes, start: int, stop: int) -> list[re.Match[bytes]]:
    """Return the runs without zeros in a range that are not part of longer ones."""
    return [
        match
        for match in TEXT.finditer(data, start, stop)
        if data[match.start() - 1 : match.start()] in {b"\0", b""}
        and data[match.end() : match.end() + 1] in {b"\0", b""}
        and (len(match[0]) >= NUMBER or _printable(match[0]))
    ]


def permuted(pieces: list[Piece], left: bytes, right: bytes) -> list[Piece]:
    """Pair strings that the pieces do not pair because they stand in another order: equal ones, and those that changed
    where equal ones moved; paths also where a piece has more strings on one side: longer ones are aligned otherwise."""
    odd = [p for p in pieces if p.name is None and left[p.l0 : p.l1] != right[p.r0 : p.r1]]
    ones: list[tuple[int, int]] = []
    twos: list[tuple[int, int]] = []
    uneven: set[int] = set()
    homes: tuple[dict[tuple[int, int], int], dict[tuple[int, int], int]] = ({}, {})
    for number, piece in enumerate(odd):
        here, there = _whole(left, piece.l0, piece.l1), _whole(right, piece.r0, piece.r1)
        if piece.equal:
            shift = piece.r0 - piece.l0
            stay = {m.start() for m in here if right[m.start() + shift : m.end() + shift] == m[0]}
            here = [m for m in here if m.start() not in stay]
            there = [m for m in there if m.start() - shift not in stay]
        if len(here) != len(there):
            uneven.add(number)
        ones += [m.span() for m in here]
        twos += [m.span() for m in there]
        homes[0].update((m.span(), number) for m in here)
        homes[1].update((m.span(), number) for m in there)
    places: dict[bytes, list[tuple[int, int]]] = {}
    for span in sorted(twos, reverse=True):
        places.setdefault(right[slice(*span)], []).append(span)
    pairs = [(span, places[text].pop()) for span in sorted(ones) if places.get(text := left[slice(*span)])]
    moved = bool(pairs)
    used = {one for one, _two in pairs}, {two for _one, two in pairs}
    rest = [
        [
            span
            for span in sorted(spans)
            if span not in known
            and (moved or (home[span] in uneven and b"/" in data[slice(*span)]))
            and texts(data[slice(*span)], data[slice(*span)])
        ]
        for spans, known, data, home in ((ones, used[0], left, homes[0]), (twos, used[1], right, homes[1]))
    ]
    pairs += [
        (one, two)
        for one, two in pair_strings(left, right, *rest)
        if one and two and _similar(left[slice(*one)], right[slice(*two)])
    ]
    if not pairs:
        return pieces
    cuts: tuple[dict[int, list[tuple[int, int]]], dict[int, list[tuple[int, int]]]] = ({}, {})
    for one, two in pairs:
        cuts[0].setdefault(homes[0][one], []).append(one)
        cuts[1].setdefault(homes[1][two], []).append(two)
    wrong = set(map(id, odd))
    found = [piece for piece in pieces if id(piece) not in wrong]
    found += [Piece(*one, *two) for one, two in pairs]
    alone: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])
    for number, piece in enumerate(odd):
        lefts = _outside(piece.l0, piece.l1, sorted(cuts[0].get(number, [])))
        rights = _outside(piece.r0, piece.r1, sorted(cuts[1].get(number, [])))
        if len(lefts) == len(rights):
            found += [Piece(*a, *b) for a, b in zip(lefts, rights, strict=True)]
            continue
        for side, (data, spans) in enumerate(((left, lefts), (right, rights))):
            for span in spans:
                if data[slice(*span)].strip(b"\0"):
                    alone[side].append(span)
                else:
                    found.append(Piece(0, 0, *span) if side else Piece(*span, 0, 0))
    if len(alone[0]) == len(alone[1]):
        return found + [Piece(*a, *b) for a, b in zip(*map(sorted, alone), strict=True)]
    return found + [Piece(*a, 0, 0) for a in alone[0]] + [Piece(0, 0, *b) for b in alone[1]]


def _similar(one: bytes, two: bytes) -> bool:
    """Tell whether two strings have half of the shorter one in common, at their ends, or name one source file each,
    whose name is the same."""
    most = min(len(one), len(two))
    tail = common_suffix(one, two, most)
    if one[:1] == two[:1] == b"/" and is_source(one) and b"/" in one[len(one) - tail :]:
        return True
    return 2 * (tail + common_prefix(one[: len(one) - tail], two[: len(two) - tail])) >= most


def _outside(start: int, stop: int, cuts: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return what is left of a range without the cuts, which are in order."""
    found = []
    for first, last in cuts:
        if first > start:
            found.append((start, first))
        start = last
    return [*found, (start, stop)] if stop > start else found


def filled(left: bytes, right: bytes) -> list[Piece]:
    """Align two tables that may be filled up with zeros to different lengths."""
    most = min(len(left), len(right))
    if len(left) != len(right) and (left[most:] + right[most:]).strip(b"\0"):
        found = _Joiner()
        _gap(left, right, (0, len(left), 0, len(right)), 0, found, TOKEN)
        return found.pieces
    if len(left) != len(right) and most and not (left + right).strip(b"\0"):
        # What fills up ends where the next thing begins.
        return [Piece(0, len(left), 0, len(right))]
    return identity(len(left), len(right))


def _filled(data: bytes, start: int, stop: int) -> tuple[int, int]:
    """Return the bounds of what lies between zeros that fill up."""
    first = stop - len(data[start:stop].lstrip(b"\0"))
    last = start + len(data[start:stop].rstrip(b"\0"))
    return (first, last) if first < last else (stop, stop)


def _changed_text(one: bytes, two: bytes) -> bool:
    return len(one) >= ANCHOR and len(two) >= ANCHOR and texts(one, two)


def texts(one: bytes, two: bytes) -> bool:
    """Tell whether both are text."""
    return bool(one) and bool(two) and _printable(one) and _printable(two)


def _printable(data: bytes) -> bool:
    try:
        return all(c.isprintable() or c in "\t\n\r" for c in data.decode())
    except UnicodeDecodeError:
        return False


def pair_strings(
    left: bytes, right: bytes, ones: list[tuple[int, int]], twos: list[tuple[int, int]]
) -> list[tuple[tuple[int, int] | None, tuple[int, int] | None]]:
    """Pair strings that have no equal: in order where there are as many, else by what they have in common."""
    if len(ones) * len(twos) > PAIRS_MAX * PAIRS_MAX:
        if len(ones) == len(twos):
            return list(zip(ones, twos, strict=True))
        return [(one, None) for one in ones] + [(None, two) for two in twos]
    scores = []
    others = [right[slice(*two)].rstrip(b"\0") for two in twos]
    for i, one in enumerate(ones):
        a = left[slice(*one)].rstrip(b"\0")
        for j, b in enumerate(others):
            tail = common_suffix(a, b, min(len(a), len(b)))
            head = common_prefix(a[: len(a) - tail], b[: len(b) - tail])
            if a and b and (len(ones) == len(twos) or head + tail >= ANCHOR):
                scores.append((head + tail, -abs(i - j), -i, -j))
    scores.sort(reverse=True)
    first: dict[int, int] = {}
    second: set[int] = set()
    for _score, _near, i, j in scores:
        if -i not in first and -j not in second:
            first[-i] = -j
            second.add(-j)
    pairs: list[tuple[tuple[int, int] | None, tuple[int, int] | None]] = [
        (one, twos[first[i]] if i in first else None) for i, one in enumerate(ones)
    ]
    return pairs + [(None, two) for j, two in enumerate(twos) if j not in second]


class Symbol(NamedTuple):
    """A named range of a section: key tells it from others of its name."""

    start: int
    size: int
    key: tuple[bytes, bytes, int]

    @property
    def name(self) -> bytes:
        return self.key[0]


def by_symbols(ones: list[Symbol], twos: list[Symbol], left: int, right: int) -> tuple[list[Piece], bool]:
    """Align the ranges that symbols name, and what lies behind each with what lies behind its twin.

    left, right: sizes of the sections. Returns the pieces, one-sided ones too, and whether the order differs.
    """
    starts = {symbol.key: number for number, symbol in enumerate(twos)}
    used: set[int] = set()
    moved, last = False, -1
    pieces = [Piece(0, ones[0].start if ones else left, 0, twos[0].start if twos else right)]
    rights = _ranges(twos, right)
    for symbol, (a0, a1, a2) in zip(ones, _ranges(ones, left), strict=True):
        twin = starts.get(symbol.key)
        if twin is None:
            pieces.append(Piece(a0, a2, 0, 0, symbol.key[0]))
            continue
        used.add(twin)
        if twin < last:
            moved = True
        else:
            last = twin
        b0, b1, b2 = rights[twin]
        pieces.append(Piece(a0, a1, b0, b1, symbol.key[0]))
        if a2 > a1 or b2 > b1:
            pieces.append(Piece(a1, a2, b1, b2))
    for number, symbol in enumerate(twos) if len(used) < len(twos) else ():
        if number not in used:
            b0, _b1, b2 = rights[number]
            pieces.append(Piece(0, 0, b0, b2, symbol.name))
    return [p for p in pieces if p[1] > p[0] or p[3] > p[2]], moved


def _ranges(symbols: list[Symbol], size: int) -> list[tuple[int, int, int]]:
    """Return where each symbol starts and stops, and where the next one starts or all ends; size: of the section."""
    after = [*(symbol.start for symbol in symbols[1:]), size]
    return [
        (start, min(start + length, end) if length else end, end)
        for (start, length, _key), end in zip(symbols, after, strict=bool(symbols))
    ]
