"""PE images and COFF objects: executables, libraries, drivers and EFI programs of Windows, and what they are linked from.

Specification: Microsoft PE/COFF. Sections are the partition; what the data directories point to is described inside
them as far as times and identifiers live in it. `walk` follows addresses where more than that differs.
"""

from typing import NamedTuple

from reprodiff.budget import Budget
from reprodiff.errors import FormatError
from reprodiff.formats import Format, Walk
from reprodiff.formats.parts import Identifiers, Parts, differ, followed, itself, notice, rows, settle
from reprodiff.formats.pe import directories
from reprodiff.formats.pe.coff import SECTION_HEADER, Image, section_table, symbols, u16, u32
from reprodiff.formats.pe.tables import (
    BIG_HEADER,
    CERTIFICATE,
    CERTIFICATE_DIRECTORY,
    CHECKSUM,
    DIRECTORIES,
    DIRECTORY,
    DOS,
    IMPORT_HEADER,
    MACHINES,
    OPTIONAL,
    RICH,
    file_header,
)
from reprodiff.sources import Source
from reprodiff.tree import Group, Leaf, Node, Record, Role, children, listed

PE32, PE32_PLUS = 0x10B, 0x20B
ANONYMOUS = b"\0\0\xff\xff"
HEADER = 20
BIG = 56
BIG_CLASS = bytes.fromhex("c7a1bad1eebaa94baf20faf66aa4dcb8")
MOST_STUB = 1 << 20


class Facts(NamedTuple):
    """What rules ask about a file. signed: it carries certificates; overlay: bytes behind its last part;
    hashed: its time stamps are made from the content (/Brepro); identifiers: see there; notes: what cannot be."""

    signed: bool
    overlay: bool
    hashed: bool
    identifiers: Identifiers
    notes: list[str]


def probe(head: bytes, source: Source) -> bool:
    """Tell an image by its two signatures, an object by a header and a first section header that make sense."""
    if head[:2] == b"MZ":
        at = int.from_bytes(head[60:64], "little")
        return len(head) >= 64 and source.read(at, at + 4) == b"PE\0\0"
    if head[:4] == ANONYMOUS:
        version = int.from_bytes(head[4:6], "little")
        return int.from_bytes(head[6:8], "little") in MACHINES and (version == 0 or head[12:28] == BIG_CLASS)
    count, pointer = int.from_bytes(head[2:4], "little"), int.from_bytes(head[8:12], "little")
    stop = HEADER + count * SECTION_HEADER
    name = head[HEADER : HEADER + 8].rstrip(b"\0")
    return (
        count > 0
        and head[16:18] == b"\0\0"
        and stop <= source.size
        and (pointer == 0 or stop <= pointer <= source.size)
        and name.isascii()
        and name.decode("ascii", "replace").isprintable()
        and name != b""
        and u32(source, HEADER + 20) + (u32(source, HEADER + 16) if u32(source, HEADER + 20) else 0) <= source.size
    )


def parse(source: Source, budget: Budget) -> Group:
    """Read headers, tables and directories. What they say that cannot be is left undescribed."""
    image = Image(source, budget, Parts(0, source.size), [], [])
    signature = source.read(0, 4)
    if signature[:2] == b"MZ":
        return _image(image)
    if signature != ANONYMOUS:
        return _object(image)
    return _big_object(image) if u16(source, 4) else _import_object(image)


def _add(image: Image, node: Node) -> None:
    if not image.parts.add(node):
        raise FormatError(f"no room for the {node.name}")


def _root(image: Image, facts: Facts) -> Group:
    return Group("pe", 0, image.source.size, listed(image.parts.nodes()), info=facts)


def _plain(image: Image) -> Facts:
    return Facts(signed=False, overlay=False, hashed=False, identifiers=Identifiers([], [], []), notes=image.notes)


def _object(image: Image) -> Group:
    source = image.source
    pointer, number, count = u32(source, 8), u32(source, 12), u16(source, 2)
    refs: dict[str, Node] = {}
    _add(image, rows("header", 0, file_header(hashed=False), refs=refs))
    optional = u16(source, 16)
    if optional:
        refs["optional"] = Leaf("optional", HEADER, HEADER + optional)
        _add(image, refs["optional"])
    refs["sections"] = section_table(image, HEADER + optional, count, pointer + number * 18 if pointer else 0)
    refs.update(symbols(image, pointer, number, 18))
    return _root(image, _plain(image))


def _big_object(image: Image) -> Group:
    source = image.source
    count, pointer, number = u32(source, 44), u32(source, 48), u32(source, 52)
    refs: dict[str, Node] = {}
    _add(image, rows("header", 0, BIG_HEADER, refs=refs))
    refs["sections"] = section_table(image, BIG, count, pointer + number * 20 if pointer else 0)
    refs.update(symbols(image, pointer, number, 20))
    return _root(image, _plain(image))


def _import_object(image: Image) -> Group:
    stop = HEADER + u32(image.source, 12)
    refs: dict[str, Node] = {}
    _add(image, rows("header", 0, IMPORT_HEADER, refs=refs))
    refs["names"] = Leaf("names", HEADER, stop)
    if not image.parts.add(refs["names"]):
        raise FormatError("the names of an import are cut off")
    return _root(image, _plain(image))


def _image(image: Image) -> Group:
    source, parts = image.source, image.parts
    at = u32(source, 60)
    if at < DOS.size or source.read(at, at + 4) != b"PE\0\0":
        raise FormatError("no PE signature behind the DOS header")
    magic = Leaf("signature", at, at + 4, Role.FIXED)
    _add(image, Record("dos", 0, DOS, {"pe": magic}))
    _stub(image, at)
    _add(image, magic)
    header, optional = at + 4, at + 4 + HEADER
    size = u16(source, header + 16)
    number = u16(source, optional)
    fixed = {PE32: 96, PE32_PLUS: 112}.get(number)
    if fixed is None or size < fixed:
        raise FormatError("no optional header of a known kind")
    refs: dict[str, Node] = {}
    around: dict[str, Node] = {}
    summed = u32(source, optional + CHECKSUM) != 0
    record = Record("fields", optional, OPTIONAL[number == PE32_PLUS, summed], around)
    count = min(u32(source, optional + fixed - 4), (size - fixed) // 8)
    table = _directories(image, optional + fixed, count)
    found: list[Node] = [record]
    if count:
        found.append(table.group)
        around["directories"] = table.group
    group = Group("optional", optional, optional + size, listed(found))
    _add(image, group)
    pointer, symbol_count = u32(source, header + 8), u32(source, header + 12)
    strings = pointer + symbol_count * 18 if pointer else 0
    refs["optional"] = group
    debug = table.values.get("debug", (0, 0))
    # Before the sections: they must not take the header's room.
    room = Group("header", header, optional, listed([]))
    _add(image, room)
    refs["sections"] = section_table(image, optional + size, u16(source, header + 2), strings)
    refs.update(symbols(image, pointer, symbol_count, 18))
    hashed = directories.REPRO in directories.debug_types(image, *debug)
    room.expand = rows("header", header, file_header(hashed=hashed), refs=refs).expand
    stamp = source.read(header + 4, header + 8) if hashed else None
    first, second = directories.debug(image, *debug, stamp)
    second += [leaf for leaf in children(room) if isinstance(leaf, Leaf) and leaf.derive is itself]
    second += directories.export(image, table.start("export"), stamp)
    directories.imports(image, table.start("import"))
    directories.load_config(image, table.start("loadconfig"))
    directories.resources(image, table.start("resource"))
    directories.bound_imports(image, *table.values.get("boundimport", (0, 0)))
    end = parts.end
    certificates = _certificates(image, *table.values.get("certificate", (0, 0)))
    stop = source.size
    if certificates is not None:
        table.security["certificates"] = certificates
        around["certificates"] = certificates
        stop = parts.nodes()[-1].start
        if parts.end < source.size:
            parts.add(Leaf("trailing", parts.end, source.size))
    overlay = parts.add(Leaf("overlay", end, stop, Role.PAYLOAD))
    total = Leaf("checksum", optional + CHECKSUM, optional + CHECKSUM + 4)
    identifiers = Identifiers(first, second, [total])
    root = _root(image, Facts(certificates is not None, overlay, hashed, identifiers, image.notes))
    around.update({"file": root, "optional": record})
    if len(table.entries) > 4:
        around["security"] = table.entries[4]
    return root


def _stub(image: Image, stop: int) -> None:
    """Describe what lies between the DOS header and the PE signature: a program for DOS, and the Rich header."""
    start = DOS.size
    raw = image.source.read(start, min(stop, start + MOST_STUB))
    end = raw.rfind(b"Rich")
    if end >= 0 and len(raw) >= end + 8:
        key = raw[end + 4 : end + 8]
        mark = bytes(a ^ b for a, b in zip(b"DanS", key, strict=True))
        begin = raw.rfind(mark, 0, end)
        if begin >= 0 and (end - begin) % 8 == 0:
            image.parts.add(Leaf("rich", start + begin, start + end + 8, codec=RICH))
            image.parts.add(Leaf("stub", start, start + begin))
            return
    image.parts.add(Leaf("stub", start, stop))


class Directories(NamedTuple):
    """The data directories. values: (address, size) by name; security: refs of the certificate table's entry."""

    group: Group
    entries: list[Node]
    values: dict[str, tuple[int, int]]
    security: dict[str, Node]

    def start(self, name: str) -> int:
        """Return the address of a directory relative to the image base, 0 where there is none."""
        return self.values.get(name, (0, 0))[0]


def _directories(image: Image, start: int, count: int) -> Directories:
    nodes: list[Node] = []
    values: dict[str, tuple[int, int]] = {}
    security: dict[str, Node] = {}
    for number in range(count):
        at = start + 8 * number
        name = DIRECTORIES[number] if number < len(DIRECTORIES) else f"directory{number}"
        values[name] = u32(image.source, at), u32(image.source, at + 4)
        table, refs = (CERTIFICATE_DIRECTORY, security) if name == "certificate" else (DIRECTORY, {})
        fields = Record("fields", at, table, refs)
        nodes.append(Group("directory", at, at + 8, listed([fields]), name.encode()))
    return Directories(Group("directories", start, start + 8 * count, listed(nodes)), nodes, values, security)


def _certificates(image: Image, start: int, size: int) -> Group | None:
    """Take in the attribute certificate table with the bytes that align it; returns the table itself."""
    end = image.parts.end
    stop = start + size
    if not start or not size or start < end or stop > image.source.size:
        return None
    nodes: list[Node] = []
    begin = start
    if 0 < start - end < 8 and not any(image.source.read(end, start)):
        begin = end
        nodes.append(Leaf("padding", begin, start))
    found: list[Node] = []
    at = start
    while at + 8 < stop:
        length = u32(image.source, at)
        if length <= 8 or at + length > stop:
            break
        data = Leaf("data", at + 8, at + length)
        until = min(at + length + -length % 8, stop)
        image.budget.count(1)
        parts: list[Node] = [Record("fields", at, CERTIFICATE, {"certificate": data}), data]
        if data.stop < until:
            parts.append(Leaf("padding", data.stop, until))
        found.append(Group("certificate", at, until, listed(parts), b"%d" % (len(found) + 1)))
        at = until
    if at < stop:
        found.append(Leaf("rest", at, stop))
    table = Group("table", start, stop, listed(found))
    image.parts.add(Group("certificates", begin, stop, listed([*nodes, table])))
    return table


def compare(walk: Walk, left: Group, right: Group) -> None:
    """Compare two trees; an identifier that differs although nothing else does follows from nothing."""
    one, two = left.info, right.info
    notice(walk, one.notes, two.notes)
    settle(walk, one.identifiers, two.identifiers)
    if _moved(walk, left, right) and followed(walk, left, right, "pe"):
        return
    walk.nodes(left, right, "pe", ())


def _moved(walk: Walk, left: Group, right: Group) -> bool:
    """Tell whether anything differs that trees do not describe: bytes of sections, symbols, the section table."""
    sides = []
    for root in (left, right):
        nodes = [node for node in children(root) if node.name in {"section", "sections", "symbols", "strings"}]
        sides.append([
            part
            for node in nodes
            for part in (children(node) if node.name == "section" and isinstance(node, Group) else [node])
            if part.name in {"data", "sections", "symbols", "strings"}
        ])  # fmt: skip
    return differ(walk, *sides)


FORMAT = Format("pe", "Microsoft PE/COFF", parse, walk=compare)
