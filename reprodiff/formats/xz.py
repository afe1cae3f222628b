""".xz files (The .xz File Format 1.2.1): streams of blocks, an index and a footer each, zeros between them.

The streams are one payload, for they decode to one content and an encoder writes all of their fields; these are named
in its layout. liblzma checked sizes, index and checks against each other when it decoded them.
"""

import zlib
from typing import NamedTuple

from reprodiff.budget import Budget
from reprodiff.codecs import LE, LE_HEX, RAW, Codec
from reprodiff.errors import FormatError
from reprodiff.formats import Format
from reprodiff.formats.frames import Frames, accepted, human
from reprodiff.sources import Source, spool
from reprodiff.tree import Content, Derive, Field, Group, Leaf, Node, Record, Refs, Role, Table, Traits, listed

MAGIC = b"\xfd7zXZ\0"
HEADER_SIZE = FOOTER_SIZE = 12
MEMORY = 1 << 31

CHECKS = {0: "none", 1: "CRC32", 4: "CRC64", 10: "SHA-256"}
FILTERS = {3: "delta", 4: "x86", 5: "PowerPC", 6: "IA-64", 7: "ARM", 8: "ARM-Thumb", 9: "SPARC", 10: "ARM64",
           11: "RISC-V", 33: "LZMA2"}  # fmt: skip
# Dictionary sizes of xz -0 to -9; where two presets share one, extreme or not, the header does not tell them apart.
PRESETS = {1 << 18: "0", 1 << 20: "1", 1 << 21: "2", 1 << 22: "3-4", 1 << 23: "5-6", 1 << 24: "7", 1 << 25: "8",
           1 << 26: "9"}  # fmt: skip


def _show_check(raw: bytes) -> str:
    return CHECKS.get(raw[1] & 15, f"check {raw[1] & 15}")


def _crc(*names: str) -> Derive:
    def derive(_raw: bytes, refs: Refs) -> bytes:
        crc = 0
        for name in names:
            crc = zlib.crc32(refs.raw(name), crc)
        return crc.to_bytes(4, "little")

    return derive


def _derive_backward(_record: bytes, refs: Refs) -> bytes:
    return (refs.size("index") // 4 - 1).to_bytes(4, "little")


def _derive_flags(_record: bytes, refs: Refs) -> bytes:
    return refs.raw("header")[6:8]


def _derive_footer_crc(record: bytes, _refs: Refs) -> bytes:
    return zlib.crc32(record[4:10]).to_bytes(4, "little")


def _derive_header_crc(record: bytes, _refs: Refs) -> bytes:
    return zlib.crc32(record[6:8]).to_bytes(4, "little")


FLAGS = Codec(bytes, lambda value, _size: bytes(value), _show_check)
HEADER = Table(
    Field("header magic bytes", 6, RAW, Role.FIXED),
    Field("stream flags", 2, FLAGS),
    Field("crc32", 4, LE_HEX, Role.DERIVED, _derive_header_crc),
)
FOOTER = Table(
    Field("crc32", 4, LE_HEX, Role.DERIVED, _derive_footer_crc),
    Field("backward size", 4, LE, Role.DERIVED, _derive_backward),
    Field("stream flags", 2, FLAGS, Role.DERIVED, _derive_flags),
    Field("footer magic bytes", 2, RAW, Role.FIXED),
)


def parse(source: Source, budget: Budget) -> Group:
    """Decode every stream: only the decoder knows where one ends."""
    import lzma

    def begins(at: int) -> int | None:
        """Skip stream padding: zeros, a multiple of four of them (section 2.2)."""
        start = _after_zeros(source, at)
        return start if (start - at) % 4 == 0 and source.read(start, start + 6) == MAGIC else None

    frames = Frames(
        source, 0, lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, MEMORY), begins, (lzma.LZMAError, EOFError), budget
    )
    decoded = spool(frames.run(), budget)
    if not frames.spans:
        raise FormatError("no xz stream at the start")
    spans = [(start, stop) for start, stop, _size in frames.spans]
    stop = spans[-1][1]
    end = _after_zeros(source, stop)
    if end == source.size and (end - stop) % 4 == 0:
        stop = end
    content = Content(
        "xz", lambda _budget: decoded, "xz", lambda: _layout(source, spans, stop), lambda: _traits(source, spans, stop)
    )
    nodes: list[Node] = [Leaf("content", 0, stop, Role.PAYLOAD, content=content)]
    if stop < source.size:
        nodes.append(Leaf("trailing", stop, source.size))
    return Group("xz", 0, source.size, listed(nodes))


def _after_zeros(source: Source, at: int) -> int:
    while piece := source.read(at, at + (1 << 16)):
        zeros = len(piece) - len(piece.lstrip(b"\0"))
        at += zeros
        if zeros < len(piece):
            break
    return at


def vli(data: bytes, at: int) -> tuple[int, int]:
    """Read a multibyte integer (section 1.2); returns it and the offset after it."""
    value = 0
    for place in range(9):
        byte = data[at + place]
        value |= (byte & 127) << 7 * place
        if not byte & 128:
            return value, at + place + 1
    raise FormatError("a number has more than nine bytes")


class Block(NamedTuple):
    """What the index says of a block, and where it starts; both sizes in bytes, the first without Block Padding."""

    start: int
    unpadded: int
    uncompressed: int


class Index(NamedTuple):
    """An index: its span, where the list of records begins and ends, and the records."""

    start: int
    stop: int
    list_start: int
    list_stop: int
    blocks: list[Block]


def read_index(source: Source, start: int, stop: int) -> Index:
    """Read the index of the stream at [start, stop) (section 4)."""
    footer = source.read(stop - FOOTER_SIZE, stop)
    size = (int.from_bytes(footer[4:8], "little") + 1) * 4
    first = stop - FOOTER_SIZE - size
    data = source.read(first, first + size)
    count, at = vli(data, 1)
    begin = at
    blocks = []
    block = start + HEADER_SIZE
    for _ in range(count):
        unpadded, at = vli(data, at)
        uncompressed, at = vli(data, at)
        blocks.append(Block(block, unpadded, uncompressed))
        block += unpadded + -unpadded % 4
    return Index(first, first + size, first + begin, first + at, blocks)


class BlockHeader(NamedTuple):
    """A block header (section 3.1): offsets of its fields from its start, and its filters as (id, properties)."""

    size: int
    compressed: int
    uncompressed: int
    filters_at: int
    padding_at: int
    filters: list[tuple[int, bytes]]


def read_header(source: Source, start: int) -> BlockHeader:
    """Read a block header; `compressed` and `uncompressed` are the offsets of these fields, 0 where there is none."""
    size = (source.read(start, start + 1)[0] + 1) * 4
    data = source.read(start, start + size)
    at, places = 2, [0, 0]
    for number, bit in enumerate((0x40, 0x80)):
        if data[1] & bit:
            places[number] = at
            _value, at = vli(data, at)
    filters_at, filters = at, []
    for _ in range((data[1] & 3) + 1):
        kind, at = vli(data, at)
        width, at = vli(data, at)
        filters.append((kind, data[at : at + width]))
        at += width
    return BlockHeader(size, places[0], places[1], filters_at, at, filters)


def dictionary(properties: bytes) -> int:
    """Return the dictionary size of LZMA2 in bytes (section 5.3.1)."""
    bits = properties[0] & 63
    return 0xFFFFFFFF if bits == 40 else (2 | bits & 1) << bits // 2 + 11


def _show_filter(kind: int, properties: bytes) -> str:
    name = FILTERS.get(kind, f"filter {kind:#x}")
    if kind != 33:
        return f"{name} {properties.hex()}".rstrip()
    size = dictionary(properties)
    preset = f" as in preset {PRESETS[size]}" if size in PRESETS else ""
    return f"{name} with a dictionary of {human(size)}{preset}"


def _traits(source: Source, spans: list[tuple[int, int]], end: int) -> Traits:
    start, stop = spans[0]
    settings = {"check": _show_check(source.read(start + 6, start + 8))}
    index = read_index(source, start, stop)
    blocks = sum(len(read_index(source, *span).blocks) for span in spans)
    loose = {"streams": str(len(spans)), "blocks": str(blocks)}
    if index.blocks:
        header = read_header(source, index.blocks[0].start)
        settings["filters"] = ", ".join(_show_filter(*item) for item in header.filters)
        # Only the encoder that works on several blocks at a time knows their sizes before it writes their headers.
        settings["block headers"] = "with sizes (threads)" if header.compressed else "without sizes (one thread)"
    if len(index.blocks) > 1:
        settings["block size"] = human(index.blocks[0].uncompressed)
    padding = end - sum(stop - start for start, stop in spans)
    if padding:
        loose["padding"] = f"{padding} bytes"
    return Traits(settings, loose)


def _layout(source: Source, spans: list[tuple[int, int]], end: int) -> list[Node]:
    nodes: list[Node] = []
    at = 0
    for number, (start, stop) in enumerate(spans, 1):
        if start > at:
            nodes.append(Leaf("stream padding", at, start, Role.FIXED))
        nodes.append(Group("stream", start, stop, lambda group: _stream(source, group), str(number).encode()))
        at = stop
    if end > at:
        nodes.append(Leaf("stream padding", at, end, Role.FIXED))
    return nodes


def _stream(source: Source, group: Group) -> list[Node]:
    index = read_index(source, group.start, group.stop)
    header = Record("stream header", group.start, HEADER)
    check = _check_size(source.read(group.start + 6, group.start + 8)[1] & 15)
    nodes: list[Node] = [header]
    for number, block in enumerate(index.blocks, 1):
        stop = block.start + block.unpadded + -block.unpadded % 4
        key = str(number).encode()
        nodes.append(Group("block", block.start, stop, lambda found: _block(source, found), key, (block, check)))
    records = Leaf("list of records", index.list_start, index.list_stop, Role.DERIVED, derive=accepted)
    count = Leaf("number of records", index.start + 1, index.list_start, Role.DERIVED, derive=accepted)
    indicator = Leaf("index indicator", index.start, index.start + 1, Role.FIXED)
    padding = Leaf("index padding", index.list_stop, index.stop - 4, Role.FIXED)
    parts = {"indicator": indicator, "count": count, "records": records, "padding": padding}
    crc = Leaf("crc32", index.stop - 4, index.stop, Role.DERIVED, LE_HEX, derive=_crc(*parts), refs=parts)
    within: list[Node] = [indicator, count, records, padding, crc]
    found = Group("index", index.start, index.stop, listed(within))
    footer = Record("stream footer", index.stop, FOOTER, {"index": found, "header": header})
    return [*nodes, found, footer]


def _check_size(kind: int) -> int:
    return (0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64)[kind]


def _block(source: Source, group: Group) -> list[Node]:
    block, check = group.info
    start = block.start
    header = read_header(source, start)
    # The header in order: size, flags, the sizes that it has, filters, zeros.
    places = [("block header size", 0), ("block flags", 1), ("compressed size", header.compressed),
              ("uncompressed size", header.uncompressed), ("list of filter flags", header.filters_at)]  # fmt: skip
    places = [(name, at) for name, at in places if at or name == "block header size"]
    ends = [at for _name, at in places[1:]] + [header.padding_at]
    roles = {"block flags": Role.VALUE, "list of filter flags": Role.VALUE}
    nodes: list[Node] = [
        Leaf(name, start + at, start + end, role, derive=None if role is Role.VALUE else accepted)
        for (name, at), end in zip(places, ends, strict=True)
        for role in [roles.get(name, Role.DERIVED)]
    ]
    nodes.append(Leaf("header padding", start + header.padding_at, start + header.size - 4, Role.FIXED))
    bound = {node.name: node for node in nodes}
    crc = Leaf(
        "crc32", start + header.size - 4, start + header.size, Role.DERIVED, LE_HEX, derive=_crc(*bound), refs=bound
    )
    # Unpadded Size counts the check, which lies after the padding all the same.
    data = Leaf("compressed data", crc.stop, start + block.unpadded - check, Role.PAYLOAD)
    nodes += [crc, data]
    if data.stop < group.stop - check:
        nodes.append(Leaf("block padding", data.stop, group.stop - check, Role.FIXED))
    if check:
        nodes.append(Leaf("check", group.stop - check, group.stop, Role.DERIVED, derive=accepted))
    return nodes


FORMAT = Format("xz", "The .xz File Format 1.2.1", parse)
