"""The members of a zip archive: what the central directory and the local headers say of each, and its nodes."""

from functools import partial

from reprodiff.codecs import LE
from reprodiff.formats import Walk
from reprodiff.formats.zip import extra
from reprodiff.formats.zip.layout import (
    DEFLATED,
    DESCRIPTORS,
    ENCRYPTED,
    FULL,
    FULL_BYTES,
    IMPLODED,
    LZMA,
    STORED,
    STREAMED,
    TIMES,
    UNIX_LIKE,
    UTF8,
    VERSIONS,
    central_header,
    local_header,
)
from reprodiff.formats.zip.payload import NAMES, Decoder, peek
from reprodiff.sources import Source
from reprodiff.tree import Content, Group, Leaf, Linked, Node, Record, Role

CLOJURE = (b".clj", b".cljc")
# Longer members are compared in pieces.
QUICK = 1 << 20


class Archive:
    """What the members of one archive share.

    clojure  whether it has Clojure sources
    aligned  whether stored contents are aligned by zeros in their extra fields, as zipalign does
    """

    __slots__ = ("aligned", "clojure", "decoder", "source", "uncounted")

    def __init__(self, source: Source) -> None:
        self.source = source
        self.decoder = Decoder(source)
        self.uncounted: Leaf | None = None
        self.clojure = False
        self.aligned = False


class Member:
    """What the central directory says of a member, and where its parts lie.

    entry    offset of its central header; name, extra, comment: sizes there
    local    offset of its local header, local_flags, local_name, local_extra, time: what it says
    start, stop: its content; descriptor: size of the data descriptor, 0 for none
    plain    whether its name and comment are ASCII
    """

    __slots__ = ("archive", "comment", "crc", "descriptor", "directory", "entry", "extra", "flags", "group", "key", "known_shape",
                 "local", "local_extra", "local_flags", "local_name", "made_by", "method", "name", "nodes", "plain", "size", "start",
                 "stop", "time")  # fmt: skip

    def __init__(
        self, archive: Archive, entry: int, key: bytes, name: int, extra_size: int, comment: int,
        made_by: int, flags: int, method: int, crc: int, size: int, local: int, stop: int, plain: bool,
    ) -> None:  # fmt: skip
        self.archive = archive
        self.entry = entry
        self.key = key
        self.name = name
        self.extra = extra_size
        self.comment = comment
        self.made_by = made_by
        self.flags = flags
        self.method = method
        self.crc = crc
        # Uncompressed; `stop` is relative to `start` until that is known.
        self.size = size
        self.local = local
        self.stop = stop
        self.plain = plain
        self.start = self.descriptor = self.local_name = self.local_extra = self.local_flags = 0
        self.group: Group | None = None
        self.directory: Linked | None = None
        self.nodes: tuple[list[Node], list[Node]] | None = None
        self.time = b""
        self.known_shape: tuple[object, ...] = ()

    @property
    def encrypted(self) -> bool:
        return bool(self.flags & ENCRYPTED)

    @property
    def kept_flags(self) -> int:
        """Flag bits that mean something for this member: others are a producer's habit."""
        flags = self.local_flags
        if self.flags & ENCRYPTED:
            return flags
        kept = 0 if self.plain else flags & UTF8
        if self.method in {IMPLODED, LZMA}:
            kept |= flags & 6
        # Without a descriptor that was found, or with one that must stay, what the flag says is kept too.
        return kept | flags & STREAMED if self.large or not self.descriptor else kept

    @property
    def of_system(self) -> bool:
        """Whether the system that made it decides what its name is: a backslash, or characters of a code page."""
        return b"\\" in self.key or not (self.plain or self.flags & UTF8)

    @property
    def large(self) -> bool:
        """Whether its sizes need zip64."""
        return self.size >= FULL or self.stop - self.start >= FULL

    @property
    def shape(self) -> tuple[object, ...]:
        """What decides which nodes it has and how they spell their values, beside their bytes."""
        if not self.known_shape:
            archive = self.archive
            self.known_shape = (
                self.name, self.extra, self.method, self.flags, self.local_flags, self.local_name, self.local_extra,
                self.stop - self.start, self.size, self.plain, self.made_by, archive.clojure, archive.aligned,
                archive.uncounted is None,
            )  # fmt: skip
        return self.known_shape


def quick(walk: Walk, one: Group, two: Group, where: str, keys: tuple[bytes, ...]) -> bool:
    """Compare two members, or their entries in the directory, that differ in nothing but times and places.

    A packer that keeps the times of files, or takes the clock's, makes all members of two archives such.
    """
    m: Member = one.info
    n: Member = two.info
    size = one.stop - one.start
    if size != two.stop - two.start or size > QUICK or m.shape != n.shape:
        return False
    a, b = walk.left.read(one.start, one.stop), walk.right.read(two.start, two.stop)
    if a == b:
        return True
    if one.name == "member":
        if a[:10] != b[:10] or a[14:] != b[14:]:
            return False
        walk.value(f"{where}/header/time", keys, (one.start + 10, two.start + 10), a[10:14], b[10:14], TIMES[_time(m)])
        return True
    if a[:12] != b[:12] or a[16:42] != b[16:42] or a[46:] != b[46:] or FULL_BYTES in {a[42:46], b[42:46]}:
        return False
    x, y = a[12:16], b[12:16]
    if x != y:
        follows = x == m.time and y == n.time
        walk.value(
            f"{where}/header/time", keys, (one.start + 12, two.start + 12), x, y, TIMES[_time(m)], follows=follows
        )
    x, y = a[42:46], b[42:46]
    if x != y:
        # The directory is where the places of members are known from.
        walk.value(f"{where}/header/offset", keys, (one.start + 42, two.start + 42), x, y, LE, follows=True)
    return True


def expand_member(group: Group) -> list[Node]:
    """Return the parts of a member: local header, extra fields, content, data descriptor."""
    member: Member = group.info
    return (member.nodes or _build(member))[0]


def expand_entry(group: Group) -> list[Node]:
    """Return the parts of a member's entry in the directory: header, extra fields, comment."""
    member: Member = group.info
    return (member.nodes or _build(member))[1]


def _build(member: Member) -> tuple[list[Node], list[Node]]:
    """Make the nodes of a member in both places, once: they refer to each other."""
    archive = member.archive
    source = archive.source
    refs: dict[str, Node] = {}
    bound: dict[str, Node] = {}
    sealed = member.encrypted
    time = _time(member)
    least = VERSIONS.get(member.method, 51 if sealed and member.method == 99 else 20)
    if member.large:
        least = max(least, 45)
    table = local_header(member.local_name, member.kept_flags, least, time, sealed)
    header = Record("header", member.local, table, refs)
    content = _content(member)
    refs["header"], refs["content"] = header, content
    nodes: list[Node] = [header]
    if member.local_extra:
        found, zip64 = extra.fields(source, header.stop, member.start, refs, central=None)
        if zip64:
            refs["zip64"] = zip64
            if member.large and member.descriptor:
                zip64.name += "-required"
        nodes += found
    if archive.aligned and member.method == STORED and member.size:
        _align(member, nodes, header)
    nodes.append(content)
    if member.descriptor:
        # Without it the check byte of the encryption, or a large size, could not be told.
        kind = "descriptor-required" if sealed or member.large else "descriptor"
        descriptor = Record(kind, member.stop, DESCRIPTORS[member.descriptor], {"content": content})
        refs["descriptor"] = descriptor
        nodes.append(descriptor)

    modeless = not any(source.read(member.entry + 40, member.entry + 42))
    assert member.group is not None
    assert member.directory is not None
    foreign = member.made_by >> 8 not in UNIX_LIKE
    system = "name" if member.of_system else "mode" if modeless else ""
    table = central_header(member.name, least, member.key.endswith(b"/"), foreign, sealed, time, system, modeless)
    central = Record("header", member.entry, table, bound)
    refs["central"] = central
    bound["header"], bound["local"], bound["content"] = central, header, content
    bound["member"], bound["entry"] = member.group, member.directory
    if archive.uncounted:
        bound["uncounted"] = archive.uncounted
    entry: list[Node] = [central]
    at = central.stop
    if member.extra:
        fields = source.read(member.entry, central.stop)
        full = (fields[24:28] == b"\xff" * 4, fields[20:24] == b"\xff" * 4, fields[42:46] == b"\xff" * 4,
                fields[34:36] == b"\xff\xff")  # fmt: skip
        found, zip64 = extra.fields(source, at, at + member.extra, bound, central=full)
        if zip64:
            bound["zip64"] = zip64
        entry += found
        at += member.extra
    if member.comment:
        comment = Leaf("comment", at, at + member.comment)
        bound["comment"] = comment
        entry.append(comment)
    member.nodes = nodes, entry
    return member.nodes


def _time(member: Member) -> str:
    if member.encrypted and member.flags & STREAMED:
        return "encrypted"
    if member.archive.clojure:
        return "source" if member.key.endswith(CLOJURE) else "class" if member.key.endswith(b".class") else ""
    return ""


def _content(member: Member) -> Leaf:
    if member.encrypted:
        return Leaf("content", member.start, member.stop, Role.VALUE)
    if member.method == STORED:
        return Leaf("content", member.start, member.stop, Role.PAYLOAD)
    name, encode = NAMES.get(member.method, (f"method {member.method}", None))
    opened = partial(member.archive.decoder.open, member.start, member.stop, member.method)
    content = Content(name, opened, encode, peek=peek if member.method == DEFLATED else None)
    return Leaf("content", member.start, member.stop, Role.PAYLOAD, content=content)


def _align(member: Member, nodes: list[Node], header: Record) -> None:
    """Make zeros before a stored content the padding that aligns it, also where there are none yet."""
    last = nodes[-1]
    padding = Leaf("padding", last.stop, last.stop)
    if isinstance(last, Leaf):
        if member.archive.source.read(last.start, last.stop).strip(b"\0"):
            return
        padding = Leaf("padding", last.start, last.stop)
        nodes.pop()
    wide = next((size for size in (16384, 4096) if not member.start % size), 0)
    multiple = wide if wide and (padding.stop - padding.start > 3 or member.key.endswith(b".so")) else 4
    if padding.start >= header.stop:
        nodes.append(extra.align(padding, multiple))
