"""Compare two Mach-O files by what addresses in them lead to: what moved is told from what changed."""

from typing import Any

import numpy as np

from reprodiff.codecs import RAW
from reprodiff.errors import FormatError
from reprodiff.formats import Walk
from reprodiff.formats.macho.sides import MachoBoth, decide, sides
from reprodiff.formats.macho.signature import holds
from reprodiff.formats.macho.symbols import Symbols, entries, pairs
from reprodiff.formats.macho.view import N_FUN, N_SECT, N_STAB, N_TYPE, View
from reprodiff.formats.program import contents
from reprodiff.formats.program.around import Stream
from reprodiff.formats.program.inside import Inside, filling, grown
from reprodiff.formats.program.sides import Pair
from reprodiff.formats.program.turned import Turned, ordered
from reprodiff.formats.program.words import Differing
from reprodiff.tree import Group, Node, Record, children, step

WHERE = "macho/section[*]"
COMMANDS = "macho/commands"
# Pages of all machines.
PAGES = (1, 0x1000, 0x4000)
FILLED_MAX = 0x4000


def _views(walk: Walk) -> tuple[View, View] | None:
    """Return both files where they can be followed."""
    try:
        one, two = View(walk.left), View(walk.right)
    except FormatError:
        return None
    kinds = [(view.machine, view.filetype, view.wide, [s.name for s in view.sections]) for view in (one, two)]
    return (one, two) if kinds[0] == kinds[1] else None


def compare(walk: Walk, left: Group, right: Group) -> bool:
    """Compare two trees of `parse`; False, and nothing noted, where that cannot be done."""
    found = _views(walk)
    if found is None:
        return False
    one, two = left.info.symbols, right.info.symbols
    tables = (one, two) if one and two and one.strings is not None and two.strings is not None else None
    if ordered(walk.left, walk.right):
        _compare(walk, (left, right), found, tables)
    else:
        turned: Any = Turned(walk)
        _compare(turned, (right, left), (found[1], found[0]), (tables[1], tables[0]) if tables else None)
    return True


def _compare(
    walk: Any, roots: tuple[Group, Group], found: tuple[View, View], tables: tuple[Symbols, Symbols] | None
) -> None:
    both = sides(*found, walk.budget)
    places = [{s.offset: s.number for s in view.sections if s.stored} for view in found]
    for first, second in pairs(*roots).values():
        walk.budget.check_time()
        node = first or second
        assert node is not None
        where = f"macho/{step(node)}"
        if _filling(walk, first, second):
            continue
        if first is None or second is None:
            walk.alone(first, second, where, ())
        elif first.name == "section" and both.to_right.get(places[0].get(first.start, -1)) == places[1].get(
            second.start, -2
        ):
            _section(walk, both, both.by_index[places[0][first.start]], first)
        elif first.name == "commands" and isinstance(first, Group) and isinstance(second, Group):
            _commands(walk, both, first, second)
        elif tables and first is tables[0].group and second is tables[1].group and _alike(*tables):
            a, b = (source.read(t.start, t.start + t.number * t.width) for source, t in
                    zip((walk.left, walk.right), tables, strict=True))  # fmt: skip
            entries(walk, a, b, *tables, lambda x, y: _moved(both, x, y))
        elif first.name == "strings" and isinstance(first, Group) and isinstance(second, Group):
            _strings(walk, first, second)
        elif first.name == "codesignature" and isinstance(first, Group) and isinstance(second, Group):
            _signature(walk, first, second)
        elif first.name == "function_starts" and _starts(both):
            _follow(walk, first, second, where)
        else:
            walk.nodes(first, second, where, ())


def _alike(one: Symbols, two: Symbols) -> bool:
    return (one.number, one.width, one.order, len(one.paths)) == (two.number, two.width, two.order, len(two.paths))


def _follow(walk: Any, one: Node, two: Node, where: str) -> None:
    spans = (one.start, one.stop), (two.start, two.stop)
    if walk.left.read(*spans[0]) != walk.right.read(*spans[1]):
        walk.put_follow(where, (), *spans, RAW)


def _strings(walk: Any, one: Group, two: Group) -> None:
    """Compare two string tables, part by part."""
    for first, second in pairs(one, two).values():
        node = first or second
        assert node is not None
        if first is not None and second is not None:
            walk.nodes(first, second, f"macho/strings/{step(node)}", ())
        elif not _filling(walk, first, second, "padding"):
            walk.alone(first, second, f"macho/strings/{step(node)}", ())


def _signature(walk: Any, one: Group, two: Group) -> None:
    """Compare two code signatures: how much they cover follows from where they lie (codeLimit of a CodeDirectory)."""
    covered = holds(walk.left, one.start, one.stop) and holds(walk.right, two.start, two.stop)
    limits = (one.start.to_bytes(4, "big"), two.start.to_bytes(4, "big"))
    for first, second in pairs(one, two).values():
        node = first or second
        assert node is not None
        where = f"macho/codesignature/{step(node)}"
        if first is None or second is None:
            walk.alone(first, second, where, ())
            continue
        a, b = walk.left.read(first.start, first.stop), walk.right.read(second.start, second.stop)
        spans = (first.start, first.stop), (second.start, second.stop)
        if (first.name == "head" and a != b and a.replace(limits[0], b"", 1) == b.replace(limits[1], b"", 1)) or (
            first.name == "hashes" and a != b and covered
        ):
            walk.put_follow(where, (), *spans, RAW)
        else:
            walk.nodes(first, second, where, ())


def _filling(walk: Any, one: Node | None, two: Node | None, name: str = "gap") -> bool:
    """Put zeros between parts; whether these are."""
    named = {node.name for node in (one, two) if node} == {name}
    return named and filling(walk, one, two, FILLED_MAX, "macho/padding")


def _section(walk: Any, both: MachoBoth, pair: Pair, node: Node) -> None:
    """Compare two sections that both files store."""
    one, two = pair.one, pair.two
    left, right = both.left.data(one), both.right.data(two)
    key = node.key if isinstance(node, Group) and node.key is not None else one.name
    inside: Any = Inside(walk, WHERE, key)
    stream = Stream(left, right, one.offset, two.offset)
    if one.code:
        contents.stale(inside, both, pair, WHERE, stream)
    if left == right:
        return
    found = Differing(left, right, both.pieces(pair), "<")
    if len(found.one):
        decide(both, pair, found)
    contents.settle(inside, both, pair, WHERE, stream, found)


def _starts(both: MachoBoth) -> bool:
    """Tell whether functions begin at the same places."""
    ones, twos = (np.array(view.functions(), np.int64) for view in (both.left.view, both.right.view))
    return len(ones) == len(twos) and bool(both.addresses.same(ones, twos).all())


def _moved(both: MachoBoth, one: bytes, two: bytes) -> bool:
    """Tell whether two entries of the symbol table differ in nothing but where something moved to."""
    if one[4:8] != two[4:8] or not (one[4] & N_TYPE == N_SECT or one[4] & N_STAB) or not one[5]:
        return False
    left, right = (int.from_bytes(row[8:], "little") for row in (one, two))
    return (one[4] != N_FUN or one[5] != 0) and both.addresses.one(left, right)


def _commands(walk: Any, both: MachoBoth, one: Group, two: Group) -> None:
    """Compare all load commands."""
    count = 0, 0
    for first, second in pairs(one, two).values():
        node = first or second
        assert node is not None
        if first is None or second is None:
            walk.alone(first, second, f"{COMMANDS}/{step(node)}", ())
        elif first.name in {"lc_segment", "lc_segment_64"} and isinstance(first, Group) and isinstance(second, Group):
            _segment(walk, both, first, second, count)
            count = count[0] + 1, count[1] + 1
        elif first.name == "lc_main" and isinstance(first, Group) and isinstance(second, Group):
            x, y = children(first), children(second)
            rows = [source.read(n.start + 8, n.start + 16) for source, n in ((walk.left, first), (walk.right, second))]
            places = [int.from_bytes(row, "little") + view.base for row, view in
                      zip(rows, (both.left.view, both.right.view), strict=True)]  # fmt: skip
            if rows[0] != rows[1] and both.addresses.one(*places) and len(x) == len(y) == 2:
                walk.put_follow(f"{COMMANDS}/lc_main/entryoff", (), (first.start + 8, first.start + 16),
                                (second.start + 8, second.start + 16), RAW)  # fmt: skip
            else:
                walk.nodes(first, second, f"{COMMANDS}/lc_main", ())
        else:
            walk.nodes(first, second, f"{COMMANDS}/{step(first)}", ())


def _segment(walk: Any, both: MachoBoth, one: Group, two: Group, count: tuple[int, int]) -> None:
    where, keys = f"{COMMANDS}/{step(one)}", (one.key or b"",)
    sides = (both.left.view, count[0]), (both.right.view, count[1])
    rows = children(one), children(two)
    numbers = [list(view.parts[number].sections) for view, number in sides]
    for x, y in zip(*rows, strict=False):
        if isinstance(x, Record) and isinstance(y, Record) and x.table is y.table:
            good = {name for name, way in LAYOUT.items() if all(way(view, number) for view, number in sides)}
            _fields(walk, x, y, f"{where}/fields", keys, good, set())
        elif (
            isinstance(x, Group)
            and isinstance(y, Group)
            and x.key == y.key
            and x.name == "sectionheader"
            and all(numbers)
        ):
            places = [row.pop(0) for row in numbers]
            fine = all(_behind(view, place) for (view, _n), place in zip(sides, places, strict=True))
            a, b = children(x)[0], children(y)[0]
            if isinstance(a, Record) and isinstance(b, Record) and a.table is b.table:
                labels = (*keys, x.key or b"")
                unlike = _unlike(both, places[0], places[1])
                _fields(walk, a, b, f"{where}/sectionheader[*]/fields", labels, {"addr"} if fine else set(), unlike)
            else:
                walk.nodes(x, y, f"{where}/sectionheader[*]", keys)
        else:
            walk.nodes(x, y, f"{where}/{step(x)}", keys)
    for x in rows[0][len(rows[1]) :]:
        walk.alone(x, None, f"{where}/{step(x)}", keys)
    for y in rows[1][len(rows[0]) :]:
        walk.alone(None, y, f"{where}/{step(y)}", keys)


def _unlike(both: MachoBoth, one: int, two: int) -> set[str]:
    """Return the fields of a section's header that its bytes do not tell."""
    left, right = both.left.view.sections[one], both.right.view.sections[two]
    told = left.size == right.size or (
        left.stored and right.stored and grown(both.left.data(left), both.right.data(right))
    )
    return set() if told else {"size"}


def _fields(
    walk: Any, one: Record, two: Record, where: str, keys: tuple[bytes, ...], follows: set[str], changed: set[str]
) -> None:
    """Put the fields of two records that differ; follows: names of those that follow from the rest; changed: of those
    that do not, whatever they are derived from."""
    a, b = walk.left.read(one.start, one.stop), bytearray(walk.right.read(two.start, two.stop))
    for field in one.table.fields:
        start, stop = field.start, field.stop
        if field.name in follows | changed and a[start:stop] != b[start:stop]:
            spans = (one.start + start, one.start + stop), (two.start + start, two.start + stop)
            put = walk.put if field.name in changed else walk.put_follow
            put(f"{where}/{field.name}", keys, *spans, field.codec)
            b[start:stop] = a[start:stop]
    walk.fields(one, two, a, bytes(b), where, keys)


def _behind(view: View, number: int) -> bool:
    """Tell whether a section begins where the one before it ends, but for its alignment."""
    here = view.sections[number]
    part = next((part for part in view.parts if number in part.sections), None)
    if part is None or number == part.sections[0]:
        return part is not None and here.addr == part.vmaddr
    ends = [s.addr + s.size for s in map(view.sections.__getitem__, part.sections) if s.number != number]
    before = max((end for end in ends if end <= here.addr), default=part.vmaddr)
    return here.addr == -(-before // here.align) * here.align


def _end(view: View, number: int, *, stored: bool) -> int:
    rows = [view.sections[n] for n in view.parts[number].sections if not stored or view.sections[n].stored]
    if stored:
        return max((s.offset + s.size for s in rows), default=-1)
    return max((s.addr + s.size for s in rows), default=-1)


def _size(view: View, number: int) -> bool:
    part = view.parts[number]
    ends = {part.filesize}
    if part.sections:
        ends = {_end(view, number, stored=False) - part.vmaddr}
    return any(-(-end // page) * page == part.vmsize for end in ends for page in PAGES)


def _filesize(view: View, number: int) -> bool:
    part = view.parts[number]
    end = _end(view, number, stored=True) - part.fileoff
    return bool(part.sections) and any(-(-end // page) * page == part.filesize for page in PAGES)


def _place(view: View, number: int) -> bool:
    part = view.parts[number]
    if not number:
        return False
    before = view.parts[number - 1]
    end = before.vmaddr + before.vmsize
    return any(-(-end // page) * page == part.vmaddr for page in PAGES)


def _offset(view: View, number: int) -> bool:
    part = view.parts[number]
    end = max((p.fileoff + p.filesize for p in view.parts[:number]), default=0)
    stored = [view.sections[n] for n in part.sections if view.sections[n].stored]
    return any(-(-end // page) * page == part.fileoff for page in PAGES) or (
        bool(stored) and len(view.parts) == 1 and stored[0].offset == part.fileoff
    )


# How a segment lies around its sections and behind the one before it.
LAYOUT = {"vmsize": _size, "filesize": _filesize, "vmaddr": _place, "fileoff": _offset}
