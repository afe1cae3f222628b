"""The parts of an ELF file as a tree: headers, sections by what they hold, what lies between and behind them."""

import struct
from collections.abc import Callable
from functools import partial
from itertools import pairwise

from reprodiff.codecs import BE, BE_HEX, LE, LE_HEX, TEXT, Codec
from reprodiff.errors import FormatError
from reprodiff.formats.elf import lto
from reprodiff.formats.elf.compressed import inflate
from reprodiff.formats.elf.image import Image
from reprodiff.formats.elf.names import NOTES, dynamic_name
from reprodiff.formats.elf.references import search_paths
from reprodiff.formats.program.dwarf import frames, unit_head, units
from reprodiff.formats.program.image import Section, string
from reprodiff.formats.program.names import (
    PT_LOAD,
    SHT_DYNAMIC,
    SHT_DYNSYM,
    SHT_FINI_ARRAY,
    SHT_GNU_HASH,
    SHT_HASH,
    SHT_INIT_ARRAY,
    SHT_NOBITS,
    SHT_NOTE,
    SHT_PREINIT_ARRAY,
    SHT_REL,
    SHT_RELA,
    SHT_RELR,
    SHT_SYMTAB,
)
from reprodiff.formats.qtresources import SECTIONS, WIDE
from reprodiff.sources import Source, chunks
from reprodiff.tree import Closed, Content, Field, Group, Leaf, Node, Record, Refs, Role, Table, listed

# A table with more entries than this is one leaf: no walk over a tree should pay for a million symbols.
ENTRIES_MAX = 1 << 15


def zeros(raw: bytes, _refs: Refs) -> bytes:
    """Derive padding: as many zeros."""
    return bytes(len(raw))


def partition(image: Image) -> list[Node]:
    """Return headers, sections, padding and what else the file holds, in order."""
    nodes: list[Node] = [Record("header", 0, image.layout.header)]
    if image.segments:
        nodes.append(_table(image.phoff, image.layout.segment, len(image.segments), "segments", "segment"))
    if image.sections:
        nodes.append(_headers(image))
    nodes.sort(key=lambda node: node.start)
    for one, two in pairwise(nodes):
        if one.stop > two.start:
            raise FormatError("the header tables overlap")
    if nodes[-1].stop > image.source.size:
        raise FormatError("a header table lies beyond the end of the file")
    fixed = nodes[:]
    claimed = [(s.offset, s.offset + s.stored, s) for s in image.sections if s.stored]
    claimed.sort(key=lambda row: (row[0], -row[1], row[2].number))
    last = 0
    for start, stop, section in claimed:
        # Of sections that share bytes the first has them: the others only refer to them.
        if start < last or any(start < node.stop and node.start < stop for node in fixed):
            continue
        # Compressed sections have payloads, and how these are compressed follows from them.
        kind = Group if section.compressed or section.name.startswith((b".zdebug", lto.NAME)) else Closed
        nodes.append(kind(section.label, start, stop, partial(_expand, image=image), info=section))
        last = stop
    if not image.sections:
        for segment in sorted(image.segments, key=lambda s: (s.offset, -s.filesz)):
            start, stop = segment.offset, segment.offset + segment.filesz
            start = max([start, *(node.stop for node in nodes if node.start <= start)])
            if (
                segment.type == PT_LOAD
                and start < stop <= image.source.size
                and not any(node.start < stop and start < node.stop for node in nodes)
            ):
                nodes.append(Leaf("load", start, stop))
    nodes.sort(key=lambda node: node.start)
    return _filled(image.source, nodes)


def _table(start: int, table: Table, count: int, name: str, row: str) -> Group:
    def expand(_group: Group) -> list[Node]:
        return [Record(row, start + i * table.size, table) for i in range(count)]

    return Closed(name, start, start + count * table.size, expand)


def _headers(image: Image) -> Group:
    """Return the section headers, each under the name of its section."""
    table = image.layout.section

    def expand(_group: Group) -> list[Node]:
        found: list[Node] = []
        for section in image.sections:
            record = Record("header", image.shoff + section.number * table.size, table)
            found.append(Group("section", record.start, record.stop, listed([record]), section.name))
        return found

    return Closed("sections", image.shoff, image.shoff + len(image.sections) * table.size, expand)


def _filled(source: Source, nodes: list[Node]) -> list[Node]:
    found: list[Node] = []
    at = 0
    for node in nodes:
        if node.start > at:
            found.append(_between(source, at, node.start))
        found.append(node)
        at = node.stop
    if at < source.size:
        last = _between(source, at, source.size)
        found.append(last if last.role is Role.DERIVED else Leaf("overlay", at, source.size, Role.PAYLOAD))
    return found


def _between(source: Source, start: int, stop: int) -> Leaf:
    if all(not piece.strip(b"\0") for piece in chunks(source, start, stop)):
        return Leaf("padding", start, stop, Role.DERIVED, derive=zeros)
    return Leaf("gap", start, stop, Role.GAP)


def _expand(group: Group, image: Image) -> list[Node]:
    """Return the parts of a section; one leaf where it is not what its type says."""
    section: Section = group.info
    whole: list[Node] = [Leaf("data", group.start, group.stop)]
    try:
        nodes = _parts(image, section)
    except (struct.error, IndexError, ValueError, FormatError):
        return whole
    at = group.start
    for node in nodes:
        if node.start < at or node.stop > group.stop:
            return whole
        at = node.stop
    if at < group.stop and nodes:
        rest = image.source.read(at, group.stop)
        nodes.append(
            Leaf("rest", at, group.stop)
            if rest.strip(b"\0")
            else Leaf("padding", at, group.stop, Role.DERIVED, derive=zeros)
        )
    return nodes or whole


def _parts(image: Image, section: Section) -> list[Node]:
    if section.compressed:
        return _compressed(image, section)
    if section.name.startswith(b".zdebug"):
        return _zdebug(image, section)
    if section.name.startswith(lto.NAME):
        return lto.nodes(image, section)
    if section.strings or section.name in {b".modinfo", b".comment", b".GCC.command.line"}:
        return _strings(image, section)
    part = _BY_TYPE.get(section.type) or _BY_NAME.get(section.name)
    if part is None and section.name.startswith(SECTIONS):
        return _resources(image, section)
    return part(image, section) if part else []


def _resources(image: Image, section: Section) -> list[Node]:
    """Return the trees of Qt's resources in data, and what lies around them; nothing where there is none."""
    from reprodiff.formats.qtresources.search import find, nodes

    found: list[Node] = [nodes(tree, section.offset) for tree in find(image.data(section)) if tree.width == WIDE]
    parts: list[Node] = []
    at = section.offset
    for group in found:
        if group.start > at:
            parts.append(Leaf("data", at, group.start))
        parts.append(group)
        at = group.stop
    if found and at < section.offset + section.size:
        parts.append(Leaf("data", at, section.offset + section.size))
    return parts


def _strings(image: Image, section: Section) -> list[Node]:
    """Return the strings of a table; a search path of its own is a group `rpath`."""
    data = image.data(section)
    if data.count(0) > ENTRIES_MAX:
        return []
    own = search_paths(image, section)
    nodes: list[Node] = []
    at = 0
    while at < len(data):
        stop = data.find(b"\0", at)
        stop = len(data) if stop < 0 else stop + 1
        start, end = section.offset + at, section.offset + stop
        key = data[at:stop].rstrip(b"\0")
        if at in own:
            # Apart from its end, so that it can be emptied in place.
            parts: list[Node] = [Leaf("value", start, end - 1, Role.VALUE, TEXT), Leaf("end", end - 1, end, Role.FIXED)]
            nodes.append(Group("rpath", start, end, listed(parts), key))
        else:
            nodes.append(Group("string", start, end, listed([Leaf("value", start, end, Role.VALUE, TEXT)]), key))
        at = stop
    return nodes


def _symbols(image: Image, section: Section) -> list[Node]:
    table = image.layout.symbol
    if section.size // table.size > ENTRIES_MAX:
        return []
    names = image.linked(section)
    strings = image.data(names) if names else b""
    nodes: list[Node] = []
    for index, row in enumerate(image.symbols(image.data(section))):
        record = Record("entry", section.offset + index * table.size, table)
        nodes.append(Group("symbol", record.start, record.stop, listed([record]), string(strings, row[0])))
    return nodes


def _rows(section: Section, table: Table, name: str) -> list[Node]:
    count = section.size // table.size
    if count > ENTRIES_MAX:
        return []
    return [Record(name, section.offset + i * table.size, table) for i in range(count)]


def _relocations(image: Image, section: Section) -> list[Node]:
    return _rows(section, image.layout.rela if section.type == SHT_RELA else image.layout.rel, "relocation")


def _dynamic(image: Image, section: Section) -> list[Node]:
    table = image.layout.dynamic
    rows = image.dynamic(image.data(section))
    if len(rows) > ENTRIES_MAX:
        return []
    return [Record(dynamic_name(tag), section.offset + i * table.size, table) for i, (tag, _value) in enumerate(rows)]


_LE_NOTE = Table(Field("n_namesz", 4, LE), Field("n_descsz", 4, LE), Field("n_type", 4, LE_HEX))
_BE_NOTE = Table(Field("n_namesz", 4, BE), Field("n_descsz", 4, BE), Field("n_type", 4, BE_HEX))
HEX = Codec(bytes, lambda value, _size: bytes(value), bytes.hex)


def _notes(image: Image, section: Section) -> list[Node]:
    data = image.data(section)
    nodes: list[Node] = []
    if len(data) > ENTRIES_MAX * 32:
        return []
    rows = list(image.notes(data, section.align))
    for row, after in zip(rows, [*rows[1:], None], strict=True):
        start, desc, stop, kind, name = row
        base = section.offset
        end = after[0] if after else len(data) if not data[stop:].strip(b"\0") else stop
        head = Record("header", base + start, _LE_NOTE if image.order == "<" else _BE_NOTE)
        namesz = int.from_bytes(data[start : start + 4], "little" if image.order == "<" else "big")
        parts: list[Node] = [head]
        at = head.stop
        codec = TEXT if name == b"Go" else HEX
        for what, to, role in (
            ("name", head.stop + namesz, "v"),
            ("padding", base + desc, "p"),
            ("desc", base + stop, "d"),
            ("padding", base + end, "p"),
        ):
            if to > at:
                derived = role == "p" and not image.source.read(at, to).strip(b"\0")
                parts.append(
                    Leaf(what, at, to, Role.DERIVED, derive=zeros) if derived
                    else Leaf(what, at, to, Role.VALUE, codec if role == "d" else TEXT)
                )  # fmt: skip
                at = to
        nodes.append(Group(NOTES.get((name, kind), "note"), base + start, base + end, listed(parts)))
    return nodes


def _pointers(image: Image, section: Section) -> list[Node]:
    table = Table(Field("address", image.word, LE_HEX if image.order == "<" else BE_HEX))
    return _rows(section, table, "pointer")


def _hash(image: Image, section: Section) -> list[Node]:
    integer = LE if image.order == "<" else BE
    names = (
        ("nbucket", "nchain") if section.type == SHT_HASH else ("nbuckets", "symoffset", "bloom_size", "bloom_shift")
    )
    head = Record("header", section.offset, Table(*(Field(name, 4, integer) for name in names)))
    values = struct.unpack(f"{image.order}{len(names)}I", image.source.read(head.start, head.stop))
    end = section.offset + section.size
    stops = [values[0] * 4, values[1] * 4] if section.type == SHT_HASH else [values[2] * image.word, values[0] * 4]
    nodes: list[Node] = [head]
    at = head.stop
    for name, size in zip(
        ("buckets", "chains") if section.type == SHT_HASH else ("bloom", "buckets"), stops, strict=True
    ):
        nodes.append(Leaf(name, at, min(at + size, end)))
        at = nodes[-1].stop
    if at < end:
        nodes.append(Leaf("chains", at, end))
    return nodes


def _debuglink(image: Image, section: Section) -> list[Node]:
    data = image.data(section)
    stop = data.index(b"\0") + 1
    crc = (stop + 3) // 4 * 4
    base = section.offset
    nodes: list[Node] = [Leaf("name", base, base + stop, Role.VALUE, TEXT)]
    if crc > stop:
        padding = data[stop:crc].strip(b"\0")
        nodes.append(Leaf("padding", base + stop, base + crc, Role.VALUE) if padding else
                     Leaf("padding", base + stop, base + crc, Role.DERIVED, derive=zeros))  # fmt: skip
    number = LE_HEX if image.order == "<" else BE_HEX
    codec = Codec(number.decode, lambda value, _size: number.encode(value, 4), number.show)
    nodes.append(Leaf("crc", base + crc, base + crc + 4, Role.VALUE, codec))
    return nodes


def _units(image: Image, section: Section) -> list[Node]:
    data = image.data(section)
    integer = LE if image.order == "<" else BE
    tables: dict[tuple[int, int, int], Table] = {}
    nodes: list[Node] = []
    for start, stop, width, version in units(data, image.order):
        if len(nodes) > ENTRIES_MAX:
            return []
        head = 4 if width == 4 else 12
        kind = data[start + head + 2]
        table = tables.get((width, version, kind))
        if table is None:
            rows = [("unit_length", head), *unit_head(section.name, width, version, kind)]
            table = tables[width, version, kind] = Table(*(Field(name, size, integer) for name, size in rows))
        base = section.offset
        if table.size > stop - start:
            parts: list[Node] = [Leaf("data", base + start, base + stop)]
        else:
            record = Record("header", base + start, table)
            parts = [record]
            if record.stop < base + stop:
                parts.append(Leaf("data", record.stop, base + stop))
        nodes.append(Group("unit", base + start, base + stop, listed(parts)))
    return nodes


def _frames(image: Image, section: Section) -> list[Node]:
    data = image.data(section)
    names = {-1: "terminator", 0: "cie"} if section.name == b".eh_frame" else {-1: "terminator", 0xFFFFFFFF: "cie"}
    nodes: list[Node] = []
    for start, stop, pointer in frames(data, image.order):
        if len(nodes) > ENTRIES_MAX:
            return []
        nodes.append(Leaf(names.get(pointer, "fde"), section.offset + start, section.offset + stop))
    return nodes


def _compressed(image: Image, section: Section) -> list[Node]:
    head = Record("chdr", section.offset, image.layout.chdr)
    kind = struct.unpack(f"{image.order}I", image.source.read(head.start, head.start + 4))[0]
    if kind not in {1, 2} or head.stop >= section.offset + section.size:
        return []
    stop = section.offset + section.size
    content = Content(("zlib", "zstd")[kind - 1], inflate(image.source, head.stop, stop, kind))
    return [head, Leaf("content", head.stop, stop, Role.PAYLOAD, content=content)]


def _zdebug(image: Image, section: Section) -> list[Node]:
    base = section.offset
    if image.source.read(base, base + 4) != b"ZLIB" or section.size <= 12:
        return []
    content = Content("zlib", inflate(image.source, base + 12, base + section.size, 1))
    return [
        Leaf("magic", base, base + 4, Role.FIXED),
        Leaf("size", base + 4, base + 12, Role.VALUE, BE),
        Leaf("content", base + 12, base + section.size, Role.PAYLOAD, content=content),
    ]


def _verneed(image: Image, section: Section) -> list[Node]:
    """Version requirements or definitions: records that name where the next lies (LSB 10.7); here as 4-byte words."""
    integer = LE_HEX if image.order == "<" else BE_HEX
    return _rows(section, Table(Field("value", 4, integer)), "word")


_BY_TYPE: dict[int, Callable[[Image, Section], list[Node]]] = {
    SHT_SYMTAB: _symbols, SHT_DYNSYM: _symbols, SHT_REL: _relocations, SHT_RELA: _relocations, SHT_DYNAMIC: _dynamic,
    SHT_NOTE: _notes, SHT_INIT_ARRAY: _pointers, SHT_FINI_ARRAY: _pointers, SHT_PREINIT_ARRAY: _pointers,
    SHT_RELR: _pointers, SHT_HASH: _hash, SHT_GNU_HASH: _hash, SHT_NOBITS: lambda _i, _s: [],
    0x6FFFFFFD: _verneed, 0x6FFFFFFE: _verneed,
}  # fmt: skip
_BY_NAME: dict[bytes, Callable[[Image, Section], list[Node]]] = {
    b".gnu_debuglink": _debuglink, b".eh_frame": _frames, b".debug_frame": _frames,
    **dict.fromkeys((b".debug_info", b".debug_types", b".debug_aranges", b".debug_line", b".debug_rnglists", b".debug_loclists", b".debug_addr", b".debug_str_offsets"), _units),
}  # fmt: skip
