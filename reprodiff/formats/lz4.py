"""LZ4 files (LZ4 Frame Format Description 1.6.4): frames, skippable frames, and the legacy frames of Linux kernels.

Frames in a row are one payload, for they decode to one content. Skippable frames are somebody's data and leaves of
their own.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from reprodiff.budget import Budget
from reprodiff.codecs import LE, LE_HEX
from reprodiff.errors import FormatError
from reprodiff.formats import Format
from reprodiff.formats.frames import Frames, accepted, leads_to, library, tree
from reprodiff.sources import Source, spool
from reprodiff.tree import Content, Group, Leaf, Node, Refs, Role, Traits, listed

MAGIC = b"\x04\x22\x4d\x18"
LEGACY = b"\x02\x21\x4c\x18"
LEGACY_BLOCK = 8 << 20
# Bytes that LZ4 needs at most for a block that cannot be compressed.
LEGACY_MOST = LEGACY_BLOCK + LEGACY_BLOCK // 255 + 16


def probe(_head: bytes, source: Source) -> bool:
    """Tell whether an LZ4 frame is the first after any skippable ones."""
    return leads_to(source, (MAGIC, LEGACY))


class Header(NamedTuple):
    """A frame descriptor: FLG and BD bytes, offsets of optional fields in the frame (0: absent), and the size with
    the magic number before and the header checksum behind it."""

    flags: int
    sizes: int
    content_at: int
    dictionary_at: int
    size: int


def read_header(data: bytes) -> Header:
    """Read the descriptor of the frame that data starts with. Raises IndexError when it is cut off."""
    flags, sizes = data[4], data[5]
    content_at, at = (6, 14) if flags & 8 else (0, 6)
    dictionary_at, at = (at, at + 4) if flags & 1 else (0, at)
    return Header(flags, sizes, content_at, dictionary_at, at + 1)


def parse(source: Source, budget: Budget) -> Group:
    """Decode the frames, run by run; what is neither frame nor skippable frame ends the file."""
    module = library("lz4.frame", "LZ4", "lz4", "python3-lz4")

    def run(at: int) -> Leaf | None:
        return _run(source, at, module, budget) if source.read(at, at + 4) in {MAGIC, LEGACY} else None

    return tree("lz4", "LZ4", source, budget, run)


def _run(source: Source, at: int, module: Any, budget: Budget) -> Leaf:
    if source.read(at, at + 4) == LEGACY:
        return _legacy(source, at, budget)
    frames = Frames(
        source,
        at,
        module.LZ4FrameDecompressor,
        lambda offset: offset if source.read(offset, offset + 4) == MAGIC else None,
        (RuntimeError, EOFError, ValueError),
        budget,
    )
    decoded = spool(frames.run(), budget)
    spans = [span[:2] for span in frames.spans]
    content = Content(
        "lz4", lambda _budget: decoded, None, lambda: _layout(source, spans, decoded), lambda: _traits(source, spans)
    )
    return Leaf("content", at, frames.stop, Role.PAYLOAD, content=content)


def _legacy(source: Source, start: int, budget: Budget) -> Leaf:
    """Decode a legacy frame: blocks that hold up to 8 MiB each, up to the end or what cannot be a block's size."""
    block = library("lz4.block", "LZ4", "lz4", "python3-lz4")
    stops = [start + 4]

    def run() -> Iterator[bytes]:
        while stops[-1] < source.size:
            at = stops[-1]
            size = int.from_bytes(source.read(at, at + 4), "little")
            if not 0 < size <= LEGACY_MOST:
                return
            data = source.read(at + 4, at + 4 + size)
            if len(data) < size:
                raise FormatError("the compressed stream is cut off")
            try:
                output: bytes = block.decompress(data, uncompressed_size=LEGACY_BLOCK)
            except (block.LZ4BlockError, ValueError) as error:
                raise FormatError(f"the compressed stream is damaged ({error})") from error
            stops.append(at + 4 + size)
            yield output

    decoded = spool(run(), budget)
    stop = stops[-1]

    def layout() -> list[Node]:
        magic = Leaf("magic number", start, start + 4, Role.FIXED)
        return [
            Group("legacy frame", start, stop, listed([magic, Leaf("blocks", start + 4, stop, Role.PAYLOAD)]), b"1")
        ]

    traits = Traits({"frame": "legacy"}, {"blocks": str(len(stops) - 1)})
    return Leaf(
        "content",
        start,
        stop,
        Role.PAYLOAD,
        content=Content("lz4", lambda _budget: decoded, None, layout, lambda: traits),
    )


def _show_flags(value: int) -> str:
    told = ["independent blocks" if value & 32 else "linked blocks"]
    names = ((16, "block checksums"), (8, "content size"), (4, "content checksum"), (1, "dictionary"))
    return f"{value:#04x} ({', '.join(told + [name for bit, name in names if value & bit])})"


def _block_size(value: int) -> str:
    return {4: "64 KiB", 5: "256 KiB", 6: "1 MiB", 7: "4 MiB"}.get(value >> 4 & 7, str(value >> 4 & 7))


def _traits(source: Source, spans: list[tuple[int, int]]) -> Traits:
    start = spans[0][0]
    data = source.read(start, start + 20)
    header = read_header(data)
    settings = {
        "block checksums": "yes" if header.flags & 16 else "no",
        "content size": "stated" if header.content_at else "not stated",
        "content checksum": "yes" if header.flags & 4 else "no",
    }
    if header.dictionary_at:
        settings["dictionary"] = str(int.from_bytes(data[header.dictionary_at : header.dictionary_at + 4], "little"))
    # The library makes the blocks smaller, and independent, where the content fits into one.
    loose = {
        "frames": str(len(spans)),
        "block size": _block_size(header.sizes),
        "blocks": "independent" if header.flags & 32 else "linked",
    }
    return Traits(settings, loose)


def _layout(source: Source, spans: list[tuple[int, int]], decoded: Source) -> list[Node]:
    whole = decoded if len(spans) == 1 else None
    return [
        Group("frame", start, stop, lambda group: _frame(source, group), str(number).encode(), whole)
        for number, (start, stop) in enumerate(spans, 1)
    ]


def _derive_content_size(_raw: bytes, refs: Refs) -> bytes:
    return refs.decoded_size("blocks").to_bytes(8, "little")


def _frame(source: Source, group: Group) -> list[Node]:
    start = group.start
    header = read_header(source.read(start, start + 20))
    decoded = group.info
    check = 4 if header.flags & 4 else 0
    inner = Content("lz4", lambda _budget: decoded) if decoded is not None else None
    blocks = Leaf("blocks", start + header.size, group.stop - check - 4, Role.PAYLOAD, content=inner)
    nodes: list[Node] = [
        Leaf("magic number", start, start + 4, Role.FIXED),
        Leaf("flg", start + 4, start + 5, Role.VALUE, LE._replace(show=_show_flags)),
        Leaf("bd", start + 5, start + 6, Role.VALUE, LE._replace(show=_block_size)),
    ]
    at = start + 6
    if header.content_at:
        derive = _derive_content_size if inner else accepted
        nodes.append(Leaf("content size", at, at + 8, Role.DERIVED, LE, derive=derive, refs={"blocks": blocks}))
        at += 8
    if header.dictionary_at:
        nodes.append(Leaf("dictionary id", at, at + 4, Role.VALUE, LE))
        at += 4
    nodes += [
        Leaf("header checksum", at, at + 1, Role.DERIVED, LE_HEX, derive=accepted),
        blocks,
        Leaf("end mark", blocks.stop, blocks.stop + 4, Role.FIXED),
    ]
    if check:
        nodes.append(Leaf("content checksum", group.stop - 4, group.stop, Role.DERIVED, LE_HEX, derive=accepted))
    return nodes


FORMAT = Format("lz4", "LZ4 Frame Format Description 1.6.4", parse)
