"""What code and pointers refer to says where the things in read-only data begin: texts without an end, tables, numbers.

Such things stand one behind the other without a bound of their own. Where a reference on the left and its counterpart
on the right lead into a stretch that has no content in common as a whole, both ends of it are cut there. What lies
between two cuts is still compared byte by byte: a reference says what corresponds, never that it is the same.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from reprodiff.formats.elf import x86
from reprodiff.formats.elf.names import EM_X86_64, ET_REL, RELATIVE, SHF_WRITE, SHT_PROGBITS, SHT_RELA
from reprodiff.formats.elf.pieces import PRINTED, Piece, by_content, texts
from reprodiff.formats.elf.words import gather
from reprodiff.spans import common_prefix, common_suffix

if TYPE_CHECKING:
    from reprodiff.formats.elf.sides import Both, Pair

# What both have in common between two stretches that differ: so little says nothing about what corresponds.
BETWEEN_MAX = 64
# A text that changed has as much in common with what it was.
COMMON_MIN = 4


def refine(both: "Both", pair: "Pair", pieces: list[Piece], left: bytes, right: bytes) -> list[Piece]:
    """Return the pieces of read-only data with those that have no content in common cut at what is referred to."""
    if all(left[p.l0 : p.l1] == right[p.r0 : p.r1] for p in pieces if p.name is None):
        return pieces
    if pair.one.flags & SHF_WRITE or pair.one.type != SHT_PROGBITS or both.left.image.type == ET_REL:
        return pieces
    areas, rest = _areas(pieces, left, right)
    if not areas:
        return pieces
    ones, twos = _pairs(both, pair)
    found = list(rest)
    for area in areas:
        l0, l1, r0, r1 = area[0].l0, area[-1].l1, area[0].r0, area[-1].r1
        inside = (ones >= l0) & (ones < l1) & (twos >= r0) & (twos < r1)
        cut = _cut(left, right, (l0, l1, r0, r1), ones[inside], twos[inside])
        found += cut if _open(cut, left, right) < _open(area, left, right) else area
    return found


def _open(pieces: list[Piece], left: bytes, right: bytes) -> int:
    """Count the bytes of pieces that differ, except for the common ends of those that are not equally long."""
    total = 0
    for p in pieces:
        a, b = left[p.l0 : p.l1], right[p.r0 : p.r1]
        if a == b or not (a.strip(b"\0") or b.strip(b"\0")):
            continue
        if p.equal:
            total += int((np.frombuffer(a, np.uint8) != np.frombuffer(b, np.uint8)).sum())
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


def _pairs(both: "Both", pair: "Pair") -> tuple[Any, Any]:
    """Return what is referred to on both sides from corresponding places, as offsets in the section; one to one."""
    hits: list[tuple[Any, Any]] = []
    one, two = pair.one, pair.two
    image = both.left.image
    for other in both.pairs:
        a, b = other.one, other.two
        if not a.alloc or not a.stored or not b.stored:
            continue
        if a.code and image.machine == EM_X86_64:
            fields = both.left.sweep(a)
            at, end = fields.at[fields.kind == x86.RIP], fields.end[fields.kind == x86.RIP]
            data = np.frombuffer(both.left.data(a), np.uint8), np.frombuffer(both.right.data(b), np.uint8)
            targets = gather(data[0], at, 4, "<", True) + end + (a.place - one.place)
            chosen = (targets >= 0) & (targets < one.size)
            at, end, targets = at[chosen], end[chosen], targets[chosen]
            to = both.pieces(other).to(at)
            whole = (to >= 0) & (to + 4 <= len(data[1]))
            at, end, targets, to = at[whole], end[whole], targets[whole], to[whole]
            hits.append((targets, gather(data[1], to, 4, "<", True) + to + (end - at) + (b.place - two.place)))
        elif a.flags & SHF_WRITE and a.type == SHT_PROGBITS:
            hits.append(_words(both, pair, other))
    tables = [_relative(side) for side in (both.left, both.right)]
    if all(len(table) for table in tables):
        hits.append(_relocated(both, pair, tables))
    ones = np.concatenate([h[0] for h in hits]) if hits else np.zeros(0, np.int64)
    twos = np.concatenate([h[1] for h in hits]) if hits else np.zeros(0, np.int64)
    inside = (ones >= 0) & (ones < one.size) & (twos >= 0) & (twos < two.size)
    rows = np.unique(np.stack([ones[inside], twos[inside]], 1), axis=0)
    for column in (0, 1):
        _values, index, counts = np.unique(rows[:, column], return_inverse=True, return_counts=True)
        rows = rows[counts[index.reshape(-1)] == 1]
    return rows[:, 0], rows[:, 1]


def _words(both: "Both", pair: "Pair", other: "Pair") -> tuple[Any, Any]:
    """Return the targets of aligned words of data that are addresses in the section on both sides."""
    width, order = both.left.image.word, both.left.image.order
    data = np.frombuffer(both.left.data(other.one), np.uint8), np.frombuffer(both.right.data(other.two), np.uint8)
    first = -other.one.addr % width
    at = np.arange(first, max(len(data[0]) - width + 1, first), width, dtype=np.int64)
    ones = gather(data[0], at, width, order, False) - pair.one.place
    chosen = (ones >= 0) & (ones < pair.one.size)
    at, ones = at[chosen], ones[chosen]
    to = both.pieces(other).to(at)
    whole = (to >= 0) & (to + width <= len(data[1]))
    return ones[whole], gather(data[1], to[whole], width, order, False) - pair.two.place


def _relative(side: Any) -> Any:
    """Return (place, address) of the relative relocations of a side, as an array with two columns."""
    image = side.image
    found = [np.zeros((0, 2), np.int64)]
    for table in image.sections:
        if table.type == SHT_RELA and table.alloc and table.stored:
            size = table.size // (3 * image.word) * 3 * image.word
            rows = np.frombuffer(side.data(table)[:size], f"{image.order}i{image.word}").reshape(-1, 3)
            mask = 0xFFFFFFFF if image.wide else 0xFF
            found.append(rows[np.isin(rows[:, 1] & mask, RELATIVE.get(image.machine, ()))][:, (0, 2)].astype(np.int64))
    return np.concatenate(found)


def _relocated(both: "Both", pair: "Pair", tables: list[Any]) -> tuple[Any, Any]:
    """Return what relocations of corresponding places refer to."""
    ones, twos = [], []
    right = tables[1][np.argsort(tables[1][:, 0], kind="stable")]
    inside = (tables[0][:, 1] >= pair.one.place) & (tables[0][:, 1] < pair.one.place + pair.one.size)
    left = tables[0][inside]
    for other in both.pairs:
        a = other.one
        if not (a.alloc and a.flags & SHF_WRITE and a.type == SHT_PROGBITS and other.two.stored):
            continue
        rows = left[(left[:, 0] >= a.place) & (left[:, 0] < a.place + a.size)]
        to = both.pieces(other).to(rows[:, 0] - a.place)
        rows, to = rows[to >= 0], to[to >= 0] + other.two.place
        index = np.minimum(np.searchsorted(right[:, 0], to), len(right) - 1)
        there = right[index, 0] == to
        ones.append(rows[there, 1] - pair.one.place)
        twos.append(right[index[there], 1] - pair.two.place)
    empty = np.zeros(0, np.int64)
    return np.concatenate([empty, *ones]), np.concatenate([empty, *twos])


def _cut(left: bytes, right: bytes, area: tuple[int, int, int, int], ones: Any, twos: Any) -> list[Piece]:
    """Align an area that is cut where references lead to."""
    l0, l1, r0, r1 = area
    starts = [(l0, r0), *((a, b) for a, b in zip(ones.tolist(), twos.tolist(), strict=True) if a > l0 and b > r0)]
    while True:
        blocks = _blocks(starts, l1, r1)
        # Zeros may fill up: where nothing else begins there, a reference to more or fewer of them proves nothing.
        wrong = {(a, b) for a, a1, b, b1 in blocks if (a, b) != (l0, r0) and not _begins(left[a:a1], right[b:b1])}
        if not wrong:
            break
        starts = [start for start in starts if start not in wrong]
    return [
        Piece(a + p.l0, a + p.l1, b + p.r0, b + p.r1)
        for a, a1, b, b1 in blocks
        for p in _block(left[a:a1], right[b:b1])
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


def _block(a: bytes, b: bytes) -> list[Piece]:
    """Align what stands between two references: the same with more or fewer zeros behind it, else by content."""
    if len(a) == len(b):
        return [Piece(0, len(a), 0, len(b))]
    most = min(len(a), len(b))
    if a[:most] == b[:most] and not (a[most:] + b[most:]).strip(b"\0"):
        # What fills up stands before what follows.
        size = max(len(a[:most].rstrip(b"\0")), 0)
        ends = [Piece(0, size, 0, size)] if size else []
        return [*ends, Piece(size, len(a), size, len(b))]
    x, y = a.rstrip(b"\0"), b.rstrip(b"\0")
    if texts(x, y):
        found = [Piece(0, len(x), 0, len(y))]
        if len(x) < len(a) or len(y) < len(b):
            found.append(Piece(len(x), len(a), len(y), len(b)))
        return found
    return by_content(a, b, PRINTED)
