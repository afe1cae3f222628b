"""Words of data that are the same on both sides although what they lead to is not: entries of jump tables and of frame
tables that count from a place; where functions and objects stand in another order, two pointers that were exchanged may
have each other's old values."""

from typing import Any

import numpy as np

from reprodiff.codecs import RAW
from reprodiff.formats import Walk
from reprodiff.formats.program.names import ET_EXEC, ET_REL, SHF_WRITE
from reprodiff.formats.program.sides import Both, Pair
from reprodiff.formats.program.words import gather

SHOWN_MAX = 64
# Entries that a table has at least.
ENTRIES_MIN = 3
# A version, and how its words are stored: pc-relative, 4 bytes, counted from its start (LSB, .eh_frame_hdr).
LOOKED_UP = b"\x01\x1b\x03\x3b"


def unmoved(
    walk: Walk, both: Both, pair: Pair, where: str, data: tuple[bytes, bytes], offsets: tuple[int, int]
) -> None:
    """Put words of data that lead elsewhere than their twins, with the same bytes; offsets: of the sections in their
    streams."""
    image = both.left.image
    if both.still or image.type == ET_REL or pair.one.code or not pair.one.alloc or not data[0] or not data[1]:
        return
    if pair.one.name.startswith((b".eh_frame", b".gcc_except_table")):
        if not both.arranged:
            _put(walk, where, *_frames(both, pair, data), 4, offsets)
        return
    if image.type == ET_EXEC and both.arranged:
        at = np.arange(-pair.one.place % image.word, len(data[0]) - image.word + 1, image.word)
        at, others, ones, twos = _words(both, pair, data, at, image.word, False)
        bad = (ones == twos) & both.addresses.covered(ones) & ~both.addresses.same(ones, twos)
        _put(walk, where, at[bad], others[bad], image.word, offsets)
    if both.x86 and not pair.one.flags & SHF_WRITE:
        at = np.arange(-pair.one.place % 4, len(data[0]) - 3, 4)
        _put(walk, where, *_entries(both, pair, data, at), 4, offsets)


def _words(both: Both, pair: Pair, data: tuple[bytes, bytes], at: Any, width: int, signed: bool) -> Any:
    """Return left offsets, right offsets and the values of words at offsets that correspond."""
    pieces = both.pieces(pair)
    others = pieces.to(at)
    whole = (others >= 0) & (pieces.to(at + width - 1) == others + width - 1) & (others + width <= len(data[1]))
    at, others = at[whole], others[whole]
    order = both.left.image.order
    ones, twos = (
        gather(np.frombuffer(raw, np.uint8), places, width, order, signed)
        for raw, places in zip(data, (at, others), strict=True)
    )
    return at, others, ones, twos


def _frames(both: Both, pair: Pair, data: tuple[bytes, bytes]) -> tuple[Any, Any]:
    """Return where on both sides words that say where a function or its record is are equal and should not be: in a table
    of frames counted from themselves, in that to look functions up counted from its start."""
    if pair.one.name == b".eh_frame":
        at = both.left.described(pair.one)[0] + 8
    elif pair.one.name == b".eh_frame_hdr" and data[0][:4] == data[1][:4] == LOOKED_UP:
        at = np.arange(12, len(data[0]) - 3, 4)
    else:
        at = np.zeros(0, np.int64)
    own = int(pair.one.name == b".eh_frame")
    at, others, ones, twos = _words(both, pair, data, at, 4, True)
    lefts, rights = pair.one.place + own * at + ones, pair.two.place + own * others + twos
    good = both.addresses.same(lefts, rights)
    bad = (ones == twos) & ~good & both.told(lefts, rights)
    # Where most do not lead to the same they are something else.
    if 2 * int(good.sum()) < len(at):
        bad[:] = False
    return at[bad], others[bad]


def _entries(both: Both, pair: Pair, data: tuple[bytes, bytes], at: Any) -> tuple[Any, Any]:
    """Return where on both sides entries of jump tables stand that are equal and should not be."""
    begins = both.left.references(pair.one)
    at, others, ones, twos = _words(both, pair, data, at, 4, True)
    index = np.searchsorted(begins, at, "right") - 1
    at, others, ones, twos, index = (column[index >= 0] for column in (at, others, ones, twos, index))
    if not len(at):
        return at, others
    starts = begins[index]
    rights = both.pieces(pair).to(starts)
    lefts = pair.one.place + starts + ones
    code = np.zeros(len(at), bool)
    for other in both.pairs:
        if other.one.code:
            code |= (lefts >= other.one.place) & (lefts < other.one.place + other.one.size)
    code &= rights >= 0
    good = code & both.addresses.same(lefts, pair.two.place + rights + twos)
    counts = np.bincount(index[good], minlength=len(begins))[index]
    every = np.bincount(index[code], minlength=len(begins))[index]
    bad = code & ~good & (ones == twos) & (counts >= ENTRIES_MIN) & (2 * counts >= every)
    bad &= both.addresses.covered(lefts)
    return at[bad], others[bad]


def _put(walk: Walk, where: str, at: Any, others: Any, width: int, offsets: tuple[int, int]) -> None:
    for one, two in list(zip(at.tolist(), others.tolist(), strict=True))[:SHOWN_MAX]:
        spans = (one + offsets[0], one + width + offsets[0]), (two + offsets[1], two + width + offsets[1])
        walk.put(where, (), *spans, RAW, shown=("leads to one place", "leads to another, with the same bytes"))
