"""Where x86 instructions begin and which of their bytes are displacements (Intel SDM volume 2, chapter 2).

Lengths are looked up for every offset of a stretch of code at once, then followed from each function's start: a word
counts as a displacement only where an instruction says so. Data between functions may lead this astray; what is then
found to be no displacement stays a change.
"""

from functools import partial
from typing import Any

import numpy as np

from reprodiff.formats.program.machines import instructions
from reprodiff.formats.program.machines.instructions import Family, Fields, Marks, Read, nothing, signed

# So many starts are followed together, and so often before it is seen which have come to their end.
FEW, TOGETHER = 24, 16
NONE, BRANCH, RIP, ABSOLUTE = 0, instructions.BRANCH, instructions.DATA, instructions.ABSOLUTE
# More than an instruction has behind its first byte, so that looking ahead never leaves the bytes.
MARGIN = 16
# So much code is looked at together: what is made of it on the way stays near the processor.
STRETCH = 1 << 17
# Bytes that compilers and linkers fill code up with: zeros, int3, and the instructions that do nothing.
NOPS = frozenset(b"\0\xcc\x90\x66\x2e\x0f\x1f\x84\x80\x40\x44\x8d\x76\x26\xb4\xbc\xb6\x74\x27")


def _set(*ranges: tuple[int, int] | int) -> Any:
    table = np.zeros(256, bool)
    for item in ranges:
        first, last = item if isinstance(item, tuple) else (item, item)
        table[first : last + 1] = True
    return table


MODRM = _set(*((base, base + 3) for base in range(0, 64, 8)), 0x62, 0x63, 0x69, 0x6B, (0x80, 0x8F), 0xC0, 0xC1,
              0xC6, 0xC7, (0xD0, 0xD3), (0xD8, 0xDF), 0xF6, 0xF7, 0xFE, 0xFF)  # fmt: skip
_IMM8 = _set(*(base + 4 for base in range(0, 64, 8)), 0x6A, 0x6B, (0x70, 0x7F), 0x80, 0x82, 0x83, 0xA8, (0xB0, 0xB7),
             0xC0, 0xC1, 0xC6, 0xCD, 0xD4, 0xD5, (0xE0, 0xE7), 0xEB)  # fmt: skip
_MOV = _set((0xB8, 0xBF))
IMMZ = _set(*(base + 5 for base in range(0, 64, 8)), 0x68, 0x69, 0x81, 0xA9, 0xC7) | _MOV
_REL32 = _set(0xE8, 0xE9)
MODRM2 = ~_set(0x05, 0x06, 0x07, 0x08, 0x09, 0x0B, 0x0E, (0x30, 0x37), 0x77, (0x80, 0x8F), 0xA0, 0xA1, 0xA2, 0xA8, 0xA9,
                0xAA, (0xC8, 0xCF), 0x04, 0x0A, 0x0C)  # fmt: skip
_IMM8_2 = _set((0x70, 0x73), 0xA4, 0xAC, 0xBA, 0xC2, 0xC4, 0xC5, 0xC6)
PREFIX = _set(0x66, 0x67, 0xF0, 0xF2, 0xF3, 0x2E, 0x36, 0x3E, 0x26, 0x64, 0x65)

# As if a byte were an opcode: its length with operands, and 128 where a ModRM byte follows. As if it were a ModRM byte:
# its length with SIB and displacement, 64 where a SIB byte follows that may bring a displacement, 128 where it is a bare
# one of 4 bytes. One byte a value, for bytes.translate, which looks up a megabyte in less than a millisecond.
_ALL = np.arange(256)
_BARE = (_ALL & 0xC7) == 5
_SIB = ((_ALL & 7) == 4) & (_ALL < 0xC0)
_FIRST = (1 + _IMM8 + 4 * IMMZ + 2 * _set(0xC2, 0xCA) + 3 * _set(0xC8) + 4 * _set((0xA0, 0xA3)) + 4 * _REL32
          + 128 * MODRM).astype(np.uint8).tobytes()  # fmt: skip
_SECOND = (
    (1 + _SIB + ((_ALL >> 6) == 1) + 4 * (((_ALL >> 6) == 2) | _BARE) + 64 * (_SIB & (_ALL < 0x40)) + 128 * _BARE)
    .astype(np.uint8)
    .tobytes()
)
# What is to be looked at besides: each byte is of one sort, or of none.
_PLAIN, _TEST, _OFFSET, _RELATIVE, _SIZED, _LOADED, _ESCAPE, _VECTOR, _REX, _NARROWS, _OTHER = range(11)
_SORTS = np.zeros(256, np.uint8)
for _sort, _bytes in (
    (_TEST, _set(0xF6, 0xF7)), (_OFFSET, _set((0xA0, 0xA3))), (_RELATIVE, _REL32), (_SIZED, IMMZ), (_LOADED, _MOV),
    (_ESCAPE, _set(0x0F)), (_VECTOR, _set(0xC4, 0xC5, 0x62)), (_REX, _set((0x40, 0x4F))), (_OTHER, PREFIX),
    (_NARROWS, _set(0x66)),
):  # fmt: skip
    _SORTS[_bytes] = _sort

# What an instruction is in one number: its length, where its 4-byte field lies, of which kind this is.
_FIELD, _KIND = 5, 10
_ONE_MORE = np.array([1] + [1 + (1 << _FIELD)] * 3, np.uint16)


def _looked_up(code: bytes, table: bytes) -> Any:
    return np.frombuffer(code.translate(table), np.uint8)


def _packed(length: Any, field: Any, kind: int) -> Any:
    """Return numbers for instructions, with a field where it is not 0."""
    return (length + (field << _FIELD) + np.where(field > 0, kind << _KIND, 0)).astype(np.uint16)


class _Odd:
    """Offsets of the bytes that are of some sort, as if each were an opcode or a prefix."""

    def __init__(self, code: bytes) -> None:
        sorts = _looked_up(code, _SORTS.tobytes())
        self.places = np.flatnonzero(sorts != _PLAIN)
        self.sorts = sorts[self.places]

    def of(self, *sorts: int) -> Any:
        """Return the offsets of some sorts, in order."""
        return self.places[np.logical_or.reduce([self.sorts == sort for sort in sorts])]


def _cores(code: bytes, odd: _Odd, wide: bool) -> tuple[Any, Any, Any]:
    """Return the number of the instruction at every offset, prefixes not counted; and the same with 0x66 and REX.W."""
    code += bytes(MARGIN)
    data = np.frombuffer(code, np.uint8)
    rows = len(data) - MARGIN
    first, second = _looked_up(code, _FIRST)[:rows], _looked_up(code, _SECOND)
    bare, size = second >> 7, second & 7
    size[:-1] += (second[:-1] >> 4 & 4) * ((data[1:] & 7) == 5)
    modrm = first >> 7
    known = ((first & 15) + modrm * size[1 : rows + 1]).astype(np.uint16)
    at = odd.of(_TEST)
    tested = at[(data[at + 1] >> 3 & 7) < 2]
    words = tested[data[tested] == 0xF7]
    known[tested] += 1
    known[words] += 3
    if wide:
        known[odd.of(_OFFSET)] += 4
    relative = np.flatnonzero((modrm & bare[1 : rows + 1]).view(bool))
    known[relative] += (2 << _FIELD) + (RIP << _KIND)
    known[odd.of(_RELATIVE)] += (1 << _FIELD) + (BRANCH << _KIND)
    sized = odd.of(_SIZED, _LOADED)
    absolute = sized[known[sized] >> _KIND == NONE]
    known[absolute] += (((known[absolute] & 31) - 4) << _FIELD) + (ABSOLUTE << _KIND)
    _two_byte(known, odd.of(_ESCAPE), data, size, bare)
    _extended(known, odd.of(_VECTOR), data, size, bare, wide)
    # An operand of 2 bytes instead of 4 is no field; where there is a RIP-relative field it stays.
    short = known.copy()
    short[absolute] &= 31
    short[sized] -= 2
    short[words] -= 2
    long = known.copy()
    at = odd.of(_LOADED)
    long[at] = (long[at] & 31) + 4
    return known, short, long


def _two_byte(known: Any, at: Any, data: Any, size: Any, bare: Any) -> None:
    """Put the instructions whose opcode begins with 0F."""
    second = data[at + 1]
    modrm = MODRM2[second]
    field = np.where(modrm & bare[at + 2], 3, 0)
    found = _packed(2 + np.where(modrm, size[at + 2], 0) + _IMM8_2[second], field, RIP)
    near = (second >= 0x80) & (second <= 0x8F)
    found[near] = 6 + (2 << _FIELD) + (BRANCH << _KIND)
    three = (second == 0x38) | (second == 0x3A)
    longer = _packed(3 + size[at + 3].astype(np.intp) + (second == 0x3A), np.where(bare[at + 3], 4, 0), RIP)
    known[at] = np.where(three, longer, found)


def _extended(known: Any, at: Any, data: Any, size: Any, bare: Any, wide: bool) -> None:
    """Put the instructions with VEX and EVEX prefixes; in 32-bit code these bytes are instructions of their own before
    what refers to memory."""
    if not wide:
        at = at[data[at + 1] >= 0xC0]
    for first, opcode, maps in ((0xC5, 2, 0), (0xC4, 3, 0x1F), (0x62, 4, 7)):
        there = at[data[at] == first]
        which = data[there + 1] & maps if maps else np.ones(len(there), np.uint8)
        code = data[there + opcode]
        immediate = np.where(which == 3, 1, np.where(which == 1, _IMM8_2[code], 0))
        modrm = there + opcode + 1
        found = _packed(opcode + 1 + size[modrm] + immediate, np.where(bare[modrm], opcode + 2, 0), RIP)
        known[there] = np.where(code == 0x77, 3, found) if first == 0xC5 else found


def _instructions(code: bytes, wide: bool) -> Any:
    """Return the number of the instruction at every offset, prefixes counted."""
    parts = [_numbers(code[at : at + STRETCH + MARGIN], wide)[:STRETCH] for at in range(0, len(code), STRETCH)]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _numbers(code: bytes, wide: bool) -> Any:
    """Return the same for a stretch of code; what its last bytes begin is not seen whole."""
    odd = _Odd(code)
    known, short, long = _cores(code, odd, wide)
    rows = len(known)
    data = np.frombuffer(code, np.uint8)

    def behind(numbers: Any, at: Any) -> Any:
        """Return the numbers one byte on, with one byte more before them."""
        found = numbers[np.minimum(at + 1, rows - 1)]
        return found + _ONE_MORE[found >> _KIND]

    if wide:
        rex = odd.of(_REX)
        big = data[rex] & 8 != 0
        full = behind(long, rex)
        plain = np.where(big, full, behind(known, rex))
        short[rex] = np.where(big, full, behind(short, rex))
        known[rex] = plain
    at = odd.of(_NARROWS, _OTHER)
    narrows = data[at] == 0x66
    for _ in range(4):
        narrow = behind(short, at)
        known[at] = np.where(narrows, narrow, behind(known, at))
        short[at] = narrow
    return known


def _followed(lengths: Any, starts: list[int]) -> Any:
    """Return where instructions begin that follow from the given starts; lengths: of what would begin at each offset.

    All starts are followed one instruction at a time together, the last few, which go on for longer, one by one.
    """
    size = len(lengths)
    steps = np.append(lengths, np.uint8(0))
    at = np.array(starts, np.int64)
    stop = np.append(at[1:], size)
    begun = np.zeros(size + 1, bool)
    while True:
        going = at < stop
        at, stop = at[going], stop[going]
        if len(at) <= FEW:
            break
        for _ in range(TOGETHER):
            begun[at] = True
            # Where the next one starts, or all ends, is a beginning anyway.
            at = np.minimum(at + steps[at], stop)
    found: list[int] = []
    add = found.append
    one_by_one = steps.tobytes()
    for first, last in zip(at.tolist(), stop.tolist(), strict=True):
        place = first
        while place < last:
            add(place)
            place += one_by_one[place]
    begun[np.array(found, np.int64)] = True
    return np.flatnonzero(begun[:size])


def fields(code: bytes, starts: list[int], wide: bool) -> Fields:
    """Return the fields of the instructions that follow from the given starts, in order of offset.

    Each start is followed to the next one, or to the end.
    """
    if not code:
        return nothing()
    numbers = _instructions(code, wide)
    lengths = np.maximum((numbers & 31).astype(np.uint8), 1)
    places = _followed(lengths, starts)
    there = numbers[places]
    chosen = there >> _KIND != NONE
    there, at = there[chosen], places[chosen]
    end = at + (there & 31)
    at = at + (there >> _FIELD & 31)
    whole = end <= len(code)
    tidy = bool((places + lengths[places] <= np.append(places[1:], len(code))).all())
    return filled(at[whole], (there >> _KIND)[whole], end[whole], places)._replace(tidy=tidy)


def filled(at: Any, kind: Any, end: Any, starts: Any) -> Fields:
    """Return fields of 4 bytes that count from the end of their instructions."""
    none = np.zeros(len(at), np.int8)
    four = none + np.int8(4)
    return Fields(at, four, kind, none, four, none, (end - at).astype(np.int8), starts)


def _find(code: bytes, _place: int, starts: list[int], _marks: Marks, wide: bool) -> Fields:
    return fields(code, starts, wide)


def address(word: Any, place: Any) -> Any:
    """Return the addresses that operands of 4 bytes at places are: what lies above 2^63 refers to itself by numbers that
    are extended with their sign, as R_X86_64_32S says, all else by R_X86_64_32."""
    return np.where(place < 0, signed(word, 32), word & 0xFFFFFFFF)


def _read(kind: Any, word: Any, _head: Any, base: Any, place: Any, wide: bool) -> Read:
    none = np.zeros(len(word), np.int64)
    # What is RIP-relative in 64-bit code is an address in 32-bit code.
    plain = (kind == ABSOLUTE) | (kind == RIP) if not wide else kind == ABSOLUTE
    return Read(none, none, np.where(plain, address(word, place), base + signed(word, 32)))


def family(wide: bool) -> Family:
    """Return what is known of 64-bit code or of 32-bit code."""
    return Family(partial(_find, wide=wide), partial(_read, wide=wide), 1 << 19, bare=True)
