"""Whether a hash table of symbols is what its symbols make it (System V gABI chapter 5, GNU hash)."""

import struct

from reprodiff.formats.program.image import Program, Section, string
from reprodiff.formats.program.names import SHT_GNU_HASH
from reprodiff.formats.program.side import Side


def holds(side: Side, section: Section) -> bool:
    """Tell whether every symbol is found under its name, and nothing else is in the table."""
    image: Program = side.image
    table = image.linked(section)
    names = image.linked(table) if table else None
    if table is None or names is None:
        return False
    text = side.data(names)
    rows = [(string(text, row[0]), row[3]) for row in image.symbols(side.data(table))]
    try:
        if section.type == SHT_GNU_HASH:
            data = side.data(section)
            if data == struct.pack(f"{image.order}4I", 1, 1, 1, 0) + bytes(image.word + 4):
                # What GNU ld writes for a library that exports nothing counts from 1, whatever it imports.
                return not any(name and place for name, place in rows)
            return _gnu(image, data, [name for name, _ in rows])
        return _sysv(image, side.data(section), [name for name, _ in rows])
    except (struct.error, IndexError, ZeroDivisionError):
        return False


def gnu(name: bytes) -> int:
    """Return the GNU hash of a name."""
    value = 5381
    for byte in name:
        value = (value * 33 + byte) & 0xFFFFFFFF
    return value


def sysv(name: bytes) -> int:
    """Return the System V hash of a name."""
    value = 0
    for byte in name:
        value = (value << 4) + byte
        high = value & 0xF0000000
        value = (value ^ high >> 24) & ~high & 0xFFFFFFFF
    return value


def _gnu(image: Program, data: bytes, names: list[bytes]) -> bool:
    buckets, first, words, shift = struct.unpack_from(f"{image.order}4I", data)
    if 16 + words * image.word + 4 * buckets > len(data) or first > len(names):
        return False
    bits = image.word * 8
    bloom = [0] * words
    heads = [0] * buckets
    chains: list[int] = []
    for index in range(first, len(names)):
        value = gnu(names[index])
        bloom[value // bits % words] |= 1 << value % bits | 1 << (value >> shift) % bits
        slot = value % buckets
        if not heads[slot]:
            heads[slot] = index
            if chains:
                chains[-1] |= 1
        elif index and gnu(names[index - 1]) % buckets != slot:
            return False
        chains.append(value & ~1)
    if chains:
        chains[-1] |= 1
    made = struct.pack(f"{image.order}4I{words}{'Q' if image.wide else 'I'}{buckets}I{len(chains)}I", buckets, first, words, shift, *bloom, *heads, *chains)  # fmt: skip
    return made == data


def _sysv(image: Program, data: bytes, names: list[bytes]) -> bool:
    buckets, count = struct.unpack_from(f"{image.order}2I", data)
    if count != len(names):
        return False
    rest: tuple[int, ...] = struct.unpack_from(f"{image.order}{buckets + count}I", data, 8)
    # No chain leads through the symbol that stands for none.
    if len(data) != 8 + 4 * len(rest) or (count and rest[buckets]):
        return False
    seen: set[int] = set()
    for slot, head in enumerate(rest[:buckets]):
        index = head
        while index:
            if index in seen or sysv(names[index]) % buckets != slot:
                return False
            seen.add(index)
            index = rest[buckets + index]
    return len(seen) + 1 == int(count)
