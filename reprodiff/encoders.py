"""The encoders whose bytes are part of what reprodiff promises, and the recognition of other people's.

A *canonical encoding* is one byte string for one plain text: on every host, for any number of threads and however the
input is cut into pieces. No library promises that of its output, so each encoder first encodes a known text here and
compares: a host whose library writes other bytes is refused with `NormalizeError`. There is no fallback to other bytes.

| name    | canonical encoding                                              | nothing gives             |
|---------|-----------------------------------------------------------------|---------------------------|
| deflate | classic zlib, raw, level 6, memLevel 8, in chunks of 1 MiB      | 03 00, one empty block    |
| xz      | liblzma, .xz, preset 6, CRC64, one block                        | 32 bytes, no block        |
| bzip2   | libbzip2, level 9                                               | 14 bytes, no block        |
| zstd    | libzstd `ZSTD_VERSION` and no other, level 3, checksum, one frame of unknown size | 13 bytes, an empty block |

Every encoder takes the plain text as an iterable of byte strings and gives pieces of output, at most a few MiB of
either in memory beside what the caller holds. What the iterable raises passes through.
"""

import functools
import sys
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from reprodiff.errors import NormalizeError

DEFLATE_CHUNK = 1 << 20
"""Plain bytes of each independently compressed chunk; part of the canonical encoding."""
DEFLATE_WINDOW = 32 << 10
"""Plain bytes before a chunk that it may refer to; part of the canonical encoding."""
ZSTD_VERSION = "1.5.7"

LABELS = {
    "deflate": "zlib level 6 in 1 MiB chunks",
    "xz": "liblzma preset 6, CRC64, one block",
    "bzip2": "libbzip2 level 9",
    "zstd": f"libzstd {ZSTD_VERSION} level 3",
}
"""Encoder name to the words that a report uses for it."""

CANARY_SHA256 = {
    "deflate": "3a6bde802262d8883b7bf8642028d544a263a50f55e862de60632b2826c72ecf",
    "xz": "6eae0d0a12ed6221dc29e6e975be78a76d9aa25fadf9b917caabc62098b563ca",
    "bzip2": "48f20b6d03f92c4c000eae3c24bf0a10db4bc171209c5774d24b839edcdede21",
    "zstd": "74a9ba6bf70c43d0ee8c02ce348e4c38003fb0d41450b77dc4dcb30262c8575c",
}
"""Encoder name to the SHA-256 of the canonical encoding of the canary, in hex."""

LEVELS = (6, 9, 1, 5, 7, 8, 2, 3, 4)
"""zlib levels, the likely ones first."""
PREFIX_MIN = 32 << 10
"""Bytes of deflate that have to agree before a stream that was not compared to its end is given a name."""
PREFIX = 256 << 10
"""Bytes of deflate by which levels are told apart."""
VERIFY = 4 << 20
"""Plain bytes over which a level is verified."""

_PIECE = 64 << 10
_CANARY_SIZE = 80_000
_CANARY_CUT = 16_000
_WORDS = (
    b"the build of a file is made from its source and not where when by whom it was; "
    b"Makefile: int main(void) { return 0; } /usr/lib 0x7f"
)

_Job = tuple[bytes, bytes, bool]


def deflate(chunks: Iterable[bytes], *, threads: int = 2) -> Iterator[bytes]:
    """Canonical raw deflate of the joined chunks, on so many threads; the bytes do not depend on their number.

    The plain text is cut every DEFLATE_CHUNK bytes; a chunk is compressed with the DEFLATE_WINDOW bytes before it as
    its dictionary and ends in a sync flush, the last one in the final block. So any inflater reads the whole as one
    stream, and up to 1 MiB it is what classic zlib writes at level 6.

    Raises NormalizeError, at once, where this host's zlib writes other bytes; ValueError for less than one thread.
    """
    if threads < 1:
        raise ValueError(f"{threads} threads cannot compress anything")
    check("deflate")
    return _deflate(_jobs(chunks), threads)


def deflate_bytes(data: bytes, *, threads: int = 2) -> bytes:
    """Canonical raw deflate of data; as `deflate`."""
    return b"".join(deflate((data,), threads=threads))


def xz(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Canonical .xz file of the joined chunks. Raises NormalizeError, at once, where liblzma writes other bytes."""
    check("xz")
    return _stream(_xz_engine(), chunks)


def bzip2(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Canonical .bz2 file of the joined chunks. Raises NormalizeError, at once, where libbzip2 writes other bytes."""
    check("bzip2")
    return _stream(_bzip2_engine(), chunks)


def zstd(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Canonical .zst file of the joined chunks, as stable as ZSTD_VERSION is widespread: other versions write others.

    Raises NormalizeError, at once, where libzstd is missing, has another version or writes other bytes.
    """
    check("zstd")
    return _stream(_zstd_engine(), _blocks(chunks, DEFLATE_CHUNK))


@functools.cache
def check(name: str) -> None:
    """Known-answer test of the encoder called name (a key of LABELS), once per process, at the level that is used.

    Raises NormalizeError where this host has no such library or one that writes other bytes; KeyError for other names.
    """
    import hashlib

    expected = CANARY_SHA256[name]
    try:
        output = _canary_output(name)
    except ImportError as error:
        raise NormalizeError(f"{name} cannot be written here: this Python lacks the library ({error})") from error
    if hashlib.sha256(output).hexdigest() != expected:
        raise NormalizeError(
            f"{name} is not written here: {_library(name)} gives other bytes than {LABELS[name]} does elsewhere"
        )


def identify_deflate(raw: bytes, plain: bytes, *, complete: bool = True, levels: Iterable[int] = LEVELS) -> str | None:
    """Which encoder wrote a raw deflate stream: found by compressing its plain text again and comparing.

    raw and plain are the whole stream and all that it decodes to; with complete=False both are beginnings of these,
    raw of 256 KiB or more, and plain at least what raw decodes to. levels restricts the zlib levels that are tried.
    Cost of all levels: 0.5 ms for 5 kB, up to 100 ms for any size where none fits, up to 300 ms where one has to be
    verified. The plain text is not checked against raw: a wrong one gives None.

    - ``zlib level 6``, ``zlib level 8-9``: that level, or these that were not told apart: by the whole of a stream of
      up to PREFIX bytes, else by its first PREFIX bytes. At least one of them holds over VERIFY plain bytes (for a
      shorter text: over all of it), so encoders that cut blocks earlier, as pigz does, are not mistaken for zlib;
    - ``zlib level 6 memLevel 9``: the same with larger blocks, where memLevel 8 does not fit;
    - the label of the canonical encoding, for more than one of its chunks;
    - ``stored``: not compressed at all, and not by zlib at levels 1 to 9;
    - None: any other encoder, too little of a stream to tell, or no classic zlib on this host to compare with.

    A name says whose bytes these are, not who wrote them: short or incompressible texts come out the same at many
    levels (``zlib level 1-9``), and from other encoders too.
    """
    stream = _Stream(raw, plain, complete)
    return _zlib_name(stream, tuple(levels)) or ("stored" if _is_stored(raw, complete) else None)


def _blocks(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The joined chunks, cut every size bytes; the last block is shorter, never empty."""
    parts: list[bytes] = []
    missing = size
    for chunk in chunks:
        at = 0
        while at < len(chunk):
            part = chunk[at : at + missing]
            parts.append(part)
            at += len(part)
            missing -= len(part)
            if not missing:
                yield b"".join(parts)
                parts, missing = [], size
    if parts:
        yield b"".join(parts)


def _jobs(chunks: Iterable[bytes]) -> Iterator[_Job]:
    """(plain chunk, dictionary, whether it is the last) for each chunk of canonical deflate; at least one."""
    dictionary = held = b""
    for block in _blocks(chunks, DEFLATE_CHUNK):
        if held:
            yield held, dictionary, False
            dictionary = held[-DEFLATE_WINDOW:]
        held = block
    yield held, dictionary, True


def _deflate_chunk(plain: bytes, dictionary: bytes, last: bool) -> bytes:
    if dictionary:
        engine = zlib.compressobj(6, zlib.DEFLATED, -15, 8, zlib.Z_DEFAULT_STRATEGY, dictionary)
    else:
        engine = zlib.compressobj(6, zlib.DEFLATED, -15, 8, zlib.Z_DEFAULT_STRATEGY)
    return engine.compress(plain) + engine.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)


def _deflate(jobs: Iterator[_Job], threads: int) -> Iterator[bytes]:
    first = next(jobs)
    alone = first[2]
    if alone or threads == 1:
        yield _deflate_chunk(*first)
        for job in jobs:
            yield _deflate_chunk(*job)
    else:
        from itertools import chain

        yield from _in_order(chain((first,), jobs), threads)


def _in_order(jobs: Iterable[_Job], threads: int) -> Iterator[bytes]:
    """Compress the jobs on threads and give the results in order; at most two jobs a thread are in memory.

    The jobs are made on the caller's thread. An abandoned iterator finishes the jobs that were begun, then its threads.
    """
    from collections import deque
    from queue import SimpleQueue
    from threading import Thread

    tasks: SimpleQueue[tuple[_Job, SimpleQueue[Any]] | None] = SimpleQueue()
    answers: deque[SimpleQueue[Any]] = deque()
    workers = [Thread(target=_work, args=(tasks,), daemon=True) for _ in range(threads)]
    for worker in workers:
        worker.start()
    try:
        for job in jobs:
            answers.append(SimpleQueue())
            tasks.put((job, answers[-1]))
            if len(answers) == 2 * threads:
                yield _answer(answers.popleft())
        while answers:
            yield _answer(answers.popleft())
    finally:
        for _ in workers:
            tasks.put(None)
        for worker in workers:
            worker.join()


def _work(tasks: Any) -> None:
    """Answer tasks, each with the compressed chunk or the exception, until None comes."""
    while (task := tasks.get()) is not None:
        job, answer = task
        try:
            answer.put(_deflate_chunk(*job))
        except BaseException as error:  # noqa: BLE001 - raised again on the thread that asked
            answer.put(error)


def _answer(answer: Any) -> bytes:
    result = answer.get()
    if isinstance(result, BaseException):
        raise result
    return bytes(result)


def _stream(engine: Any, chunks: Iterable[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        output = engine.compress(chunk)
        if output:
            yield output
    yield engine.flush()


def _xz_engine() -> Any:
    import lzma

    return lzma.LZMACompressor(lzma.FORMAT_XZ, lzma.CHECK_CRC64, 6)


def _bzip2_engine() -> Any:
    import bz2

    return bz2.BZ2Compressor(9)


def _zstd_module() -> Any:
    from importlib import import_module

    return import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")


def _zstd_engine() -> Any:
    library = _zstd_module()
    parameter = library.CompressionParameter
    return library.ZstdCompressor(options={parameter.compression_level: 3, parameter.checksum_flag: 1})


def _library(name: str) -> str:
    """The library behind an encoder and its version, as far as it tells."""
    if name == "deflate":
        return f"zlib {zlib.ZLIB_RUNTIME_VERSION}"
    if name == "zstd":
        return f"libzstd {_zstd_module().zstd_version}"
    return {"xz": "liblzma", "bzip2": "libbzip2"}[name]


def _canary() -> bytes:
    """About 80 kB, always the same: words, records of few values, and noise, in turn."""
    import hashlib

    words = _WORDS.split(b" ")
    skewed = bytes(min(code & 15, code >> 4) for code in range(256))
    parts: list[bytes] = []
    size = number = 0
    while size < _CANARY_SIZE:
        noise = b"".join(hashlib.sha256(b"%d %d" % (number, part)).digest() for part in range(32))
        text = b" ".join([words[code % len(words)] for code in noise]) + b"\n"
        parts += (text, noise.translate(skewed), noise[:256])
        size += len(text) + len(noise) + 256
        number += 1
    return b"".join(parts)[:_CANARY_SIZE]


def _canary_output(name: str) -> bytes:
    canary = _canary()
    if name == "deflate":
        head, rest = canary[:_CANARY_CUT], canary[_CANARY_CUT:]
        return _deflate_chunk(head, b"", False) + _deflate_chunk(rest, head, True)
    if name == "xz":
        canary = canary[: _CANARY_SIZE // 2]  # liblzma takes a quarter of a millisecond for each kB
    engine = {"xz": _xz_engine, "bzip2": _bzip2_engine, "zstd": _zstd_engine}[name]()
    return b"".join(_stream(engine, (canary,)))


class _Stream(NamedTuple):
    """What is to be recognized: the arguments of `identify_deflate`."""

    raw: bytes
    plain: bytes
    complete: bool


class _Trial:
    """The stream's plain text being compressed at one level, as long as that gives the stream's bytes.

    at: plain bytes compressed; out: bytes of deflate that agreed; ended: the whole stream agreed.
    """

    def __init__(self, stream: _Stream, level: int, memory: int) -> None:
        self.stream = stream
        self.level = level
        self.at = self.out = 0
        self.ended = False
        self.engine = zlib.compressobj(level, zlib.DEFLATED, -15, memory)

    def agrees(self, most: int) -> bool:
        """Go on until most bytes of deflate or VERIFY plain bytes are reached; whether all agreed.

        Before the end of the text zlib gives nothing but whole blocks, so comparing what it gives is exact.
        """
        raw, plain, complete = self.stream
        if not complete:
            most = min(most, len(raw))
        while not self.ended and self.at < min(len(plain), VERIFY) and self.out < most:
            piece = plain[self.at : self.at + _PIECE]
            if not self._compare(self.engine.compress(piece)):
                return False
            self.at += len(piece)
        if complete and self.at == len(plain) and not self.ended:
            self.ended = self._compare(self.engine.flush()) and self.out == len(raw)
            return self.ended
        return self.ended or self.out >= PREFIX_MIN

    def _compare(self, output: bytes) -> bool:
        there = self.stream.raw[self.out : self.out + len(output)]
        self.out += len(there)
        return output == there or (not self.stream.complete and output.startswith(there))


def _zlib_name(stream: _Stream, levels: tuple[int, ...]) -> str | None:
    """The name of the zlib level, or of the canonical encoding, that gives the stream."""
    if not _classic_zlib():
        return None
    for memory in (8, 9):
        trials = [_Trial(stream, level, memory) for level in levels]
        found = [trial for trial in trials if trial.agrees(PREFIX)]
        while found and not found[0].agrees(sys.maxsize):
            del found[0]
        if found:
            return "zlib level " + _ranges([trial.level for trial in found]) + (" memLevel 9" if memory == 9 else "")
        if any(trial.level == 6 and trial.at >= DEFLATE_CHUNK for trial in trials) and _is_canonical(stream):
            return LABELS["deflate"]
    return None


def _classic_zlib() -> bool:
    try:
        check("deflate")
    except NormalizeError:
        return False
    return True


def _is_canonical(stream: _Stream) -> bool:
    """Whether the stream is canonical deflate, by its first VERIFY plain bytes."""
    raw, plain, complete = stream
    to_end = complete and len(plain) <= VERIFY
    out = 0
    for chunk, dictionary, last in _jobs((plain[: VERIFY + 1],)):
        if (last and not to_end) or (out == len(raw) and not complete):
            break
        output = _deflate_chunk(chunk, dictionary, last)
        there = raw[out : out + len(output)]
        if output != there and (complete or not output.startswith(there)):
            return False
        out += len(there)
    return out == len(raw) if to_end else out >= PREFIX_MIN


def _ranges(numbers: list[int]) -> str:
    """Write numbers as ranges: [6, 9, 1, 8] is 1, 6, 8-9."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(f"{first}-{last}" if first < last else str(first) for first, last in runs)


def _is_stored(raw: bytes, complete: bool) -> bool:
    """Whether a deflate stream, or the given beginning of one, has only stored blocks."""
    at = 0
    while at + 5 <= len(raw):
        final, kind = raw[at] & 1, raw[at] >> 1 & 3
        size = int.from_bytes(raw[at + 1 : at + 3], "little")
        if kind or size ^ int.from_bytes(raw[at + 3 : at + 5], "little") != 0xFFFF:
            return False
        at += 5 + size
        if final:
            return at == len(raw)
    return at > 0 and not complete
