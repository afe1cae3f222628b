"""What MIPS instructions refer to (MIPS Architecture for Programmers, volume II; System V ABI, MIPS supplement).

Branches count from the instruction behind them, jumps stay in 256 MB. An address is made by LUI and an instruction that
adds 16 bits; small data and the global offset table are reached by 16 bits from gp, which code that is loaded anywhere
makes of its own address (in t9). An entry of that table may hold the upper part of an address alone, to which code adds
the lower one: the table's words are those that the linker wrote.
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
    nothing,
    signed,
)
from reprodiff.formats.program.machines.ppc64 import again

# Forms: jumps of 26 bits, branches of 16, a lower half with a sign and without one.
J26, B16, LOW, PLAIN, ENTRY = range(5)
_MASKS = np.array([0x03FFFFFF, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF], np.int64)
T9, GP, SP, RA = 25, 28, 29, 31
# What a called function may change: at, v0, v1, a0 to a3 (to a7), t0 to t9, ra; places on the stack it does not.
_CHANGED = np.array([register in {*range(1, 16), 24, T9, RA} for register in range(33)])
_STACK = 32
# How far behind what begins a table of small data gp is.
FAR = 0x7FF0
LUI, ORI, SPECIAL, REGIMM = 15, 13, 0, 1
# How far behind both halves of gp the address of the function may be added.
NEAR = 16


def _table(size: int, *numbers: int) -> Any:
    found = np.zeros(size, bool)
    found[list(numbers)] = True
    return found


_LOW = _table(64, 9, 25, *range(32, 47), 48, 49, 51, 53, 55, 56, 57, 61, 63)
_TO_RT = _table(64, *range(8, 16), *range(24, 28), *range(32, 40), 48, 52, 55, 56)
_TESTS = _table(64, *range(4, 8), *range(20, 24))
_REGIMM = _table(32, 0, 1, 2, 3, 16, 17, 18, 19)
_NO_RD = _table(64, 8, 12, 13, 15, 17, 19, *range(24, 32), *range(48, 55))
_FIELDS = _table(64, *range(8), 59)


def _flow(words: Any, jumps: tuple[Any, Any], calls: Any, stops: Any, leaps: Any, begins: Any) -> Flow:
    op, funct = words >> 26, words & 63
    rs, rt, rd = words >> 21 & 31, words >> 16 & 31, words >> 11 & 31
    first = np.flatnonzero(_TO_RT[op] | (((op == 16) | (op == 17)) & (rs < 4)) | ((op == 31) & _FIELDS[funct]))
    second = np.flatnonzero(((op == SPECIAL) & ~_NO_RD[funct]) | (op == 28) | ((op == 31) & ~_FIELDS[funct]))
    kept = np.flatnonzero(((op == 43) | (op == 63)) & (rs == SP))
    fetched = np.flatnonzero(((op == 35) | (op == 55)) & (rs == SP))
    # The address of the function added to a register leaves what else was put there.
    added = ((funct == 33) | (funct == 45)) & (rt == T9) & (rs == rd)
    same = np.flatnonzero((op == SPECIAL) & (((funct == 37) | (funct == 33) | (funct == 45)) & (rt == 0) | added))
    place = _STACK + (words & 0xFFFF)
    copies = (
        np.concatenate([kept, fetched, same]),
        np.concatenate([place[kept], rt[fetched], rd[same]]),
        np.concatenate([rt[kept], place[fetched], rs[same]]),
    )
    writes = np.concatenate([first, second, kept]), np.concatenate([rt[first], rd[second], place[kept]])
    return Flow(writes, copies, calls, _CHANGED, stops, jumps, leaps, begins)


def find(code: bytes, _place: int, starts: list[int], marks: Marks, order: str) -> Fields:
    """Return the fields of code; starts: offsets of functions."""
    given = np.frombuffer(code[: len(code) // 4 * 4], f"{order}u4").astype(np.int64)
    count = len(given)
    if not count:
        return nothing()
    # What stands behind a branch is done before it leads anywhere: in this order they are looked at.
    leads = _leads(given)
    slots = np.flatnonzero(leads[:-1])
    slots = slots[~leads[np.maximum(slots - 1, 0)] | (slots == 0)]
    order_of = np.arange(count)
    order_of[slots], order_of[slots + 1] = slots + 1, slots
    words = given[order_of]
    number = np.empty(count, np.int64)
    number[order_of] = np.arange(count)
    op, funct = words >> 26, words & 63
    rs, rt = words >> 21 & 31, words >> 16 & 31
    jump, call = op == 2, op == 3
    test = _TESTS[op] | ((op == REGIMM) & _REGIMM[rt]) | ((op == 17) & (rs == 8))
    linked = (op == REGIMM) & (rt >= 16)
    through = (op == SPECIAL) & (funct == 9)
    back = (op == SPECIAL) & (funct == 8)
    always = ((op == 4) & (rs == 0) & (rt == 0)) | jump
    sent = np.flatnonzero(test & ~linked)
    target = order_of[sent] + 1 + signed(words[sent], 16)
    # A jump leads to what stands there, which may be what stands before it here.
    inside = (target >= 0) & (target < count)
    sent, target = sent[inside], number[target[inside]]
    begins = np.setdiff1d(np.array(starts, np.int64), marks.cold) // 4
    begins = begins[begins < count]
    flow = _flow(
        words, (sent, target), np.flatnonzero(call | linked | through), always | back, np.flatnonzero(back & (rs != RA)),
        begins,
    )  # fmt: skip
    entry = ((op == 35) | (op == 55)) & (rs == GP)
    heads = ((op == LUI) & (rs == 0)) | entry
    low = _LOW[op] | (op == ORI)
    known = np.zeros(32, bool)
    known[rt[heads]] = True
    uses = np.flatnonzero(low & known[rs] & (rs > 0))
    values = np.arange(count)
    values[heads] = ~words[heads]
    found = flow.definitions(uses, rs[uses], values)
    # Half an address and an index may be added before the other half is.
    both = (op == SPECIAL) & ((funct == 33) | (funct == 45)) & (rt != 0)
    odd = np.flatnonzero((found >= 0) & both[np.maximum(found, 0)])
    sums = found[odd]
    halves = [flow.definitions(sums, registers[sums], values) for registers in (rs, rt)]
    good = [(half >= 0) & heads[np.maximum(half, 0)] for half in halves]
    found[odd] = np.where(good[0] & ~good[1], halves[0], np.where(good[1] & ~good[0], halves[1], sums))
    fits = (found >= 0) & heads[np.maximum(found, 0)]
    pairs, tops = uses[fits], found[fits]
    # gp, made of the address of the function: t9 is added to the same register, between both halves or behind them.
    adders = np.flatnonzero((given >> 26 == SPECIAL) & ((given & 63 == 33) | (given & 63 == 45)) & (given >> 16 & 31 == T9)
                            & (given >> 21 & 31 == given >> 11 & 31))  # fmt: skip
    index = np.searchsorted(adders, order_of[tops])
    there = adders[np.minimum(index, len(adders) - 1)] if len(adders) else np.full(len(tops), count)
    own = (op[pairs] != ORI) & (index < len(adders)) & (there <= order_of[pairs] + NEAR)
    own &= given[np.minimum(there, count - 1)] >> 11 & 31 == rt[pairs]
    near = np.setdiff1d(np.flatnonzero(_LOW[op] & (rs == GP)), pairs)
    held = entry[tops]
    sums = (op[pairs] != ORI) | ~held
    pairs, tops, own, held = pairs[sums], tops[sums], own[sums], held[sums]
    lone, same = again(np.flatnonzero(heads & ~entry), np.unique(tops), words, begins)
    role = np.where(held, GLOBAL, np.where(own, DATA, ABSOLUTE))
    form = np.where(held, ENTRY, np.where(op[pairs] == ORI, PLAIN, LOW))
    rows = (
        (np.flatnonzero(jump | call), J26 << FORM | BRANCH, None),
        (np.flatnonzero(test), B16 << FORM | BRANCH, None),
        (near, LOW << FORM | GLOBAL, None),
        (pairs, form << FORM | role, tops),
        (lone, AGAIN, same),
    )
    at = order_of[np.concatenate([row[0] for row in rows]).astype(np.int64)] * 4
    kind = np.concatenate([np.broadcast_to(row[1], row[0].shape) for row in rows])
    head = order_of[np.concatenate([row[0] if row[2] is None else row[2] for row in rows]).astype(np.int64)] * 4 - at
    sorting = np.argsort(at, kind="stable")
    at, kind, head = at[sorting], kind[sorting], head[sorting]
    none = np.zeros(len(at), np.int8)
    # The address of the function is that of its start.
    functions = np.union1d(begins, np.zeros(1, np.int64)) * 4
    start = functions[np.searchsorted(functions, at, "right") - 1]
    anchor = np.where(kind == LOW << FORM | DATA, start - at, head)
    return Fields(at, none + np.int8(4), kind, head, none + np.int8(4), anchor, none, np.arange(count) * 4)


def _leads(words: Any) -> Any:
    """Tell which instructions have a slot behind them that is done first."""
    op, rt, rs, funct = words >> 26, words >> 16 & 31, words >> 21 & 31, words & 63
    found = (op == 2) | (op == 3) | _TESTS[op] | ((op == REGIMM) & _REGIMM[rt]) | ((op == 17) & (rs == 8))
    return found | ((op == SPECIAL) & ((funct == 8) | (funct == 9)))


def read(kind: Any, word: Any, head: Any, base: Any, _place: Any, wide: bool) -> Read:
    """Return what words hold; base: the addresses that they count from."""
    repeated = kind == AGAIN
    form = np.where(repeated, LOW, kind >> FORM)
    mask = _MASKS[form]
    upper = np.where(repeated, 0, signed(head, 16) << 16)
    target = base + upper + signed(word, 16)
    target = np.where(form == PLAIN, base + upper + (word & 0xFFFF), target)
    target = np.where(form == B16, base + 4 + (signed(word, 16) << 2), target)
    # The place of the entry: what is added to its word is in `through`.
    target = np.where(form == ENTRY, base + signed(head, 16), target)
    target = np.where(form == J26, ((base + 4) & ~0x0FFFFFFF) | ((word & 0x03FFFFFF) << 2), target)
    core = word & ~mask
    core = np.where(repeated, core + ((signed(word, 16) - signed(head, 16)) << 32), core)
    return Read(core, head & ~0xFFFF, target if wide else target & 0xFFFFFFFF)


def _pointer(side: Any) -> int:
    """Return the address that gp has: so far behind the start of the offset table."""
    table = side.image.by_name.get(b".got")
    return int(table.place) + FAR if table is not None else 0


def _through(kind: Any, word: Any) -> tuple[Any, Any]:
    """Tell which targets are entries of the offset table, and what is added to what these hold."""
    return np.where(kind == AGAIN, 0, kind >> FORM) == ENTRY, signed(word, 16)


def _calls(kind: Any, word: Any) -> Any:
    return (kind == (J26 << FORM | BRANCH)) & (word >> 26 == 3)


def family(wide: bool, order: str) -> Family:
    """Return what is known of machines of a class and byte order."""
    return Family(
        partial(find, order=order), partial(read, wide=wide), calls=_calls, pointer=_pointer, width=4, through=_through
    )
