"""What z/Architecture instructions refer to (Principles of Operation, chapter 5 and 7; s390x ELF ABI).

All distances count from the instruction in steps of two bytes, in a field of two or four bytes behind the first two. The
first byte tells how long an instruction is.
"""

from typing import Any

import numpy as np

from reprodiff.formats.program.machines.instructions import (
    BRANCH,
    DATA,
    FORM,
    Family,
    Fields,
    Marks,
    Read,
    nothing,
    signed,
)

SHORT, LONG, CALL = range(3)


def _table(*numbers: int) -> Any:
    found = np.zeros(256, bool)
    found[list(numbers)] = True
    return found


# The last byte of EC instructions that compare and branch.
_COMPARE = _table(0x44, 0x45, 0x64, 0x65, 0x76, 0x77, 0x7C, 0x7D, 0x7E, 0x7F)


def find(code: bytes, _place: int, starts: list[int], _marks: Marks) -> Fields:
    """Return the fields of code; starts: offsets of functions."""
    if len(code) < 2:
        return nothing()
    sizes = bytes(2 if byte < 0x40 else 4 if byte < 0xC0 else 6 for byte in range(256))
    steps = code.translate(sizes)
    found: list[int] = []
    add = found.append
    for start, stop in zip(starts, [*starts[1:], len(code)], strict=True):
        at = start
        while at < stop:
            add(at)
            at += steps[at]
    places = np.fromiter(found, np.int64, len(found))
    data = np.frombuffer(code + bytes(6), np.uint8)
    first, second, last = data[places], data[places + 1] & 15, data[places + 5]
    reach = (first == 0xC0) & ((second == 0) | (second == 4) | (second == 5))
    far = reach | (first == 0xC4) | (first == 0xC6)
    near = (first == 0xA7) & (second >= 4) & (second <= 7)
    near |= (first == 0x84) | (first == 0x85) | ((first == 0xEC) & _COMPARE[last])
    kind = np.where(far, LONG << FORM | DATA, SHORT << FORM | BRANCH)
    kind[(first == 0xC0) & (second == 4)] = LONG << FORM | BRANCH
    kind[(first == 0xC0) & (second == 5)] = CALL << FORM | BRANCH
    whole = (far | near) & (places + np.where(far, 6, 4) <= len(code))
    at, kind = places[whole] + 2, kind[whole]
    none = np.zeros(len(at), np.int8)
    size = np.where(far[whole], 4, 2).astype(np.int8)
    return Fields(at, size, kind, none, none + np.int8(4), none - np.int8(2), none, places)


def read(kind: Any, word: Any, _head: Any, base: Any, _place: Any) -> Read:
    """Return what words hold; base: the addresses that they count from."""
    none = np.zeros(len(word), np.int64)
    steps = np.where(kind >> FORM == SHORT, signed(word, 16), signed(word, 32))
    return Read(none, none, base + 2 * steps)


FAMILY = Family(find, read, 1 << 19, calls=lambda kind, _word: kind == (CALL << FORM | BRANCH))
