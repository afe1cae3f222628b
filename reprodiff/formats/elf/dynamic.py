"""Compare the dynamic section, hash tables, versions and packed relocations: what the loader reads first."""

import struct
from typing import Any

import numpy as np

from reprodiff.codecs import RAW
from reprodiff.formats import Walk
from reprodiff.formats.elf.headers import Record
from reprodiff.formats.elf.image import layout, tags
from reprodiff.formats.elf.names import (
    ADDRESS_TAGS,
    DT_MIPS_RLD_MAP_REL,
    MACHINE_TAGS,
    SIZE_TAGS,
    STRING_TAGS,
    dynamic_name,
)
from reprodiff.formats.elf.references import version_fields
from reprodiff.formats.elf.tables import Names, aligned
from reprodiff.formats.program.around import Stream
from reprodiff.formats.program.image import Program, Section, string
from reprodiff.formats.program.names import EM_MIPS, RELATIVE, SHT_GNU_VERNEED, SHT_RELA
from reprodiff.formats.program.rows import rows
from reprodiff.formats.program.sequence import matched
from reprodiff.formats.program.sides import Both, Pair
from reprodiff.formats.program.words import gather


def dynamic(walk: Walk, both: Both, pair: Pair, where: str) -> None:
    """Compare two dynamic sections, entry by entry: aligned by tag, those of one tag in order."""
    left, right = both.left.image, both.right.image
    ones, twos = tags(left, both.left.data(pair.one)), tags(right, both.right.data(pair.two))
    names = Names(both, *both.linked(pair))
    table = layout(left.wide, left.order).dynamic
    runs = matched(_labels(ones, names.left), _labels(twos, names.right))
    pairs = [(i + k, j + k) for i, j, count in runs for k in range(count)]
    used = {i for i, _ in pairs}, {j for _, j in pairs}
    rest = [[i for i in range(len(ones)) if i not in used[0]], [j for j in range(len(twos)) if j not in used[1]]]
    for i in list(rest[0]):
        twin = next((j for j in rest[1] if twos[j][0] == ones[i][0]), None)
        if twin is not None:
            pairs.append((i, twin))
            rest[0].remove(i)
            rest[1].remove(twin)
    sizes = dict(ones), dict(twos)
    places = ADDRESS_TAGS | MACHINE_TAGS.get(both.left.image.machine, frozenset())
    for i, j in sorted(pairs):
        (tag, one), (_tag, two) = ones[i], twos[j]
        if one == two and tag not in places and tag not in STRING_TAGS:
            continue
        if tag in STRING_TAGS:
            good = bool(names.same(np.array([one], np.int64), np.array([two], np.int64))[0])
        elif tag in places:
            good = one == two == 0 or both.addresses.one(one, two)
        elif tag in SIZE_TAGS:
            good = all(
                value in _extent(side.image, size.get(SIZE_TAGS[tag], -1))
                for side, size, value in ((both.left, sizes[0], one), (both.right, sizes[1], two))
            )
        elif tag == DT_MIPS_RLD_MAP_REL and both.left.image.machine == EM_MIPS:
            # Counted from its own place.
            own = pair.one.place + i * table.size, pair.two.place + j * table.size
            good = both.addresses.one(own[0] + one, own[1] + two)
        elif tag in {0x6FFFFFF9, 0x6FFFFFFA}:
            good = [_relative(side, size) for side, size in ((both.left, sizes[0]), (both.right, sizes[1]))] == [
                one,
                two,
            ]
        else:
            good = False
        starts = pair.one.offset + i * table.size, pair.two.offset + j * table.size
        record = Record(walk, table, f"{where}/{dynamic_name(tag)}", (), *starts)
        if good or one != two:
            record.put("d_val", good)
        else:
            field = table.by_name["d_val"]
            walk.put(f"{where}/{dynamic_name(tag)}", (), (starts[0] + field.start, starts[0] + field.stop), (starts[1] + field.start, starts[1] + field.stop), field.codec)  # fmt: skip
    for side, (rows_of, indexes) in enumerate(((ones, rest[0]), (twos, rest[1]))):
        section = (pair.one, pair.two)[side]
        text = (names.left, names.right)[side]
        for index in indexes:
            tag, value = rows_of[index]
            span = section.offset + index * table.size, section.offset + (index + 1) * table.size
            shown = string(text, value).decode("utf-8", "replace") if tag in STRING_TAGS else hex(value)
            if tag == 0 and value == 0:
                walk.put_follow(f"{where}/DT_NULL", (), span if not side else (0, 0), span if side else (0, 0), RAW)
                continue
            walk.put(f"{where}/{dynamic_name(tag)}", (), None if side else span, span if side else None, RAW, shown=("" if side else shown, shown if side else ""))  # fmt: skip


def _labels(entries: list[tuple[int, int]], text: bytes) -> list[tuple[int, bytes]]:
    return [(tag, string(text, value) if tag in STRING_TAGS and tag == 1 else b"") for tag, value in entries]


def _extent(image: Program, address: int) -> set[int]:
    """Return the sizes of the section at an address, and with the one right behind it of the same kind."""
    found = {s.size for s in image.sections if s.alloc and s.addr == address}
    for section in image.sections:
        if section.alloc and section.addr == address:
            found |= {
                section.size + s.size
                for s in image.sections
                if s.addr == address + section.size and s.type == section.type
            }
    return found


def _relative(side: Any, values: dict[int, int]) -> int:
    """Return how many relative relocations the table that DT_RELA or DT_REL names starts with."""
    address = values.get(7, values.get(17, -1))
    section = next((s for s in side.image.sections if s.alloc and s.addr == address), None)
    if section is None:
        return -1
    table = rows(side.data(section), side.image, "rela" if section.type == SHT_RELA else "rel")
    kinds = table["r_info"].astype(np.uint64) & np.uint64(0xFFFFFFFF if side.image.wide else 0xFF)
    relative = kinds == RELATIVE.get(side.image.machine, (-1,))[0]
    return int(np.argmin(relative)) if not relative.all() else len(relative)


def _plain(walk: Walk, both: Both, pair: Pair, where: str, *, follows: bool) -> None:
    one, two = pair.one, pair.two
    if both.left.data(one) == both.right.data(two):
        return
    spans = (one.offset, one.offset + one.size), (two.offset, two.offset + two.size)
    (walk.put_follow if follows else walk.put)(where, (), *spans, RAW)


def hashes(walk: Walk, both: Both, pair: Pair, where: str) -> None:
    """Compare two hash tables: one that is right for its symbols on both sides follows from them."""
    from reprodiff.formats.elf.hashes import holds

    good = holds(both.left, pair.one) and holds(both.right, pair.two)
    _plain(walk, both, pair, where, follows=good)


def versions(walk: Walk, both: Both, pair: Pair, where: str) -> None:
    """Compare the versions of the dynamic symbols: each goes with its symbol."""
    a = np.frombuffer(both.left.data(pair.one), f"{both.left.image.order}u2")
    b = np.frombuffer(both.right.data(pair.two), f"{both.left.image.order}u2")
    table = both.pair(b".dynsym")
    if table is None:
        _plain(walk, both, pair, where, follows=False)
        return
    order = aligned(both, table) or [(i, i) for i in range(min(len(a), len(b)))]
    numbers = _numbers(both)
    # The highest bit says that a symbol is hidden.
    size = layout(both.left.image.wide, both.left.image.order).symbol.size
    # What one side alone has goes with its symbol, which is told.
    whole = len(a) == table.one.size // size and len(b) == table.two.size // size
    good = whole and all(
        i < len(a) and j < len(b) and a[i] >> 15 == b[j] >> 15
        and numbers.get(int(a[i]) & 0x7FFF, int(a[i]) & 0x7FFF) == int(b[j]) & 0x7FFF
        for i, j in order
    )  # fmt: skip
    _plain(walk, both, pair, where, follows=good)


def _needed(side: Any, section: Section | None) -> list[tuple[bytes, bytes, int, int, int]]:
    """Return (file, version, hash, flags, number) of what a section of version requirements lists (LSB 10.7.2.3)."""
    table = side.image.linked(section) if section else None
    if section is None or table is None or section.type != SHT_GNU_VERNEED:
        return []
    data, text, order = side.data(section), side.data(table), side.image.order
    found = []
    file, at, left = b"", 0, 0
    for place in version_fields(data, order, section.type):
        if not left:
            left, name, _aux, _next = struct.unpack_from(f"{order}2xHIII", data, place - 4)
            file = string(text, name)
        else:
            at = place - 8
            kind, flags, number, name, _next = struct.unpack_from(f"{order}IHHII", data, at)
            found.append((file, string(text, name), kind, flags, number))
            left -= 1
    return found


def _listed(both: Both) -> tuple[Any, Any]:
    pair = next((p for p in both.pairs if p.one.type == SHT_GNU_VERNEED), None)
    if pair is None or not pair.one.stored or not pair.two.stored:
        return [], []
    return _needed(both.left, pair.one), _needed(both.right, pair.two)


def _numbers(both: Both) -> dict[int, int]:
    """Return which number of a required version is which: they are given in the order in which the linker met them."""
    lefts, rights = _listed(both)
    there = {row[:4]: row[4] for row in rights}
    return {row[4]: there[row[:4]] for row in lefts if row[:4] in there}


def _reordered(both: Both, pair: Pair) -> bool:
    """Tell whether two sections of version requirements list the same in another order."""
    if pair.one.type != SHT_GNU_VERNEED or pair.one.size != pair.two.size:
        return False
    lefts, rights = _listed(both)
    return (
        bool(lefts)
        and sorted(row[:4] for row in lefts) == sorted(row[:4] for row in rights)
        and (sorted(row[4] for row in lefts) == sorted(row[4] for row in rights))
    )


def requirements(walk: Walk, both: Both, pair: Pair, where: str) -> None:
    """Compare version requirements or definitions: their names are offsets into the dynamic string table."""
    from reprodiff.formats.program import contents
    from reprodiff.formats.program.words import Differing

    left, right = both.left.data(pair.one), both.right.data(pair.two)
    names = Names(both, *both.linked(pair))
    if left != right and both.arranged and _reordered(both, pair):
        _plain(walk, both, pair, where, follows=True)
        return
    stream = Stream(left, right, pair.one.offset, pair.two.offset)
    found = Differing(left, right, both.pieces(pair), both.left.image.order)
    if len(found.one):
        at = np.array(version_fields(left, both.left.image.order, pair.one.type), np.int64)
        found.accept_fields(at, lambda _s, _o, ones, twos: names.same(ones, twos))
    contents.settle(walk, both, pair, where, stream, found)


# The encodings that all linkers write: a count of 4 bytes, then pairs of distances to the section (LSB 10.6.2).
_LOOKUP = b"\x01\x1b\x03\x3b"


def _lists_frames(side: Any, section: Section) -> bool:
    """Tell whether a table that finds frame records lists exactly those that there are: it follows from them."""
    table = side.image.by_name.get(b".eh_frame")
    data = side.data(section)
    if table is None or not table.stored or data[:4] != _LOOKUP or len(data) % 8 != 4:
        return False
    starts, first = side.described(table)
    away = table.place - section.place
    rows = np.stack([first + away, starts + away], axis=1)
    rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))].reshape(-1)
    listed = np.concatenate([[away - 4, len(starts)], rows])
    small = bool(((listed >= -(1 << 31)) & (listed < 1 << 31)).all())
    return small and bool(data[4:] == listed.astype(f"{side.image.order}i4").tobytes())


def lookup_moved(both: Both, pair: Pair) -> bool:
    """Tell whether two tables that find frame records follow: from what records there are, or because they list the same
    functions and records, each side in its order."""
    if all(_lists_frames(side, section) for side, section in ((both.left, pair.one), (both.right, pair.two))):
        return True
    tables = []
    for side, section in ((both.left, pair.one), (both.right, pair.two)):
        data = side.data(section)
        if data[:4] != _LOOKUP or len(data) % 8 != 4:
            return False
        rows = np.frombuffer(data[12:], f"{side.image.order}i4").reshape(-1, 2).astype(np.int64) + section.place
        if len(rows) != int(np.frombuffer(data[8:12], f"{side.image.order}u4")[0]) or (np.diff(rows[:, 0]) < 0).any():
            return False
        tables.append(rows)
    heads = [int(np.frombuffer(side.data(s)[4:8], f"{side.image.order}i4")[0]) + s.place + 4 for side, s in
             ((both.left, pair.one), (both.right, pair.two))]  # fmt: skip
    moved = np.stack([both.addresses.to(tables[0][:, 0]), both.addresses.to(tables[0][:, 1])], axis=1)
    same = sorted(map(tuple, moved.tolist())) == sorted(map(tuple, tables[1].tolist()))
    return same and both.addresses.one(heads[0], heads[1])


def packed(walk: Walk, both: Both, pair: Pair, where: str) -> None:
    """Compare packed relative relocations (SHT_RELR): the places that they name, whatever words that takes."""
    places = [_unpacked(side, section) for side, section in ((both.left, pair.one), (both.right, pair.two))]
    good = len(places[0]) == len(places[1]) and bool(both.addresses.same(*places).all())
    _plain(walk, both, pair, where, follows=good)


def _unpacked(side: Any, section: Section) -> Any:
    word = side.image.word
    found: list[int] = []
    at = 0
    data = side.data(section)
    values = gather(
        np.frombuffer(data, np.uint8), np.arange(0, len(data) - word + 1, word), word, side.image.order, False
    )
    for entry in values.view(np.uint64).tolist():
        if not entry & 1:
            found.append(entry)
            at = entry + word
            continue
        found += [at + word * bit for bit in range(word * 8 - 1) if entry >> (bit + 1) & 1]
        at += word * (word * 8 - 1)
    return np.array([place & (1 << 64) - 1 for place in found], np.uint64).view(np.int64)
