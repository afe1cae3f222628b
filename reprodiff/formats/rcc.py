"""Qt's binary resource files (.rcc), format versions 1 to 3: a header, then data, names and the tree in any order.

Specification: qtbase src/tools/rcc/rcc.cpp (RCCResourceLibrary::writeHeader and what it calls) and
src/corelib/io/qresource.cpp; the arrays are told in `qtresources`. Nodes and data are aligned by the path of
the resource; the data is no group, so that every content is compared under its path, even if only the nodes differ in
where they say that it is. Contents are entered: as they are, or out of zlib (qCompress: a size 4, then RFC 1950) or Zstandard.
"""

import zlib
from collections.abc import Iterator
from functools import cache
from itertools import pairwise

from reprodiff import formats
from reprodiff.budget import Budget
from reprodiff.codecs import BE, BE_HEX, RAW, Codec, printable
from reprodiff.errors import FormatError
from reprodiff.formats import Format
from reprodiff.formats.qtresources import (
    COMPRESSED,
    MOST_NODES,
    NARROW,
    TIME,
    WIDE,
    ZSTD,
    Item,
    name_hash,
    name_text,
    paths,
    read_tree,
)
from reprodiff.sources import Slice, Source, chunks, spool
from reprodiff.tree import Content, Derive, Field, Group, Leaf, Node, Record, Refs, Role, Table, children, listed
from reprodiff.tree import open_content as opened

MAGIC = b"qres"
VERSIONS = (1, 2, 3)
PIECE = 16 << 20
# qCompress: a size, the two bytes of the zlib header, its checksum.
ZLIB_FRAME = 4 + 2 + 4


# One function for all versions: by it the comparison knows that a field is derived in the same way on both sides.
@cache
def _offset_of(name: str) -> Derive:
    return lambda _record, refs: refs.offset(name).to_bytes(4, "big")


def _derive_flags(_record: bytes, refs: Refs) -> bytes:
    tree = refs.raw("tree")
    flags = 0
    for at in range(5, len(tree), WIDE):
        flags |= tree[at] & (COMPRESSED | ZSTD)
    return flags.to_bytes(4, "big")


@cache
def header(version: int) -> Table:
    """Return the table of the header of a format version."""
    fields = [
        Field("magic", 4, RAW, Role.FIXED),
        Field("version", 4, BE),
        *(Field(name, 4, BE_HEX, Role.DERIVED, _offset_of(name)) for name in ("tree", "data", "names")),
    ]
    if version > 2:
        fields.append(Field("flags", 4, BE_HEX, Role.DERIVED, _derive_flags))
    return Table(*fields)


@cache
def _within(name: str, array: str) -> Derive:
    return lambda _record, refs: (refs.offset(name) - refs.offset(array)).to_bytes(4, "big")


def _index(width: int) -> Derive:
    return lambda _record, refs: ((refs.offset("first") - refs.offset("tree")) // width).to_bytes(4, "big")


def _count(width: int) -> Derive:
    return lambda _record, refs: ((refs.offset("last") - refs.offset("first")) // width + 1).to_bytes(4, "big")


@cache
def node_table(width: int, kind: str) -> Table:
    """Return the table of a node. kind: "root", "file", "directory", or "empty" for a directory without children."""
    if kind == "root":
        name = Field("name", 4, BE_HEX)
    else:
        name = Field("name", 4, BE_HEX, Role.DERIVED, _within("name", "names"))
    if kind == "file":
        rest = [
            Field("territory", 2, BE),
            Field("language", 2, BE),
            Field("data", 4, BE_HEX, Role.DERIVED, _within("file", "data")),
        ]
    elif kind == "empty":
        rest = [Field("count", 4, BE), Field("first", 4, BE)]
    else:
        rest = [
            Field("count", 4, BE, Role.DERIVED, _count(width)),
            Field("first", 4, BE, Role.DERIVED, _index(width)),
        ]
    time = [Field("lastmodified", 8, TIME)] if width == WIDE else []
    return Table(name, Field("flags", 2, BE), *rest, *time)


def parse(source: Source, budget: Budget) -> Group:
    """Read the header, walk the tree, and lay out what it refers to."""
    head = source.read(0, 24)
    version = int.from_bytes(head[4:8], "big")
    if head[:4] != MAGIC or version not in VERSIONS or len(head) < header(version).size:
        raise FormatError("no header of a Qt resource file")
    table = header(version)
    places = {name: int.from_bytes(head[at : at + 4], "big") for name, at in (("tree", 8), ("data", 12), ("names", 16))}
    # Of two arrays at one place the tree is the one that is not empty.
    order = sorted(places, key=lambda name: (places[name], name == "tree"))
    if places[order[0]] < table.size or places[order[-1]] > source.size:
        raise FormatError("the resource file's header refers to what is not there")
    ends = dict(zip(order, [*(places[name] for name in order[1:]), source.size], strict=True))
    width = WIDE if version > 1 else NARROW
    data = source.read(places["tree"], min(ends["tree"], places["tree"] + width * MOST_NODES))
    items = read_tree(data, 0, len(data), width, budget.count)
    resources = _Resources(source, items, places, ends)
    tree = Group("tree", places["tree"], ends["tree"], listed(resources.nodes), info=resources)
    resources.fill(tree, width)
    refs: dict[str, Node] = {"tree": tree, "data": resources.data, "names": resources.names}
    nodes: list[Node] = [Record("header", 0, table, refs)]
    for name in order:
        nodes.append(refs[name])
        if name == "data":
            nodes += resources.by_data.values()
    return Group("rcc", 0, source.size, listed(nodes), info=resources)


class _Resources:
    """The nodes of one file: members of its three arrays, made once, for they refer to each other."""

    def __init__(self, source: Source, items: list[Item], places: dict[str, int], ends: dict[str, int]) -> None:
        self.source = source
        self.items = items
        self.nodes: list[Node] = []
        start, stop = places["names"], ends["names"]
        texts: dict[int, str] = {}
        self.by_name: dict[int, Group] = {}
        for offset in sorted({item.name for item in items[1:]}):
            at = start + offset
            size = 6 + 2 * int.from_bytes(source.read(at, at + 2), "big")
            if at + size > stop:
                raise FormatError("a resource's name is cut off")
            texts[offset] = printable(name_text(source.read(at + 6, at + size)))
            key = texts[offset].encode("utf-8", "replace")
            self.by_name[offset] = Group("name", at, at + size, _expand_name, key)
        _disjoint(list(self.by_name.values()))
        self.names = Group("names", start, stop, listed(list(self.by_name.values())))
        self.paths = [path.encode("utf-8", "replace") for path in paths(items, texts)]
        self.by_data: dict[int, Group] = {}
        start, stop = places["data"], ends["data"]
        for item in sorted((item for item in items if not item.directory), key=lambda item: (item.data, item.number)):
            at = start + item.data
            if item.data in self.by_data:
                shared = self.by_data[item.data]
                shared.key = (shared.key or b"") + b", " + self.paths[item.number]
                continue
            size = int.from_bytes(source.read(at, at + 4), "big")
            if at + 4 + size > stop:
                raise FormatError("a resource's data is cut off")
            entry = (source, item.flags)
            self.by_data[item.data] = Group("file", at, at + 4 + size, _expand_data, self.paths[item.number], entry)
        _disjoint(list(self.by_data.values()))
        # What the offsets of contents are counted from.
        self.data = Leaf("data", start, start, Role.FIXED)

    def fill(self, tree: Group, width: int) -> None:
        """Make the nodes of the tree, with what their numbers follow from."""
        groups = [
            Group("resource", tree.start + at, tree.start + at + width, listed([]), key)
            for at, key in zip(range(0, width * len(self.items), width), self.paths, strict=True)
        ]
        for item, group in zip(self.items, groups, strict=True):
            refs: dict[str, Node] = {"tree": tree, "names": self.names, "data": self.data}
            if item.number:
                refs["name"] = self.by_name[item.name]
            kind = "root" if item.number == 0 else "directory"
            if not item.directory:
                kind = "file"
                refs["file"] = self.by_data[item.data]
            elif item.one:
                refs["first"], refs["last"] = groups[item.two], groups[item.two + item.one - 1]
            else:
                kind = "empty"
            group.expand = listed([Record("node", group.start, node_table(width, kind), refs)])
        self.nodes += groups


def _disjoint(groups: list[Group]) -> None:
    if any(two.start < one.stop for one, two in pairwise(groups)):
        raise FormatError("two names or contents of a resource file overlap")


def _derive_length(_raw: bytes, refs: Refs) -> bytes:
    return (refs.size("name") // 2).to_bytes(2, "big")


def _derive_hash(_raw: bytes, refs: Refs) -> bytes:
    return name_hash(refs.raw("name")).to_bytes(4, "big")


def _show_units(units: bytes) -> str:
    return printable(name_text(units))


UNITS = Codec(bytes, lambda value, _size: bytes(value), _show_units)


def _expand_name(group: Group) -> list[Node]:
    at = group.start
    name = Leaf("name", at + 6, group.stop, Role.VALUE, UNITS)
    return [
        Leaf("length", at, at + 2, Role.DERIVED, BE, derive=_derive_length, refs={"name": name}),
        Leaf("hash", at + 2, at + 6, Role.DERIVED, BE_HEX, derive=_derive_hash, refs={"name": name}),
        name,
    ]


def _derive_size(_raw: bytes, refs: Refs) -> bytes:
    parts = ("size", "zlib", "content", "adler32")
    return sum(refs.size(name) for name in parts if refs.has(name)).to_bytes(4, "big")


def _derive_plain_size(raw: bytes, refs: Refs) -> bytes:
    return refs.decoded_size("content").to_bytes(4, "big") if refs.changed("content") else raw


def _derive_adler(raw: bytes, refs: Refs) -> bytes:
    if not refs.changed("content"):
        return raw
    value = 1
    for piece in refs.decoded("content"):
        value = zlib.adler32(piece, value)
    return value.to_bytes(4, "big")


def _expand_data(group: Group) -> list[Node]:
    source, flags = group.info
    at, stop = group.start + 4, group.stop
    refs: dict[str, Node] = {}
    length = Leaf("length", group.start, at, Role.DERIVED, BE, derive=_derive_size, refs=refs)
    if flags != COMPRESSED or stop - at < ZLIB_FRAME:
        content = zstandard(source, at, stop) if flags == ZSTD else None
        payload = Leaf("content", at, stop, Role.PAYLOAD, content=content)
        refs["content"] = payload
        return [length, payload]
    payload = Leaf("content", at + 6, stop - 4, Role.PAYLOAD, content=deflated(source, at + 6, stop - 4))
    nodes: list[Node] = [
        Leaf("size", at, at + 4, Role.DERIVED, BE, derive=_derive_plain_size, refs={"content": payload}),
        Leaf("zlib", at + 4, at + 6),
        payload,
        Leaf("adler32", stop - 4, stop, Role.DERIVED, BE_HEX, derive=_derive_adler, refs={"content": payload}),
    ]
    refs.update({node.name: node for node in nodes})
    return [length, *nodes]


def deflated(source: Source, start: int, stop: int) -> Content:
    """Return the content of a raw deflate stream that fills a span."""

    def run() -> Iterator[bytes]:
        decoder = zlib.decompressobj(-15)
        for piece in chunks(source, start, stop):
            left = piece
            while left and not decoder.eof:
                try:
                    yield decoder.decompress(left, PIECE)
                except zlib.error as error:
                    raise FormatError(f"the deflate stream is damaged ({error})") from error
                left = decoder.unconsumed_tail
            if left or decoder.unused_data:
                raise FormatError("the deflate stream ends before its place does")
        if not decoder.eof:
            raise FormatError("the deflate stream is cut off")

    return Content("deflate", lambda budget: spool(run(), budget), "deflate")


def zstandard(source: Source, start: int, stop: int) -> Content:
    """Return the content of a Zstandard frame that fills a span. Nothing encodes it again: Qt needs the size that
    the frame states, and the canonical encoding states none."""

    def read(budget: Budget) -> Source:
        part = Slice(source, start, stop)
        entry = next(entry for entry in formats.FORMATS if entry.name == "zstd")
        found = children(formats.parse(entry, part, budget))
        if len(found) != 1 or not isinstance(found[0], Leaf):
            raise FormatError("a resource's data is more than one Zstandard frame")
        return opened(part, found[0], budget)

    return Content("zstd", read)


FORMAT = Format("rcc", "Qt resource files, versions 1 to 3 (qtbase src/tools/rcc/rcc.cpp)", parse)
