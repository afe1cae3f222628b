"""Streams: bytes with random access, from memory, a file, or a slice of either."""

import os
import stat
from collections.abc import Iterable, Iterator
from typing import IO, Protocol

from reprodiff.budget import Budget
from reprodiff.errors import ReprodiffError

BLOCK = 1 << 16
BLOCKS = 32
LARGE = 1 << 12
# Larger pieces are slower: the allocator then takes fresh pages from the system for each of them.
CHUNK = 1 << 17
# Files up to this size are read as a whole: an archive's members are looked at in the order of another one.
WHOLE = 32 << 20


class Source(Protocol):
    """Read-only bytes with random access."""

    @property
    def size(self) -> int:
        """Length in bytes."""

    def read(self, start: int, stop: int, /) -> bytes:
        """Return the bytes of [start, stop), cut at the end of the stream."""


class Bytes:
    """A stream held in memory."""

    __slots__ = ("data", "size")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)

    def read(self, start: int, stop: int, /) -> bytes:
        return self.data[start:stop]


class File:
    """A stream read from a file descriptor by position.

    Small reads come from cached blocks: an archive's headers are read in order, and in the order of another one.
    Not mapped into memory: a file that shrinks while it is read gives short reads, not a signal.
    """

    __slots__ = ("_blocks", "_descriptor", "_file", "size")

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self._descriptor = file.fileno()
        self._blocks: dict[int, bytes] = {}
        self.size = size

    def read(self, start: int, stop: int, /) -> bytes:
        if stop > self.size:
            stop = self.size
        number = start // BLOCK
        at = start - number * BLOCK
        width = stop - start
        if at + width > BLOCK:
            return self._read_all(start, width)
        # Two threads may share a File: either finds a whole block or reads one.
        block = self._blocks.get(number)
        if block is None:
            if width >= LARGE:
                # Whole contents are mostly read once, and in any order.
                return self._read_all(start, width)
            block = self._read_all(number * BLOCK, min(BLOCK, self.size - number * BLOCK))
            if len(self._blocks) >= BLOCKS:
                self._blocks = {}
            self._blocks[number] = block
        return block[at : at + width] if width > 0 else b""

    def _read_all(self, start: int, size: int) -> bytes:
        data = os.pread(self._descriptor, max(size, 0), start)
        while len(data) < size:
            more = os.pread(self._descriptor, size - len(data), start + len(data))
            if not more:
                break
            data += more
        return data


class Slice:
    """A span of another stream as a stream of its own."""

    __slots__ = ("_source", "_start", "size")

    def __init__(self, source: Source, start: int, stop: int) -> None:
        self._source = source
        self._start = start
        self.size = max(0, min(stop, source.size) - start)

    def read(self, start: int, stop: int, /) -> bytes:
        if stop > self.size:
            stop = self.size
        return self._source.read(self._start + start, self._start + stop)


def open_file(path: str) -> Source:
    """Open a regular file, or read a pipe or device to its end into a temporary file.

    Raises ReprodiffError with a sentence when the file is missing, unreadable or a directory.
    """
    try:
        file = open(path, "rb", buffering=0)
        mode = os.fstat(file.fileno())
        if stat.S_ISREG(mode.st_mode):
            if mode.st_size <= WHOLE:
                with file:
                    return Bytes(file.read(WHOLE + 1))
            return File(file, mode.st_size)
        with file:
            return spool(iter(lambda: file.read(CHUNK), b""), Budget())
    except OSError as error:
        raise ReprodiffError(f"{path}: {(error.strerror or str(error)).lower()}") from error


def spool(chunks: Iterable[bytes], budget: Budget) -> Source:
    """Keep what a decoder produces: in memory up to `budget.memory` bytes, then in an unnamed temporary file."""
    parts: list[bytes] = []
    size = 0
    rest = iter(chunks)
    for chunk in rest:
        budget.spend(len(chunk))
        parts.append(chunk)
        size += len(chunk)
        if size > budget.memory:
            return _spool_to_file(parts, rest, budget)
    return Bytes(parts[0] if len(parts) == 1 else b"".join(parts))


def _spool_to_file(parts: list[bytes], rest: Iterator[bytes], budget: Budget) -> Source:
    import tempfile

    file = tempfile.TemporaryFile(buffering=0)
    size = 0
    for part in parts:
        size += _write_all(file, part)
    parts.clear()
    for chunk in rest:
        budget.spend(len(chunk))
        size += _write_all(file, chunk)
    return File(file, size)


def _write_all(file: IO[bytes], data: bytes) -> int:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
    return len(data)


def chunks(source: Source, start: int = 0, stop: int | None = None, size: int = CHUNK) -> Iterator[bytes]:
    """Yield the bytes of [start, stop) in pieces of at most `size` bytes."""
    end = source.size if stop is None else stop
    while start < end:
        piece = source.read(start, min(start + size, end))
        if not piece:
            return
        yield piece
        start += len(piece)


def same(left: Source, right: Source) -> bool:
    """Compare two streams as bytes."""
    if left.size != right.size:
        return False
    if isinstance(left, Bytes) and isinstance(right, Bytes):
        return left.data == right.data
    for at in range(0, left.size, CHUNK):
        if left.read(at, at + CHUNK) != right.read(at, at + CHUNK):
            return False
    return True
