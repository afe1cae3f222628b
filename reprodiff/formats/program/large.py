"""Decide about operands of 8 bytes in x86-64 code: which lead to the same place on both sides (-mcmodel=large)."""

from typing import Any

import numpy as np

from reprodiff.formats.program.code import Stale, begins
from reprodiff.formats.program.machines import eight
from reprodiff.formats.program.names import EM_X86_64, ET_EXEC
from reprodiff.formats.program.sides import Both, Pair
from reprodiff.formats.program.words import Differing, among, distinct, gather

# How far before the operand the instruction may stand from which the distance of the table counts.
BEFORE_MAX = 64


def accept(both: Both, pair: Pair, found: Differing) -> None:
    """Accept the operands of 8 bytes that lead to the same place on both sides."""
    if not found.open.any():
        return
    fields = both.left.fields(pair.one, distinct(found.one[found.open]))
    at = eight.movabs(found.left, fields.starts)
    if not len(at):
        return
    one, two = pair.one.place, pair.two.place
    tables = both.left.offset_table, both.right.offset_table

    def check(starts: Any, others: Any, ones: Any, twos: Any) -> Any:
        good = np.zeros(len(ones), bool)
        if both.left.image.type == ET_EXEC:
            good |= both.leads(one + starts, ones, twos)
        if tables[0] is None or tables[1] is None:
            return good
        good |= both.leads(one + starts, ones + tables[0], twos + tables[1])
        # The instruction from which the distance of the table counts, on both sides.
        left, right = tables[0] - ones - one, tables[1] - twos - two
        near = (left <= starts) & (left >= starts - BEFORE_MAX) & (left - starts == right - others)
        return good | (near & among(left, fields.starts))

    found.accept_fields(at, check, eight.SIZE)


def stale(both: Both, pair: Pair) -> list[Stale]:
    """Return the operands of 8 bytes that stayed as they were although what begins at their address moved: no compiler
    writes a number of less than 32 bits so long."""
    image = both.left.image
    if image.machine != EM_X86_64 or both.still or pair.one.size < eight.SIZE + 2:
        return []
    code, other = (np.frombuffer(side.data(s), np.uint8) for side, s in ((both.left, pair.one), (both.right, pair.two)))
    at = np.flatnonzero((code[:-1] & 0xFE == 0x48) & (code[1:] & 0xF8 == 0xB8)) + 2
    at = at[at + eight.SIZE <= len(code)]
    pieces = both.pieces(pair)
    to = pieces.to(at) if len(at) else at
    fits = (to >= 0) & (to + eight.SIZE <= len(other))
    at, to = at[fits], to[fits]
    if not len(at):
        return []
    ones, twos = gather(code, at, eight.SIZE, "<", True), gather(other, to, eight.SIZE, "<", True)
    same = (ones == twos) & (pieces.to(at + eight.SIZE - 1) == to + eight.SIZE - 1)
    at, to, ones = at[same], to[same], ones[same]
    tables = both.left.offset_table, both.right.offset_table
    bases = [(0, 0)] if image.type == ET_EXEC else []
    if tables[0] is not None and tables[1] is not None:
        bases.append((tables[0], tables[1]))
    found: list[Stale] = []
    for left, right in bases:
        bad = both.told(ones + left, ones + right) & ~both.leads(pair.one.place + at, ones + left, ones + right)
        rows = [row for row in np.flatnonzero(bad).tolist() if begins(both, int(ones[row]) + left)]
        if not rows:
            continue
        real = set(eight.movabs(code, both.left.fields(pair.one, at[rows]).starts).tolist())
        found += [
            Stale([(int(at[row]), int(to[row]), eight.SIZE)], int(ones[row]) + left, int(ones[row]) + right)
            for row in rows
            if int(at[row]) in real
        ]
    return found
