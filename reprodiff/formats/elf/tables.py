"""Compare symbol tables: whole columns of fields at once.

Unlike words of data, these are known to be addresses and offsets: an entry that stayed as it is while what it refers
to moved is put as well.
"""

import re
from typing import Any

import numpy as np

from reprodiff.codecs import RAW
from reprodiff.formats import Walk
from reprodiff.formats.elf.image import layout
from reprodiff.formats.program.image import Section, string
from reprodiff.formats.program.names import (
    ET_REL,
    MAPPED,
    SHN_ABS,
    SHN_LORESERVE,
    STT_SECTION,
    STT_TLS,
)
from reprodiff.formats.program.pieces import Pieces
from reprodiff.formats.program.rows import rows
from reprodiff.formats.program.sides import Both, Pair
from reprodiff.formats.program.words import among, distinct, without
from reprodiff.spans import differing

SHOWN_MAX = 2000
# Tables of exceptions are numbered in the order of their functions.
NUMBERED = re.compile(rb"(?<=^GCC_except_table)\d+$")
# What the symbol of a unit of debug information ends in, in programs that were optimized when linked.
DIGEST = re.compile(rb"(?<=\.)[0-9a-f]{8}$")
# Entries that are told one by one; the rest of a column is one change.
EACH_MAX = 32


def signed(values: Any) -> Any:
    """Return unsigned numbers of 64 bits as signed ones."""
    return values.astype(np.uint64).view(np.int64)


class Names:
    """Tells of pairs of offsets into two string tables whether they are the same string."""

    def __init__(self, both: Both, one: Section | None, two: Section | None) -> None:
        self.left = both.left.data(one) if one else b""
        self.right = both.right.data(two) if two else b""
        pair = both.by_index.get(one.number) if one else None
        self.pieces = both.pieces(pair) if pair and two and pair.two.number == two.number else Pieces([])

    def same(self, one: Any, two: Any) -> Any:
        found = self.pieces.to(one) == two
        # A linker shares tails, and may share another one where a string is gone: then contents decide.
        for index in np.flatnonzero(~found)[:SHOWN_MAX]:
            a, b = int(one[index]), int(two[index])
            inside = 0 <= a < len(self.left) and 0 <= b < len(self.right)
            found[index] = inside and string(self.left, a) == string(self.right, b)
        return found


def numbered(both: Both, pair: Pair) -> Any:
    """Return the right side's number of each symbol, as an array, -1 where it has none; kept for object files, which have
    a table of relocations for each section."""
    known = both.numbered.get(pair.one.number)
    if known is None:
        order = aligned(both, pair)
        count = len(both.left.data(pair.one)) // layout(both.left.image.wide, both.left.image.order).symbol.size
        known = np.arange(count) if order is None else np.full(count, -1, np.int64)
        if order:
            ones, twos = np.array(order, np.int64).T
            known[ones] = twos
        if both.left.image.type == ET_REL:
            both.numbered[pair.one.number] = known
    return known


def aligned(both: Both, pair: Pair) -> list[tuple[int, int]] | None:
    """Return which symbol is which, None where they stand in the same order on both sides."""
    left, right = both.left, both.right
    one, two = both.linked(pair)
    a, b = rows(left.data(pair.one), left.image, "symbol"), rows(right.data(pair.two), right.image, "symbol")
    names = Names(both, one, two)
    if len(a) == len(b) and both.siblings is None:
        same = names.same(a["st_name"].astype(np.int64), b["st_name"].astype(np.int64))
        if same.all() or ((~same).sum() <= 4 and not _permuted(names, a, b, same)):
            return None
    keys = []
    texts = [
        [string(text, name) for name in table["st_name"].tolist()]
        for table, text in ((a, names.left), (b, names.right))
    ]
    texts[0] = [both.names.get(text, text) for text in texts[0]]
    if both.arranged:
        texts = [[NUMBERED.sub(b"", text) for text in side] for side in texts]
    for table, calls, index in ((a, texts[0], left.image), (b, texts[1], right.image)):
        counted: dict[Any, int] = {}
        found = []
        for name, info, shndx in zip(calls, table["st_info"].tolist(), table["st_shndx"].tolist(), strict=True):
            section = index.sections[shndx].name if 0 < shndx < len(index.sections) else b"%d" % shndx
            key = name, info, section if info & 15 == STT_SECTION else b""
            number = counted.get(key, 0)
            counted[key] = number + 1
            found.append((*key, number))
        keys.append(found)
    places = {key: number for number, key in enumerate(keys[1])}
    pairs = {number: places[key] for number, key in enumerate(keys[0]) if key in places}
    if both.arranged and left.image.type != ET_REL:
        _namesakes(both, a, b, keys, pairs)
    if len(pairs) < min(len(keys[0]), len(keys[1])):
        pairs.update(_digested(names, (a, b), keys, list(pairs.items())))
    return sorted(pairs.items())


def _namesakes(both: Both, a: Any, b: Any, keys: list[list[Any]], pairs: dict[int, int]) -> None:
    """Pair symbols of one name by what they name: the units that have them stand in another order."""
    groups: tuple[dict[Any, list[int]], dict[Any, list[int]]] = ({}, {})
    for rows_of, found in zip(keys, groups, strict=True):
        for number, key in enumerate(rows_of):
            found.setdefault(key[:-1], []).append(number)
    moved, values = both.addresses.to(signed(a["st_value"])), signed(b["st_value"])
    for key, ones in groups[0].items():
        twos = groups[1].get(key, [])
        if len(ones) < 2 or len(ones) != len(twos):
            continue
        there: dict[int, list[int]] = {}
        for j in reversed(twos):
            there.setdefault(int(values[j]), []).append(j)
        twins = {i: there[int(moved[i])].pop() for i in ones if there.get(int(moved[i]))}
        rest = iter(sorted(set(twos) - set(twins.values())))
        pairs.update({i: twins[i] if i in twins else next(rest) for i in ones})


def _digested(names: Names, tables: Any, keys: Any, found: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Pair local symbols whose names end in a digest of their file, by the rest of the name where that is the only
    one on both sides and the string tables pair the names as well."""
    rest: list[dict[Any, list[int]]] = []
    for side, table in enumerate(tables):
        used = {pair[side] for pair in found}
        groups: dict[Any, list[int]] = {}
        for number, key in enumerate(keys[side]):
            if number not in used and not int(table["st_info"][number]) >> 4 and DIGEST.search(key[0]):
                groups.setdefault((DIGEST.sub(b"", key[0]), key[1]), []).append(number)
        rest.append(groups)
    pairs = [(ones[0], rest[1][key][0]) for key, ones in rest[0].items() if len(ones) == len(rest[1].get(key, ())) == 1]
    if not pairs:
        return []
    offsets = [table["st_name"][[pair[side] for pair in pairs]].astype(np.int64) for side, table in enumerate(tables)]
    return [pair for pair, same in zip(pairs, names.same(*offsets).tolist(), strict=True) if same]


def _permuted(names: Names, a: Any, b: Any, same: Any) -> bool:
    odd = np.flatnonzero(~same)
    ones = sorted(DIGEST.sub(b"", string(names.left, int(a["st_name"][i]))) for i in odd)
    return ones == sorted(DIGEST.sub(b"", string(names.right, int(b["st_name"][i]))) for i in odd)


def symbols(walk: Walk, both: Both, pair: Pair, where: str) -> None:
    """Compare two symbol tables."""
    left, right = both.left.image, both.right.image
    a, b = rows(both.left.data(pair.one), left, "symbol"), rows(both.right.data(pair.two), right, "symbol")
    names = Names(both, *both.linked(pair))
    order = aligned(both, pair)
    if order is None:
        ones = twos = np.arange(len(a))
    else:
        ones, twos = np.array([i for i, _ in order], np.int64), np.array([j for _, j in order], np.int64)
    x, y = a[ones], b[twos]
    indexes = np.full(0x10001, -1, np.int64)
    for one, two in both.to_right.items():
        if one < SHN_LORESERVE and two < SHN_LORESERVE:
            indexes[one] = two
    indexes[0], indexes[SHN_LORESERVE:] = 0, np.arange(SHN_LORESERVE, 0x10001)
    called = names.same(x["st_name"].astype(np.int64), y["st_name"].astype(np.int64))
    if both.arranged:
        for index in np.flatnonzero(~called)[:SHOWN_MAX].tolist():
            texts = string(names.left, int(x["st_name"][index])), string(names.right, int(y["st_name"][index]))
            called[index] = all(NUMBERED.search(text) for text in texts)
    good = {
        "st_name": called,
        "st_info": x["st_info"] == y["st_info"],
        "st_other": x["st_other"] == y["st_other"],
        "st_shndx": indexes[x["st_shndx"]] == y["st_shndx"],
        "st_value": _values(both, x, y)
        | ((indexes[x["st_shndx"]] != y["st_shndx"]) & (x["st_value"] == y["st_value"])),
    }
    if both.siblings is not None:
        hit = both.siblings.across(x["st_shndx"], y["st_shndx"], signed(x["st_value"]), signed(y["st_value"]))
        good["st_shndx"] |= hit
        good["st_value"] |= hit
    good["st_size"] = (x["st_size"] == y["st_size"]) | _sizes(both, x, y, good["st_value"])
    table = layout(left.wide, left.order).symbol
    starts = pair.one.offset + ones * table.size, pair.two.offset + twos * table.size

    def label(index: int) -> bytes:
        return string(names.left, int(x["st_name"][index])) or b"#%d" % int(ones[index])

    columns(walk, f"{where}/symbol[*]/entry", good, x, y, table, starts, label)
    for side, rest in enumerate((without(np.arange(len(a)), ones).tolist(), without(np.arange(len(b)), twos).tolist())):
        section = (pair.one, pair.two)[side]
        for index in rest:
            name = string((names.left, names.right)[side], int((a, b)[side]["st_name"][index]))
            span = section.offset + index * table.size, section.offset + (index + 1) * table.size
            if _of_sibling(both, (a, b)[side][index], right=bool(side)):
                walk.put_follow(f"{where}/symbol", (), (0, 0) if side else span, span if side else (0, 0), RAW)
                continue
            walk.put(f"{where}/symbol[*]", (name,), None if side else span, span if side else None, RAW)
    if order is not None and both.siblings is not None:
        # Their sections stand in the order in which a compiler needed them.
        moved = (x["st_info"] & 15 == STT_SECTION) & np.isin(x["st_shndx"], list(both.siblings.related[0]))
        if (np.diff(twos[~moved]) > 0).all():
            return
    if order is not None and any(i > j for i, j in zip(twos.tolist(), twos.tolist()[1:], strict=False)):
        label_all = [string(names.left, int(n)) for n in x["st_name"]]
        outer = x["st_info"] >> 4 != 0
        named = [string(names.right, int(n)) for n in y["st_name"][~outer]]
        if (np.diff(twos[outer]) > 0).all() and _other_digests(
            [t for t, o in zip(label_all, outer, strict=True) if not o], named
        ):
            # The tables of the optimizer are sorted by digests: where those differ, so does the order.
            walk.put_follows(
                where,
                1,
                0,
                (pair.one.offset, pair.one.offset + pair.one.size),
                (pair.two.offset, pair.two.offset + pair.two.size),
            )
            return
        walk.put_order(where, label_all, [label_all[i] for i in np.argsort(twos).tolist()])


def _of_sibling(both: Both, row: Any, *, right: bool) -> bool:
    """Tell whether a symbol is nothing but the start of a section that only texts of a sibling moved to or from."""
    if both.siblings is None or row["st_shndx"] not in (both.siblings.come if right else both.siblings.gone):
        return False
    return int(row["st_info"]) == STT_SECTION and not (
        row["st_name"] or row["st_other"] or row["st_value"] or row["st_size"]
    )


def _other_digests(ones: list[bytes], twos: list[bytes]) -> bool:
    """Tell whether names on both sides are the same but for digests that they end in."""
    return any(one != two and DIGEST.sub(b"", one) == DIGEST.sub(b"", two) for one, two in zip(ones, twos, strict=True))


def columns(walk: Walk, where: str, good: dict[str, Any], x: Any, y: Any, table: Any, starts: Any, label: Any) -> None:
    """Put the fields that are not good, count those that differ and are."""
    for name, fine in good.items():
        differ = x[name] != y[name]
        field = table.by_name[name]
        follow = np.flatnonzero(differ & fine)
        if len(follow):
            size = int(_bytes(x[name][follow], y[name][follow]))
            ends = [(int(s[follow[0]]) + field.start, int(s[follow[0]]) + field.stop) for s in starts]
            walk.put_follows(where.replace("[*]", "") + f"/{name}", len(follow), size, ends[0], ends[1])
        bad = np.flatnonzero(~fine & differ).tolist()
        stale = np.flatnonzero(~fine & ~differ).tolist()
        for index in bad[:EACH_MAX] + stale[:EACH_MAX]:
            ends = [(int(s[index]) + field.start, int(s[index]) + field.stop) for s in starts]
            walk.put(f"{where}/{name}", (label(index),), ends[0], ends[1], field.codec)
        rest = bad[EACH_MAX:]
        if rest:
            runs = []
            for index in rest:
                ends = [(int(s[index]) + field.start, int(s[index]) + field.stop) for s in starts]
                runs += _runs(walk, ends[0], ends[1])
            whole = [(min(run[side][0] for run in runs), max(run[side][1] for run in runs)) for side in (0, 1)]
            walk.put(f"{where}/{name}", (b"%d more" % len(rest),), whole[0], whole[1], field.codec, runs=runs)


def _runs(walk: Walk, one: tuple[int, int], two: tuple[int, int]) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    spans = differing(walk.left.read(*one), walk.right.read(*two)).spans
    return [((one[0] + a, one[0] + b), (two[0] + c, two[0] + d)) for (a, b), (c, d) in spans]


def _bytes(one: Any, two: Any) -> int:
    """Count the bytes in which two arrays differ."""
    width = one.dtype.itemsize
    a, b = np.ascontiguousarray(one).view(np.uint8), np.ascontiguousarray(two).view(np.uint8)
    return int((a.reshape(-1, width) != b.reshape(-1, width)).sum())


def _values(both: Both, x: Any, y: Any) -> Any:
    """Tell which symbols have the value that their place moved to."""
    one, two = signed(x["st_value"]), signed(y["st_value"])
    relative = both.left.image.type == ET_REL
    found = (one == two) & ((x["st_shndx"] == 0) | (x["st_shndx"] >= SHN_LORESERVE))
    local = relative | (((x["st_info"] & 15) == STT_TLS) & ((y["st_info"] & 15) == STT_TLS))
    if not relative:
        # Nor is what is not loaded: its symbols count from its start.
        apart = np.zeros(0x10000, bool)
        apart[[p.one.number for p in both.pairs if not p.one.alloc and p.one.number < SHN_LORESERVE]] = True
        local = local | apart[x["st_shndx"]]
    inside = (x["st_shndx"] > 0) & (x["st_shndx"] < SHN_LORESERVE)
    found |= inside & ~local & both.addresses.same(one, two) if not relative else False
    # A function of a library whose address is that of its entry in the linkage table.
    found |= (one != 0) & (x["st_shndx"] == 0) & both.addresses.same(one, two) if not relative else False
    if local.any() if hasattr(local, "any") else local:
        for index in distinct(x["st_shndx"][inside & local]).tolist():
            pair = both.by_index.get(index)
            if pair is None:
                continue
            here = inside & local & (x["st_shndx"] == index)
            pieces = both.pieces(pair)
            # A section's own symbol is its start, whatever stands there.
            ends = (one == pair.one.size) & (two == pair.two.size)
            ends |= (one == 0) & (two == 0) & ((x["st_info"] & 15) == STT_SECTION)
            found |= here & (
                ((pieces.to(one) == two) & (two >= 0)) | ends | ((one == two) & (pair.one.size == pair.two.size == 0))
            )
    if not relative:
        # Linkers give symbols such as _end places beyond their section, or none.
        ends = (one == two) & inside & ~among(one, covered(both, one))
        found |= _within(
            both, x, y, np.flatnonzero(inside & ~local & ~found & (x["st_info"] == 0) & (y["st_info"] == 0))
        )
        found |= ends | (inside & ~local & _behind(both, x, y))
        # Some linkers place _DYNAMIC and their like in no section.
        found |= (x["st_shndx"] == SHN_ABS) & (y["st_shndx"] == SHN_ABS) & both.addresses.same(one, two)
    return found


def _within(both: Both, x: Any, y: Any, chosen: Any) -> Any:
    """Tell which labels lie in a function of code that is another one on the right, on both sides: they say where it has
    data or another kind of code, and what became of it is told there."""
    found = np.zeros(len(x), bool)
    if both.left.image.machine not in MAPPED:
        return found
    for index in chosen.tolist():
        pair = both.by_index.get(int(x["st_shndx"][index]))
        if pair is not None and pair.one.code:
            offset, other = int(x["st_value"][index]) - pair.one.addr, int(y["st_value"][index]) - pair.two.addr
            piece = both.pieces(pair).find(offset)
            found[index] = piece is not None and not piece.equal and piece.r0 <= other < piece.r1
    return found


def _behind(both: Both, x: Any, y: Any) -> Any:
    """Tell which symbols have the end of their section as value, up to the next multiple of 8: _end on some machines;
    and those of sections that have its start."""
    found = np.zeros(len(x), bool)
    count = len(both.left.image.sections)
    starts, ends = np.zeros((2, max(count, 1)), np.int64), np.zeros((2, max(count, 1)), np.int64)
    for pair in both.pairs:
        starts[:, pair.one.number] = pair.one.place, pair.two.place
        ends[:, pair.one.number] = pair.one.place + pair.one.size, pair.two.place + pair.two.size
    known = np.flatnonzero((x["st_shndx"] < count) & ((x["st_info"] & 15) == 0))
    index = x["st_shndx"][known]
    one, two = signed(x["st_value"])[known], signed(y["st_value"])[known]
    found[known] = (one == (ends[0][index] + 7 & ~7)) & (two == (ends[1][index] + 7 & ~7))
    whole = np.flatnonzero((x["st_shndx"] < count) & ((x["st_info"] & 15) == STT_SECTION))
    index = x["st_shndx"][whole]
    found[whole] = (signed(x["st_value"])[whole] == starts[0][index]) & (
        signed(y["st_value"])[whole] == starts[1][index]
    )
    return found


def covered(both: Both, values: Any) -> Any:
    """Return those of left addresses that lie in what the map of the address spaces has."""
    addresses = both.addresses
    if not len(addresses.starts):
        return values[:0]
    index = np.maximum(np.searchsorted(addresses.starts, values, "right") - 1, 0)
    inside = values - addresses.starts[index]
    return values[(inside >= 0) & (inside < addresses.lengths[index])]


def _sizes(both: Both, x: Any, y: Any, placed: Any) -> Any:
    """Tell which symbols have another size because what they name has, which is told at its place."""
    found = np.zeros(len(x), bool)
    for index in np.flatnonzero((x["st_size"] != y["st_size"]) & placed).tolist():
        pair = both.by_index.get(int(x["st_shndx"][index]))
        if pair is None:
            continue
        local = both.left.image.type == ET_REL or int(x["st_info"][index]) & 15 == STT_TLS
        start = int(x["st_value"][index]) - (0 if local else pair.one.addr)
        piece = both.pieces(pair).find(start)
        sizes = int(x["st_size"][index]), int(y["st_size"][index])
        found[index] = piece is not None and not piece.equal and (piece.l1 - piece.l0, piece.r1 - piece.r0) == sizes
    return found
