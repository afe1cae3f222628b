"""Compare two images or objects in which more than what trees describe differs: what moved is told from what changed."""

from typing import Any

import numpy as np

from reprodiff.codecs import RAW
from reprodiff.errors import FormatError
from reprodiff.formats import Walk
from reprodiff.formats.pe import entries, maps
from reprodiff.formats.pe.decide import decide, stale
from reprodiff.formats.pe.heads import headers, optional
from reprodiff.formats.pe.references import DIR64, HIGHLOW, RELOCATIONS, blocks
from reprodiff.formats.pe.sides import PeBoth, Span
from reprodiff.formats.pe.twins import twins
from reprodiff.formats.pe.view import View
from reprodiff.formats.program import contents
from reprodiff.formats.program.around import Stream
from reprodiff.formats.program.inside import Inside, filling
from reprodiff.formats.program.names import EM_386, ET_REL
from reprodiff.formats.program.pieces import Pieces
from reprodiff.formats.program.sides import Pair, at_symbol
from reprodiff.formats.program.turned import Turned, ordered
from reprodiff.formats.program.words import Differing
from reprodiff.tree import Group, Leaf, Node, Record, children, step

# Fields that hold an address relative to the base.
RELATIVE = frozenset(("importlookuptablerva", "namerva", "importaddresstablerva", "datarva", "addressofrawdata",
                      "exportaddresstablerva", "namepointerrva", "ordinaltablerva"))  # fmt: skip
# What may be nothing but zeros up to the next block: behind the headers, and behind all else.
FILLED = frozenset(("gap", "overlay"))
STALE_MAX = 16
WHERE = "pe/section[*]"


def _views(walk: Walk) -> tuple[View, View] | None:
    """Return both files where they can be followed: of one kind and machine, with what their headers say inside."""
    try:
        one, two = View(walk.left), View(walk.right)
    except FormatError:
        return None
    kinds = [(view.image, view.machine, view.alignments) for view in (one, two)]
    return (one, two) if kinds[0] == kinds[1] and one.headers and two.headers else None


def compare(walk: Walk, left: Group, right: Group) -> bool:
    """Compare two trees of `parse`; False, and nothing noted, where that cannot be done."""
    views = _views(walk)
    if views is None:
        return False
    if ordered(walk.left, walk.right):
        _compare(walk, left, right, *views)
    else:
        _compare(Turned(walk), right, left, views[1], views[0])
    return True


def _compare(walk: Any, left: Group, right: Group, one: View, two: View) -> None:
    nodes = children(left), children(right)
    sections: tuple[dict[int, Group], dict[int, Group]] = ({}, {})
    for side, (view, rows) in enumerate(zip((one, two), nodes, strict=True)):
        starts = {header.pointer: number for number, header in enumerate(view.headers, 1) if header.raw}
        for node in rows:
            if node.name == "section" and isinstance(node, Group) and node.start in starts:
                sections[side][starts[node.start]] = node
    both = maps.sides(one, two, walk.budget)
    inner = _describe(both, sections)
    table = entries.Symbols(both)
    taken: set[int] = set()
    for pair in both.pairs:
        walk.budget.check_time()
        a, b = sections[0].get(pair.one.number), sections[1].get(pair.two.number)
        if a is not None and b is not None:
            taken |= {id(a), id(b)}
            _section(walk, both, pair, a, b, inner.get(pair.one.number, []))
    if one.type == ET_REL:
        for pair in both.pairs:
            entries.moves(walk, both, table, pair)
    rest = [
        [
            node
            for node in side
            if id(node) not in taken
            and node.name not in {"optional", "sections", "symbols", "strings"}
            and not (node.name == "relocations" and one.type == ET_REL)
        ]
        for side in nodes
    ]
    most = both.left.view.alignments[1]
    aligned = twins(rest[0], rest[1])
    for a_node, b_node in aligned.pairs:
        if a_node.name not in FILLED or not filling(walk, a_node, b_node, most, "pe/padding"):
            walk.nodes(a_node, b_node, f"pe/{step(a_node)}", ())
    for node in aligned.left:
        if node.name not in FILLED or not filling(walk, node, None, most, "pe/padding"):
            walk.alone(node, None, f"pe/{step(node)}", ())
    for node in aligned.right:
        if node.name not in FILLED or not filling(walk, None, node, most, "pe/padding"):
            walk.alone(None, node, f"pe/{step(node)}", ())
    named = [{node.name: node for node in side} for side in nodes]
    for name in ("optional", "sections", "symbols", "strings"):
        x, y = named[0].get(name), named[1].get(name)
        if x is None or y is None:
            walk.alone(x, y, f"pe/{name}", ())
        elif name == "optional" and both.left.view.image:
            assert isinstance(x, Group) and isinstance(y, Group)
            optional(walk, both, x, y)
        elif name == "sections":
            assert isinstance(x, Group) and isinstance(y, Group)
            headers(walk, both, x, y)
        elif name == "symbols":
            entries.compare(walk, both, table)
        elif name == "strings":
            entries.texts(walk, table, (x.start, x.stop), (y.start, y.stop))
        else:
            walk.nodes(x, y, f"pe/{name}", ())


Rows = list[tuple[Node, Node]]


def _describe(both: PeBoth, sections: tuple[dict[int, Group], dict[int, Group]]) -> dict[int, Rows]:
    """Tell which parts of sections trees describe; return these nodes by section number of the left side."""
    found: dict[int, Rows] = {}
    for pair in both.pairs:
        a, b = sections[0].get(pair.one.number), sections[1].get(pair.two.number)
        if a is None or b is None:
            continue
        ones, twos = ([node for node in children(side) if node.name != "data"] for side in (a, b))
        rows = [
            (x, y)
            for x, y in twins(ones, twos).pairs
            if x.stop <= pair.one.offset + pair.one.size and y.stop <= pair.two.offset + pair.two.size
        ]
        if rows:
            found[pair.one.number] = rows
            both.describe(pair, [_spans(pair, x, y) for x, y in rows])
    return found


def _spans(pair: Pair, one: Node, two: Node) -> tuple[Span, Span]:
    a, b = pair.one.offset, pair.two.offset
    return (one.start - a, one.stop - a), (two.start - b, two.stop - b)


def _section(walk: Any, both: PeBoth, pair: Pair, a: Group, b: Group, nodes: Rows) -> None:
    """Compare two sections that both files store."""
    one, two = pair.one, pair.two
    left, right = both.left.data(one), both.right.data(two)
    inside: Any = Inside(walk, WHERE, one.name)
    _padding(walk, one.name, (one.offset + one.size, a.stop), (two.offset + two.size, b.stop))
    if one.name.startswith(b".zdebug"):
        if left != right:
            inside.put(WHERE, (), (one.offset, one.offset + one.size), (two.offset, two.offset + two.size), RAW)
        return
    if left == right and both.left.view.type == ET_REL:
        return
    pieces = both.pieces(pair)
    stream = Stream(left, right, one.offset, two.offset)
    if one.code and one.alloc:
        contents.stale(inside, both, pair, WHERE, stream)
    if _relocated(inside, both, pair):
        return
    patched = bytearray(right)
    dropped = set()
    for x, y in nodes:
        (l0, l1), (r0, r1) = _spans(pair, x, y)
        if l1 - l0 == r1 - r0 and pieces.to(np.array([l0, l1 - 1], np.int64)).tolist() == [r0, r1 - 1]:
            patched[r0:r1] = left[l0:l1]
        elif ((l0, l1), (r0, r1)) in both.described.get(one.number, []):
            dropped.add((l0, l1))
        else:
            continue
        _described(walk, both, x, y, f"{WHERE}/{step(x)}", (one.name,))
    if dropped:
        pieces = Pieces([p for p in [*pieces.pieces, *pieces.added] if (p.l0, p.l1) not in dropped], left, right)
    stream = Stream(left, bytes(patched), one.offset, two.offset)
    found = Differing(stream.left, stream.right, pieces, "<")
    if len(found.one):
        decide(both, pair, found)
    contents.settle(inside, both, pair, WHERE, stream, found)
    named = both.left.named(one)
    for start, other, width in stale(both, pair, found)[:STALE_MAX]:
        symbol = at_symbol(named, start)
        name = symbol.name if symbol else b"%#x" % (one.addr + start)
        spans = (one.offset + start, one.offset + start + width), (two.offset + other, two.offset + other + width)
        inside.put(f"{WHERE}/pointer[*]", (name,), *spans, RAW,
                   shown=("leads to what it did", "leads to the same address, which is something else"))  # fmt: skip


def _padding(walk: Any, name: bytes, one: Span, two: Span) -> None:
    """Compare what fills up the stored bytes of a section to whole blocks."""
    a, b = walk.left.read(*one), walk.right.read(*two)
    if a == b:
        return
    if not a.strip(b"\0") and not b.strip(b"\0"):
        walk.put_follows("pe/padding", 1, abs(len(a) - len(b)), one, two)
    else:
        walk.put(f"{WHERE}/padding", (name,), one, two, RAW)


def _relocated(inside: Inside, both: PeBoth, pair: Pair) -> bool:
    """Put base relocations as what follows from where addresses are, where both sides are all that follows; whether
    it did."""
    sides = both.left.references_of, both.right.references_of
    directories = [view.directories[RELOCATIONS : RELOCATIONS + 1] for view in (both.left.view, both.right.view)]
    sections = pair.one, pair.two
    for side, section, rows, base in zip(sides, sections, directories, both.base, strict=True):
        if side.relocated is None or not side.canonical or not rows or rows[0][0] + base != section.addr:
            return False
    data = both.left.data(pair.one), both.right.data(pair.two)
    if data[0] == data[1] and both.still:
        return True
    kind = HIGHLOW if both.left.image.machine == EM_386 else DIR64
    # Those in what changed as a whole are told with it.
    lefts, rights = sides[0].relocated + both.base[0], sides[1].relocated + both.base[1]
    moved, back = both.addresses.to(lefts), both.reverse
    assert back is not None
    if not np.array_equal(np.sort(moved[moved >= 0]), rights[back.covered(rights)]):
        return False
    if any(
        blocks(side.relocated, kind) != raw.rstrip(b"\0").ljust(len(blocks(side.relocated, kind)), b"\0")
        for side, raw in zip(sides, data, strict=True)
    ):
        return False
    if data[0] != data[1]:
        spans = [(s.offset, s.offset + s.size) for s in sections]
        inside.put_follow(WHERE, (), spans[0], spans[1], RAW)
    return True


def _described(walk: Any, both: PeBoth, one: Node, two: Node, where: str, keys: tuple[bytes, ...]) -> None:
    """Compare two nodes of a section; addresses in them follow from what they lead to."""
    if isinstance(one, Group) and isinstance(two, Group):
        if one.key is not None:
            keys = (*keys, one.key)
        aligned = twins(children(one), children(two))
        for x, y in aligned.pairs:
            _described(walk, both, x, y, f"{where}/{step(x)}", keys)
        for node in aligned.left:
            walk.alone(node, None, f"{where}/{step(node)}", keys)
        for node in aligned.right:
            walk.alone(None, node, f"{where}/{step(node)}", keys)
    elif isinstance(one, Record) and isinstance(two, Record) and one.table is two.table:
        a, b = walk.left.read(one.start, one.stop), bytearray(walk.right.read(two.start, two.stop))
        for field in one.table.fields:
            start, stop = field.start, field.stop
            if a[start:stop] != b[start:stop] and field.name in RELATIVE and _same(both, a[start:stop], b[start:stop]):
                spans = (one.start + start, one.start + stop), (two.start + start, two.start + stop)
                walk.put_follow(f"{where}/{field.name}", keys, *spans, field.codec)
                b[start:stop] = a[start:stop]
        walk.fields(one, two, a, bytes(b), where, keys)
    elif isinstance(one, Leaf) and isinstance(two, Leaf) and one.name in RELATIVE:
        first, second = walk.left.read(one.start, one.stop), walk.right.read(two.start, two.stop)
        if first != second and _same(both, first, second):
            walk.put_follow(where, keys, (one.start, one.stop), (two.start, two.stop), one.codec)
        else:
            walk.nodes(one, two, where, keys)
    else:
        walk.nodes(one, two, where, keys)


def _same(both: PeBoth, one: bytes, two: bytes | bytearray) -> bool:
    left, right = (int.from_bytes(raw, "little") + base for raw, base in zip((one, two), both.base, strict=True))
    return both.addresses.one(left, right)
