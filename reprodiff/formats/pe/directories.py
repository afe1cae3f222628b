"""What the data directories of an image point to, as far as causes live in it."""

from collections.abc import Iterator

from reprodiff.codecs import LE_HEX, LE_TIME, RAW, TEXT, Codec
from reprodiff.formats.parts import Row, itself, rows
from reprodiff.formats.pe.coff import Image, u16, u32
from reprodiff.formats.pe.tables import (
    BOUND_IMPORT,
    DEBUG_DATA,
    DEBUG_TYPES,
    IMPORT,
    LOAD_CONFIG,
    RESOURCE_DATA,
    RESOURCE_DIRECTORY,
    debug_entry,
    export_directory,
)
from reprodiff.tree import Group, Leaf, Node, Record, Role, Table, children, listed

CODEVIEW, REPRO = 2, 16
DEBUG_ENTRY = 28
DEEPEST = 8
MOST_NAME = 512


def _guid(raw: bytes) -> str:
    a, b, c = (int.from_bytes(raw[i:j], "little") for i, j in ((0, 4), (4, 6), (6, 8)))
    return f"{a:08X}-{b:04X}-{c:04X}-{raw[8:10].hex().upper()}-{raw[10:].hex().upper()}"


GUID = Codec(bytes, lambda value, _size: value, _guid)


def debug_types(image: Image, rva: int, size: int) -> list[int]:
    """Return the types of all entries of the debug directory."""
    start = image.at(rva)
    if start is None:
        return []
    stop = min(start + size, image.source.size)
    return [u32(image.source, at + 12) for at in range(start, stop - DEBUG_ENTRY + 1, DEBUG_ENTRY)]


def debug(image: Image, rva: int, size: int, stamp: bytes | None) -> tuple[list[Leaf], list[Leaf]]:
    """Take in the debug directory. stamp: that of the file header where it is made from the content, else None.

    Returns identifiers: those of the debug information, and those that are made from the whole image."""
    first: list[Leaf] = []
    second: list[Leaf] = []
    start = image.at(rva)
    types = debug_types(image, rva, size)
    for number, kind in enumerate(types if start is not None else ()):
        assert start is not None
        at = start + number * DEBUG_ENTRY
        if not image.fits(at, at + DEBUG_ENTRY):
            break
        hashed = stamp is not None and image.source.read(at + 4, at + 8) == stamp
        length, pointer = u32(image.source, at + 16), u32(image.source, at + 24)
        name = DEBUG_TYPES.get(kind, f"type{kind}").encode()
        refs: dict[str, Node] = {}
        data = _debug_data(image, kind, pointer, length, name)
        if data is not None and image.add(data):
            refs["data"] = data
        entry = rows("debug", at, debug_entry(hashed=hashed), name)
        image.add(
            Group(
                "debug",
                at,
                at + DEBUG_ENTRY,
                listed([*children(entry), Record("fields", entry.stop, DEBUG_DATA[bool(refs)], refs)]),
                name,
            )
        )
        second += [leaf for leaf in children(entry) if isinstance(leaf, Leaf) and leaf.derive is itself]
        if data is not None and refs:
            found = [leaf for leaf in children(data) if isinstance(leaf, Leaf) and leaf.derive is itself]
            (second if kind == REPRO else first).extend(found)
    return first, second


def _debug_data(image: Image, kind: int, start: int, size: int, name: bytes) -> Group | None:
    if not size or not start:
        return None
    signature = image.source.read(start, start + 4) if kind == CODEVIEW else b""
    if signature == b"RSDS" and size > 24:
        layout = [
            Row("signature", 4, RAW, Role.FIXED),
            Row("guid", 16, GUID, Role.DERIVED, itself),
            Row("age", 4, LE_HEX),
            Row("path", size - 24, TEXT),
        ]
    elif signature == b"NB10" and size > 16:
        layout = [
            Row("signature", 4, RAW, Role.FIXED),
            Row("offset", 4, LE_HEX),
            Row("timedatestamp", 4, LE_TIME),
            Row("age", 4, LE_HEX),
            Row("path", size - 16, TEXT),
        ]
    elif kind == REPRO:
        layout = [Row("hash", size, RAW, Role.DERIVED, itself)]
    else:
        layout = [Row("data", size)]
    return rows("debugdata", start, layout, name)


def export(image: Image, rva: int, stamp: bytes | None) -> list[Leaf]:
    """Take in the export directory table; returns its time stamp where that is made from the content."""
    at = image.at(rva)
    if at is None:
        return []
    hashed = stamp is not None and image.source.read(at + 4, at + 8) == stamp
    group = rows("export", at, export_directory(hashed=hashed))
    if not image.add(group):
        return []
    return [leaf for leaf in children(group) if isinstance(leaf, Leaf) and leaf.derive is itself]


def _record(image: Image, name: str, at: int, table: Table, key: bytes | None = None) -> bool:
    fields = Record("fields", at, table)
    return image.add(Group(name, at, fields.stop, listed([fields]), key))


def imports(image: Image, rva: int) -> None:
    """Take in the import directory table: one entry a library, up to an empty one."""
    at = image.at(rva)
    while at is not None:
        name = image.at(u32(image.source, at + 12))
        if name is None:
            return
        key = image.source.read(name, name + MOST_NAME).split(b"\0", 1)[0]
        image.budget.count(1)
        if not _record(image, "import", at, IMPORT, key):
            return
        at += IMPORT.size


def bound_imports(image: Image, start: int, size: int) -> None:
    """Take in the bound import table, which lies among the headers: `start` is a file offset."""
    at = start
    while at + BOUND_IMPORT.size <= start + size:
        raw = image.source.read(at, at + BOUND_IMPORT.size)
        if not any(raw):
            return
        name = start + int.from_bytes(raw[4:6], "little")
        key = image.source.read(name, name + MOST_NAME).split(b"\0", 1)[0]
        fields = Record("fields", at, BOUND_IMPORT)
        if not image.parts.add(Group("boundimport", at, fields.stop, listed([fields]), key)):
            return
        at = fields.stop


def load_config(image: Image, rva: int) -> None:
    """Take in the start of the load configuration."""
    at = image.at(rva)
    if at is not None:
        _record(image, "loadconfig", at, LOAD_CONFIG)


def resources(image: Image, rva: int) -> None:
    """Take in the resource directories and what their leaves point to.

    A directory that is reached twice is described once: overlaps are refused, and so a cycle ends."""
    base = image.at(rva)
    if base is None:
        return
    waiting: list[tuple[int, tuple[bytes, ...]]] = [(0, ())]
    for offset, path in waiting:
        at = base + offset
        count = u16(image.source, at + 12) + u16(image.source, at + 14)
        stop = at + RESOURCE_DIRECTORY.size + 8 * count
        nodes: list[Node] = [Record("fields", at, RESOURCE_DIRECTORY)]
        if count:
            nodes.append(Leaf("entries", at + RESOURCE_DIRECTORY.size, stop))
        if not image.add(Group("resourcedirectory", at, stop, listed(nodes), b"/".join(path) or b"/")):
            continue
        image.budget.count(1 + count)
        for name, target in _entries(image, base, at + RESOURCE_DIRECTORY.size, count):
            if not target & 1 << 31:
                _resource(image, base + target, b"/".join((*path, name)))
            elif len(path) < DEEPEST:
                waiting.append((target & 0x7FFFFFFF, (*path, name)))


def _entries(image: Image, base: int, at: int, count: int) -> Iterator[tuple[bytes, int]]:
    for entry in range(at, at + 8 * count, 8):
        label, target = u32(image.source, entry), u32(image.source, entry + 4)
        name = b"%d" % label
        if label & 1 << 31:
            text = base + (label & 0x7FFFFFFF)
            length = min(u16(image.source, text), MOST_NAME)
            name = image.source.read(text + 2, text + 2 + 2 * length).decode("utf-16-le", "replace").encode()
        yield name, target


def _resource(image: Image, at: int, key: bytes) -> None:
    if not image.fits(at, at + 16):
        return
    start, size = image.at(u32(image.source, at)), u32(image.source, at + 4)
    refs: dict[str, Node] = {}
    if start is not None:
        data = Group("resource", start, start + size, listed([Leaf("data", start, start + size)]), key)
        if not at < data.stop or not start < at + 16:
            refs["data"] = data
    if refs and not image.add(refs["data"]):
        refs = {}
    fields = Record("fields", at, RESOURCE_DATA[bool(refs)], refs)
    image.add(Group("resourceentry", at, fields.stop, listed([fields]), key))
