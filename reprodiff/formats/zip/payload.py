"""Decoding the contents of zip members: deflate, bzip2, LZMA (APPNOTE.TXT 5.8), xz."""

import zlib
from collections.abc import Generator, Iterator
from typing import Any

from reprodiff.budget import Budget
from reprodiff.errors import FormatError
from reprodiff.formats import HEAD
from reprodiff.formats.zip.layout import BZIP2, DEFLATED, LZMA, METHODS, XZ
from reprodiff.sources import Bytes, Slice, Source, chunks, spool

SMALL = 1 << 20
OUTPUT = 16 << 20
SLACK = 64

# Method to the name of the encoding, and of the encoder that can write it again.
NAMES = {DEFLATED: ("deflate", "deflate"), BZIP2: ("bzip2", "bzip2"), LZMA: ("lzma", None), XZ: ("xz", "xz")}


class Decoder:
    """Opens the contents of one archive. The last one is kept: it is asked for by size, by checksum and as a stream."""

    __slots__ = ("_last", "source")

    def __init__(self, source: Source) -> None:
        self.source = source
        self._last: tuple[int, Source] | None = None

    def open(self, start: int, stop: int, method: int, budget: Budget) -> Source:
        """Return the decoded content of a member. Raises FormatError and LimitError."""
        last = self._last
        if last is not None and last[0] == start:
            return last[1]
        found = self._decode(start, stop, method, budget)
        self._last = (start, found)
        return found

    def _decode(self, start: int, stop: int, method: int, budget: Budget) -> Source:
        if method == DEFLATED and stop - start <= SMALL:
            engine = zlib.decompressobj(-15)
            try:
                data = engine.decompress(self.source.read(start, stop), OUTPUT)
            except zlib.error as error:
                raise FormatError(f"the deflate stream is damaged ({error})") from error
            if engine.eof and not engine.unused_data:
                budget.spend(len(data))
                return Bytes(data)
        if method not in NAMES:
            raise FormatError(f"method {method} ({METHODS.get(method, 'unknown')}) is not supported")
        return spool(_decoded(Slice(self.source, start, stop), method), budget)


def peek(raw: bytes) -> tuple[bytes, bool]:
    """Return the first HEAD bytes of a deflated content, and whether these are all. Raises FormatError."""
    engine = zlib.decompressobj(-15)
    try:
        # Deflate adds next to nothing to what it cannot compress.
        head = engine.decompress(raw[: HEAD + SLACK], HEAD)
    except zlib.error as error:
        raise FormatError(f"the deflate stream is damaged ({error})") from error
    whole = engine.eof and not engine.unused_data and len(raw) <= HEAD + SLACK
    if len(head) < HEAD and not whole:
        raise FormatError("the deflate stream is cut off")
    return head, whole


def _engine(source: Source, method: int) -> tuple[Any, int]:
    """Return a decoder, and where in the stream its input starts."""
    if method == DEFLATED:
        return zlib.decompressobj(-15), 0
    if method == BZIP2:
        import bz2

        return bz2.BZ2Decompressor(), 0
    import lzma

    if method == XZ:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ), 0
    head = source.read(0, 9)
    if len(head) < 9 or head[2:4] != b"\5\0" or head[4] >= 225:
        raise FormatError("the LZMA properties are damaged")
    lclp, pb = head[4] % 45, head[4] // 45
    dictionary = max(int.from_bytes(head[5:9], "little"), 4096)
    filters = [
        {"id": lzma.FILTER_LZMA1, "dict_size": min(dictionary, 1 << 30), "lc": lclp % 9, "lp": lclp // 9, "pb": pb}
    ]
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters), 9


def _decoded(source: Source, method: int) -> Iterator[bytes]:
    name = NAMES[method][0]
    try:
        engine = yield from _run(source, method)
    except FormatError:
        raise
    except Exception as error:
        # zlib.error, lzma.LZMAError and OSError (bz2) have nothing in common.
        raise FormatError(f"the {name} stream is damaged ({error})") from error
    # LZMA in zip may end without a marker: then its length is all that tells.
    if (not engine.eof and method != LZMA) or engine.unused_data:
        raise FormatError(f"the {name} stream and its member do not end together")


def _run(source: Source, method: int) -> Generator[bytes, None, Any]:
    """Yield what a stream decodes to, up to its end or that of the source; return the decoder."""
    engine, start = _engine(source, method)
    for piece in chunks(source, start):
        if engine.eof:
            raise FormatError("bytes follow the encoded stream of a member")
        data = piece
        while True:
            output = engine.decompress(data, OUTPUT)
            if output:
                yield output
            data = engine.unconsumed_tail if method == DEFLATED else b""
            if engine.eof or (not data if method == DEFLATED else engine.needs_input):
                break
    return engine
