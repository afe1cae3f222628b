"""Operands of 8 bytes in x86-64 code, as compilers write them for programs of any size (-mcmodel=large).

`movabs` puts an address (R_X86_64_64), or in code that is loaded anywhere a distance from the global offset table
(R_X86_64_GOTOFF64, PLTOFF64) or of that table from an instruction shortly before (R_X86_64_GOTPC64).
"""

from typing import Any

import numpy as np

from reprodiff.formats.program.machines import x86
from reprodiff.formats.program.words import gather

SIZE = 8


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
