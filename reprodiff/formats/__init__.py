"""The formats that reprodiff partitions, in probe order. One module a format; facts, no opinions."""

from collections.abc import Callable
from functools import cache, lru_cache
from importlib import import_module
from typing import NamedTuple, Protocol

from reprodiff.budget import Budget
from reprodiff.codecs import Codec
from reprodiff.errors import FormatError
from reprodiff.sources import Source
from reprodiff.spans import Span
from reprodiff.tree import Group, Leaf, Node, Record

HEAD = 4096
TAIL = 22 + 0xFFFF
CLASS = b"\xca\xfe\xba\xbe"
# How scripts start that shells and the command interpreter of Windows run: these do have archives behind them.
SCRIPTS = (b"#!", b"@", b":", b"rem", b"Rem", b"REM")


class Hunk(NamedTuple):
    """A pair of spans that correspond in streams which are aligned by content, and what to call the place."""

    key: str
    left: tuple[int, int]
    right: tuple[int, int]


class Walk(Protocol):
    """What a format with its own way to compare is handed: both streams, and where to put what it finds.

    Every byte that differs must be put into exactly one change, follow or payload; sizes count as in
    `spans.differing`. Places are path patterns that start with the format's name.
    """

    left: Source
    right: Source
    budget: Budget

    def nodes(self, one: Node, two: Node, where: str, keys: tuple[bytes, ...], /) -> None:
        """Compare two nodes as any tree is compared; where: the place of these nodes."""

    def alone(self, one: Node | None, two: Node | None, where: str, keys: tuple[bytes, ...], /) -> None:
        """Note a node that one side alone has."""

    def put(
        self,
        where: str,
        keys: tuple[bytes, ...],
        left: Span | None,
        right: Span | None,
        codec: Codec,
        /,
        *,
        runs: list[tuple[Span, Span]] | None = None,
        shown: tuple[str, str] | None = None,
    ) -> None:
        """Note a change: spans of both sides whose bytes differ, None for a side that has nothing there.

        runs: the parts of these spans that are the change, where the rest is noted elsewhere; shown: both sides
        for people, where the bytes alone say little."""

    def fields(self, one: Record, two: Record, a: bytes, b: bytes, where: str, keys: tuple[bytes, ...], /) -> None:
        """Compare the fields of two records of one table; a, b: their bytes; where: their place."""

    def value(
        self,
        where: str,
        keys: tuple[bytes, ...],
        at: tuple[int, int],
        left: bytes,
        right: bytes,
        codec: Codec,
        /,
        *,
        follows: bool = False,
    ) -> None:
        """Note a field of one size on both sides that differs. at: where it starts on either side; follows: whether
        it is DERIVED and was seen to hold on both."""

    def put_follow(self, where: str, keys: tuple[bytes, ...], left: Span, right: Span, codec: Codec, /) -> None:
        """Note a difference that follows from others and was seen to hold on both sides."""

    def put_follows(self, where: str, count: int, size: int, left: Span, right: Span, /) -> None:
        """Note many such differences at once: how many, how many bytes, and the first as an example."""

    def put_order(self, where: str, left: list[bytes], right: list[bytes], /) -> None:
        """Note what both sides have in another order: the keys as each side has them."""

    def enter(self, one: Leaf, two: Leaf, where: str, left: Source, right: Source, /) -> "Walk | None":
        """Go on inside two payloads, decoded: what is put into the walk that this returns lies in them.

        None where the decoded streams are equal: the encoding is noted as the change."""

    def notice(self, kind: str, text: str, /) -> None:
        """Note what a person should know: kind as in the report."""


class Format(NamedTuple):
    """What a module in this package brings as `FORMAT`.

    parse   bytes to a tree; raises FormatError when the bytes break the specification
    hunks   aligns two streams whose parts have no names (text); None where the tree aligns by name
    walk    compares two trees where more than names and keys tells what corresponds (addresses); None: as any tree
    quick   compares two groups with a key that differ in what most such pairs differ in, without making their
            children; False, and nothing noted, where they have to be compared as any. What it notes must be what
            comparing their children would: it is there for archives of 100,000 members
    """

    name: str
    spec: str
    parse: Callable[[Source, Budget], Group]
    hunks: Callable[[bytes, bytes], list[Hunk]] | None = None
    walk: Callable[[Walk, Group, Group], None] | None = None
    quick: "Callable[[Walk, Group, Group, str, tuple[bytes, ...]], bool] | None" = None


class Entry(NamedTuple):
    """One row of the registry: enough to recognize a format without importing it.

    magics  (offset, bytes) pairs, one of which must match; () for formats that `probe` alone decides
    probe   name of a function of the module, (head, source) -> bool, asked after the magics
    depth   what `reprodiff formats` says about how far it is understood
    payload whether such a file is a compressor's: one encoded stream, whatever is around it
    tail    bytes that must lie in the last TAIL bytes, for formats that start with anything
    holds   bytes that must lie in the first HEAD bytes, so that nothing is imported to tell that they do not
    """

    name: str
    magics: tuple[tuple[int, bytes], ...]
    depth: str
    probe: str = ""
    payload: bool = False
    tail: bytes = b""
    holds: bytes = b""

    @property
    def module(self) -> str:
        return f"reprodiff.formats.{self.name}"


FORMATS: tuple[Entry, ...] = (
    Entry(
        "gzip", ((0, b"\x1f\x8b\x08"),), "every header field and flag, several members; payload entered", payload=True
    ),
    # A v7 header has no magic, but like all others a checksum that ends in NUL, space, or both.
    Entry(
        "tar",
        ((257, b"ustar"), (154, b"\0 "), (154, b" \0"), (155, b"\0")),
        "v7, ustar, GNU, pax; every field and record; members entered",
        "probe",
    ),
    Entry("xz", ((0, b"\xfd7zXZ\0"),), "headers, index, several streams; payload entered", payload=True),
    Entry("bzip2", ((0, b"BZh"),), "level, several streams; payload entered", "probe", payload=True),
    # Both may start with skippable frames, whose magic differs in its first byte.
    Entry(
        "zstd",
        ((0, b"\x28\xb5\x2f\xfd"), (1, b"\x2a\x4d\x18")),
        "frame headers, skippable frames; payload entered",
        "probe",
        payload=True,
    ),
    Entry(
        "lz4",
        ((0, b"\x04\x22\x4d\x18"), (0, b"\x02\x21\x4c\x18"), (1, b"\x2a\x4d\x18")),
        "frame headers, skippable and legacy frames; payload entered",
        "probe",
        payload=True,
    ),
    Entry(
        "rcc",
        tuple((0, b"qres\0\0\0" + bytes([version])) for version in (1, 2, 3)),
        "Qt resources, versions 1 to 3: nodes, names, data; contents entered",
    ),
    Entry(
        "elf",
        ((0, b"\x7fELF"),),
        "headers, sections, symbols, relocations, notes, DWARF units; code and data by what they refer to",
    ),
    Entry(
        "pe",
        ((0, b"MZ"), (0, b"\x64\x86"), (0, b"\x4c\x01"), (0, b"\x64\xaa"), (0, b"\xc4\x01"), (0, b"\0\0\xff\xff")),
        "images and objects: headers, sections, symbols, debug, export, import and resource directories, certificates;"
        " code and data by what they refer to",
        "probe",
    ),
    Entry(
        "macho",
        (
            (0, b"\xcf\xfa\xed\xfe"),
            (0, b"\xce\xfa\xed\xfe"),
            (0, b"\xfe\xed\xfa\xcf"),
            (0, b"\xfe\xed\xfa\xce"),
            (0, b"\xca\xfe\xba\xbe"),
            (0, b"\xca\xfe\xba\xbf"),
        ),
        "load commands, sections, symbols, code signature; the files of a fat binary entered;"
        " code and data by what they refer to",
        "probe",
    ),
    # The magic of ISO 9660 lies behind the head; `lzma` has none, but likely numbers: after all that have one.
    Entry(
        "archive",
        (),
        "7z, cab, iso9660, rar, xar, lha, warc: members through libarchive, the container as bytes",
        "probe",
    ),
    Entry("lzma", (), "properties, sizes; payload entered", "probe", payload=True),
    Entry(
        "zip",
        ((0, b"PK\3\4"), (0, b"PK\5\6")),
        "every field of headers, extra fields, directory, zip64; signing block; members entered",
    ),
    Entry(
        "ar",
        ((0, b"!<arch>\n"), (0, b"!<thin>\n")),
        "GNU, BSD, thin, .deb; headers, names, symbol tables; members entered",
    ),
    Entry(
        "cpio",
        ((0, b"070701"), (0, b"070702"), (0, b"070707"), (0, b"\xc7\x71"), (0, b"\x71\xc7")),
        "newc, crc, odc, binary, several archives and what follows them; every field; members entered",
        "probe",
    ),
    Entry("manifest", ((0, b"Manifest-Version:"),), "every section and attribute, unfolded", "probe"),
    # A script or stub before the archive: whatever nothing else claims, and has the end of one.
    Entry("zip", (), "the same behind a script or another prefix", "prefixed", tail=b"PK\5\6"),
    Entry("javadoc", (), "dates of the head; the rest as text", "probe", holds=b"<!-- Generated by javadoc"),
    Entry(
        "qrc",
        (),
        "Qt resources as C++ and Python code: every node; contents entered, the rest as text",
        "probe",
        holds=b"esource object code",
    ),
    # Last: whatever reads as text and is nothing else.
    Entry("text", (), "lines; order, line ends and white space recognized", "probe"),
)


class BehindError(Exception):
    """More than the first bytes of a stream are needed to tell what it is."""


class Head:
    """The first HEAD bytes of a stream whose rest would have to be decoded: asking for that raises BehindError."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def size(self) -> int:
        raise BehindError

    def read(self, start: int, stop: int, /) -> bytes:
        if stop > len(self._data):
            raise BehindError
        return self._data[start:stop]


def identify(source: Source, head: bytes | None = None) -> Entry | None:
    """Return the registry entry of the format that a stream looks like, None for plain bytes."""
    # A stream that is no bytes of a file (a directory's listing) says itself what it is.
    known: Entry | None = getattr(source, "entry", None)
    if known is not None:
        return known
    if head is None:
        head = source.read(0, HEAD)
    for entry, magics in _candidates(head[:1]):
        for at, magic in magics:
            if head.startswith(magic, at):
                break
        else:
            if magics:
                continue
        if entry.holds and entry.holds not in head:
            continue
        if entry.tail and (alone(head) or entry.tail not in source.read(max(0, source.size - TAIL), source.size)):
            continue
        if entry.probe and not _probe(entry)(head, source):
            continue
        return entry
    return None


@cache
def _candidates(first: bytes) -> tuple[tuple[Entry, tuple[tuple[int, bytes], ...]], ...]:
    """Return the formats of streams with this first byte, in probe order, with the magics that are left to try."""
    found = []
    for entry in FORMATS:
        magics = tuple((at, magic) for at, magic in entry.magics if at or magic[:1] == first)
        if magics or not entry.magics:
            found.append((entry, magics))
    return tuple(found)


@lru_cache(1)
def alone(head: bytes) -> bool:
    """Tell whether a stream that starts so is one thing to its end: a text that is no script, a Java class.

    An archive may follow anything else. To tell without the end saves decoding thousands of members as a whole.
    """
    if len(head) < HEAD or head.startswith(SCRIPTS):
        return False
    return head.startswith(CLASS) or _probe(FORMATS[-1])(head, Head(head))


@cache
def _probe(entry: Entry) -> Callable[[bytes, Source], bool]:
    found: Callable[[bytes, Source], bool] = getattr(import_module(entry.module), entry.probe)
    return found


@cache
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
