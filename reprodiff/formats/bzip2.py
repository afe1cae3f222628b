"""bzip2 files: streams one after another, each a digit for the level and blocks that are not aligned to bytes.

The format has no specification but its library. Bytes after the last stream are ignored by bzip2 with a warning.
"""

from reprodiff.budget import Budget
from reprodiff.codecs import RAW, Codec, show_bytes
from reprodiff.errors import FormatError
from reprodiff.formats import Format
from reprodiff.formats.frames import Frames
from reprodiff.sources import Source, spool
from reprodiff.tree import Content, Field, Group, Leaf, Node, Record, Role, Table, Traits, listed

# BCD of pi starts a block, of the square root of pi the end of the stream.
BLOCK, END = b"1AY&SY", b"\x17rE8P\x90"

LEVEL = Codec(
    bytes, lambda value, _size: bytes(value), lambda value: f"{show_bytes(value)} (blocks of {show_bytes(value)}00 kB)"
)
HEADER = Table(Field("signature", 2, RAW, Role.FIXED), Field("version", 1, RAW, Role.FIXED), Field("level", 1, LEVEL))


def probe(head: bytes, _source: Source) -> bool:
    """Tell whether a stream header and a first block or the end follow `BZh`."""
    return _is_header(head[:10])


def _is_header(head: bytes) -> bool:
    return head[:3] == b"BZh" and b"1" <= head[3:4] <= b"9" and head[4:] in {BLOCK, END}


def parse(source: Source, budget: Budget) -> Group:
    """Decode every stream: only the decoder knows where one ends."""
    import bz2

    def begins(at: int) -> int | None:
        return at if _is_header(source.read(at, at + 10)) else None

    frames = Frames(source, 0, bz2.BZ2Decompressor, begins, (OSError, ValueError, EOFError), budget)
    decoded = spool(frames.run(), budget)
    if not frames.spans:
        raise FormatError("no bzip2 stream at the start")
    spans = [(start, stop) for start, stop, _size in frames.spans]
    content = Content("bzip2", lambda _budget: decoded, "bzip2", lambda: _layout(spans), lambda: _traits(source, spans))
    nodes: list[Node] = [Leaf("content", 0, frames.stop, Role.PAYLOAD, content=content)]
    if frames.stop < source.size:
        nodes.append(Leaf("trailing", frames.stop, source.size))
    return Group("bzip2", 0, source.size, listed(nodes))


def _traits(source: Source, spans: list[tuple[int, int]]) -> Traits:
    start = spans[0][0]
    return Traits({"level": source.read(start + 3, start + 4).decode()}, {"streams": str(len(spans))})


def _layout(spans: list[tuple[int, int]]) -> list[Node]:
    return [
        Group(
            "stream",
            start,
            stop,
            listed([Record("header", start, HEADER), Leaf("blocks", start + HEADER.size, stop, Role.PAYLOAD)]),
            str(number).encode(),
        )
        for number, (start, stop) in enumerate(spans, 1)
    ]


FORMAT = Format("bzip2", "bzip2 1.0.8, the library that defines it", parse)
