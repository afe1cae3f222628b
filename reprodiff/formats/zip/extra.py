"""Extra fields of zip headers (APPNOTE.TXT 4.5 and 4.6; Info-ZIP's extrafld.txt; Android's ApkSigningBlock for 0xd935).

Each field is a group named by its id in hex. What follows the last whole field is a leaf `extra-rest`.
"""

import zlib
from collections.abc import Mapping
from functools import lru_cache

from reprodiff.codecs import LE, LE_HEX, LE_TIME, RAW, Codec, show_time
from reprodiff.formats.zip.layout import place
from reprodiff.sources import Source
from reprodiff.tree import Derive, Field, Group, Leaf, Node, Record, Refs, Role, Table

ZIP64, TIMES, NTFS, ALIGNMENT = 0x0001, 0x5455, 0x000A, 0xD935
FULL = 0xFFFFFFFF
FILE_TIME = LE._replace(show=lambda value: show_time(value / 10_000_000 - 11_644_473_600))
SIGNED_TIME = Codec(
    lambda raw: int.from_bytes(raw, "little", signed=True),
    lambda value, size: int(value).to_bytes(size, "little", signed=True),
    LE_TIME.show,
)


@lru_cache(1024)
def step(number: int) -> str:
    """Return the path step of an extra field."""
    return f"{number:#06x}"


def _size(_raw: bytes, refs: Refs) -> bytes:
    return (refs.size("field") - 4).to_bytes(2, "little")


def _head(*body: Field) -> Table:
    return Table(
        Field("id", 2, LE_HEX, Role.FIXED),
        Field("size", 2, LE, Role.DERIVED, _size),
        *body,
    )


def fields(
    source: Source, start: int, stop: int, refs: Mapping[str, Node], *, central: tuple[bool, ...] | None
) -> tuple[list[Node], Group | None]:
    """Return the extra fields in [start, stop), and the zip64 one among them.

    central: None in a local header; in the directory, which of its size, compressed size, offset and disk are in
    the zip64 field.
    """
    nodes: list[Node] = []
    zip64: Group | None = None
    raw = source.read(start, stop)
    at = 0
    while at + 4 <= len(raw):
        number, size = raw[at] | raw[at + 1] << 8, raw[at + 2] | raw[at + 3] << 8
        if at + 4 + size > len(raw) or not (number or size):
            break
        group = Group(step(number), start + at, start + at + 4 + size, _expand, info=(raw[at : at + 4 + size], refs))
        if number == ZIP64 and zip64 is None:
            zip64 = group
            group.info = (*group.info, central)
            group.expand = _expand_zip64
        nodes.append(group)
        at += 4 + size
    if at < len(raw):
        nodes.append(Leaf("extra-rest", start + at, stop))
    return nodes, zip64


def _expand(group: Group) -> list[Node]:
    raw, refs = group.info
    number = int.from_bytes(raw[:2], "little")
    if number == ALIGNMENT and len(raw) >= 6:
        return _aligned(group, raw, refs)
    body = _body(number, raw[4:])
    table = _table(body) if body else HEAD
    head = Record("field", group.start, table, {"field": group, **refs})
    if head.stop < group.stop:
        return [head, Leaf("data", head.stop, group.stop)]
    return [head]


HEAD = _head()


def _body(number: int, data: bytes) -> tuple[tuple[str, int, str], ...]:
    """Return (name, size, kind) of the values of a field, () where its layout is not known."""
    size = len(data)
    if number == TIMES and size in {5, 9, 13} and data[0] < 8:
        names = [name for bit, name in ((1, "mtime"), (2, "atime"), (4, "ctime")) if data[0] & bit]
        return (("flags", 1, "number"), *((name, 4, "time") for name in names[: size // 4]))
    if number == NTFS and size == 32 and data[:8] == b"\0\0\0\0\1\0\x18\0":
        return (("reserved", 4, "bytes"), ("tag", 2, "number"), ("tag-size", 2, "number"), ("mtime", 8, "filetime"),
                ("atime", 8, "filetime"), ("ctime", 8, "filetime"))  # fmt: skip
    if number == 0x5855 and size in {8, 12}:
        times = (("atime", 4, "time"), ("mtime", 4, "time"))
        return times if size == 8 else (*times, ("uid", 2, "number"), ("gid", 2, "number"))
    if number == 0x7855 and size == 4:
        return (("uid", 2, "number"), ("gid", 2, "number"))
    if number == 0x7875 and _is_owner(data):
        return (("version", 1, "number"), ("uid-size", 1, "number"), ("uid", data[1], "number"),
                ("gid-size", 1, "number"), ("gid", data[2 + data[1]], "number"))  # fmt: skip
    if number in {0x7075, 0x6375} and size >= 5:
        return (("version", 1, "number"), ("crc-32", 4, "name-crc" if number == 0x7075 else "bytes"))
    return ()


def _is_owner(data: bytes) -> bool:
    """Tell whether data is version 1 of the field 0x7875: two numbers of up to eight bytes, each after its size."""
    if data[:1] != b"\1" or len(data) < 3 or data[1] > 8 or len(data) <= 2 + data[1]:
        return False
    second = data[2 + data[1]]
    return second <= 8 and len(data) == 3 + data[1] + second


def known(raw: bytes) -> bool:
    """Tell whether an extra field holds nothing but the values of its specification."""
    number = int.from_bytes(raw[:2], "little")
    body = _body(number, raw[4:])
    return sum(size for _name, size, _kind in body) == len(raw) - 4


KINDS = {"number": LE, "time": SIGNED_TIME, "filetime": FILE_TIME, "bytes": RAW, "name-crc": LE_HEX}


def _name_crc(_raw: bytes, refs: Refs) -> bytes:
    """CRC-32 of the name in the header (4.6.9)."""
    header = refs.raw("header")
    return zlib.crc32(header[46 if header[2:3] == b"\1" else 30 :]).to_bytes(4, "little")


@lru_cache(1024)
def _table(body: tuple[tuple[str, int, str], ...]) -> Table:
    derives: dict[str, Derive] = {"name-crc": _name_crc}
    return _head(
        *(
            Field(name, size, KINDS[kind], Role.DERIVED if kind in derives else Role.VALUE, derives.get(kind))
            for name, size, kind in body
        )
    )


def _aligned(group: Group, raw: bytes, refs: Mapping[str, Node]) -> list[Node]:
    """The alignment of a stored content, and zeros that bring it there; so only where nothing comes between."""
    head = Record("field", group.start, ALIGNED, {"field": group})
    nodes: list[Node] = [head]
    multiple = raw[4] | raw[5] << 8
    content = refs["content"]
    padding = Leaf("padding", head.stop, group.stop)
    if content.start == group.stop and multiple:
        nodes.append(align(padding, multiple))
    elif padding.start < padding.stop:
        nodes.append(padding)
    return nodes


ALIGNED = _head(Field("multiple", 2, LE))


def align(padding: Leaf, multiple: int) -> Leaf:
    """Make a leaf the zeros after which the next offset is a multiple of `multiple`."""

    def derive(_raw: bytes, refs: Refs) -> bytes:
        return bytes(-refs.offset("padding") % multiple)

    padding.role, padding.derive, padding.refs = Role.DERIVED, derive, {"padding": padding}
    return padding


def _expand_zip64(group: Group) -> list[Node]:
    raw, refs, central = group.info
    table = _zip64_local(len(raw) - 4) if central is None else _zip64_central(central, len(raw) - 4)
    head = Record("field", group.start, table or HEAD, {"field": group, **refs})
    return [head] if head.stop == group.stop else [head, Leaf("data", head.stop, group.stop)]


@lru_cache(8)
def _local_value(start: int, decoded: bool) -> Derive:
    def derive(raw: bytes, refs: Refs) -> bytes:
        old = raw[start : start + 8]
        if old == bytes(8) and refs.has("descriptor"):
            return old
        if decoded and not refs.changed("content"):
            return old
        return (refs.decoded_size("content") if decoded else refs.size("content")).to_bytes(8, "little")

    return derive


@lru_cache(16)
def _central_value(start: int, name: str) -> Derive:
    def derive(raw: bytes, refs: Refs) -> bytes:
        if name == "uncompressed-size":
            if not refs.changed("content"):
                return raw[start : start + 8]
            return refs.decoded_size("content").to_bytes(8, "little")
        value = refs.size("content") if name == "compressed-size" else place(refs, "member")
        return value.to_bytes(8, "little")

    return derive


@lru_cache(8)
def _zip64_local(size: int) -> Table | None:
    """Both sizes: a local header must have both (4.5.3)."""
    if size < 16:
        return None
    return _head(
        Field("uncompressed-size", 8, LE, Role.DERIVED, _local_value(4, decoded=True)),
        Field("compressed-size", 8, LE, Role.DERIVED, _local_value(12, decoded=False)),
    )


@lru_cache(64)
def _zip64_central(present: tuple[bool, ...], size: int) -> Table | None:
    """Those of size, compressed size, offset and disk that do not fit into the header (4.5.3)."""
    found = []
    at = 4
    for name, there in zip(("uncompressed-size", "compressed-size", "offset"), present, strict=False):
        if there:
            found.append(Field(name, 8, LE, Role.DERIVED, _central_value(at, name)))
            at += 8
    if present[3]:
        found.append(Field("disk", 4, LE))
        at += 4
    return _head(*found) if found and at - 4 <= size else None


def zip64_values(raw: bytes, present: tuple[bool, ...]) -> list[int | None]:
    """Return size, compressed size and offset from the extra fields of a central header, None where not there."""
    at = 0
    while at + 4 <= len(raw):
        number, size = raw[at] | raw[at + 1] << 8, raw[at + 2] | raw[at + 3] << 8
        if number == ZIP64:
            found: list[int | None] = []
            at += 4
            for there in present[:3]:
                found.append(int.from_bytes(raw[at : at + 8], "little") if there else None)
                at += 8 if there else 0
            return found
        at += 4 + size
    return [None, None, None]
