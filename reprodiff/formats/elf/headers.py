"""Compare the ELF header, program headers and section headers: what follows from sections that moved or grew."""

from typing import Any

from reprodiff.codecs import RAW
from reprodiff.formats import Walk
from reprodiff.formats.elf import siblings
from reprodiff.formats.elf.groups import signature
from reprodiff.formats.elf.image import Image
from reprodiff.formats.program.image import Program, Section, Segment
from reprodiff.formats.program.names import (
    PT_GNU_RELRO,
    PT_LOAD,
    PT_TLS,
    SHF_ALLOC,
    SHF_TLS,
    SHT_DYNSYM,
    SHT_GNU_VERDEF,
    SHT_GNU_VERNEED,
    SHT_GROUP,
    SHT_NOBITS,
    SHT_NULL,
    SHT_REL,
    SHT_RELA,
    SHT_SYMTAB,
)
from reprodiff.formats.program.rows import rows
from reprodiff.formats.program.sides import Both, Pair
from reprodiff.tree import Table

# What fills up between objects for the sake of their alignment is shorter.
FILLED = 64
PAGE = 4096
# As much may lie between sections for no alignment's sake.
GAP_MAX = 16
PAGE = 4096
WORD = 8


HEADER = "elf/sections/section[*]/header"


class Record:
    """Puts the fields of two records that differ."""

    def __init__(self, walk: Walk, table: Table, where: str, keys: tuple[bytes, ...], left: int, right: int) -> None:
        self.walk, self.table, self.where, self.keys, self.starts = walk, table, where, keys, (left, right)

    def put(self, name: str, follows: bool) -> None:
        field = self.table.by_name[name]
        one = self.starts[0] + field.start, self.starts[0] + field.stop
        two = self.starts[1] + field.start, self.starts[1] + field.stop
        if self.walk.left.read(*one) != self.walk.right.read(*two):
            put = self.walk.put_follow if follows else self.walk.put
            put(f"{self.where}/{name}", self.keys, one, two, field.codec)

    def rest(self, *done: str) -> None:
        """Put all other fields as changes."""
        for field in self.table.fields:
            if field.name not in done:
                self.put(field.name, False)


def compare(walk: Walk, both: Both, left: Image, right: Image) -> None:
    """Compare all three header tables."""
    _header(walk, both, left, right)
    _segments(walk, both, left, right)
    _sections(walk, both, left, right)


def _header(walk: Walk, both: Both, left: Image, right: Image) -> None:
    table = left.layout.header
    if walk.left.read(0, table.size) == walk.right.read(0, table.size):
        return
    record = Record(walk, table, "elf/header", (), 0, 0)
    counts = both.only_left or both.only_right or len(left.segments) != len(right.segments)
    record.put("e_entry", both.addresses.one(left.entry, right.entry))
    record.put("e_shoff", True)
    record.put("e_phoff", bool(left.segments and right.segments))
    record.put("e_shnum", bool(counts))
    record.put("e_phnum", bool(counts))
    names = [int.from_bytes(source.read(table.by_name["e_shstrndx"].start + 0, table.by_name["e_shstrndx"].stop), _order(left.order)) for source in (walk.left, walk.right)]  # fmt: skip
    record.put("e_shstrndx", both.to_right.get(names[0]) == names[1])
    record.rest("e_entry", "e_shoff", "e_phoff", "e_shnum", "e_phnum", "e_shstrndx")


def _order(order: str) -> Any:
    return "little" if order == "<" else "big"


def _inside(segment: Segment, sections: list[Section]) -> list[Section]:
    """Return the sections that a segment holds, by file offset, or by address for those without bytes."""
    found = []
    for section in sections:
        if section.type == SHT_NULL or not section.flags & SHF_ALLOC or not section.size:
            continue
        if section.type == SHT_NOBITS:
            # What each thread gets zeros for takes no place elsewhere.
            if section.flags & SHF_TLS and segment.type != PT_TLS:
                continue
            inside = segment.vaddr <= section.addr and section.addr + section.size <= segment.vaddr + segment.memsz
        else:
            inside = (
                segment.offset <= section.offset and section.offset + section.size <= segment.offset + segment.filesz
            )
        if inside:
            found.append(section)
    return found


def _ends(image: Image, segment: Segment, sections: list[Section]) -> tuple[int, ...]:
    """Return how a segment lies around its sections, of an image: these distances stay as they are when sections move."""
    stored = [s for s in sections if s.type != SHT_NOBITS]
    # Loaders ask for its addresses alone, and a linker leaves the offset out where it begins with thread data.
    apart = segment.type == PT_GNU_RELRO and segment.offset == 0 < segment.vaddr
    first, last = sections[0], max(sections, key=lambda s: s.addr + s.size)
    head = 0 if segment.offset == 0 else first.offset - segment.offset
    start = 0 if segment.offset == 0 and not apart else first.addr - segment.vaddr
    if apart:
        stop = max((s.addr + s.size for s in stored), default=segment.vaddr) - segment.vaddr - segment.filesz
        bias = set()
    else:
        stop = max(s.offset + s.size for s in stored) - segment.offset - segment.filesz if stored else segment.filesz
        bias = {s.addr - segment.vaddr - (s.offset - segment.offset) for s in stored}
    if segment.type in {PT_LOAD, PT_GNU_RELRO} and -WORD < stop < 0 and (segment.offset + segment.filesz) % WORD == 0:
        # An empty table behind them is aligned.
        end = segment.offset + segment.filesz
        stop = 0 if any(s.alloc and not s.size and s.offset == end for s in image.sections) else stop
    behind = last.addr + last.size - segment.vaddr - segment.memsz
    if segment.type == PT_GNU_RELRO and (segment.vaddr + segment.memsz) % PAGE == 0 and -PAGE < behind <= 0:
        # What is protected ends with a page.
        behind = 0
        stop = 0 if segment.filesz == segment.memsz else stop
    return (
        head,
        start,
        stop,
        behind,
        segment.paddr - segment.vaddr,
        *sorted(bias),
    )


def _segments(walk: Walk, both: Both, left: Image, right: Image) -> None:
    table = left.layout.segment
    if len(left.segments) != len(right.segments):
        _whole(
            walk,
            "elf/segments",
            (left.phoff, len(left.segments) * table.size),
            (right.phoff, len(right.segments) * table.size),
        )
        return
    for number, (one, two) in enumerate(zip(left.segments, right.segments, strict=True)):
        if one == two:
            continue
        inside, others = _inside(one, left.sections), _inside(two, right.sections)
        moved = ("p_offset", "p_vaddr", "p_paddr", "p_filesz", "p_memsz")
        if inside and others:
            good = [both.to_right.get(s.number, -1) for s in inside if s.number in both.to_right] == [
                s.number for s in others if s.number in set(both.to_right.values())
            ] and _ends(left, one, inside) == _ends(right, two, others)
        else:
            # Only the table of segments itself lies outside of all sections, and what is not loaded.
            good = (_own(left, one) and _own(right, two)) or _apart(both, one, two)
        record = Record(
            walk, table, "elf/segments/segment", (), left.phoff + number * table.size, right.phoff + number * table.size
        )
        for name in moved:
            record.put(name, good)
        record.rest(*moved)


def _apart(both: Both, one: Segment, two: Segment) -> bool:
    """Tell whether two segments that are not loaded are one section each, which correspond: attributes of RISC-V."""
    found = []
    for image, segment in ((both.left.image, one), (both.right.image, two)):
        place = segment.offset, segment.filesz, segment.vaddr, segment.paddr, segment.memsz
        found.append([s.number for s in image.sections if (s.offset, s.stored, 0, 0, 0) == place and not s.alloc])
    return len(found[0]) == len(found[1]) == 1 and both.to_right.get(found[0][0]) == found[1][0]


def _own(image: Image, segment: Segment) -> bool:
    """Tell whether a segment is the table of segments, where the segment that loads it puts it."""
    size = len(image.segments) * image.layout.segment.size
    found = (segment.offset, segment.filesz, segment.memsz, segment.paddr)
    return found == (image.phoff, size, size, segment.vaddr) and any(
        other.type == PT_LOAD
        and other.offset <= segment.offset
        and segment.offset + size <= other.offset + other.filesz
        and segment.vaddr - other.vaddr == segment.offset - other.offset
        for other in image.segments
    )


def _whole(walk: Walk, where: str, left: tuple[int, int], right: tuple[int, int]) -> None:
    """Put a table of which rows are missing on one side: it follows from the sections, which are told each."""
    one, two = (left[0], left[0] + left[1]), (right[0], right[0] + right[1])
    walk.put(where, (), one, two, RAW)


def _sections(walk: Walk, both: Both, left: Image, right: Image) -> None:
    table = left.layout.section
    names = both.by_index.get(_names_index(walk, left))
    if walk.left.read(left.shoff, left.shoff + table.size) != walk.right.read(right.shoff, right.shoff + table.size):
        Record(walk, table, HEADER, (b"",), left.shoff, right.shoff).rest()
    for pair in both.pairs:
        one, two = pair.one, pair.two
        starts = left.shoff + one.number * table.size, right.shoff + two.number * table.size
        for name, refers in (("sh_link", True), ("sh_info", one.type in {SHT_REL, SHT_RELA})):
            number = getattr(one, name[3:])
            if refers and number == getattr(two, name[3:]) != both.to_right.get(number, number):
                # It stayed while the section that it names has another number.
                at = table.by_name[name].start, table.by_name[name].stop
                spans = [(start + at[0], start + at[1]) for start in starts]
                walk.put(f"{HEADER}/{name}", (one.name,), spans[0], spans[1], table.by_name[name].codec)
        if walk.left.read(starts[0], starts[0] + table.size) == walk.right.read(starts[1], starts[1] + table.size):
            continue
        record = Record(walk, table, HEADER, (one.name,), *starts)
        # The names were read through these offsets, and are what aligned the sections.
        record.put("sh_name", names is not None)
        record.put("sh_offset", _offsets(left, one, right, two))
        record.put("sh_size", _contents(both, pair) if one.stored and two.stored else _grown(both, pair))
        record.put("sh_addr", _loaded(left, one) and _loaded(right, two))
        record.put("sh_link", both.to_right.get(one.link, -1) == two.link)
        record.put("sh_info", _info(both, pair))
        # Compilers align longer strings more.
        record.put("sh_addralign", _aligned(both, pair))
        record.rest("sh_addralign", "sh_name", "sh_offset", "sh_size", "sh_addr", "sh_link", "sh_info")
    for sections, image, side in ((both.only_left, left, 0), (both.only_right, right, 1)):
        for section in sections:
            start = image.shoff + section.number * table.size
            span = (start, start + table.size)
            if section.stored and not siblings.odd(section):
                walk.put_follow(
                    "elf/sections/section[*]", (section.name,), (0, 0) if side else span, span if side else (0, 0), RAW
                )
            else:
                # No bytes of its own tell of it, or other ones than its name does.
                walk.put(
                    "elf/sections/section[*]", (section.name,), None if side else span, span if side else None, RAW
                )


def _aligned(both: Both, pair: Pair) -> bool:
    """Tell whether the side whose data is aligned more has something that grew, and is as long as it is aligned to: the
    section itself begins at such a place on both sides."""
    one, two = pair.one, pair.two
    if one.code or not one.alloc or not (one.stored and two.stored):
        return False
    if any(s.align < 1 or s.align & (s.align - 1) or s.align > FILLED or s.addr % s.align for s in (one, two)):
        return False
    more, least = (0, one.align) if one.align > two.align else (1, two.align)
    data = (both.right if more else both.left).data((one, two)[more])
    for piece in both.pieces(pair).pieces:
        spans = (piece.l0, piece.l1), (piece.r0, piece.r1)
        size, other = (stop - start for start, stop in (spans[more], spans[1 - more]))
        if size > other and size >= least and data[slice(*spans[more])].strip(b"\0"):
            return True
    return False


def _names_index(walk: Walk, image: Image) -> int:
    field = image.layout.header.by_name["e_shstrndx"]
    return int.from_bytes(walk.left.read(field.start, field.stop), _order(image.order))


def _loaded(image: Image, section: Section) -> bool:
    """Tell whether a section lies in memory where a segment puts its bytes."""
    if not section.alloc or section.number in image.misplaced:
        return False
    for segment in image.segments:
        if segment.type == PT_LOAD and segment.vaddr <= section.addr <= segment.vaddr + segment.memsz:
            if section.type != SHT_NOBITS:
                return section.addr - segment.vaddr == section.offset - segment.offset
            # What has no bytes lies behind those that the segment loads; a template of threads lies anywhere.
            behind = section.addr - segment.vaddr >= segment.filesz or bool(section.flags & SHF_TLS)
            return behind and section.addr % max(section.align, 1) == 0
    return False


def _offsets(left: Image, one: Section, right: Image, two: Section) -> bool:
    """Tell whether a section begins on both sides where the one before it ends, but for its alignment, or where a
    segment says."""
    gaps = []
    for image, section in ((left, one), (right, two)):
        if section.stored and section.alloc and image.segments:
            if not _loaded(image, section) and section.number not in image.misplaced:
                return False
            gaps.append(0)
        elif section.type == SHT_NOBITS and _follows_memory(image, section):
            gaps.append(0)
        else:
            gaps.append(image.gap(section))
    # Empty sections in the same place have an alignment as well, and tools begin some at whole words, lines or pages.
    aligns = [
        max(min(s.offset & -s.offset, PAGE), s.align, image.aligned_to.get(s.offset, 0))
        for image, s in ((left, one), (right, two))
    ]
    return all(0 <= gap < align for gap, align in zip(gaps, aligns, strict=True)) or (
        gaps[0] == gaps[1] and 0 <= gaps[0] < GAP_MAX
    )


def _follows_memory(image: Image, section: Section) -> bool:
    """Tell whether a section without bytes has the offset that its address would have in its segment."""
    return any(
        segment.type == PT_LOAD and section.offset - segment.offset == section.addr - segment.vaddr
        for segment in image.segments
    )


def _contents(both: Both, pair: Pair) -> bool:
    """Tell whether more than zeros at the end tells two sections of different sizes apart; strings are told each."""
    data = both.left.data(pair.one), both.right.data(pair.two)
    left, right = (each.rstrip(b"\0") for each in data)
    if len(left) != len(right) or (pair.one.strings and data[0][-1:] == data[1][-1:]):
        return True
    # What is compressed is as long as it happens to be, and Go's linker fills up sections.
    return left != right and (bool(pair.one.compressed) or both.go is not None)


def _grown(both: Both, pair: Pair) -> bool:
    """Tell whether a section without bytes has the size that its symbols on both sides make: linkers fill up its end to
    an alignment, which may take more where it starts elsewhere, and between objects in another order."""
    pieces = both.pieces(pair)
    elsewhere = pair.one.addr % FILLED != pair.two.addr % FILLED
    return (_to_page(both.left.image, pair.one) and _to_page(both.right.image, pair.two)) or (
        (elsewhere or pair.arranged)
        and bool(pieces.pieces)
        and all(
            piece.equal or (piece.name is None and max(piece.l1 - piece.l0, piece.r1 - piece.r0) < FILLED)
            for piece in [*pieces.pieces, *pieces.added]
        )
    )


def _to_page(image: Program, section: Section) -> bool:
    """Tell whether a section without bytes only fills up what is protected to a page's end: nothing is named in it."""
    stop = section.addr + section.size
    return (
        section.size < PAGE
        and stop % PAGE == 0
        and section.align == 1
        and any(each.type == PT_GNU_RELRO and each.vaddr + each.memsz == stop for each in image.segments)
    )


def _info(both: Both, pair: Pair) -> bool:
    one, two = pair.one, pair.two
    if one.type in {SHT_SYMTAB, SHT_DYNSYM}:
        counts = []
        for side, section in ((both.left, one), (both.right, two)):
            table = rows(side.data(section), side.image, "symbol")
            counts.append(int((table["st_info"] >> 4 == 0).sum()))
        return counts == [one.info, two.info]
    if one.type in {SHT_GNU_VERDEF, SHT_GNU_VERNEED}:
        return False
    if one.type == two.type == SHT_GROUP:
        return signature(both, pair)
    return both.to_right.get(one.info, -1) == two.info
