"""What the symbol table of an ELF file names: functions and objects, by section, and where kinds of code begin."""

import re
from functools import partial
from itertools import repeat
from typing import Any

import numpy as np

from reprodiff.formats.program.digests import plain
from reprodiff.formats.program.image import Program, string
from reprodiff.formats.program.names import (
    EM_ARM,
    ET_REL,
    MAPPED,
    SHN_LORESERVE,
    STT_FILE,
    STT_FUNC,
    STT_GNU_IFUNC,
    STT_OBJECT,
    STT_TLS,
)
from reprodiff.formats.program.pieces import Symbol
from reprodiff.formats.program.rows import rows, strings

# What symbols say of code and data that begins (ELF for the Arm architectures, RISC-V ELF psABI).
MAPPING = re.compile(rb"\$([atdx])(?:\.|$|rv)")
# By type (st_info).
WANTED, CODE = (np.isin(np.arange(16), kinds) for kinds in (
    (STT_FUNC, STT_OBJECT, STT_GNU_IFUNC, STT_TLS), (STT_FUNC, STT_GNU_IFUNC)))  # fmt: skip
MOST = (1 << 63) - 1


class Named:
    """What a symbol table says; a column is looked at as a whole, for there may be a million rows.

    symbols: functions and objects by section, each in order; marks: (offset, letter) of kinds of code by section, as
    `instructions.Marks` has them.
    """

    def __init__(self, image: Program, data: bytes, text: bytes) -> None:
        """data, text: the bytes of the table and of its strings."""
        self.symbols: dict[int, list[Symbol]] = {}
        self.marks: dict[int, list[tuple[int, int]]] = {}
        self.text = text
        self.bases = np.array([0 if image.type == ET_REL else s.addr for s in image.sections], np.uint64)
        self.sizes = np.array([min(s.size, MOST) for s in image.sections], np.int64)
        table = rows(data, image, "symbol")
        kind, inside = table["st_info"] & 15, (table["st_shndx"] > 0)
        inside &= table["st_shndx"] < min(len(image.sections), SHN_LORESERVE)
        if image.machine in MAPPED:
            self._mapping(table[inside & (table["st_info"] == 0)])
        chosen = np.flatnonzero(inside & WANTED[kind])
        files = np.flatnonzero(kind == STT_FILE)
        scopes = [b"", *(plain(string(text, at).rpartition(b"/")[2]) for at in table["st_name"][files].tolist())]
        # A local symbol belongs to the file that was named last.
        last = np.where(table["st_info"][chosen] >> 4 == 0, np.searchsorted(files, chosen), 0)
        self._functions(table[chosen], [scopes[number] for number in last.tolist()], image.machine == EM_ARM)
        for marks in self.marks.values():
            marks.sort()

    def _mapping(self, table: Any) -> None:
        """Take the symbols that say where code or data begins."""
        shndx = table["st_shndx"]
        starts = (table["st_value"] - self.bases[shndx]).view(np.int64)
        names = strings(self.text, table["st_name"])
        for name, start, number in zip(names, starts.tolist(), shndx.tolist(), strict=True):
            mark = MAPPING.match(name)
            if mark:
                self.marks.setdefault(number, []).append((start, mark[1][0]))

    def _functions(self, table: Any, scopes: list[bytes], odd: bool) -> None:
        """Take functions and objects; scopes: the file that each is local to; odd: whether the lowest bit of the address
        of a function says what kind of code it is."""
        kind, shndx, value = table["st_info"] & 15, table["st_shndx"], table["st_value"].astype(np.uint64)
        code = CODE[kind] & odd
        starts = value & ~code.astype(np.uint64)
        starts = (starts - np.where(kind == STT_TLS, np.uint64(0), self.bases[shndx])).view(np.int64)
        if odd:
            letters = np.where(value & np.uint64(1), ord("t"), ord("a"))
            for number, start, letter in zip(*(each[code].tolist() for each in (shndx, starts, letters)), strict=True):
                self.marks.setdefault(number, []).append((start, letter))
        room = self.sizes[shndx] - starts
        sizes = np.minimum(table["st_size"].astype(np.uint64), room.astype(np.uint64))
        fits = (starts >= 0) & (room >= 0)
        # As Symbol(*row) for each.
        made = map(
            partial(tuple.__new__, Symbol),
            zip(starts.tolist(), sizes.tolist(), _keys(strings(self.text, table["st_name"]), scopes), strict=True),
        )
        symbols = list(made)
        order = np.lexsort((sizes, starts, shndx))
        order = order[fits[order]]
        cuts = np.flatnonzero(np.diff(shndx[order])) + 1
        for numbers in np.split(order, cuts) if len(order) else ():
            found = self.symbols[int(shndx[numbers[0]])] = [symbols[number] for number in numbers.tolist()]
            # Those of one place and size are in the order of their names.
            found.sort()


def _keys(names: list[bytes], scopes: list[bytes]) -> Any:
    """Return the keys of symbols: those of one name and file are numbered."""
    pairs = list(zip(names, scopes, strict=True))
    if len(set(pairs)) == len(pairs):
        return zip(names, scopes, repeat(0))
    seen: dict[tuple[bytes, bytes], int] = {}
    found = []
    for pair in pairs:
        number = seen.get(pair, 0)
        seen[pair] = number + 1
        found.append((*pair, number))
    return found
