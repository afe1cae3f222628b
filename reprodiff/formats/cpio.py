"""cpio archives: newc, crc, odc and binary; several of them in one stream, and what follows them.

Specifications: cpio(5) of libarchive; POSIX.1-1997 pax ("octet-oriented cpio") for odc; the Linux kernel's
"initramfs buffer format" for streams of archives, NULs and compressed archives. Members are aligned by name.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, Literal, NamedTuple

from reprodiff.budget import Budget
from reprodiff.codecs import BE, LE, RAW, TEXT, Codec, show_mode, show_time
from reprodiff.errors import FormatError
from reprodiff.formats import Format
from reprodiff.sources import Source
from reprodiff.tree import Derive, Field, Group, Leaf, Node, Record, Refs, Role, Table, listed

BLOCK = 512
# What cpio fills its output up to: by default, with -B, without; libarchive's and the kernel's are like the first.
BLOCKS = (BLOCK, 5120, 4, 1)
NAME_LIMIT = 1 << 16
TRAILER = b"TRAILER!!!"
IFMT, IFDIR, IFREG, IFLNK = 0o170000, 0o040000, 0o100000, 0o120000
HEX_DIGITS, OCTAL_DIGITS = b"0123456789abcdefABCDEF", b"01234567"


def _digits(base: int, digits: bytes) -> Callable[[bytes], int]:
    def decode(raw: bytes) -> int:
        if raw.strip(digits):
            raise ValueError("not a number")
        return int(raw, base)

    return decode


def _spell(form: bytes) -> Callable[[Any, int], bytes]:
    def encode(value: Any, size: int) -> bytes:
        text = form % (size, int(value))
        if len(text) > size or value < 0:
            raise ValueError(f"{value} does not fit into {size} digits")
        return text

    return encode


def _words(order: Literal["little", "big"]) -> tuple[Callable[[bytes], int], Callable[[Any, int], bytes]]:
    """Return how a long is read and written as two shorts, the higher one first, in either byte order."""

    def decode(raw: bytes) -> int:
        return int.from_bytes(raw[:2], order) << 16 | int.from_bytes(raw[2:], order)

    def encode(value: Any, _size: int) -> bytes:
        return (int(value) >> 16).to_bytes(2, order) + (int(value) & 0xFFFF).to_bytes(2, order)

    return decode, encode


class Numbers(NamedTuple):
    """How a dialect spells its numbers: those of one field, and those of two shorts."""

    short: Codec
    long: Codec


HEX = Numbers(*(Codec(_digits(16, HEX_DIGITS), _spell(b"%0*X"), str),) * 2)
OCTAL = Numbers(*(Codec(_digits(8, OCTAL_DIGITS), _spell(b"%0*o"), str),) * 2)
LITTLE, BIG = Numbers(LE, Codec(*_words("little"), str)), Numbers(BE, Codec(*_words("big"), str))


class Dialect(NamedTuple):
    """One of the formats.

    plain    table of a header; sums: the same with a checksum that follows from the content; end: that of the trailer,
             whose sizes are always the same
    unit     what name and content are filled up to, in bytes
    inodes   the highest number that `ino` can hold
    """

    name: str
    numbers: Numbers
    plain: Table
    sums: Table
    end: Table
    unit: int
    inodes: int


@cache
def _size(name: str) -> Derive:
    """Return how a size field follows from what it measures, spelled as the header's other numbers are."""

    def derive(header: bytes, refs: Refs) -> bytes:
        dialect = recognize(header)
        if dialect is None:
            raise ValueError("not a header")
        field = dialect.plain.by_name[name]
        spelled = field.codec.encode(refs.size("name" if name == "namesize" else "content"), field.size)
        if dialect.numbers is not HEX:
            return spelled
        # Some tools write hexadecimal digits in capitals, others not: each the same way through the whole header.
        values = b"".join(header[row.start : row.stop] for row in dialect.plain.fields if row.derive is None)
        return spelled.lower() if values != values.upper() else spelled

    return derive


def _derive_check(header: bytes, refs: Refs) -> bytes:
    if not refs.changed("content"):
        return header[102:110]
    total = sum(sum(chunk) for chunk in refs.decoded("content")) & 0xFFFFFFFF
    spelled = b"%08X" % total
    values = header[:102]
    return spelled.lower() if values != values.upper() else spelled


def _table(numbers: Numbers, fields: tuple[tuple[str, int], ...], *, sums: bool = False, end: bool = False) -> Table:
    rows = []
    for name, size in fields:
        codec = numbers.long if size == 4 else numbers.short
        if name == "magic":
            rows.append(Field(name, size, RAW, Role.FIXED))
        elif name in {"namesize", "filesize"} and not end:
            rows.append(Field(name, size, codec, Role.DERIVED, _size(name)))
        elif name == "check" and sums:
            rows.append(Field(name, size, codec, Role.DERIVED, _derive_check))
        else:
            show = show_time if name == "mtime" else show_mode if name == "mode" else str
            rows.append(Field(name, size, codec._replace(show=show)))
    return Table(*rows)


_NEWC = (
    ("magic", 6), ("ino", 8), ("mode", 8), ("uid", 8), ("gid", 8), ("nlink", 8), ("mtime", 8), ("filesize", 8),
    ("devmajor", 8), ("devminor", 8), ("rdevmajor", 8), ("rdevminor", 8), ("namesize", 8), ("check", 8),
)  # fmt: skip
_ODC = (
    ("magic", 6), ("dev", 6), ("ino", 6), ("mode", 6), ("uid", 6), ("gid", 6), ("nlink", 6), ("rdev", 6), ("mtime", 11),
    ("namesize", 6), ("filesize", 11),
)  # fmt: skip
_BIN = (
    ("magic", 2), ("dev", 2), ("ino", 2), ("mode", 2), ("uid", 2), ("gid", 2), ("nlink", 2), ("rdev", 2), ("mtime", 4),
    ("namesize", 2), ("filesize", 4),
)  # fmt: skip


def _dialect(name: str, numbers: Numbers, fields: tuple[tuple[str, int], ...], unit: int, inodes: int) -> Dialect:
    plain = _table(numbers, fields)
    sums = _table(numbers, fields, sums=True) if name == "crc" else plain
    return Dialect(name, numbers, plain, sums, _table(numbers, fields, end=True), unit, inodes)


DIALECTS = {
    b"070701": _dialect("newc", HEX, _NEWC, 4, 0xFFFFFFFF),
    b"070702": _dialect("crc", HEX, _NEWC, 4, 0xFFFFFFFF),
    b"070707": _dialect("odc", OCTAL, _ODC, 1, 0o777777),
    b"\xc7\x71": _dialect("bin, little-endian", LITTLE, _BIN, 2, 0xFFFF),
    b"\x71\xc7": _dialect("bin, big-endian", BIG, _BIN, 2, 0xFFFF),
}


def recognize(header: bytes) -> Dialect | None:
    """Return the dialect that a header is of."""
    return DIALECTS.get(header[:6]) or DIALECTS.get(header[:2])


class Member(NamedTuple):
    """What parsing needs of a header. name, size: bytes of the name with its NUL, and of the content."""

    source: Source
    dialect: Dialect
    name: int
    size: int


class Stat(NamedTuple):
    """What a header says of a file; device numbers as (major, minor)."""

    dialect: str
    ino: int
    mode: int
    nlink: int
    dev: tuple[int, int]
    rdev: tuple[int, int]
    size: int

    @property
    def file(self) -> tuple[tuple[int, int], int] | None:
        """What the links of one file have in common; None for a file with one name."""
        return (self.dev, self.ino) if self.nlink > 1 and self.mode & IFMT != IFDIR else None


def stat(group: Group) -> Stat:
    """Return what the header of a member says. Raises ValueError where it does not say it in numbers."""
    member: Member = group.info
    table = member.dialect.plain
    header = member.source.read(group.start, group.start + table.size)

    def value(name: str) -> int:
        field = table.by_name[name]
        found: int = field.codec.decode(header[field.start : field.stop])
        return found

    def device(name: str) -> tuple[int, int]:
        if name in table.by_name:
            return divmod(value(name), 256)
        return value(name + "major"), value(name + "minor")

    return Stat(
        member.dialect.name, value("ino"), value("mode"), value("nlink"), device("dev"), device("rdev"), member.size
    )


def probe(head: bytes, _source: Source) -> bool:
    """Tell whether a stream starts with a header whose numbers can be read and whose name ends."""
    try:
        dialect, name, _size = _sizes(head)
    except (FormatError, ValueError):
        return False
    start = dialect.plain.size
    return head[start : start + name].find(b"\0") == name - 1


def _sizes(header: bytes) -> tuple[Dialect, int, int]:
    """Return dialect, and the sizes of name and content. Raises FormatError or ValueError for what is no header."""
    dialect = recognize(header)
    if dialect is None or len(header) < dialect.plain.size:
        raise FormatError("no header where a member should start")
    sizes = []
    for field in dialect.plain.fields:
        if field.name != "magic":
            value = field.codec.decode(header[field.start : field.stop])
            if field.name in {"namesize", "filesize"}:
                sizes.append((field.name, value))
    found = dict(sizes)
    if not 0 < found["namesize"] <= NAME_LIMIT:
        raise FormatError("a name that cannot be")
    return dialect, found["namesize"], found["filesize"]


def member_key(name: bytes) -> bytes:
    """Return what aligns a member: its name without the `./` that some tools write."""
    while name.startswith(b"./") and len(name) > 2:
        name = name[2:].lstrip(b"/") or b"."
    return name.rstrip(b"/") or name


def parse(source: Source, budget: Budget) -> Group:
    """Read the headers of all members of all archives; contents stay where they are."""
    archives: list[tuple[list[Node], dict[str, Node]]] = []
    at, size = 0, source.size
    whole = True
    while whole and recognize(source.read(at, at + 6)):
        try:
            nodes, at, whole = _archive(source, at, budget, first=not archives)
        except FormatError:
            if not archives:
                raise
            break
        if not nodes:
            break
        zeros = _zeros(source, at) if whole else at
        refs: dict[str, Node] = {"trailer": nodes[-1]}
        if zeros < size:
            nodes.append(Leaf("zeros", at, zeros))
        elif whole:
            block = _block(at - nodes[0].start, zeros - at)
            # Also where it is empty: that an archive is not filled up is a fact that can differ.
            nodes.append(Leaf("blocking", at, zeros, Role.DERIVED, derive=fill_block(block), refs=refs))
        archives.append((nodes, refs))
        at = zeros
    if not archives:
        raise FormatError("no cpio header at the start")
    nodes = archives[0][0]
    if len(archives) > 1:
        nodes = []
        for number, (found, refs) in enumerate(archives, 1):
            group = Group("archive", found[0].start, found[-1].stop, listed(found), b"%d" % number)
            refs["archive"] = group
            nodes.append(group)
    if whole and at < size:
        nodes.append(Leaf("rest", at, size, Role.PAYLOAD))
    root = Group("cpio", 0, size, listed(nodes))
    archives[0][1].setdefault("archive", root)
    return root


def _archive(source: Source, start: int, budget: Budget, *, first: bool) -> tuple[list[Node], int, bool]:
    """Return the members of one archive with its trailer, where they end, and whether there is a trailer."""
    nodes: list[Node] = []
    at = start
    while at < source.size:
        try:
            dialect, name, size = _sizes(source.read(at, at + 110))
        except (FormatError, ValueError) as error:
            if not nodes and first:
                raise FormatError(str(error)) from error
            return nodes, at, False
        body = at + dialect.plain.size
        content = body + name + _fill(dialect, dialect.plain.size + name)
        stop = content + size
        stop = min(stop + _fill(dialect, size), source.size) if stop <= source.size else stop
        label = source.read(body, body + name).rstrip(b"\0")
        if stop > source.size or len(label) >= name:
            if not nodes and first:
                raise FormatError("a member is cut off")
            return nodes, at, False
        member = Member(source, dialect, name, size)
        if label == TRAILER:
            nodes.append(Group("trailer", at, stop, _expand_member, info=member))
            return nodes, stop, True
        nodes.append(Group("member", at, stop, _expand_member, member_key(label), member))
        budget.count(1)
        at = stop
    return nodes, at, False


def _fill(dialect: Dialect, size: int) -> int:
    return -size % dialect.unit


def _zeros(source: Source, at: int) -> int:
    """Return where the NULs end that start at an offset."""
    while at < source.size:
        piece = source.read(at, at + (1 << 16))
        rest = piece.lstrip(b"\0")
        at += len(piece) - len(rest)
        if rest or not piece:
            break
    return at


@cache
def fill_block(size: int) -> Derive:
    """Return how many zeros follow from filling up an archive to blocks of a size in bytes."""
    return lambda _raw, refs: bytes(-(refs.offset("trailer") + refs.size("trailer") - refs.offset("archive")) % size)


def _block(end: int, zeros: int) -> int:
    """Return the block size that explains how many zeros follow the `end` bytes of an archive."""
    return next((size for size in BLOCKS if -end % size == zeros), BLOCK)


@cache
def _filled(name: str, before: int, unit: int) -> Derive:
    return lambda _raw, refs: bytes(-(before + refs.size(name)) % unit)


def _expand_member(group: Group) -> list[Node]:
    member: Member = group.info
    dialect = member.dialect
    table = dialect.plain
    if group.name == "trailer":
        table = dialect.end
    elif member.size and dialect.sums is not table and stat(group).mode & IFMT == IFREG:
        table = dialect.sums
    at = group.start + table.size
    name = Leaf("name", at, at + member.name, Role.VALUE, TEXT)
    at = name.stop + _fill(dialect, table.size + member.name)
    content = Leaf("content", at, at + member.size, Role.PAYLOAD)
    nodes: list[Node] = [Record("header", group.start, table, {"name": name, "content": content}), name]
    if dialect.unit > 1:
        derive = _filled("name", table.size, dialect.unit)
        nodes.append(Leaf("namepad", name.stop, at, Role.DERIVED, derive=derive, refs={"name": name}))
    if member.size:
        nodes.append(content)
        if dialect.unit > 1:
            derive = _filled("content", 0, dialect.unit)
            nodes.append(
                Leaf("padding", content.stop, group.stop, Role.DERIVED, derive=derive, refs={"content": content})
            )
    return nodes


FORMAT = Format("cpio", "cpio(5); POSIX.1-1997 pax; Linux initramfs buffer format", parse)
