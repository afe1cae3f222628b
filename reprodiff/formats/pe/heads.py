"""Compare the optional header and the section table: what follows from sections that moved or grew."""

from collections.abc import Callable
from typing import Any

from reprodiff.formats.pe.sides import PeBoth
from reprodiff.formats.pe.twins import twins
from reprodiff.formats.pe.view import CODE, DATA, EXECUTE, ZEROS, View
from reprodiff.formats.program.inside import grown
from reprodiff.formats.program.sides import Pair
from reprodiff.tree import Group, Record, children, step

OPTIONAL = "pe/optional"


def _aligned(value: int, to: int) -> int:
    return -(-value // to) * to if to else value


def _put(walk: Any, one: Record, two: Record, where: str, keys: tuple[bytes, ...], follows: set[str]) -> None:
    """Put the fields of two records that differ; follows: names of those that follow from the rest."""
    a, b = walk.left.read(one.start, one.stop), bytearray(walk.right.read(two.start, two.stop))
    for field in one.table.fields:
        if field.name in follows and a[field.start : field.stop] != b[field.start : field.stop]:
            spans = (one.start + field.start, one.start + field.stop), (two.start + field.start, two.start + field.stop)
            walk.put_follow(f"{where}/{field.name}", keys, *spans, field.codec)
            b[field.start : field.stop] = a[field.start : field.stop]
    walk.fields(one, two, a, bytes(b), where, keys)


def optional(walk: Any, both: PeBoth, one: Group, two: Group) -> None:
    """Compare two optional headers."""
    aligned = twins(children(one), children(two))
    for x, y in aligned.pairs:
        if isinstance(x, Record) and isinstance(y, Record) and x.table is y.table:
            _put(walk, x, y, f"{OPTIONAL}/fields", (), _derived(both))
        elif isinstance(x, Group) and isinstance(y, Group) and x.name == "directories":
            _directories(walk, both, x, y)
        else:
            walk.nodes(x, y, f"{OPTIONAL}/{step(x)}", ())
    for node in aligned.left:
        walk.alone(node, None, f"{OPTIONAL}/{step(node)}", ())
    for node in aligned.right:
        walk.alone(None, node, f"{OPTIONAL}/{step(node)}", ())


def _directories(walk: Any, both: PeBoth, one: Group, two: Group) -> None:
    where = f"{OPTIONAL}/directories"
    aligned = twins(children(one), children(two))
    for x, y in aligned.pairs:
        rows = [children(node)[0] for node in (x, y) if isinstance(node, Group)]
        number = (x.start - one.start) // 8
        if len(rows) < 2 or not all(isinstance(row, Record) and "size" in row.table.by_name for row in rows):
            walk.nodes(x, y, f"{where}/{step(x)}", ())
            continue
        assert isinstance(x, Group) and x.key is not None
        (a, first), (b, second) = both.left.view.directories[number], both.right.view.directories[number]
        left, right = a + both.base[0], b + both.base[1]
        follows = set()
        if a and b and both.addresses.one(left, right):
            follows.add("virtualaddress")
            ends = left + first, right + second
            if both.addresses.one(*ends) or both.addresses.one(ends[0] - 1, ends[1] - 1):
                follows.add("size")
        assert isinstance(rows[0], Record) and isinstance(rows[1], Record)
        _put(walk, rows[0], rows[1], f"{where}/directory[*]/fields", (x.key,), follows)
    for node in aligned.left:
        walk.alone(node, None, f"{where}/{step(node)}", ())
    for node in aligned.right:
        walk.alone(None, node, f"{where}/{step(node)}", ())


Sizes = tuple[Callable[[View], int], ...]


def _sizes(flag: int) -> Sizes:
    """Return the ways in which linkers sum up sections with a flag."""

    def rows(view: View) -> list[Any]:
        return [header for header in view.headers if header.characteristics & flag]

    return (
        lambda view: sum(_aligned(h.raw or h.virtual, view.alignments[1]) for h in rows(view)),
        lambda view: sum(_aligned(h.virtual, view.alignments[1]) for h in rows(view)),
        lambda view: sum(h.raw for h in rows(view)),
    )


def _first(flag: int) -> Sizes:
    return (lambda view: min((h.rva for h in view.headers if h.characteristics & flag), default=-1),)


SIZES: dict[str, Sizes] = {
    "sizeofcode": _sizes(CODE),
    "sizeofinitializeddata": _sizes(DATA),
    "sizeofuninitializeddata": _sizes(ZEROS),
    "baseofcode": _first(CODE | EXECUTE),
    "baseofdata": _first(DATA),
    "sizeofimage": (lambda view: _aligned(max(h.rva + max(h.virtual, h.raw if not h.virtual else 0) for h in view.headers), view.alignments[0]),),
    "sizeofheaders": (lambda view: _aligned(view.table + 40 * len(view.headers), view.alignments[1]),),
}  # fmt: skip


def _derived(both: PeBoth) -> set[str]:
    """Return the names of the fields that on both sides are what the sections make them."""
    views = both.left.view, both.right.view
    found = {"addressofentrypoint"} if both.addresses.one(views[0].entry, views[1].entry) else set()
    node = [view.source.read(view.optional, view.table) for view in views]
    places = {"sizeofcode": 4, "sizeofinitializeddata": 8, "sizeofuninitializeddata": 12, "baseofcode": 20,
              "baseofdata": 24, "sizeofimage": 56, "sizeofheaders": 60}  # fmt: skip
    for name, start in places.items():
        values = [int.from_bytes(raw[start : start + 4], "little") for raw in node]
        if any([way(view) for view in views] == values for way in SIZES[name]):
            found.add(name)
    return found


def headers(walk: Any, both: PeBoth, one: Group, two: Group) -> None:
    """Compare two section tables."""
    rows = children(one), children(two)
    views = both.left.view, both.right.view
    taken: tuple[set[int], set[int]] = (set(), set())
    order = []
    for pair in both.pairs:
        i, j = pair.one.number - 1, pair.two.number - 1
        if i >= len(rows[0]) or j >= len(rows[1]):
            continue
        taken[0].add(i)
        taken[1].add(j)
        order.append((i, j))
        x, y = children(rows[0][i])[0], children(rows[1][j])[0]  # type: ignore[arg-type]
        if not isinstance(x, Record) or not isinstance(y, Record) or x.table is not y.table:
            walk.nodes(rows[0][i], rows[1][j], "pe/sections/sectionheader[*]", ())
            continue
        follows = {"name"} if pair.one.name == pair.two.name and _long(walk, x, y) else set()
        if _grown(both, pair):
            follows.add("virtualsize")
        if all(_follows(view, number) for view, number in zip(views, (i, j), strict=True)):
            follows.add("virtualaddress")
        _put(walk, x, y, "pe/sections/sectionheader[*]/fields", (pair.one.name,), follows)
    for i, node in enumerate(rows[0]):
        if i not in taken[0]:
            walk.alone(node, None, "pe/sections/sectionheader[*]", ())
    for j, node in enumerate(rows[1]):
        if j not in taken[1]:
            walk.alone(None, node, "pe/sections/sectionheader[*]", ())
    if [j for _i, j in sorted(order)] != sorted(j for _i, j in order):
        names = [[h.name for h in view.headers] for view in views]
        walk.put_order("pe/sections", names[0], names[1])


def _long(walk: Any, one: Record, two: Record) -> bool:
    """Tell whether both names stand in the string table."""
    return all(source.read(r.start, r.start + 1) == b"/" for source, r in ((walk.left, one), (walk.right, two)))


def _follows(view: View, number: int) -> bool:
    """Tell whether a section begins where the one before it ends in memory."""
    here = view.headers[number]
    before = max(
        (h.rva + max(h.virtual, h.raw if not h.virtual else 0) for h in view.headers if h.rva < here.rva),
        default=_aligned(view.table + 40 * len(view.headers), view.alignments[1]),
    )
    return here.rva == _aligned(before, view.alignments[0])


def _grown(both: PeBoth, pair: Pair) -> bool:
    """Tell whether the bytes of two sections tell why they have other sizes."""
    if not both.left.view.image or not (pair.one.stored and pair.two.stored):
        return False
    sizes = [
        view.headers[s.number - 1].virtual for view, s in ((both.left.view, pair.one), (both.right.view, pair.two))
    ]
    left, right = both.left.data(pair.one), both.right.data(pair.two)
    return sizes == [len(left), len(right)] and grown(left, right)
