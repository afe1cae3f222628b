"""Decide about operands of 8 bytes in x86-64 code: which lead to the same place on both sides (-mcmodel=large)."""

from typing import Any

import numpy as np

from reprodiff.formats.program.machines import eight
from reprodiff.formats.program.names import ET_EXEC
from reprodiff.formats.program.sides import Both, Pair
from reprodiff.formats.program.words import Differing, among, distinct

# How far before the operand the instruction may stand from which the distance of the table counts.
BEFORE_MAX = 64


def table(side: Any) -> int | None:
    """Return the address of the global offset table as instructions count from it, None where there is none."""
    found = side.image.by_name.get(b".got.plt") or side.image.by_name.get(b".got")
    return found.place if found is not None else None


def accept(both: Both, pair: Pair, found: Differing) -> None:
    """Accept the operands of 8 bytes that lead to the same place on both sides."""
    if not found.open.any():
        return
    fields = both.left.fields(pair.one, distinct(found.one[found.open]))
    at = eight.movabs(found.left, fields.starts)
    if not len(at):
        return
    one, two = pair.one.place, pair.two.place
    tables = table(both.left), table(both.right)

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
