"""What refers to what inside of one file: code and data to code and data, as arrays of addresses.

A reference is a place (the address of the word that holds it) and a target (the address that it leads to). Two that are
no words of their own: the start of a function stands for its frame record's pointer to its exception table.
"""

from typing import Any

import numpy as np

from reprodiff.formats.program.image import Section, string
from reprodiff.formats.program.machines import x86
from reprodiff.formats.program.names import (
    EM_386,
    EM_AARCH64,
    EM_X86_64,
    ET_EXEC,
    RELATIVE,
    SHT_DYNSYM,
    SHT_RELA,
)
from reprodiff.formats.program.words import distinct, gather

NOWHERE = np.zeros((2, 0), np.int64)
# DW_EH_PE_pcrel | DW_EH_PE_sdata4, as compilers write on x86 in code that is loaded anywhere; DW_EH_PE_udata4 elsewhere.
PCREL = 0x1B
UDATA = 0x03
# R_X86_64_COPY and so on.
COPY = {EM_X86_64: 5, EM_386: 5, EM_AARCH64: 1024}


def from_code(side: Any, section: Section, offsets: Any = None) -> Any:
    """Return (places, targets) of displacements in the code of a section; offsets: in functions around these alone.

    Absolute operands count in programs that are loaded at one address only.
    """
    machine = side.image.machine
    if side.family is None:
        return NOWHERE
    if machine not in {EM_386, EM_X86_64}:
        return np.stack(side.links(section, side.sweep(section))) + np.array([[section.place], [0]])
    fields = side.sweep(section) if offsets is None else side.fields(section, offsets)
    relative = np.isin(fields.kind, (x86.BRANCH, x86.RIP) if machine == EM_X86_64 else (x86.BRANCH,))
    data = np.frombuffer(side.data(section), np.uint8)
    at, end = fields.at[relative], fields.end[relative]
    found = [np.stack([at, gather(data, at, 4, "<", True) + end]) + section.place]
    if side.image.type == ET_EXEC or machine == EM_386:
        plain = fields.at[~relative]
        place = plain + section.place
        found.append(np.stack([place, x86.address(gather(data, plain, 4, "<", True), place)]))
    return np.concatenate(found, axis=1)


def from_relocations(side: Any) -> tuple[Any, dict[int, bytes]]:
    """Return (places, targets) of relative relocations, and what all others put, by their places."""
    image = side.image
    names: dict[int, list[bytes]] = {}
    found = [NOWHERE]
    others: dict[int, bytes] = {}
    for table in image.sections:
        if table.type != SHT_RELA or not table.alloc or not table.stored:
            continue
        size = 3 * image.word
        raw = np.frombuffer(side.data(table)[: table.size // size * size], f"{image.order}i{image.word}")
        rows = raw.reshape(-1, 3).astype(np.int64)
        # No compiler has a pointer elsewhere.
        rows = rows[rows[:, 0] % image.word == 0]
        mask = 0xFFFFFFFF if image.wide else 0xFF
        kinds = rows[:, 1] & mask
        relative = np.isin(kinds, RELATIVE.get(image.machine, ()))
        found.append(rows[relative][:, (0, 2)].T)
        symbols = image.linked(table)
        if symbols is not None and symbols.number not in names:
            names[symbols.number] = _names(side, symbols)
        labels = names.get(symbols.number, []) if symbols is not None else []
        shift = 32 if image.wide else 8
        for place, info, addend in rows[~relative].tolist():
            number = info >> shift
            label = labels[number] if number < len(labels) else b""
            if info & mask == COPY.get(image.machine, -1):
                # Its place is that of its symbol.
                continue
            # Two at one place contradict each other.
            twice = place in others
            others[place] = b"" if twice else b"%d %d %s" % (info & mask, addend, label)
    return np.concatenate(found, axis=1), others


def _names(side: Any, table: Section) -> list[bytes]:
    text = side.image.linked(table)
    data = side.data(text) if text is not None else b""
    return [string(data, row[0]) for row in side.image.symbols(side.data(table))] if table.type == SHT_DYNSYM else []


def from_words(side: Any, sections: list[Section]) -> Any:
    """Return (places, targets) of aligned words of data that hold an address, in a program loaded at one address."""
    image = side.image
    if image.type != ET_EXEC:
        return NOWHERE
    loaded = [s for s in image.sections if s.alloc and s.size]
    first, last = min(s.place for s in loaded), max(s.place + s.size for s in loaded)
    found = [NOWHERE]
    for section in sections:
        data = np.frombuffer(side.data(section), np.uint8)
        at = np.arange(-section.place % image.word, len(data) - image.word + 1, image.word)
        values = gather(data, at, image.word, image.order, False)
        near = (values >= first) & (values <= last)
        found.append(np.stack([at[near] + section.place, values[near]]))
    return np.concatenate(found, axis=1)


def from_frames(side: Any) -> Any:
    """Return (start of the function, its exception table, place of the pointer to it) of frame records that name one
    (LSB 10.6.1)."""
    table = side.image.by_name.get(b".eh_frame")
    if table is None or not table.stored or side.image.by_name.get(b".gcc_except_table") is None:
        return np.zeros((3, 0), np.int64)
    data = side.data(table)
    order: Any = "little" if side.image.order == "<" else "big"
    kinds: dict[int, int] = {}
    found = []
    for start, stop, pointer in side.records(table).tolist():
        if pointer == 0:
            kinds[start] = _tables_of(data[start:stop])
            continue
        kind = kinds.get(start + 4 - pointer, 0)
        if not kind or stop - start < 21 or not data[start + 16]:
            continue
        place = int.from_bytes(data[start + 8 : start + 12], order, signed=True) + table.place + start + 8
        value = int.from_bytes(data[start + 17 : start + 21], order, signed=kind == PCREL)
        if value:
            at = table.place + start + 17
            found.append((place, value + (at if kind == PCREL else 0), at))
    return np.array(found, np.int64).reshape(-1, 3).T


def absolute(side: Any, section: Section) -> Any:
    """Return the offsets of 4-byte addresses in a frame table or an exception table, in order."""
    found: list[int] = []
    data = side.data(section)
    if section.name == b".eh_frame":
        found = (from_frames(side)[2] - section.place).tolist()
        for start, stop, pointer in side.records(section).tolist():
            text = data.find(b"\0", start + 9, stop)
            # The personality, in an augmentation that begins with it.
            if pointer == 0 and data[start + 9 : start + 11] == b"zP" and data[text + 5 : text + 6] == bytes([UDATA]):
                found.append(text + 6)
    else:
        for target in from_frames(side)[1].tolist():
            found += within(data, target - section.place) if 0 <= target - section.place < len(data) else []
    return distinct(np.array(found, np.int64))


def _tables_of(record: bytes) -> int:
    """Return how the frame records of a CIE write the address of an exception table, 0 where they have none or in
    another way than compilers do on x86."""
    stop = record.find(b"\0", 9)
    letters = record[9:stop]
    if record[8:9] != b"\1" or not letters.startswith(b"z") or stop < 0:
        return 0
    at = stop + 1
    # Code and data alignment, the column of the return address, the length of what follows: numbers of one byte.
    if any(byte & 0x80 for byte in record[at : at + 4]):
        return 0
    at += 4
    lsda = code = 0
    for letter in letters[1:].decode("latin-1"):
        if at >= len(record):
            return 0
        if letter == "P":
            at += 5 if record[at] & 0xF in {3, 0xB} else 9
        elif letter == "L":
            lsda = record[at]
            at += 1
        elif letter == "R":
            code = record[at]
            at += 1
    return lsda if lsda in {PCREL, UDATA} and code == PCREL else 0


def within(data: bytes, start: int) -> list[int]:
    """Return the offsets of the words that refer to types in the exception table that starts at an offset.

    As GCC and LLVM write them: no start of its own, types at 4 bytes each before the end that the header names.
    """
    if start + 4 > len(data) or data[start] != 0xFF or data[start + 1] not in {0x9B, 0x1B, UDATA}:
        return []
    at, stop = _uleb(data, start + 2)
    end = at + stop
    at, size = _uleb(data, at + 1)
    first = at + size
    return list(range(end - 4, first - 1, -4))[:64] if end <= len(data) else []


def _uleb(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 35:
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if not data[at - 1] & 0x80:
            break
    return at, value
