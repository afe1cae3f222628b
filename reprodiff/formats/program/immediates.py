"""Lengths of texts in instructions: languages whose texts have no end give code the address and the length.

A number in an instruction follows a text only where code close by refers to that text, where the text grew by as much
as the number did, and where it is as long as the number says on both sides.
"""

from bisect import bisect_left, bisect_right
from typing import Any

import numpy as np

from reprodiff.formats.program.machines import x86
from reprodiff.formats.program.names import SHT_RELA, STT_SECTION
from reprodiff.formats.program.pieces import texts
from reprodiff.formats.program.sides import Both, Pair
from reprodiff.formats.program.words import Differing, displaced

# How far a reference to a text may lie from the number, and how many differing numbers are looked at.
NEAR = 64
RUNS_MAX = 2000


def grown(both: Both, target: "Pair | None", left: int, right: int, one: int, two: int) -> bool:
    """Tell whether a text at two addresses of a section pair is `one` and `two` bytes long, and grew by just that."""
    if target is None or one == two or min(one, two) < 0 or not target.one.stored or not target.two.stored:
        return False
    a, b = left - target.one.place, right - target.two.place
    piece = both.pieces(target).find(a)
    if (
        piece is None
        or piece.equal
        or not (piece.l0 <= a and a + one <= piece.l1 and piece.r0 <= b and b + two <= piece.r1)
    ):
        return False
    data, other = both.left.data(target.one), both.right.data(target.two)
    return (
        two - one == (piece.r1 - piece.r0) - (piece.l1 - piece.l0)
        and data[piece.l0 : a] == other[piece.r0 : b]
        and data[a + one : piece.l1] == other[b + two : piece.r1]
        and texts(data[a : a + one], other[b : b + two])
    )


def accept(both: Both, pair: Pair, found: Differing) -> None:
    """Accept the lengths of texts in instructions of x86-64 code."""
    runs = found.runs()
    if not runs or len(runs) > RUNS_MAX or not _any(both):
        return
    code = both.left.sweep(pair.one)
    chosen = code.kind == x86.RIP
    at, end = code.at[chosen], code.end[chosen]

    def follows(low: int, high: int, values: list[int]) -> bool:
        near = slice(*np.searchsorted(at, (low, high)).tolist())
        return _follows(both, pair, found, at[near], end[near], values)

    _numbers(both, pair, found, runs, follows)


def accept_object(both: Both, pair: Pair, found: Differing) -> None:
    """Accept the lengths of texts in a section of an object file, whose references are its relocations."""
    runs = found.runs()
    if not runs or len(runs) > RUNS_MAX or not _any(both):
        return
    left, right = _relocations(both.left, pair.one), _relocations(both.right, pair.two)
    places = sorted(left)

    def grew(place: int, values: list[int]) -> bool:
        to = int(found.pieces.to(np.array([place], np.int64))[0])
        one, two = left.get(place), right.get(to)
        target = both.by_index.get(one[0]) if one else None
        if one is None or two is None or target is None or target.two.number != two[0]:
            return False
        return grown(both, target, one[1] + target.one.place, two[1] + target.two.place, *values)

    if pair.one.code:
        if both.x86:
            _numbers(both, pair, found, runs,
                     lambda low, high, values: any(grew(place, values) for place in places[bisect_left(places, low) : bisect_left(places, high)]))  # fmt: skip
        return
    word = both.left.image.word
    order: Any = "little" if both.left.image.order == "<" else "big"
    for a, b, size in runs:
        start = a // word * word
        other = start + b - a
        if a + size > start + word or other < 0 or other + word > len(found.right) or start + word > len(found.left):
            continue
        values = [int.from_bytes(side[at : at + word].tobytes(), order) for side, at in
                  ((found.left, start), (found.right, other))]  # fmt: skip
        if grew(start - word, values):
            found.close(start, start + word)


def _relocations(side: Any, section: Any) -> dict[int, tuple[int, int]]:
    """Return what the relocations of a section refer to, by where they apply: section number and offset in it."""
    image = side.image
    found: dict[int, tuple[int, int]] = {}
    for table in image.sections:
        names = image.linked(table)
        if table.type != SHT_RELA or table.info != section.number or not table.stored or names is None:
            continue
        symbols = list(image.symbols(side.data(names)))
        size = 3 * image.word
        data = side.data(table)
        rows = np.frombuffer(data[: len(data) // size * size], f"{image.order}i{image.word}").reshape(-1, 3)
        for place, info, addend in rows.tolist():
            number = info >> (32 if image.wide else 8)
            if not 0 <= number < len(symbols):
                continue
            _name, kind, _other, shndx, value, _size = symbols[number]
            # A reference from code counts from behind its field of four bytes.
            behind = 4 if section.code else 0
            found[place] = shndx, addend + behind + (0 if kind & 15 == STT_SECTION else value)
    return found


def _numbers(both: Both, pair: Pair, found: Differing, runs: list[tuple[int, int, int]], follows: Any) -> None:
    """Accept numbers at the end of instructions that are otherwise the same.

    follows: of two offsets and the values of both sides, whether a reference between these leads to such a text.
    """
    starts = both.left.fields(pair.one, np.array([run[0] for run in runs], np.int64)).starts.tolist()
    bounds = both.left.bounds(pair.one)
    for a, b, size in runs:
        index = bisect_right(starts, a)
        stop = starts[index] if index < len(starts) else len(found.left)
        function = bisect_right(bounds, a)
        low = max(bounds[function - 1] if function else 0, a - NEAR)
        high = min(bounds[function] if function < len(bounds) else len(found.left), stop + NEAR)
        for width in (4, 1):
            if not (index and stop - width <= a and a + size <= stop):
                continue
            other = b + stop - a
            head = starts[index - 1]
            if (
                found.left[head : stop - width].tobytes()
                != found.right[other - (stop - head) : other - width].tobytes()
            ):
                continue
            values = [int.from_bytes(side[to - width : to].tobytes(), "little") for side, to in
                      ((found.left, stop), (found.right, other))]  # fmt: skip
            # A text may be reached from its end as well, by a number below zero.
            half = 1 << (8 * width - 1)
            if min(values) >= half:
                values = [value - 2 * half for value in values]
            if follows(low, high, values):
                found.close(stop - width, stop)
                break


def _any(both: Both) -> bool:
    """Tell whether any text of read-only data is longer on one side."""
    return any(
        not piece.equal and piece.name is None
        for pair in both.pairs
        if pair.one.alloc and not pair.one.code and not pair.one.flags & 1 and pair.one.stored and pair.two.stored
        for piece in both.pieces(pair).pieces
    )


def _follows(both: Both, pair: Pair, found: Differing, at: Any, end: Any, values: list[int]) -> bool:
    _at, _to, ones, twos = displaced(found.pieces, found.left, found.right, at, end)
    lefts, rights = ones + pair.one.place, twos + pair.two.place
    # Of a text that is reached from its end the number says how far back it begins.
    back = [min(value, 0) for value in values]
    sizes = [abs(value) for value in values]
    return any(
        grown(both, both.section_at(left + back[0]), left + back[0], right + back[1], *sizes)
        for left, right in zip(lefts.tolist(), rights.tolist(), strict=True)
    )
