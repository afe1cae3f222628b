"""Two ELF files side by side: who makes the maps of their sections and of their address spaces."""

from itertools import pairwise

import numpy as np

from reprodiff.budget import Budget
from reprodiff.formats.elf.image import Image, layout
from reprodiff.formats.elf.linkage import entries
from reprodiff.formats.elf.offsets import slots
from reprodiff.formats.program import maps
from reprodiff.formats.program.go.pclntab import go_program
from reprodiff.formats.program.machines import x86
from reprodiff.formats.program.names import EM_ARM, EM_X86_64, ET_REL, PT_LOAD, SHT_SYMTAB
from reprodiff.formats.program.pieces import Pieces, identity
from reprodiff.formats.program.sections import align
from reprodiff.formats.program.side import Side
from reprodiff.formats.program.sides import Both, Makers, Pair
from reprodiff.formats.program.words import Addresses, displaced

# References that lead astray are many where data stands in another order.
ASTRAY_MIN = 8


def sides(left: Image, right: Image, budget: Budget) -> Both:
    """Put two files side by side."""
    left.straighten()
    right.straighten()
    one, two = Side(left, budget), Side(right, budget)
    if go_program(left) and go_program(right):
        named = [any(s.type == SHT_SYMTAB for s in image.sections) for image in (left, right)]
        one.by_table = two.by_table = named[0] != named[1]
    return Both(one, two, Makers(pieces, addresses, maps.go))


def pieces(both: Both, pair: Pair) -> None:
    """Make the map of a section pair."""
    if pair.one.alloc and not both.begun:
        both.begun = True
        _arrange(both)
    if pair.one.stored and pair.two.stored and not pair.known:
        if pair.one.name == b".got":
            pair.take(slots(both, pair))
        elif pair.one.name == b".got.plt":
            pair.take(entries(both, pair))
    maps.pieces(both, pair)


def _arrange(both: Both) -> None:
    """Make the maps of all that is loaded at once where functions or objects stand in another order."""
    # Go sorts its strings and tables by length: that moves them, and their own table says what is which.
    if both.left.image.type == ET_REL or go_program(both.left.image):
        return
    code = both.code()
    for pair in code:
        if pair.one.name.startswith(b".plt") and not pair.known:
            pair.take(entries(both, pair))
        align(pair, both.left, both.right, both.names)
    if any(pair.moved for pair in code) or any(_permuted(both, pair) for pair in both.pairs if pair.one.mapped):
        _order(both)
        return
    before = _astray(both, code)
    both.forget()
    if before >= ASTRAY_MIN:
        _data_arranged(both, code, before)


def _order(both: Both) -> None:
    # Few programs need it, and importing it takes time.
    from reprodiff.formats.program.arrange import arrange

    arrange(both)


def _data_arranged(both: Both, code: list[Pair], before: int) -> None:
    """Take it that data without symbols stands in another order, where that leaves few references that lead to
    something else; before: how many there are otherwise."""
    loaded = [pair for pair in both.pairs if pair.one.mapped]
    old = [(pair, pair.state()) for pair in loaded]
    sides = [(side, side.state()) for side in (both.left, both.right)]
    _order(both)
    for pair in loaded:
        if not pair.arranged and not pair.one.code:
            pair.forget()
    both.forget()
    parts = [[p.r0 for p in both.pieces(pair).pieces if p.equal] for pair in loaded if not pair.one.code]
    permuted = any(one > two for rows in parts for one, two in pairwise(rows))
    if not permuted or 8 * _astray(both, code) > before:
        for pair, state in old:
            pair.restore(state)
        for side, known in sides:
            side.restore(known)
        both.ends = both.copies = np.zeros(0, np.int64)
    both.forget()


def _astray(both: Both, code: list[Pair]) -> int:
    """Count the references of code that lead to something else."""
    if both.left.image.machine != EM_X86_64:
        return 0
    total = 0
    for pair in code:
        a, b = both.left.data(pair.one), both.right.data(pair.two)
        if a == b:
            continue
        found = both.left.sweep(pair.one)
        chosen = np.isin(found.kind, (x86.BRANCH, x86.RIP))
        at, end = found.at[chosen], found.end[chosen]
        data = np.frombuffer(a, np.uint8), np.frombuffer(b, np.uint8)
        _at, _to, ones, twos = displaced(both.pieces(pair), *data, at, end)
        total += int((~both.addresses.same(pair.one.place + ones, pair.two.place + twos)).sum())
    return total


def _permuted(both: Both, pair: Pair) -> bool:
    """Tell whether the objects of a section that have symbols stand in another order."""
    if pair.one.code or not both.left.named(pair.one):
        return False
    pair.agree(both.left, both.right)
    homes = {symbol.key: symbol.start for symbol in both.right.named(pair.two)}
    places = [homes[symbol.key] for symbol in both.left.named(pair.one) if symbol.key in homes]
    return any(one > two for one, two in pairwise(places))


def addresses(both: Both) -> Addresses:
    """Return the map of all allocated sections and of the headers before them."""
    parts = [
        (p.one.place, p.one.size, p.two.place, p.two.size, both.pieces(p))
        for p in both.pairs
        if p.one.mapped and p.two.mapped
    ]
    heads = [
        next(
            (
                s.vaddr - (1 << 64) if s.vaddr >> 63 else s.vaddr
                for s in side.image.segments
                if s.type == PT_LOAD and s.offset == 0 and s.filesz
            ),
            None,
        )
        for side in (both.left, both.right)
    ]
    size = layout(both.left.image.wide, both.left.image.order).header.size
    if heads[0] is not None and heads[1] is not None and all(p[0] >= heads[0] + size for p in parts):
        parts.append((heads[0], size, heads[1], size, Pieces(identity(size, size))))
    odd = [(p.one.addr, p.one.size) for p in both.pairs if p.one.code and both.left.image.machine == EM_ARM]
    found = Addresses(parts, odd)
    pointer = _pointer(both, found)
    return Addresses([*parts, pointer], odd) if pointer else found


def _pointer(both: Both, addresses: Addresses) -> tuple[int, int, int, int, Pieces] | None:
    """Return the global pointers of both sides as a part of the map where they lie in no section."""
    one, two = both.left.pointer, both.right.pointer
    if addresses.covered(np.array([one], np.int64))[0] or not both.pointing(addresses):
        return None
    return one, 1, two, 1, Pieces(identity(1, 1))
