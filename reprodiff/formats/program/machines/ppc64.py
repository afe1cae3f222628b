"""What instructions of 64-bit Power refer to (Power ISA, book I; 64-bit ELF V2 ABI, 2.3 and 3.4).

Branches are whole in one word. Code reaches data by 16 bits from the table of contents, whose address r2 has; where that
is too far ADDIS adds the upper part first. A function makes r2 from its own address, which r12 has.
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
from reprodiff.formats.program.words import distinct, without

# Forms: branches of 24 and of 14 bits, offsets of 16 bits with 0, 2 and 4 bits for something else, a word of 8 bytes.
LI, BD, D, DS, DQ, WORD = range(6)
_MASKS = np.array([0x03FFFFFC, 0xFFFC, 0xFFFF, 0xFFFC, 0xFFF0, -1], np.int64)
TOC, ENTRY = 2, 12
# What a called function may change (ELF V2, 2.2.1.1): r0, r3 to r12; places on the stack it does not.
_CHANGED = np.array([register == 0 or 3 <= register <= 12 for register in range(33)])
_STACK = 32
# How far behind the start of a function its local entry point is.
LOCAL = 8


def _table(*numbers: int) -> Any:
    found = np.zeros(1024, bool)
    found[list(numbers)] = True
    return found


_OFFSET = _table(14, 32, 34, 36, 38, 40, 42, 44, 48, 50, 52, 54)
_TARGETS = _table(7, 8, 12, 13, 14, 15, *range(32, 36), *range(40, 44))
_SOURCES = _table(20, 21, 23, *range(24, 31))
# Of opcode 31: what writes the register in the middle, what writes none.
_MIDDLE = _table(24, 26, 27, 28, 58, 60, 122, 124, 252, 284, 316, 378, 412, 444, 476, 506, 536, 538, 539, 570, 792, 794,
                 824, 826, 827, 922, 954, 986, 51, 115)  # fmt: skip
_NONE = _table(0, 32, 4, 68, 144, 149, 151, 215, 407, 467, 598, 854, 86, 54, 246, 278, 1014, 982, 150, 214, 181, 183,
               247, 439, 647, 661, 663, 725, 727, 759, 918, 662, 660, 7, 39, 71, 103, 135, 167, 199, 231, 359, 487)  # fmt: skip


def flow(words: Any, jumps: tuple[Any, Any], starts: Any) -> Flow:
    """Return which instruction writes what; jumps: numbers and where they lead; starts: numbers at which functions begin."""
    op, extra = words >> 26, words >> 1 & 0x3FF
    to, middle, last = words >> 21 & 31, words >> 16 & 31, words >> 11 & 31
    load = ((op == 58) & (words & 3 != 3)) | (op == 31) & ~_MIDDLE[extra] & ~_NONE[extra]
    first = np.flatnonzero(_TARGETS[op] | load)
    second = np.flatnonzero(_SOURCES[op] | ((op == 31) & _MIDDLE[extra]) | ((op >= 33) & (op <= 55) & (op & 1 != 0))
                            | (((op == 58) | (op == 62)) & (words & 3 == 1)))  # fmt: skip
    kept = np.flatnonzero((op == 62) & (words & 3 == 0) & (middle == 1))
    fetched = np.flatnonzero((op == 58) & (words & 3 == 0) & (middle == 1))
    same = np.flatnonzero((op == 31) & (extra == 444) & (to == last))
    place = _STACK + (words & 0xFFFC)
    copies = (
        np.concatenate([kept, fetched, same]),
        np.concatenate([place[kept], to[fetched], middle[same]]),
        np.concatenate([to[kept], place[fetched], to[same]]),
    )
    plain = (op == 18) & (words & 1 == 0)
    leaves = (words == 0x4E800020) | (words == 0x4E800420) | (words == 0x7FE00008)
    called = ((op == 18) | (op == 16) | ((op == 19) & ((extra == 16) | (extra == 528)))) & (words & 1 != 0)
    return Flow(
        (np.concatenate([first, second, kept]), np.concatenate([to[first], middle[second], place[kept]])), copies,
        np.flatnonzero(called), _CHANGED, plain | leaves, jumps, np.flatnonzero(words == 0x4E800420), starts,
    )  # fmt: skip


def find(code: bytes, _place: int, starts: list[int], marks: Marks, order: str) -> Fields:
    """Return the fields of code; starts: offsets of functions."""
    words = np.frombuffer(code[: len(code) // 4 * 4], f"{order}u4").astype(np.int64)
    if not len(words):
        return nothing()
    op, base = words >> 26, words >> 16 & 31
    branch, test = (op == 18) & (words & 2 == 0), (op == 16) & (words & 2 == 0)
    sent = np.flatnonzero((branch | test) & (words & 1 == 0))
    target = sent + (
        np.where(branch[sent], signed(words[sent] & 0x03FFFFFC, 26), signed(words[sent] & 0xFFFC, 16)) >> 2
    )
    begins = without(np.array(starts, np.int64), marks.cold) // 4
    ways = flow(words, (sent, target), begins[begins < len(words)])
    # ADDIS from r2, from r12 into r2, and LIS.
    to = words >> 21 & 31
    heads = (op == 15) & ((base == TOC) | ((base == ENTRY) & (to == TOC)) | (base == 0))
    form = np.full(len(words), -1)
    form[_OFFSET[op]] = D
    form[(op == 58) | ((op == 62) & (words & 3 < 2)) | (op == 57) | ((op == 61) & (words & 3 >= 2))] = DS
    form[(op == 61) & (words & 3 == 1)] = DQ
    known = np.zeros(32, bool)
    known[to[heads]] = True
    uses = np.flatnonzero((form >= 0) & known[base] & (base > 1))
    values = np.arange(len(words))
    values[heads] = ~(words[heads] & 0x001FFFFF)
    found = ways.definitions(uses, base[uses], values)
    fits = (found >= 0) & heads[np.maximum(found, 0)]
    pairs, tops = uses[fits], found[fits]
    near = without(np.flatnonzero((form >= 0) & (base == TOC)), pairs)
    role = np.select([base[tops] == TOC, base[tops] == ENTRY], [GLOBAL, DATA], ABSOLUTE)
    lone, same = again(np.flatnonzero(heads), distinct(tops), words, begins)
    # The word before the code that resolves symbols: the distance of the linkage table.
    table = np.flatnonzero((words == 0x429F0005) & (np.arange(len(words)) >= 3)) - 3
    rows = (
        (np.flatnonzero(branch), LI << FORM | BRANCH, None),
        (np.flatnonzero(test), BD << FORM | BRANCH, None),
        (near, form[near] << FORM | GLOBAL, None),
        (pairs, form[pairs] << FORM | role, tops),
        (lone, AGAIN, same),
        (table, WORD << FORM | DATA, None),
    )
    at = np.concatenate([row[0] for row in rows]).astype(np.int64) * 4
    kind = np.concatenate([np.broadcast_to(row[1], row[0].shape) for row in rows])
    head = np.concatenate([row[0] if row[2] is None else row[2] for row in rows]).astype(np.int64) * 4 - at
    order_of = np.argsort(at, kind="stable")
    at, kind, head = at[order_of], kind[order_of], head[order_of]
    quad = kind == (WORD << FORM | DATA)
    none = np.zeros(len(at), np.int8)
    return Fields(at, np.where(quad, 8, 4).astype(np.int8), kind, head, none + np.int8(4), head,
                  np.where(quad, 16, 0).astype(np.int8), np.arange(len(words)) * 4)  # fmt: skip


def again(tops: Any, heads: Any, words: Any, functions: Any) -> tuple[Any, Any]:
    """Return (ADDIS without a use, one with a use that gives the same in the same function)."""
    lone = without(tops, heads)
    keys = [np.searchsorted(functions, numbers, "right") << 32 | words[numbers] for numbers in (heads, lone)]
    if not len(heads) or not len(lone):
        return lone[:0], lone[:0]
    order = np.argsort(keys[0], kind="stable")
    index = np.minimum(np.searchsorted(keys[0][order], keys[1]), len(order) - 1)
    fits = keys[0][order][index] == keys[1]
    return lone[fits], heads[order[index[fits]]]


def read(kind: Any, word: Any, head: Any, base: Any, _place: Any) -> Read:
    """Return what words hold; base: the addresses that they count from."""
    again = kind == AGAIN
    form = np.where(again, D, kind >> FORM)
    mask = _MASKS[form]
    far = np.where(form == LI, signed(word & 0x03FFFFFC, 26), signed(word & mask, 16))
    far = np.where(form == WORD, word, far)
    upper = np.where(again, 0, signed(head, 16) << 16)
    core = word & ~mask
    core = np.where(again, core + ((signed(word, 16) - signed(head, 16)) << 32), core)
    return Read(core, head & ~0xFFFF, base + far + upper)


def _pointer(side: Any) -> int:
    """Return the address of the table of contents: what functions make r2 of, else half of what 16 bits reach behind the
    offset table."""
    for section in side.image.sections:
        if section.code and section.stored:
            fields = side.sweep(section)
            chosen = fields.take(
                np.flatnonzero((fields.head != 0) & ((fields.role == DATA) | (fields.role == ABSOLUTE)))
            )
            held = side.read(section, chosen, chosen.at, chosen.at + chosen.head, chosen.at + chosen.anchor)
            hits = np.flatnonzero(held.word >> 16 == 0x3842)
            if len(hits):
                return int(held.read.target[hits[0]])
    table = side.image.by_name.get(b".got")
    return table.addr + 0x8000 if table is not None else 0


def calls(kind: Any, word: Any) -> Any:
    """Tell which branches call."""
    return (kind == (LI << FORM | BRANCH)) & (word & 1 != 0)


def family(order: str) -> Family:
    """Return what is known of machines of a byte order."""
    return Family(partial(find, order=order), read, calls=calls, pointer=_pointer, local=LOCAL, width=4)
