r"""Qt resources as source code: `qrc_*.cpp` by rcc, and Python modules by rcc, pyrcc5 and pyside6-rcc.

The three arrays that `qtresources` tells are there as text: `0x0,0x1b,` with comments in C++, `\x00\x1b` in Python,
where printable bytes stand for themselves. The arrays are partitioned like those of a .rcc file, down to the text of
each number; contents are entered. The text around the arrays is text.

Whether the numbers of a node follow from the rest was seen when the file was read: each name and content begins where
the one before it ends, and the indices hold together (`qtresources.read_tree`).
"""

import re
import zlib
from array import array as array_of
from collections.abc import Iterator
from typing import NamedTuple

from reprodiff.budget import Budget
from reprodiff.codecs import printable
from reprodiff.errors import FormatError
from reprodiff.formats import Format
from reprodiff.formats.qrc.spelling import CPP, PYTHON, Spelling
from reprodiff.formats.qtresources import (
    COMPRESSED,
    NARROW,
    WIDE,
    ZSTD,
    Item,
    name_hash,
    name_text,
    paths,
    read_tree,
)
from reprodiff.formats.rcc import deflated, zstandard
from reprodiff.sources import Bytes, Source
from reprodiff.tree import Content, Group, Leaf, Node, Role, listed

MOST = 1 << 26
ZLIB_HEAD = 6

COMMENT = re.compile(rb"(\s*// )([^\n]*)(\n\s*)")


class Array(NamedTuple):
    """An array in a text: what of, its variant (`_v2`), and the span of what stands between its delimiters."""

    kind: str
    variant: str
    start: int
    stop: int

    @property
    def name(self) -> str:
        return self.kind + self.variant


class Entry(NamedTuple):
    """A content: where it begins and ends among the bytes of its array, with the length before it, the flags of the
    nodes that refer to it, and their paths."""

    first: int
    stop: int
    flags: int
    key: bytes


class Layout(NamedTuple):
    """The arrays of a file; the names by offset, and where each begins and ends among the bytes of its array; the
    nodes of each struct, by the array's variant, with the number of bytes of each."""

    spelling: Spelling
    arrays: list[Array]
    names: dict[int, tuple[str, int]]
    trees: dict[str, tuple[int, list[Item], list[bytes]]]


def probe(_head: bytes, source: Source) -> bool:
    """Tell whether a text is rcc's, and its tree and names hold together; whatever else it is, is text."""
    if source.size > MOST:
        return False
    try:
        _read(source.read(0, source.size))
    except (FormatError, ValueError):
        return False
    return True


def _read(data: bytes) -> Layout:
    """Find the arrays; read names and trees. Raises FormatError."""
    spelling, arrays = _arrays(data)
    by_kind = {kind: [array for array in arrays if array.kind == kind] for kind in ("data", "name", "struct")}
    if len(by_kind["name"]) != 1 or len(by_kind["data"]) != 1 or not by_kind["struct"]:
        raise FormatError("not the arrays that rcc writes")
    for array in (*by_kind["name"], *by_kind["struct"]):
        if not spelling.text.fullmatch(data, array.start, array.stop):
            raise FormatError("an array has something else than bytes in it")
    names = _names(_bytes(spelling, data, by_kind["name"][0]))
    texts = {offset: name for offset, (name, _stop) in names.items()}
    trees = {}
    for array in by_kind["struct"]:
        raw = _bytes(spelling, data, array)
        width, items = _tree(raw)
        if any(item.name not in names for item in items[1:]):
            raise FormatError("a node has no name")
        trees[array.variant] = width, items, [path.encode("utf-8", "replace") for path in paths(items, texts)]
    return Layout(spelling, arrays, names, trees)


def _bytes(spelling: Spelling, data: bytes, array: Array) -> bytes:
    value: bytes = spelling.number.decode(data[array.start : array.stop])
    return value


def _arrays(data: bytes) -> tuple[Spelling, list[Array]]:
    for spelling in (CPP, PYTHON):
        arrays: list[Array] = []
        at = 0
        while match := spelling.array.search(data, at):
            # The line feed before the end may be the one after the beginning: an empty array.
            stop = data.find(spelling.close, match.end() - 1)
            if stop < 0:
                raise FormatError("an array does not end")
            arrays.append(Array(match[1].decode(), match[2].decode(), match.end(), max(stop + 1, match.end())))
            at = stop + 1
        if arrays:
            return spelling, arrays
    raise FormatError("no arrays of resources")


def _names(raw: bytes) -> dict[int, tuple[str, int]]:
    names = {}
    at = 0
    while at < len(raw):
        stop = at + 6 + 2 * int.from_bytes(raw[at : at + 2], "big")
        units = raw[at + 6 : stop]
        if stop > len(raw) or name_hash(units) != int.from_bytes(raw[at + 2 : at + 6], "big"):
            raise FormatError("a name does not have its hash")
        names[at] = printable(name_text(units)), stop
        at = stop
    return names


def _tree(raw: bytes) -> tuple[int, list[Item]]:
    for width in (WIDE, NARROW):
        try:
            items = read_tree(raw, 0, len(raw), width)
        except FormatError:
            continue
        if len(items) * width == len(raw):
            return width, items
    raise FormatError("an array is no tree of resources")


def parse(source: Source, budget: Budget) -> Group:
    """Partition the arrays; the rest is text."""
    data = source.read(0, source.size)
    layout = _read(data)
    contents = next(array for array in layout.arrays if array.kind == "data")
    placer = _Writer(source, data, layout, contents)
    entries = placer.entries()
    nodes: list[Node] = []
    at, name = 0, "text"
    for array in layout.arrays:
        nodes.append(Leaf(name, at, array.start, Role.PAYLOAD))
        budget.count(sum(len(items) for _width, items, _paths in layout.trees.values()))
        if array.kind == "data":
            # No group: so every content is compared under its path, even if only the nodes differ.
            nodes += placer.data(entries)
        else:
            writer = _Writer(source, data, layout, array)
            made = writer.name() if array.kind == "name" else writer.struct(placed=entries is not None)
            nodes.append(Group(array.name, array.start, array.stop, listed(made)))
        at, name = array.stop, f"text-after-{array.name}"
    nodes.append(Leaf(name, at, len(data), Role.PAYLOAD))
    return Group("qrc", 0, source.size, listed(nodes))


class _Writer:
    """Makes the nodes of one array."""

    def __init__(self, source: Source, data: bytes, layout: Layout, array: Array) -> None:
        self.source = source
        self.text = data
        self.layout = layout
        self.array = array
        self.spelling = layout.spelling
        found = layout.spelling.byte.finditer(data, array.start, array.stop)
        # The last group that took part: none in what is no byte.
        self.starts = array_of("Q", (match.start() for match in found if match.lastindex))

    def stop(self, index: int) -> int:
        """Return where the text of the byte of that index ends."""
        match = self.spelling.byte.match(self.text, self.starts[index], self.array.stop)
        assert match is not None
        return match.end()

    def after(self, index: int) -> int:
        """Return where the text of the byte before that index ends, with the comma or the line's end behind it."""
        if index == 0:
            return self.array.start
        match = self.spelling.gap.match(self.text, self.stop(index - 1), self.array.stop)
        assert match is not None
        return match.end()

    def rest(self, nodes: list[Node]) -> list[Node]:
        at = nodes[-1].stop if nodes else self.array.start
        end = Leaf(f"end of {self.array.name}", at, self.array.stop)
        return [*nodes, end] if at < self.array.stop else nodes

    def name(self) -> list[Node]:
        """Return the names, one behind the other as they are in the array."""
        nodes: list[Node] = []
        for offset, (text, stop) in self.layout.names.items():
            start, end = self.after(offset), self.after(stop)
            nodes.append(Group("name", start, end, listed([Leaf("text", start, end)]), text.encode("utf-8", "replace")))
        return self.rest(nodes)

    def struct(self, *, placed: bool) -> list[Node]:
        """Return the nodes of the tree. placed: whether the contents lie where these say."""
        width, items, known = self.layout.trees[self.array.variant]
        follow = {"name", "count", "first", *(("data",) if placed else ())}
        nodes: list[Node] = []
        for item, key in zip(items, known, strict=True):
            first = item.number * width
            start, end = self.after(first), self.after(first + width)
            fields: tuple[tuple[str, int], ...] = (
                ("name", 4),
                ("flags", 2),
                ("territory", 2),
                ("language", 2),
                ("data", 4),
            )
            if item.directory:
                fields = (("name", 4), ("flags", 2), ("count", 4), ("first", 4))
            if width == WIDE:
                fields = (*fields, ("lastmodified", 8))
            nodes.append(Group("resource", start, end, listed(self.fields(start, end, first, fields, follow)), key))
        return self.rest(nodes)

    def fields(
        self, start: int, end: int, first: int, fields: tuple[tuple[str, int], ...], follow: set[str]
    ) -> list[Node]:
        at = start
        nodes: list[Node] = []
        for name, size in fields:
            here, there = self.starts[first], self.stop(first + size - 1)
            if here > at:
                nodes.append(Leaf(f"before {name}", at, here))
            if name == "lastmodified":
                nodes.append(Leaf(name, here, there, Role.VALUE, self.spelling.time))
            elif name in follow:
                nodes.append(Leaf(name, here, there, Role.DERIVED, self.spelling.number, derive=self.spelling.follows))
            else:
                nodes.append(Leaf(name, here, there, Role.VALUE, self.spelling.number))
            at, first = there, first + size
        return [*nodes, Leaf("end", at, end)] if at < end else nodes

    def data(self, entries: list[Entry] | None) -> list[Node]:
        """Return the contents; as one leaf, where they are not one behind the other as the nodes say."""
        if entries is None:
            return [Leaf("data", self.array.start, self.array.stop, Role.PAYLOAD)]
        nodes: list[Node] = []
        for first, stop, flags, key in entries:
            start, end = self.after(first), self.after(stop)
            nodes.append(Group("file", start, end, listed(self.file(start, end, first, stop, flags)), key))
        return self.rest(nodes)

    def entries(self) -> list[Entry] | None:
        """Return the contents; None where they are not one behind the other as the nodes say."""
        files: dict[int, tuple[int, dict[bytes, None]]] = {}
        for _width, items, known in self.layout.trees.values():
            for item, key in zip(items, known, strict=True):
                if not item.directory:
                    flags, keys = files.setdefault(item.data, (item.flags, {}))
                    if flags != item.flags:
                        return None
                    keys[key] = None
        found: list[Entry] = []
        at = 0
        for offset in sorted(files):
            if offset != at or at + 4 > len(self.starts):
                return None
            stop = at + 4 + int.from_bytes(self.bytes_of(at, at + 4), "big")
            if stop > len(self.starts):
                return None
            flags, keys = files[offset]
            found.append(Entry(at, stop, flags, b", ".join(keys)))
            at = stop
        return found if at == len(self.starts) else None

    def bytes_of(self, first: int, stop: int) -> bytes:
        value: bytes = self.spelling.number.decode(self.text[self.starts[first] : self.stop(stop - 1)])
        return value

    def file(self, start: int, end: int, first: int, stop: int, flags: int) -> list[Node]:
        nodes: list[Node] = []
        here, there = self.starts[first], self.stop(first + 3)
        comment = COMMENT.fullmatch(self.text, start, here)
        if comment:
            nodes += [
                Leaf("before source", start, comment.end(1)),
                Leaf("source", comment.end(1), comment.end(2)),
                Leaf("after source", comment.end(2), here),
            ]
        elif here > start:
            nodes.append(Leaf("before", start, here))
        nodes.append(Leaf("length", here, there, Role.DERIVED, self.spelling.number, derive=self.spelling.follows))
        if stop > first + 4:
            here = self.starts[first + 4]
            nodes.append(Leaf("before content", there, here))
            there = self.stop(stop - 1)
            nodes.append(Leaf("content", here, there, Role.PAYLOAD, content=self.content(here, there, flags)))
        return [*nodes, Leaf("end", there, end)] if there < end else nodes

    def content(self, start: int, stop: int, flags: int) -> Content:
        source, spelling = self.source, self.spelling

        def read(budget: Budget) -> Source:
            text = source.read(start, stop)
            if not spelling.run.fullmatch(text):
                raise FormatError("something else than bytes stands between the bytes of a resource")
            raw = spelling.number.decode(text)
            budget.spend(len(raw))
            return _decoded(raw, flags, budget)

        return Content({COMPRESSED: "zlib", ZSTD: "zstd"}.get(flags, "bytes"), read)


def _decoded(raw: bytes, flags: int, budget: Budget) -> Source:
    whole = Bytes(raw)
    if flags == ZSTD:
        return zstandard(whole, 0, len(raw)).open(budget)
    if flags != COMPRESSED:
        return whole
    plain = deflated(whole, ZLIB_HEAD, len(raw) - 4).open(budget)
    value = 1
    for piece in _pieces(plain):
        value = zlib.adler32(piece, value)
    if value != int.from_bytes(raw[-4:], "big") or plain.size != int.from_bytes(raw[:4], "big"):
        raise FormatError("a compressed resource does not have its size or its checksum")
    return plain


def _pieces(source: Source) -> Iterator[bytes]:
    for at in range(0, source.size, 1 << 20):
        yield source.read(at, at + (1 << 20))


FORMAT = Format("qrc", "qtbase src/tools/rcc/rcc.cpp: C++ and Python code", parse)
