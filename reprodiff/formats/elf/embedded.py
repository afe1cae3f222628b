"""Compare the bitcode that objects embed: the texts of its metadata apart from the code, to the last bit."""

from typing import Any

from reprodiff.codecs import RAW, TEXT
from reprodiff.formats import Walk
from reprodiff.formats.elf import bitcode
from reprodiff.formats.elf.contents import Stream, key_of
from reprodiff.spans import Span, differing

_Mark = tuple[str, Span, Span]


def compare(walk: Walk, where: str, stream: Stream) -> bool:
    """Compare two modules; False, and nothing noted, where they are not read, or have other texts than each other."""
    one, two = bitcode.parse(stream.left), bitcode.parse(stream.right)
    if one is None or two is None or [len(s.texts) for s in one.strings] != [len(s.texts) for s in two.strings]:
        return False
    marks = _marks(one, two, stream)
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
            marks.append(("hash", (x[0] // 8, x[1] // 8), (y[0] // 8, y[1] // 8)))
    return sorted(marks, key=lambda mark: mark[1])


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
