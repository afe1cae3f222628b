"""Mach-O files and fat binaries of them: programs, libraries and objects of macOS and its kin.

Specification: mach-o/loader.h, fat.h, nlist.h and stab.h. Sections and the parts of the link-edit segment are the
partition; load commands are references to them. `follow` follows addresses where more than identifiers and times
differs.
"""

from functools import cache
from itertools import pairwise
from typing import NamedTuple

from reprodiff.budget import Budget
from reprodiff.codecs import RAW, TEXT, name_text
from reprodiff.errors import FormatError
from reprodiff.formats import Format, Walk
from reprodiff.formats.macho.signature import signature
from reprodiff.formats.macho.symbols import Symbols, strings, symbols, walk_symbols
from reprodiff.formats.macho.tables import (
    CODE_SIGNATURE,
    COMMANDS,
    CPUS,
    DYLD_INFO,
    DYLD_PARTS,
    DYLIBS,
    DYSYMTAB,
    FAT,
    LINKEDIT,
    SEGMENT,
    SEGMENT_64,
    STRINGS,
    SYMTAB,
    UUID,
    Layout,
    Order,
    fat,
    layout,
)
from reprodiff.formats.parts import Identifiers, Parts, differ, followed, itself, notice, rows, settle
from reprodiff.sources import Source
from reprodiff.tree import Derive, Group, Leaf, Node, Record, Role, children, listed

MAGICS: dict[bytes, tuple[Order, bool]] = {
    b"\xcf\xfa\xed\xfe": ("little", True),
    b"\xce\xfa\xed\xfe": ("little", False),
    b"\xfe\xed\xfa\xcf": ("big", True),
    b"\xfe\xed\xfa\xce": ("big", False),
}
FATS = {b"\xca\xfe\xba\xbe": False, b"\xca\xfe\xba\xbf": True}
# A class file of Java has the same magic, and a version of 45 or more where the number of files stands.
MOST_FILES = 40
# Sections without bytes in the file: S_ZEROFILL, S_GB_ZEROFILL, S_THREAD_LOCAL_ZEROFILL.
ZEROFILL = frozenset({0x01, 0x0C, 0x12})


class Facts(NamedTuple):
    """What rules ask about a file. signed: with a key; identifiers: see there; symbols: its symbol table, if any;
    notes: what cannot be, in words."""

    signed: bool
    identifiers: Identifiers
    symbols: Symbols | None
    notes: list[str]


class Reader:
    """Reads one thin file: takes in what its load commands point to."""

    def __init__(self, source: Source, budget: Budget, tables: Layout) -> None:
        self.source = source
        self.budget = budget
        self.tables = tables
        self.parts = Parts(0, source.size)
        self.file: dict[str, Node] = {}
        self.uuids: list[Leaf] = []
        self.hashes: list[Leaf] = []
        self.symbols: Symbols | None = None
        self.signed = False
        self.notes: list[str] = []
        # Refs of the segment that reaches to the end of the file.
        self.linkedit: dict[str, Node] | None = None

    def number(self, at: int, width: int = 4) -> int:
        """Return a number of the file, in its byte order."""
        return int.from_bytes(self.source.read(at, at + width), self.tables.order)

    def leaf(self, name: str, start: int, size: int, role: Role = Role.VALUE) -> dict[str, Node]:
        """Take in a part of one leaf; returns the references to it, none where it has no room."""
        leaf = Leaf(name, start, start + size, role)
        return {name: leaf} if start and self.parts.add(leaf) else {}

    def command(self, kind: int, start: int, size: int) -> Group:
        """Describe a load command and take in what it points to."""
        name = COMMANDS.get(kind & 0xFFFFFFFF, f"command_{kind:x}")
        stop, tables = start + size, self.tables
        refs: dict[str, Node] = {}
        key: bytes | None = None
        table = tables.command
        after: list[Node] = []
        if kind in (SEGMENT, SEGMENT_64):
            return self.segment(name, start, size)
        if kind == UUID and size == 24:
            group = rows(name, start, tables.uuid)
            self.uuids += [leaf for leaf in children(group) if isinstance(leaf, Leaf) and leaf.derive is itself]
            return group
        if kind in DYLIBS | STRINGS:
            table = tables.dylib if kind in DYLIBS else tables.string
            if self.number(start + 8) == table.size < size:
                path = Leaf("name" if kind in DYLIBS else "path", start + table.size, stop, codec=TEXT)
                after = [path]
                if kind in DYLIBS:
                    key = self.source.read(path.start, path.stop).split(b"\0", 1)[0]
            else:
                table = tables.command
        elif kind == SYMTAB and size == tables.symtab[True].size:
            refs = self.symbol_table(*(self.number(start + at) for at in (8, 12, 16, 20)))
            table = tables.symtab[len(refs) == 2]
        elif kind == DYSYMTAB and size == tables.dysymtab[True].size:
            refs = self.leaf("indirect", self.number(start + 56), 4 * self.number(start + 60))
            table = tables.dysymtab[bool(refs)]
        elif kind in DYLD_INFO and size == tables.dyld_info[True].size:
            missing = False
            for number, part in enumerate(DYLD_PARTS):
                at = start + 8 + 8 * number
                found = self.leaf(part, self.number(at), self.number(at + 4))
                missing = missing or (not found and any(self.source.read(at, at + 8)))
                refs.update(found)
            table = tables.dyld_info[not missing]
        elif kind in LINKEDIT and size == tables.data[True].size:
            offset, length = self.number(start + 8), self.number(start + 12)
            if kind == CODE_SIGNATURE:
                refs = self.code_signature(offset, length)
            elif leaf := self.leaf(name.removeprefix("lc_"), offset, length):
                refs = {"data": next(iter(leaf.values()))}
            table = tables.data["data" in refs]
        if table.size > size:
            raise FormatError("a load command is shorter than its kind")
        record = Record("fields", start, table, refs)
        if not after and record.stop < stop:
            after = [Leaf("data", record.stop, stop)]
        group = Group(name, start, stop, listed([record, *after]), key)
        refs["command"] = group
        return group

    def segment(self, name: str, start: int, size: int) -> Group:
        """Describe a segment's command and take in its sections."""
        tables = self.tables
        segname = self.source.read(start + 8, start + 24).rstrip(b"\0")
        last = segname == b"__LINKEDIT"
        refs: dict[str, Node] = {}
        table = tables.linkedit if last else tables.segment
        if table.size > size:
            raise FormatError("a segment's command is cut off")
        record = Record("fields", start, table, refs)
        nodes: list[Node] = [record]
        width = next(iter(tables.section.values())).size
        count = min(self.number(record.stop - 8), (size - table.size) // width)
        self.budget.count(count)
        nodes += [self.section(record.stop + number * width) for number in range(count)]
        if nodes[-1].stop < start + size:
            nodes.append(Leaf("data", nodes[-1].stop, start + size))
        group = Group(name, start, start + size, listed(nodes), segname)
        refs["command"] = group
        if last:
            self.linkedit = refs
        return group

    def section(self, start: int) -> Group:
        """Describe a section's header and take in its bytes and relocations."""
        names = self.source.read(start, start + 32)
        key = names[16:].rstrip(b"\0") + b"," + names[:16].rstrip(b"\0")
        width = 8 if self.tables.wide else 4
        at = start + 32 + width
        size, offset = self.number(at, width), self.number(at + width)
        reloff, nreloc, flags = (self.number(at + width + more) for more in (8, 12, 16))
        refs: dict[str, Node] = {}
        data = Group("section", offset, offset + size, listed([Leaf("data", offset, offset + size)]), key)
        if offset and flags & 0xFF not in ZEROFILL and self.parts.add(data):
            refs["data"] = data
        elif offset and size and flags & 0xFF not in ZEROFILL:
            self.notes.append(f"the bytes of section {name_text(key)} lie outside of the file, or in another part")
        entries = Leaf("entries", reloff, reloff + 8 * nreloc)
        relocations = Group("relocations", entries.start, entries.stop, listed([entries]), key)
        if reloff and self.parts.add(relocations):
            refs["relocations"] = relocations
        table = self.tables.section["data" in refs, "relocations" in refs]
        fields = Record("fields", start, table, refs)
        return Group("sectionheader", start, fields.stop, listed([fields]), key)

    def symbol_table(self, symoff: int, nsyms: int, stroff: int, strsize: int) -> dict[str, Node]:
        """Take in the symbol table and its strings."""
        width = 16 if self.tables.wide else 12
        if not symoff or not self.parts.fits(symoff, symoff + nsyms * width) or self.symbols is not None:
            return {}
        table = symbols(self.source, symoff, nsyms, self.tables, self.budget)
        text = strings(self.source, stroff, stroff + strsize, table)
        found: dict[str, Node] = {node.name: node for node in (table.group, text) if self.parts.add(node)}
        if len(found) == 2:
            self.symbols = table._replace(strings=text)
        return found

    def code_signature(self, offset: int, size: int) -> dict[str, Node]:
        """Take in the code signature."""
        if not offset or not self.parts.fits(offset, offset + size):
            return {}
        group, self.signed = signature(self.source, offset, offset + size, self.file)
        self.parts.add(group)
        self.hashes += [leaf for leaf in children(group) if isinstance(leaf, Leaf) and leaf.derive]
        return {"data": group}


def probe(head: bytes, source: Source) -> bool:
    """Tell a Mach-O file by its magic and a header that can be one."""
    if head[:4] in FATS:
        width = fat(wide=FATS[head[:4]]).size
        count = int.from_bytes(head[4:8], "big")
        return 0 < count < MOST_FILES and FAT.size + count * width <= source.size
    order, wide = MAGICS[head[:4]]
    size = int.from_bytes(head[20:24], order)
    return len(head) >= 28 and int.from_bytes(head[4:8], order) in CPUS and (32 if wide else 28) + size <= source.size


def parse(source: Source, budget: Budget) -> Group:
    """Read the load commands and all that they point to; the files of a fat binary stay where they are."""
    magic = source.read(0, 4)
    if magic in FATS:
        return _fat(source, budget, wide=FATS[magic])
    return _thin(source, budget, *MAGICS[magic])


@cache
def _zeros(stop: int) -> Derive:
    return lambda _raw, refs: bytes(max(0, stop - refs.offset("commands") - refs.size("commands")))


def _thin(source: Source, budget: Budget, order: Order, wide: bool) -> Group:
    tables = layout(order, wide=wide)
    reader = Reader(source, budget, tables)
    refs: dict[str, Node] = {}
    header = Record("header", 0, tables.header, refs)
    count, size = reader.number(16), reader.number(20)
    start, stop = header.stop, header.stop + size
    nodes: list[Node] = []
    commands = Group("commands", start, stop, listed(nodes))
    if not reader.parts.add(header) or (size and not reader.parts.add(commands)):
        raise FormatError("the load commands are cut off")
    at = start
    for number in range(min(count, size // 8)):
        width = reader.number(at + 4)
        if width < 8 or at + width > stop:
            reader.notes.append("a load command is longer than all of them")
            break
        budget.count(1)
        command = reader.command(reader.number(at), at, width)
        refs[f"command {number}"] = command
        nodes.append(command)
        at += width
    refs["commands"] = commands
    parts = reader.parts.nodes()
    if len(parts) > 2 and parts[2].start > stop:
        # Linkers leave room for commands that are added later.
        until = parts[2].start
        reader.parts.add(Leaf("padding", stop, until, Role.DERIVED, derive=_zeros(until), refs={"commands": commands}))
    facts = Facts(reader.signed, Identifiers([], reader.uuids, reader.hashes), reader.symbols, reader.notes)
    root = Group("macho", 0, source.size, listed(reader.parts.nodes()), info=facts)
    reader.file["file"] = root
    if reader.linkedit is not None:
        reader.linkedit["file"] = root
    return root


@cache
def _aligned(shift: int) -> Derive:
    return lambda _raw, refs: bytes(-(refs.offset("before") + refs.size("before")) % (1 << shift))


def _fat(source: Source, budget: Budget, *, wide: bool) -> Group:
    table = fat(wide=wide)
    width = 8 if wide else 4
    header = Record("header", 0, FAT)
    count = int.from_bytes(source.read(4, 8), "big")
    parts = Parts(0, source.size)
    nodes: list[Node] = []
    headers = Group("arches", FAT.size, FAT.size + count * table.size, listed(nodes))
    if not parts.add(header) or not parts.add(headers):
        raise FormatError("the list of files is cut off")
    aligns: dict[int, int] = {}
    for number in range(count):
        at = FAT.size + number * table.size
        raw = source.read(at, at + table.size)
        offset, size = (int.from_bytes(raw[i : i + width], "big") for i in (8, 8 + width))
        cpu = int.from_bytes(raw[:4], "big")
        key = CPUS.get(cpu, hex(cpu)).encode()
        budget.count(1)
        content = Leaf("content", offset, offset + size, Role.PAYLOAD)
        found = Group("arch", offset, offset + size, listed([content]), key)
        refs: dict[str, Node] = {"content": content} if parts.add(found) else {}
        if not refs:
            raise FormatError("a file of a fat binary is cut off, or lies in another")
        aligns[offset] = min(int.from_bytes(raw[8 + 2 * width : 12 + 2 * width], "big"), 31)
        fields = Record("fields", at, table, refs)
        nodes.append(Group("fat_arch", at, fields.stop, listed([fields]), key))
    placed = parts.nodes()
    for before, node in pairwise(placed[1:]):
        gap = node.start - before.stop
        if gap:
            derive = _aligned(aligns[node.start])
            parts.add(
                Leaf("padding", before.stop, node.start, Role.DERIVED, RAW, derive=derive, refs={"before": before})
            )
    facts = Facts(signed=False, identifiers=Identifiers([], [], []), symbols=None, notes=[])
    return Group("macho", 0, source.size, listed(parts.nodes()), info=facts)


def compare(walk: Walk, left: Group, right: Group) -> None:
    """Compare two trees; an identifier that differs although nothing else does follows from nothing."""
    one, two = left.info, right.info
    notice(walk, one.notes, two.notes)
    settle(walk, one.identifiers, two.identifiers)
    if _moved(walk, left, right) and followed(walk, left, right, "macho"):
        return
    if one.symbols is None or two.symbols is None or not walk_symbols(walk, left, right, one.symbols, two.symbols):
        walk.nodes(left, right, "macho", ())


def _moved(walk: Walk, left: Group, right: Group) -> bool:
    """Tell whether bytes of sections differ, or where they lie."""
    return differ(walk, *([node for node in children(root) if node.name == "section"] for root in (left, right)))


FORMAT = Format("macho", "mach-o/loader.h, fat.h, nlist.h, stab.h", parse, walk=compare)
