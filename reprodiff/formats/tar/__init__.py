"""tar archives: v7, ustar, GNU and pax.

Specifications: POSIX.1-2017 pax (ustar and pax interchange formats), GNU tar manual "Basic Tar Format".
Member groups carry a `Member` as info; members are aligned by their effective name.
"""

from typing import NamedTuple

from reprodiff.budget import Budget
from reprodiff.codecs import RAW, TEXT
from reprodiff.errors import FormatError
from reprodiff.formats import Format, Walk
from reprodiff.formats.tar.header import (
    BLOCK,
    GNU_HEADER,
    HEADER,
    PAX_CODECS,
    checksum,
    keywords,
    number,
    record_length,
    records,
)
from reprodiff.sources import Source
from reprodiff.tree import Derive, Group, Leaf, Node, Record, Refs, Role, Table, listed

ZERO = bytes(BLOCK)
MOST_EXTENDED = 64 << 20
# Longer members are compared in pieces.
QUICK = 1 << 20
LINK, SYMLINK = b"1", b"2"
# The second is GNU tar's, of incremental archives.
DIRECTORIES = frozenset({b"5", b"D"})
# A file's content follows; only the slash at the end of its name tells a directory of v7 from a file.
REGULAR = frozenset({b"\0", b"0", b"7"})
EXTENDED = {b"x": "pax", b"X": "pax", b"L": "longname", b"K": "longlink"}
# Typeflags whose size field is not followed by that many bytes (POSIX pax, "typeflag").
NO_CONTENT = frozenset(b"123456")


class Member(NamedTuple):
    """What the header chain of a member says, in bytes and offsets.

    extensions: offset and size of the extended headers before `header`; sparse: size of the old GNU sparse map
    after it; size: of the stored content; linkname: effective name of a link's target; directory: by its typeflag, or
    by a name that ends in a slash, which is how v7 tells."""

    source: Source
    extensions: tuple[tuple[int, int], ...]
    header: int
    size: int
    typeflag: bytes
    linkname: bytes
    sparse: int
    directory: bool


def probe(head: bytes, _source: Source) -> bool:
    """Tell whether a stream starts with a tar header; a v7 header has no magic, only its checksum."""
    if len(head) < BLOCK or head[:1] == b"\0":
        return False
    try:
        return number(head[148:156]) == checksum(head[:BLOCK])
    except ValueError:
        return False


def parse(source: Source, budget: Budget) -> Group:
    """Read the headers of all members; contents stay where they are."""
    nodes: list[Node] = []
    read, size = source.read, source.size
    at = 0
    start = 0
    extensions: list[tuple[int, int]] = []
    known: dict[bytes, bytes] = {}
    inherited: dict[bytes, bytes] = {}
    while at < size:
        header = read(at, at + BLOCK)
        if header == ZERO:
            break
        if len(header) < BLOCK or number(header[148:156]) != checksum(header):
            if not nodes and start == at:
                raise FormatError("the first block is no tar header")
            break
        flag = header[156:157]
        length = number(header[124:136])
        kind = EXTENDED.get(flag)
        if kind or flag == b"g":
            stop = at + BLOCK + length + -length % BLOCK
            if length < 0 or length > MOST_EXTENDED or stop > size:
                break
            body = read(at + BLOCK, at + BLOCK + length)
            if flag == b"g":
                if extensions:
                    # Between an extended header and its member: no writer does that, and readers disagree on it.
                    break
                inherited.update(keywords(body))
                nodes.append(Group("global", at, stop, _expand_global, info=(source, length)))
                start = stop
            else:
                if kind == "pax":
                    known.update(keywords(body))
                else:
                    known[b"path" if kind == "longname" else b"linkpath"] = body.split(b"\0", 1)[0]
                extensions.append((at, length))
            at = stop
            continue
        if inherited:
            known = {**inherited, **known}
        if b"size" in known:
            length = int(known[b"size"])
        stored = 0 if flag[0] in NO_CONTENT and not (flag == LINK and b"size" in known) else length
        if flag == LINK and length and _plausible_header(source, at + BLOCK):
            stored = 0
        elif flag == LINK and length:
            stored = length
        skip = _sparse_map(header, source, at) if flag == b"S" else 0
        stop = at + BLOCK + skip + stored + -stored % BLOCK
        if stored < 0 or at + BLOCK + skip + stored > size:
            break
        path = known.get(b"path") or ustar_name(header)
        name = member_key(known.get(b"GNU.sparse.name") or path)
        directory = flag in DIRECTORIES or (flag in REGULAR and path.endswith(b"/"))
        link = known.get(b"linkpath") or header[157:257].split(b"\0", 1)[0]
        member = Member(source, tuple(extensions), at, stored, flag, link, skip, directory)
        nodes.append(Group("member", start, min(stop, size), _expand_member, name, member))
        budget.count(1)
        at = start = min(stop, size)
        extensions, known = [], {}
    at = start
    if at < size:
        nodes.extend(_end(source, at, size))
    return Group("tar", 0, size, listed(nodes))


def _plausible_header(source: Source, at: int) -> bool:
    header = source.read(at, at + BLOCK)
    if header == ZERO or not header:
        return True
    try:
        return len(header) == BLOCK and number(header[148:156]) == checksum(header)
    except ValueError:
        return False


def member_key(name: bytes) -> bytes:
    """Return what aligns a member: its name without the `./` and the closing `/` that tools spell differently."""
    while name.startswith(b"./") and len(name) > 2:
        name = name[2:].lstrip(b"/") or b"."
    return name.rstrip(b"/") or name


def ustar_name(header: bytes) -> bytes:
    """Return the name that a header alone gives, its prefix joined."""
    name = header[:100].split(b"\0", 1)[0]
    # GNU tar keeps other things in the place of the prefix; its magic ends in a space.
    if header[345:346] != b"\0" and header[257:263] == b"ustar\0":
        return header[345:500].split(b"\0", 1)[0] + b"/" + name
    return name


def _sparse_map(header: bytes, source: Source, at: int) -> int:
    """Return how many bytes of extended sparse headers follow an old GNU sparse header."""
    skip = 0
    more = header[482:483] not in b"\0"
    while more:
        block = source.read(at + BLOCK + skip, at + BLOCK + skip + BLOCK)
        if len(block) < BLOCK:
            raise FormatError("a sparse map is cut off")
        skip += BLOCK
        more = block[504:505] not in b"\0"
    return skip


def _derive_padding(_raw: bytes, refs: Refs) -> bytes:
    return bytes(-refs.size("content") % BLOCK)


def _expand_member(group: Group) -> list[Node]:
    member: Member = group.info
    source, skip = member.source, member.sparse
    nodes: list[Node] = []
    for at, length in member.extensions:
        flag = source.read(at + 156, at + 157)
        nodes.append(
            Group(EXTENDED[flag], at, at + BLOCK + length + -length % BLOCK, _expand_extension, info=(source, length))
        )
    at = member.header + BLOCK
    map_ = Leaf("sparsemap", at, at + skip, Role.VALUE) if skip else None
    at += skip
    content = Leaf("content", at, at + member.size, Role.PAYLOAD)
    nodes.append(Record("header", member.header, _table(source, member.header), {"content": content}))
    if map_:
        nodes.append(map_)
    if member.size:
        # The padding also where it is empty: sizes that differ must not make it a part of one side alone.
        padding = Leaf(
            "padding", content.stop, group.stop, Role.DERIVED, derive=_derive_padding, refs={"content": content}
        )
        nodes += [content, padding]
    return nodes


def quick(walk: Walk, one: Group, two: Group, where: str, keys: tuple[bytes, ...]) -> bool:
    """Compare two members that are one header and equal contents: what a build from equal files gives."""
    m: Member = one.info
    n: Member = two.info
    size = one.stop - one.start
    if m.header != one.start or n.header != two.start or size != two.stop - two.start or size > QUICK:
        return False
    a, b = walk.left.read(one.start, one.stop), walk.right.read(two.start, two.stop)
    if a == b:
        return True
    if m.sparse or n.sparse or m.size != n.size or a[BLOCK:] != b[BLOCK:] or a[257:263] != b[257:263]:
        return False
    table = GNU_HEADER if a[257:263] == b"ustar " else HEADER
    left, right = (
        Record("header", at, table, {"content": Leaf("content", at + BLOCK, at + BLOCK + m.size, Role.PAYLOAD)})
        for at in (one.start, two.start)
    )
    walk.fields(left, right, a[:BLOCK], b[:BLOCK], f"{where}/header", keys)
    return True


def _table(source: Source, at: int) -> Table:
    return GNU_HEADER if source.read(at + 257, at + 263) == b"ustar " else HEADER


def _expand_extension(group: Group) -> list[Node]:
    source, length = group.info
    start = group.start + BLOCK
    body = Group("records", start, start + length, _expand_records, info=(source, length))
    flag = source.read(group.start + 156, group.start + 157)
    content: Node
    content = body if flag in b"xXg" else Leaf("value", start, start + length, Role.VALUE, TEXT)
    nodes: list[Node] = [Record("header", group.start, _table(source, group.start), {"content": content})]
    if length:
        nodes.append(content)
    if start + length < group.stop:
        nodes.append(
            Leaf("padding", start + length, group.stop, Role.DERIVED, derive=_derive_padding, refs={"content": content})
        )
    return nodes


def _expand_global(group: Group) -> list[Node]:
    return _expand_extension(group)


def _expand_records(group: Group) -> list[Node]:
    source, length = group.info
    nodes: list[Node] = []
    for start, mark, stop, keyword, _value in records(source.read(group.start, group.start + length)):
        nodes.append(
            Group(
                _step(keyword),
                group.start + start,
                group.start + stop,
                _expand_record,
                info=(mark - start, len(keyword)),
            )
        )
    return nodes


def _step(keyword: bytes) -> str:
    """Return a pax keyword as a step of a path: what would read as path syntax is percent-encoded."""
    return "".join(chr(c) if chr(c).isalnum() or c in b"._-" else f"%{c:02X}" for c in keyword)


def _derive_length(_raw: bytes, refs: Refs) -> bytes:
    return b"%d" % record_length(refs.size("keyword") + refs.size("value"))


def _expand_record(group: Group) -> list[Node]:
    mark, width = group.info
    start = group.start + mark
    keyword = Leaf("keyword", start, start + width, Role.VALUE)
    value = Leaf("value", start + width + 1, group.stop - 1, Role.VALUE, PAX_CODECS.get(group.name, RAW))
    refs: dict[str, Node] = {"keyword": keyword, "value": value}
    return [
        Leaf("length", group.start, start - 1, Role.DERIVED, derive=_derive_length, refs=refs),
        Leaf("space", start - 1, start, Role.FIXED),
        keyword,
        Leaf("equals", start + width, start + width + 1, Role.FIXED),
        value,
        Leaf("newline", group.stop - 1, group.stop, Role.FIXED),
    ]


def _fill(size: int) -> Derive:
    return lambda _raw, refs: bytes(-(refs.offset("end") + refs.size("end")) % size)


# Archives are filled up to whole records of 20 blocks by default, of another number with `-b`, or not at all.
FILLS = tuple((blocks * BLOCK, _fill(blocks * BLOCK)) for blocks in (20, 2, 1))
fill_record = FILLS[0][1]


def _end(source: Source, at: int, size: int) -> list[Node]:
    """Describe what follows the last member: two zero blocks, then zeros up to the blocking factor."""
    tail = source.read(at, min(at + 2 * BLOCK, size))
    if tail.strip(b"\0"):
        tail = tail[:BLOCK] if not tail[:BLOCK].strip(b"\0") else b""
    if not tail:
        return []
    end = Leaf("end", at, at + len(tail), Role.VALUE)
    nodes: list[Node] = [end]
    stop = end.stop
    while stop < size:
        piece = source.read(stop, min(stop + (1 << 16), size))
        zeros = len(piece) - len(piece.lstrip(b"\0"))
        stop += zeros
        if zeros < len(piece):
            break
    # Also where it is empty: that an archive is not filled up is a fact that can differ.
    fill = next((fill for record, fill in FILLS if stop % record == 0 and stop - end.stop < record), fill_record)
    nodes.append(Leaf("blocking", end.stop, stop, Role.DERIVED, derive=fill, refs={"end": end}))
    return nodes


FORMAT = Format("tar", "POSIX.1-2017 pax; GNU tar manual", parse, quick=quick)
