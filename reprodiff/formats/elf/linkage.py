"""Which entry of a linkage table is which: by the symbol that each leads to, where one side has more of them."""

from typing import Any

import numpy as np

from reprodiff.formats.elf.offsets import holdings
from reprodiff.formats.program.image import Section
from reprodiff.formats.program.machines import x86
from reprodiff.formats.program.names import EM_X86_64
from reprodiff.formats.program.pieces import Piece
from reprodiff.formats.program.side import Side
from reprodiff.formats.program.sides import Both, Pair
from reprodiff.formats.program.words import gather

# An entry of the procedure linkage table (psABI 5.2); what pushes the number of a relocation.
ENTRY, PUSH = 16, 0x68


def entries(both: Both, pair: Pair) -> list[Piece] | None:
    """Align the entries of a table by name, those of one side too; None where both have as many, or names say nothing."""
    if pair.one.size == pair.two.size or both.left.image.machine != EM_X86_64:
        return None
    slots = pair.one.name == b".got.plt"
    size = both.left.image.word if slots else ENTRY
    named = _slots if slots else _stubs
    ones, twos = named(both.left, pair.one), named(both.right, pair.two)
    if not ones or not twos or len(set(ones.values())) != len(ones) or len(set(twos.values())) != len(twos):
        return None
    heads = min(ones), min(twos)
    if heads[0] != heads[1]:
        return None
    places = {name: at for at, name in twos.items()}
    found = [Piece(0, heads[0], 0, heads[1])] if heads[0] else []
    for at, name in sorted(ones.items()):
        to = places.pop(name, None)
        found.append(Piece(at, at + size, *((0, 0) if to is None else (to, to + size)), name))
    found += [Piece(0, 0, at, at + size, name) for name, at in places.items()]
    ends = max(ones) + size, max(twos) + size
    if ends[0] != pair.one.size or ends[1] != pair.two.size:
        return None
    return found


def _slots(side: Side, section: Section) -> dict[int, bytes]:
    """Return the names of the symbols whose addresses a table holds, by offset."""
    return {at: what[1] for at, what in holdings(side, section).items() if isinstance(what, tuple) and what[1]}


def _stubs(side: Side, section: Section) -> dict[int, bytes]:
    """Return the names of the functions that pieces of code jump to, by offset."""
    names: dict[int, bytes] = {}
    for other in side.image.sections:
        if other.name in {b".got", b".got.plt"} and other.stored:
            names.update((other.place + at, name) for at, name in _slots(side, other).items())
    data = np.frombuffer(side.data(section), np.uint8)
    fields = side.sweep(section)
    chosen = fields.kind == x86.RIP
    at, end = fields.at[chosen], fields.end[chosen]
    targets: Any = gather(data, at, 4, "<", True) + end + section.place
    found: dict[int, bytes] = {}
    for place, target in zip(at.tolist(), targets.tolist(), strict=True):
        if target in names:
            found.setdefault(place // ENTRY * ENTRY, names[target] + b"@plt")
    numbers = _numbered(side)
    for start in range(0, len(data) - ENTRY + 1, ENTRY):
        if start not in found:
            raw = data[start : start + ENTRY].tobytes()
            push = raw.find(PUSH, 0, 6)
            number = int.from_bytes(raw[push + 1 : push + 5], "little") if push in {0, 4} else -1
            if 0 <= number < len(numbers):
                found[start] = numbers[number] + b"@plt"
    return found


def _numbered(side: Side) -> list[bytes]:
    """Return the names of the relocations that entries push the numbers of."""
    image = side.image
    table = image.by_name.get(b".rela.plt")
    if table is None:
        return []
    rows = np.frombuffer(side.data(table)[: table.size // 24 * 24], f"{image.order}i8").reshape(-1, 3)
    places = {
        section.place + at: name
        for section in image.sections
        if section.name in {b".got", b".got.plt"} and section.stored
        for at, name in _slots(side, section).items()
    }
    return [places.get(place, b"") for place in rows[:, 0].tolist()]
