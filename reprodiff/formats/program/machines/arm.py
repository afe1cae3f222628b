"""What A32 and T32 instructions refer to (Arm Architecture Reference Manual for A-profile, F5 and F6; ELF for the Arm
architecture, 5.5.5).

Mapping symbols and the lowest bit of a function's address tell which of the two a stretch is; where there are none it
is A32 if most of its words say that they are always executed. Branches and literals are whole in one instruction. An
address is a word among the code that a load names, or what MOVW and MOVT give to one register; either counts from the
instruction that adds the program counter to it, if one does.
"""

from typing import Any, NamedTuple

import numpy as np

from reprodiff.formats.program.machines.flow import Flow
from reprodiff.formats.program.machines.instructions import (
    ABSOLUTE,
    BRANCH,
    DATA,
    FORM,
    Family,
    Fields,
    Marks,
    Read,
    begins,
    nothing,
    signed,
)
from reprodiff.formats.program.words import among, distinct, without

# Forms: A32, T32 of 2 and of 4 bytes, literals, addresses of two halves, entries of the linkage table.
A_BRANCH, A_EXCHANGE, A_LOAD, A_FLOAT, A_NEAR = range(5)
T_TEST, T_BRANCH, T_ZERO, T_LOAD = range(5, 9)
W_BRANCH, W_EXCHANGE, W_TEST, W_LOAD, W_FLOAT, W_NEAR = range(9, 15)
WORD, A_HALVES, W_HALVES, LINKAGE = range(15, 19)
# The bits of a displacement by form; those of 4 bytes in T32 with the first half on top.
_MASKS = np.array(
    [0xFFFFFF, 0x1FFFFFF, 0xFFF, 0xFF, 0xFF, 0xFF, 0x7FF, 0x2F8, 0xFF, 0x7FF2FFF, 0x7FF2FFE, 0x43F2FFF, 0xFFF, 0xFF,
     0x40070FF, 0xFFFFFFFF, 0xF0FFF, 0x40F70FF, 0xFFF], np.int64
)  # fmt: skip
_SWAPPED = np.isin(np.arange(19), (W_BRANCH, W_EXCHANGE, W_TEST, W_LOAD, W_FLOAT, W_NEAR, W_HALVES))
_ALIGNED = np.isin(np.arange(19), (T_LOAD, W_EXCHANGE, W_LOAD, W_FLOAT, W_NEAR))
# What a called function may change: r0 to r3, ip and lr (AAPCS32, 6.1.1); places on the stack it does not.
_CHANGED = np.array([register in {0, 1, 2, 3, 12, 14} for register in range(17)])
_STACK = 16
_DATA, _THUMB = ord("d"), ord("t")
# The number of the condition that is always true.
ALWAYS = 14
# How often a word of A32 says that it is always executed, at least.
_SHARE = 0.4


class _Code(NamedTuple):
    """The instructions of a stretch: offsets, bytes, words (T32: the first half on top), and which are A32, T32 of two
    bytes and of four; condition: on which they are executed, ALWAYS or another number."""

    at: Any
    size: Any
    words: Any
    full: Any
    short: Any
    long: Any
    condition: Any


def _swap(words: Any) -> Any:
    return (words & 0xFFFF) << 16 | (words >> 16) & 0xFFFF


def _states(halves: Any, starts: list[int], marks: Marks) -> tuple[Any, Any]:
    """Return which halves of code are T32 and which are data."""
    count = len(halves)
    bounds = distinct(np.array([0, *(start // 2 for start in starts if start // 2 < count)], np.int64))
    always = np.zeros(count, np.int64)
    always[1::2] = halves[1::2] >> 12 == 0xE
    share = np.add.reduceat(always, bounds) / np.maximum(np.diff(np.append(bounds, count)) // 2, 1)
    thumb = np.repeat(share < _SHARE, np.diff(np.append(bounds, count)))
    data = np.zeros(count, bool)
    if len(marks.at):
        index = np.searchsorted(marks.at, np.arange(count) * 2, "right") - 1
        state = marks.state[np.maximum(index, 0)]
        thumb = np.where(index >= 0, state == _THUMB, thumb)
        data = (index >= 0) & (state == _DATA)
    return thumb, data


def _code(halves: Any, thumb: Any, data: Any, starts: list[int]) -> _Code:
    """Return the instructions of code."""
    count = len(halves)
    long = thumb & ~data & (halves >> 11 >= 0x1D)
    edges = np.flatnonzero(np.diff(thumb.astype(np.int8) + 2 * data.astype(np.int8))) + 1
    begin = begins(halves, long, [*starts, *(edges * 2).tolist()])
    begin = np.where(thumb, begin, np.arange(count) & 1 == 0) & ~data
    at = np.flatnonzero(begin)
    four = ~thumb[at] | long[at]
    # The last one may be cut off.
    whole = ~four | (at + 1 < count)
    at, four = at[whole], four[whole]
    second = halves[np.minimum(at + 1, count - 1)]
    full = ~thumb[at]
    words = np.where(full, halves[at] | second << 16, np.where(four, halves[at] << 16 | second, halves[at]))
    short = ~four
    condition = np.where(full, words >> 28, ALWAYS)
    block = np.flatnonzero(short & (words & 0xFF00 == 0xBF00) & (words & 15 != 0))
    first, mask = words[block] >> 4 & 15, words[block] & 15
    most = np.select([mask & 1 != 0, mask & 2 != 0, mask & 4 != 0], [4, 3, 2], 1)
    for step in range(1, 5):
        chosen = np.flatnonzero((most >= step) & (block + step < len(at)))
        other = first[chosen] if step == 1 else first[chosen] & 14 | mask[chosen] >> (5 - step) & 1
        condition[block[chosen] + step] = other
    return _Code(at * 2, np.where(four, 4, 2).astype(np.int8), words, full, short, four & ~full, condition)


def _jumps(code: _Code) -> dict[str, Any]:
    """Return by name which instructions are what: branches by form, calls, and what is not followed by the next one."""
    w, full, short, long = code.words, code.full, code.short, code.long
    always = code.condition >= ALWAYS
    cond = w >> 28
    branch = full & (w & 0x0E000000 == 0x0A000000)
    wide = long & (w & 0xF8008000 == 0xF0008000)
    kind = w & 0xD000
    condition = (w >> 22) & 15
    found = {
        A_BRANCH: branch & (cond != 15),
        A_EXCHANGE: branch & (cond == 15),
        T_TEST: short & (w >> 12 == 0xD) & ((w >> 8) & 15 < 14),
        T_BRANCH: short & (w >> 11 == 0x1C),
        T_ZERO: short & (w & 0xF500 == 0xB100),
        W_BRANCH: wide & ((kind == 0x9000) | (kind == 0xD000)),
        W_EXCHANGE: wide & (kind == 0xC000) & (w & 1 == 0),
        W_TEST: wide & (kind == 0x8000) & (condition < 14),
    }
    through = full & (w & 0x0FFFFFD0 == 0x012FFF10)
    returns = full & ((w & 0x0E108000 == 0x08108000) | (w & 0x0C10F000 == 0x0410F000))
    returns |= full & (w & 0x0C00F000 == 0x0000F000) & ((w >> 23) & 3 != 2) & (w & 0x0E0000F0 != 0x90)
    calls = found[A_EXCHANGE] | found[W_EXCHANGE] | (found[W_BRANCH] & (kind == 0xD000))
    calls |= (found[A_BRANCH] & (w & (1 << 24) != 0)) | (through & (w & 0x20 != 0)) | (short & (w & 0xFF87 == 0x4780))
    table = long & (w & 0xFFF0FFE0 == 0xE8D0F000)
    moves = short & (w & 0xFF87 == 0x4687)
    leaves = (through & (w & 0x20 == 0)) | returns | (short & (w & 0xFF87 == 0x4700)) | (short & (w & 0xFF00 == 0xBD00))
    leaves |= (
        (long & (w & 0xFE508000 == 0xE8108000)) | (long & (w & 0xFF70F000 == 0xF850F000)) | (short & (w >> 8 == 0xDE))
    )
    plain = (found[A_BRANCH] | found[T_BRANCH] | found[W_BRANCH]) & ~calls
    return {
        "forms": found,
        "calls": calls,
        "sent": (plain | found[T_TEST] | found[T_ZERO] | found[W_TEST]),
        "leaps": table | moves | (full & (w & 0x0FFFF010 == 0x010FF000)) | (full & (w & 0x0FF0F000 == 0x0790F000))
        | (full & (w & 0x0FF0F000 == 0x0080F000)),
        "stops": (plain | leaves | table | moves) & always,
    }  # fmt: skip


def _written(code: _Code) -> tuple[Any, Any]:
    """Return (numbers, registers) of the registers that instructions write, calls aside."""
    w, full, short, long = code.words, code.full, code.short, code.long
    numbers: list[Any] = []
    registers: list[Any] = []

    def put(which: Any, register: Any) -> None:
        chosen = np.flatnonzero(which)
        numbers.append(chosen)
        registers.append(register[chosen])

    low, high, top = w & 7, (w >> 8) & 7, (w >> 4) & 8 | w & 7
    load = (w >> 12 == 5) & ((w >> 9) & 7 >= 3)
    put(short & ((w < 0x2000) | (w & 0xFF00 == 0xB200) | (w & 0xFF00 == 0xBA00) | load), low)
    put(short & (w >> 10 == 0x10) & ~np.isin((w >> 6) & 15, (8, 10, 11)), low)
    put(short & (w >> 13 == 3) & (w & 0x0800 != 0), low)
    put(short & (w & 0xF800 == 0x8800), low)
    put(short & (((w >> 13 == 1) & (w >> 11 != 5)) | (w >> 11 == 9) | (w >> 11 == 0x13) | (w >> 12 == 10)), high)
    put(short & (w >> 12 == 0xC), high)
    put(short & ((w >> 8 == 0x44) | (w >> 8 == 0x46)), top)
    middle, last, first = (w >> 8) & 15, (w >> 12) & 15, (w >> 16) & 15
    put(
        long & ((w >> 25 == 0x75) | ((w >> 27 == 0x1E) & (w & 0x8000 == 0)) | (w >> 25 == 0x7D)) & (middle != 15),
        middle,
    )
    loads = long & (w & 0xFE100000 == 0xF8100000)
    put(loads, last)
    put(long & (w >> 23 == 0x1F7), last)
    put(long & (w & 0xFE000000 == 0xF8000000) & (w & 0x900 == 0x900) & (w & 0x800000 == 0), first)
    dual = long & (w & 0xFE500000 == 0xE8500000)
    put(dual, last)
    put(dual, middle)
    put(long & (w & 0xFE400000 == 0xE8400000) & (w & (1 << 21) != 0), first)
    put(long & (w & 0xFFF00000 == 0xE8400000), middle)
    put(long & (w & 0xFE400000 == 0xE8000000) & (w & (1 << 21) != 0), first)
    put(long & (w & 0xFF100010 == 0xEE100010), last)
    compare = ((w >> 23) & 3 == 2) & (w & (1 << 20) != 0)
    multiply = full & (w & 0x0F0000F0 == 0x90)
    extra = full & (w & 0x0E000090 == 0x90) & (w & 0x60 != 0)
    put(full & (w & 0x0C000000 == 0) & ~compare & ~multiply & ~extra, last)
    put(multiply | (full & (w & 0x0E000010 == 0x06000010)), first)
    put((multiply & (w & (1 << 23) != 0)) | (full & (w & 0x0E000010 == 0x06000010)), last)
    put(extra & ((w & (1 << 20) != 0) | (w & 0xF0 == 0xD0)), last)
    put(extra & (w & (1 << 20) == 0) & (w & 0xF0 == 0xD0), last + 1)
    single = full & (w & 0x0C000000 == 0x04000000) & (w & 0x02000010 != 0x02000010)
    put(single & (w & (1 << 20) != 0), last)
    put((single | extra) & ((w & (1 << 24) == 0) | (w & (1 << 21) != 0)), first)
    put(full & (w & 0x0E000000 == 0x08000000) & (w & (1 << 21) != 0), first)
    put(full & (w & 0x0F100010 == 0x0E100010), last)
    several = (full & (w & 0x0E100000 == 0x08100000)) | (long & (w & 0xFE500000 == 0xE8100000))
    some = (short & (w & 0xFE00 == 0xBC00)) | (short & (w & 0xF800 == 0xC800))
    for register in range(15):
        mark = several | some if register < 8 else several
        put(mark & (w >> register & 1 != 0), np.full(len(w), register))
    return np.concatenate(numbers), np.concatenate(registers)


def _copies(code: _Code) -> tuple[Any, Any, Any]:
    """Return (numbers, to, from) of what only moves a value, to and from the stack too."""
    w, full, short, long = code.words, code.full, code.short, code.long
    rows: list[tuple[Any, Any, Any]] = []

    def put(which: Any, to: Any, origin: Any) -> None:
        chosen = np.flatnonzero(which)
        rows.append((chosen, to[chosen], origin[chosen]))

    last, high = (w >> 12) & 15, (w >> 8) & 7
    place = _STACK + ((w & 0xFFF) >> 2)
    put(full & (w & 0x0FFF0000 == 0x058D0000), place, last)
    put(full & (w & 0x0FFF0000 == 0x059D0000), last, place)
    put(long & (w & 0xFFFF0000 == 0xF8CD0000), place, last)
    put(long & (w & 0xFFFF0000 == 0xF8DD0000), last, place)
    put(short & (w >> 11 == 0x12), _STACK + (w & 0xFF), high)
    put(short & (w >> 11 == 0x13), high, _STACK + (w & 0xFF))
    put(full & (w & 0x0FFF0FF0 == 0x01A00000), last, w & 15)
    put(short & (w >> 8 == 0x46), (w >> 4) & 8 | w & 7, (w >> 3) & 15)
    moved, to, origin = (np.concatenate(column) for column in zip(*rows, strict=True))
    return moved, to, origin


def find(code: bytes, _place: int, starts: list[int], marks: Marks) -> Fields:
    """Return the fields of code; starts: offsets of functions."""
    halves = np.frombuffer(code[: len(code) // 4 * 4], "<u2").astype(np.int64)
    if not len(halves):
        return nothing()
    thumb, data = _states(halves, starts, marks)
    whole = _code(halves, thumb, data, starts)
    loads = _loads(whole)
    if not data.any():
        # Nothing says where data lies but what loads it.
        pool = distinct(loads[1][(loads[1] >= 0) & (loads[1] + 4 <= len(code))]) // 2
        data[pool] = data[pool + 1] = True
        whole = _code(halves, thumb, data, starts)
        loads = _loads(whole)
    jumps = _jumps(whole)
    number = np.full(len(halves) + 1, -1, np.int64)
    number[whole.at // 2] = np.arange(len(whole.at))
    sent = np.flatnonzero(jumps["sent"])
    form = np.zeros(len(whole.at), np.int64)
    for each, which in jumps["forms"].items():
        form[which] = each
    bias = np.where(whole.full, 8, 4)
    target = whole.at[sent] + bias[sent] + _distance(whole.words[sent], form[sent])
    inside = (target >= 0) & (target < len(halves) * 2)
    target = np.where(inside, number[np.where(inside, target, 0) // 2], -1)
    cold = set(marks.cold.tolist())
    first = np.array([start // 2 for start in starts if start not in cold and start // 2 < len(halves)], np.int64)
    first = number[first]
    copies = _copies(whole)
    written, registers = _written(whole)
    kept = copies[1] >= _STACK
    flow = Flow(
        (np.concatenate([written, copies[0][kept]]), np.concatenate([registers, copies[1][kept]])), copies,
        np.flatnonzero(jumps["calls"]), _CHANGED, jumps["stops"], (sent, target), np.flatnonzero(jumps["leaps"]),
        first[first >= 0],
    )  # fmt: skip
    held = np.flatnonzero(data[::2] & data[1::2]) * 4
    return _rows(whole, jumps["forms"], loads, flow, bias, held, len(code))


def _rows(
    code: _Code, forms: dict[int, Any], loads: tuple[Any, Any, Any], flow: Flow, bias: Any, held: Any, size: int
) -> Fields:
    """Return the fields. loads: numbers, offsets of the literals and forms of the instructions that load them; held: the
    offsets of words of data."""
    w, full, long, short = code.words, code.full, code.long, code.short
    values = np.arange(len(w))
    # What adds the program counter, and the register that it adds it to.
    adds = np.flatnonzero(
        (short & (w & 0xFF78 == 0x4478))
        | (full & (w & 0x0FEF0FF0 == 0x008F0000))
        | (full & (w & 0x0FFF0FF0 == 0x079F0000))
    )
    added = np.where(short[adds], (w[adds] >> 4) & 8 | w[adds] & 7, w[adds] & 15)
    origin = flow.definitions(adds, added, values)
    low = (full & (w & 0x0FF00000 == 0x03000000)) | (long & (w & 0xFBF08000 == 0xF2400000))
    tops = np.flatnonzero((full & (w & 0x0FF00000 == 0x03400000)) | (long & (w & 0xFBF08000 == 0xF2C00000)))
    filled = np.where(full[tops], (w[tops] >> 12) & 15, (w[tops] >> 8) & 15)
    bottom = flow.definitions(tops, filled, values)
    # What is executed on a condition has its other half under the same one, close before.
    some = np.flatnonzero(code.condition[tops] < ALWAYS)
    bottom[some] = _under(code, low, tops[some], filled[some])
    fits = (bottom >= 0) & low[np.maximum(bottom, 0)]
    tops, bottom = tops[fits], bottom[fits]
    # The place from which what an instruction gives counts, -1 where it counts from none.
    anchor = np.full(len(w), -1, np.int64)
    anchor[origin[origin >= 0]] = adds[origin >= 0]
    parts: list[tuple[Any, ...]] = []

    def put(at: Any, sizes: Any, kind: Any, head: Any, top: Any, base: Any, add: Any) -> None:
        columns = (at, sizes, kind, head, top, base, add)
        parts.append(tuple(np.broadcast_to(np.asarray(column), at.shape).astype(np.int64) for column in columns))

    for each, which in forms.items():
        chosen = np.flatnonzero(which)
        put(code.at[chosen], code.size[chosen], each << FORM | BRANCH, 0, 4, 0, bias[chosen])
    numbers, literals, kinds = loads
    put(code.at[numbers], code.size[numbers], kinds << FORM | DATA, 0, 4, 0, bias[numbers])
    own: list[Any] = []
    near = np.flatnonzero(long & np.isin(w >> 16 & 0xFBFF, (0xF20F, 0xF2AF)) & (w & 0x8000 == 0))
    put(code.at[near], 4, W_NEAR << FORM | DATA, 0, 4, 0, 4)
    own.append((code.at[near] + 4 & ~3) + _distance(w[near], np.full(len(near), W_NEAR)))
    near = np.flatnonzero(short & (w >> 11 == 0x14))
    put(code.at[near], 2, T_LOAD << FORM | DATA, 0, 4, 0, 4)
    own.append((code.at[near] + 4 & ~3) + _distance(w[near], np.full(len(near), T_LOAD)))
    near = np.flatnonzero(full & np.isin(w >> 16 & 0xFFF, (0x28F, 0x24F)))
    third = near[near + 2 < len(w)]
    third = third[(w[third] >> 12 == 0xE28FC) & (w[third + 1] >> 12 == 0xE28CC) & (w[third + 2] >> 12 == 0xE5BCF)]
    near = without(near, third)
    put(code.at[near], 4, A_NEAR << FORM | DATA, 0, 4, 0, 8)
    own.append(code.at[near] + 8 + _distance(w[near], np.full(len(near), A_NEAR)))
    put(code.at[third + 2], 4, LINKAGE << FORM | DATA, -8, 8, -8, 8)
    # Words among the code, each once: those that count from somewhere first.
    whole = np.isin(kinds, (A_LOAD, T_LOAD, W_LOAD)) & (literals >= 0) & (literals + 4 <= size) & (literals & 3 == 0)
    whole &= (w[numbers] >> 20 & 0xFF7 == 0xF85) | ~np.isin(kinds, (W_LOAD,)) & (
        ~full[numbers] | (w[numbers] & (1 << 22) == 0)
    )
    numbers, literals = numbers[whole], literals[whole]
    order = np.lexsort((anchor[numbers] < 0, literals))
    numbers, literals = numbers[order], literals[order]
    once = np.append(True, np.diff(literals) > 0)[: len(literals)]
    numbers, literals = numbers[once], literals[once]
    # A word whose place another instruction gives counts from there.
    itself = among(literals, np.concatenate(own)) & (anchor[numbers] < 0)
    counted = anchor[numbers] >= 0
    base = np.where(counted, code.at[np.maximum(anchor[numbers], 0)] - literals, 0)
    add = np.where(itself, 0, bias[np.maximum(anchor[numbers], 0)])
    put(literals, 4, WORD << FORM | np.where(counted | itself, DATA, ABSOLUTE), 0, 4, base, add)
    # Tables of jumps.
    others = without(held, literals)
    put(others, 4, WORD << FORM | ABSOLUTE, 0, 4, 0, 0)
    counted = anchor[tops] >= 0
    base = np.where(counted, code.at[np.maximum(anchor[tops], 0)] - code.at[tops], 0)
    kind = np.where(full[tops], A_HALVES, W_HALVES) << FORM | np.where(counted, DATA, ABSOLUTE)
    put(code.at[tops], 4, kind, code.at[bottom] - code.at[tops], 4, base, bias[np.maximum(anchor[tops], 0)])
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    order = np.argsort(columns[0], kind="stable")
    at, sizes, kind, head, top, base, add = (column[order] for column in columns)
    return Fields(at, sizes, kind, head, top, base, add, code.at)


def _under(code: _Code, low: Any, tops: Any, registers: Any) -> Any:
    """Return which MOVW under the same condition belongs to each MOVT, -1 where there is none close before it."""
    found = np.full(len(tops), -1)
    open_still = np.ones(len(tops), bool)
    for step in range(1, 13):
        before = np.maximum(tops - step, 0)
        word = code.words[before]
        register = np.where(code.full[before], word >> 12 & 15, word >> 8 & 15)
        same = low[before] & (register == registers) & (tops >= step)
        alike = code.condition[before] == code.condition[tops]
        found[open_still & same & alike] = before[open_still & same & alike]
        open_still &= ~(same & (alike | (code.condition[before] >= ALWAYS)))
    return found


def _loads(code: _Code) -> tuple[Any, Any, Any]:
    """Return (numbers, offsets of what they load, forms) of the instructions that load what lies among the code."""
    w = code.words
    forms = {
        A_LOAD: code.full & (w & 0x0F3F0000 == 0x051F0000),
        A_FLOAT: code.full & (w & 0x0F3F0E00 == 0x0D1F0A00),
        T_LOAD: code.short & (w >> 11 == 9),
        W_LOAD: code.long & (w & 0xFE1F0000 == 0xF81F0000) & (w & 0x00600000 != 0x00600000),
        W_FLOAT: code.long & ((w & 0xFF3F0E00 == 0xED1F0A00) | (w & 0xFF7F0000 == 0xE95F0000)),
    }
    numbers = [np.flatnonzero(which) for which in forms.values()]
    kinds = np.concatenate([np.full(len(each), form) for each, form in zip(numbers, forms, strict=True)]).astype(
        np.int64
    )
    chosen = np.concatenate(numbers)
    base = code.at[chosen] + np.where(code.full[chosen], 8, 4)
    base = np.where(_ALIGNED[kinds], base & ~3, base)
    return chosen, base + _distance(w[chosen], kinds), kinds


def _distance(word: Any, form: Any) -> Any:
    """Return the displacements of words of one instruction; T32 of four bytes with the first half on top."""
    sign, j1, j2 = word >> 26 & 1, word >> 13 & 1, word >> 11 & 1
    wide = sign << 24 | (1 ^ j1 ^ sign) << 23 | (1 ^ j2 ^ sign) << 22 | (word >> 16 & 0x3FF) << 12
    test = sign << 20 | j2 << 19 | j1 << 18 | (word >> 16 & 0x3F) << 12 | (word & 0x7FF) << 1
    up = np.where(word >> 23 & 1, 1, -1)
    near = (word >> 26 & 1) << 11 | (word >> 12 & 7) << 8 | word & 0xFF
    return np.select(
        [form == each for each in range(15)],
        [
            signed(word, 24) << 2, (signed(word, 24) << 2) + (word >> 23 & 2), up * (word & 0xFFF), up * (word & 0xFF) * 4,
            up * _turned(word), signed(word, 8) << 1, signed(word, 11) << 1,
            (word >> 9 & 1) << 6 | (word >> 3 & 31) << 1, (word & 0xFF) << 2, signed(wide | (word & 0x7FF) << 1, 25),
            signed(wide | (word & 0x7FE) << 1, 25), signed(test, 21), up * (word & 0xFFF), up * (word & 0xFF) * 4,
            np.where(word >> 23 & 1, -near, near),
        ],
        0,
    )  # fmt: skip


def _turned(word: Any) -> Any:
    """Return the immediate of a data-processing instruction: 8 bits, turned to the right."""
    by = (word >> 8 & 15) * 2
    return ((word & 0xFF) >> by | (word & 0xFF) << (32 - by)) & 0xFFFFFFFF


def _half(word: Any, long: Any) -> Any:
    """Return the 16 bits that MOVW and MOVT have."""
    full = (word >> 4) & 0xF000 | word & 0xFFF
    other = (word >> 16 & 15) << 12 | (word >> 26 & 1) << 11 | (word >> 12 & 7) << 8 | word & 0xFF
    return np.where(long, other, full)


def read(kind: Any, word: Any, head: Any, base: Any, _place: Any) -> Read:
    """Return what words hold; base: the addresses that they count from."""
    form = kind >> FORM
    swapped = _SWAPPED[form]
    word = np.where(swapped, _swap(word), word)
    halves = (form == A_HALVES) | (form == W_HALVES)
    head = np.where(form == W_HALVES, _swap(head), head)
    mask = _MASKS[form]
    core = word & ~mask
    base = np.where(_ALIGNED[form], base & ~3, base)
    far = _distance(word, form)
    far = np.where(form == WORD, word, far)
    upper = np.zeros(len(word), np.int64)
    if halves.any():
        long = form == W_HALVES
        far = np.where(halves, _half(word, long) << 16 | _half(head, long), far)
        upper = np.where(halves, head & ~mask, upper)
        upper = np.where(long, _swap(upper), upper)
    linkage = form == LINKAGE
    if linkage.any():
        far = np.where(linkage, _turned(head) + _turned(head >> 32) + (word & 0xFFF), far)
        upper = np.where(linkage, head & ~0x000000FF000000FF, upper)
    return Read(np.where(swapped, _swap(core), core), upper, (base + far) & 0xFFFFFFFF)


def form_of_half(*, long: bool) -> int:
    """Return the form of MOVT, in T32 or not; its target has what the instruction gives in the upper half."""
    return W_HALVES if long else A_HALVES


def thumb(code: bytes, starts: list[int], marks: Marks) -> Any:
    """Return which halves of code are T32."""
    halves = np.frombuffer(code[: len(code) // 4 * 4], "<u2").astype(np.int64)
    return _states(halves, starts, marks)[0] if len(halves) else np.zeros(0, bool)


def _calls(kind: Any, word: Any) -> Any:
    form = kind >> FORM
    wide = (form == W_EXCHANGE) | ((form == W_BRANCH) & (word >> 28 & 13 == 13))
    return wide | (form == A_EXCHANGE) | ((form == A_BRANCH) & (word >> 24 & 1 != 0))


FAMILY = Family(find, read, calls=_calls)
