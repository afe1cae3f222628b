"""ar archives: GNU (System V), BSD and thin ones, with the symbol tables of both, and so Debian packages.

Specifications: ar(5) of FreeBSD for the header and the BSD names, the GNU binutils' bfd/archive.c for the tables
`/`, `/SYM64/` and `//`, Microsoft PE/COFF "Archive (Library) File Format" for the second linker member. Members are
aligned by their full name. A member's place follows from those before it, and with it every reference in a table.
"""

from collections.abc import Iterator

from reprodiff.budget import Budget
from reprodiff.errors import FormatError
from reprodiff.formats import Format
from reprodiff.formats.ar.header import WIDTH, Archive, Member, Symbol, decimal, derive_padding, framed
from reprodiff.formats.ar.tables import is_table, table_member
from reprodiff.sources import Source
from reprodiff.tree import Group, Leaf, Node, Role, children, listed

__all__ = ["FORMAT", "Archive", "Member", "Symbol", "derive_padding", "index", "movable"]

THIN = b"!<thin>\n"
FMAG = b"`\n"
DEB = b"debian-binary"


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
    special = is_table(field, name)
    stored = 0 if archive.thin and not special else length - before
    content = body + before
    stop = content + stored
    if stop > source.size:
        raise FormatError("a member is cut off")
    stop += _padding(source, stop, before + stored)
    member = Member(archive, before, stored, entry)
    if special:
        return table_member(archive, member, field, name, start, stop)
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
    nodes = framed(group, member, content, parts)
    if member.archive.thin:
        nodes.pop()
    return nodes


def _maps(root: Group) -> Iterator[tuple[str, list[Node]]]:
    """Yield kind and parts of every symbol table of an archive."""
    for table in children(root):
        if isinstance(table, Group) and table.name in {"symbols", "symdef", "linker"}:
            for body in children(table):
                if isinstance(body, Group):
                    yield table.name, children(body)


def movable(root: Group) -> bool:
    """Tell whether all symbol tables of an archive can follow when its members move."""
    return not any(node.name == "unknown" for _kind, nodes in _maps(root) for node in nodes)


def index(root: Group) -> list[tuple[bytes, bytes]]:
    """Return the symbols of an archive's tables, sorted: (name of the member, symbol)."""
    found: set[tuple[bytes, bytes]] = set()
    for kind, nodes in _maps(root):
        for node in nodes:
            if not isinstance(node, Group) or node.name not in {"names", "ranlibs"}:
                continue
            for part in children(node):
                if isinstance(part, Group) and isinstance(part.info, Symbol):
                    member = part.info.member.key or b""
                    if kind == "symdef":
                        found.add((member, part.key or b""))
                    else:
                        raw = part.info.archive.source.read(part.start, part.stop)
                        found.update((member, name) for name in raw.split(b"\0")[:-1])
    return sorted(found)


FORMAT = Format("ar", "ar(5); GNU binutils bfd/archive.c", parse)
