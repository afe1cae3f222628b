"""Which words of debug information refer to strings, other sections and addresses (DWARF 5, chapter 7).

The information entries are not read one by one: a word counts as a reference where its value on the left is an
offset or an address whose counterpart is its value on the right.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from reprodiff.formats.elf.dwarf import units
from reprodiff.formats.elf.names import ET_REL
from reprodiff.formats.elf.sides import Both, Pair
from reprodiff.formats.elf.words import Differing

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
}  # fmt: skip
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
    if name in ADDRESSES and image.type != ET_REL:
        addresses = both.addresses
        found.accept(image.word, 1, 0, lambda _s, _o, ones, twos: addresses.same(ones, twos))
    if name == b".debug_info" and grown:
        _inside_units(both, pair, found)


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

        def header(starts: Any, _others: Any, first: Any, second: Any) -> Any:
            index = np.searchsorted(heads, starts)
            return second - first == others[index] - sizes[index]

        found.accept_fields(heads, header)


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
