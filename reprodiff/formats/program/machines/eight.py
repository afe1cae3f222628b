"""Operands of 8 bytes in x86-64 code, as compilers write them for programs of any size (-mcmodel=large).

`movabs` puts an address (R_X86_64_64), or in code that is loaded anywhere a distance from the global offset table
(R_X86_64_GOTOFF64, PLTOFF64) or of that table from an instruction shortly before (R_X86_64_GOTPC64).
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from reprodiff.formats.program.machines import x86
from reprodiff.formats.program.names import ET_EXEC
from reprodiff.formats.program.words import gather

if TYPE_CHECKING:
    from reprodiff.formats.program.sides import Both, Pair
    from reprodiff.formats.program.words import Differing

SIZE = 8
# How far before the operand the instruction may stand from which the distance of the table counts.
BEFORE_MAX = 64


def movabs(code: Any, starts: Any) -> Any:
    """Return the offsets of the operands of 8 bytes among instructions of a byte array that begin at offsets."""
    at = starts + 2
    return at[_whole(code, at)]


def _whole(code: Any, at: Any) -> Any:
    """Tell which places of operands have one of 8 bytes."""
    prefix, opcode = code[np.maximum(at - 2, 0)], code[np.minimum(np.maximum(at - 1, 0), len(code) - 1)]
    fits = (at >= 2) & (at + SIZE <= len(code))
    return fits & ((prefix == 0x48) | (prefix == 0x49)) & (opcode >= 0xB8) & (opcode <= 0xBF)


def address(code: Any, at: Any, place: int) -> Any:
    """Return the addresses that absolute operands at offsets of a byte array are, of 8 bytes or of 4; place: of its
    start."""
    found = x86.address(gather(code, at, 4, "<", True), at + place)
    eight = np.flatnonzero(_whole(code, at))
    found[eight] = gather(code, at[eight], SIZE, "<", True)
    return found


def table(side: Any) -> int | None:
    """Return the address of the global offset table as instructions count from it, None where there is none."""
    found = side.image.by_name.get(b".got.plt") or side.image.by_name.get(b".got")
    return found.place if found is not None else None


def accept(both: "Both", pair: "Pair", found: "Differing") -> None:
    """Accept the operands of 8 bytes that lead to the same place on both sides."""
    if not found.open.any():
        return
    fields = both.left.fields(pair.one, np.unique(found.one[found.open]))
    at = movabs(found.left, fields.starts)
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
        return good | (near & np.isin(left, fields.starts))

    found.accept_fields(at, check, SIZE)
