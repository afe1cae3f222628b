"""Compare tables of relocations: whole columns of fields at once, as those of symbols."""

from typing import Any

import numpy as np

from reprodiff.codecs import RAW
from reprodiff.formats import Walk
from reprodiff.formats.elf.image import layout
from reprodiff.formats.elf.tables import columns, covered, numbered, signed
from reprodiff.formats.program import inplace
from reprodiff.formats.program.names import (
    EM_386,
    EM_S390,
    EM_X86_64,
    ET_REL,
    RELATIVE,
    SHT_FINI_ARRAY,
    SHT_INIT_ARRAY,
    SHT_PREINIT_ARRAY,
    SHT_RELA,
    STT_SECTION,
)
from reprodiff.formats.program.pieces import Pieces, identity
from reprodiff.formats.program.rows import rows
from reprodiff.formats.program.sequence import matched
from reprodiff.formats.program.sides import Both, Pair, at_symbol
from reprodiff.formats.program.words import among, without

# What lies between the field and the place that instructions count from: on x86 the field itself, and an immediate behind
# it; on S/390 the operation code before it.
BEHIND = {EM_386: (0, 4, 5, 6, 8), EM_X86_64: (0, 4, 5, 6, 8), EM_S390: (0, -2)}
# Types of relocations that are counted from their own place (x86-64 psABI, 4.4; Intel386 psABI, 4.4).
COUNTED = {EM_386: (2,), EM_X86_64: (2, 4, 9, 24, 41, 42)}


def relocations(walk: Walk, both: Both, pair: Pair, where: str) -> None:
    """Compare two relocation tables."""
    left, right = both.left.image, both.right.image
    kind = "rela" if pair.one.type == SHT_RELA else "rel"
    a, b = rows(both.left.data(pair.one), left, kind), rows(both.right.data(pair.two), right, kind)
    records = layout(left.wide, left.order)
    table = records.rela if kind == "rela" else records.rel
    shift = np.uint64(32 if left.wide else 8)
    symbols = both.linked(pair)[0]
    symbols_pair = both.by_index.get(symbols.number) if symbols else None
    mapped = numbered(both, symbols_pair) if symbols_pair is not None else None
    ones = twos = np.arange(min(len(a), len(b)))
    if len(a) != len(b):
        ones, twos = _by_place(both, pair, a, b)
    elif left.type != ET_REL and not _places(both, pair, a, b).all():
        kinds = [row["r_info"].astype(np.uint64).astype(object).tolist() for row in (a, b)]
        if mapped is not None and len(mapped):
            # What both are for, by the right side's symbols.
            bits = int(shift)
            kinds[0] = [int(mapped[min(k >> bits, len(mapped) - 1)]) << bits | k & (1 << bits) - 1 for k in kinds[0]]
        ones, twos = _sorted_places(both, a, b, kinds)
    x, y = a[ones], b[twos]
    numbers = (
        (x["r_info"].astype(np.uint64) >> shift).astype(np.int64),
        (y["r_info"].astype(np.uint64) >> shift).astype(np.int64),
    )
    mask = np.uint64(0xFFFFFFFF if left.wide else 0xFF)
    types = x["r_info"].astype(np.uint64) & mask, y["r_info"].astype(np.uint64) & mask
    if mapped is None or not len(mapped):
        same = numbers[0] == numbers[1]
    else:
        same = np.where(numbers[0] < len(mapped), mapped[np.minimum(numbers[0], len(mapped) - 1)], -1) == numbers[1]
    # An entry of nothing but zeros applies nowhere.
    nowhere = (types[0] == 0) & (types[1] == 0) & (x["r_offset"] == 0) & (y["r_offset"] == 0)
    good = {"r_offset": _places(both, pair, x, y) | nowhere, "r_info": same & (types[0] == types[1])}
    if kind == "rela":
        good["r_addend"] = _addends(both, symbols_pair, x, y, numbers[0], types[0])
        _initialisers(walk, both, x, y, types[0], good)
    if both.siblings is not None and types[0].size and symbols_pair is not None:
        hit = _moved(both, pair, symbols_pair, (x, y), numbers, types)
        for name in good.keys() - {"r_offset"}:
            good[name] |= hit
    starts = pair.one.offset + ones * table.size, pair.two.offset + twos * table.size
    columns(walk, f"{where}/relocation", good, x, y, table, starts, lambda _index: b"")
    for side, (whole, used) in enumerate(((a, ones), (b, twos))):
        section = (pair.one, pair.two)[side]
        rest = without(np.arange(len(whole)), used)
        for run in np.split(rest, np.flatnonzero(np.diff(rest) != 1) + 1) if len(rest) else ():
            span = section.offset + int(run[0]) * table.size, section.offset + (int(run[-1]) + 1) * table.size
            walk.put(f"{where}/relocation", (), None if side else span, span if side else None, RAW)


def _moved(both: Both, pair: Pair, table: Pair, xy: Any, numbers: Any, types: Any) -> Any:
    """Tell which relocations lead, on both sides, to the same place of a text that stands in another section."""
    sections = []
    for side, section, number in ((both.left, table.one, numbers[0]), (both.right, table.two, numbers[1])):
        known = rows(side.data(section), side.image, "symbol")
        index = np.minimum(number, len(known) - 1)
        plain = ((known["st_info"] & 15) == STT_SECTION) & (known["st_value"] == 0)
        sections.append(np.where((plain[index]) & (number < len(known)), known["st_shndx"][index].astype(np.int64), -1))
    found = np.zeros(len(xy[0]), bool)
    image, target = both.left.image, both.by_index.get(pair.one.info)
    moved = both.siblings
    if moved is None or target is None or target.two.number != pair.two.info:
        return found
    if pair.one.type == SHT_RELA:
        addends = [signed(row["r_addend"]) for row in xy]
    else:
        addends = [
            inplace.held(side, section, signed(row["r_offset"]))
            for side, section, row in ((both.left, target.one, xy[0]), (both.right, target.two, xy[1]))
        ]
    relative = np.isin(types[0], COUNTED.get(image.machine, ()))
    behind = BEHIND.get(image.machine, (0,))
    for chosen, far in ((relative, behind[1:] if target.one.code and len(behind) > 1 else (0,)), (~relative, (0,))):
        found |= chosen & (types[0] == types[1]) & moved.across(sections[0], sections[1], addends[0], addends[1], far)
    return found


def _initialisers(walk: Walk, both: Both, x: Any, y: Any, types: Any, good: dict[str, Any]) -> None:
    """Put the order of the functions that run at start or exit, where both sides have the same ones in another order."""
    if both.left.image.type == ET_REL:
        return
    relative = np.isin(types, RELATIVE.get(both.left.image.machine, ())) & good["r_offset"] & good["r_info"]
    offsets = signed(x["r_offset"])
    for pair in both.pairs:
        one = pair.one
        if one.type not in {SHT_INIT_ARRAY, SHT_FINI_ARRAY, SHT_PREINIT_ARRAY}:
            continue
        here = np.flatnonzero(relative & (offsets >= one.place) & (offsets < one.place + one.size))
        here = here[np.argsort(offsets[here], kind="stable")]
        lefts, rights = signed(x["r_addend"])[here], signed(y["r_addend"])[here]
        moved = both.addresses.to(lefts)
        if (moved == rights).all() or (moved < 0).any() or sorted(moved.tolist()) != sorted(rights.tolist()):
            continue
        good["r_addend"][here] = True
        names = {right: _function(both, left) for left, right in zip(lefts.tolist(), moved.tolist(), strict=True)}
        walk.put_order(f"elf/{one.label}", [names[at] for at in moved.tolist()], [names[at] for at in rights.tolist()])


def _function(both: Both, address: int) -> bytes:
    pair = both.section_at(address)
    symbol = at_symbol(both.left.named(pair.one), address - pair.one.place) if pair else None
    return symbol.name if symbol else b"%#x" % address


def _places(both: Both, pair: Pair, x: Any, y: Any) -> Any:
    one, two = signed(x["r_offset"]), signed(y["r_offset"])
    if both.left.image.type != ET_REL:
        return both.addresses.same(one, two)
    target = both.by_index.get(pair.one.info)
    return one == two if target is None else both.pieces(target).to(one) == two


def _sorted_places(both: Both, a: Any, b: Any, kinds: list[list[int]]) -> tuple[Any, Any]:
    """Align as many relocations, which linkers sort by where they apply: what moved stands elsewhere in the table.

    kinds: types and symbols, as numbers of the right side.
    """
    one, two = signed(a["r_offset"]), signed(b["r_offset"])
    moved = both.addresses.to(one)
    lefts, rights = np.argsort(moved, kind="stable"), np.argsort(two, kind="stable")
    if (moved[lefts] == two[rights]).all():
        order = np.argsort(lefts, kind="stable")
        return np.arange(len(a)), rights[order]
    # What stayed in its place is itself; then by place and what is there, then by one of them; what is left over stays
    # in order.
    stays = (moved == two).tolist()
    twins = [index if stay else -1 for index, stay in enumerate(stays)]
    free = {index for index, stay in enumerate(stays) if not stay}
    columns = [list(zip(places.tolist(), kind, strict=True)) for places, kind in ((moved, kinds[0]), (two, kinds[1]))]
    for chosen in (slice(0, 2), slice(0, 1), slice(1, 2)) if both.arranged else (slice(0, 1),):
        there: dict[Any, list[int]] = {}
        for j in sorted(free, reverse=True):
            there.setdefault(columns[1][j][chosen], []).append(j)
        for i, twin in enumerate(twins):
            if twin < 0 and there.get(columns[0][i][chosen]):
                twins[i] = there[columns[0][i][chosen]].pop()
                free.discard(twins[i])
    if not both.arranged and 2 * twins.count(-1) > len(twins):
        return np.arange(len(a)), np.arange(len(b))
    rest = iter(sorted(free))
    return np.arange(len(a)), np.array([next(rest) if twin < 0 else twin for twin in twins], np.int64)


def _by_place(both: Both, pair: Pair, a: Any, b: Any) -> tuple[Any, Any]:
    """Align relocations that are not as many by where they apply."""
    target = both.by_index.get(pair.one.info)
    one = signed(a["r_offset"])
    if both.left.image.type == ET_REL:
        places = (both.pieces(target) if target else Pieces(identity(1 << 62, 1 << 62))).to(one)
    else:
        addresses = both.addresses
        index = np.maximum(np.searchsorted(addresses.starts, one, "right") - 1, 0)
        places = one - addresses.starts[index] + addresses.rights[index]
    runs = matched(places.tolist(), signed(b["r_offset"]).tolist())
    ones = [i + k for i, _j, count in runs for k in range(count)]
    twos = [j + k for _i, j, count in runs for k in range(count)]
    return np.array(ones, np.int64), np.array(twos, np.int64)


def _addends(both: Both, table: Pair | None, x: Any, y: Any, numbers: Any, types: Any) -> Any:
    """Tell which addends refer to the same: an address for RELATIVE, else an offset into the symbol's section."""
    one, two = signed(x["r_addend"]), signed(y["r_addend"])
    image = both.left.image
    if image.type != ET_REL:
        relative = np.isin(types, RELATIVE.get(image.machine, ()))
        same = both.addresses.same(one, two) | both.reaches(one, two)
        # What leads to no section did not move.
        same |= (one == two) & ((one == 0) | ~among(one, covered(both, one)))
        return np.where(relative, same, one == two)
    found = one == two
    if table is None:
        return found
    symbols_of = rows(both.left.data(table.one), image, "symbol")
    numbers = np.minimum(numbers, len(symbols_of) - 1)
    sections = np.where((symbols_of["st_info"][numbers] & 15) == STT_SECTION, symbols_of["st_shndx"][numbers], 0)
    # An object file has a section for each function at times: each looks at its own rows only.
    rank = np.argsort(sections, kind="stable")
    for run in np.split(rank, np.flatnonzero(np.diff(sections[rank])) + 1):
        index = int(sections[run[0]]) if len(run) else 0
        pair = both.by_index.get(index)
        if pair is None or not index:
            continue
        pieces = both.pieces(pair)
        lefts, rights = one[run], two[run]
        hit = (lefts == rights) & pieces.unmoved
        if not hit.all():
            for behind in BEHIND.get(image.machine, (0,)):
                hit |= (pieces.to(lefts + behind) == rights + behind) & (rights + behind >= 0)
        found[run] = hit
    return found
