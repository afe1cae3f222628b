"""Which words of code are displacements to the same thing on both sides, decided over the rows of a family's fields."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from reprodiff.formats.program.machines import x86
from reprodiff.formats.program.machines.instructions import ABSOLUTE, AGAIN, BRANCH, DATA, FORM, ROLE, Fields, Read
from reprodiff.formats.program.names import EM_386, EM_X86_64, ET_EXEC, ET_REL
from reprodiff.formats.program.sides import Both, Pair, at_symbol
from reprodiff.formats.program.words import Differing, among, distinct, without


class Twins(NamedTuple):
    """Rows of the left side whose words have counterparts on the right: which rows, where on the right (the offset of
    the word), what both sides hold, and whether the words are the same bytes."""

    rows: Any
    others: Any
    left: Read
    right: Read
    equal: Any


def twins(both: Both, pair: Pair, fields: Fields) -> Twins:
    """Read the words of rows of the left side and their counterparts on the right."""
    pieces = both.pieces(pair)
    headed, anchored = bool(fields.head.any()), bool(fields.anchor.any())
    at, head, anchor = fields.at, fields.at + fields.head, fields.at + fields.anchor
    others = pieces.to(at)
    heads = pieces.to(head) if headed else others
    anchors = pieces.to(anchor) if anchored else others
    fits = (others >= 0) & (pieces.to(at + fields.size - 1) == others + fields.size - 1) & (anchors >= 0)
    fits &= others + fields.size <= pair.two.size
    if headed:
        fits &= (fields.head == 0) | ((heads >= 0) & (pieces.to(head + fields.top - 1) == heads + fields.top - 1))
        fits &= heads + fields.top <= pair.two.size
    rows = np.flatnonzero(fits)
    chosen = fields.take(rows)
    one = both.left.read(pair.one, chosen, at[rows], head[rows], anchor[rows])
    two = both.right.read(pair.two, chosen, others[rows], heads[rows], anchors[rows])
    equal = (one.word == two.word) & (one.head == two.head)
    return Twins(rows, others[rows], one.read, two.read, equal)


def follow(both: Both, pair: Pair, found: Differing) -> None:
    """Accept the differing words of code that refer to the same thing on both sides."""
    image = both.left.image
    # Where nothing moved no pointer follows.
    if both.family is None or both.still:
        return
    fields = both.left.sweep(pair.one)
    if image.type != ET_EXEC and image.machine != EM_386:
        fields = fields.take(np.flatnonzero(fields.role != ABSOLUTE))
    if not len(fields.at):
        return
    tops = np.where(fields.head != 0, fields.at + fields.head, -1)
    own = _touched(found, fields.at, fields.size)
    known, first = np.unique(tops, return_index=True)
    known, first = known[known >= 0], first[known >= 0]
    width = fields.top[first]
    upper = known[_touched(found, known, width)]
    rows = distinct(
        np.concatenate([own, np.flatnonzero(among(tops, np.concatenate([upper, tops[own]]))) if len(known) else own])
    )
    rows = rows[tops[rows] < 0] if not len(known) else rows
    pairs = twins(both, pair, fields.take(rows))
    good = np.zeros(len(rows), bool)
    again = fields.kind[rows] == AGAIN
    same = (pairs.left.core == pairs.right.core) & (pairs.left.head == pairs.right.head)
    good[pairs.rows] = same & (again[pairs.rows] | _leads(both, pair, fields.take(rows[pairs.rows]), pairs))
    plain = good & ~again
    found.close_words(fields.at[rows[plain]], fields.size[rows[plain]])
    if len(known):
        # What stays open shows that a use of a head is another one; a use that is the same on both sides does not.
        hidden = ~good & ~again & ~among(rows, own)
        fine = without(tops[rows[plain]], tops[rows[hidden]])
        fine = fine[fine >= 0]
        also = rows[good & again]
        fine = distinct(np.concatenate([fine, fields.at[also[among(tops[also], fine)]]]))
        places = np.concatenate([known, fields.at[also]])
        sizes = np.concatenate([width, fields.size[also]])
        chosen = np.flatnonzero(among(places, fine))
        chosen = chosen[np.argsort(places[chosen], kind="stable")]
        found.close_words(places[chosen], sizes[chosen])


def _leads(both: Both, pair: Pair, fields: Fields, pairs: Twins) -> Any:
    """Tell which rows lead to the same place, to the global pointers, or to the local entry of the same function."""
    left, right = pairs.left.target, pairs.right.target
    found = both.leads(pair.one.place + fields.at, left, right)
    if (~found).any() and both.family is not None and both.family.pointer is not None:
        found |= both.reaches(left, right)
    if (~found).any() and both.family is not None and both.family.local:
        chosen = np.flatnonzero(~found & (fields.role == BRANCH))
        found[chosen] = both.addresses.same(left[chosen] - both.family.local, right[chosen] - both.family.local)
    return found


def _touched(found: Differing, at: Any, size: Any) -> Any:
    """Return which words, in order, have a byte that differs."""
    places = found.one[found.open]
    if not len(places) or not len(at):
        return np.zeros(0, np.int64)
    index = np.searchsorted(at, places, "right") - 1
    inside = (index >= 0) & (places - at[np.maximum(index, 0)] < size[np.maximum(index, 0)])
    return distinct(index[inside])


class Stale(NamedTuple):
    """A displacement that is the same on both sides although what it led to moved: its words as (left offset, right
    offset, size) and what it leads to."""

    words: list[tuple[int, int, int]]
    left: int
    right: int


def stale(both: Both, pair: Pair) -> list[Stale]:
    """Return the displacements that stayed as they were. A number that is no displacement counts where something begins
    at that address: it may be a mere number, but hardly is. A word among code may be a distance whose place was not
    found, and counts where hardly any is counted from a place."""
    image = both.left.image
    if both.family is None or image.type == ET_REL or both.still:
        return []
    fields = both.left.sweep(pair.one)
    wanted = fields.kind != AGAIN
    # No other number looks like an address above 2^63.
    high = pair.one.place < 0
    if image.type != ET_EXEC or (image.machine in {EM_386, EM_X86_64} and not high):
        wanted &= fields.role != ABSOLUTE
    elif not high:
        plain = (fields.role == ABSOLUTE) & (fields.head == 0)
        alike = np.isin(fields.kind >> FORM, distinct(fields.kind[plain] >> FORM)) & (fields.role == DATA)
        if 8 * int(alike.sum()) >= int(plain.sum()):
            wanted &= ~plain
    if image.machine == EM_386:
        wanted &= fields.role == BRANCH
    fields = fields.take(np.flatnonzero(wanted))
    pairs = twins(both, pair, fields)
    left, right = pairs.left.target, pairs.right.target
    known = both.told(left, right)
    for table in both.pairs if both.arranged else ():
        if table.one.name.startswith(b".got"):
            # An entry that corresponds to none, because a relocation says so.
            known |= (left >= table.one.place) & (left < table.one.place + table.one.size)
    bad = pairs.equal & known & ~_leads(both, pair, fields.take(pairs.rows), pairs)
    found = []
    for row, other, one, two in zip(
        pairs.rows[bad].tolist(), pairs.others[bad].tolist(), left[bad].tolist(), right[bad].tolist(), strict=True
    ):
        if high or fields.kind[row] & ROLE != ABSOLUTE or begins(both, one):
            at, far = int(fields.at[row]), int(fields.head[row])
            words = [(at, int(other), int(fields.size[row]))]
            if far:
                top = int(both.pieces(pair).to(np.array([at + far], np.int64))[0])
                words.append((at + far, top, int(fields.top[row])))
            found.append(Stale(sorted(words), int(one), int(two)))
    return found


def begins(both: Both, address: int) -> bool:
    """Tell whether a function, an object or a string begins at a left address."""
    pair = both.section_at(address)
    if pair is None:
        return False
    offset = address - pair.one.place
    symbol = at_symbol(both.left.named(pair.one), offset)
    if symbol is not None and symbol.start == offset:
        return True
    data = both.left.data(pair.one) if pair.one.stored and not pair.one.code else b""
    return 0 < offset < len(data) and not data[offset - 1] and data[offset] > 0


def displacements(both: Both, pair: Pair, found: Differing, same: Callable[[Any, Any, Any], Any]) -> Any:
    """Accept the displacements of x86 code that lead to the same; return the places of the other fields of instructions.

    same: tells it of the addresses of the displacements and of what they lead to on both sides.
    """
    one, two = pair.one.place, pair.two.place
    code = both.left.sweep(pair.one)
    relative = np.isin(code.kind, (x86.BRANCH, x86.RIP) if both.left.image.machine == EM_X86_64 else (x86.BRANCH,))
    at, end = code.at[relative], code.end[relative]

    def targets(starts: Any, others: Any, ones: Any, twos: Any) -> Any:
        behind = end[np.searchsorted(at, starts)] - starts
        return same(one + starts, one + starts + behind + ones, two + others + behind + twos)

    found.accept_fields(at, targets)
    return code.at[~relative]
