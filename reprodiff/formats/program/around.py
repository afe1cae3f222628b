"""The text or path that a byte which differs lies in, on both sides."""

import re
from typing import NamedTuple

import numpy as np

from reprodiff.formats.program.pieces import Piece, texts
from reprodiff.formats.program.sides import Both, Pair

# A text among numbers: something that names a file, a symbol or a type.
PATH = re.compile(rb"[\x20-\x7e]*")
PRINTED_BEFORE = re.compile(rb"[\x20-\x7e\t\n]*")
NAME = re.compile(rb"[\w.+~/@$:<>, *&()-]{6,}")


class Stream(NamedTuple):
    """The bytes of a section pair, and where in the streams of a walk they start."""

    left: bytes
    right: bytes
    one: int
    two: int


def text_around(both: Both, pair: Pair, stream: Stream, piece: Piece | None, a: int, b: int) -> int | None:
    """Return where the text begins that a differing byte lies in on both sides, None where it is no text."""
    section = pair.one
    least = 1 if section.strings else 4
    loose = section.alloc and not section.strings
    start = stream.left.rfind(b"\0", max(0, a - 4096), a) + 1
    if loose:
        # The longer of two texts tells where both begin: behind the shorter one there is nothing but zeros.
        start = min(start, stream.right.rfind(b"\0", max(0, b - 4096), b) + 1 + a - b)
    stop = text_stop(stream, start, start + b - a, loose)
    if piece is None or start < piece.l0 or start <= a - 4096 or stop is None or stop > piece.l1 or stop <= a:
        return None
    while start < a and stream.left[start] < 0x20:
        start += 1
    one, two = _text_sides(stream, start, stop, b - a)
    if loose and not texts(one, two):
        # Behind a number that has no NUL at its end: what is printed, from where code refers to it.
        start = max(
            a - len(_printed_before(stream.left, start, a)), a - len(_printed_before(stream.right, start + b - a, b))
        )
        places = both.left.references(section)
        first = int(np.searchsorted(places, start))
        if first < len(places) and places[first] <= a:
            start = int(places[first])
        one, two = _text_sides(stream, start, stop, b - a)
    if max(len(one), len(two)) < least or not texts(one, two):
        return None
    if not section.alloc and not section.strings and not (NAME.fullmatch(one) and NAME.fullmatch(two)):
        return None
    return start


def text_stop(stream: Stream, start: int, other: int, loose: bool) -> int | None:
    """Return where two texts end; None where they do not end in one place, nor the shorter one is filled up with zeros
    (loose: where that may be)."""
    ends = stream.left.find(b"\0", max(start, 0), start + 8192), stream.right.find(b"\0", max(other, 0), other + 8192)
    if min(ends) < 0 or start < 0 or other < 0:
        return None
    size = max(ends[0] - start, ends[1] - other)
    rest = stream.left[ends[0] : start + size + 1] + stream.right[ends[1] : other + size + 1]
    same = ends[0] - start == ends[1] - other
    return start + size if same or (loose and not rest.strip(b"\0")) else None


def _text_sides(stream: Stream, start: int, stop: int, shift: int) -> tuple[bytes, bytes]:
    return stream.left[start:stop].rstrip(b"\0"), stream.right[start + shift : stop + shift].rstrip(b"\0")


def _printed_before(data: bytes, start: int, stop: int) -> bytes:
    found = PRINTED_BEFORE.match(data[start:stop][::-1])
    return found[0] if found else b""


def path_around(stream: Stream, piece: Piece | None, a: int, b: int) -> int | None:
    """Return where the path begins that a differing byte lies in on both sides, among other bytes than text."""
    if piece is None or not piece.equal:
        return None
    first = max(piece.l0, a - 4096)
    start = a - len(path_at(stream.left[first:a][::-1], 0))
    start = stream.left.find(b"/", start, a)
    if start < 0:
        return None
    other = b - (a - start)
    size = len(path_at(stream.left, start))
    if size <= a - start or size < 4 or size != len(path_at(stream.right, other)) or start + size > piece.l1:
        return None
    return start


def path_at(data: bytes, start: int) -> bytes:
    """Return what is printable from an offset on."""
    found = PATH.match(data, start, start + 4096)
    return found[0] if found else b""
