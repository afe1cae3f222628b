"""Finds Qt's resource trees in bytes that say nothing of them: the read-only data of ELF and PE files, stripped or not.

`find` gives the trees of some bytes, `pairs` those that two sides share, `nodes` makes them part of a tree.
"""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from reprodiff.codecs import printable
from reprodiff.errors import FormatError, LimitError
from reprodiff.formats.qtresources import NARROW, TIME, WIDE, Item, name_hash, name_text, paths, read_tree
from reprodiff.tree import Group, Leaf, Node, Role, listed

MOST_FOUND = 4096

# What a root looks like: no name, a directory, fewer than 2^16 children, the first of which is node 1.
ROOT = re.compile(rb"\x00\x00\x00\x00\x00\x02\x00\x00(?=[\x00-\xff]{2}\x00\x00\x00\x01)")
# Steps of a search, of some microseconds each: whoever writes a file of nothing but roots must not cost hours.
MOST_STEPS = 1 << 18
# Compilers align arrays to at most this many bytes.
ALIGNED = 64
# How far from a tree names and data are looked for where they are not beside it, and how many places are tried.
NEAR = 1 << 22
MOST_TRIED = 1 << 13
LONGEST_NAME = 1024
# So many names may be where they are by chance, when they are not beside their tree.
FEW_NAMES = 2
# More than Qt has languages, and more than it has territories.
LANGUAGES = 1024


class Resource(NamedTuple):
    """A node of a tree that was found.

    path  as Qt's: `:/images/a.png`, with the language where it is for one
    node  offset of the node; time: of its lastModified, -1 for format version 1
    data  span of its content, without the length before it, None for a directory or where no data was found
    """

    path: str
    node: int
    time: int
    data: tuple[int, int] | None


class Found(NamedTuple):
    """A tree in other bytes: spans of its three arrays (data None where it was not found), bytes a node, its nodes."""

    tree: tuple[int, int]
    names: tuple[int, int]
    data: tuple[int, int] | None
    width: int
    resources: tuple[Resource, ...]


def find(data: bytes, limit: int = MOST_FOUND) -> list[Found]:
    """Return the resource trees in some bytes, at most `limit` of them, in the order of their offsets.

    A tree counts when its indices hold together (`read_tree`), and names with the right hashes lie at all of its
    nodes' offsets. So another thing is taken for one only when it was made to be.
    """
    found: list[Found] = []
    steps = _Steps()
    end = 0
    try:
        for match in ROOT.finditer(data):
            start = match.start()
            if start < end:
                continue
            tree = _tree_at(data, start, steps)
            if tree is not None:
                found.append(tree)
                end = tree.tree[1]
                if len(found) >= limit:
                    break
    except LimitError:
        return found
    return found


class _Steps:
    """Counts the steps of a search; raises LimitError when there were too many."""

    def __init__(self) -> None:
        self.left = MOST_STEPS

    def spend(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise LimitError("too much looks like Qt's resources")


def _tree_at(data: bytes, start: int, steps: _Steps) -> Found | None:
    def plausible(item: Item) -> bool:
        return item.directory or (item.data < len(data) and max(item.one, item.two) < LANGUAGES)

    for width in (WIDE, NARROW):
        steps.spend(1)
        try:
            items = read_tree(data, start, len(data), width, steps.spend)
        except FormatError:
            continue
        if len(items) < 2 or not all(map(plausible, items)):
            continue
        span = start, start + len(items) * width
        names = _names_near(data, span, sorted({item.name for item in items[1:]}), steps)
        if names is None:
            continue
        at, size, texts = names
        try:
            known = paths(items, texts)
        except FormatError:
            continue
        steps.spend(sum(map(len, known)) // 16)
        offsets = sorted({item.data for item in items if not item.directory})
        blobs = _data_near(data, span, (at, at + size), offsets, steps)
        return Found(
            span,
            (at, at + size),
            blobs,
            width,
            tuple(
                Resource(
                    known[item.number],
                    start + item.number * width,
                    start + item.number * width + NARROW if width == WIDE else -1,
                    _content(data, blobs, item),
                )
                for item in items
            ),
        )
    return None


def _content(data: bytes, blobs: tuple[int, int] | None, item: Item) -> tuple[int, int] | None:
    if blobs is None or item.directory:
        return None
    at = blobs[0] + item.data
    return at + 4, at + 4 + int.from_bytes(data[at : at + 4], "big")


def _names_near(
    data: bytes, tree: tuple[int, int], offsets: list[int], steps: _Steps
) -> tuple[int, int, dict[int, str]] | None:
    """Return offset and size of the names that a tree refers to, and their texts by offset.

    rcc writes each name once, one behind the other, and none that no node has: so all lengths but the last
    follow from the offsets.
    """
    if offsets[0] != 0:
        return None
    sizes = [two - one for one, two in pairwise(offsets)]
    if any(not 8 <= size <= 6 + 2 * LONGEST_NAME or size % 2 for size in sizes):
        return None
    lengths = [(size - 6) // 2 for size in sizes]
    last = offsets[-1]
    for at in _places(data, tree, last + 8, lengths[0].to_bytes(2, "big") if lengths else None):
        steps.spend(1)
        found = _names_at(data, at, offsets, lengths)
        if found is not None and (len(offsets) > FEW_NAMES or _beside(data, tree, (at, at + found[1]))):
            return found
    return None


def _beside(data: bytes, one: tuple[int, int], two: tuple[int, int]) -> bool:
    """Tell whether nothing lies between two spans but the zeros that align the second."""
    start, stop = (one[1], two[0]) if one[1] <= two[0] else (two[1], one[0])
    return start <= stop <= start + ALIGNED and not data[start:stop].strip(b"\0")


def _names_at(data: bytes, at: int, offsets: list[int], lengths: list[int]) -> tuple[int, int, dict[int, str]] | None:
    stop = len(data)
    last = at + offsets[-1]
    if (
        at < 0
        or last + 8 > stop
        or any(
            int.from_bytes(data[at + offset : at + offset + 2], "big") != length
            for offset, length in zip(offsets, lengths, strict=False)
        )
    ):
        return None
    texts = {}
    for offset in offsets:
        place = at + offset
        # A name is the part of a path: short, and nothing that cannot be printed.
        length = int.from_bytes(data[place : place + 2], "big")
        if not 0 < length <= LONGEST_NAME or place + 6 + 2 * length > stop:
            return None
        units = data[place + 6 : place + 6 + 2 * length]
        text = name_text(units)
        if name_hash(units) != int.from_bytes(data[place + 2 : place + 6], "big") or not text.isprintable():
            return None
        texts[offset] = text
    return at, offsets[-1] + 6 + 2 * int.from_bytes(data[last : last + 2], "big"), texts


def _places(data: bytes, span: tuple[int, int], size: int, begins: bytes | None) -> Iterator[int]:
    """Yield where an array of at least `size` bytes may start: beside a span, then anywhere near it.

    begins: its first bytes, None where they are not known: then only places beside the span are worth a look.
    """
    start, stop = span
    yield from range(stop, min(stop + ALIGNED + 1, len(data)))
    # Before the span: the last entry's length is not known.
    yield from range(start - size, max(start - size - ALIGNED - 2 * LONGEST_NAME, -1), -1)
    if begins is None:
        return
    low, high = max(start - NEAR, 0), min(stop + NEAR, len(data))
    at = data.find(begins, low, high)
    for _ in range(MOST_TRIED):
        if at < 0:
            return
        yield at
        at = data.find(begins, at + 1, high)


def _data_near(
    data: bytes, tree: tuple[int, int], names: tuple[int, int], offsets: list[int], steps: _Steps
) -> tuple[int, int] | None:
    """Return the span of the data that a tree refers to: all lengths but the last follow from the offsets.

    The data of a single file has no such length that would tell it from anything else.
    """
    if len(offsets) < 2 or offsets[0] != 0:
        return None
    sizes = [two - one - 4 for one, two in pairwise(offsets)]
    if any(size < 0 for size in sizes):
        return None
    first = sizes[0].to_bytes(4, "big")
    for start, stop in (names, tree):
        for at in range(stop, min(stop + ALIGNED + 1, len(data))):
            end = _data_at(data, at, offsets, sizes, steps)
            if end:
                return at, end
        # Nearest first: an array that lies before another ends beside it, and its end is not known.
        low = max(start - NEAR - offsets[-1], 0)
        at = data.rfind(first, low, start)
        for _ in range(MOST_TRIED):
            if at < 0:
                break
            end = _data_at(data, at, offsets, sizes, steps)
            if end and end <= start:
                return at, end
            at = data.rfind(first, low, at + 3)
    return None


def _data_at(data: bytes, at: int, offsets: list[int], sizes: list[int], steps: _Steps) -> int:
    """Return where data that starts there ends, 0 where it cannot start there."""
    steps.spend(1)
    for offset, size in zip(offsets, sizes, strict=False):
        if int.from_bytes(data[at + offset : at + offset + 4], "big") != size:
            return 0
    last = at + offsets[-1]
    stop = last + 4 + int.from_bytes(data[last : last + 4], "big")
    return stop if stop <= len(data) else 0


class Pair(NamedTuple):
    """Two trees that correspond, and what of them does: (path, left span, right span) of each resource's
    lastModified, and of each content, in the order of the left tree."""

    left: Found
    right: Found
    times: tuple[tuple[str, tuple[int, int], tuple[int, int]], ...]
    contents: tuple[tuple[str, tuple[int, int], tuple[int, int]], ...]


def pairs(left: bytes, right: bytes) -> list[Pair]:
    """Return the trees that two pieces of data have in common: those of the same paths, the first with the first;
    then what is left with what is left, in their order."""
    ones, twos = find(left), find(right)
    found: list[tuple[Found, Found]] = []
    for alike in (_same_paths, _any):
        for one in list(ones):
            two = next((two for two in twos if alike(one, two)), None)
            if two is not None:
                found.append((one, two))
                ones.remove(one)
                twos.remove(two)
    return [_pair(one, two) for one, two in sorted(found, key=lambda pair: pair[0].tree)]


def _same_paths(one: Found, two: Found) -> bool:
    return one.width == two.width and [r.path for r in one.resources] == [r.path for r in two.resources]


def _any(one: Found, two: Found) -> bool:
    return one.width == two.width


def _pair(one: Found, two: Found) -> Pair:
    twins = {resource.path: resource for resource in two.resources}
    both = [(resource, twins[resource.path]) for resource in one.resources if resource.path in twins]
    return Pair(
        one,
        two,
        tuple((a.path, (a.time, a.time + 8), (b.time, b.time + 8)) for a, b in both if a.time >= 0 and b.time >= 0),
        tuple((a.path, a.data, b.data) for a, b in both if a.data is not None and b.data is not None),
    )


def nodes(found: Found, base: int) -> Group:
    """Return a tree that was found as a group `qt`, for the format around it: one keyed group a node, in it the leaf
    `node`, whose numbers are offsets in the other arrays, and the leaf `lastmodified`.

    base: offset in the stream of the bytes that were searched.
    """
    resources = []
    for resource in found.resources:
        start = base + resource.node
        parts: list[Node] = [Leaf("node", start, start + NARROW)]
        if found.width == WIDE:
            parts.append(Leaf("lastmodified", start + NARROW, start + WIDE, Role.VALUE, TIME))
        key = printable(resource.path).encode("utf-8", "replace")
        resources.append(Group("resource", start, start + found.width, listed(parts), key))
    return Group("qt", base + found.tree[0], base + found.tree[1], listed([*resources]))
