"""Words of object files whose relocations have no addend of their own (SHT_REL): it is in the word.

Where the symbol of such a relocation is a section the word is an offset into it, and follows where that moves.
"""

from typing import Any

import numpy as np

from reprodiff.formats.program.image import Section
from reprodiff.formats.program.machines import instructions
from reprodiff.formats.program.names import EM_386, EM_ARM, SHT_REL, STT_SECTION
from reprodiff.formats.program.side import Side
from reprodiff.formats.program.sides import Both, Pair
from reprodiff.formats.program.words import Differing, distinct, gather

# Types of relocations: the offset itself, the offset less the place of the word, and what of it MOVW or MOVT have in
# A32 and in T32 (ELF for the Arm architecture, 5.6.1; Intel386 psABI, 4.4).
PLAIN = {EM_ARM: (2, 24), EM_386: (1, 9)}
COUNTED = {EM_ARM: (3, 42), EM_386: (2,)}
HALVES = {EM_ARM: ((43, 44, 45, 46), (47, 48, 49, 50))}


def decide(both: Both, pair: Pair, found: Differing) -> None:
    """Accept the words of a section that relocations make an offset to the same place of another section."""
    image = both.left.image
    if image.machine not in PLAIN or not len(found.one):
        return
    for table in both.pairs:
        if table.one.type == SHT_REL and table.one.info == pair.one.number and table.one.stored and table.two.stored:
            _apply(both, pair, table, found)


def _rows(both: Both, table: Section, *, left: bool) -> tuple[Any, Any, Any]:
    """Return (offsets, types, numbers of symbols) of relocations."""
    side = both.left if left else both.right
    rows = (
        np.frombuffer(side.data(table)[: table.size // 8 * 8], f"{side.image.order}u4").reshape(-1, 2).astype(np.int64)
    )
    return rows[:, 0], rows[:, 1] & 0xFF, rows[:, 1] >> 8


def held(side: Side, section: Section, places: Any) -> Any:
    """Return the words at places of a section, as signed numbers of 32 bits; a number that leads nowhere for those that
    do not lie in it."""
    data = np.frombuffer(side.data(section), np.uint8)
    found = np.full(len(places), -(1 << 40), np.int64)
    inside = np.flatnonzero((places >= 0) & (places + 4 <= len(data)))
    found[inside] = gather(data, places[inside], 4, side.image.order, True)
    return found


def _moved(both: Both, pair: Pair, table: Pair, found: Differing, rows: Any) -> None:
    """Accept words that lead to a text which stands in a sibling section on the right; rows: offsets, types and sections of
    symbols on the left."""
    at, types, sections = rows
    places, others, names = _rows(both, table.two, left=False)
    symbols = both.right.image.linked(table.two)
    if both.siblings is None or symbols is None or both.left.image.machine != EM_386:
        return
    targets = np.zeros(len(places), np.int64)
    for number, row in enumerate(both.right.image.symbols(both.right.data(symbols))):
        if row[1] & 15 == STT_SECTION and row[3] in both.siblings.related[1]:
            targets[names == number] = row[3]
    there = {
        place: (kind, target)
        for place, kind, target in zip(places.tolist(), others.tolist(), targets.tolist(), strict=True)
    }
    moved = both.pieces(pair).to(at)
    twins = np.array([there.get(place, (-1, -1)) for place in moved.tolist()], np.int64).reshape(-1, 2)
    same = (twins[:, 0] == types) & (twins[:, 1] > 0) & (moved >= 0)
    values = held(both.left, pair.one, at), held(both.right, pair.two, moved)
    behind = (4, 5, 6, 8) if pair.one.code else (0,)
    for kinds, far in ((PLAIN[EM_386], (0,)), (COUNTED[EM_386], behind)):
        good = same & np.isin(types, kinds) & both.siblings.across(sections, twins[:, 1], *values, far)
        found.accept_fields(np.sort(at[good]), lambda starts, _o, _ones, _twos: np.ones(len(starts), bool))


def _apply(both: Both, pair: Pair, table: Pair, found: Differing) -> None:
    machine = both.left.image.machine
    at, types, symbols = _rows(both, table.one, left=True)
    places, others, _names = _rows(both, table.two, left=False)
    # The same kind of relocation is there on the right.
    moved = both.pieces(pair).to(at)
    known = set(zip(places.tolist(), others.tolist(), strict=True))
    same = np.array([row in known for row in zip(moved.tolist(), types.tolist(), strict=True)], bool)
    names = both.left.image.linked(table.one)
    if names is None:
        return
    target = np.zeros(len(at), np.int64)
    for number, row in enumerate(both.left.image.symbols(both.left.data(names))):
        if row[1] & 15 == STT_SECTION:
            target[symbols == number] = row[3]
    if both.siblings is not None:
        _moved(both, pair, table, found, (at, types, target))
    for index in distinct(target[same & (target > 0)]).tolist():
        other = both.by_index.get(index)
        if other is None or not other.one.stored or not other.two.stored:
            continue
        pieces = both.pieces(other)
        here = same & (target == index)
        _accept(found, at[here & np.isin(types, PLAIN[machine])], pieces)
        _counted(both, pair, found, at[here & np.isin(types, COUNTED[machine])], pieces)
        for long, kinds in enumerate(HALVES.get(machine, ())):
            _halves(found, at[here & np.isin(types, kinds)], pieces, bool(long))


def _accept(found: Differing, at: Any, pieces: Any, add: int = 0) -> None:
    mask = 0xFFFFFFFF
    found.accept_fields(np.sort(at), lambda _s, _o, ones, twos: pieces.to((ones + add) & mask) == ((twos + add) & mask))


def _counted(both: Both, pair: Pair, found: Differing, at: Any, pieces: Any) -> None:
    """Accept words that are counted from their own place, or from where an instruction adds its place to them."""
    if not len(at):
        return
    if both.left.image.machine == EM_386 or not pair.one.code:
        _accept(found, at, pieces, 4 if both.left.image.machine == EM_386 else 0)
        return
    fields = both.left.sweep(pair.one)
    index = np.minimum(np.searchsorted(fields.at, at), max(len(fields.at) - 1, 0))
    fits = (fields.at[index] == at) & (fields.role[index] == instructions.DATA) if len(fields.at) else index > 0
    for far in distinct((fields.anchor + fields.bias)[index[fits]]).tolist():
        chosen = fits & ((fields.anchor + fields.bias)[index] == far)
        _accept(found, at[chosen], pieces, far)


def _halves(found: Differing, at: Any, pieces: Any, long: bool) -> None:
    """Accept pairs of MOVW and MOVT: both have the lower half of the offset."""
    from reprodiff.formats.program.machines import arm

    def check(_starts: Any, _others: Any, ones: Any, twos: Any) -> Any:
        read = []
        for words in (ones & 0xFFFFFFFF, twos & 0xFFFFFFFF):
            kind = np.full(len(words), arm.form_of_half(long=long) << instructions.FORM | instructions.ABSOLUTE)
            none = np.zeros(len(words), np.int64)
            held = arm.read(kind, words, none, none, none)
            read.append((held.core, held.target >> 16))
        return (read[0][0] == read[1][0]) & (pieces.to(read[0][1]) == read[1][1])

    found.accept_fields(np.sort(at), check)
