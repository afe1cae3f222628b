"""A directory, or an archive that a library lists, as one stream: what each entry is, then what it holds.

There is no such file: `Listing` lays entries out one after another (after BSD's mtree(5), in binary), reads contents
where they are, and knows its tree. So directories are compared, explained and accounted for like any archive.
"""

import struct
from bisect import bisect_right
from collections.abc import Callable
from typing import NamedTuple

from reprodiff.budget import Budget
from reprodiff.codecs import BE, RAW, Codec, show_bytes, show_mode, show_time
from reprodiff.errors import FormatError
from reprodiff.formats import Entry, Format
from reprodiff.sources import Source
from reprodiff.tree import Field, Group, Leaf, Node, Record, Role, Table, listed

NAME = "directory"
SECOND = 10**9
KINDS = {b"-": "file", b"d": "directory", b"l": "symbolic link", b"p": "FIFO", b"s": "socket", b"c": "character device",
         b"b": "block device", b"h": "hard link", b"?": "of unknown type"}  # fmt: skip
FILE, DIRECTORY, SYMLINK = b"-", b"d", b"l"


def _decode_time(raw: bytes) -> float:
    """Return seconds since the epoch, an integer where they are whole: a float has no room for nanoseconds."""
    count = int.from_bytes(raw, "big", signed=True)
    return count / SECOND if count % SECOND else count // SECOND


def _encode_time(value: float, size: int) -> bytes:
    return int(value * SECOND).to_bytes(8 if size < 0 else size, "big", signed=True)


KIND = Codec(bytes, RAW.encode, lambda value: KINDS.get(value, show_bytes(value)))
TIME = Codec(_decode_time, _encode_time, show_time)
STATUS = Table(
    Field("type", 1, KIND),
    Field("mode", 2, BE._replace(show=show_mode)),
    Field("uid", 8, BE),
    Field("gid", 8, BE),
    Field("mtime", 8, TIME),
    Field("major", 4, BE),
    Field("minor", 4, BE),
)
TYPE_ONLY = Table(Field("type", 1, KIND))
PACK = struct.Struct(">cHQQqII").pack


class Extras(NamedTuple):
    """What few entries have: parts after the status, in this order, as (name or None, bytes).

    target  of a symbolic link; link: the name of the first entry that is the same file; names: extended attributes
    """

    parts: tuple[tuple[str, bytes | None, bytes], ...]


class Listing:
    """A directory as a stream.

    add() appends entries, sorted by name or as an archive has them; content(number, start, stop) reads what the entry
    of that number holds, short where it can no longer be read.
    """

    entry = Entry(NAME, (), "every entry's type, mode, owner, time, link, attributes; files entered")

    def __init__(self, content: Callable[[int, int, int], bytes], table: Table = STATUS, root: str = "") -> None:
        self.content = content
        self.table = table
        self.root = root
        self.size = 0
        self.keys: list[bytes] = []
        self.starts: list[int] = []
        self.heads: list[bytes] = []
        self.extras: dict[int, Extras] = {}
        self.groups: list[Group] = []
        self._last = (0, 0, 0, -1)

    def add(self, key: bytes, status: bytes, extras: Extras | None, size: int) -> None:
        """Append an entry: its name, its status as the table lays it out, and the size of its content in bytes."""
        number = len(self.keys)
        head = status
        if extras is not None:
            self.extras[number] = extras
            head = status + b"".join([part for _name, _key, part in extras.parts])
        start = self.size
        self.size = start + len(head) + size
        self.keys.append(key)
        self.starts.append(start)
        self.heads.append(head)
        self.groups.append(Group("entry", start, self.size, self.expand, key, number))

    def size_of(self, number: int) -> int:
        """Return the size of an entry's content in bytes."""
        return self.groups[number].stop - self.starts[number] - len(self.heads[number])

    def tree(self) -> Group:
        """Return the tree of the stream."""
        nodes: list[Node] = list(self.groups)
        return Group(NAME, 0, self.size, listed(nodes))

    def expand(self, group: Group) -> list[Node]:
        number: int = group.info
        status = Record("status", group.start, self.table)
        at = status.stop
        nodes: list[Node] = [status]
        extras = self.extras.get(number)
        if extras is not None:
            for name, key, part in extras.parts:
                leaf = Leaf(name if key is None else "value", at, at + len(part))
                nodes.append(leaf if key is None else Group(name, at, leaf.stop, listed([leaf]), key))
                at = leaf.stop
        if at < group.stop:
            nodes.append(Leaf("content", at, group.stop, Role.PAYLOAD))
        return nodes

    def read(self, start: int, stop: int, /) -> bytes:
        """Return the bytes of [start, stop), cut at the end; short where a content cannot be read."""
        stop = min(stop, self.size)
        first, body, end, number = self._last
        if not first <= start < end:
            if start >= stop:
                return b""
            number = bisect_right(self.starts, start) - 1
            first = self.starts[number]
            body, end = first + len(self.heads[number]), self.groups[number].stop
            self._last = (first, body, end, number)
        if stop <= body:
            return self.heads[number][start - first : stop - first]
        if start >= body and stop <= end:
            return self.content(number, start - body, stop - body)
        return self._read_across(start, stop, number)

    def _read_across(self, start: int, stop: int, number: int) -> bytes:
        parts = []
        while start < stop:
            first, group = self.starts[number], self.groups[number]
            body = first + len(self.heads[number])
            if start < body:
                part = self.heads[number][start - first : stop - first]
                parts.append(part)
                start += len(part)
            if body <= start < min(stop, group.stop):
                end = min(stop, group.stop)
                part = self.content(number, start - body, end - body)
                parts.append(part)
                if len(part) < end - start:
                    break
                start = end
            number += 1
        return b"".join(parts)


def parse(source: Source, _budget: Budget) -> Group:
    """Return the tree that a listing knows."""
    if not isinstance(source, Listing):
        raise FormatError("no listing")
    return source.tree()


FORMAT = Format(NAME, "mtree(5), for what it says of an entry", parse)
