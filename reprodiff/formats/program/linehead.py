"""The header of a line number program with its strings inside, as DWARF 2 to 4 have it (DWARF 4, 6.2.4)."""

from itertools import pairwise

from reprodiff.formats.program.pieces import Piece, by_content

STRINGS_MAX = 1 << 16


def _strings(data: bytes, start: int, stop: int) -> list[list[int]] | None:
    """Return where directories begin and where files do, each with the end of the list; None where it is none of these."""
    if stop - start < 16 or int.from_bytes(data[start + 4 : start + 6], "little") not in {2, 3, 4, 0x200, 0x300, 0x400}:
        return None
    version = max(data[start + 4], data[start + 5])
    base = start + 10 + (5 if version < 4 else 6)
    at = base + max(data[base - 1], 1) - 1
    found: list[list[int]] = []
    for files in (False, True):
        places = [at]
        while at < stop and data[at]:
            at = data.find(b"\0", at, stop) + 1
            if not at or len(places) > STRINGS_MAX:
                return None
            places.append(at)
            if files:
                for _ in range(3):
                    while at < stop and data[at] & 0x80:
                        at += 1
                    at += 1
                places.append(at)
        if at >= stop:
            return None
        found.append(places)
        at += 1
    found.append([at])
    return found


def program(data: bytes, start: int, stop: int) -> int:
    """Return what header_length of a unit has to be, from its strings; -1 where they are not inside."""
    rows = _strings(data, start, stop)
    return rows[-1][0] - start - 10 if rows is not None else -1


def align(a: bytes, one: tuple[int, int], b: bytes, two: tuple[int, int]) -> list[Piece] | None:
    """Align two units of .debug_line string by string; None where they do not have as many, or none inside."""
    ones, twos = _strings(a, *one), _strings(b, *two)
    if ones is None or twos is None or [len(rows) for rows in ones] != [len(rows) for rows in twos]:
        return None
    lefts = [one[0], *(place for rows in ones for place in rows)]
    rights = [two[0], *(place for rows in twos for place in rows)]
    found = [Piece(a0, a1, b0, b1) for (a0, a1), (b0, b1) in zip(pairwise(lefts), pairwise(rights), strict=True)]
    x, y = lefts[-1], rights[-1]
    found += [Piece(x + p.l0, x + p.l1, y + p.r0, y + p.r1) for p in by_content(a[x : one[1]], b[y : two[1]])]
    return [piece for piece in found if piece.l1 > piece.l0 or piece.r1 > piece.r0]
