"""Which function of a stripped file is which on the other side: by their bytes without what moves."""

from typing import Any

import numpy as np

from reprodiff.formats.elf.image import Section
from reprodiff.formats.elf.pieces import Symbol
from reprodiff.formats.elf.sequence import matched


def alike(
    left: Any, right: Any, one: Section, two: Section, ones: list[tuple[int, int]], twos: list[tuple[int, int]]
) -> tuple[list[Symbol], list[Symbol]]:
    """Return functions as symbols that have one key where they are the same; (offset, size) of each side's."""
    sides = []
    for side, section, rows in ((left, one, ones), (right, two, twos)):
        code = np.frombuffer(side.data(section), np.uint8).copy()
        fields = side.fields(section, None) if side.image.machine in {3, 62} else None
        if fields is not None:
            for i in range(4):
                code[fields.at + i] = 0
        blank = code.tobytes()
        sides.append([blank[start : start + size] for start, size in rows])
    names: tuple[dict[int, int], dict[int, int]] = ({}, {})
    number = 0

    def pair(i: int, j: int) -> None:
        nonlocal number
        names[0][i] = names[1][j] = number
        number += 1

    at_i = at_j = 0
    for i, j, count in [*matched(sides[0], sides[1]), (len(ones), len(twos), 0)]:
        # Between what is alike, as many functions on both sides are the same ones in order.
        if i - at_i == j - at_j:
            for step in range(i - at_i):
                pair(at_i + step, at_j + step)
        for step in range(count):
            pair(i + step, j + step)
        at_i, at_j = i + count, j + count
    _elsewhere(sides, names, pair)
    found = []
    for side_number, rows in enumerate((ones, twos)):
        symbols = []
        for index, (start, size) in enumerate(rows):
            if symbols and start < symbols[-1].start + symbols[-1].size:
                continue
            label = names[side_number].get(index)
            key = b"#%d" % label if label is not None else b"#%s%d" % ((b"left", b"right")[side_number], index)
            symbols.append(Symbol(start, size, (key, b"", 0)))
        found.append(symbols)
    return found[0], found[1]


def _elsewhere(sides: list[list[bytes]], names: tuple[dict[int, int], dict[int, int]], pair: Any) -> None:
    """Pair equal functions that stand in another order."""
    places: dict[bytes, list[int]] = {}
    for j, code in reversed(list(enumerate(sides[1]))):
        if j not in names[1]:
            places.setdefault(code, []).append(j)
    for i, code in enumerate(sides[0]):
        if i not in names[0] and places.get(code):
            pair(i, places[code].pop())
