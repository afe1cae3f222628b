"""gzip files (RFC 1952): one or more members, each a header, a deflate stream and a trailer."""

import zlib
from collections.abc import Iterator

from reprodiff.budget import Budget
from reprodiff.codecs import LE, LE_HEX, LE_TIME, RAW, Codec
from reprodiff.errors import FormatError
from reprodiff.formats import Format
from reprodiff.sources import Source, spool
from reprodiff.tree import Content, Field, Group, Leaf, Node, Record, Refs, Role, Table, listed

MAGIC = b"\x1f\x8b\x08"
FHCRC, FEXTRA, FNAME, FCOMMENT = 2, 4, 8, 16
INPUT = 1 << 18
OUTPUT = 16 << 20

SYSTEMS = ("FAT", "Amiga", "VMS", "Unix", "VM/CMS", "Atari TOS", "HPFS", "Macintosh", "Z-System", "CP/M", "TOPS-20",
           "NTFS", "QDOS", "Acorn RISCOS")  # fmt: skip


def _show_system(value: int) -> str:
    return (
        f"{value} ({SYSTEMS[value]})" if value < len(SYSTEMS) else f"{value} (unknown)" if value == 255 else str(value)
    )


SYSTEM = Codec(lambda raw: raw[0], lambda value, _size: bytes([value]), _show_system)


def _derive_flags(_header: bytes, refs: Refs) -> bytes:
    parts = ((FHCRC, "hcrc"), (FEXTRA, "extra"), (FNAME, "name"), (FCOMMENT, "comment"))
    return bytes([sum(bit for bit, name in parts if refs.has(name))])


HEADER = Table(
    Field("id", 2, RAW, Role.FIXED),
    Field("cm", 1, LE, Role.FIXED),
    # FTEXT is the producer's choice: a header that has it set does not follow from its parts, and stays as it is.
    Field("flg", 1, LE_HEX, Role.DERIVED, _derive_flags),
    Field("mtime", 4, LE_TIME),
    Field("xfl", 1, LE),
    Field("os", 1, SYSTEM),
)


def _derive_crc(_record: bytes, refs: Refs) -> bytes:
    if not refs.changed("deflate"):
        return _record[:4]
    crc = 0
    for chunk in refs.decoded("deflate"):
        crc = zlib.crc32(chunk, crc)
    return crc.to_bytes(4, "little")


def _derive_size(_record: bytes, refs: Refs) -> bytes:
    return (refs.decoded_size("deflate") & 0xFFFFFFFF).to_bytes(4, "little")


TRAILER = Table(
    Field("crc32", 4, LE_HEX, Role.DERIVED, _derive_crc),
    Field("isize", 4, LE, Role.DERIVED, _derive_size),
)


def _derive_extra_length(_raw: bytes, refs: Refs) -> bytes:
    return refs.size("extra").to_bytes(2, "little")


def _derive_header_crc(_raw: bytes, refs: Refs) -> bytes:
    crc = 0
    for name in ("header", "xlen", "extra", "name", "comment"):
        crc = zlib.crc32(refs.raw(name), crc)
    return (crc & 0xFFFF).to_bytes(2, "little")


def parse(source: Source, budget: Budget) -> Group:
    """Read headers and decode the payload of every member: only the decoder knows where a member ends."""
    members: list[list[Node]] = []
    at = 0
    while source.read(at, at + 3) == MAGIC:
        try:
            nodes = _member(source, at, budget)
        except (FormatError, IndexError, ValueError):
            if not members:
                raise
            break
        members.append(nodes)
        at = nodes[-1].stop
    if not members:
        raise FormatError("no gzip member at the start")
    nodes = members[0]
    if len(members) > 1:
        nodes = [
            Group("member", found[0].start, found[-1].stop, listed(found), str(number).encode())
            for number, found in enumerate(members, 1)
        ]
    if at < source.size:
        nodes.append(Leaf("trailing", at, source.size, Role.VALUE))
    return Group("gzip", 0, source.size, listed(nodes))


def _member(source: Source, start: int, budget: Budget) -> list[Node]:
    flags = source.read(start + 3, start + 4)[0]
    if flags & 0xE0:
        raise FormatError("reserved flag bits of the gzip header are set")
    refs: dict[str, Node] = {}
    header = Record("header", start, HEADER, refs)
    nodes: list[Node] = [header]
    at = header.stop
    if flags & FEXTRA:
        width = int.from_bytes(source.read(at, at + 2), "little")
        extra = Leaf("extra", at + 2, at + 2 + width)
        nodes += [Leaf("xlen", at, at + 2, Role.DERIVED, LE, derive=_derive_extra_length, refs={"extra": extra}), extra]
        at = extra.stop
    for bit, name in ((FNAME, "name"), (FCOMMENT, "comment")):
        if flags & bit:
            stop = _after_nul(source, at)
            nodes.append(Leaf(name, at, stop))
            at = stop
    if flags & FHCRC:
        bound = {node.name: node for node in nodes}
        nodes.append(Leaf("hcrc", at, at + 2, Role.DERIVED, LE_HEX, derive=_derive_header_crc, refs=bound))
        at += 2
    refs.update({node.name: node for node in nodes[1:]})
    inflater = _Inflater(source, at)
    decoded = spool(inflater.run(), budget)
    payload = Leaf(
        "deflate", at, inflater.stop, Role.PAYLOAD, content=Content("deflate", lambda _budget: decoded, "deflate")
    )
    nodes += [payload, Record("trailer", inflater.stop, TRAILER, {"deflate": payload})]
    if nodes[-1].stop > source.size:
        raise FormatError("the gzip trailer is cut off")
    return nodes


def _after_nul(source: Source, at: int) -> int:
    window = source.read(at, at + (1 << 16))
    end = window.find(b"\0")
    if end < 0:
        raise FormatError("a name in the gzip header does not end")
    return at + end + 1


class _Inflater:
    """Decodes a deflate stream from `start` and notes in `stop` where it ended."""

    def __init__(self, source: Source, start: int) -> None:
        self.source = source
        self.stop = start

    def run(self) -> Iterator[bytes]:
        decoder = zlib.decompressobj(-15)
        at = self.stop
        while not decoder.eof:
            piece = self.source.read(at, at + INPUT)
            if not piece:
                raise FormatError("the deflate stream is cut off")
            at += len(piece)
            while piece and not decoder.eof:
                try:
                    output = decoder.decompress(piece, OUTPUT)
                except zlib.error as error:
                    raise FormatError(f"the deflate stream is damaged ({error})") from error
                yield output
                piece = decoder.unconsumed_tail
        self.stop = at - len(decoder.unused_data)


FORMAT = Format("gzip", "RFC 1952", parse)
