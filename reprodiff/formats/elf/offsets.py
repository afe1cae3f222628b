"""The global offset table: one address for each thing that code reaches through it, in the order of first use.

Slots that hold the same on both sides correspond, wherever they stand.
"""

from collections import Counter
from typing import Any

import numpy as np

from reprodiff.formats.program.image import Section, string
from reprodiff.formats.program.names import RELATIVE, SHT_RELA
from reprodiff.formats.program.pieces import Piece
from reprodiff.formats.program.side import Side
from reprodiff.formats.program.sides import Both, Pair


def slots(both: Both, pair: Pair) -> list[Piece] | None:
    """Align the slots of a table whose relocations stand in another order; None where they do not."""
    word = both.left.image.word
    size = pair.one.size
    if size != pair.two.size or size % word:
        return None
    ones, twos = holdings(both.left, pair.one), holdings(both.right, pair.two)
    # A slot that one side has empty stands for nothing: where another place holds something it is another relocation.
    if ones.keys() != twos.keys() or not ones or any(at % word for at in ones):
        return None
    keys = {at: _there(both, held) for at, held in ones.items()}
    places: dict[Any, list[int]] = {}
    for at, held in sorted(twos.items(), reverse=True):
        places.setdefault(held, []).append(at)
    if Counter(keys.values()) != Counter(twos.values()):
        return None
    found: list[Piece] = []
    for at in range(0, size, word):
        to = places[keys[at]].pop() if at in keys else at
        if found and found[-1].l1 == at and found[-1].r1 == to:
            found[-1] = Piece(found[-1].l0, at + word, found[-1].r0, to + word)
        else:
            found.append(Piece(at, at + word, to, to + word))
    return found if len(found) > 1 else None


def holdings(side: Side, section: Section) -> dict[int, Any]:
    """Return what relocations put into a table, by offset: a right-hand address, or a symbol."""
    image = side.image
    found: dict[int, Any] = {}
    for table in image.sections:
        if table.type != SHT_RELA or not table.alloc or not table.stored:
            continue
        size = table.size // (3 * image.word) * 3 * image.word
        rows = np.frombuffer(side.data(table)[:size], f"{image.order}i{image.word}").reshape(-1, 3)
        rows = rows[(rows[:, 0] >= section.place) & (rows[:, 0] < section.place + section.size)]
        symbols = image.linked(table)
        names = image.linked(symbols) if symbols else None
        known = list(image.symbols(side.data(symbols))) if symbols and len(rows) else []
        mask, shift = (0xFFFFFFFF, 32) if image.wide else (0xFF, 8)
        for place, info, addend in rows.tolist():
            number = info >> shift
            if info & mask in RELATIVE.get(image.machine, ()):
                found[place - section.place] = addend
            elif names is not None and 0 <= number < len(known):
                name = string(side.data(names), known[number][0])
                found[place - section.place] = info & mask, name, addend
    return found


def _there(both: Both, held: Any) -> Any:
    """Return what a slot of the left side would hold on the right."""
    if isinstance(held, tuple):
        return held
    target = both.section_at(held)
    if target is None:
        return held, None
    to = int(both.pieces(target).to(np.array([held - target.one.place], np.int64))[0])
    return to + target.two.place if to >= 0 else (held, None)
