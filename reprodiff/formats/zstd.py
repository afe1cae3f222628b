"""Zstandard files (RFC 8878): frames one after another, with skippable frames before, between and after them.

Frames in a row are one payload, for they decode to one content. Skippable frames are somebody's data and leaves of
their own, but for two that say nothing but sizes: pzstd's before each frame, and the seek table after the last.
"""

from typing import Any, NamedTuple

from reprodiff.budget import Budget
from reprodiff.codecs import LE, LE_HEX, RAW, Codec
from reprodiff.formats import Format
from reprodiff.formats.frames import (
    SKIPPABLE_HEAD,
    Frames,
    accepted,
    human,
    leads_to,
    library,
    skippable,
    skippable_frame,
    tree,
)
from reprodiff.sources import Source, spool
from reprodiff.tree import Content, Group, Leaf, Node, Refs, Role, Traits

MAGIC = b"\x28\xb5\x2f\xfd"
PZSTD, SEEK_TABLE = 0x50, 0x5E
SEEK_MAGIC = b"\xb1\xea\x92\x8f"
WINDOW_LOG_MAX = 31


def probe(_head: bytes, source: Source) -> bool:
    """Tell whether a Zstandard frame is the first after any skippable ones."""
    return leads_to(source, (MAGIC,))


class Header(NamedTuple):
    """A frame header (section 3.1.1.1): offsets in the frame, 0 for an absent field, and the values for people.

    size is that of the magic number and the header together; window None in a single segment.
    """

    descriptor: int
    window: int | None
    window_at: int
    dictionary_at: int
    content_at: int
    size: int


def read_header(data: bytes) -> Header:
    """Read the header of the frame that data starts with. Raises IndexError when it is cut off."""
    flags = data[4]
    single = flags >> 5 & 1
    at = 5
    window_at, window = 0, None
    if not single:
        window_at = at
        base = 1 << 10 + (data[at] >> 3)
        window = base + base // 8 * (data[at] & 7)
        at += 1
    dictionary = (0, 1, 2, 4)[flags & 3]
    dictionary_at, at = (at if dictionary else 0), at + dictionary
    content = (single, 2, 4, 8)[flags >> 6]
    content_at, at = (at if content else 0), at + content
    return Header(flags, window, window_at, dictionary_at, content_at, at)


def extent(source: Source, at: int) -> int | None:
    """Return the end of the frame at an offset by its block headers (section 3.1.1.2), None where it is cut off."""
    data = source.read(at, at + 18)
    try:
        header = read_header(data)
    except IndexError:
        return None
    at += header.size
    while True:
        head = int.from_bytes(source.read(at, at + 3), "little")
        at += 3 + (1 if head >> 1 & 3 == 1 else head >> 3)
        if at > source.size:
            return None
        if head & 1:
            at += 4 if header.descriptor & 4 else 0
            return at if at <= source.size else None


def parse(source: Source, budget: Budget) -> Group:
    """Decode the frames, run by run; what is neither frame nor skippable frame ends the file."""
    module = _module()

    def run(at: int) -> Leaf | None:
        return _run(source, at, module, budget) if _begins(source, at) is not None else None

    return tree("zstd", "Zstandard", source, budget, run)


def _module() -> Any:
    import sys

    name = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    return library(name, "Zstandard", "backports.zstd", "python3-backports.zstd")


def _begins(source: Source, at: int) -> int | None:
    head = source.read(at, at + SKIPPABLE_HEAD + 4)
    if head[:4] == MAGIC:
        return at
    stop = skippable(source, at)
    if stop == at + SKIPPABLE_HEAD + 4 and head[0] == PZSTD and source.read(stop, stop + 4) == MAGIC:
        return stop if extent(source, stop) == stop + int.from_bytes(head[8:], "little") else None
    return None


def _run(source: Source, at: int, module: Any, budget: Budget) -> Leaf:
    options = {module.DecompressionParameter.window_log_max: WINDOW_LOG_MAX}
    frames = Frames(
        source,
        at,
        lambda: module.ZstdDecompressor(options=options),
        lambda offset: _begins(source, offset),
        (module.ZstdError, EOFError, ValueError),
        budget,
    )
    decoded = spool(frames.run(), budget)
    stop = _seek_table(source, frames)
    spans = [span[:2] for span in frames.spans]
    content = Content(
        "zstd",
        lambda _budget: decoded,
        "zstd",
        lambda: _layout(source, at, spans, stop, decoded),
        lambda: _traits(source, at, spans, stop),
    )
    return Leaf("content", at, stop, Role.PAYLOAD, content=content)


def _seek_table(source: Source, frames: Frames) -> int:
    """Return the end of a seek table that says the sizes of these frames, else the end of the last of them.

    Zstandard Seekable Format 0.1.0: compressed size, decompressed size and maybe a checksum for each frame.
    """
    at = frames.stop
    stop = skippable(source, at)
    if stop is None or source.read(at, at + 1)[0] != SEEK_TABLE or source.read(stop - 4, stop) != SEEK_MAGIC:
        return at
    width = 12 if source.read(stop - 5, stop - 4)[0] & 0x80 else 8
    count = int.from_bytes(source.read(stop - 9, stop - 5), "little")
    if count != len(frames.spans) or stop - at != SKIPPABLE_HEAD + 9 + width * count:
        return at
    table = source.read(at + SKIPPABLE_HEAD, stop - 9)
    for number, (first, last, made) in enumerate(frames.spans):
        row = table[number * width : number * width + 8]
        if row != (last - first).to_bytes(4, "little") + made.to_bytes(4, "little"):
            return at
    return stop


def _show_descriptor(value: int) -> str:
    told = ["single segment"] if value & 32 else []
    told += ["checksum"] if value & 4 else []
    told += ["content size"] if value >> 6 or value & 32 else []
    told += ["dictionary"] if value & 3 else []
    return f"{value:#04x} ({', '.join(told) or 'nothing more'})"


def _show_window(raw: bytes) -> str:
    base = 1 << 10 + (raw[0] >> 3)
    return human(base + base // 8 * (raw[0] & 7))


def _traits(source: Source, start: int, spans: list[tuple[int, int]], stop: int) -> Traits:
    first = spans[0][0]
    data = source.read(first, first + 18)
    header = read_header(data)
    settings = {
        "checksum": "yes" if header.descriptor & 4 else "no",
        "content size": "stated" if header.content_at else "not stated",
        "sizes before frames": "yes (pzstd)" if start < first else "no",
        "seek table": "yes" if stop > spans[-1][1] else "no",
    }
    if header.dictionary_at:
        width = (0, 1, 2, 4)[header.descriptor & 3]
        number = int.from_bytes(data[header.dictionary_at : header.dictionary_at + width], "little")
        settings["dictionary"] = str(number)
    if header.window is not None:
        settings["window"] = human(header.window)
    loose = {"frames": str(len(spans)), "single segment": "yes" if header.window is None else "no"}
    blocks = _block_sizes(source, first + header.size)
    if blocks:
        loose["blocks of the first frame"] = blocks
    return Traits(settings, loose)


def _block_sizes(source: Source, at: int) -> str:
    """Return how many blocks a frame has, '' for too many to be counted."""
    for count in range(1, 1025):
        head = int.from_bytes(source.read(at, at + 3), "little")
        if head & 1:
            return str(count)
        at += 3 + (1 if head >> 1 & 3 == 1 else head >> 3)
    return ""


def _layout(source: Source, start: int, spans: list[tuple[int, int]], end: int, decoded: Source) -> list[Node]:
    nodes: list[Node] = []
    at = start
    for number, (first, stop) in enumerate(spans, 1):
        if first > at:
            nodes.append(skippable_frame(at, first))
        whole = decoded if len(spans) == 1 else None
        nodes.append(Group("frame", first, stop, lambda group: _frame(source, group), str(number).encode(), whole))
        at = stop
    if end > at:
        nodes.append(skippable_frame(at, end))
    return nodes


def _derive_content_size(raw: bytes, refs: Refs) -> bytes:
    # A field of two bytes counts from 256 (section 3.1.1.1.4).
    return (refs.decoded_size("blocks") - (256 if len(raw) == 2 else 0)).to_bytes(len(raw), "little")


def _frame(source: Source, group: Group) -> list[Node]:
    start = group.start
    header = read_header(source.read(start, start + 18))
    decoded = group.info
    check = 4 if header.descriptor & 4 else 0
    inner = Content("zstd", lambda _budget: decoded) if decoded is not None else None
    blocks = Leaf("data blocks", start + header.size, group.stop - check, Role.PAYLOAD, content=inner)
    nodes: list[Node] = [
        Leaf("magic number", start, start + 4, Role.FIXED),
        Leaf("frame header descriptor", start + 4, start + 5, Role.VALUE, LE._replace(show=_show_descriptor)),
    ]
    at = start + 5
    if header.window_at:
        nodes.append(Leaf("window descriptor", at, at + 1, codec=Codec(bytes, RAW.encode, _show_window)))
        at += 1
    if header.dictionary_at:
        stop = start + (header.content_at or header.size)
        nodes.append(Leaf("dictionary id", at, stop, Role.VALUE, LE))
        at = stop
    if header.content_at:
        derive = _derive_content_size if inner else accepted
        size = Leaf(
            "frame content size", at, start + header.size, Role.DERIVED, LE, derive=derive, refs={"blocks": blocks}
        )
        nodes.append(size)
    nodes.append(blocks)
    if check:
        nodes.append(Leaf("content checksum", group.stop - 4, group.stop, Role.DERIVED, LE_HEX, derive=accepted))
    return nodes


FORMAT = Format("zstd", "RFC 8878", parse)
