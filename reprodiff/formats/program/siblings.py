"""Texts of an object file that stand in another section on the other side: compilers put longer ones where they are
aligned more, so that the length of a path decides."""

from typing import Any, NamedTuple

import numpy as np

from reprodiff.formats.program.pieces import Piece, Pieces
from reprodiff.formats.program.words import among


class Text(NamedTuple):
    """A text of the section with the number one that is, changed, in the section two on the right."""

    one: int
    two: int
    piece: Piece


class Siblings:
    """What moved between sections of strings that only their alignment tells apart.

    texts: what moved; gone, come: numbers of left and right sections without twin that hold nothing but such texts;
    related: of all such sections of both sides, in which order these stand follows; names: the number of the left
    table of sections' names; data: the bytes of sections by number.
    """

    def __init__(
        self,
        texts: list[Text],
        gone: frozenset[int],
        come: frozenset[int],
        related: tuple[frozenset[int], frozenset[int]],
        data: tuple[dict[int, bytes], dict[int, bytes]],
        names: int,
    ) -> None:
        self.texts, self.gone, self.come, self.related, self.names = texts, gone, come, related, names
        self.maps: dict[tuple[int, int], Pieces] = {}
        for key in {(text.one, text.two) for text in texts}:
            pieces = [text.piece for text in texts if (text.one, text.two) == key]
            self.maps[key] = Pieces(pieces, data[0][key[0]], data[1][key[1]])

    def across(self, ones: Any, twos: Any, at: Any, to: Any, behind: tuple[int, ...] = (0,)) -> Any:
        """Tell of left sections and offsets `at` in them, and of right ones, whether both lead to the same place of one
        of the texts; behind: how far from these offsets what they lead to may be, which the start of a text tells."""
        found = np.zeros(len(ones), bool)
        for (one, two), pieces in self.maps.items():
            rows = np.flatnonzero((ones == one) & (twos == two))
            if not len(rows):
                continue
            known = np.zeros(len(rows), bool)
            hit = np.zeros(len(rows), bool)
            for far in behind:
                starts = among(at[rows] + far, pieces.starts) & ~known
                there = pieces.to(at[rows] + far) == to[rows] + far
                hit = np.where(known, hit, (hit & ~starts) | (there & (to[rows] + far >= 0)))
                known |= starts
            found[rows] = hit
        return found
