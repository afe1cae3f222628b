"""What instructions of 32-bit Power refer to (Power ISA, book I; System V ABI, PowerPC processor supplement).

Branches are whole in one word. An address is made by LIS and an instruction that adds 16 bits; in code that is loaded
anywhere by ADDIS to where the code is (BCL 20,31 to the next word, MFLR), mostly the global offset table's.
"""

from functools import partial
from typing import Any

import numpy as np

from reprodiff.formats.program.machines import ppc64
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
from reprodiff.formats.program.machines.ppc64 import BD, LI, D

# Adding, loading and storing with 16 bits: ORI makes the lower half of a number as well, without a sign.
_OFFSET = np.zeros(64, bool)
_OFFSET[[14, *range(32, 56)]] = True
ORI = 24
# bcl 20,31,.+4
_HERE = 0x429F0005
PLAIN, TURNED = 3, 4


def find(code: bytes, _place: int, starts: list[int], marks: Marks, order: str) -> Fields:
    """Return the fields of code; starts: offsets of functions."""
    words = np.frombuffer(code[: len(code) // 4 * 4], f"{order}u4").astype(np.int64)
    if not len(words):
        return nothing()
    op, to, base = words >> 26, words >> 21 & 31, words >> 16 & 31
    branch, test = (op == 18) & (words & 2 == 0), (op == 16) & (words & 2 == 0) & (words != _HERE)
    sent = np.flatnonzero((branch | test) & (words & 1 == 0))
    target = sent + (
        np.where(branch[sent], signed(words[sent] & 0x03FFFFFC, 26), signed(words[sent] & 0xFFFC, 16)) >> 2
    )
    begins = np.setdiff1d(np.array(starts, np.int64), marks.cold) // 4
    flow = ppc64.flow(words, (sent, target), begins[begins < len(words)])
    here = np.zeros(len(words), bool)
    # MFLR behind BCL, and ADDIS to it in the same register.
    here[2:] = (words[:-2] == _HERE) & (words[1:-1] == (0x7C0802A6 | base[2:] << 21)) & (op[2:] == 15)
    heads = ((op == 15) & (base == 0)) | here
    low = _OFFSET[op] | (op == ORI)
    source = np.where(op == ORI, to, base)
    known = np.zeros(32, bool)
    known[to[heads]] = True
    uses = np.flatnonzero(low & known[source] & (source > 0))
    values = np.arange(len(words))
    values[heads & ~here] = ~(words[heads & ~here] & 0x001FFFFF)
    found = flow.definitions(uses, source[uses], values)
    fits = (found >= 0) & heads[np.maximum(found, 0)]
    fits &= (op[uses] != ORI) | ~here[np.maximum(found, 0)]
    pairs, tops = uses[fits], found[fits]
    # LI first and ADDIS to it, as LLVM has them.
    small = (op == 14) & (base == 0)
    later = np.flatnonzero((op == 15) & (base > 0) & ~here)
    values[small] = ~words[small]
    lower = flow.definitions(later, base[later], values)
    fits = (lower >= 0) & small[np.maximum(lower, 0)]
    later, lower = later[fits], lower[fits]
    role = np.where(here[tops], DATA, ABSOLUTE)
    lone, same = ppc64.again(np.flatnonzero(heads & ~here), np.unique(tops), words, begins)
    form = np.where(op[pairs] == ORI, PLAIN, D)
    rows = (
        (np.flatnonzero(branch), LI << FORM | BRANCH, None),
        (np.flatnonzero(test), BD << FORM | BRANCH, None),
        (pairs, form << FORM | role, tops),
        (later, TURNED << FORM | ABSOLUTE, lower),
        (lone, AGAIN, same),
    )
    at = np.concatenate([row[0] for row in rows]).astype(np.int64) * 4
    kind = np.concatenate([np.broadcast_to(row[1], row[0].shape) for row in rows])
    head = np.concatenate([row[0] if row[2] is None else row[2] for row in rows]).astype(np.int64) * 4 - at
    order_of = np.argsort(at, kind="stable")
    at, kind, head = at[order_of], kind[order_of], head[order_of]
    none = np.zeros(len(at), np.int8)
    # ADDIS counts from the word before it: from where BCL leads to.
    bias = np.where((head != 0) & (kind & 3 == DATA) & (kind != AGAIN), -4, 0).astype(np.int8)
    return Fields(at, none + np.int8(4), kind, head, none + np.int8(4), head, bias, np.arange(len(words)) * 4)


def read(kind: Any, word: Any, head: Any, base: Any, place: Any) -> Read:
    """Return what words hold; base: the addresses that they count from."""
    form = np.where(kind == AGAIN, D, kind >> FORM)
    plain, turned = form == PLAIN, form == TURNED
    held = ppc64.read(np.where(plain | turned, D << FORM | ABSOLUTE, kind), word, head, base, place)
    target = np.where(plain, (head & 0xFFFF) << 16 | word & 0xFFFF, held.target)
    target = np.where(turned, (signed(word, 16) << 16) + signed(head, 16), target)
    return Read(held.core, held.head, target & 0xFFFFFFFF)


def family(order: str) -> Family:
    """Return what is known of machines of a byte order."""
    return Family(partial(find, order=order), read, calls=ppc64.calls, width=4)
