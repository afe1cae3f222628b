"""Where x86 instructions begin and which of their bytes are displacements (Intel SDM volume 2, chapter 2).

Lengths are computed for every offset of a stretch of code at once, then followed from each function's start: a word
counts as a displacement only where an instruction says so. Data between functions may lead this astray; what is then
found to be no displacement stays a change.
"""

from functools import partial
from typing import Any

import numpy as np

from reprodiff.formats.elf.instructions import ABSOLUTE, BRANCH, DATA, Family, Fields, Marks, Read, nothing, signed

RIP = DATA


def _set(*ranges: tuple[int, int] | int) -> Any:
    table = np.zeros(256, bool)
    for item in ranges:
        first, last = item if isinstance(item, tuple) else (item, item)
        table[first : last + 1] = True
    return table


_MODRM = _set(*((base + i, base + i + 3) for base in (0, 8, 16, 24, 32, 40, 48, 56) for i in (0,)), 0x62, 0x63, 0x69, 0x6B,
              (0x80, 0x8F), 0xC0, 0xC1, 0xC6, 0xC7, (0xD0, 0xD3), (0xD8, 0xDF), 0xF6, 0xF7, 0xFE, 0xFF)  # fmt: skip
_IMM8 = _set(*(base + 4 for base in range(0, 64, 8)), 0x6A, 0x6B, (0x70, 0x7F), 0x80, 0x82, 0x83, 0xA8, (0xB0, 0xB7),
             0xC0, 0xC1, 0xC6, 0xCD, 0xD4, 0xD5, (0xE0, 0xE7), 0xEB)  # fmt: skip
_IMMZ = _set(*(base + 5 for base in range(0, 64, 8)), 0x68, 0x69, 0x81, 0xA9, 0xC7)
_REL32 = _set(0xE8, 0xE9)
_MODRM2 = ~_set(0x05, 0x06, 0x07, 0x08, 0x09, 0x0B, 0x0E, (0x30, 0x37), 0x77, (0x80, 0x8F), 0xA0, 0xA1, 0xA2, 0xA8, 0xA9,
                0xAA, (0xC8, 0xCF), 0x04, 0x0A, 0x0C)  # fmt: skip
_IMM8_2 = _set((0x70, 0x73), 0xA4, 0xAC, 0xBA, 0xC2, 0xC4, 0xC5, 0xC6)
_PREFIX = _set(0x66, 0x67, 0xF0, 0xF2, 0xF3, 0x2E, 0x36, 0x3E, 0x26, 0x64, 0x65)


def _modrm(data: Any) -> tuple[Any, Any]:
    """Return for every offset, as if a ModRM byte stood there: the length with SIB and displacement, and whether it
    is a bare 4-byte displacement (RIP-relative in 64-bit code)."""
    after = np.append(data[1:], 0).astype(np.uint8)
    mod, low = data >> 6, data & 7
    sib = (low == 4) & (mod != 3)
    bare = (mod == 0) & (low == 5)
    length = np.ones(len(data), np.uint8)
    length += sib
    length += np.where(mod == 1, 1, 0).astype(np.uint8)
    length += np.where((mod == 2) | bare | (sib & (mod == 0) & ((after & 7) == 5)), 4, 0).astype(np.uint8)
    return length, bare


def _shift(values: Any, by: int) -> Any:
    return np.concatenate([values[by:], np.zeros(min(by, len(values)), values.dtype)])[: len(values)]


def _cores(data: Any, wide: bool) -> dict[str, tuple[Any, Any, Any]]:
    """Return per state ("", "16", "w") the length of the instruction at every offset, where its 4-byte field lies
    (0: none) and of which kind; prefixes not counted."""
    size, bare = _modrm(data)
    modrm_size, modrm_bare = _shift(size, 1), _shift(bare, 1)
    reg = (_shift(data, 1) >> 3) & 7
    second, third = _shift(data, 1), _shift(data, 2)
    found = {}
    is_0f = data == 0x0F
    three38, three3a = is_0f & (second == 0x38), is_0f & (second == 0x3A)
    size2, bare2 = _shift(size, 2), _shift(bare, 2)
    size3, bare3 = _shift(size, 3), _shift(bare, 3)
    vex2 = (data == 0xC5) if wide else (data == 0xC5) & (second >= 0xC0)
    vex3 = (data == 0xC4) if wide else (data == 0xC4) & (second >= 0xC0)
    evex = (data == 0x62) if wide else (data == 0x62) & (second >= 0xC0)
    for state in ("", "16", "w"):
        z = 2 if state == "16" else 4
        length = np.ones(len(data), np.uint8)
        field = np.zeros(len(data), np.uint8)
        kind = np.zeros(len(data), np.uint8)
        has = _MODRM[data]
        length += np.where(has, modrm_size, 0).astype(np.uint8)
        field[has & modrm_bare] = 2
        kind[has & modrm_bare] = RIP
        immediate = _IMM8[data].view(np.uint8) + _IMMZ[data] * np.uint8(z)
        immediate += (data == 0xF6) & (reg < 2)
        immediate += ((data == 0xF7) & (reg < 2)) * np.uint8(z)
        immediate += ((data >= 0xB8) & (data <= 0xBF)) * np.uint8(8 if state == "w" else z)
        immediate += ((data >= 0xA0) & (data <= 0xA3)) * np.uint8(8 if wide else 4)
        immediate += ((data == 0xC2) | (data == 0xCA)) * np.uint8(2)
        immediate += (data == 0xC8) * np.uint8(3)
        absolute = (_IMMZ[data] | ((data >= 0xB8) & (data <= 0xBF) & (state != "w"))) & (z == 4) & (field == 0)
        field[absolute] = length[absolute]
        kind[absolute] = ABSOLUTE
        length = length + immediate
        jump = _REL32[data]
        length[jump] = 5
        field[jump] = 1
        kind[jump] = BRANCH
        # Two-byte opcodes.
        near = is_0f & (second >= 0x80) & (second <= 0x8F)
        two = is_0f & ~three38 & ~three3a & ~near
        length[two] = (2 + np.where(_MODRM2[second], size2, 0) + np.where(_IMM8_2[second], 1, 0)).astype(np.uint8)[two]
        ripped = two & _MODRM2[second] & bare2
        field[is_0f], kind[is_0f] = 0, 0
        field[ripped], kind[ripped] = 3, RIP
        length[near], field[near], kind[near] = 6, 2, BRANCH
        three = three38 | three3a
        length[three] = (3 + size3 + three3a).astype(np.uint8)[three]
        field[three & bare3], kind[three & bare3] = 4, RIP
        # VEX and EVEX.
        length[vex2] = (3 + size3 + _IMM8_2[third])[vex2].astype(np.uint8)
        no_modrm = vex2 & (third == 0x77)
        length[no_modrm] = 3
        field[vex2], kind[vex2] = 0, 0
        field[vex2 & bare3 & ~no_modrm], kind[vex2 & bare3 & ~no_modrm] = 4, RIP
        fourth, size4, bare4 = _shift(data, 3), _shift(size, 4), _shift(bare, 4)
        maps = second & 0x1F
        imm = np.where(maps == 3, 1, np.where(maps == 1, _IMM8_2[fourth], 0))
        length[vex3] = (4 + size4 + imm)[vex3].astype(np.uint8)
        field[vex3], kind[vex3] = 0, 0
        field[vex3 & bare4], kind[vex3 & bare4] = 5, RIP
        fifth, size5, bare5 = _shift(data, 4), _shift(size, 5), _shift(bare, 5)
        maps = second & 7
        imm = np.where(maps == 3, 1, np.where(maps == 1, _IMM8_2[fifth], 0))
        length[evex] = (5 + size5 + imm)[evex].astype(np.uint8)
        field[evex], kind[evex] = 0, 0
        field[evex & bare5], kind[evex & bare5] = 6, RIP
        found[state] = (length, field, kind)
    return found


def _lengths(data: Any, wide: bool) -> tuple[Any, Any, Any]:
    """Return length, field offset and kind of the instruction at every offset, prefixes counted."""
    cores = _cores(data, wide)
    rex = (data & 0xF0) == 0x40 if wide else np.zeros(len(data), bool)
    rex_w = rex & ((data & 8) != 0)

    def with_rex(state: str) -> list[Any]:
        plain, big = cores[state], cores["w"]
        parts = []
        for number, (a, w) in enumerate(zip(plain, big, strict=True)):
            after = np.where(rex_w, _shift(w, 1), _shift(a, 1))
            if number == 0:
                after = after + 1
            elif number == 1:
                after = np.where(after > 0, after + 1, 0)
            parts.append(np.where(rex, after, a).astype(np.uint8))
        return parts

    bare, short = with_rex(""), with_rex("16")
    now, small = bare, short
    prefix, narrows = _PREFIX[data], data == 0x66
    for _ in range(4):
        following = []
        for start, which in ((bare, now), (short, small)):
            parts = []
            for number in range(3):
                after = np.where(narrows, _shift(small[number], 1), _shift(which[number], 1))
                if number == 0:
                    after = after + 1
                elif number == 1:
                    after = np.where(after > 0, after + 1, 0)
                parts.append(np.where(prefix, after, start[number]).astype(np.uint8))
            following.append(parts)
        now, small = following
    return now[0], now[1], now[2]


def _find(code: bytes, _place: int, starts: list[int], _marks: Marks, wide: bool) -> Fields:
    """Return the fields of the instructions that follow from the given starts, in order of offset.

    Each start is followed to the next one, or to the end.
    """
    data = np.frombuffer(code, np.uint8)
    if not len(data):
        return nothing()
    length, field, kind = _lengths(data, wide)
    steps = length.tolist()
    found: list[int] = []
    add = found.append
    for start, stop in zip(starts, [*starts[1:], len(code)], strict=True):
        at = start
        while at < stop:
            add(at)
            at += steps[at] or 1
    places = np.fromiter(found, np.int64, len(found))
    there = places[field[places] > 0]
    there = there[there + length[there] <= len(code)]
    kinds = kind[there]
    if not wide:
        kinds[kinds == RIP] = ABSOLUTE
    none = np.zeros(len(there), np.int8)
    four = none + np.int8(4)
    bias = (length[there] - field[there]).view(np.int8)
    return Fields(there + field[there], four, kinds, none, four, none, bias, places)


def _read(kind: Any, word: Any, _head: Any, base: Any, _place: Any) -> Read:
    return Read(np.zeros(len(word), np.int64), np.zeros(len(word), np.int64), np.where(kind == ABSOLUTE, word, base + signed(word, 32)))  # fmt: skip


def family(wide: bool) -> Family:
    """Return what is known of 64-bit code or of 32-bit code."""
    return Family(partial(_find, wide=wide), _read, 1 << 19)
