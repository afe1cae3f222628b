"""What `go build` records of itself: release, modules and settings (go/src/debug/buildinfo, Go 1.18 and later)."""

from typing import Any, NamedTuple

from reprodiff.codecs import RAW, TEXT
from reprodiff.formats import Walk
from reprodiff.spans import Span

MAGIC = b"\xff Go buildinf:"
INLINE = 2
HEAD = 32
# What stands before and behind the text, so that it can be found in memory.
MARK = 16
KEY_MAX = 120


class Line(NamedTuple):
    """One line: what it is about, and where it stands."""

    key: bytes
    start: int
    stop: int


class BuildInfo(NamedTuple):
    """Where everything lies in the section. version: the release; whole: the text with its marks; lines: of the text."""

    version: Span
    whole: Span
    lines: list[Line]


def parse(data: bytes) -> BuildInfo | None:
    """Read a section; None where it is none with its strings inside, or there is something else besides."""
    if not data.startswith(MAGIC) or len(data) < HEAD or not data[15] & INLINE:
        return None
    spans: list[Span] = []
    at = HEAD
    for _ in range(2):
        size, shift = 0, 0
        while True:
            if at >= len(data) or shift > 28:
                return None
            size |= (data[at] & 0x7F) << shift
            shift += 7
            at += 1
            if data[at - 1] < 0x80:
                break
        if at + size > len(data):
            return None
        spans.append((at, at + size))
        at += size
    start, stop = spans[1]
    if data[at:].strip(b"\0") or (stop - start and (stop - start < 2 * MARK or data[stop - MARK - 1] != 10)):
        return None
    lines: list[Line] = []
    seen: dict[bytes, int] = {}
    here = start + MARK
    while here < stop - MARK:
        end = data.index(b"\n", here) + 1
        key = _key(data[here:end])
        seen[key] = seen.get(key, 0) + 1
        lines.append(Line(key if seen[key] == 1 else b"%s #%d" % (key, seen[key]), here, end))
        here = end
    return BuildInfo(spans[0], spans[1], lines)


def _key(line: bytes) -> bytes:
    """Return what a line is about: a setting by its name, a module by its path."""
    kind, _tab, rest = line.rstrip(b"\n").partition(b"\t")
    if kind == b"build":
        return rest.partition(b"=")[0][:KEY_MAX]
    return kind if kind in {b"path", b"mod"} else (kind + b" " + rest.partition(b"\t")[0])[:KEY_MAX]


def compare(walk: Walk, where: str, stream: Any) -> bool:
    """Compare two sections setting by setting; False, and nothing put, where one is not understood."""
    one, two = parse(stream.left), parse(stream.right)
    if one is None or two is None or stream.left[:HEAD] != stream.right[:HEAD]:
        return False
    ones, twos = {line.key: line for line in one.lines}, {line.key: line for line in two.lines}
    if [key for key in ones if key in twos] != [key for key in twos if key in ones]:
        return False

    def left(start: int, stop: int) -> Span:
        return start + stream.one, stop + stream.one

    def right(start: int, stop: int) -> Span:
        return start + stream.two, stop + stream.two

    if stream.left[slice(*one.version)] != stream.right[slice(*two.version)]:
        walk.put(f"{where}/version", (), left(*one.version), right(*two.version), TEXT)
    for key in [*ones, *(key for key in twos if key not in ones)]:
        a, b = ones.get(key), twos.get(key)
        if a is None or b is None:
            walk.put(f"{where}/setting[*]", (key,), left(a.start, a.stop) if a else None,
                     right(b.start, b.stop) if b else None, TEXT)  # fmt: skip
        elif stream.left[a.start : a.stop] != stream.right[b.start : b.stop]:
            walk.put(f"{where}/setting[*]", (key,), left(a.start, a.stop - 1), right(b.start, b.stop - 1), TEXT)
    for (a0, a1), (b0, b1) in (
        ((HEAD, one.version[0]), (HEAD, two.version[0])),
        ((one.version[1], one.whole[0]), (two.version[1], two.whole[0])),
        ((one.whole[1], len(stream.left)), (two.whole[1], len(stream.right))),
    ):
        if stream.left[a0:a1] != stream.right[b0:b1]:
            walk.put_follow(where, (), left(a0, a1), right(b0, b1), RAW)
    for at in (0, -1):
        # The marks: the same in every program.
        spans = [
            (w[0], min(w[0] + MARK, w[1])) if at == 0 else (max(w[1] - MARK, w[0]), w[1])
            for w in (one.whole, two.whole)
        ]
        if stream.left[slice(*spans[0])] != stream.right[slice(*spans[1])]:
            walk.put(where, (), left(*spans[0]), right(*spans[1]), RAW)
    return True
