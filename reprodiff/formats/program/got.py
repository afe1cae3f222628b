"""Displacements of 32-bit x86 code from the global offset table, which position-independent code has in a register.

A function asks where it is and adds the distance to the table (System V ABI, Intel386 supplement, "Position-Independent
Function Prologue"). Only in a function that does so, and only from the register that it puts the sum into, does a
displacement count from the table. Programs loaded at one address have addresses as displacements from a register.
"""

from typing import Any

import numpy as np

from reprodiff.formats.program.code import Stale, begins
from reprodiff.formats.program.machines.x86 import MODRM, MODRM2, PREFIX
from reprodiff.formats.program.names import EM_386, ET_EXEC, ET_REL
from reprodiff.formats.program.sides import Both, Pair
from reprodiff.formats.program.words import Differing, among, distinct, gather

CALL, ADD_EAX, ADD, POP = 0xE8, 0x05, 0x81, 0x58
MARGIN = 24
# Registers that code keeps a value in.
KEPT = (3, 5, 6, 7)


def accept(both: Both, pair: Pair, found: Differing) -> None:
    """Accept what counts from the table, and addresses as displacements in a program loaded at one address."""
    image = both.left.image
    if image.machine != EM_386 or not found.open.any():
        return
    one, two = pair.one, pair.two
    fields = both.left.fields(one, found.one[found.open])
    code = np.frombuffer(both.left.data(one) + bytes(MARGIN), np.uint8)
    tables = both.left.offset_table, both.right.offset_table
    at, bases, registers = _sums(code, fields.starts)
    sums = gather(code, at, 4, image.order, signed=True) + bases + one.place
    places, counted = _displacements(code, fields.starts)
    if None not in tables:
        left, right = (int(value or 0) for value in tables)
        mine = sums == left
        at, bases, registers = at[mine], bases[mine], registers[mine]

        def sum_of(starts: Any, _others: Any, ones: Any, twos: Any) -> Any:
            base = bases[np.searchsorted(at, starts)]
            there = both.pieces(pair).to(base)
            return (there >= 0) & (one.place + base + ones == left) & (two.place + there + twos == right)

        found.accept_fields(at, sum_of)
        bounds = np.array(both.left.bounds(one), np.int64)
        # A function and a register, in one number.
        asks = np.searchsorted(bounds, at, "right")
        copied, copies = _copies(code, fields.starts)
        within = np.searchsorted(bounds, copied, "right")
        also = among(within, asks)
        holds = distinct(np.concatenate([8 * asks + registers, 8 * within[also] + copies[also]]))
        here = 8 * np.searchsorted(bounds, places, "right") + (code[places - 1] & 7)
        from_table = places[counted & among(here, holds)]
        found.accept_fields(
            from_table,
            lambda starts, _others, ones, twos: both.leads(one.place + starts, left + ones, right + twos),
        )
    if image.type == ET_EXEC:
        found.accept_fields(
            places,
            lambda starts, _others, ones, twos: both.leads(one.place + starts, ones & 0xFFFFFFFF, twos & 0xFFFFFFFF),
        )


def stale(both: Both, pair: Pair) -> list[Stale]:
    """Return the displacements from the table that stayed as they were although what begins there moved: from a register
    that the sum was put into and that is kept, or before the table, where no member of a structure is."""
    image = both.left.image
    tables = (both.left.offset_table, both.right.offset_table) if image.machine == EM_386 else (None, None)
    if tables[0] is None or tables[1] is None or image.type == ET_REL or both.still:
        return []
    left, right = int(tables[0]), int(tables[1])
    one, two = pair.one, pair.two
    starts = both.left.fields(one, None).starts
    code = np.frombuffer(both.left.data(one) + bytes(MARGIN), np.uint8)
    other = np.frombuffer(both.right.data(two), np.uint8)
    at, bases, registers = _sums(code, starts)
    mine = gather(code, at, 4, image.order, signed=True) + bases + one.place == left
    bounds = np.array(both.left.bounds(one), np.int64)
    holds = 8 * np.searchsorted(bounds, at[mine], "right") + registers[mine]
    places, counted = _displacements(code, starts)
    places = places[counted]
    pieces = both.pieces(pair)
    to = pieces.to(places) if len(places) else places
    fits = among(8 * np.searchsorted(bounds, places, "right") + (code[places - 1] & 7), holds)
    fits &= (to >= 0) & (to + 4 <= len(other))
    places, to = places[fits], to[fits]
    ones, twos = gather(code, places, 4, image.order, signed=True), gather(other, to, 4, image.order, signed=True)
    bad = (ones == twos) & (pieces.to(places + 3) == to + 3) & ((ones < 0) | among(code[places - 1] & 7, KEPT))
    bad &= both.told(left + ones, right + ones) & ~both.leads(one.place + places, left + ones, right + ones)
    return [
        Stale([(int(places[row]), int(to[row]), 4)], left + int(ones[row]), right + int(ones[row]))
        for row in np.flatnonzero(bad).tolist()
        if begins(both, left + int(ones[row]))
    ]


def accept_entries(both: Both, pair: Pair, found: Differing) -> None:
    """Accept entries of jump tables: distances of code from the table."""
    tables = (both.left.offset_table, both.right.offset_table) if both.left.image.machine == EM_386 else (None, None)
    if tables[0] is None or tables[1] is None or not found.open.any():
        return
    left, right = tables

    def check(_starts: Any, _others: Any, ones: Any, twos: Any) -> Any:
        inside = np.zeros(len(ones), bool)
        for other in both.pairs:
            if other.one.code:
                inside |= (left + ones >= other.one.place) & (left + ones < other.one.place + other.one.size)
        return inside & both.addresses.same(left + ones, right + twos)

    found.accept(4, 4, pair.one.addr, check, signed=True)


def _sums(code: Any, starts: Any) -> tuple[Any, Any, Any]:
    """Return where the distance to the table is added: offset of the number, of what it counts from, and the register.

    That is the place behind a call, to which nothing else than a pop of the place itself may have been done.
    """
    index = np.flatnonzero((code[starts] == ADD_EAX) | ((code[starts] == ADD) & (code[starts + 1] & 0xF8 == 0xC0)))
    index = index[index >= 2]
    start, before, first = starts[index], starts[index - 1], starts[index - 2]
    short = code[start] == ADD_EAX
    register = np.where(short, 0, code[start + 1] & 7)
    called = (code[before] == CALL) & (before + 5 == start)
    popped = (code[before] == POP + register) & (before + 1 == start) & (code[first] == CALL) & (first + 5 == before)
    base = np.where(called, start, before)
    chosen = called | popped
    return (start + np.where(short, 1, 2))[chosen], base[chosen], register[chosen]


def _copies(code: Any, starts: Any) -> tuple[Any, Any]:
    """Return where a register gets what another one or the stack has, and which one does."""
    first, modrm, sib = code[starts], code[starts + 1], code[starts + 2]
    mod, low = modrm >> 6, modrm & 7
    stack = (mod != 3) & (((mod != 0) & (low == 5)) | ((low == 4) & (sib == 0x24)))
    read = (first == 0x8B) & (stack | (mod == 3))
    written = (first == 0x89) & (mod == 3)
    chosen = read | written
    return starts[chosen], np.where(read, modrm >> 3 & 7, low)[chosen]


def _displacements(code: Any, starts: Any) -> tuple[Any, Any]:
    """Return the 4-byte displacements of instructions from a register or from nothing, in order, and which are the
    former; the byte before such a one ends in the register's number (Intel SDM volume 2, 2.1.5)."""
    at = starts.copy()
    for _ in range(3):
        at = at + PREFIX[code[at]]
    first, second = code[at], code[at + 1]
    two = first == 0x0F
    three = two & ((second == 0x38) | (second == 0x3A))
    vex2, vex3, evex = ((first == byte) & (second >= 0xC0) for byte in (0xC5, 0xC4, 0x62))
    vector = vex2 | vex3 | evex
    has = np.where(two, MODRM2[second] | three, MODRM[first]) | vector
    modrm = at + 1 + two + three + np.where(vex2, 2, np.where(vex3, 3, np.where(evex, 4, 0)))
    mod, low = code[modrm] >> 6, code[modrm] & 7
    sib = (low == 4) & (mod != 3)
    none = sib & (mod == 0) & ((code[modrm + 1] & 7) == 5)
    has &= (mod == 2) | none
    disp = modrm + 1 + sib
    has &= disp + 4 <= len(code) - MARGIN
    return disp[has], (mod == 2)[has]
