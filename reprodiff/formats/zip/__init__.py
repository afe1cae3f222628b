"""zip archives (PKWARE APPNOTE.TXT 6.3.10): local files, data descriptors, central directory, zip64.

Member groups (`member[name]` before the directory, `entry[name]` in it) carry a `Member` as info. The central
directory says where members are; what local headers say beside it is compared and never followed.
"""

import struct
from functools import partial
from operator import attrgetter
from typing import NamedTuple

from reprodiff.budget import Budget
from reprodiff.errors import FormatError
from reprodiff.formats import Format
from reprodiff.formats.zip import extra
from reprodiff.formats.zip.layout import (
    CENTRAL,
    DESCRIPTOR,
    DESCRIPTORS,
    ENCRYPTED,
    END,
    END64,
    END64_RECORD,
    END_RECORD,
    FULL,
    FULL_SHORT,
    IMPLODED,
    LOCAL,
    LOCAL_LENGTHS,
    LOCATOR,
    LOCATOR_RECORD,
    LZMA,
    STORED,
    STREAMED,
    UNIX_LIKE,
    UTF8,
    VERSIONS,
    central_header,
    local_header,
)
from reprodiff.formats.zip.payload import NAMES, Decoder
from reprodiff.sources import Source
from reprodiff.tree import Content, Group, Leaf, Node, Record, Role, listed

CENTRAL_FIELDS = struct.Struct("<4sHHHHIIIIHHHHHIL")
END_FIELDS = struct.Struct("<4sHHHHIIH")
END64_FIELDS = struct.Struct("<4sQHHIIQQQQ")
TAIL = 22 + 0xFFFF
SIGNING_BLOCK = b"APK Sig Block 42"
CLOJURE = (b".clj", b".cljc")


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
    local    offset of its local header; start, stop: its content; descriptor: size of the data descriptor, 0 for none
    """

    __slots__ = ("archive", "comment", "descriptor", "directory", "entry", "extra", "flags", "group", "key", "local",
                 "made_by", "method", "name", "nodes", "plain", "size", "start", "stop")  # fmt: skip

    def __init__(
        self, archive: Archive, entry: int, key: bytes, name: int, extra_size: int, comment: int,
        made_by: int, flags: int, method: int, size: int, local: int, stop: int, plain: bool,
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
        # Uncompressed; `stop` is relative to `start` until that is known.
        self.size = size
        self.local = local
        self.stop = stop
        self.plain = plain
        self.start = self.descriptor = 0
        self.group: Group | None = None
        self.directory: Group | None = None
        self.nodes: tuple[list[Node], list[Node]] | None = None

    @property
    def encrypted(self) -> bool:
        return bool(self.flags & ENCRYPTED)

    @property
    def kept_flags(self) -> int:
        """Flag bits that mean something for this member: others are a producer's habit."""
        if self.flags & ENCRYPTED:
            return self.flags
        kept = 0 if self.plain else self.flags & UTF8
        if self.method in {IMPLODED, LZMA}:
            kept |= self.flags & 6
        return kept | self.flags & STREAMED if self.large else kept

    @property
    def large(self) -> bool:
        """Whether its sizes need zip64."""
        return self.size >= FULL or self.stop - self.start >= FULL


class _End(NamedTuple):
    """The end of an archive. zip64: offsets of the zip64 record and locator; start, stop: the central directory;
    uncounted: bytes at the start that offsets do not count."""

    at: int
    comment: int
    zip64: tuple[int, int] | None
    start: int
    stop: int
    uncounted: int


def prefixed(_head: bytes, source: Source) -> bool:
    """Tell whether an archive ends a stream that starts with something else."""
    try:
        end = _find_end(source)
    except (FormatError, struct.error):
        return False
    return end.start < end.stop


def parse(source: Source, budget: Budget) -> Group:
    """Read the central directory and all local headers; contents stay where they are."""
    try:
        return _parse(source, budget)
    except struct.error as error:
        raise FormatError(f"a header is cut off ({error})") from error


def _parse(source: Source, budget: Budget) -> Group:
    end = _find_end(source)
    archive = Archive(source)
    nodes: list[Node] = []
    if end.uncounted:
        archive.uncounted = Leaf("uncounted-prefix", 0, end.uncounted)
        nodes.append(archive.uncounted)
    members, entries = _directory(archive, end, budget)
    limit, block = _signing_block(source, end)
    by_place = sorted(members, key=attrgetter("local"))
    first = by_place[0].local if by_place else limit
    if end.uncounted < first:
        nodes.append(Leaf("prefix", end.uncounted, first))
    _locals(archive, by_place, limit)
    nodes.extend(member.group for member in by_place if member.group)
    if block:
        nodes.append(block)
    directory = Group("directory", end.start, end.stop, listed(entries))
    nodes.append(directory)
    refs: dict[str, Node] = {"directory": directory}
    if archive.uncounted:
        refs["uncounted"] = archive.uncounted
    if end.zip64:
        nodes.append(_zip64(source, end.zip64, refs))
    comment = Leaf("comment", end.at + 22, end.at + 22 + end.comment)
    refs["comment"] = comment
    nodes += [Record("end", end.at, END_RECORD, refs), comment]
    if comment.stop < source.size:
        nodes.append(Leaf("trailing", comment.stop, source.size))
    return Group("zip", 0, source.size, listed(nodes), info=archive)


def _find_end(source: Source) -> _End:
    """Find the end of central directory record: the last one from which a central directory can be found."""
    base = max(0, source.size - TAIL)
    tail = source.read(base, source.size)
    at = tail.rfind(END)
    while at >= 0:
        if at + 22 <= len(tail):
            found = _check_end(source, base + at, tail[at : at + 22])
            if found:
                return found
        at = tail.rfind(END, 0, at + 3)
    raise FormatError("no end of central directory record with a directory before it")


def _check_end(source: Source, at: int, raw: bytes) -> _End | None:
    _mark, disk, first_disk, here, entries, size, offset, comment = END_FIELDS.unpack(raw)
    stop = at
    zip64 = None
    if at >= 20 and source.read(at - 20, at - 16) == LOCATOR:
        place = _find_end64(source, at - 20)
        if place is not None:
            zip64, stop = (place, at - 20), place
            record = END64_FIELDS.unpack(source.read(place, place + 56))
            entries = record[7] if entries == FULL_SHORT else entries
            size = record[8] if size == FULL else size
            offset = record[9] if offset == FULL else offset
    if at + 22 + comment > source.size:
        return None
    if not entries and not size:
        return _End(at, comment, zip64, stop, stop, 0) if offset <= stop else None
    start = stop - size
    if start < offset or source.read(start, start + 4) != CENTRAL:
        # Something lies between the directory and its end; then offsets must count from the start.
        start = offset
        if start + size > stop or source.read(start, start + 4) != CENTRAL:
            return None
    return _End(at, comment, zip64, start, start + size, start - offset)


def _find_end64(source: Source, locator: int) -> int | None:
    """Return where the zip64 record is: where its locator says, or right before that, behind a prefix."""
    said = int.from_bytes(source.read(locator + 8, locator + 16), "little")
    for at in (said, locator - 56):
        if 0 <= at <= locator - 56 and source.read(at, at + 4) == END64:
            return at
    return None


def _zip64(source: Source, places: tuple[int, int], refs: dict[str, Node]) -> Group:
    """Describe the zip64 record and its locator; they can only come and go together."""
    at, locator = places
    bound = dict(refs)
    end = Record("end", at, END64_RECORD, bound)
    nodes: list[Node] = [end]
    stop = min(at + 12 + int.from_bytes(source.read(at + 4, at + 12), "little"), locator)
    if stop > end.stop:
        rest = Leaf("extensible", end.stop, stop)
        bound["extensible"] = rest
        nodes.append(rest)
    found = {"end": end, **({"uncounted": refs["uncounted"]} if "uncounted" in refs else {})}
    nodes.append(Record("locator", locator, LOCATOR_RECORD, found))
    group = Group("zip64", at, locator + 20, listed(nodes))
    refs["zip64"] = group
    return group


def _directory(archive: Archive, end: _End, budget: Budget) -> tuple[list[Member], list[Node]]:
    raw = archive.source.read(end.start, end.stop)
    members: list[Member] = []
    entries: list[Node] = []
    unpack = CENTRAL_FIELDS.unpack_from
    at, base = 0, end.start
    uncounted = end.uncounted
    while raw[at : at + 4] == CENTRAL:
        (_mark, made_by, _version, flags, method, _time, _crc, stored, size, name, extra_size, comment, disk, _internal,
         _external, local) = unpack(raw, at)  # fmt: skip
        start, at = at, at + 46 + name + extra_size + comment
        if at > len(raw):
            raise FormatError("a central header is cut off")
        key = raw[start + 46 : start + 46 + name]
        if stored == FULL or size == FULL or local == FULL:
            present = (size == FULL, stored == FULL, local == FULL, disk == FULL_SHORT)
            found = extra.zip64_values(raw[start + 46 + name : start + 46 + name + extra_size], present)
            size = size if found[0] is None else found[0]
            stored = stored if found[1] is None else found[1]
            local = local if found[2] is None else found[2]
        plain = key.isascii() and (not comment or raw[at - comment : at].isascii())
        if not plain:
            key = _key(key, flags)
        member = Member(archive, base + start, key, name, extra_size, comment, made_by, flags, method, size,
                        local + uncounted, stored, plain)  # fmt: skip
        members.append(member)
        group = member.directory = Group("entry", base + start, base + at, _expand_entry, key, member)
        entries.append(group)
        if key.endswith(CLOJURE):
            archive.clojure = True
        budget.count(1)
    if not members and raw:
        raise FormatError("no central directory where it should be")
    return members, entries


def _key(name: bytes, flags: int) -> bytes:
    """Return a name in UTF-8, whatever its header says that it is in (appendix D)."""
    try:
        name.decode("utf-8")
    except UnicodeDecodeError:
        return name if flags & UTF8 else name.decode("cp437").encode()
    return name


def _signing_block(source: Source, end: _End) -> tuple[int, Leaf | None]:
    """Return where members must end, and the APK Signing Block before the directory, if any."""
    mark = source.read(end.start - 24, end.start) if end.start >= 32 else b""
    if mark[8:] != SIGNING_BLOCK:
        return end.start, None
    start = end.start - int.from_bytes(mark[:8], "little") - 8
    if start < end.uncounted or source.read(start, start + 8) != mark[:8]:
        return end.start, None
    return start, Leaf("signing-block", start, end.start)


def _locals(archive: Archive, members: list[Member], limit: int) -> None:
    """Read the local headers, in stream order, and find where each member ends."""
    read = archive.source.read
    stop = 0
    padded, aligned = False, True
    for number, member in enumerate(members):
        at = member.local
        header = read(at, at + 30)
        if len(header) < 30 or header[:4] != LOCAL:
            raise FormatError(f"no local header at {at}")
        if at < stop:
            raise FormatError(f"the member at {at} lies inside the one before")
        extra_size = header[28] | header[29] << 8
        start = member.start = at + 30 + (header[26] | header[27] << 8) + extra_size
        stop = member.stop = start + member.stop
        most = members[number + 1].local if number + 1 < len(members) else limit
        if stop > most:
            raise FormatError(f"the member at {at} is longer than the place that it has")
        if (header[6] | member.flags) & STREAMED and most - stop >= 12:
            member.descriptor = _find_descriptor(archive, member, most)
            stop += member.descriptor
        if extra_size and member.method == STORED and start & 3 == 0:
            padded = padded or _is_padded(read(start - extra_size, start))
        if member.method == STORED and start & 3 and member.size:
            aligned = False
        member.group = Group("member", at, stop, _expand_member, member.key, member)
    archive.aligned = padded and aligned


def _is_padded(raw: bytes) -> bool:
    """Tell whether extra fields end in zeros that are none."""
    at = 0
    while at + 4 <= len(raw):
        size = raw[at + 2] | raw[at + 3] << 8
        if not (size or raw[at] or raw[at + 1]):
            break
        at += 4 + size
    return at < len(raw) and not raw[at:].strip(b"\0")


def _find_descriptor(archive: Archive, member: Member, most: int) -> int:
    """Return the size of the data descriptor after a content, 0 where none is that agrees with the directory."""
    raw = archive.source.read(member.stop, min(member.stop + 24, most))
    stored, size = member.stop - member.start, member.size
    for width, signed, form in ((16, True, "<II"), (24, True, "<QQ"), (12, False, "<II"), (20, False, "<QQ")):
        if len(raw) >= width and (not signed or raw[:4] == DESCRIPTOR):
            if struct.unpack_from(form, raw, 8 if signed else 4) == (stored, size):
                return width
    return 0


def _expand_member(group: Group) -> list[Node]:
    member: Member = group.info
    return (member.nodes or _build(member))[0]


def _expand_entry(group: Group) -> list[Node]:
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
    raw = source.read(member.local, member.local + 30)
    name, size = LOCAL_LENGTHS.unpack_from(raw, 26)
    header = Record("header", member.local, local_header(name, member.kept_flags, least, time, sealed), refs)
    content = _content(member)
    refs["header"], refs["content"] = header, content
    nodes: list[Node] = [header]
    if size:
        found, zip64 = extra.fields(source, header.stop, header.stop + size, refs, central=None)
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

    assert member.group is not None
    assert member.directory is not None
    central = Record(
        "header",
        member.entry,
        central_header(
            member.name, least, member.key.endswith(b"/"), member.made_by >> 8 not in UNIX_LIKE, sealed, time
        ),
        bound,
    )
    refs["central"] = central
    bound.update(header=central, local=header, content=content, member=member.group, entry=member.directory)
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
    return Leaf("content", member.start, member.stop, Role.PAYLOAD, content=Content(name, opened, encode))


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


FORMAT = Format("zip", "PKWARE APPNOTE.TXT 6.3.10", parse)
