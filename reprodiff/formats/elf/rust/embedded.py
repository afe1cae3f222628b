"""Compare the bitcode that objects embed: the texts of its metadata apart from the code, to the last bit."""

from typing import Any

from reprodiff.codecs import RAW, TEXT
from reprodiff.formats import Walk
from reprodiff.formats.elf.rust import bitcode
from reprodiff.formats.program.around import Stream
from reprodiff.formats.program.keys import key_of
from reprodiff.formats.program.sides import Both
from reprodiff.spans import Span, differing

_Mark = tuple[str, Span, Span]


def compare(walk: Walk, both: Both, where: str, stream: Stream) -> bool:
    """Compare two modules; False, and nothing noted, where they are not read, or have other texts than each other."""
    one, two = bitcode.parse(stream.left), bitcode.parse(stream.right)
    if one is None or two is None or [len(s.texts) for s in one.strings] != [len(s.texts) for s in two.strings]:
        return False
    marks = sorted([*_marks(one, two, stream), *_copies(both, one, two, stream)], key=lambda mark: mark[1])
    sizes = [(b[0] - a[0], b[1] - a[1]) for a, b in _gaps(marks, stream)]
    if any(x != y for x, y in sizes):
        return False
    masks = _mask(one.fields, len(stream.left)), _mask(two.fields, len(stream.right))
    for a, b in _gaps(marks, stream):
        _plain(walk, where, stream, (a[0], b[0]), (a[1], b[1]), masks)
    for kind, x, y in marks:
        left, right = stream.left[slice(*x)], stream.right[slice(*y)]
        if left == right:
            continue
        spans = (x[0] + stream.one, x[1] + stream.one), (y[0] + stream.two, y[1] + stream.two)
        if kind == "text":
            walk.put(f"{where}/string[*]", (key_of(left, right),), *spans, TEXT)
        elif kind == "module-hash":
            walk.put(f"{where}/{kind}", (), *spans, RAW)
        else:
            walk.put_follow(f"{where}/{kind}", (), *spans, RAW)
    return True


def _marks(one: bitcode.Bitcode, two: bitcode.Bitcode, stream: Stream) -> list[_Mark]:
    """Return what is told apart, in order: texts, their lengths, what fills them up, digests."""
    marks: list[_Mark] = []
    for a, b in zip(one.strings, two.strings, strict=True):
        marks += [("lengths", a.head, b.head), ("lengths", a.lengths, b.lengths)]
        marks += [("text", x, y) for x, y in zip(a.texts, b.texts, strict=True)]
        ends = [s.texts[-1][1] if s.texts else s.lengths[1] for s in (a, b)]
        fill = (ends[0], a.blob[1]), (ends[1], b.blob[1])
        if not (stream.left[slice(*fill[0])] + stream.right[slice(*fill[1])]).strip(b"\0"):
            marks.append(("fill", *fill))
    for x, y in zip(one.digests, two.digests, strict=False):
        first = stream.left[x[0] // 8], stream.right[y[0] // 8]
        low = (1 << x[0] % 8) - 1
        # What stands before the digest in its first byte is no part of it.
        if x[0] % 8 == y[0] % 8 and first[0] & low == first[1] & low:
            kind = "hash" if x[2] and y[2] else "module-hash"
            marks.append((kind, (x[0] // 8, x[1] // 8), (y[0] // 8, y[1] // 8)))
    return marks


_Record = tuple[int, list[int]]


def _copies(both: Both, one: bitcode.Bitcode, two: bitcode.Bitcode, stream: Stream) -> list[_Mark]:
    """Return the blocks of constants and types that are the same but for texts that stand in the data of both objects
    as well, and for the lengths of these."""
    if [block.number for block in one.blocks] != [block.number for block in two.blocks]:
        return []
    rows: list[tuple[str, Span, Span, list[tuple[_Record, _Record]]]] = []
    for a, b in zip(one.blocks, two.blocks, strict=True):
        spans = (a.start // 8, a.stop // 8), (b.start // 8, b.stop // 8)
        if stream.left[slice(*spans[0])] == stream.right[slice(*spans[1])]:
            continue
        lefts, rights = bitcode.records(stream.left, a), bitcode.records(stream.right, b)
        if lefts is None or rights is None or len(lefts) != len(rights):
            continue
        kind = "types" if a.number == bitcode.TYPES else "constants"
        rows.append((kind, *spans, [(x, y) for x, y in zip(lefts, rights, strict=True) if x != y]))
    lengths: set[tuple[int, int]] = set()
    for kind, _one, _two, odd in rows:
        if kind == "constants":
            # With the NUL at the end, and without.
            lengths |= {(len(x[1]) + end, len(y[1]) + end) for x, y in odd if _copied(both, x, y) for end in (0, 1)}
    return [
        (kind, x, y)
        for kind, x, y, odd in rows
        if all(_length(kind, a, b, lengths) or (kind == "constants" and _copied(both, a, b)) for a, b in odd)
    ]


def _length(kind: str, one: _Record, two: _Record, lengths: set[tuple[int, int]]) -> bool:
    """Tell whether two records differ in the length of a text only: that of an array, or a number, shifted by its sign."""
    if one[0] != two[0] or one[1][1:] != two[1][1:] or not one[1] or not two[1]:
        return False
    first = one[1][0], two[1][0]
    if kind == "types":
        return one[0] == bitcode.ARRAY_TYPE and first in lengths
    return one[0] == bitcode.INTEGER and (first[0] | first[1]) & 1 == 0 and (first[0] >> 1, first[1] >> 1) in lengths


def _copied(both: Both, one: _Record, two: _Record) -> bool:
    """Tell whether two records are texts that stand in the data of the objects as well."""
    if one[0] != two[0] or one[0] not in {bitcode.STRING, bitcode.CSTRING}:
        return False
    return all(
        len(values) > 0 and max(values) < 256
        and any(
            bytes(values) in side.data(section)
            for section in side.image.sections
            if section.alloc and section.stored and not section.code
        )
        for side, values in ((both.left, one[1]), (both.right, two[1]))
    )  # fmt: skip


def _gaps(marks: list[_Mark], stream: Stream) -> list[tuple[Span, Span]]:
    """Return what lies between the marks, as (left start, right start) and (left end, right end)."""
    found: list[tuple[Span, Span]] = []
    at = 0, 0
    for _kind, one, two in marks:
        found.append((at, (one[0], two[0])))
        at = one[1], two[1]
    return [*found, (at, (len(stream.left), len(stream.right)))]


def _mask(fields: list[Span], size: int) -> bytes:
    """Return which bits lie in fields that follow."""
    mask = bytearray(size)
    for start, stop in fields:
        for at in range(start // 8, -(-stop // 8)):
            low, high = max(start - 8 * at, 0), min(stop - 8 * at, 8)
            mask[at] |= (1 << high) - (1 << low)
    return bytes(mask)


def _plain(walk: Walk, where: str, stream: Stream, one: Span, two: Span, masks: tuple[bytes, bytes]) -> None:
    """Put the bytes of two stretches of one size in which a bit differs that does not follow."""
    follow: list[Any] = []
    change: list[Any] = []
    for (a, a1), (b, _b1) in differing(stream.left[slice(*one)], stream.right[slice(*two)]).spans:
        for step in range(a1 - a):
            i, j = one[0] + a + step, two[0] + b + step
            odd = stream.left[i] ^ stream.right[j]
            if odd:
                runs = change if odd & ~(masks[0][i] & masks[1][j]) else follow
                runs.append(((i + stream.one, i + 1 + stream.one), (j + stream.two, j + 1 + stream.two)))
    if follow:
        walk.put_follows(f"{where}/offset", 1, len(follow), *follow[0])
    if change:
        whole = (change[0][0][0], change[-1][0][1]), (change[0][1][0], change[-1][1][1])
        walk.put(where, (), *whole, RAW, runs=change if len(change) > 1 else None)
