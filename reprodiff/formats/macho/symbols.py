"""The symbol table of a Mach-O file and its strings (mach-o/nlist.h, stab.h)."""

from bisect import bisect_right
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from reprodiff.budget import Budget
from reprodiff.codecs import RAW, TEXT
from reprodiff.formats import Walk
from reprodiff.formats.macho.tables import Layout, Order
from reprodiff.formats.parts import Parts, rows
from reprodiff.sources import Source
from reprodiff.tree import Derive, Group, Leaf, Node, Role, children, listed, step

# Debugging entries: N_SO names a source file or its directory, N_OSO the object that it became, with its mtime.
SO, OSO = 0x64, 0x66
PATHS = {SO: "so", OSO: "oso"}
LONGEST = 4096


class Symbols(NamedTuple):
    """A symbol table of `number` entries. paths: (kind, offset in the string table) of the entries that name files of the build;
    starts: offsets of all strings, in order, where there are such paths;
    strings: the string table, once it is known."""

    group: Group
    start: int
    number: int
    width: int
    order: Order
    paths: list[tuple[str, int]]
    starts: list[int]
    strings: Group | None = None


def symbols(source: Source, start: int, count: int, tables: Layout, budget: Budget) -> Symbols:
    """Describe a symbol table that lies inside the file: entries of objects on their own, all others in runs."""
    width = 16 if tables.wide else 12
    raw = source.read(start, start + count * width)
    kinds = raw[4::width]
    parts = Parts(start, start + count * width)
    seen = 0
    paths: list[tuple[str, int]] = []
    for number in sorted(_places(kinds, OSO) + _places(kinds, SO)):
        at = number * width
        strx = int.from_bytes(raw[at : at + 4], tables.order)
        kind = PATHS[kinds[number]]
        if kind == "oso":
            budget.count(1)
            seen += 1
            parts.add(rows("oso", start + at, tables.symbol, b"%d" % seen))
        if strx:
            paths.append((kind, strx))
    group = Group("symbols", start, start + count * width, listed(parts.filled("entries")))
    numbers: set[int] = set()
    if paths:
        numbers = {int.from_bytes(raw[at : at + 4], tables.order) for at in range(0, len(raw), width)}
    return Symbols(group, start, count, width, tables.order, paths, sorted(numbers))


def _places(kinds: bytes, kind: int) -> list[int]:
    found = []
    at = kinds.find(kind)
    while at >= 0:
        found.append(at)
        at = kinds.find(kind, at + 1)
    return found


def strings(source: Source, start: int, stop: int, table: Symbols) -> Group:
    """Describe the string table: paths of the build on their own, all others in runs."""
    parts = Parts(start, stop)
    if stop <= source.size:
        seen = dict.fromkeys(PATHS.values(), 0)
        for kind, strx in table.paths:
            at = start + strx
            seen[kind] += 1
            if parts.start <= at < stop:
                end = source.read(at, min(at + LONGEST, stop)).find(b"\0")
                # Up to the next string: a path that was cut short still has its room.
                after = bisect_right(table.starts, strx)
                room = table.starts[after] - strx if after < len(table.starts) else end + 1
                if 0 <= end < room <= LONGEST and source.read(at + room - 1, at + room) == b"\0":
                    end = room - 1
                path = Leaf("path", at, at + end + 1, codec=TEXT)
                if end > 0 and parts.fits(path.start, path.stop):
                    parts.add(Group(kind, path.start, path.stop, listed([path]), b"%d" % seen[kind]))
        _fill_up(source, parts, 8 if table.width == 16 else 4)
    return Group("strings", start, stop, listed(parts.filled("data")))


@cache
def _aligned(unit: int) -> Derive:
    return lambda _raw, refs: bytes(-(refs.offset("before") + refs.size("before")) % unit)


def _fill_up(source: Source, parts: Parts, unit: int) -> None:
    """Tell the zeros that align what follows the string table from the end of its last string."""
    tail = source.read(max(parts.start, parts.stop - unit), parts.stop)
    end = parts.stop - (len(tail) - len(tail.rstrip(b"\0"))) + 1
    if parts.stop % unit == 0 and 0 < parts.stop - end < unit and parts.fits(end, parts.stop):
        at = parts.end
        before: Node = parts.nodes()[-1] if at == end else Leaf("data", at, end)
        if before.stop > before.start and (at == end or parts.add(before)):
            parts.add(Leaf("padding", end, parts.stop, Role.DERIVED, derive=_aligned(unit), refs={"before": before}))


def walk_symbols(walk: Walk, left: Group, right: Group, one: Symbols, two: Symbols) -> bool:
    """Compare two files whose strings moved: the place of a string that is the same follows from the strings.

    False, and nothing is noted, where no string moved or the tables do not correspond entry by entry."""
    if (one.number, one.width, one.order, len(one.paths)) != (two.number, two.width, two.order, len(two.paths)):
        return False
    a, b = (side.read(t.start, t.start + t.number * t.width) for side, t in ((walk.left, one), (walk.right, two)))
    if all(a[i :: one.width] == b[i :: one.width] for i in range(4)) or _same_strings(walk, one, two):
        return False
    for name, (first, second) in pairs(left, right).items():
        if first is one.group and second is two.group:
            entries(walk, a, b, one, two)
        elif first is None or second is None:
            walk.alone(first, second, f"macho/{name[0]}", ())
        else:
            walk.nodes(first, second, f"macho/{step(first)}", ())
    return True


def _same_strings(walk: Walk, one: Symbols, two: Symbols) -> bool:
    assert one.strings is not None and two.strings is not None
    left = walk.left.read(one.strings.start, one.strings.stop)
    return left == walk.right.read(two.strings.start, two.strings.stop)


def pairs(left: Group, right: Group) -> dict[tuple[str, bytes | None, int], tuple[Node | None, Node | None]]:
    """Pair the children of both roots by name and key, of several alike the first with the first."""
    found: dict[tuple[str, bytes | None, int], tuple[Node | None, Node | None]] = {}
    for side, root in enumerate((left, right)):
        seen: dict[tuple[str, bytes | None], int] = {}
        for node in children(root):
            key = (step(node), node.key if isinstance(node, Group) else None)
            seen[key] = seen.get(key, -1) + 1
            place = (*key, seen[key])
            before = found.get(place, (None, None))
            found[place] = (node, before[1]) if side == 0 else (before[0], node)
    return found


def entries(
    walk: Walk, a: bytes, b: bytes, one: Symbols, two: Symbols, fine: Callable[[bytes, bytes], bool] | None = None
) -> None:
    """Compare the entries of two symbol tables; fine: whether two differ in nothing but where something moved to."""
    assert one.strings is not None and two.strings is not None
    texts = (
        walk.left.read(one.strings.start, one.strings.stop),
        walk.right.read(two.strings.start, two.strings.stop),
    )
    # Paths of the build may differ: where both sides describe them, that is told at the string itself.
    described = _described(two.strings)
    known = {(at, described[path]) for path, at in _described(one.strings).items() if path in described}
    moved = size = 0
    first: tuple[int, int] | None = None
    osos = {}
    for group in (one.group, two.group):
        for node in children(group):
            if isinstance(node, Group):
                osos[node.start, group is one.group] = node
    for at in range(0, len(a), one.width):
        x, y = a[at : at + one.width], b[at : at + one.width]
        if x == y:
            continue
        here, there = one.start + at, two.start + at
        pair = int.from_bytes(x[:4], one.order), int.from_bytes(y[:4], one.order)
        inside = pair[0] < len(texts[0]) and pair[1] < len(texts[1])
        same = x[:4] != y[:4] and inside and (pair in known or _text(texts[0], pair[0]) == _text(texts[1], pair[1]))
        twins = osos.get((here, True)), osos.get((there, False))
        if same and twins[0] is not None:
            key = (twins[0].key or b"",)
            walk.put_follow("macho/symbols/oso[*]/n_strx", key, (here, here + 4), (there, there + 4), RAW)
        elif same:
            moved += 1
            size += sum(map(int.__ne__, x[:4], y[:4]))
            first = first or (here, there)
        skip = 4 if same else 0
        if x[skip:] == y[skip:]:
            continue
        if fine is not None and (same or x[:4] == y[:4]) and fine(x, y):
            moved += 1
            size += sum(map(int.__ne__, x[skip:], y[skip:]))
            first = first or (here, there)
        elif twins[0] is not None and twins[1] is not None:
            for leaf, twin in zip(children(twins[0])[skip // 4 :], children(twins[1])[skip // 4 :], strict=True):
                assert isinstance(leaf, Leaf)
                place = f"macho/symbols/oso[*]/{leaf.name}"
                if walk.left.read(leaf.start, leaf.stop) != walk.right.read(twin.start, twin.stop):
                    keys = (twins[0].key or b"",)
                    walk.put(place, keys, (leaf.start, leaf.stop), (twin.start, twin.stop), leaf.codec)
        else:
            spans = (here + skip, here + one.width), (there + skip, there + one.width)
            walk.put("macho/symbols/entries", (), *spans, RAW)
    if first is not None:
        walk.put_follows("macho/symbols/entries", moved, size, (first[0], first[0] + 4), (first[1], first[1] + 4))


def _described(strings: Group) -> dict[tuple[str, bytes | None], int]:
    """Return the offset in the string table of every path that is described on its own."""
    paths = (node for node in children(strings) if isinstance(node, Group))
    return {(node.name, node.key): node.start - strings.start for node in paths}


def _text(table: bytes, at: int) -> bytes:
    end = table.find(b"\0", at)
    return table[at : end if end >= 0 else len(table)]
