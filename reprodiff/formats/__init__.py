"""The formats that reprodiff partitions, in probe order. One module a format; facts, no opinions."""

from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple

from reprodiff.budget import Budget
from reprodiff.errors import FormatError
from reprodiff.sources import Source
from reprodiff.tree import Group

HEAD = 4096


class Hunk(NamedTuple):
    """A pair of spans that correspond in streams which are aligned by content, and what to call the place."""

    key: str
    left: tuple[int, int]
    right: tuple[int, int]


class Format(NamedTuple):
    """What a module in this package brings as `FORMAT`.

    parse   bytes to a tree; raises FormatError when the bytes break the specification
    hunks   aligns two streams whose parts have no names (text); None where the tree aligns by name
    """

    name: str
    spec: str
    parse: Callable[[Source, Budget], Group]
    hunks: Callable[[bytes, bytes], list[Hunk]] | None = None


class Entry(NamedTuple):
    """One row of the registry: enough to recognize a format without importing it.

    magics  (offset, bytes) pairs, one of which must match; () for formats that `probe` alone decides
    probe   name of a function of the module, (head, source) -> bool, asked after the magics
    depth   what `reprodiff formats` says about how far it is understood
    payload whether such a file is a compressor's: one encoded stream, whatever is around it
    """

    name: str
    magics: tuple[tuple[int, bytes], ...]
    depth: str
    probe: str = ""
    payload: bool = False

    @property
    def module(self) -> str:
        return f"reprodiff.formats.{self.name}"


FORMATS: tuple[Entry, ...] = (
    Entry(
        "gzip", ((0, b"\x1f\x8b\x08"),), "every header field and flag, several members; payload entered", payload=True
    ),
    # A v7 header has no magic, but like all others a checksum that ends in NUL, space, or both.
    Entry("tar", ((257, b"ustar"), (154, b"\0 "), (154, b" \0"), (155, b"\0")), "v7, ustar, GNU, pax; every field and record; members entered", "probe"),
    # Last: whatever reads as text and is nothing else.
    Entry("text", (), "lines; order, line ends and white space recognized", "probe"),
)


def identify(source: Source, head: bytes | None = None) -> Entry | None:
    """Return the registry entry of the format that a stream looks like, None for plain bytes."""
    if head is None:
        head = source.read(0, HEAD)
    for entry in FORMATS:
        if entry.magics and not any(head.startswith(magic, at) for at, magic in entry.magics):
            continue
        if entry.probe and not getattr(import_module(entry.module), entry.probe)(head, source):
            continue
        return entry
    return None


def load(entry: Entry) -> Format:
    """Import a format's module and return its description."""
    found: Format = import_module(entry.module).FORMAT
    return found


def parse(entry: Entry, source: Source, budget: Budget) -> Group:
    """Return the tree of a stream. Raises FormatError or LimitError, nothing else, whatever the bytes are."""
    try:
        return load(entry).parse(source, budget)
    except (ValueError, IndexError, KeyError, OverflowError) as error:
        raise FormatError(f"not a well-formed {entry.name} stream ({error})") from error
