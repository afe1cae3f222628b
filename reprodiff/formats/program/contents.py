"""Compare code, data, strings and debug information: differing words that are pointers follow, the rest is put."""

import re
from bisect import bisect_right
from collections.abc import Collection
from typing import Any

import numpy as np

from reprodiff.codecs import RAW, TEXT, printable
from reprodiff.formats import Walk
from reprodiff.formats.program import code, got, large
from reprodiff.formats.program.around import Stream, path_around, path_at, text_around, text_stop
from reprodiff.formats.program.keys import KEY_MAX, key_of
from reprodiff.formats.program.machines import x86
from reprodiff.formats.program.names import (
    EM_AARCH64,
    EM_ARM,
    EM_PPC,
    EM_PPC64,
    EM_RISCV,
    EM_S390,
    SHT_FINI_ARRAY,
    SHT_INIT_ARRAY,
    SHT_PREINIT_ARRAY,
    SHT_STRTAB,
)
from reprodiff.formats.program.pieces import PRINTED, Piece, texts
from reprodiff.formats.program.pointers import decide
from reprodiff.formats.program.show import instructions
from reprodiff.formats.program.sides import Both, Pair, at_symbol
from reprodiff.formats.program.words import Differing, gather
from reprodiff.formats.qtresources import SECTIONS
from reprodiff.spans import common_suffix, differing

# A shorter array may hold a number.
TEXT_MIN = 8
# The same on other machines, whole instructions.
IDLE = {
    EM_AARCH64: re.compile(rb"(?:\x1f\x20\x03\xd5|\0)*"),
    EM_ARM: re.compile(rb"(?:\x00\xbf|\xc0\x46|\xaf\xf3\x00\x80|\x00\xf0\x20\xe3|\x00\x00\xa0\xe1|\0)*"),
    EM_PPC: re.compile(rb"(?:\x60\0\0\0|\0\0\0\x60|\0)*"),
    EM_PPC64: re.compile(rb"(?:\x60\0\0\0|\0\0\0\x60|\0)*"),
    EM_RISCV: re.compile(rb"(?:\x01\x00|\x13\x00\x00\x00|\0)*"),
    EM_S390: re.compile(rb"(?:\x07[\x00-\x0f]|\x18\x07|\x47\0\0.|\xc0\x04\0{4}|\0)*", re.DOTALL),
}
PLACES_MAX = 2000
ARRAYS = {SHT_INIT_ARRAY, SHT_FINI_ARRAY, SHT_PREINIT_ARRAY}
STALE_MAX = 16
GROUPS_MAX = 64


def compare(walk: Walk, both: Both, pair: Pair, where: str, stream: Stream, known: Collection[Piece] = ()) -> None:
    """Compare two sections of bytes. known: pieces that were put."""
    pieces = both.pieces(pair)
    if both.go is not None:
        pieces = both.go.around(pair) or pieces
    found = Differing(stream.left, stream.right, pieces, both.left.image.order)
    if len(found.one):
        decide(both, pair, found)
        if pair.one.type in ARRAYS and both.arranged and found.open.any():
            _initialisers(walk, both, pair, where, found)
    done = both.go.put(walk, pair, where, stream, found) if both.go is not None else known
    settle(walk, both, pair, where, stream, found, done)


def _initialisers(walk: Walk, both: Both, pair: Pair, where: str, found: Differing) -> None:
    """Put the order of the functions that run at start or exit, where both sides have the same ones in another order."""
    word, order = both.left.image.word, both.left.image.order
    if pair.one.size != pair.two.size:
        return
    at = np.arange(0, pair.one.size - word + 1, word)
    lefts, rights = (gather(data, at, word, order, False) for data in (found.left, found.right))
    moved = both.addresses.to(lefts)
    if (moved < 0).any() or sorted(moved.tolist()) != sorted(rights.tolist()):
        return
    found.open[:] = False
    if not len(both.left.relocated(at + pair.one.place).nonzero()[0]):
        # Where relocations put them the order is that of these.
        names = {}
        for left, right in zip(lefts.tolist(), moved.tolist(), strict=True):
            target = both.section_at(left)
            symbol = at_symbol(both.left.named(target.one), left - target.one.place) if target else None
            names[right] = symbol.name if symbol else b"%#x" % left
        walk.put_order(where, [names[place] for place in moved.tolist()], [names[place] for place in rights.tolist()])


def settle(
    walk: Walk, both: Both, pair: Pair, where: str, stream: Stream, found: Differing, done: Collection[Piece] = ()
) -> None:
    """Put what differs: pieces that grew, words that follow, bytes that do not. done: pieces that were put."""
    pieces = found.pieces
    for piece in pieces.pieces:
        if not piece.equal and piece not in done:
            _unequal(walk, both, pair, where, stream, piece)
    for piece in pieces.added:
        if piece not in done:
            _alone(walk, both, pair, where, stream, piece)
    if len(found.one):
        if found.explained:
            first = int(np.flatnonzero(~found.open)[0])
            a, b = int(found.one[first]) + stream.one, int(found.two[first]) + stream.two
            words = int((np.diff(found.one[~found.open]) > 4).sum()) + 1
            walk.put_follows(where, words, found.explained, (a, a + 1), (b, b + 1))
        _changed(walk, both, pair, where, stream, found)
    if pair.moved:
        rows = [p for p in pieces.pieces if p.name is not None and p.r1 > p.r0]
        names = [[p.name or b"" for p in part] for part in (rows, sorted(rows, key=lambda p: p.r0))]
        # What is merely texts is put where its content says.
        if names[0] != names[1]:
            walk.put_order(where, *names)


def stale(walk: Walk, both: Both, pair: Pair, where: str, stream: Stream) -> None:
    """Put displacements of code that are the same on both sides although what they led to moved."""
    if not len(stream.left) or not len(stream.right):
        return
    for found in [*code.stale(both, pair), *got.stale(both, pair), *large.stale(both, pair)][:STALE_MAX]:
        a = found.words[0][0]
        symbol = at_symbol(both.left.named(pair.one), a)
        name = symbol.name if symbol else b"%#x" % (pair.one.addr + a)
        runs = [
            ((one + stream.one, one + size + stream.one), (two + stream.two, two + size + stream.two))
            for one, two, size in found.words
        ]
        whole = [(min(run[side][0] for run in runs), max(run[side][1] for run in runs)) for side in (0, 1)]
        shown = f"leads to {found.left:#x}", f"leads to {found.right:#x}, which is something else"
        walk.put(
            f"{where}/function[*]", (name,), whole[0], whole[1], RAW, runs=runs if len(runs) > 1 else None, shown=shown
        )


def _span(piece: Piece, stream: Stream) -> tuple[tuple[int, int], tuple[int, int]]:
    return (piece.l0 + stream.one, piece.l1 + stream.one), (piece.r0 + stream.two, piece.r1 + stream.two)


def _filling(both: Both, data: bytes, code: bool) -> bool:
    if not data.strip(b"\0"):
        return True
    if not code or len(data) >= 64:
        return False
    idle = IDLE.get(both.left.image.machine)
    return idle.fullmatch(data) is not None if idle is not None else both.x86 and set(data) <= x86.NOPS


def _unequal(walk: Walk, both: Both, pair: Pair, where: str, stream: Stream, piece: Piece) -> None:
    """Put a piece whose sides are not equally long."""
    a, b = stream.left[piece.l0 : piece.l1], stream.right[piece.r0 : piece.r1]
    one, two = _span(piece, stream)
    if (
        not pair.one.strings
        and piece.name is None
        and _filling(both, a, pair.one.code)
        and _filling(both, b, pair.one.code)
    ):
        walk.put_follows(where, 1, differing(a, b).size, one, two)
        return
    if not pair.one.strings and piece.name is None and a.rstrip(b"\0") == b.rstrip(b"\0"):
        walk.put_follows(where, 1, abs(len(a) - len(b)), one, two)
        return
    if piece.r1 == piece.r0:
        _put_alone(walk, both, pair, where, a, piece.name, one, None)
        return
    plain = a.rstrip(b"\0"), b.rstrip(b"\0")
    if piece.name is not None and not pair.one.code and texts(*plain) and min(map(len, plain)) >= TEXT_MIN:
        # An array that is one text.
        string_changed(walk, both, pair, where, a, b, one, two)
        return
    if piece.name is not None:
        kind = "function" if pair.one.code else "object"
        shown = _code_shown(both, pair, stream, piece.l0, piece.l1, piece.r0, piece.r1) if pair.one.code else None
        walk.put(f"{where}/{kind}[*]", (piece.name,), one, two, RAW, shown=shown)
        return
    if texts(a.strip(b"\0"), b.strip(b"\0")) and a.strip(b"\0").count(b"\0") == b.strip(b"\0").count(b"\0") == 0:
        string_changed(walk, both, pair, where, a, b, one, two)
        return
    # Each file for the debugger stands behind a byte that says of which kind it is.
    named = pair.one.name == b".debug_gdb_scripts" and a[:1] == b[:1] == b"\1" and texts(a[1:-1], b[1:-1])
    core = ((1, len(a)), (1, len(b))) if named else _printed(a, b)
    if core is None:
        walk.put(where, (), one, two, RAW)
        return
    (a0, a1), (b0, b1) = core
    string_changed(walk, both, pair, where, a[a0:a1], b[b0:b1], (one[0] + a0, one[0] + a1), (two[0] + b0, two[0] + b1))
    if a[:a0] != b[:b0]:
        put = walk.put_follow if _counts(a[:a1], b[:b1], a0, b0) else walk.put
        put(where, (), (one[0], one[0] + a0), (two[0], two[0] + b0), RAW)


def _counts(a: bytes, b: bytes, a0: int, b0: int) -> bool:
    """Tell whether bytes before the strings a[a0:] and b[b0:] differ only where they say how much follows: up to the
    end of the string, or its NUL."""
    return a0 == b0 and all(
        (a[i], b[i]) in {(len(a) - i - 1, len(b) - i - 1), (len(a) - i, len(b) - i)} for i in range(a0) if a[i] != b[i]
    )


def _printed(a: bytes, b: bytes) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Return the bounds of the only text that two pieces without bounds of their own differ in, None for other bytes."""
    tail = common_suffix(a, b, min(len(a), len(b)))
    ones, twos = PRINTED.search(a[::-1], tail), PRINTED.search(b[::-1], tail)
    if not ones or not twos or ones.start() != tail or twos.start() != tail:
        return None
    stop = next((i for i in range(tail) if not 0x20 <= a[len(a) - tail + i] < 0x7F), tail)
    a1, b1 = len(a) - tail + stop, len(b) - tail + stop
    a0, b0 = len(a) - ones.end(), len(b) - twos.end()
    # A length may itself read as a character.
    for number in (0, 1):
        if a0 + number < a1 and b0 + (a0 + number - a0) < b1:
            for x, y in ((a0, b0 + number), (a0 + number, b0)):
                if a[x] == b[y] == 0x2F and x == y and (a[:x] == b[:y] or a[: x - 1] == b[: y - 1]):
                    return ((x, a1), (y, b1)) if texts(a[x:a1], b[y:b1]) else None
    return ((a0, a1), (b0, b1)) if a[:a0] == b[:b0] and texts(a[a0:a1], b[b0:b1]) else None


def _alone(walk: Walk, both: Both, pair: Pair, where: str, stream: Stream, piece: Piece) -> None:
    data = stream.right[piece.r0 : piece.r1]
    span = (piece.r0 + stream.two, piece.r1 + stream.two)
    if not pair.one.strings and piece.name is None and _filling(both, data, pair.one.code):
        walk.put_follows(where, 1, len(data), (0, 0), span)
        return
    _put_alone(walk, both, pair, where, data, piece.name, None, span)


def _put_alone(
    walk: Walk, both: Both, pair: Pair, where: str, data: bytes, name: bytes | None, one: Any, two: Any
) -> None:
    if name is not None:
        walk.put(f"{where}/{'function' if pair.one.code else 'object'}[*]", (name,), one, two, RAW)
    elif not data.strip(b"\0") and pair.one.strings and pair.one.alloc and pair.one.type != SHT_STRTAB:
        walk.put_follows(where, 1, len(data), one or (0, 0), two or (0, 0))
    elif not data.strip(b"\0") and pair.one.strings:
        walk.put(f"{where}/residue", (), one, two, RAW)
    elif texts(data.rstrip(b"\0"), data.rstrip(b"\0")):
        start = (one or two)[0]
        side = both.left if one else both.right
        section = pair.one if one else pair.two
        place = side.image.string_place(section, start - section.offset)
        keys = () if place is not None else (data.rstrip(b"\0")[:KEY_MAX],)
        walk.put(place or f"{where}/string[*]", keys, one, two, TEXT)
    else:
        walk.put(where, (), one, two, RAW)


def string_changed(walk: Walk, both: Both, pair: Pair, where: str, a: bytes, b: bytes, one: Any, two: Any) -> None:
    """Put a string that is another one on the right."""
    place = both.left.image.string_place(pair.one, one[0] - pair.one.offset) or both.right.image.string_place(
        pair.two, two[0] - pair.two.offset
    )
    keys = () if place is not None else (key_of(a, b),)
    walk.put(place or f"{where}/string[*]", keys, one, two, TEXT)


def _changed(walk: Walk, both: Both, pair: Pair, where: str, stream: Stream, found: Differing) -> None:
    """Put what is no pointer, each under the function, object or string that it lies in."""
    runs = _resource_times(walk, pair, where, stream, found.runs())
    groups: dict[tuple[str, bytes, int], list[tuple[int, int, int]]] = {}
    named = both.left.named(pair.one)
    bounds = both.left.bounds(pair.one) if pair.one.code else []
    for a, b, size in runs:
        if len(groups) > PLACES_MAX:
            groups.setdefault(("", b"", 0), []).append((a, b, size))
            continue
        symbol = at_symbol(named, a) if pair.one.alloc else None
        if pair.one.code:
            if symbol is not None and (a < symbol.start + symbol.size or not both.left.stripped):
                groups.setdefault(("function", symbol.name, symbol.start), []).append((a, b, size))
            else:
                index = bisect_right(bounds, a) - 1
                piece = found.pieces.find(a)
                name = piece.name if piece and piece.name else b"%#x" % (pair.one.addr + bounds[index])
                if pair.one.addr + a != pair.two.addr + b and not (piece and piece.name):
                    name = b"#%d" % index
                groups.setdefault(("function", name, bounds[index]), []).append((a, b, size))
            continue
        if pair.one.name == b".dynstr":
            emptied = _emptied(both, pair, stream, a, b)
            if emptied is not None:
                groups.setdefault(emptied, []).append((a, b, size))
                continue
        around = found.pieces.find(a)
        text = text_around(both, pair, stream, around, a, b)
        path = path_around(stream, around, a, b) if text is None else None
        if text is not None:
            groups.setdefault(("string", b"", text), []).append((a, b, size))
        elif path is not None:
            groups.setdefault(("path", b"", path), []).append((a, b, size))
        elif symbol is not None and a < symbol.start + max(symbol.size, 1):
            groups.setdefault(("object", symbol.name, symbol.start), []).append((a, b, size))
        elif around is not None and around.name is not None:
            groups.setdefault(("object", around.name, around.l0), []).append((a, b, size))
        else:
            apart = pair.one.alloc and len(groups) <= GROUPS_MAX
            groups.setdefault(("", b"", a >> 6 if apart else 0), []).append((a, b, size))
    for (kind, name, start), rows in groups.items():
        _put_group(walk, both, pair, where, stream, kind, name, start, rows)


def _resource_times(
    walk: Walk, pair: Pair, where: str, stream: Stream, runs: list[tuple[int, int, int]]
) -> list[tuple[int, int, int]]:
    """Put the times of Qt's compiled resources; return the runs that lie in none."""
    if not runs or pair.one.code or not pair.one.name.startswith(SECTIONS):
        return runs
    from reprodiff.formats.qtresources import TIME
    from reprodiff.formats.qtresources.search import pairs

    times = sorted((one, two, path) for shared in pairs(stream.left, stream.right) for path, one, two in shared.times)
    starts = [one[0] for one, _two, _path in times]
    rest: list[tuple[int, int, int]] = []
    put: set[int] = set()
    for a, b, size in runs:
        index = bisect_right(starts, a) - 1
        one, two, path = times[index] if index >= 0 else ((0, 0), (0, 0), "")
        if not (a + size <= one[1] and b - two[0] == a - one[0]):
            rest.append((a, b, size))
        elif index not in put:
            put.add(index)
            spans = (one[0] + stream.one, one[1] + stream.one), (two[0] + stream.two, two[1] + stream.two)
            key = printable(path).encode("utf-8", "replace")
            walk.put(f"{where}/qt/resource[*]/lastmodified", (key,), *spans, TIME)
    return rest


def _emptied(both: Both, pair: Pair, stream: Stream, a: int, b: int) -> tuple[str, bytes, int] | None:
    """Return the place of a dynamic entry whose string is there on one side and zeros on the other, and its start."""
    for side, section, data, at, other, there in (
        (both.left, pair.one, stream.left, a, stream.right, b),
        (both.right, pair.two, stream.right, b, stream.left, a),
    ):
        start, stop = data.rfind(b"\0", 0, at) + 1, data.find(b"\0", at)
        if stop > at and not other[there - (at - start) : there + stop - at].strip(b"\0"):
            place = side.image.string_place(section, start)
            return ("place", place.encode(), a - (at - start)) if place is not None else None
    return None


def _put_group(
    walk: Walk, both: Both, pair: Pair, where: str, stream: Stream, kind: str, name: bytes, start: int, rows: Any
) -> None:
    l0, l1 = rows[0][0], rows[-1][0] + rows[-1][2]
    r0, r1 = rows[0][1], rows[-1][1] + rows[-1][2]
    if kind in {"string", "path"}:
        shift = rows[0][1] - rows[0][0]
        if kind == "string":
            loose = pair.one.alloc and not pair.one.strings
            stop = text_stop(stream, start, start + shift, loose) or start
        else:
            stop = start + len(path_at(stream.left, start))
        one, two = stream.left[start:stop], stream.right[start + shift : stop + shift]
        if sum(row[2] for row in rows) == sum(x != y for x, y in zip(one, two, strict=False)):
            spans = (
                (start + stream.one, stop + stream.one),
                (start + shift + stream.one - stream.one + stream.two, stop + shift + stream.two),
            )
            string_changed(walk, both, pair, where, one, two, *spans)
            return
        kind = ""
    if kind == "place":
        size = max(data.find(b"\0", at) - at for data, at in ((stream.left, start), (stream.right, start + r0 - l0)))
        first, second = start + stream.one, start + r0 - l0 + stream.two
        walk.put(name.decode(), (), (first, first + size), (second, second + size), TEXT)
        return
    spans = (l0 + stream.one, l1 + stream.one), (r0 + stream.two, r1 + stream.two)
    runs: list[Any] | None = [
        ((a + stream.one, a + size + stream.one), (b + stream.two, b + size + stream.two)) for a, b, size in rows
    ]
    if len(rows) == 1:
        runs = None
    shown = None
    if kind == "function":
        shown = _code_shown(
            both, pair, stream, rows[0][0], rows[0][0] + rows[0][2], rows[0][1], rows[0][1] + rows[0][2]
        )
        walk.put(f"{where}/function[*]", (name,), *spans, RAW, runs=runs, shown=shown)
    elif kind == "object":
        walk.put(f"{where}/object[*]", (name,), *spans, RAW, runs=runs, shown=_bytes_shown(stream, rows))
    else:
        walk.put(where, (), *spans, RAW, runs=runs, shown=_bytes_shown(stream, rows))


def _bytes_shown(stream: Stream, rows: Any) -> tuple[str, str]:
    from reprodiff.codecs import show_bytes

    a, b, size = rows[0]
    more = "…" if len(rows) > 1 else ""
    return show_bytes(stream.left[a : a + size], 32) + more, show_bytes(stream.right[b : b + size], 32) + more


def _code_shown(both: Both, pair: Pair, stream: Stream, l0: int, l1: int, r0: int, r1: int) -> tuple[str, str]:
    machine, order = both.left.image.machine, both.left.image.order
    texts_of = []
    for side, section, data, start, stop in (
        (both.left, pair.one, stream.left, l0, l1),
        (both.right, pair.two, stream.right, r0, r1),
    ):
        starts = side.starts(section, start)
        thumb = side.thumb(section, start)
        last = min(stop, start + 32)
        texts_of.append(instructions(data, start, last, section.addr, machine, order, starts, thumb=thumb))
    return texts_of[0], texts_of[1]
