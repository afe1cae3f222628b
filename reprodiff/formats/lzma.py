"""LZMA_Alone files (.lzma; LZMA SDK "lzma-file-format.txt"): properties, dictionary size, size, one LZMA stream."""

from reprodiff.budget import Budget
from reprodiff.codecs import LE, Codec
from reprodiff.errors import FormatError
from reprodiff.formats import Format
from reprodiff.formats.frames import Frames, human
from reprodiff.sources import Source, spool
from reprodiff.tree import Content, Field, Group, Leaf, Node, Record, Refs, Role, Table, Traits, listed

UNKNOWN = 0xFFFFFFFFFFFFFFFF
MEMORY = 1 << 31
HEADER_SIZE = 13
MOST = 1 << 38


def _show_properties(raw: bytes) -> str:
    value = raw[0]
    return f"lc {value % 9}, lp {value // 9 % 5}, pb {value // 45}"


def _show_size(value: int) -> str:
    return "unknown (end marker)" if value == UNKNOWN else str(value)


def _derive_size(record: bytes, refs: Refs) -> bytes:
    stated = record[5:13]
    return stated if int.from_bytes(stated, "little") == UNKNOWN else refs.decoded_size("stream").to_bytes(8, "little")


HEADER = Table(
    Field("properties", 1, Codec(bytes, lambda value, _size: bytes(value), _show_properties)),
    Field("dictionary size", 4, LE._replace(show=human)),
    Field("uncompressed size", 8, LE._replace(show=_show_size), Role.DERIVED, _derive_size),
)


def probe(head: bytes, _source: Source) -> bool:
    """Tell whether a stream starts with a header that encoders write, and the first bytes can be decoded.

    There is no magic; liblzma guesses by the same marks: valid properties, a dictionary of 2^n or 2^n + 2^(n-1)
    bytes, a size below 256 GiB or none, and a first byte of the range coder that is zero.
    """
    if len(head) < HEADER_SIZE + 5 or head[13] or head[0] >= 225:
        return False
    dictionary, size = int.from_bytes(head[1:5], "little"), int.from_bytes(head[5:13], "little")
    low = dictionary & -dictionary
    if dictionary < 1 << 12 or dictionary not in {low, 3 * low, 0xFFFFFFFF} or MOST <= size != UNKNOWN:
        return False
    import lzma

    try:
        lzma.LZMADecompressor(lzma.FORMAT_ALONE, MEMORY).decompress(head, 1 << 12)
    except lzma.LZMAError:
        return False
    return True


def parse(source: Source, budget: Budget) -> Group:
    """Decode the stream: only the decoder knows where it ends."""
    import lzma

    frames = Frames(
        source,
        0,
        lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, MEMORY),
        lambda at: None if at else 0,
        (lzma.LZMAError, EOFError),
        budget,
    )
    decoded = spool(frames.run(), budget)
    stop = frames.stop
    if stop < HEADER_SIZE:
        raise FormatError("no LZMA header at the start")
    content = Content("lzma", lambda _budget: decoded, None, lambda: _layout(decoded, stop), lambda: _traits(source))
    nodes: list[Node] = [Leaf("content", 0, stop, Role.PAYLOAD, content=content)]
    if stop < source.size:
        nodes.append(Leaf("trailing", stop, source.size))
    return Group("lzma", 0, source.size, listed(nodes))


def _traits(source: Source) -> Traits:
    header = source.read(0, HEADER_SIZE)
    size = int.from_bytes(header[5:13], "little")
    return Traits(
        {
            "properties": _show_properties(header),
            "dictionary": human(int.from_bytes(header[1:5], "little")),
            "size": "not stated" if size == UNKNOWN else "stated",
        }
    )


def _layout(decoded: Source, stop: int) -> list[Node]:
    stream = Leaf("stream", HEADER_SIZE, stop, Role.PAYLOAD, content=Content("lzma", lambda _budget: decoded))
    return [Record("header", 0, HEADER, {"stream": stream}), stream]


FORMAT = Format("lzma", "LZMA SDK, lzma-file-format.txt", parse)
