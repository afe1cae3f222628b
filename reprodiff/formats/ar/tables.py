"""What is no member of an ar archive: the table of long names, and the symbol tables of all dialects."""

from functools import cache
from typing import Literal, NamedTuple

from reprodiff.codecs import BE, LE
from reprodiff.errors import NormalizeError
from reprodiff.formats.ar.header import WIDTH, Archive, Member, Symbol, framed
from reprodiff.tree import Derive, Field, Group, Leaf, Linked, Node, Record, Refs, Role, Table, listed

# Names of symbol tables: the width of their numbers in bytes.
SYMBOLS = {b"/": 4, b"/SYM64/": 8}
SYMDEFS = {b"__.SYMDEF": 4, b"__.SYMDEF SORTED": 4, b"__.SYMDEF_64": 8, b"__.SYMDEF_64 SORTED": 8}
NAMES = b"//"


def is_table(field: bytes, name: bytes) -> bool:
    """Tell whether a member with that name field, and that name, is a table of the archive."""
    return field == NAMES or field in SYMBOLS or name in SYMDEFS


def table_member(archive: Archive, member: Member, field: bytes, name: bytes, start: int, stop: int) -> Group:
    """Return the group of a table; its references are bound to members, which are parsed after it."""
    at = start + WIDTH + member.name
    end = at + member.size
    if field == NAMES:
        return Group("names", start, stop, _expand_table, info=(member, _names(archive, at, end)))
    if name in SYMDEFS:
        body = Linked("map", at, end, _expand_symdef, info=(archive, SYMDEFS[name], name.endswith(b"SORTED")))
        return Linked("symdef", start, stop, _expand_table, info=(member, body))
    if field == b"/" and archive.symbols:
        archive.linker = True
        body = Linked("map", at, end, _expand_linker, info=archive)
        return Linked("linker", start, stop, _expand_table, info=(member, body))
    archive.symbols = True
    body = Linked("map", at, end, _expand_symbols, info=(archive, SYMBOLS[field]))
    return Linked("symbols", start, stop, _expand_table, info=(member, body))


def _expand_table(group: Group) -> list[Node]:
    member, body = group.info
    return framed(group, member, body, [body])


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
    symbols: int
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
            runs[-1] = runs[-1]._replace(symbols=runs[-1].symbols + 1, stop=stop)
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
    total = sum(run.symbols for run in runs)
    first = width + total * width
    parts: list[Node] = [
        Linked(
            "member",
            start + run.start,
            start + run.stop,
            _expand_run,
            run.member.key,
            Symbol(archive, run.member),
            target=run.member,
        )
        for run in runs
    ]
    end = start + (runs[-1].stop if runs else first)
    bound: dict[str, Node] = {}
    for number, (run, part) in enumerate(zip(runs, parts, strict=True)):
        bound[f"run{number}"] = part
        bound[f"member{number}"] = run.member
    offsets = Leaf("offsets", start + width, start + first, Role.DERIVED, derive=_derive_offsets, refs=bound)
    names = Linked("names", start + first, end, listed(parts))
    refs: dict[str, Node] = {"offsets": offsets, "names": names}
    counter = Leaf("count", start, start + width, Role.DERIVED, BE, derive=_derive_count, refs=refs)
    refs["count"] = bound["count"] = counter
    # LLVM and rustc fill up narrow tables to 8 bytes as well.
    filled = group.stop - end != -(end - start) % 2
    fill = _derive_zeros_to_8 if filled or width == 8 else _derive_zeros
    return [counter, offsets, names, Leaf("fill", end, group.stop, Role.DERIVED, derive=fill, refs=refs)]


def _derive_count(raw: bytes, refs: Refs) -> bytes:
    return (refs.size("offsets") // len(raw)).to_bytes(len(raw), "big")


def _derive_zeros(_raw: bytes, refs: Refs) -> bytes:
    return bytes(-(refs.size("count") + refs.size("offsets") + refs.size("names")) % 2)


def _derive_zeros_to_8(_raw: bytes, refs: Refs) -> bytes:
    return bytes(-(refs.size("count") + refs.size("offsets") + refs.size("names")) % 8)


def _derive_offsets(_raw: bytes, refs: Refs) -> bytes:
    """Return the places of the members that the runs of symbols, in their order, are about."""
    width = refs.size("count")
    runs: list[tuple[int, int]] = []
    while refs.has(f"run{len(runs)}"):
        runs.append((refs.offset(f"run{len(runs)}"), len(runs)))
    try:
        return b"".join(
            refs.offset(f"member{n}").to_bytes(width, "big") * refs.raw(f"run{n}").count(b"\0")
            for _place, n in sorted(runs)
        )
    except OverflowError as error:
        raise NormalizeError("a member lies beyond what the symbol table can refer to") from error


def _expand_run(group: Group) -> list[Node]:
    return [Leaf("symbols", group.start, group.stop)]


def _member_offset(_raw: bytes, refs: Refs) -> bytes:
    return refs.offset("member").to_bytes(4, "little")


def _expand_linker(group: Group) -> list[Node]:
    """Describe the second linker member: members by number, then symbols by name with the number of their member."""
    archive: Archive = group.info
    start, data = group.start, archive.source.read(group.start, group.stop)
    count = int.from_bytes(data[:4], "little")
    found = [archive.starts.get(int.from_bytes(data[at : at + 4], "little")) for at in range(4, 4 + 4 * count, 4)]
    members = [member for member in found if member is not None]
    if len(members) != count or len(data) < 4 + 4 * count:
        return [Leaf("unknown", start, group.stop)]

    end = start + 4 + 4 * count
    entries: list[Node] = []
    for number, member in enumerate(members):
        at = start + 4 + 4 * number
        place = Leaf("offset", at, at + 4, Role.DERIVED, LE, derive=_member_offset, refs={"member": member})
        entries.append(Linked("member", at, at + 4, listed([place]), member.key, target=member))
    places = Linked("offsets", start + 4, end, listed(entries))
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
        strings = int.from_bytes(data[at : at + width], order)
        if size % (2 * width) == 0 and at + width + strings <= len(data):
            return order
    return None


@cache
def _length(name: str, width: int, order: Literal["little", "big"]) -> Derive:
    return lambda _raw, refs: refs.size(name).to_bytes(width, order)


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
        info = Symbol(archive, member, by_name)
        entries.append(Linked("symbol", at, record.stop, listed([record]), string.key, info, target=member))
    ranlibs = Linked("ranlibs", start + width, start + middle, listed(entries))

    bound: dict[str, Node] = {"ranlibs": ranlibs, "strings": strings}
    codec = LE if order == "little" else BE
    nodes: list[Node] = [
        Leaf(
            "ranlibs_size",
            start,
            start + width,
            Role.DERIVED,
            codec,
            derive=_length("ranlibs", width, order),
            refs=bound,
        ),
        ranlibs,
        Leaf(
            "strings_size",
            start + middle,
            start + first,
            Role.DERIVED,
            codec,
            derive=_length("strings", width, order),
            refs=bound,
        ),
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
