"""Which words of a section that is loaded may be pointers, and of which kind."""

from typing import Any

import numpy as np

from reprodiff.formats.elf import code, debug, inplace
from reprodiff.formats.elf.instructions import signed
from reprodiff.formats.elf.names import EM_RISCV, ET_EXEC, ET_REL
from reprodiff.formats.elf.pieces import texts
from reprodiff.formats.elf.sides import Both, Pair
from reprodiff.formats.elf.words import Differing, gather

# Lengths of strings that are looked at one by one.
LENGTHS_MAX = 2000


def decide(both: Both, pair: Pair, found: Differing) -> None:
    """Accept every word of a section that is a pointer to the same thing on both sides."""
    one, two = pair.one, pair.two
    image = both.left.image
    if image.type == ET_REL:
        inplace.decide(both, pair, found)
    if not one.alloc:
        debug.decide(both, pair, found)
        return
    if image.type == ET_REL:
        return
    addresses = both.addresses
    if one.code:
        code.follow(both, pair, found)
        return
    found.accept(image.word, image.word, one.addr, lambda _s, _o, ones, twos: addresses.same(ones, twos))
    found.accept(image.word, image.word, one.addr, _lengths(both, pair, found))
    tables = one.name.startswith(b".eh_frame") or one.name == b".gcc_except_table"
    if one.name == b".eh_frame_hdr":
        found.accept(
            4, 4, one.addr, lambda _s, _o, ones, twos: addresses.same(one.place + ones, two.place + twos), signed=True
        )
    found.accept(
        4, 1 if tables else 4, one.addr,
        lambda s, o, ones, twos: addresses.same(one.place + s + ones, two.place + o + twos), signed=True,
    )  # fmt: skip
    if one.name.startswith((b".ARM.exidx", b".ARM.extab")):
        # Distances of 31 bits.
        found.accept(
            4, 4, one.addr,
            lambda s, o, ones, twos: (ones >= 0) & (twos >= 0)
            & addresses.same(one.place + s + signed(ones, 31), two.place + o + signed(twos, 31)), signed=True,
        )  # fmt: skip
    if one.name == b".eh_frame":
        # Each record's distance to its CIE, where records before it grew.
        found.accept(
            4,
            4,
            one.addr,
            lambda s, o, ones, twos: (both.pieces(pair).to(s - ones) == o - twos) & (ones > 0),
            signed=True,
        )
    if found.open.any() and both.family and not one.flags & 1:
        begins = both.left.references(one)
        if len(begins):

            def into(targets: Any) -> Any:
                found_in = np.zeros(len(targets), bool)
                for other in both.pairs:
                    if other.one.code:
                        found_in |= (targets >= other.one.place) & (targets < other.one.place + other.one.size)
                return found_in

            def entries(starts: Any, _others: Any, ones: Any, twos: Any) -> Any:
                index = np.searchsorted(begins, starts, "right") - 1
                start = begins[np.maximum(index, 0)]
                begin = both.pieces(pair).to(start)
                same = addresses.same(one.place + start + ones, two.place + begin + twos)
                return (index >= 0) & (begin >= 0) & into(one.place + start + ones) & same

            found.accept(4, 4, one.addr, entries, signed=True)
            if image.type == ET_EXEC and image.machine == EM_RISCV:
                # Addresses of half a word, where all of them fit into it.
                found.accept(4, 4, one.addr, lambda s, _o, ones, twos: (s >= begins[0]) & into(ones) & addresses.same(ones, twos))  # fmt: skip


def _lengths(both: Both, pair: Pair, found: Differing) -> Any:
    """Return a check for lengths of strings: the word before refers to one that grew, by as much as the length did."""
    word, order = both.left.image.word, both.left.image.order
    addresses = both.addresses
    places = pair.one.place, pair.two.place

    def check(starts: Any, others: Any, ones: Any, twos: Any) -> Any:
        fits = (starts >= word) & (others >= word)
        starts, others = np.maximum(starts, word), np.maximum(others, word)
        left = gather(found.left, starts - word, word, order, signed=False)
        right = gather(found.right, others - word, word, order, signed=False)
        # A program that is loaded anywhere may have its addresses in its relocations alone.
        left = np.where(left == 0, both.left.relocated(places[0] + starts - word), left)
        right = np.where(right == 0, both.right.relocated(places[1] + others - word), right)
        fits &= addresses.same(left, right)
        for index in np.flatnonzero(fits)[:LENGTHS_MAX].tolist():
            target = both.section_at(int(left[index]))
            offset = int(left[index]) - target.one.addr if target else 0
            piece = both.pieces(target).find(offset) if target else None
            # The text is as long as the length says, and the whole difference lies within it.
            fits[index] = (
                target is not None
                and piece is not None
                and not piece.equal
                and piece.l0 <= offset <= piece.l0 + int(ones[index])
                and int(twos[index]) - int(ones[index]) == (piece.r1 - piece.r0) - (piece.l1 - piece.l0)
                and texts(
                    both.left.data(target.one)[offset : offset + int(ones[index])],
                    both.right.data(target.two)[int(right[index]) - target.two.addr :][: int(twos[index])],
                )
            )
        return fits

    return check
