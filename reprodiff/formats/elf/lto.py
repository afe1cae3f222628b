"""What GCC leaves in an object for link-time optimization: sections `.gnu.lto_*`, each compressed for itself.

A decoded section (gcc/lto-streamer.h) has a header of 4-byte numbers (the sizes of its code and of its texts among them),
code in LEB128, and last the table of its texts: each the number of its bytes in ULEB128, then these. Code refers to a
text by its offset in that table, one more, 0 standing for none. A number in code follows where it refers to the same text
on both sides, or is the length of a text that is another one. What else differs is a change; where both sides have a
number that may be a digest it is put as that.
"""

import struct
import zlib
from typing import NamedTuple

from reprodiff.codecs import RAW, TEXT
from reprodiff.errors import FormatError, LimitError
from reprodiff.formats import Walk
from reprodiff.formats.elf.compressed import inflate
from reprodiff.formats.elf.image import Image
from reprodiff.formats.program.image import Section
from reprodiff.formats.program.keys import key_of
from reprodiff.sources import Source
from reprodiff.spans import common_prefix
from reprodiff.tree import Content, Group, Leaf, Node, Role, children

NAME = b".gnu.lto_"
ZSTD = b"\x28\xb5\x2f\xfd"
# The sizes of headers: a function's or a summary's, that of declarations.
HEADS = (12, 16)
SIZE_MAX = 1 << 26
# So many texts a section may have, and numbers that differ: what is more is told as one.
TEXTS_MAX, NUMBERS_MAX = 1 << 17, 1 << 13
# How many bytes are looked at first to see how far both sides go on alike.
AHEAD = 256
# A smaller number is hardly a digest of 32 bits.
DIGEST = range(1 << 24, 1 << 32)
# Sections that have digests: of declarations, and of what is compared to be folded.
DIGESTED = (b".gnu.lto_.decls.", b".gnu.lto_.icf.")


class _Texts(NamedTuple):
    """A decoded section: where its code and its texts begin, and each text as (offset in the table, start, stop)."""

    code: int
    table: int
    rows: list[tuple[int, int, int]]


def nodes(image: Image, section: Section) -> list[Node]:
    """Return the parts of a section: all of it compressed, or nothing that is known."""
    start, stop = section.offset, section.offset + section.size
    head = image.source.read(start, min(start + 4, stop))
    kind = (
        2 if head == ZSTD else 1 if head[:1] == b"\x78" and len(head) > 1 and not (head[0] << 8 | head[1]) % 31 else 0
    )
    if not kind:
        return []
    return [Leaf("content", start, stop, Role.PAYLOAD,
                 content=Content(("zlib", "zstd")[kind - 1], inflate(image.source, start, stop, kind)))]  # fmt: skip


def compare(walk: Walk, one: Group, two: Group, name: bytes) -> bool:
    """Compare two sections decoded; False where either is not compressed as a whole, or damaged."""
    leaves: list[Leaf] = []
    sources: list[Source] = []
    for group in (one, two):
        parts = children(group)
        leaf = parts[0] if len(parts) == 1 else None
        if not isinstance(leaf, Leaf) or leaf.content is None:
            return False
        try:
            source = leaf.content.open(walk.budget)
        except (FormatError, LimitError, zlib.error):
            return False
        if source.size > SIZE_MAX:
            return False
        leaves.append(leaf)
        sources.append(source)
    where = f"elf/{one.name}"
    inner = walk.enter(leaves[0], leaves[1], f"{where}/content", *sources)
    if inner is not None:
        _decoded(inner, where, sources[0].read(0, sources[0].size), sources[1].read(0, sources[1].size), name)
    return True


def _alike(a: bytes, b: bytes, at: int, to: int) -> int:
    """Return how far two texts of bytes go on alike, without a copy of all that is left of them."""
    step, size = 0, AHEAD
    while True:
        most = min(size, len(a) - at - step, len(b) - to - step)
        found = common_prefix(a[at + step : at + step + most], b[to + step : to + step + most])
        step += found
        if found < most or most < size:
            return step
        size *= 2


def _number(data: bytes, at: int) -> tuple[int, int]:
    """Return a number in ULEB128 and where it ends."""
    value = shift = 0
    while at < len(data) and shift < 70:
        value |= (data[at] & 0x7F) << shift
        at += 1
        if not data[at - 1] & 0x80:
            return value, at
        shift += 7
    return -1, at


def _texts(data: bytes) -> _Texts:
    """Read the table of texts; without one all is code."""
    none = _Texts(0, len(data), [])
    if len(data) < HEADS[-1]:
        return none
    code, size, more = struct.unpack_from("<3i", data)
    if min(code, size, more) < 0 or len(data) - code - size - more not in HEADS:
        return none
    start = len(data) - size
    rows: list[tuple[int, int, int]] = []
    at = start
    while at < len(data):
        length, begin = _number(data, at)
        if length < 0 or begin + length > len(data) or len(rows) == TEXTS_MAX:
            return none
        rows.append((at - start, begin, begin + length))
        at = begin + length
    return _Texts(len(data) - code - size - more, start, rows)


def _decoded(walk: Walk, where: str, a: bytes, b: bytes, name: bytes) -> None:
    one, two = _texts(a), _texts(b)
    if len(one.rows) != len(two.rows) or one.code != two.code or not one.code:
        _code(walk, where, (a, b), (0, len(a)), (0, len(b)), set(), name)
        return
    for at in range(0, one.code, 4):
        if a[at : at + 4] != b[at : at + 4]:
            # The sizes, which add up to that of the section.
            put = walk.put_follow if at in {0, 4, 8} else walk.put
            put(f"{where}/header", (), (at, at + 4), (at, at + 4), RAW)
    same = {(0, 0)}
    for (i, a0, a1), (j, b0, b1) in zip(one.rows, two.rows, strict=True):
        same.add((i + 1, j + 1))
        left, right = a[a0:a1], b[b0:b1]
        if left != right:
            # The type of a text: its last index, its bytes and its bits.
            sizes = a1 - a0, b1 - b0
            same |= {(sizes[0] - 1, sizes[1] - 1), sizes, (8 * sizes[0], 8 * sizes[1])}
            codec = TEXT if left.isascii() and right.isascii() else RAW
            walk.put(f"{where}/string[*]", (key_of(left, right),), (a0, a1), (b0, b1), codec)
        heads = (one.table + i, a0), (two.table + j, b0)
        if a[slice(*heads[0])] != b[slice(*heads[1])]:
            walk.put_follow(f"{where}/length", (), *heads, RAW)
    _code(walk, where, (a, b), (one.code, one.table), (two.code, two.table), same, name)


def _code(
    walk: Walk, where: str, data: tuple[bytes, bytes], left: tuple[int, int], right: tuple[int, int],
    same: set[tuple[int, int]], name: bytes,
) -> None:  # fmt: skip
    """Compare code number by number; same: numbers that refer to the same text on both sides, or say
    how long one is."""
    a, b = data[0][left[0] : left[1]], data[1][right[0] : right[1]]
    at = to = 0
    for _ in range(NUMBERS_MAX):
        if at == len(a) or to == len(b):
            break
        step = _alike(a, b, at, to)
        at, to = at + step, to + step
        if at == len(a) and to == len(b):
            return
        while at and to and a[at - 1] & 0x80 and a[at - 1] == b[to - 1]:
            at, to = at - 1, to - 1
        (x, i), (y, j) = _number(a, at), _number(b, to)
        spans = (left[0] + at, left[0] + i), (right[0] + to, right[0] + j)
        if (x, y) in same:
            walk.put_follow(f"{where}/reference", (), *spans, RAW)
        elif x in DIGEST and y in DIGEST and name.startswith(DIGESTED):
            walk.put(f"{where}/digest", (), *spans, RAW)
        else:
            break
        at, to = i, j
    if at < len(a) or to < len(b):
        rest = (left[0] + at, left[1]), (right[0] + to, right[1])
        alone = (None if at == len(a) else rest[0], None if to == len(b) else rest[1])
        walk.put(where, (), *alone, RAW)
