"""Qt's compiled resources: the tree, the names and the data that rcc writes, wherever they lie.

Specification: qtbase src/tools/rcc/rcc.cpp (writeDataStructure, writeDataNames, writeDataBlobs) and
src/corelib/io/qresource.cpp. All numbers are big-endian. A node of the tree is

    offset of the name 4 | flags 2 | number of children 4, index of the first 4             a directory
                                   | territory 2, language 2, offset of the data 4          a file
    and from format version 2 on: lastModified 8, milliseconds since the epoch

a name is its length 2, its hash 4 and so many UTF-16 units; an entry of the data is its length 4 and so many bytes.
`search` looks for such trees in bytes that say nothing of them, as in the read-only data of a program.
"""

from collections.abc import Callable
from typing import NamedTuple

from reprodiff.codecs import Codec, show_time
from reprodiff.errors import FormatError

COMPRESSED, DIRECTORY, ZSTD = 1, 2, 4
NARROW, WIDE = 14, 22
MOST_NODES = 1 << 18
MOST_DEPTH = 128
# Characters of all paths of a tree: names may be shared, so that the tree's size does not bound them.
MOST_TEXT = 1 << 24
C_LANGUAGE = 1
# Sections of a program that they may lie in: what their names begin with.
SECTIONS = (b".rodata", b".data", b".qtmimedatabase")


def milliseconds(value: float, _size: int = 8) -> bytes:
    """Return a time in seconds as rcc writes it."""
    return round(value * 1000).to_bytes(8, "big", signed=True)


# Milliseconds since the epoch, signed; the value is seconds.
TIME = Codec(lambda raw: int.from_bytes(raw, "big", signed=True) / 1000, milliseconds, show_time)


class Item(NamedTuple):
    """A node of a tree.

    number  its index in the tree
    parent  the number of the directory that it is in, -1 for the root
    one, two  number of children and index of the first; or territory and language
    data    offset of the data, -1 for a directory
    """

    number: int
    parent: int
    name: int
    flags: int
    one: int
    two: int
    data: int

    @property
    def directory(self) -> bool:
        return self.data < 0


def read_item(data: bytes, at: int, index: int, parent: int) -> Item:
    """Read the node at an offset. Raises FormatError for flags that rcc does not write."""
    name = int.from_bytes(data[at : at + 4], "big")
    flags = int.from_bytes(data[at + 4 : at + 6], "big")
    last = int.from_bytes(data[at + 10 : at + 14], "big")
    if flags == DIRECTORY:
        return Item(index, parent, name, flags, int.from_bytes(data[at + 6 : at + 10], "big"), last, -1)
    if flags not in {0, COMPRESSED, ZSTD}:
        raise FormatError("a node of the resource tree has unknown flags")
    territory, language = int.from_bytes(data[at + 6 : at + 8], "big"), int.from_bytes(data[at + 8 : at + 10], "big")
    return Item(index, parent, name, flags, territory, language, last)


def read_tree(
    data: bytes, start: int, stop: int, width: int, spend: Callable[[int], None] = lambda _count: None
) -> list[Item]:
    """Read the tree at an offset, as far as `stop` at most; nodes by index.

    Every node but the root must be the child of exactly one directory, and there must be none between them: so
    there are no cycles. spend: told how many nodes are read, before they are. Raises FormatError, and what it raises.
    """
    if start + width > stop:
        raise FormatError("the resource tree is cut off")
    root = read_item(data, start, 0, -1)
    if not root.directory:
        raise FormatError("the root of the resource tree is no directory")
    most = min((stop - start) // width, MOST_NODES)
    items: dict[int, Item] = {0: root}
    pending = [(root, 0)]
    while pending:
        directory, depth = pending.pop()
        first, last = directory.two, directory.two + directory.one
        if depth > MOST_DEPTH or last > most:
            raise FormatError("the resource tree is too deep or refers to nodes behind its end")
        spend(directory.one)
        for index in range(first, last):
            if index in items:
                raise FormatError("a node of the resource tree has two parents")
            item = items[index] = read_item(data, start + index * width, index, directory.number)
            if item.directory:
                pending.append((item, depth + 1))
    if max(items) != len(items) - 1:
        raise FormatError("the resource tree has nodes that nothing refers to")
    return [items[index] for index in range(len(items))]


def name_hash(units: bytes) -> int:
    """Return rcc's hash of a name in UTF-16BE: the ELF hash over its units."""
    value = 0
    for at in range(0, len(units), 2):
        value = (value << 4) + (units[at] << 8 | units[at + 1])
        value = (value ^ (value & 0xF0000000) >> 23) & 0x0FFFFFFF
    return value


def name_text(units: bytes) -> str:
    """Return a name as text; a lone surrogate becomes the replacement character."""
    return units.decode("utf-16-be", "replace")


def paths(items: list[Item], names: dict[int, str]) -> list[str]:
    """Return the path of every node; names: by their offset. Raises FormatError when they are too long together."""
    found: list[str] = [":/"] * len(items)
    bare: list[str] = [":"] * len(items)
    total = 0
    # A child's index need not be greater than its parent's.
    children: dict[int, list[Item]] = {}
    for item in items[1:]:
        children.setdefault(item.parent, []).append(item)
    pending = [0]
    while pending:
        parent = pending.pop()
        for item in children.get(parent, ()):
            path = f"{bare[parent]}/{names[item.name]}"
            total += len(path)
            if total > MOST_TEXT:
                raise FormatError("the resources' names are too long")
            found[item.number] = bare[item.number] = path
            if item.directory:
                pending.append(item.number)
            elif item.one or item.two != C_LANGUAGE:
                found[item.number] = f"{path} (language {item.two}, territory {item.one})"
    return found
