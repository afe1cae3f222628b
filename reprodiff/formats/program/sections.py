"""The map of one pair of sections by what these two hold: symbols, functions, strings, units, content."""

import numpy as np

from reprodiff.formats.program.names import SHF_WRITE, SHT_PROGBITS
from reprodiff.formats.program.pieces import (
    Piece,
    Pieces,
    Symbol,
    by_content,
    by_symbols,
    filled,
    identity,
    permuted,
    texts,
)
from reprodiff.formats.program.side import Side
from reprodiff.formats.program.sides import Pair
from reprodiff.formats.program.stringtable import strings
from reprodiff.formats.program.units import inside_units, joined, rows_of_units


def align(pair: Pair, left: Side, right: Side, names: dict[bytes, bytes]) -> Pieces:
    """Return the map of a pair, made where it has none. names: of symbols of the left side, by those of the right."""
    if pair.map is None:
        pair.agree(left, right)
        pair.take(_align(pair, left, right, names))
    assert pair.map is not None
    return pair.map


def _constants(pair: Pair, left: Side, right: Side, found: list[Piece], a: bytes, b: bytes) -> list[Piece]:
    """Cut what has no content in common where code on both sides refers to it as often: where tables begin."""
    odd = [p for p in found if p.l1 > p.l0 and p.r1 > p.r0 and p.name is None and (not p.equal or p.l0 != p.r0)]
    odd = [p for p in odd if a[p.l0 : p.l1] != b[p.r0 : p.r1] and not texts(a[p.l0 : p.l1], b[p.r0 : p.r1])]
    if not any(not p.equal and (a[p.l0 : p.l1].strip(b"\0") or b[p.r0 : p.r1].strip(b"\0")) for p in odd):
        return found
    ones, twos = left.references(pair.one), right.references(pair.two)
    cut: list[Piece] = []
    chosen = set(map(id, odd))
    for piece in found:
        if id(piece) not in chosen:
            cut.append(piece)
            continue
        i = ones[np.searchsorted(ones, piece.l0, "right") : np.searchsorted(ones, piece.l1)].tolist()
        j = twos[np.searchsorted(twos, piece.r0, "right") : np.searchsorted(twos, piece.r1)].tolist()
        if len(i) != len(j) or not i:
            cut.append(piece)
            continue
        for (a0, a1), (b0, b1) in zip(
            zip([piece.l0, *i], [*i, piece.l1], strict=True),
            zip([piece.r0, *j], [*j, piece.r1], strict=True),
            strict=True,
        ):
            cut += [Piece(a0 + p.l0, a0 + p.l1, b0 + p.r0, b0 + p.r1) for p in filled(a[a0:a1], b[b0:b1])]
    return cut


def _align(pair: Pair, left: Side, right: Side, names: dict[bytes, bytes]) -> Pieces:
    one, two = pair.one, pair.two
    if not one.stored or not two.stored:
        ones, twos = left.named(one), right.named(two)
        known = bool(ones and twos) and (one.size != two.size or not _same_places(ones, twos))
        return Pieces(_by_symbols(pair, left, right) if known else identity(one.size, two.size))
    a, b = left.data(one), right.data(two)
    if a == b and not one.alloc:
        return Pieces(identity(len(a), len(b)))
    if one.strings and two.strings:
        return Pieces(strings(a, b, names), a, b)
    if one.alloc and one.type == SHT_PROGBITS and not one.name.startswith(b".eh_frame"):
        ones, twos = left.named(one), right.named(two)
        same = _same_places(ones, twos) if ones and twos else one.size == two.size
        if one.code:
            known = bool(ones and twos)
            if one.size == two.size and same and (known or left.ranges(one) == right.ranges(two)):
                return Pieces(identity(len(a), len(b)))
            return Pieces(_code(pair, left, right), a, b)
        if not same and ones and twos:
            return Pieces(_objects(pair, left, right, a, b), a, b)
        if a == b or (one.size == two.size and one.flags & SHF_WRITE):
            return Pieces(identity(len(a), len(b)))
        return Pieces(_constants(pair, left, right, permuted(by_content(a, b), a, b), a, b), a, b)
    if one.name.startswith(b".debug_") and len(a) != len(b):
        return Pieces(_by_units(a, b, left.image.order, one.name == b".debug_line"), a, b)
    return Pieces(identity(len(a), len(b)) if len(a) == len(b) else by_content(a, b), a, b)


def _by_symbols(pair: Pair, left: Side, right: Side) -> list[Piece]:
    found, pair.moved = by_symbols(left.named(pair.one), right.named(pair.two), pair.one.size, pair.two.size)
    return found


def _objects(pair: Pair, left: Side, right: Side, a: bytes, b: bytes) -> list[Piece]:
    """Objects by their symbols, and what lies between them by content."""
    found: list[Piece] = []
    # What no size says the end of is not all one object.
    endless = {symbol.start for symbol in left.named(pair.one) if not symbol.size}
    for piece in _by_symbols(pair, left, right):
        l0, l1, r0, r1, name = piece
        if (name is not None and l0 not in endless) or l1 == l0 or r1 == r0:
            found.append(piece)
        elif a[l0:l1] == b[r0:r1]:
            found.append(Piece(l0, l1, r0, r1))
        else:
            found += [Piece(l0 + p.l0, l0 + p.l1, r0 + p.r0, r0 + p.r1) for p in by_content(a[l0:l1], b[r0:r1])]
    found = permuted(found, a, b)
    return found if pair.one.flags & SHF_WRITE else _constants(pair, left, right, found, a, b)


def _code(pair: Pair, left: Side, right: Side) -> list[Piece]:
    names = left.named(pair.one), right.named(pair.two)
    ones, twos = left.functions(pair.one), right.functions(pair.two)
    # A few names, of a file without symbols but those that it exports, leave most functions without one.
    few = left.stripped and right.stripped and len(names[0]) < len(ones) and len(names[1]) < len(twos)
    if all(names) and not few:
        return _by_symbols(pair, left, right)
    if not ones or not twos:
        return identity(pair.one.size, pair.two.size)
    from reprodiff.formats.program.functions import alike, called

    rows = alike(left, right, pair.one, pair.two, ones, twos)
    if all(names):
        rows = called(rows, names)
    found, pair.moved = by_symbols(rows[0], rows[1], pair.one.size, pair.two.size)
    return found


def _by_units(a: bytes, b: bytes, order: str, lines: bool) -> list[Piece]:
    """Align the units of a DWARF section in order, and what they hold by content."""
    ones, twos = rows_of_units(a, order), rows_of_units(b, order)
    if len(ones) != len(twos) or not ones:
        return by_content(a, b)
    return joined(inside_units(a, b, list(zip(ones, twos, strict=True)), lines))


def _same_places(ones: list[Symbol], twos: list[Symbol]) -> bool:
    """Tell whether the same functions and objects stand in the same places; one may have another name altogether."""
    if ones == twos:
        return True
    if [symbol[:2] for symbol in ones] != [symbol[:2] for symbol in twos]:
        return False
    left, right = {symbol.name for symbol in ones}, {symbol.name for symbol in twos}
    return all(
        a.name == b.name or (a.name not in right and b.name not in left) for a, b in zip(ones, twos, strict=True)
    )
