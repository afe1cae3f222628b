"""Compare the metadata of a Rust crate: names of source files and digests apart from what the crate consists of.

What follows is only what was reproduced: lengths of strings, positions of source files, the identifiers made of their
names, and distances that grew by as much as the names did.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from reprodiff.codecs import RAW, TEXT
from reprodiff.formats import Walk
from reprodiff.formats.elf.rust import rmeta
from reprodiff.formats.program.around import Stream
from reprodiff.formats.program.keys import key_of
from reprodiff.formats.program.pieces import by_content
from reprodiff.formats.program.sides import Both
from reprodiff.spans import common_prefix, differing

# A digest of 8 bytes that is another one differs in as many of them, but for one in a million.
EXPANSION, DIFFERING_MIN = 8, 5
DIGESTS = frozenset({"dependency", "crate-hash", "crate-id"})
# Numbers of the root that grow with the names: how far before it the first list stands, and the table of the files.
DISTANCES = 2


class _Part(NamedTuple):
    """A stretch of both sides, of one kind, with what tells it from others of that kind."""

    kind: str
    one: tuple[int, int]
    two: tuple[int, int]
    key: bytes = b""


def compare(walk: Walk, _both: Both, where: str, stream: Stream) -> bool:
    """Compare two blobs of metadata; False, and nothing noted, where they are laid out otherwise."""
    one, two = rmeta.parse(stream.left), rmeta.parse(stream.right)
    if one is None or two is None or one.width != two.width or len(one.files) != len(two.files):
        return False
    for part in _parts(one, two, stream):
        a, b = stream.left[slice(*part.one)], stream.right[slice(*part.two)]
        if a != b:
            _put(walk, where, stream, part, a, b, (one, two))
    return True


def _parts(one: rmeta.Metadata, two: rmeta.Metadata, stream: Stream) -> Iterator[_Part]:
    """Yield the parts that the two blobs consist of, in order."""
    marks: list[_Part] = [_Part("root", (8, 16), (8, 16))]
    if [d.name for d in one.dependencies] == [d.name for d in two.dependencies]:
        marks += [_Part("dependency", a.digest, b.digest, a.name)
                  for a, b in zip(one.dependencies, two.dependencies, strict=True)]  # fmt: skip
    for a, b in zip(one.files, two.files, strict=True):
        if len(a.strings) == len(b.strings):
            marks += [_Part("string", x, y) for x, y in zip(a.strings, b.strings, strict=True)]
        if a.identifier and b.identifier:
            marks.append(_Part("identifier", a.identifier, b.identifier))
    if one.files:
        marks.append(_Part("table", one.table, two.table))
    marks += [_Part("crate-hash", one.digest, two.digest), _Part("crate-id", one.crate, two.crate)]
    at = 0, 0
    for mark in marks:
        if mark.one[0] < at[0] or mark.two[0] < at[1]:
            continue
        yield _Part("plain", (at[0], mark.one[0]), (at[1], mark.two[0]))
        yield mark
        at = mark.one[1], mark.two[1]
    yield _Part("tail", (at[0], len(stream.left)), (at[1], len(stream.right)))


def _put(walk: Walk, where: str, stream: Stream, part: _Part, a: bytes, b: bytes, both: Any) -> None:
    one, two = both
    spans = _moved(part.one, part.two, stream)
    if part.kind in {"root", "identifier"}:
        # Both sides were parsed from the position that they give, and their identifiers reproduced.
        walk.put_follow(f"{where}/{part.kind}", (), *spans, RAW)
    elif part.kind == "table":
        # The positions that both tables hold are those that the files were found at.
        walk.put_follow(f"{where}/files", (), *spans, RAW)
    elif part.kind == "string":
        _string(walk, where, stream, part, a, b)
    elif part.kind in DIGESTS and not _other(a, b):
        _plain(walk, where, stream, part, [])
    elif part.kind == "dependency":
        walk.put(f"{where}/dependency[*]/hash", (part.key,), *spans, RAW)
    elif part.kind in {"crate-hash", "crate-id"}:
        walk.put(f"{where}/{part.kind}", (), *spans, RAW)
    elif part.kind == "tail":
        _tail(walk, where, stream, part, two.root - one.root)
    else:
        _plain(walk, where, stream, part, _expansions(stream, part, one, two))


def _other(one: bytes, two: bytes) -> bool:
    """Tell whether a digest is another one, not one with some bits changed."""
    return sum(i != j for i, j in zip(one, two, strict=True)) * EXPANSION >= len(one) * DIFFERING_MIN


def _expansions(stream: Stream, part: _Part, one: rmeta.Metadata, two: rmeta.Metadata) -> list[int]:
    """Return where in a part the digests stand that this crate's macro expansions are known by, behind the crate's
    identifier: they differ where names of source files do, each wherever it stands to the same other one."""
    a, b = stream.left[slice(*part.one)], stream.right[slice(*part.two)]
    names = [[stream.left[slice(*s)] for f in one.files for s in f.strings],
             [stream.right[slice(*s)] for f in two.files for s in f.strings]]  # fmt: skip
    crate = stream.left[slice(*one.crate)]
    if len(a) != len(b) or names[0] == names[1] or crate != stream.right[slice(*two.crate)]:
        return []
    found: list[tuple[int, bytes, bytes]] = []
    at = a.find(crate)
    while at >= 0:
        start = at + len(crate)
        x, y = a[start : start + EXPANSION], b[start : start + EXPANSION]
        if len(x) == EXPANSION and _other(x, y) and b[at:start] == crate:
            found.append((start, x, y))
        at = a.find(crate, start)
    ones, twos = {x: y for _at, x, y in found}, {y: x for _at, x, y in found}
    return [at for at, x, y in found if ones[x] == y and twos[y] == x]


def _moved(one: tuple[int, int], two: tuple[int, int], stream: Stream) -> tuple[tuple[int, int], tuple[int, int]]:
    return (one[0] + stream.one, one[1] + stream.one), (two[0] + stream.two, two[1] + stream.two)


def _string(walk: Walk, where: str, stream: Stream, part: _Part, a: bytes, b: bytes) -> None:
    """Put a string, and its length as what follows from it."""
    heads = rmeta.number(a, 0)[1], rmeta.number(b, 0)[1]
    starts = part.one[0] + heads[0], part.two[0] + heads[1]
    if a[: heads[0]] != b[: heads[1]]:
        spans = _moved((part.one[0], starts[0]), (part.two[0], starts[1]), stream)
        walk.put_follow(f"{where}/string/length", (), *spans, RAW)
    one, two = a[heads[0] : -1], b[heads[1] : -1]
    spans = _moved((starts[0], part.one[1] - 1), (starts[1], part.two[1] - 1), stream)
    walk.put(f"{where}/string[*]", (key_of(one, two),), *spans, TEXT)


def _plain(walk: Walk, where: str, stream: Stream, part: _Part, digests: list[int]) -> None:
    """Put bytes that nothing is known of, aligned by content where they are not as many; digests: what follows."""
    a, b = stream.left[slice(*part.one)], stream.right[slice(*part.two)]
    for at in digests:
        spans = (part.one[0] + at, part.one[0] + at + EXPANSION), (part.two[0] + at, part.two[0] + at + EXPANSION)
        walk.put_follow(f"{where}/expansion", (), *_moved(*spans, stream), RAW)
        a = a[:at] + b[at : at + EXPANSION] + a[at + EXPANSION :]
    pieces = by_content(a, b) if len(a) != len(b) else [None]
    for piece in pieces:
        x0, x1, y0, y1 = piece[:4] if piece else (0, len(a), 0, len(b))
        if a[x0:x1] == b[y0:y1]:
            continue
        base = part.one[0] + x0, part.two[0] + y0
        spans = _moved((base[0], base[0] + x1 - x0), (base[1], base[1] + y1 - y0), stream)
        if x1 - x0 != y1 - y0:
            walk.put(where, (), spans[0] if x1 > x0 else None, spans[1] if y1 > y0 else None, RAW)
            continue
        runs = [
            _moved((base[0] + i, base[0] + j), (base[1] + k, base[1] + m), stream)
            for (i, j), (k, m) in differing(a[x0:x1], b[y0:y1]).spans
        ]
        whole = (runs[0][0][0], runs[-1][0][1]), (runs[0][1][0], runs[-1][1][1])
        walk.put(where, (), *whole, RAW, runs=runs if len(runs) > 1 else None)


def _tail(walk: Walk, where: str, stream: Stream, part: _Part, growth: int) -> None:
    """Put what differs behind the crate's identifier: distances in LEB128 follow where they grew as the names did."""
    (i, i1), (j, j1) = part.one, part.two
    left, right = stream.left, stream.right
    accepted = 0
    while i < i1 or j < j1:
        same = common_prefix(left[i:i1], right[j:j1])
        back = 0
        while back < same and back < 9 and left[i + same - back - 1] & 0x80:
            back += 1
        one, two = i + same - back, j + same - back
        if one >= i1 or two >= j1:
            break
        try:
            (value, i), (other, j) = rmeta.number(left, one), rmeta.number(right, two)
        except IndexError:
            i, j = one, two
            break
        if accepted >= DISTANCES or other - value != growth or not growth:
            i, j = one, two
            break
        accepted += 1
        walk.put_follow(f"{where}/distance", (), *_moved((one, i), (two, j), stream), RAW)
    _plain(walk, where, stream, _Part("plain", (i, i1), (j, j1)), [])
