"""ar archives: GNU (System V), BSD and thin ones, with the symbol tables of both, and so Debian packages.

Specifications: ar(5) of FreeBSD for the header and the BSD names, the GNU binutils' bfd/archive.c for the tables
`/`, `/SYM64/` and `//`, Microsoft PE/COFF "Archive (Library) File Format" for the second linker member. Members are
aligned by their full name. A member's place follows from those before it, and with it every reference in a table.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, Literal, NamedTuple

from reprodiff.budget import Budget
from reprodiff.codecs import BE, LE, RAW, TEXT, Codec, show_bytes, show_mode, show_time
from reprodiff.errors import FormatError, NormalizeError
from reprodiff.formats import Format
from reprodiff.sources import Source
from reprodiff.tree import Derive, Field, Group, Leaf, Node, Record, Refs, Role, Table, children, listed

MAGIC, THIN = b"!<arch>\n", b"!<thin>\n"
FMAG = b"`\n"
WIDTH = 60
DEB = b"debian-binary"
# Names of symbol tables, without the closing slash: the width of their numbers in bytes.
SYMBOLS = {b"/": 4, b"/SYM64/": 8}
SYMDEFS = {b"__.SYMDEF": 4, b"__.SYMDEF SORTED": 4, b"__.SYMDEF_64": 8, b"__.SYMDEF_64 SORTED": 8}


def _integer(base: int, digits: bytes) -> Callable[[bytes], int]:
    def decode(raw: bytes) -> int:
        text = raw.strip(b" ")
        if text.strip(digits):
            raise ValueError("not a number")
        return int(text, base) if text else 0

    return decode


def _spell(form: bytes) -> Callable[[Any, int], bytes]:
    def encode(value: Any, size: int) -> bytes:
        text = form % int(value)
        if len(text) > size or value < 0:
            raise ValueError(f"{value} does not fit into {size} characters")
        return text.ljust(size)

    return encode


decimal = _integer(10, b"0123456789")
NUMBER = Codec(decimal, _spell(b"%d"), str)
TIME = Codec(decimal, _spell(b"%d"), show_time)
MODE = Codec(_integer(8, b"01234567"), _spell(b"%o"), show_mode)
NAME = Codec(lambda raw: raw.rstrip(b" "), lambda value, size: value.ljust(size), show_bytes)


class Archive:
    """What the nodes of one archive share.

    starts  members by offset: what a symbol table refers to
    names   entries of the table of long names by their offset in it
    symbols whether there is a System V symbol table
    linker  whether there is a second linker member, whose indices rely on the order of the members
    """

    __slots__ = ("deb", "linker", "names", "source", "starts", "symbols", "table", "thin")

    def __init__(self, source: Source, *, thin: bool) -> None:
        self.source = source
        self.thin = thin
        self.deb = False
        self.linker = False
        self.symbols = False
        self.starts: dict[int, Group] = {}
        self.names: dict[int, Group] = {}
        self.table: Group | None = None

    def long_names(self) -> list[bytes | None]:
        """Return the entries of the table of long names."""
        return [entry.key for entry in self.names.values()]


class Member(NamedTuple):
    """What the header of a member says. name: bytes of a BSD name before the content; size: of the content, 0 in
    a thin archive; entry: offset in the table of long names, -1 for none."""

    archive: Archive
    name: int
    size: int
    entry: int


class Symbol(NamedTuple):
    """A part of a symbol table: the member that it is about, and whether the table is sorted by symbol."""

    archive: Archive
    member: Group
    sorted: bool = False


def _derive_size(header: bytes, refs: Refs) -> bytes:
    old = header[48:58]
    size = refs.size("content") + (refs.size("name") if refs.has("name") else 0)
    try:
        return old if decimal(old) == size and old.strip() else b"%-10d" % size
    except ValueError:
        return b"%-10d" % size


def _derive_entry(header: bytes, refs: Refs) -> bytes:
    # A member of an archive that a thin one refers to adds its place there: `/12:340`.
    _name, mark, place = header[:16].rstrip(b" ").partition(b":")
    return (b"/%d" % (refs.offset("entry") - refs.offset("table")) + mark + place).ljust(16)


def _derive_name_length(_header: bytes, refs: Refs) -> bytes:
    return (b"#1/%d" % refs.size("name")).ljust(16)


@cache
def header(name: Derive | None, size: Derive | None) -> Table:
    """Return the table of a header (ar(5), struct ar_hdr) by what name and size follow from."""
    return Table(
        Field("name", 16, NAME, Role.DERIVED if name else Role.VALUE, name),
        Field("date", 12, TIME),
        Field("uid", 6, NUMBER),
        Field("gid", 6, NUMBER),
        Field("mode", 8, MODE),
        Field("size", 10, NUMBER, Role.DERIVED if size else Role.VALUE, size),
        Field("fmag", 2, RAW, Role.FIXED),
    )


def _derive_padding(_raw: bytes, refs: Refs) -> bytes:
    return b"\n" * (refs.size("content") + (refs.size("name") if refs.has("name") else 0) & 1)


def parse(source: Source, budget: Budget) -> Group:
    """Read the headers of all members; contents stay where they are."""
    size = source.size
    archive = Archive(source, thin=source.read(0, 8) == THIN)
    nodes: list[Node] = [Leaf("magic", 0, 8, Role.FIXED)]
    at = 8
    while at < size:
        head = source.read(at, at + WIDTH)
        try:
            node = _member(archive, head, at)
        except (FormatError, ValueError):
            if len(nodes) == 1:
                raise
            break
        nodes.append(node)
        budget.count(1)
        at = node.stop
    archive.deb = any(isinstance(node, Group) and node.key == DEB for node in nodes[1:2])
    return Group("ar", 0, size, listed(nodes), info=archive)


def _member(archive: Archive, head: bytes, start: int) -> Group:
    if len(head) < WIDTH or head[58:] != FMAG:
        raise FormatError("a member's header does not end as it must")
    source = archive.source
    field = head[:16].rstrip(b" ")
    length = decimal(head[48:58])
    body = start + WIDTH
    before, entry = 0, -1
    name = field.removesuffix(b"/") if len(field) > 1 else field
    if field.startswith(b"#1/") and field[3:].isdigit():
        before = int(field[3:])
        if before > length or before > 1 << 16:
            raise FormatError("a member's name is longer than the member")
        name = source.read(body, body + before).rstrip(b"\0")
    elif field[1:2].isdigit() and field[:1] == b"/":
        entry = int(field[1:].split(b":", 1)[0])
        found = archive.names.get(entry)
        name = (found.key or field if found else field) + field[1:].partition(b":")[1] + field[1:].partition(b":")[2]
    special = field in {*SYMBOLS, b"//"} or name in SYMDEFS
    stored = 0 if archive.thin and not special else length - before
    content = body + before
    stop = content + stored
    if stop > source.size:
        raise FormatError("a member is cut off")
    stop += _padding(source, stop, before + stored)
    member = Member(archive, before, stored, entry)
    if special:
        return _table_member(archive, member, field, name, start, stop)
    group = Group("member", start, stop, _expand_member, name, member)
    archive.starts[start] = group
    return group


def _padding(source: Source, at: int, size: int) -> int:
    """Return how many bytes follow a member to make its size even; some writers leave the byte out."""
    if size % 2 == 0 or at >= source.size:
        return 0
    after = source.read(at, at + WIDTH + 1)
    return 0 if after[:1] != b"\n" and after[58:60] == FMAG and after[59:61] != FMAG else 1


def _expand_member(group: Group) -> list[Node]:
    member: Member = group.info
    at = group.start + WIDTH + member.name
    content = Leaf("content", at, at + member.size, Role.PAYLOAD)
    parts: list[Node] = [content] if member.size else []
    nodes = _framed(group, member, content, parts)
    if member.archive.thin:
        nodes.pop()
    return nodes


def _framed(group: Group, member: Member, content: Node, parts: list[Node]) -> list[Node]:
    """Put header, BSD name and padding around the content of a member."""
    archive = member.archive
    refs: dict[str, Node] = {"content": content}
    at = group.start + WIDTH
    entry = archive.names.get(member.entry)
    derive: Derive | None = None
    if member.name:
        name = Leaf("name", at, at + member.name, Role.VALUE, TEXT)
        refs["name"] = name
        parts = [name, *parts]
        derive = _derive_name_length
    elif entry is not None and archive.table is not None:
        derive = _derive_entry
    bound = dict(refs)
    if entry is not None and archive.table is not None:
        bound.update(entry=entry, table=archive.table)
    thin = archive.thin and group.name == "member"
    padding = Leaf("padding", content.stop, group.stop, Role.DERIVED, derive=_derive_padding, refs=refs)
    return [Record("header", group.start, header(derive, None if thin else _derive_size), bound), *parts, padding]


# What is no member: tables of names and of symbols.


def _table_member(archive: Archive, member: Member, field: bytes, name: bytes, start: int, stop: int) -> Group:
    at = start + WIDTH + member.name
    end = at + member.size
    if field == b"//":
        return Group("names", start, stop, _expand_table, info=(member, _names(archive, at, end)))
    if name in SYMDEFS:
        body = Group("map", at, end, _expand_symdef, info=(archive, SYMDEFS[name], name.endswith(b"SORTED")))
        return Group("symdef", start, stop, _expand_table, info=(member, body))
    if field == b"/" and archive.symbols:
        archive.linker = True
        return Group("linker", start, stop, _expand_table, info=(member, Group("map", at, end, _expand_linker, info=archive)))
    archive.symbols = True
    body = Group("map", at, end, _expand_symbols, info=(archive, SYMBOLS[field]))
    return Group("symbols", start, stop, _expand_table, info=(member, body))


def _expand_table(group: Group) -> list[Node]:
    member, body = group.info
    return _framed(group, member, body, [body])


def _names(archive: Archive, start: int, stop: int) -> Group:
    """Describe the table of long names: entries that end in a newline, or in NUL where Microsoft's tools wrote it."""
    data = archive.source.read(start, stop)
    nodes: list[Node] = []
    at = 0
    while at < len(data):
        ends = [end for end in (data.find(b"\n", at), data.find(b"\0", at)) if end >= 0]
        if not ends or ends == [at]:
            break
        end = min(ends) + 1
        name = data[at:end].rstrip(b"\n\0").removesuffix(b"/")
        entry = Group("name", start + at, start + end, _expand_name, name, archive)
        archive.names[at] = entry
        nodes.append(entry)
        at = end
    table = Group("table", start, stop, listed(nodes))
    if at % 2 == 0 or at < len(data):
        # GNU ar counts the byte that makes the size even; where it was left out of the size, it is padding.
        refs: dict[str, Node] = {node.name + str(number): node for number, node in enumerate(nodes)}
        nodes.append(Leaf("fill", start + at, stop, Role.DERIVED, derive=_derive_fill, refs=refs))
    archive.table = table
    return table


def _derive_fill(_raw: bytes, refs: Refs) -> bytes:
    size = number = 0
    while refs.has(f"name{number}"):
        size += refs.size(f"name{number}")
        number += 1
    return b"\n" * (size & 1)


def _expand_name(group: Group) -> list[Node]:
    data = group.info.source.read(group.start, group.stop)
    end = group.start + len(data.rstrip(b"\n\0").removesuffix(b"/"))
    return [Leaf("name", group.start, end), Leaf("end", end, group.stop)]


class _Run(NamedTuple):
    """Symbols of one member that follow each other: how many, and where their names are in the table."""

    member: Group
    count: int
    start: int
    stop: int


def _runs(archive: Archive, data: bytes, width: int) -> list[_Run] | None:
    """Return the runs of a System V symbol table; None where it does not refer to members."""
    count = int.from_bytes(data[:width], "big")
    first = at = width + count * width
    names = data[first:].split(b"\0", count)
    if first > len(data) or len(names) <= count:
        return None
    runs: list[_Run] = []
    for number in range(count):
        place = width + number * width
        member = archive.starts.get(int.from_bytes(data[place : place + width], "big"))
        if member is None:
            return None
        stop = at + len(names[number]) + 1
        if runs and runs[-1].member is member:
            runs[-1] = runs[-1]._replace(count=runs[-1].count + 1, stop=stop)
        else:
            runs.append(_Run(member, 1, at, stop))
        at = stop
    return runs


def _expand_symbols(group: Group) -> list[Node]:
    archive, width = group.info
    start = group.start
    data = archive.source.read(start, group.stop)
    runs = _runs(archive, data, width)
    if runs is None:
        return [Leaf("unknown", start, group.stop)]
    total = sum(run.count for run in runs)
    first = width + total * width
    parts: list[Node] = [
        Group("member", start + run.start, start + run.stop, _expand_run, run.member.key, Symbol(archive, run.member))
        for run in runs
    ]
    end = start + (runs[-1].stop if runs else first)
    bound: dict[str, Node] = {}
    for number, (run, part) in enumerate(zip(runs, parts, strict=True)):
        bound[f"run{number}"] = part
        bound[f"member{number}"] = run.member
    offsets = Leaf("offsets", start + width, start + first, Role.DERIVED, refs=bound)
    offsets.derive = _offsets([run.count for run in runs], width)
    names = Group("names", start + first, end, listed(parts))
    refs: dict[str, Node] = {"offsets": offsets, "names": names}

    def count(_raw: bytes, refs: Refs) -> bytes:
        return (refs.size("offsets") // width).to_bytes(width, "big")

    def fill(_raw: bytes, refs: Refs) -> bytes:
        return bytes(-(width + refs.size("offsets") + refs.size("names")) % (2 if width == 4 else 8))

    counter = Leaf("count", start, start + width, Role.DERIVED, BE, derive=count, refs=refs)
    return [counter, offsets, names, Leaf("fill", end, group.stop, Role.DERIVED, derive=fill, refs=refs)]


def _offsets(counts: list[int], width: int) -> Derive:
    """Return how the offsets of a symbol table follow from the places of its runs and of the members."""

    def derive(_raw: bytes, refs: Refs) -> bytes:
        order = sorted(range(len(counts)), key=lambda number: refs.offset(f"run{number}"))
        try:
            return b"".join(refs.offset(f"member{n}").to_bytes(width, "big") * counts[n] for n in order)
        except OverflowError as error:
            raise NormalizeError("a member lies beyond what the symbol table can refer to") from error

    return derive


def _expand_run(group: Group) -> list[Node]:
    return [Leaf("symbols", group.start, group.stop)]


def _expand_linker(group: Group) -> list[Node]:
    """Describe the second linker member: members by number, then symbols by name with the number of their member."""
    archive: Archive = group.info
    start, data = group.start, archive.source.read(group.start, group.stop)
    count = int.from_bytes(data[:4], "little")
    found = [archive.starts.get(int.from_bytes(data[at : at + 4], "little")) for at in range(4, 4 + 4 * count, 4)]
    bound: dict[str, Node] = {f"member{n}": member for n, member in enumerate(found) if member is not None}
    if len(bound) != count or len(data) < 4 + 4 * count:
        return [Leaf("unknown", start, group.stop)]

    def offsets(_raw: bytes, refs: Refs) -> bytes:
        return b"".join(refs.offset(f"member{n}").to_bytes(4, "little") for n in range(count))

    end = start + 4 + 4 * count
    places = Leaf("offsets", start + 4, end, Role.DERIVED, derive=offsets, refs=bound)
    counter = Leaf("count", start, start + 4, Role.VALUE, LE)
    return [counter, places, Leaf("symbols", end, group.stop)]


# The BSD symbol table (ranlib.h): sizes in bytes, pairs of a string's and a member's place, strings.


@cache
def _ranlib(width: int, order: Literal["little", "big"]) -> Table:
    """Return the table of one symbol: both of its numbers follow from the places of what they refer to."""

    def string(_record: bytes, refs: Refs) -> bytes:
        return (refs.offset("string") - refs.offset("strings")).to_bytes(width, order)

    def member(_record: bytes, refs: Refs) -> bytes:
        return refs.offset("member").to_bytes(width, order)

    codec = LE if order == "little" else BE
    return Table(
        Field("ran_strx", width, codec, Role.DERIVED, string), Field("ran_off", width, codec, Role.DERIVED, member)
    )


def _order(data: bytes, width: int) -> Literal["little", "big"] | None:
    """Return the byte order in which both sizes of a BSD symbol table fit it."""
    orders: tuple[Literal["little", "big"], ...] = ("little", "big")
    for order in orders:
        size = int.from_bytes(data[:width], order)
        at = width + size
        if size % (2 * width) == 0 and at + width <= len(data):
            if at + width + int.from_bytes(data[at : at + width], order) <= len(data):
                return order
    return None


def _expand_symdef(group: Group) -> list[Node]:
    archive, width, by_name = group.info
    start, data = group.start, archive.source.read(group.start, group.stop)
    order = _order(data, width)
    if order is None:
        return [Leaf("unknown", start, group.stop)]
    size = int.from_bytes(data[:width], order)
    middle = width + size
    first = middle + width
    end = first + int.from_bytes(data[middle:first], order)
    pairs = [
        (int.from_bytes(data[at : at + width], order), int.from_bytes(data[at + width : at + 2 * width], order))
        for at in range(width, middle, 2 * width)
    ]
    used: dict[int, Group] = {}
    for place, offset in pairs:
        if offset not in archive.starts or first + place >= end:
            return [Leaf("unknown", start, group.stop)]
        used.setdefault(place, archive.starts[offset])
    parts, by_place = _strings(archive, data, start, first, end, used, by_name=by_name)
    if not used.keys() <= by_place.keys():
        return [Leaf("unknown", start, group.stop)]
    strings = Group("strings", start + first, start + end, listed(parts))
    entries: list[Node] = []
    for number, (place, offset) in enumerate(pairs):
        member, string = archive.starts[offset], by_place[place]
        refs: dict[str, Node] = {"string": string, "strings": strings, "member": member}
        at = start + width + number * 2 * width
        record = Record("ranlib", at, _ranlib(width, order), refs)
        entries.append(
            Group("symbol", at, record.stop, listed([record]), string.key, Symbol(archive, member, by_name))
        )
    ranlibs = Group("ranlibs", start + width, start + middle, listed(entries))

    def length(name: str) -> Derive:
        return lambda _raw, refs: refs.size(name).to_bytes(width, order)

    bound: dict[str, Node] = {"ranlibs": ranlibs, "strings": strings}
    codec = LE if order == "little" else BE
    nodes: list[Node] = [
        Leaf("ranlibs_size", start, start + width, Role.DERIVED, codec, derive=length("ranlibs"), refs=bound),
        ranlibs,
        Leaf("strings_size", start + middle, start + first, Role.DERIVED, codec, derive=length("strings"), refs=bound),
        strings,
    ]
    if start + end < group.stop:
        nodes.append(Leaf("fill", start + end, group.stop))
    return nodes


def _strings(
    archive: Archive, data: bytes, start: int, first: int, end: int, used: dict[int, Group], *, by_name: bool
) -> tuple[list[Node], dict[int, Group]]:
    """Return the strings of a BSD symbol table, and by their place in it those that symbols refer to."""
    nodes: list[Node] = []
    found: dict[int, Group] = {}
    at = first
    while at < end:
        stop = data.find(b"\0", at, end) + 1 or end
        member = used.get(at - first)
        if member is None:
            break
        info = Symbol(archive, member, by_name)
        string = Group("string", start + at, start + stop, _expand_run, data[at : stop - 1], info)
        found[at - first] = string
        nodes.append(string)
        at = stop
    if at < end:
        nodes.append(Leaf("fill", start + at, start + end))
    return nodes, found


def movable(root: Group) -> bool:
    """Tell whether all symbol tables of an archive can follow when its members move."""
    return not any(
        node.name == "unknown"
        for table in children(root)
        if isinstance(table, Group) and table.name in {"symbols", "symdef", "linker"}
        for body in children(table)
        if isinstance(body, Group)
        for node in children(body)
    )


FORMAT = Format("ar", "ar(5); GNU binutils bfd/archive.c", parse)
