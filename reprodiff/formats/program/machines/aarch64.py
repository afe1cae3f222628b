"""What A64 instructions refer to (Arm Architecture Reference Manual, C4 and C6).

Branches and literals are whole in one word. ADRP gives the page of an address (4 KiB), a following ADD, load or store
with the same register the offset in the page: the address is that of both together, or of none.
"""

from typing import Any

import numpy as np

from reprodiff.formats.program.machines.flow import Flow
from reprodiff.formats.program.machines.instructions import (
    ABSOLUTE,
    AGAIN,
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
from reprodiff.formats.program.words import among, distinct, without

# Forms: how many bits at which place hold the displacement.
IMM26, IMM19, IMM14, ADR, PAIR, WORD = range(6)
PAGE = 0xFFF
ADRP_BIT = 1 << 31
_IMMEDIATE = 0xFFF << 10
_ADR_BITS = 0x60FFFFE0
_MASKS = np.array([0x03FFFFFF, 0x00FFFFE0, 0x0007FFE0, _ADR_BITS, _IMMEDIATE, -1], np.int64)
# What a called function may change: x0 to x18 and the link register (AAPCS64, 6.1.1).
_CHANGED = np.array([*(True for _ in range(19)), *(False for _ in range(11)), True, False, False])
_DATA = ord("d")
# Numbers of places on the stack, behind those of registers.
_STACK = 32


def _pool(words: Any, place: int, loads: Any, uses: Any, heads: Any) -> Any:
    """Return where in code the words of 8 bytes are that instructions load, by number, each once and none in another."""
    loads = loads[(words[loads] >> 24) == 0x58]
    near = loads + signed(words[loads].astype(np.int64) >> 5, 19)
    whole = ((words[uses] & 0xFFC00000) == 0xF9400000) & ((words[heads] & ADRP_BIT) != 0)
    uses, heads = uses[whole], heads[whole]
    page = _pages(words, place)[heads]
    far = page + (((words[uses].astype(np.int64) >> 10) & 0xFFF) << 3) - place
    found = distinct(np.concatenate([near, far[(far & 3) == 0] >> 2]))
    found = found[(found >= 0) & (found + 1 < len(words))]
    return found[np.append(True, np.diff(found) > 1)] if len(found) else found


def _written(words: Any) -> tuple[Any, Any]:
    """Return (numbers, registers) of the general registers that instructions write, calls aside."""
    top = (words >> 25) & 15
    low = (words & 31).astype(np.int8)
    immediate = (top & 14) == 8
    conditional = (words & 0x1FE00000) == 0x1A400000
    register = ((top & 7) == 5) & ~conditional
    system = (words & 0xFFF00000) == 0xD5300000
    vector = (top & 7) == 7
    convert = (words & 0x5F20FC00) == 0x1E200000
    convert &= np.isin((words >> 16) & 7, (0, 1, 4, 5, 6))
    fixed = ((words & 0x5F200000) == 0x1E000000) & (((words >> 16) & 7) < 2)
    lanes = ((words & 0xBFE0FC00) == 0x0E002C00) | ((words & 0xBFE0FC00) == 0x0E003C00)
    memory = (top & 5) == 4
    general = memory & ((words & (1 << 26)) == 0)
    kind = (words >> 28) & 3
    opc = (words >> 22) & 3
    exclusive = general & (kind == 0)
    loaded = (words & (1 << 22)) != 0
    literal = general & (kind == 1) & ((words & (1 << 24)) == 0) & ((words >> 30) != 3)
    unscaled = general & (kind == 1) & ((words & (1 << 24)) != 0) & (opc != 0)
    pair = general & (kind == 2) & loaded
    prefetch = ((words >> 30) == 3) & (opc == 2)
    offset = (words & (1 << 24)) != 0
    atomic = ((words & (1 << 21)) != 0) & (((words >> 10) & 3) == 0) & ~offset
    single = general & (kind == 3) & (((opc != 0) & ~prefetch) | atomic)
    first = immediate | register | system | (vector & (convert | fixed | lanes)) | (exclusive & loaded)
    first |= literal | unscaled | pair | single
    numbers = [np.flatnonzero(first)]
    registers = [low[numbers[0]]]
    # The second register of a pair, the status or compared value of an exclusive store, the base of a writeback.
    second = pair | (exclusive & loaded & ((words & (1 << 21)) != 0) & ((words & (1 << 23)) == 0))
    numbers.append(np.flatnonzero(second))
    registers.append(((words[numbers[-1]] >> 10) & 31).astype(np.int8))
    status = exclusive & ((~loaded & ((words & (1 << 23)) == 0)) | ((words & 0x00A00000) == 0x00A00000))
    numbers.append(np.flatnonzero(status))
    registers.append(((words[numbers[-1]] >> 16) & 31).astype(np.int8))
    back = memory & (kind == 2) & ((words & (1 << 23)) != 0) & ((words & (1 << 24)) == 0)
    back |= memory & (kind == 2) & ((words & 0x01800000) == 0x01800000)
    back |= memory & (kind == 3) & ~offset & ((words & (1 << 21)) == 0) & ((words & (1 << 10)) != 0)
    back |= memory & (kind == 0) & ((words & (1 << 26)) != 0) & ((words & (1 << 23)) != 0)
    numbers.append(np.flatnonzero(back))
    registers.append(((words[numbers[-1]] >> 5) & 31).astype(np.int8))
    return np.concatenate(numbers), np.concatenate(registers)


def find(code: bytes, place: int, starts: list[int], marks: Marks) -> Fields:
    """Return the fields of code at an address; starts: offsets of functions."""
    words = np.frombuffer(code[: len(code) // 4 * 4], "<u4")
    if not len(words):
        return nothing()
    if (marks.state == _DATA).any():
        state = marks.state[np.maximum(np.searchsorted(marks.at, np.arange(len(words)) * 4, "right") - 1, 0)]
        # Nothing is an instruction of all ones.
        words = np.where(state == _DATA, np.uint32(0xFFFFFFFF), words)
    jump = (words & 0x7C000000) == 0x14000000
    linked = words >> 31 != 0
    conditional = (words & 0xFF000000) == 0x54000000
    compare = (words & 0x7E000000) == 0x34000000
    literal = (words & 0x3B000000) == 0x18000000
    bit = (words & 0x7E000000) == 0x36000000
    address = (words & 0x1F000000) == 0x10000000
    page = address & linked
    indirect = (words & 0xFE000000) == 0xD6000000
    opcode = (words >> 21) & 15
    # BR, RET and ERET, with and without authentication, and BRK; BLR calls.
    leaves = (indirect & ((opcode & 7) != 1)) | ((words & 0xFFE0001F) == 0xD4200000)
    calls = (jump & linked) | (indirect & ((opcode & 7) == 1))
    rows = [
        (np.flatnonzero(jump), IMM26, BRANCH),
        (np.flatnonzero(conditional | compare), IMM19, BRANCH),
        (np.flatnonzero(literal), IMM19, DATA),
        (np.flatnonzero(bit), IMM14, BRANCH),
        (np.flatnonzero(address & ~linked), ADR, DATA),
    ]
    at: list[Any] = [numbers for numbers, _form, _role in rows]
    kind: list[Any] = [np.full(len(numbers), form << FORM | role) for numbers, form, role in rows]
    head: list[Any] = [np.full(len(numbers), -1) for numbers in at]
    uses, heads = _pairs(words, place, page | (address & ~linked), jump & ~linked, conditional | compare | bit, leaves, calls, starts, marks)  # fmt: skip
    # What is taken for a page is no address by itself.
    used = among(at[4], heads)
    at[4], kind[4], head[4] = at[4][~used], kind[4][~used], head[4][~used]
    others, same = _again(np.flatnonzero(page), distinct(heads), words, place, starts)
    at.append(others)
    kind.append(np.full(len(others), AGAIN))
    head.append(same)
    at.append(uses)
    kind.append(np.full(len(uses), PAIR << FORM | DATA))
    head.append(heads)
    pool = _pool(words, place, at[2], uses, heads)
    at.append(pool)
    kind.append(np.full(len(pool), WORD << FORM | ABSOLUTE))
    head.append(np.full(len(pool), -1))
    places, kinds, tops = (np.concatenate(column).astype(np.int64) for column in (at, kind, head))
    order = np.argsort(places, kind="stable")
    places, kinds, tops = places[order] * 4, kinds[order], tops[order]
    tops = np.where(tops < 0, -1, tops * 4)
    far = np.where(tops < 0, 0, tops - places)
    size = np.where(kinds >> FORM == WORD, 8, 4).astype(np.int8)
    return Fields(
        places,
        size,
        kinds,
        far,
        np.full(len(places), 4, np.int8),
        far,
        np.zeros(len(places), np.int8),
        np.arange(len(words)) * 4,
    )


def _copies(words: Any, base: Any) -> tuple[Any, Any, tuple[Any, Any, Any]]:
    """Return (instructions, places) of what is put on the stack, and (instructions, to, from) of what only moves a value.

    Places on the stack are known by the register that they are counted from, sp or x29, and the distance.
    """
    based = (base == 31) | (base == 29)
    place = _STACK + ((words >> 10) & 0xFFF).astype(np.int64) + np.where(base == 29, 0x1000, 0)
    twice = _STACK + ((words >> 15) & 0x7F).astype(np.int64) + np.where(base == 29, 0x1000, 0)
    low, high = (words & 31).astype(np.int64), ((words >> 10) & 31).astype(np.int64)

    def at(code: int) -> Any:
        return np.flatnonzero(((words & 0xFFC00000) == code) & based)

    kept, fetched, pairs, fetched_pairs = at(0xF9000000), at(0xF9400000), at(0xA9000000), at(0xA9400000)
    same = np.flatnonzero((words & 0xFFE0FFE0) == 0xAA0003E0)
    stores = np.concatenate([kept, pairs, pairs])
    slots = np.concatenate([place[kept], twice[pairs], twice[pairs] + 1])
    rows = (
        (stores, slots, np.concatenate([low[kept], low[pairs], high[pairs]])),
        (fetched, low[fetched], place[fetched]),
        (fetched_pairs, low[fetched_pairs], twice[fetched_pairs]),
        (fetched_pairs, high[fetched_pairs], twice[fetched_pairs] + 1),
        (same, low[same], ((words[same] >> 16) & 31).astype(np.int64)),
    )
    moved, to, origin = (np.concatenate(column) for column in zip(*rows, strict=True))
    return stores, slots, (moved, to, origin)


def _again(pages: Any, heads: Any, words: Any, place: int, starts: list[int]) -> tuple[Any, Any]:
    """Return (instructions that give a page without a use, those with one that give the same to the same register in the
    same function), by number."""
    values = _pages(words, place)
    functions = np.array(starts, np.int64) // 4
    lone = without(pages, heads)
    keys = []
    for numbers in (heads, lone):
        function = np.searchsorted(functions, numbers, "right")
        keys.append((values[numbers] >> 12 & 0x7FFFFFFFF) * 32 + (words[numbers] & 31) + (function << 40))
    order = np.argsort(keys[0], kind="stable")
    known = keys[0][order]
    if not len(known) or not len(lone):
        return lone[:0], lone[:0]
    index = np.minimum(np.searchsorted(known, keys[1]), len(known) - 1)
    fits = known[index] == keys[1]
    return lone[fits], heads[order[index[fits]]]


def _pages(words: Any, place: int) -> Any:
    """Return the page that every word gives if it is ADRP."""
    return ((np.arange(len(words), dtype=np.int64) * 4 + place) & ~PAGE) + (_distance(words.astype(np.int64)) << 12)


def _pairs(
    words: Any,
    place: int,
    heads: Any,
    jumps: Any,
    branches: Any,
    leaves: Any,
    calls: Any,
    starts: list[int],
    marks: Marks,
) -> tuple[Any, Any]:
    """Return (instructions with an offset in a page, those with the page), by number."""
    empty = np.zeros(0, np.int64)
    if not heads.any():
        return empty, empty
    added = (words & 0xFFC00000) == 0x91000000
    offset = (words & 0x3B000000) == 0x39000000
    base = (words >> 5) & 31
    known = np.zeros(32, bool)
    known[words[heads] & 31] = True
    known[31] = False
    uses = np.flatnonzero((added | offset) & known[base])
    source = np.flatnonzero(jumps | branches)
    sent = words[source].astype(np.int64)
    far = np.where(jumps[source], signed(sent, 26), signed(sent >> 5, 19))
    far = np.where((sent & 0x7E000000) == 0x36000000, signed(sent >> 5, 14), far)
    begins = without(np.array(starts, np.int64), marks.cold) // 4
    indirect = np.flatnonzero(leaves & ((words & 0xFEE00000) == 0xD6000000))
    numbers, registers = _written(words)
    kept, slots, copies = _copies(words, base)
    writes = np.concatenate([numbers, kept]), np.concatenate([registers, slots])
    flow = Flow(
        writes, copies, np.flatnonzero(calls), _CHANGED, leaves | jumps, (source, source + far), indirect,
        begins[begins < len(words)],
    )  # fmt: skip
    # ADRP of the same page is as good as another one.
    values = np.arange(len(words), dtype=np.int64)
    values[heads] = ~_pages(words, place)[heads]
    found = flow.definitions(uses, base[uses], values)
    fits = (found >= 0) & heads[np.maximum(found, 0)]
    return uses[fits], found[fits]


def read(kind: Any, word: Any, head: Any, base: Any, place: Any) -> Read:
    """Return what words at addresses hold; base: the addresses that they count from."""
    again = kind == AGAIN
    form = np.where(again, ADR, kind >> FORM)
    core = word & ~_MASKS[form]
    target = base + (signed(word, 26) << 2)
    target = np.where(form == IMM19, base + (signed(word >> 5, 19) << 2), target)
    target = np.where(form == IMM14, base + (signed(word >> 5, 14) << 2), target)
    target = np.where(form == ADR, base + _distance(word), target)
    target = np.where(form == WORD, word, target)
    pair = form == PAIR
    headed = pair | again
    if headed.any():
        # A linker may write ADR where it reaches the page.
        near = (head & ADRP_BIT) == 0
        page = np.where(near, base + _distance(head), (base & ~PAGE) + (_distance(head) << 12))
        scale = np.where((word & 0x04800000) == 0x04800000, 4, word >> 30)
        scale = np.where((word & 0x3B000000) == 0x39000000, scale, 0)
        target = np.where(pair, page + (((word >> 10) & 0xFFF) << scale), target)
        core = np.where(again, core + (((place & ~PAGE) + (_distance(word) << 12) - page) << 12), core)
    return Read(core, np.where(headed, head & ~(_ADR_BITS | ADRP_BIT), 0), target)


def _distance(word: Any) -> Any:
    return signed((word >> 3) & 0x1FFFFC | (word >> 29) & 3, 21)


FAMILY = Family(find, read, width=4, calls=lambda kind, word: (kind == (IMM26 << FORM | BRANCH)) & (word >> 31 != 0))
