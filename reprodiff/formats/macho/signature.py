"""The embedded code signature (xnu, osfmk/kern/cs_blobs.h): big-endian blobs inside a SuperBlob."""

from functools import cache
from typing import NamedTuple

from reprodiff.codecs import RAW
from reprodiff.sources import Source
from reprodiff.tree import Derive, Group, Leaf, Node, Refs, Role, listed

SUPERBLOB, DIRECTORY = 0xFADE0CC0, 0xFADE0C02
CMS_SLOT = 0x10000
ADHOC = 2
MOST_BLOBS = 64
HASHES = {1: ("sha1", 20), 2: ("sha256", 32), 3: ("sha256", 20)}


class Directory(NamedTuple):
    """A code directory: where the hashes of the pages lie, in bytes from the start of the signature, and what they
    cover: `limit` bytes of the file in pages of `page` bytes, hashed by `name`, cut to `width` bytes."""

    start: int
    stop: int
    limit: int
    page: int
    name: str
    width: int


def _number(raw: bytes, at: int, width: int = 4) -> int:
    return int.from_bytes(raw[at : at + width], "big")


def _directory(raw: bytes) -> Directory | None:
    """Return the only code directory of a signature that nobody's key made; None for all others."""
    if _number(raw, 0) != SUPERBLOB:
        return None
    found = None
    for at in range(12, 12 + 8 * min(_number(raw, 8), MOST_BLOBS), 8):
        kind, offset = _number(raw, at), _number(raw, at + 4)
        if kind == CMS_SLOT and _number(raw, offset + 4) > 8:
            return None
        if _number(raw, offset) != DIRECTORY:
            continue
        if found is not None or not _number(raw, offset + 12) & ADHOC:
            return None
        slots, limit = _number(raw, offset + 28), _number(raw, offset + 32)
        width, kind, shift = raw[offset + 36], raw[offset + 37], raw[offset + 39]
        name, most = HASHES.get(kind, ("", 0))
        start = offset + _number(raw, offset + 16)
        stop = start + slots * width
        if not name or width != most or not 10 <= shift <= 20 or stop > len(raw) or start < offset + 44:
            return None
        if slots != -(-limit >> shift):
            return None
        found = Directory(start, stop, limit, 1 << shift, name, width)
    return found


@cache
def _pages(directory: Directory) -> Derive:
    def derive(_raw: bytes, refs: Refs) -> bytes:
        import hashlib

        data = memoryview(refs.raw("file"))[: directory.limit]
        return b"".join(
            hashlib.new(directory.name, data[at : at + directory.page], usedforsecurity=False).digest()[
                : directory.width
            ]
            for at in range(0, directory.limit, directory.page)
        )

    return derive


def holds(source: Source, start: int, stop: int) -> bool:
    """Tell whether the hashes of a code signature are those of the pages before it."""
    import hashlib

    raw = source.read(start, stop)
    found = _directory(raw)
    if found is None or found.limit > start:
        return False
    hashes = b"".join(
        hashlib.new(found.name, source.read(at, min(at + found.page, found.limit)), usedforsecurity=False).digest()[
            : found.width
        ]
        for at in range(0, found.limit, found.page)
    )
    return raw[found.start : found.stop] == hashes


def signature(source: Source, start: int, stop: int, refs: dict[str, Node]) -> tuple[Group, bool]:
    """Describe a code signature; True with one that was made with a key. refs: gets the whole file as `file`."""
    raw = source.read(start, stop)
    found = _directory(raw)
    if found is None or found.limit > start or found.start >= found.stop:
        return Group("codesignature", start, stop, listed([Leaf("blob", start, stop)])), True
    # Linkers sign whatever they write, without a key: hashes of the pages, which anybody can make again.
    nodes: list[Node] = [
        Leaf("head", start, start + found.start),
        Leaf("hashes", start + found.start, start + found.stop, Role.DERIVED, RAW, derive=_pages(found), refs=refs),
    ]
    if start + found.stop < stop:
        nodes.append(Leaf("rest", start + found.stop, stop))
    return Group("codesignature", start, stop, listed(nodes)), False
