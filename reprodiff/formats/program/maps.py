"""Who makes the maps of section pairs, in the order in which one follows from another, for files of any format."""

from contextlib import suppress
from typing import Any

from reprodiff.errors import FormatError
from reprodiff.formats.program.anchors import refine
from reprodiff.formats.program.described import frames, units
from reprodiff.formats.program.go.pclntab import go_program
from reprodiff.formats.program.names import SHF_WRITE, SHT_PROGBITS
from reprodiff.formats.program.sections import align
from reprodiff.formats.program.sides import Both, Pair


def pieces(both: Both, pair: Pair) -> None:
    """Make the map of a section pair: by what is known of other sections, else by what the two hold."""
    if pair.one.stored and pair.two.stored and not pair.known:
        if pair.one.name == b".eh_frame":
            pair.take(frames(both, pair))
        elif pair.one.name.startswith(b".debug_"):
            pair.take(units(both, pair))
        elif both.go is not None:
            pair.agree(both.left, both.right)
            pair.take(both.go.pieces(pair))
    if pair.known:
        return
    found = align(pair, both.left, both.right, both.names)
    if _constant(pair):
        left, right = both.left.data(pair.one), both.right.data(pair.two)
        rows = [*found.pieces, *found.added]
        cut = refine(both, pair, rows, left, right)
        if cut is not rows:
            pair.take(cut, left, right)


def code(both: Both) -> None:
    """Make the maps of all code, which others follow from."""
    for pair in both.code():
        align(pair, both.left, both.right, both.names)


def go(both: Both) -> Any:
    """Return what two Go programs say about themselves, None where they are none (`gosides.Go`)."""
    if go_program(both.left.image) and go_program(both.right.image):
        from reprodiff.formats.program.gosides import Go

        with suppress(FormatError, ValueError, IndexError):
            return Go(both)
    return None


def _constant(pair: Pair) -> bool:
    """Tell whether a section is read-only data."""
    return all(
        s.alloc and s.stored > 0 and s.type == SHT_PROGBITS and not s.code and not s.strings
        and not s.flags & SHF_WRITE and not s.name.startswith(b".eh_frame")
        for s in (pair.one, pair.two)
    )  # fmt: skip
