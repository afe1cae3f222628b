"""Compressed sections of debug information (System V gABI, Section Compression)."""

import zlib
from collections.abc import Callable, Iterator

from reprodiff.budget import Budget
from reprodiff.errors import FormatError
from reprodiff.sources import Source, chunks, spool

PIECE = 1 << 20


def inflate(source: Source, start: int, stop: int, kind: int) -> Callable[[Budget], Source]:
    """Return how to open compressed debug information: kind 1 zlib, 2 zstd (gABI, Section Compression)."""

    def unzlib() -> Iterator[bytes]:
        decoder = zlib.decompressobj()
        for piece in chunks(source, start, stop):
            rest = piece
            while rest and not decoder.eof:
                try:
                    yield decoder.decompress(rest, PIECE)
                except zlib.error as error:
                    raise FormatError(f"compressed debug information is damaged ({error})") from error
                rest = decoder.unconsumed_tail
        if not decoder.eof:
            raise FormatError("compressed debug information is cut off")

    def open_zstd(budget: Budget) -> Source:
        from reprodiff import formats
        from reprodiff.sources import Slice
        from reprodiff.tree import leaves, open_content

        inner = Slice(source, start, stop)
        entry = next(found for found in formats.FORMATS if found.name == "zstd")
        payloads = [leaf for _path, leaf in leaves(formats.parse(entry, inner, budget)) if leaf.content is not None]
        return spool((piece for leaf in payloads for piece in chunks(open_content(inner, leaf, budget))), budget)

    return open_zstd if kind == 2 else lambda budget: spool(unzlib(), budget)
