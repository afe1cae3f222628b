"""zip archives (PKWARE APPNOTE.TXT 6.3.10): local files, data descriptors, central directory, zip64.

Member groups (`member[name]` before the directory, `entry[name]` in it) carry a `Member` as info. The central
directory says where members are; what local headers say beside it is compared and never followed.
"""

import struct
from operator import attrgetter
from typing import NamedTuple

from reprodiff.budget import Budget
from reprodiff.errors import FormatError
from reprodiff.formats import TAIL, Format
from reprodiff.formats.zip import extra
from reprodiff.formats.zip.layout import (
    CENTRAL,
    DESCRIPTOR,
    ENCRYPTED,
    END,
    END64,
    END64_RECORD,
    END_RECORD,
    FULL,
    FULL_SHORT,
    LOCAL,
    LOCATOR,
    LOCATOR_RECORD,
    STORED,
    STREAMED,
    UTF8,
)
from reprodiff.formats.zip.members import CLOJURE, Archive, Member, expand_entry, expand_member, quick
from reprodiff.sources import Source
from reprodiff.tree import Group, Leaf, Linked, Node, Record, listed

CENTRAL_FIELDS = struct.Struct("<4sHHHHIIIIHHHHHIL")
END_FIELDS = struct.Struct("<4sHHHHIIH")
END64_FIELDS = struct.Struct("<4sQHHIIQQQQ")
SIGNING_BLOCK = b"APK Sig Block 42"


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
    _mark, _disk, _first_disk, _here, entries, size, offset, comment = END_FIELDS.unpack(raw)
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
        (_mark, made_by, _version, flags, method, _time, crc, stored, size, name, extra_size, comment, disk, _internal,
         _external, local) = unpack(raw, at)  # fmt: skip
        start, at = at, at + 46 + name + extra_size + comment
        if at > len(raw):
            raise FormatError("a central header is cut off")
        key = raw[start + 46 : start + 46 + name]
        if FULL in {stored, size, local}:
            present = (size == FULL, stored == FULL, local == FULL, disk == FULL_SHORT)
            found = extra.zip64_values(raw[start + 46 + name : start + 46 + name + extra_size], present)
            size = size if found[0] is None else found[0]
            stored = stored if found[1] is None else found[1]
            local = local if found[2] is None else found[2]
        plain = key.isascii() and (not comment or raw[at - comment : at].isascii())
        if not plain:
            key = _key(key, flags)
        member = Member(archive, base + start, key, name, extra_size, comment, made_by, flags, method, crc, size,
                        local + uncounted, stored, plain)  # fmt: skip
        members.append(member)
        group = member.directory = Linked("entry", base + start, base + at, expand_entry, key, member)
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
        member.local_name = header[26] | header[27] << 8
        member.local_flags = header[6] | header[7] << 8
        member.time = header[10:14]
        member.flags |= member.local_flags & ENCRYPTED
        extra_size = member.local_extra = header[28] | header[29] << 8
        start = member.start = at + 30 + member.local_name + extra_size
        stop = member.stop = start + member.stop
        most = members[number + 1].local if number + 1 < len(members) else limit
        if stop > most:
            raise FormatError(f"the member at {at} is longer than the place that it has")
        if (member.local_flags | member.flags) & STREAMED and most - stop >= 12:
            member.descriptor = _find_descriptor(archive, member, most)
            stop += member.descriptor
        if extra_size and member.method == STORED and start & 3 == 0:
            padded = padded or _is_padded(read(start - extra_size, start))
        if member.method == STORED and start & 3 and member.size:
            aligned = False
        member.group = Group("member", at, stop, expand_member, member.key, member)
        if member.directory:
            member.directory.target = member.group
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
    for width, signed, form in ((16, True, "<III"), (24, True, "<IQQ"), (12, False, "<III"), (20, False, "<IQQ")):
        if len(raw) < width or (signed and raw[:4] != DESCRIPTOR):
            continue
        if struct.unpack_from(form, raw, 4 if signed else 0) == (member.crc, stored, size):
            return width
    return 0


FORMAT = Format("zip", "PKWARE APPNOTE.TXT 6.3.10", parse, quick=quick)
