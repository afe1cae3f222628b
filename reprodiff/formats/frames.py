"""What the formats of compressors share: streams (frames, members) one after another that decode to one content."""

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

from reprodiff.budget import Budget
from reprodiff.codecs import LE, LE_HEX
from reprodiff.errors import FormatError, LimitError, MissingLibraryError
from reprodiff.sources import Source
from reprodiff.tree import Group, Leaf, Node, Refs, Role, listed

FIRST = 1 << 12
INPUT = 1 << 18
OUTPUT = 1 << 20

# Skippable frames belong to the formats of Zstandard and LZ4 alike: magic 0x184D2A50 to 0x184D2A5F, size, user data.
SKIPPABLE = b"\x2a\x4d\x18"
SKIPPABLE_HEAD = 8


def library(name: str, needed: str, package: str, debian: str) -> Any:
    """Import a third-party module. needed: what it is for; package, debian: who brings it.

    Raises MissingLibraryError when it, or the shared library that it wraps, is not installed.
    """
    try:
        return import_module(name)
    except (ImportError, OSError, AttributeError, TypeError) as error:
        raise MissingLibraryError(
            f"{needed} is not opened for want of a library: install {package} (Debian: {debian})"
        ) from error


def accepted(raw: bytes, _refs: Refs, /) -> bytes:
    """`derive` of what only the decoder can check, and has: a tree is made of streams that it decoded to the end."""
    return raw


class Frames:
    """Decodes the streams that begin at `start`, one after another, and notes where each lies.

    make    makes a decoder of one stream, as those of `lzma` and `bz2`
    begins  tells where a stream begins that follows at an offset, None where none does
    errors  what the decoder raises for damaged bytes
    spans   (start, stop, decoded size) of each stream that was decoded
    """

    def __init__(
        self,
        source: Source,
        start: int,
        make: Callable[[], Any],
        begins: Callable[[int], int | None],
        errors: tuple[type[Exception], ...],
        budget: Budget,
    ) -> None:
        self.source = source
        self.stop = start
        self.make = make
        self.begins = begins
        self.errors = errors
        self.budget = budget
        self.spans: list[tuple[int, int, int]] = []

    def run(self) -> Iterator[bytes]:
        """Yield the decoded bytes. Raises FormatError for damage, LimitError for a stream that needs too much memory."""
        while (start := self.begins(self.stop)) is not None:
            self.budget.count(1)
            self.budget.check_time()
            yield from self._one(start)

    def _one(self, start: int) -> Iterator[bytes]:
        decoder = self.make()
        at, want, made = start, FIRST, 0
        while not decoder.eof:
            piece = b""
            if decoder.needs_input:
                piece = self.source.read(at, at + want)
                if not piece:
                    raise FormatError("the compressed stream is cut off")
                at += len(piece)
                want = min(2 * want, INPUT)
            try:
                output = decoder.decompress(piece, OUTPUT)
            except MemoryError as error:
                raise LimitError("the compressed stream asks for too much memory") from error
            except self.errors as error:
                if "memory usage limit" in str(error).lower():
                    raise LimitError(f"the compressed stream asks for too much memory ({error})") from error
                raise FormatError(f"the compressed stream is damaged ({error})") from error
            if output:
                made += len(output)
                yield output
        self.stop = at - len(decoder.unused_data or b"")
        self.spans.append((start, self.stop, made))


def skippable(source: Source, at: int) -> int | None:
    """Return the end of a skippable frame, None where there is none or it is cut off."""
    head = source.read(at, at + SKIPPABLE_HEAD)
    if len(head) < SKIPPABLE_HEAD or head[1:4] != SKIPPABLE or head[0] & 0xF0 != 0x50:
        return None
    stop = at + SKIPPABLE_HEAD + int.from_bytes(head[4:], "little")
    return stop if stop <= source.size else None


def tree(name: str, title: str, source: Source, budget: Budget, run: Callable[[int], Leaf | None]) -> Group:
    """Return the tree of a file of frames and skippable frames; what is neither ends it and is a leaf `trailing`.

    title: the format as people call it; run: decodes the frames in a row that begin at an offset to one payload, None where none begins there.
    Raises FormatError where there is no frame at all.
    """
    nodes: list[Node] = []
    payloads: dict[int, bytes] = {}
    at = 0
    while at < source.size:
        node: Node | None = run(at)
        if node is not None:
            payloads[id(node)] = b"%d" % (len(payloads) + 1)
        else:
            stop = skippable(source, at)
            if stop is None:
                break
            budget.count(1)
            node = skippable_frame(at, stop)
        nodes.append(node)
        at = node.stop
    if not payloads:
        raise FormatError(f"no {title} frame at the start")
    if len(payloads) > 1:
        nodes = [
            Group("frames", node.start, node.stop, listed([node]), payloads[id(node)]) if id(node) in payloads else node
            for node in nodes
        ]
    if at < source.size:
        nodes.append(Leaf("trailing", at, source.size))
    return Group(name, 0, source.size, listed(nodes))


def skippable_frame(at: int, stop: int) -> Group:
    """Return the tree of a skippable frame."""
    data = Leaf("user data", at + SKIPPABLE_HEAD, stop)
    return Group(
        "skippable",
        at,
        stop,
        listed(
            [
                Leaf("magic number", at, at + 4, Role.VALUE, LE_HEX),
                Leaf("frame size", at + 4, at + 8, Role.DERIVED, LE, derive=_derive_size, refs={"data": data}),
                data,
            ]
        ),
        str(at).encode(),
    )


def _derive_size(_raw: bytes, refs: Refs) -> bytes:
    return refs.size("data").to_bytes(4, "little")


def leads_to(source: Source, magics: tuple[bytes, ...]) -> bool:
    """Tell whether a frame with one of these magics is the first after any skippable ones; looks past a few."""
    at = 0
    for _ in range(16):
        stop = skippable(source, at)
        if stop is None:
            return source.read(at, at + 4) in magics
        at = stop
    return False


def human(size: int) -> str:
    """Show a size in bytes in the largest binary unit that it is a multiple of."""
    for bits, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if size >> bits and not size & ((1 << bits) - 1):
            return f"{size >> bits} {unit}"
    return f"{size} bytes"
