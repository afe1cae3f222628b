"""Which words of a section that is loaded may be pointers, and of which kind."""

from typing import Any

import numpy as np

from reprodiff.formats.program import code as instructions_of
from reprodiff.formats.program import debug, got, immediates, inplace, large
from reprodiff.formats.program.links import absolute
from reprodiff.formats.program.machines import x86
from reprodiff.formats.program.machines.instructions import signed
from reprodiff.formats.program.names import EM_MIPS, EM_RISCV, EM_X86_64, ET_EXEC, ET_REL
from reprodiff.formats.program.pieces import texts
from reprodiff.formats.program.sides import Both, Pair
from reprodiff.formats.program.words import Differing, gather

# Lengths of strings that are looked at one by one.
LENGTHS_MAX = 2000
TEXT_MIN = 3


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
        immediates.accept_object(both, pair, found)
        return
    if both.go is not None:
        both.go.decide(pair, found)
    addresses = both.addresses
    if one.code:
        if not both.x86:
            instructions_of.follow(both, pair, found)
            return
        # Where nothing moved no pointer follows.
        if not both.still:
            plain = instructions_of.displacements(both, pair, found, both.leads)
            if one.name.startswith(b".plt") and found.open.any():
                found.accept_fields(plain, _numbers(both))
            if image.type == ET_EXEC or image.machine != EM_X86_64:
                found.accept_fields(
                    plain,
                    lambda s, o, ones, twos: both.leads(
                        one.place + s, x86.address(ones, one.place + s), x86.address(twos, two.place + o)
                    ),
                )
            if image.machine == EM_X86_64:
                large.accept(both, pair, found)
                immediates.accept(both, pair, found)
            got.accept(both, pair, found)
        return
    found.accept(image.word, image.word, one.addr, lambda _s, _o, ones, twos: addresses.same(ones, twos))
    found.accept(image.word, image.word, one.addr, _lengths(both, pair, found))
    tables = one.name.startswith(b".eh_frame") or one.name == b".gcc_except_table"
    if tables and image.type == ET_EXEC and image.machine == EM_X86_64 and found.open.any():
        found.accept_fields(absolute(both.left, one), lambda _s, _o, ones, twos: addresses.same(ones, twos))
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
        if found.open.any():
            _filled_up(both, pair, found)
        grown = _grown(both)
        if grown:
            starts, firsts = both.left.described(one, 16)
            lengths = {
                start + 12: grown[first]
                for start, first in zip(starts.tolist(), (firsts + one.place).tolist(), strict=True)
                if first in grown
            }
            found.accept_fields(
                np.array(sorted(lengths), np.int64),
                lambda s, _o, ones, twos: np.array(
                    [
                        lengths.get(at) == (a, b)
                        for at, a, b in zip(s.tolist(), ones.tolist(), twos.tolist(), strict=True)
                    ],
                    bool,
                ),
            )
        # Each record's distance to its CIE, where records before it grew.
        found.accept(
            4,
            4,
            one.addr,
            lambda s, o, ones, twos: (both.pieces(pair).to(s - ones) == o - twos) & (ones > 0),
            signed=True,
        )
    if not one.flags & 1:
        jump_tables(both, pair, found)
        got.accept_entries(both, pair, found)


def jump_tables(both: Both, pair: Pair, found: Differing) -> None:
    """Accept entries of tables: distances into code or to texts from where code refers to the table."""
    one, two = pair.one, pair.two
    if not found.open.any() or not both.family:
        return
    image, addresses = both.left.image, both.addresses
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
            target = one.place + start + ones
            fits = (index >= 0) & (begin >= 0)
            fits &= addresses.same(one.place + start + ones, two.place + begin + twos)
            found_in = into(target)
            for number in np.flatnonzero(fits & ~found_in)[:LENGTHS_MAX].tolist():
                found_in[number] = _texts(both, int(start[number] + ones[number]) + one.place)
            return fits & found_in

        found.accept(4, 4, one.addr, entries, signed=True)
        if image.machine == EM_MIPS:
            # Distances from the global pointer.
            gp = both.left.pointer, both.right.pointer
            found.accept(4, 4, one.addr, lambda _s, _o, ones, twos: into(ones + gp[0]) & addresses.same(ones + gp[0], twos + gp[1]), signed=True)  # fmt: skip
        if image.type == ET_EXEC and image.machine == EM_RISCV:
            # Addresses of half a word, where all of them fit into it.
            found.accept(4, 4, one.addr, lambda s, _o, ones, twos: (s >= begins[0]) & into(ones) & addresses.same(ones, twos))  # fmt: skip


def _texts(both: Both, address: int) -> bool:
    """Tell whether a text begins at a left address, in data that is only read."""
    target = both.section_at(address)
    if target is None or target.one.flags & 1 or target.one.code or not target.one.stored:
        return False
    data, at = both.left.data(target.one), address - target.one.place
    text = data[at : at + 64].split(b"\0")[0]
    return len(text) >= TEXT_MIN and texts(text, text)


def _grown(both: Both) -> dict[int, tuple[int, int]]:
    """Return both sizes of functions that have another size on each side, by left address: told at the function."""
    return {
        piece.l0 + pair.one.place: (piece.l1 - piece.l0, piece.r1 - piece.r0)
        for pair in both.pairs
        if pair.one.code and pair.one.stored and pair.two.stored and pair.one.alloc
        for piece in both.pieces(pair).pieces
        if piece.name is not None and not piece.equal and piece.r1 > piece.r0
    }


def _filled_up(both: Both, pair: Pair, found: Differing) -> None:
    """Accept the lengths of frame records that are filled up with zeros on one side: the last ones of their inputs."""
    sizes = [
        {start: stop - start - 4 for start, stop, pointer in side.records(section).tolist() if pointer > 0}
        for side, section in ((both.left, pair.one), (both.right, pair.two))
    ]

    def lengths(starts: Any, others: Any, ones: Any, twos: Any) -> Any:
        rows = zip(starts.tolist(), others.tolist(), ones.tolist(), twos.tolist(), strict=True)
        return np.array([sizes[0].get(i) == a and sizes[1].get(j) == b for i, j, a, b in rows], bool)

    found.accept_fields(np.array(sorted(sizes[0]), np.int64), lengths)


def _numbers(both: Both) -> Any:
    """Return a check for the numbers of relocations that the linkage table pushes: they write to the same place."""
    places = []
    for side in (both.left, both.right):
        table = side.image.by_name.get(b".rela.plt")
        data = side.data(table) if table is not None else b""
        rows = np.frombuffer(data[: len(data) // 24 * 24], f"{side.image.order}i8").reshape(-1, 3)
        places.append(rows[:, 0] if side.image.wide else np.zeros(0, np.int64))

    def check(_starts: Any, _others: Any, ones: Any, twos: Any) -> Any:
        inside = (ones >= 0) & (ones < len(places[0])) & (twos >= 0) & (twos < len(places[1]))
        if not inside.any():
            return inside
        found = np.zeros(len(ones), bool)
        found[inside] = both.addresses.same(places[0][ones[inside]], places[1][twos[inside]])
        return found

    return check


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
            offset = int(left[index]) - target.one.place if target else 0
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
                    both.right.data(target.two)[int(right[index]) - target.two.place :][: int(twos[index])],
                )
            )
        return fits

    return check
