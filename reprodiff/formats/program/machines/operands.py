"""The other 4-byte fields of x86 instructions that may hold an address in a program loaded at one address.

Such a program may have two in one instruction, and addresses as displacements from a register (Intel SDM volume 2,
2.1.3, 2.1.5).
"""

from typing import Any

import numpy as np

from reprodiff.formats.program.machines.x86 import IMMZ, MODRM, MODRM2, PREFIX

MOST = 15


def operands(code: bytes, starts: Any) -> Any:
    """Return the offsets of 4-byte displacements that count from a register or from nothing, and of immediates behind a
    displacement, of the 64-bit instructions that start at offsets; in no order."""
    data = np.frombuffer(code + bytes(MOST + 8), np.uint8)
    at = starts.copy()
    narrow = np.zeros(len(at), bool)
    for _ in range(3):
        prefix = PREFIX[data[at]]
        narrow |= prefix & (data[at] == 0x66)
        at = at + prefix
    rex = (data[at] & 0xF0) == 0x40
    at = at + rex
    first, second = data[at], data[at + 1]
    two = first == 0x0F
    three = two & ((second == 0x38) | (second == 0x3A))
    vex2, vex3, evex = first == 0xC5, first == 0xC4, first == 0x62
    vector = vex2 | vex3 | evex
    has = np.where(two, MODRM2[second] | three, MODRM[first]) | vector
    modrm = at + 1 + two + three + np.where(vex2, 2, np.where(vex3, 3, np.where(evex, 4, 0)))
    has &= ~(vex2 & (data[at + 2] == 0x77))
    byte = data[modrm]
    mod, low = byte >> 6, byte & 7
    sib = (low == 4) & (mod != 3)
    none = sib & (mod == 0) & ((data[modrm + 1] & 7) == 5)
    relative = (mod == 0) & (low == 5)
    disp = modrm + 1 + sib
    wide = (mod == 2) | none
    behind = (wide | relative | (mod == 1)) & has & ~two & ~vector & IMMZ[first] & ~narrow
    # mov with 8 bytes: the lower half of an address.
    whole = rex & ((data[at - 1] & 8) != 0) & (first >= 0xB8) & (first <= 0xBF)
    found = np.concatenate([disp[has & wide], (disp + np.where(mod == 1, 1, 4))[behind], (at + 1)[whole]])
    return found[found + 4 <= len(code)]
