"""The header of an ar member, how it spells its values, and what the nodes of one archive share."""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from reprodiff.codecs import RAW, TEXT, Codec, show_bytes, show_mode, show_time
from reprodiff.sources import Source
from reprodiff.tree import Derive, Field, Group, Leaf, Node, Record, Refs, Role, Table

WIDTH = 60


def _integer(base: int, digits: bytes) -> Callable[[bytes], int]:
    def decode(raw: bytes) -> int:
        text = raw.strip(b" ")
        if text.strip(digits):
            raise ValueError("not a number")
        return int(text, base) if text else 0

    return decode


def _spell(form: bytes) -> Callable[[Any, int], bytes]:
    def encode(value: Any, size: int) -> bytes:
        text = form % int(value)
        if len(text) > size or value < 0:
            raise ValueError(f"{value} does not fit into {size} characters")
        return text.ljust(size)

    return encode


decimal = _integer(10, b"0123456789")
NUMBER = Codec(decimal, _spell(b"%d"), str)
TIME = Codec(decimal, _spell(b"%d"), show_time)
MODE = Codec(_integer(8, b"01234567"), _spell(b"%o"), show_mode)
NAME = Codec(lambda raw: raw.rstrip(b" "), lambda value, size: value.ljust(size), show_bytes)


class Archive:
    """What the nodes of one archive share.

    starts  members by offset: what a symbol table refers to
    names   entries of the table of long names by their offset in it
    symbols whether there is a System V symbol table
    linker  whether there is a second linker member, whose indices rely on the order of the members
    """

    __slots__ = ("deb", "linker", "names", "source", "starts", "symbols", "table", "thin")

    def __init__(self, source: Source, *, thin: bool) -> None:
        self.source = source
        self.thin = thin
        self.deb = False
        self.linker = False
        self.symbols = False
        self.starts: dict[int, Group] = {}
        self.names: dict[int, Group] = {}
        self.table: Group | None = None

    def long_names(self) -> list[bytes | None]:
        """Return the entries of the table of long names."""
        return [entry.key for entry in self.names.values()]


class Member(NamedTuple):
    """What the header of a member says. name: bytes of a BSD name before the content; size: of the content, 0 in
    a thin archive; entry: offset in the table of long names, -1 for none."""

    archive: Archive
    name: int
    size: int
    entry: int


class Symbol(NamedTuple):
    """A part of a symbol table: the member that it is about, and whether the table is sorted by symbol."""

    archive: Archive
    member: Group
    sorted: bool = False


def _derive_size(header: bytes, refs: Refs) -> bytes:
    old = header[48:58]
    size = refs.size("content") + (refs.size("name") if refs.has("name") else 0)
    try:
        return old if decimal(old) == size and old.strip() else b"%-10d" % size
    except ValueError:
        return b"%-10d" % size


def _derive_entry(header: bytes, refs: Refs) -> bytes:
    # A member of an archive that a thin one refers to adds its place there: `/12:340`.
    _name, mark, place = header[:16].rstrip(b" ").partition(b":")
    return (b"/%d" % (refs.offset("entry") - refs.offset("table")) + mark + place).ljust(16)


def _derive_name_length(_header: bytes, refs: Refs) -> bytes:
    return (b"#1/%d" % refs.size("name")).ljust(16)


@cache
def header(name: Derive | None, size: Derive | None) -> Table:
    """Return the table of a header (ar(5), struct ar_hdr) by what name and size follow from."""
    return Table(
        Field("name", 16, NAME, Role.DERIVED if name else Role.VALUE, name),
        Field("date", 12, TIME),
        Field("uid", 6, NUMBER),
        Field("gid", 6, NUMBER),
        Field("mode", 8, MODE),
        Field("size", 10, NUMBER, Role.DERIVED if size else Role.VALUE, size),
        Field("fmag", 2, RAW, Role.FIXED),
    )


def derive_padding(_raw: bytes, refs: Refs) -> bytes:
    """Return the byte that makes a member's size even."""
    return b"\n" * (refs.size("content") + (refs.size("name") if refs.has("name") else 0) & 1)


def _no_padding(_raw: bytes, _refs: Refs) -> bytes:
    return b""


def framed(group: Group, member: Member, content: Node, parts: list[Node]) -> list[Node]:
    """Put header, BSD name and padding around the content of a member."""
    archive = member.archive
    refs: dict[str, Node] = {"content": content}
    at = group.start + WIDTH
    entry = archive.names.get(member.entry)
    derive: Derive | None = None
    if member.name:
        name = Leaf("name", at, at + member.name, Role.VALUE, TEXT)
        refs["name"] = name
        parts = [name, *parts]
        derive = _derive_name_length
    elif entry is not None and archive.table is not None:
        derive = _derive_entry
    bound = dict(refs)
    if entry is not None and archive.table is not None:
        bound.update(entry=entry, table=archive.table)
    thin = archive.thin and group.name == "member"
    bare = group.stop == content.stop and (content.stop - at) % 2
    fill = _no_padding if bare else derive_padding
    padding = Leaf("padding", content.stop, group.stop, Role.DERIVED, derive=fill, refs=refs)
    return [Record("header", group.start, header(derive, None if thin else _derive_size), bound), *parts, padding]
