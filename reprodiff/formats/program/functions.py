"""Which function of a stripped file is which on the other side: by their bytes without what moves."""

from typing import Any

import numpy as np

from reprodiff.formats.program.image import Section
from reprodiff.formats.program.machines import instructions
from reprodiff.formats.program.machines.x86 import ABSOLUTE, address
from reprodiff.formats.program.names import EM_386, EM_X86_64, ET_EXEC, SHF_WRITE
from reprodiff.formats.program.pieces import Symbol
from reprodiff.formats.program.sequence import matched
from reprodiff.formats.program.side import Side
from reprodiff.formats.program.words import gather

# How much of a text that a function refers to tells it from others.
TEXT_MIN, TEXT_MAX = 3, 64
PRINTED = bytes((9, 10, 13, *range(0x20, 0x7F)))


def alike(
    left: Side, right: Side, one: Section, two: Section, ones: list[tuple[int, int]], twos: list[tuple[int, int]]
) -> tuple[list[Symbol], list[Symbol]]:
    """Return functions as symbols that have one key where they are the same; (offset, size) of each side's."""
    sides = []
    referring = []
    for side, section, rows in ((left, one, ones), (right, two, twos)):
        if side.image.machine in {EM_386, EM_X86_64}:
            fields = side.sweep(section)
            blank = blanked(side, section, fields)
        else:
            blank, fields = emptied(side, section)
        sides.append([blank[start : start + size] for start, size in rows])
        texts = _texts(side, section, fields, rows)
        referring.append([(code, texts.get(index, b"")) for index, code in enumerate(sides[-1])])
    names: tuple[dict[int, int], dict[int, int]] = ({}, {})
    number = 0

    def pair(i: int, j: int) -> None:
        nonlocal number
        names[0][i] = names[1][j] = number
        number += 1

    # First those that refer to the same texts as well: short functions differ in nothing else.
    every: tuple[list[list[Any]], ...] = (referring, sides)
    for keys in every:
        rest = [[i for i in range(len(side)) if i not in known] for side, known in zip(keys, names, strict=True)]
        for i, j, count in matched([keys[0][i] for i in rest[0]], [keys[1][j] for j in rest[1]]):
            for step in range(count):
                pair(rest[0][i + step], rest[1][j + step])
        _elsewhere(keys, names, pair)
    # What stands behind functions that are the same is the same, changed.
    places = {number: j for j, number in names[1].items()}
    twin = {i: places[number] for i, number in names[0].items()}
    for i in range(len(ones)):
        j = twin.get(i - 1, -1) + 1
        if i not in names[0] and j not in names[1] and j < len(twos) and (i == 0 or i - 1 in twin):
            pair(i, j)
            twin[i] = j
    found = []
    for side_number, rows in enumerate((ones, twos)):
        symbols: list[Symbol] = []
        for index, (start, size) in enumerate(rows):
            if symbols and start < symbols[-1].start + symbols[-1].size:
                continue
            label = names[side_number].get(index)
            key = b"#%d" % label if label is not None else b"#%s%d" % ((b"left", b"right")[side_number], index)
            symbols.append(Symbol(start, size, (key, b"", 0)))
        found.append(symbols)
    return found[0], found[1]


def blanked(side: Side, section: Section, fields: Any) -> bytes:
    """Return the code of a section with zeros where it has displacements. fields: of the instructions that count."""
    code = np.frombuffer(side.data(section), np.uint8).copy()
    if fields is not None:
        at = fields.at[fields.kind != ABSOLUTE]
        if side.image.type == ET_EXEC or side.image.machine == EM_386:
            # Numbers of a program that is loaded anywhere are no addresses.
            loaded = [s for s in side.image.sections if s.alloc and s.size]
            plain = fields.at[fields.kind == ABSOLUTE]
            values = address(gather(code, plain, 4, "<", True), plain + section.place)
            first, last = min(s.place for s in loaded), max(s.place + s.size for s in loaded)
            at = np.concatenate([at, plain[(values >= first) & (values <= last)]])
        for i in range(4):
            code[at + i] = 0
    return code.tobytes()


def emptied(side: Side, section: Section) -> tuple[Any, instructions.Fields]:
    """Return the bytes of a section of code without displacements, and its fields."""
    code = np.frombuffer(side.data(section), np.uint8).copy()
    if side.family is None:
        return code.tobytes(), instructions.nothing()
    rows = fields = side.sweep(section)
    if side.image.type != ET_EXEC and side.image.machine != EM_386:
        # Numbers of a program that is loaded anywhere are no addresses.
        rows = fields.take(np.flatnonzero(fields.role != instructions.ABSOLUTE))
    if len(rows.at):
        held = side.read(section, rows, rows.at, rows.at + rows.head, rows.at + rows.anchor).read
        headed = np.flatnonzero(rows.head)
        _put(code, rows.at, rows.size, held.core, side.image.order)
        _put(code, (rows.at + rows.head)[headed], rows.top[headed], held.head[headed], side.image.order)
    return code.tobytes(), fields


def _put(code: Any, at: Any, size: Any, value: Any, order: str) -> None:
    """Write words of 2, 4 or 8 bytes."""
    for i in range(8):
        chosen = size > i
        last = size[chosen].astype(np.int64) - 1
        shift = 8 * (i if order == "<" else last - i)
        code[at[chosen] + i] = (value[chosen] >> shift) & 0xFF


def _texts(side: Side, section: Section, fields: Any, rows: list[tuple[int, int]]) -> dict[int, bytes]:
    """Return the beginnings of the texts that functions refer to, by the number of the function; (offset, size) of each."""
    at, target = side.targets(section, fields)
    starts = np.array([start for start, _size in rows], np.int64)
    found: dict[int, bytes] = {}
    for other in side.image.sections:
        if not other.alloc or other.code or other.flags & SHF_WRITE or not other.stored:
            continue
        data = side.data(other)
        for index in np.flatnonzero((target >= other.place) & (target < other.place + other.size)).tolist():
            number = int(np.searchsorted(starts, at[index], "right")) - 1
            text = data[(start := int(target[index]) - other.place) : start + TEXT_MAX].split(b"\0", 1)[0]
            if len(text) >= TEXT_MIN and not text.translate(None, PRINTED):
                found[number] = found.get(number, b"") + b"\0" + text
    return found


def _elsewhere(sides: list[list[Any]], names: tuple[dict[int, int], dict[int, int]], pair: Any) -> None:
    """Pair equal functions that stand in another order."""
    places: dict[Any, list[int]] = {}
    for j, code in reversed(list(enumerate(sides[1]))):
        if j not in names[1]:
            places.setdefault(code, []).append(j)
    for i, code in enumerate(sides[0]):
        if i not in names[0] and places.get(code):
            pair(i, places[code].pop())


def called(
    rows: tuple[list[Symbol], list[Symbol]], names: tuple[list[Symbol], list[Symbol]]
) -> tuple[list[Symbol], list[Symbol]]:
    """Give functions that were found alike the names that both sides share with other files, and pair by name those that
    have no twin."""
    numbers = [{symbol.start: number for number, symbol in enumerate(side)} for side in rows]
    keys = [{symbol.key for symbol in side} for side in rows]
    twins = {symbol.key: symbol for symbol in names[1]}
    found = [list(side) for side in rows]
    for symbol in names[0]:
        twin = twins.get(symbol.key)
        i = numbers[0].get(symbol.start)
        j = numbers[1].get(twin.start) if twin is not None else None
        if i is None or j is None:
            continue
        one, two = rows[0][i], rows[1][j]
        alone = one.key not in keys[1] and two.key not in keys[0]
        if one.key == two.key or alone:
            found[0][i], found[1][j] = one._replace(key=symbol.key), two._replace(key=symbol.key)
    return found[0], found[1]
