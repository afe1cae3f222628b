"""Which texts of an object file stand in a sibling section on the other side.

GCC puts a text of 32 bytes and more, on most machines, into `.rodata.str1.8` and a shorter one into `.rodata.str1.1`
(`.rodata.FUNCTION.str1.8` and so on where each function has sections of its own): a path that is longer on one side may
move. Sections are siblings where their names say so, both are nothing but merged strings, and their flags are the same.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from reprodiff.codecs import RAW, TEXT
from reprodiff.formats import Walk
from reprodiff.formats.elf.image import Image
from reprodiff.formats.program.image import Section
from reprodiff.formats.program.keys import key_of
from reprodiff.formats.program.names import ET_REL, SHF_ALLOC, SHF_GROUP, SHF_MERGE, SHF_STRINGS, SHT_PROGBITS
from reprodiff.formats.program.pieces import ANCHOR, PAIRS_MAX, Piece, texts
from reprodiff.formats.program.siblings import Siblings, Text
from reprodiff.formats.program.side import Side
from reprodiff.formats.program.sides import Both, Pair
from reprodiff.spans import common_prefix, common_suffix

# The name of a section of strings: the size of a character, and the alignment.
NAME = re.compile(rb"\.str1\.(\d+)$")
# The flags of all of them; each may be one of a group.
PLAIN = SHF_ALLOC | SHF_MERGE | SHF_STRINGS
STRING = re.compile(rb"[^\0]*\0")


class _Loose(NamedTuple):
    """A text that its own section has on one side alone."""

    section: Section
    start: int
    stop: int
    text: bytes


def find(both: Both, left: Image, right: Image) -> Siblings | None:
    """Return the texts that stand in a sibling section on the other side, None where there are none."""
    if left.type != ET_REL:
        return None
    families = [_families(side) for side in (both.left, both.right)]
    found: list[Text] = []
    related: tuple[set[int], set[int]] = (set(), set())
    for base, ones in families[0].items():
        twos = families[1].get(base, [])
        if len({section.align for section in [*ones, *twos]}) < 2 or {s.flags for s in ones} != {s.flags for s in twos}:
            continue
        if len({section.flags for section in ones}) > 1:
            continue
        rows = list(_loose(both, ones, both.left, 0)), list(_loose(both, twos, both.right, 1))
        texts_of = [
            Text(one.section.number, two.section.number, Piece(one.start, one.stop, two.start, two.stop))
            for one, two in _paired(*rows)
        ]
        if texts_of:
            found += texts_of
            related[0].update(section.number for section in ones)
            related[1].update(section.number for section in twos)
    if not found:
        return None
    gone = frozenset(
        _only(both.left, left, both.only_left, related[0], [(t.one, t.piece.l0, t.piece.l1) for t in found])
    )
    come = frozenset(
        _only(both.right, right, both.only_right, related[1], [(t.two, t.piece.r0, t.piece.r1) for t in found])
    )
    sections = both.left.image.sections, both.right.image.sections
    data = (
        {text.one: both.left.data(sections[0][text.one]) for text in found},
        {text.two: both.right.data(sections[1][text.two]) for text in found},
    )
    return Siblings(found, gone, come, (frozenset(related[0]), frozenset(related[1])), data, left.shstrndx)


def _families(side: Side) -> dict[bytes, list[Section]]:
    """Return the sections of strings of each name but for the alignment; none of a name that is there twice."""
    found: dict[bytes, list[Section]] = {}
    for section in side.image.sections:
        match = NAME.search(section.name)
        if match is not None:
            found.setdefault(section.name[: match.start()], []).append(section)
    return {
        base: sections
        for base, sections in found.items()
        if len({section.name for section in sections}) == len(sections) and all(map(_plain, sections))
    }


def _plain(section: Section) -> bool:
    """Tell whether a section's header says nothing but what its name does."""
    match = NAME.search(section.name)
    return (
        match is not None
        and section.type == SHT_PROGBITS
        and section.strings
        and section.alloc
        and not section.compressed
        and section.align == int(match[1])
        and section.entsize == 1
        and not (section.addr or section.link or section.info)
    )


def odd(section: Section) -> bool:
    """Tell whether a section is named as one of such strings and its header says something else."""
    match = NAME.search(section.name)
    return match is not None and not (_plain(section) and section.flags & ~SHF_GROUP == PLAIN)


def _loose(both: Both, sections: list[Section], side: Side, which: int) -> Iterator[_Loose]:
    """Yield the texts that sections of one side have and their twins do not."""
    pairs = {(pair.one, pair.two)[which].number: pair for pair in both.pairs}
    for section in sections:
        data, pair = side.data(section), pairs.get(section.number)
        if pair is None:
            spans = [match.span() for match in STRING.finditer(data)]
        elif both.left.data(pair.one) == both.right.data(pair.two):
            continue
        elif which:
            spans = [(p.r0, p.r1) for p in both.pieces(pair).added]
        else:
            spans = [(p.l0, p.l1) for p in both.pieces(pair).pieces if p.r1 == p.r0]
        for start, stop in spans:
            text = data[start:stop]
            if b"/" in text and text[-1:] == b"\0" and texts(text[:-1], text[:-1]):
                yield _Loose(section, start, stop, text)


def _score(one: _Loose, two: _Loose) -> int:
    """Return how many bytes two texts have in common at their ends, 0 where they are not one text that moved: the longer
    one is aligned more, and what they have in common is part of a path."""
    a, b = one.text, two.text
    if not (len(a) - len(b)) * (one.section.align - two.section.align) > 0:
        return 0
    tail = common_suffix(a, b, min(len(a), len(b)))
    head = common_prefix(a, b[: len(b) - tail]) if len(a) > len(b) else common_prefix(a[: len(a) - tail], b)
    shared = a[:head] + a[len(a) - tail :]
    return head + tail if b"/" in shared and head + tail > ANCHOR else 0


def _paired(ones: list[_Loose], twos: list[_Loose]) -> Iterator[tuple[_Loose, _Loose]]:
    """Pair texts of both sides: those of one last component first, then all, by what they have in common."""
    places: dict[bytes, list[_Loose]] = {}
    for two in twos:
        places.setdefault(two.text.rpartition(b"/")[2], []).append(two)
    groups: dict[bytes, list[_Loose]] = {}
    for one in ones:
        groups.setdefault(one.text.rpartition(b"/")[2], []).append(one)
    used: set[tuple[int, int, int]] = set()
    for rows, others in [*((rows, places.get(name, [])) for name, rows in groups.items()), (ones, twos)]:
        here = [row for row in rows if (0, row.section.number, row.start) not in used]
        there = [row for row in others if (1, row.section.number, row.start) not in used]
        if len(here) * len(there) > PAIRS_MAX * PAIRS_MAX:
            continue
        scores = [(-_score(one, two), i, j) for i, one in enumerate(here) for j, two in enumerate(there)]
        for score, i, j in sorted(scores):
            keys = (0, here[i].section.number, here[i].start), (1, there[j].section.number, there[j].start)
            if score and not used.intersection(keys):
                used.update(keys)
                yield here[i], there[j]


def _only(
    side: Side, image: Image, alone: list[Section], related: set[int], known: list[tuple[int, int, int]]
) -> Iterator[int]:
    """Yield the numbers of sections of one side alone that hold nothing but texts that moved, and zeros that align them,
    and begin where what lies before them ends."""
    for section in alone:
        if section.number not in related:
            continue
        at, data = 0, side.data(section)
        spans = sorted((start, stop) for number, start, stop in known if number == section.number)
        good = bool(spans) and 0 <= image.gap(section) < section.align
        for start, stop in [*spans, (len(data), len(data))]:
            good = good and not data[at:start].strip(b"\0") and start - at < section.align
            good = good and (start == len(data) or start % section.align == 0)
            at = stop
        if good:
            yield section.number


def put(walk: Walk, both: Both) -> None:
    """Put the texts that moved, each as one change."""
    moved = both.siblings
    for text in moved.texts if moved is not None else ():
        one, two = both.left.image.sections[text.one], both.right.image.sections[text.two]
        piece = text.piece
        key = key_of(both.left.data(one)[piece.l0 : piece.l1], both.right.data(two)[piece.r0 : piece.r1])
        spans = (one.offset + piece.l0, one.offset + piece.l1), (two.offset + piece.r0, two.offset + piece.r1)
        walk.put(f"elf/{one.label}/string[*]", (key,), *spans, TEXT)


def alone(walk: Walk, both: Both, section: Section, *, left: bool) -> bool:
    """Put what a section of one side alone holds besides texts that moved; False where it holds none."""
    moved = both.siblings
    if moved is None:
        return False
    spans = [
        (text.piece.l0, text.piece.l1) if left else (text.piece.r0, text.piece.r1)
        for text in moved.texts
        if (text.one if left else text.two) == section.number
    ]
    if not spans:
        return False
    taken = set(spans)
    data = (both.left if left else both.right).data(section)
    for match in STRING.finditer(data):
        if match.span() in taken:
            continue
        span = section.offset + match.start(), section.offset + match.end()
        if len(match[0]) == 1:
            walk.put_follows(f"elf/{section.label}", 1, 1, span if left else (0, 0), (0, 0) if left else span)
        else:
            walk.put(
                f"elf/{section.label}/string[*]",
                (key_of(match[0], match[0]),),
                span if left else None,
                None if left else span,
                TEXT,
            )
    return True


def _texts(both: Both, pair: Pair) -> frozenset[Piece]:
    """Return the pieces of a section's map that are texts which moved, put elsewhere."""
    moved = both.siblings
    if moved is None or not pair.one.strings:
        return frozenset()
    gone = {(t.piece.l0, t.piece.l1) for t in moved.texts if t.one == pair.one.number}
    come = {(t.piece.r0, t.piece.r1) for t in moved.texts if t.two == pair.two.number}
    pieces = both.pieces(pair)
    return frozenset(
        [p for p in pieces.pieces if p.r1 == p.r0 and (p.l0, p.l1) in gone]
        + [p for p in pieces.added if (p.r0, p.r1) in come]
    )


def known(walk: Walk, both: Both, pair: Pair, where: str) -> frozenset[Piece]:
    """Return the pieces of a section's map that are put elsewhere or here: texts that moved, names of their sections."""
    if both.siblings is None:
        return frozenset()
    return _names(walk, both, pair, where) if pair.one.number == both.siblings.names else _texts(both, pair)


def _names(walk: Walk, both: Both, pair: Pair, where: str) -> frozenset[Piece]:
    """Put the names of sections that are there on one side alone and hold nothing but texts that moved; return their
    pieces of the table of names."""
    moved = both.siblings
    if moved is None or not (moved.gone or moved.come):
        return frozenset()
    data = both.left.data(pair.one), both.right.data(pair.two)
    labels = (
        {both.left.image.sections[number].name + b"\0" for number in moved.gone},
        {both.right.image.sections[number].name + b"\0" for number in moved.come},
    )
    pieces: list[Piece] = []
    apart: list[Piece] = []
    rows = both.pieces(pair)
    for piece in [*rows.pieces, *rows.added]:
        one, two = data[0][piece.l0 : piece.l1], data[1][piece.r0 : piece.r1]
        if one == two or not ((one in labels[0] or not one) and (two in labels[1] or not two)):
            pieces.append(piece)
            continue
        apart += [Piece(piece.l0, piece.l1, 0, 0)] if one else []
        apart += [Piece(0, 0, piece.r0, piece.r1)] if two else []
    pair.take([*pieces, *apart], *data)
    for piece in apart:
        spans = (piece.l0, piece.l1), (piece.r0, piece.r1)
        first, second = (
            (start + offset, stop + offset) if stop > start else (0, 0)
            for (start, stop), offset in zip(spans, (pair.one.offset, pair.two.offset), strict=True)
        )
        walk.put_follow(f"{where}/string", (), first, second, RAW)
    return frozenset(apart)
