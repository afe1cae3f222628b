"""What RISC-V instructions refer to (The RISC-V Instruction Set Manual, volume I: RV32I, RV64I and C; ELF psABI).

Jumps and branches are whole in one instruction. AUIPC gives the upper part of a distance from itself, LUI that of an
address, a following ADDI, JALR, load or store with the same register the lower 12 bits. A linker that relaxes counts
such an instruction from the global pointer (gp) instead and drops the first.
"""

from functools import partial
from typing import Any

import numpy as np

from reprodiff.formats.program.machines.flow import Flow
from reprodiff.formats.program.machines.instructions import (
    ABSOLUTE,
    AGAIN,
    BRANCH,
    DATA,
    FORM,
    GLOBAL,
    Family,
    Fields,
    Marks,
    Read,
    begins,
    nothing,
    rows,
    signed,
)
from reprodiff.formats.program.words import among, distinct, without

# Forms: J and B of 4 and of 2 bytes, then the lower part in the I and the S layout.
J20, B12, CJ, CB, LOW_I, LOW_S = range(6)
_MASKS = np.array([0xFFFFF000, 0xFE000F80, 0x1FFC, 0x1C7C, 0xFFF00000, 0xFE000F80], np.int64)
JAL, JALR, BRANCHES, AUIPC, LUI, SYSTEM = 0x6F, 0x67, 0x63, 0x17, 0x37, 0x73
GP = 3
# What a called function may change: ra, t0 to t6, a0 to a7 (psABI, 1.1); places on the stack it does not.
_CHANGED = np.array([register in {1, *range(5, 8), *range(10, 18), *range(28, 32)} for register in range(33)])
_STACK = 32
_DATA = ord("d")
_WRITES = np.zeros(128, bool)
_WRITES[[0x03, 0x13, AUIPC, 0x1B, 0x2F, 0x33, LUI, 0x3B, JALR, JAL, SYSTEM]] = True


def find(code: bytes, _place: int, starts: list[int], marks: Marks, wide: bool) -> Fields:
    """Return the fields of code; starts: offsets of functions; wide: of a machine of 64 bits."""
    halves = np.frombuffer(code[: len(code) // 2 * 2], "<u2").astype(np.int64)
    if not len(halves):
        return nothing()
    long = (halves & 3) == 3
    begin = begins(halves, long, starts)
    if (marks.state == _DATA).any():
        begin &= marks.state[np.maximum(np.searchsorted(marks.at, np.arange(len(halves)) * 2, "right") - 1, 0)] != _DATA
    # The last one may be cut off.
    begin[-1] &= not long[-1]
    at = np.flatnonzero(begin)
    four = long[at]
    words = np.where(four, halves[at] | halves[np.minimum(at + 1, len(halves) - 1)] << 16, halves[at])
    size = np.where(four, 4, 2).astype(np.int8)
    opcode = np.where(four, words & 0x7F, 0)
    short = np.where(four, 0x80, (words & 3) << 3 | words >> 13)
    to, base, funct = (words >> 7) & 31, (words >> 15) & 31, (words >> 12) & 7
    jal, jalr, branch = opcode == JAL, opcode == JALR, opcode == BRANCHES
    jump = short == 0b01101
    if not wide:
        # C.JAL is there in 32-bit code only.
        jump |= short == 0b01001
    test = (short == 0b01110) | (short == 0b01111)
    through = (short == 0b10100) & ((words >> 2) & 31 == 0) & (to != 0)
    called = (jal | jalr) & (to != 0) | (through & (words >> 12 & 1 != 0))
    if not wide:
        called |= short == 0b01001
    indirect = (jalr & (to == 0)) | (through & (words >> 12 & 1 == 0))
    trap = (words == 0x00100073) | (words == 0x9002) | (words == 0) | (words == 0xC0001073)
    number = np.cumsum(begin) - 1
    sent = np.flatnonzero((jal & (to == 0)) | branch | (jump & ~called) | test)
    target = at[sent] + (
        _distance(words[sent], np.select([jal[sent], branch[sent], jump[sent]], [J20, B12, CJ], CB)) >> 1
    )
    inside = (target >= 0) & (target < len(halves))
    inside[inside] = begin[target[inside]]
    sent, target = sent[inside], number[target[inside]]
    low_i = (opcode == 0x03) | (opcode == 0x07) | (opcode == 0x13) & (funct == 0) | jalr
    low_s = (opcode == 0x23) | (opcode == 0x27)
    heads = (opcode == AUIPC) | (opcode == LUI) | ((short == 0b01011) & (to != 2) & (to != 0))
    known = np.zeros(32, bool)
    known[to[heads]] = True
    known[0] = known[GP] = False
    uses = np.flatnonzero((low_i | low_s) & (known[base] | ((base == GP) & (to == GP) & (opcode == 0x13))))
    first = np.array(sorted({start // 2 for start in starts} - set((marks.cold // 2).tolist())), np.int64)
    first = first[first < len(halves)]
    flow = Flow(
        *_writes(words, opcode, short, to, base, funct),
        np.flatnonzero(called),
        _CHANGED,
        (jal & (to == 0)) | (jump & ~called) | indirect | trap,
        (sent, target),
        np.flatnonzero(indirect & (np.where(four, base, to) != 1)),
        number[first[begin[first]]],
    )
    values = np.arange(len(words))
    upper = np.flatnonzero(heads & (opcode != AUIPC))
    values[upper] = ~_upper(words[upper])
    found = flow.definitions(uses, base[uses], values)
    fits = (found >= 0) & heads[np.maximum(found, 0)]
    uses, found = uses[fits], found[fits]
    near = opcode[found] == AUIPC
    again, same = _again(upper, distinct(found), words, number[first], to)
    parts: list[tuple[Any, int, int, Any]] = [
        (np.flatnonzero(jal), J20, BRANCH, None),
        (np.flatnonzero(branch), B12, BRANCH, None),
        (np.flatnonzero(jump), CJ, BRANCH, None),
        (np.flatnonzero(test), CB, BRANCH, None),
        (np.flatnonzero(low_i & (base == GP) & (to != GP)), LOW_I, GLOBAL, None),
        (np.flatnonzero(low_s & (base == GP)), LOW_S, GLOBAL, None),
        (again, AGAIN >> FORM, AGAIN & DATA, same),
    ]
    for form, chosen in ((LOW_I, low_i[uses]), (LOW_S, low_s[uses])):
        call = jalr[uses]
        parts.append((uses[chosen & near & call], form, BRANCH, found[chosen & near & call]))
        parts.append((uses[chosen & near & ~call], form, DATA, found[chosen & near & ~call]))
        parts.append((uses[chosen & ~near], form, ABSOLUTE, found[chosen & ~near]))
    return rows(parts, at * 2, at * 2, size)


def _again(upper: Any, heads: Any, words: Any, functions: Any, to: Any) -> tuple[Any, Any]:
    """Return (LUI without a use, LUI with one that gives the same to the same register in the same function)."""
    lone = without(upper, heads)
    with_use = heads[among(heads, upper)]
    keys = [
        np.searchsorted(functions, numbers, "right") << 32 | _upper(words[numbers]) & 0xFFFFF000 | to[numbers]
        for numbers in (with_use, lone)
    ]
    if not len(with_use) or not len(lone):
        return lone[:0], lone[:0]
    order = np.argsort(keys[0], kind="stable")
    index = np.minimum(np.searchsorted(keys[0][order], keys[1]), len(order) - 1)
    fits = keys[0][order][index] == keys[1]
    return lone[fits], with_use[order[index[fits]]]


def _writes(words: Any, opcode: Any, short: Any, to: Any, base: Any, funct: Any) -> tuple[Any, Any]:
    """Return (numbers, registers) of what registers and places on the stack are written, and of what is only moved."""
    small, middle = ((words >> 2) & 7) + 8, ((words >> 7) & 7) + 8
    second = (words >> 2) & 31
    floats = (opcode == 0x53) & np.isin(words >> 27, (0x14, 0x18, 0x1C))
    whole = _WRITES[opcode] | floats
    whole |= np.isin(short, (0b01000, 0b01001, 0b01010, 0b01011, 0b10000, 0b10010, 0b10011))
    whole |= (short == 0b10100) & (second != 0)
    low = np.isin(short, (0b00000, 0b00010, 0b00011))
    alu = short == 0b01100
    kept = np.flatnonzero((opcode == 0x23) & (funct == 3) & (base == 2))
    stored = np.flatnonzero(short == 0b10111)
    fetched = np.flatnonzero((opcode == 0x03) & (funct == 3) & (base == 2))
    loaded = np.flatnonzero(short == 0b10011)
    moved = np.flatnonzero((opcode == 0x13) & (funct == 0) & (words >> 20 == 0))
    same = np.flatnonzero((short == 0b10100) & (words >> 12 & 1 == 0) & (second != 0))
    place = _STACK + (_low_s(words[kept]) & 0xFFF)
    spot = _STACK + (((words[stored] >> 10) & 7) << 3 | ((words[stored] >> 7) & 7) << 6)
    from_place = _STACK + (words[fetched] >> 20)
    from_spot = _STACK + (
        ((words[loaded] >> 5) & 3) << 3 | ((words[loaded] >> 12) & 1) << 5 | ((words[loaded] >> 2) & 7) << 6
    )
    numbers = [np.flatnonzero(whole), np.flatnonzero(low), np.flatnonzero(alu), kept, stored]
    registers = [to[numbers[0]], small[numbers[1]], middle[numbers[2]], place, spot]
    copies = (
        np.concatenate([kept, stored, fetched, loaded, moved, same]),
        np.concatenate([place, spot, to[fetched], to[loaded], to[moved], to[same]]),
        np.concatenate([words[kept] >> 20 & 31, second[stored], from_place, from_spot, base[moved], second[same]]),
    )
    return (np.concatenate(numbers), np.concatenate(registers)), copies


def _low_i(word: Any) -> Any:
    return signed(word >> 20, 12)


def _low_s(word: Any) -> Any:
    return signed((word >> 20) & 0xFE0 | (word >> 7) & 31, 12)


def _upper(word: Any) -> Any:
    """Return the upper part that AUIPC, LUI or C.LUI have."""
    short = signed((word >> 12 & 1) << 5 | (word >> 2) & 31, 6) << 12
    return np.where((word & 3) == 3, signed(word & 0xFFFFF000, 32), short)


def _distance(word: Any, form: Any) -> Any:
    """Return the distances of jumps and branches."""
    j20 = signed(
        (word >> 31) << 20 | (word >> 12 & 0xFF) << 12 | (word >> 20 & 1) << 11 | (word >> 21 & 0x3FF) << 1, 21
    )
    b12 = signed((word >> 31) << 12 | (word >> 7 & 1) << 11 | (word >> 25 & 0x3F) << 5 | (word >> 8 & 15) << 1, 13)
    cj = signed(
        (word >> 12 & 1) << 11 | (word >> 8 & 1) << 10 | (word >> 9 & 3) << 8 | (word >> 6 & 1) << 7
        | (word >> 7 & 1) << 6 | (word >> 2 & 1) << 5 | (word >> 11 & 1) << 4 | (word >> 3 & 7) << 1, 12
    )  # fmt: skip
    cb = signed(
        (word >> 12 & 1) << 8 | (word >> 5 & 3) << 6 | (word >> 2 & 1) << 5 | (word >> 10 & 3) << 3 | (word >> 3 & 3) << 1, 9
    )  # fmt: skip
    return np.select([form == J20, form == B12, form == CJ], [j20, b12, cj], cb)


def _read(kind: Any, word: Any, head: Any, base: Any, _place: Any, wide: bool) -> Read:
    """Return what words hold; base: the addresses that they count from."""
    again = kind == AGAIN
    form = np.where(again, 0, kind >> FORM)
    core = word & ~_MASKS[form]
    low = form >= LOW_I
    far = np.where(form == LOW_S, _low_s(word), _low_i(word))
    paired = low & ((kind & 3) != GLOBAL)
    upper = np.where(paired | again, _upper(head), 0)
    target = base + np.where(low, upper + far, _distance(word, form))
    # LUI again: what distinguishes both is in the core.
    part = np.where((word & 3) == 3, 0xFFFFF000, 0x107C)
    core = np.where(again, (word & ~part) | (_upper(word) - upper) << 32, core)
    if not wide:
        target = signed(target, 32) & 0xFFFFFFFF
    part = np.where((head & 3) == 3, 0xFFFFF000, 0x107C)
    return Read(core, np.where(paired | again, head & ~part, 0), target)


def _calls(kind: Any, word: Any) -> Any:
    form = kind >> FORM
    return ((form == J20) | (form == LOW_I)) & ((word >> 7) & 31 != 0)


def _pointer(side: Any) -> int:
    """Return the global pointer that the start of a program sets: ADDI of gp to what AUIPC gave it."""
    for section in side.image.sections:
        if section.code and section.stored:
            fields = side.sweep(section)
            chosen = fields.take(np.flatnonzero((fields.kind == (LOW_I << FORM | DATA)) & (fields.head != 0)))
            held = side.read(section, chosen, chosen.at, chosen.at + chosen.head, chosen.at + chosen.anchor)
            hits = np.flatnonzero((held.word & 0xFFFFF) == 0x18193)
            if len(hits):
                return int(held.read.target[hits[0]])
    return 0


def family(wide: bool) -> Family:
    """Return what is known of machines of 64 or 32 bits."""
    return Family(partial(find, wide=wide), partial(_read, wide=wide), calls=_calls, pointer=_pointer)
