"""JAR manifests (JAR File Specification, "JAR Manifest"): a main section, then sections that start with Name.

An attribute is a group named as it is; its value is one leaf, continuation lines and all. Lines that are no
attributes are leaves called `line`.
"""

import re
from functools import lru_cache

from reprodiff.budget import Budget
from reprodiff.codecs import Codec, show_bytes
from reprodiff.errors import FormatError
from reprodiff.formats import Format
from reprodiff.sources import Source
from reprodiff.tree import Group, Leaf, Node, Role, listed

FIRST = re.compile(rb"Manifest-Version: *\d[\d.]* *(?:[\r\n]|\Z)")
LINE = 72
LONGEST = 64 << 20


def probe(head: bytes, _source: Source) -> bool:
    """Tell whether the first line is the one attribute that every manifest starts with."""
    return b"\0" not in head and FIRST.match(head) is not None


def parse(source: Source, _budget: Budget) -> Group:
    """Read all lines."""
    if source.size > LONGEST:
        raise FormatError(f"longer than any manifest ({source.size} bytes)")
    data = source.read(0, source.size)
    sections: list[list[Node]] = [[]]
    names: list[bytes | None] = [None]
    at = 0
    while at < len(data):
        stop = _line_end(data, at)
        if not data[at:stop].rstrip(b"\r\n"):
            if sections[-1] and isinstance(sections[-1][-1], Leaf) and sections[-1][-1].name == "blank":
                sections[-1][-1].stop = stop
            else:
                sections[-1].append(Leaf("blank", at, stop))
            at = stop
            continue
        while data[stop : stop + 1] == b" ":
            stop = _line_end(data, stop)
        name, mark, _value = data[at:stop].partition(b": ")
        if sections[-1] and sections[-1][-1].name == "blank":
            sections.append([])
            names.append(_unfold(_value) if name.lower() == b"name" else None)
        if mark and name and name.replace(b"-", b"").replace(b"_", b"").isalnum():
            sections[-1].append(_attribute(data, at, stop, name.decode("ascii", "replace")))
        else:
            sections[-1].append(Leaf("line", at, stop))
        at = stop
    nodes: list[Node] = [
        Group("section" if number else "main", section[0].start, section[-1].stop, listed(section), name)
        for number, (section, name) in enumerate(zip(sections, names, strict=True))
        if section
    ]
    return Group("manifest", 0, source.size, listed(nodes))


def _line_end(data: bytes, at: int) -> int:
    """Return where the line at `at` ends: after LF, CR LF or CR."""
    feed = data.find(b"\n", at)
    stop = len(data) if feed < 0 else feed + 1
    turn = data.find(b"\r", at, stop)
    return turn + 1 if 0 <= turn < stop - 2 or (turn >= 0 and feed < 0) else stop


def _attribute(data: bytes, at: int, stop: int, name: str) -> Group:
    start = at + len(name)
    end = at + len(data[at:stop].rstrip(b"\r\n"))
    newline = data[end:stop] or b"\r\n"
    nodes: list[Node] = [
        Leaf("name", at, start),
        Leaf("separator", start, start + 2, Role.FIXED),
        Leaf("value", start + 2, end, Role.VALUE, _value_codec(len(name) + 2, newline)),
    ]
    if end < stop:
        nodes.append(Leaf("newline", end, stop))
    return Group(name, at, stop, listed(nodes))


def _unfold(raw: bytes) -> bytes:
    raw = raw.rstrip(b"\r\n")
    for fold in (b"\r\n ", b"\n ", b"\r "):
        raw = raw.replace(fold, b"")
    return raw


@lru_cache(1024)
def _value_codec(taken: int, newline: bytes) -> Codec:
    """Spell a value so that no line is longer than 72 bytes, `taken` of them by the name on the first."""

    def encode(value: bytes, _size: int) -> bytes:
        lines = [value[: LINE - taken]]
        rest = value[LINE - taken :]
        while rest:
            lines.append(rest[: LINE - 1])
            rest = rest[LINE - 1 :]
        return (newline + b" ").join(lines)

    return Codec(_unfold, encode, show_bytes)


FORMAT = Format("manifest", "JAR File Specification", parse)
