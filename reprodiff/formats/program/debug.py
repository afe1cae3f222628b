"""Which words of debug information refer to strings, other sections and addresses (DWARF 5, chapter 7).

The information entries are not read one by one: a word counts as a reference where its value on the left is an
offset or an address whose counterpart is its value on the right.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from reprodiff.formats.program.dwarf import units
from reprodiff.formats.program.linehead import program
from reprodiff.formats.program.names import ET_REL
from reprodiff.formats.program.sides import Both, Pair
from reprodiff.formats.program.units import rows_of_units
from reprodiff.formats.program.words import Differing, among

# Section to those that its words may be offsets into.
REFERS = {
    b".debug_info": (b".debug_str", b".debug_line_str", b".debug_line", b".debug_abbrev", b".debug_rnglists", b".debug_loclists",
                     b".debug_ranges", b".debug_loc", b".debug_addr", b".debug_str_offsets", b".debug_macro", b".debug_info"),
    b".debug_types": (b".debug_str", b".debug_line_str", b".debug_line", b".debug_abbrev", b".debug_str_offsets"),
    b".debug_line": (b".debug_line_str", b".debug_str"),
    b".debug_str_offsets": (b".debug_str",),
    b".debug_aranges": (b".debug_info",),
    b".debug_names": (b".debug_str", b".debug_info"),
    b".debug_pubnames": (b".debug_info",),
    b".debug_pubtypes": (b".debug_info",),
    b".debug_gnu_pubnames": (b".debug_info",),
    b".debug_gnu_pubtypes": (b".debug_info",),
    b".debug_macro": (b".debug_str", b".debug_line"),
    b".gdb_index": (b".debug_info",),
    # What clang writes for LLDB.
    **dict.fromkeys((b".apple_names", b".apple_types", b".apple_objc", b".apple_namespac"), (b".debug_str", b".debug_info")),
    # DW_OP_implicit_pointer
    b".debug_loclists": (b".debug_info",),
    b".debug_loc": (b".debug_info",),
}  # fmt: skip
# Addresses that are looked at one by one.
DISCARDED_MAX = 4000
LISTS = (b".debug_rnglists", b".debug_loclists")
ADDRESSES = frozenset(REFERS) | {b".debug_addr", b".debug_rnglists", b".debug_loclists", b".debug_ranges", b".debug_loc",
                                 b".debug_frame"}  # fmt: skip


def decide(both: Both, pair: Pair, found: Differing) -> None:
    """Accept the words of a section of debug information that refer to the same thing on both sides."""
    name = pair.one.name
    image = both.left.image
    grown = len(found.left) != len(found.right)
    if name.startswith((b".debug_", b".gdb")) and grown:
        _lengths(both, pair, found)
    aligned = 4 if name == b".debug_str_offsets" else 1
    for other in REFERS.get(name, ()):
        target = both.pair(other)
        if target is None or not target.one.stored or not target.two.stored:
            continue
        pieces = both.pieces(target)
        if pieces.identity:
            continue
        found.accept(4, aligned, 0, _into(pieces))
        if other in LISTS:
            _equal_units(both, target, found)
    if name == b".debug_info":
        _abbreviations(both, pair, found)
    if name in ADDRESSES and image.type != ET_REL:
        addresses = both.addresses
        found.accept(image.word, 1, 0, lambda _s, _o, ones, twos: addresses.same(ones, twos))
        if both.arranged:
            # The end of a function, where another one follows on the other side.
            found.accept(image.word, 1, 0, lambda _s, _o, ones, twos: addresses.to(ones - 1) == twos - 1)
            found.accept(image.word, 1, 0, _discarded(both, found))
    if name == b".debug_info" and grown:
        _inside_units(both, pair, found)


def _discarded(both: Both, found: Differing) -> Any:
    """Return a check for addresses of functions that several units bring along and of which the linker keeps one: nothing
    takes the place of the others' addresses. Each must be kept as often on both sides."""
    word, order = both.left.image.word, both.left.image.order
    nothing = (0, 1, -1, -2)

    def count(data: Any, address: int) -> int:
        text, value = data.tobytes(), address.to_bytes(word, "little" if order == "<" else "big")
        return int(text.count(value))

    known: dict[int, bool] = {}

    def kept(left: int, right: int) -> bool:
        if left not in known:
            known[left] = count(found.left, left) == count(found.right, right)
        return known[left]

    def check(_starts: Any, _others: Any, ones: Any, twos: Any) -> Any:
        good = np.zeros(len(ones), bool)
        gone = among(ones, nothing) != among(twos, nothing)
        for index in np.flatnonzero(gone)[:DISCARDED_MAX].tolist():
            left, right = int(ones[index]), int(twos[index])
            if left in nothing:
                left = both.back(right)
            else:
                right = int(both.addresses.to(np.array([left]))[0])
                left = left if right > 0 else -1
            target = both.section_at(left) if left > 0 else None
            good[index] = target is not None and target.one.code and kept(left, right)
        return good

    return check


def _equal_units(both: Both, target: Pair, found: Differing) -> None:
    """Accept offsets to the same place of units that are equal: which of them is which does not show."""
    known: dict[bytes, int] = {}
    sides = []
    for side, section in ((both.left, target.one), (both.right, target.two)):
        data = side.data(section)
        rows = rows_of_units(data, side.image.order)
        numbers = [known.setdefault(data[start:stop], len(known)) for start, stop in rows]
        sides.append((np.array([start for start, _stop in rows], np.int64), np.array(numbers, np.int64), len(data)))
    if not len(sides[0][0]) or not len(sides[1][0]):
        return

    def equal(_starts: Any, _others: Any, ones: Any, twos: Any) -> Any:
        fine = np.ones(len(ones), bool)
        found_in = []
        for (starts, numbers, size), values in zip(sides, (ones, twos), strict=True):
            index = np.maximum(np.searchsorted(starts, values, "right") - 1, 0)
            fine &= (values >= 0) & (values < size)
            found_in.append((numbers[index], values - starts[index]))
        return fine & (found_in[0][0] == found_in[1][0]) & (found_in[0][1] == found_in[1][1])

    found.accept(4, 1, 0, equal)


def _into(pieces: Any) -> Callable[[Any, Any, Any, Any], Any]:
    return lambda _s, _o, ones, twos: pieces.to(ones) == twos


def _lengths(both: Both, pair: Pair, found: Differing) -> None:
    """Accept the lengths of units, and of the headers of line tables where only these grew."""
    order = both.left.image.order
    ones = list(units(both.left.data(pair.one), order))
    twos = list(units(both.right.data(pair.two), order))
    if len(ones) != len(twos):
        return
    at = np.array([start for start, *_ in ones], np.int64)
    sizes = np.array([stop - start for start, stop, *_ in ones], np.int64)
    others = np.array([stop - start for start, stop, *_ in twos], np.int64)

    def lengths(starts: Any, _others: Any, first: Any, second: Any) -> Any:
        index = np.searchsorted(at, starts)
        return (first == sizes[index] - 4) & (second == others[index] - 4)

    found.accept_fields(at, lengths)
    if pair.one.name == b".debug_line":
        heads = np.array([start + (6 if version < 5 else 8) for start, _stop, _w, version in ones], np.int64)

        programs = [
            np.array([program(data, start, stop) for start, stop, *_ in rows], np.int64)
            for data, rows in ((both.left.data(pair.one), ones), (both.right.data(pair.two), twos))
        ]

        def header(starts: Any, _others: Any, first: Any, second: Any) -> Any:
            index = np.searchsorted(heads, starts)
            whole = (first == programs[0][index]) & (second == programs[1][index])
            return whole | (second - first == others[index] - sizes[index])

        found.accept_fields(heads, header)


def _abbreviations(both: Both, pair: Pair, found: Differing) -> None:
    """Accept the offsets of units into .debug_abbrev where the tables there are equal."""
    target = both.pair(b".debug_abbrev")
    if target is None or not target.one.stored or not target.two.stored:
        return
    order: Any = "little" if both.left.image.order == "<" else "big"
    sides = []
    for side, section, table in ((both.left, pair.one, target.one), (both.right, pair.two, target.two)):
        data = side.data(section)
        # Where a 4-byte field lies that says where the abbreviations of a unit start (DWARF 5, 7.5.1).
        fields = [
            start + (8 if version >= 5 else 6)
            for start, _stop, width, version in units(data, side.image.order)
            if width == 4
        ]
        starts = {at: int.from_bytes(data[at : at + 4], order) for at in fields}
        bounds = sorted({*starts.values(), table.size})
        ends = dict(pairwise(bounds))
        tables = side.data(table)
        sides.append({start: tables[start : ends.get(start, start)] for start in bounds if start < table.size})
        if side is both.left:
            places = np.array(fields, np.int64)

    def equal(_starts: Any, _others: Any, ones: Any, twos: Any) -> Any:
        pairs = zip(ones.tolist(), twos.tolist(), strict=True)
        return np.array([a in sides[0] and sides[0][a] == sides[1].get(b) for a, b in pairs], bool)

    found.accept_fields(places, equal)


def _inside_units(both: Both, pair: Pair, found: Differing) -> None:
    """Accept references within a unit, counted from its start (DW_FORM_ref4), where strings inside grew."""
    order = both.left.image.order
    at = np.array([start for start, *_ in units(both.left.data(pair.one), order)], np.int64)
    others = np.array([start for start, *_ in units(both.right.data(pair.two), order)], np.int64)
    if not len(at) or len(at) != len(others):
        return
    pieces = found.pieces

    def within(starts: Any, _others: Any, ones: Any, twos: Any) -> Any:
        index = np.maximum(np.searchsorted(at, starts, "right") - 1, 0)
        return pieces.to(at[index] + ones) == others[index] + twos

    found.accept(4, 1, 0, within)
