"""Section groups of object files (System V gABI, chapter 4): sections that a linker takes or drops together."""

import numpy as np

from reprodiff.codecs import RAW
from reprodiff.formats import Walk
from reprodiff.formats.program.image import string
from reprodiff.formats.program.rows import rows
from reprodiff.formats.program.sides import Both, Pair


def members(walk: Walk, both: Both, pair: Pair, where: str) -> None:
    """Compare two section groups (System V gABI, chapter 4): numbers of sections that belong together."""
    order = both.left.image.order
    ones, twos = (
        np.frombuffer(data[: len(data) // 4 * 4], f"{order}u4").tolist()
        for data in (both.left.data(pair.one), both.right.data(pair.two))
    )
    moved = both.siblings
    gone, come = (moved.gone, moved.come) if moved is not None else (frozenset(), frozenset())
    expected = [both.to_right.get(number, -1) for number in ones[1:] if number not in gone]
    spans = (pair.one.offset, pair.one.offset + pair.one.size), (pair.two.offset, pair.two.offset + pair.two.size)
    same = ones[:1] == twos[:1] and expected == [number for number in twos[1:] if number not in come]
    if same and both.left.data(pair.one) == both.right.data(pair.two):
        return
    (walk.put_follow if same else walk.put)(where, (), *spans, RAW)


def signature(both: Both, pair: Pair) -> bool:
    """Tell whether two section groups are named by the same symbol, by number in their sh_info."""
    named = []
    for side, section in ((both.left, pair.one), (both.right, pair.two)):
        table = side.image.linked(section)
        symbols = rows(side.data(table), side.image, "symbol") if table is not None else ()
        strings = side.image.linked(table) if table is not None else None
        if strings is None or not 0 < section.info < len(symbols):
            return False
        symbol = symbols[section.info]
        name = string(side.data(strings), int(symbol["st_name"]))
        number = int(symbol["st_shndx"])
        known = both.to_right.get(number, -1) if side is both.left else number
        named.append((name, int(symbol["st_info"]), known if not name else 0))
    return named[0] == named[1]
