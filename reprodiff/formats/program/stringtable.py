"""The map of two string tables: strings correspond wherever they stand."""

from reprodiff.formats.program.digests import grouped
from reprodiff.formats.program.pieces import Piece, identity, pair_strings
from reprodiff.spans import common_prefix, common_suffix


def strings(left: bytes, right: bytes, names: dict[bytes, bytes]) -> list[Piece]:
    """Align two string tables by content, wherever in the table a string stands; names: which of the right side is
    which of the left, where they are known to be the same."""
    head = common_prefix(left, right)
    head = left.rfind(b"\0", 0, head) + 1
    tail = common_suffix(left, right, min(len(left), len(right)) - head)
    # The tail starts where a string starts on both sides.
    cut = left.find(b"\0", max(len(left) - tail - 1, 0))
    tail = len(left) - cut - 1 if cut >= 0 and tail else 0
    tail = min(tail, len(right) - head, len(left) - head)
    if len(left) == len(right) and b"" in {side[head : len(side) - tail].strip(b"\0") for side in (left, right)}:
        # A string that was emptied in place.
        return identity(len(left), len(right))
    ones, twos = _split(left, head, len(left) - tail), _split(right, head, len(right) - tail)
    places: dict[bytes, list[int]] = {}
    for i, j in reversed(twos):
        places.setdefault(right[i:j], []).append(i)
    found: list[Piece] = [Piece(0, head, 0, head)] if head else []
    alone: list[tuple[int, int]] = []
    taken: set[int] = set()
    for i, j in ones:
        hits = places.get(left[i:j])
        if hits:
            at = hits.pop()
            taken.add(at)
            last = found[-1] if found else None
            if last and last.l1 == i and last.r1 == at and last.equal:
                found[-1] = Piece(last.l0, j, last.r0, at + j - i)
            else:
                found.append(Piece(i, j, at, at + j - i))
        else:
            alone.append((i, j))
    rest = [(i, j) for i, j in twos if i not in taken]
    alone, rest, known = _known(left, right, alone, rest, names)
    found += known
    for one, two in pair_strings(left, right, alone, rest):
        found.append(Piece(*(one or (0, 0)), *(two or (0, 0))))
    if tail:
        found.append(Piece(len(left) - tail, len(left), len(right) - tail, len(right)))
    return found


def _known(
    left: bytes, right: bytes, ones: list[tuple[int, int]], twos: list[tuple[int, int]], names: dict[bytes, bytes]
) -> tuple[list[tuple[int, int]], list[tuple[int, int]], list[Piece]]:
    """Pair strings of one side alone that are known to be the same name, or are the same but for digests."""
    texts_of = [[side[i:j].rstrip(b"\0") for i, j in rows] for side, rows in ((left, ones), (right, twos))]
    places: dict[bytes, list[tuple[int, int]]] = {}
    for text, two in zip(reversed(texts_of[1]), reversed(twos), strict=True):
        places.setdefault(text, []).append(two)
    used = {name for text in texts_of[0] if (name := names.get(text)) in places}
    others = grouped([t for t in texts_of[0] if names.get(t) not in places], [t for t in texts_of[1] if t not in used])
    found: list[Piece] = []
    taken: set[tuple[int, int]] = set()
    rest = []
    for text, one in zip(texts_of[0], ones, strict=True):
        name = names.get(text)
        there = places.get(name if name in places else others.get(text, text))
        if there:
            taken.add(there[-1])
            found.append(Piece(*one, *there.pop()))
        else:
            rest.append(one)
    return rest, [two for two in twos if two not in taken], found


def _split(data: bytes, start: int, stop: int) -> list[tuple[int, int]]:
    found = []
    at = start
    while at < stop:
        end = data.find(b"\0", at, stop)
        end = stop if end < 0 else end + 1
        found.append((at, end))
        at = end
    return found
