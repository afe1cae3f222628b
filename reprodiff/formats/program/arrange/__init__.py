"""The map of two programs whose functions and objects were linked in another order.

What is known at first: functions and objects by their symbols, functions whose bytes without displacements occur once
on each side, places that relocations with a name write to. From there references lead on: the word at a place in a part
of the left side and the word at the same place of the same part on the right lead to what is the same, where that is
not contradicted: both must begin there, nothing else may claim either, and their bytes must agree but for pointers. This
goes on until nothing new is found. The map decides nothing by itself: every byte that differs must still be a pointer to
what corresponds, and every place corresponds to one place only.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from reprodiff.formats.program.arrange.chart import ARRAYS
from reprodiff.formats.program.arrange.code import FILLED, NOPS_END
from reprodiff.formats.program.arrange.data import Data
from reprodiff.formats.program.pieces import Piece, Symbol, by_symbols, identity
from reprodiff.formats.program.sections import align
from reprodiff.formats.program.sides import Both

ROUNDS_MAX = 64


class Arrangement(Data):
    """What corresponds to what in two files, in the making."""

    def run(self) -> bool:
        """Find all that can be; False where too little of the code is the same for this to be mostly an order."""
        self._functions()
        if not self._same():
            return False
        self._relocations()
        self._slots(True)
        self._objects()
        self._chart()
        self._references()
        for _ in range(ROUNDS_MAX):
            self.both.left.budget.check_time()
            if self._follow():
                self._chart()
                continue
            if self._virtual() or self._same_code():
                self._chart()
                continue
            break
        for _ in range(ROUNDS_MAX):
            steps = (
                self._virtual, self._by_content, self._by_names, self._slots_left, self._bridge, self._follow, self._loosely,
                self._same_code, self._by_text, self._by_targets, self._by_namesakes, self._grow,
            )  # fmt: skip
            if not any(step() for step in steps):
                break
            self._chart()
        return True

    def _same(self) -> bool:
        """Tell whether half of the code is in functions that were found again."""
        total = sum(f.size for side in self.functions for functions in side for f in functions)
        found = 0
        for (number, index), other in self.twins.items():
            one, two = self.functions[0][number][index], self.functions[1][number][other]
            if one.size == two.size:
                found += 2 * one.size
        return 2 * found >= total

    def take(self) -> None:
        """Give every pair of sections its map."""
        for number, region in enumerate(self.regions):
            pair = self.pairs[number]
            for side in (0, 1):
                symbols = self.objects[side][number] if not pair.one.code else {
                    f.start: Symbol(f.start, f.size, f.keys[0]) for f in self.functions[side][number] if f.keys}  # fmt: skip
                self.sides[side].take(self._section(number, side), [symbols[start] for start in sorted(symbols)])
            if pair.one.code and region.data is not None:
                rows = self._code_rows(number)
                if not rows[0] and not rows[1]:
                    continue
                found, moved = by_symbols(*rows, pair.one.size, pair.two.size)
                pair.moved = moved and not pair.one.name.startswith(b".plt")
                pair.take(list(_padding(found, *region.data)), *region.data)
            elif pair.one.type in ARRAYS:
                # Functions to run may stand in another order, which is told as such.
                pair.take(identity(pair.one.size, pair.two.size))
            else:
                found = region.finish(self._values(number))
                names = sorted((p for p in region.found if p.name is not None), key=lambda p: p.l0)
                pair.arranged = True
                pair.moved = any(a.r0 > b.r0 for a, b in pairwise(names))
                pair.take(found, *(region.data or (b"", b"")))

        if not any(pair.moved for pair in self.pairs):
            self._name()

    def _name(self) -> None:
        """Name the parts of the first section in which parts stand in another order, where none has a symbol."""
        for number, region in enumerate(self.regions):
            pieces = align(self.pairs[number], self.left, self.right, self.both.names)
            rows = [piece for piece in pieces.pieces if piece.r1 > piece.r0]
            if any(one.r0 > two.r0 for one, two in pairwise(rows)):
                named = [
                    p._replace(name=b"%#x" % (region.one.addr + p.l0)) if p.equal and p.r1 > p.r0 else p
                    for p in [*pieces.pieces, *pieces.added]
                ]
                self.pairs[number].moved = True
                self.pairs[number].take(named, *(region.data or (b"", b"")))
                return

    def behind(self) -> tuple[Any, Any]:
        """Return the places, in order, of left references to the end of what the same function refers to as well: what
        stands behind it is another thing on the other side; and of those to a text that is stored twice."""
        self._chart()
        (places, targets), (others, rights) = self.references
        if not len(others):
            return places[:0], places[:0]
        to = self.to(places)
        index = np.minimum(np.searchsorted(others, to), len(others) - 1)
        there = (to >= 0) & (others[index] == to)
        two = rights[index]
        good = there & (self.to(targets) == two)
        found, copies = [], []
        for at in np.flatnonzero(there & ~good & (self.to(targets - 1) == two - 1)).tolist():
            function = self._around(int(places[at]))
            if function is None:
                continue
            first, stop = np.searchsorted(places, function)
            near = good[first:stop] & (targets[first:stop] < targets[at])
            near &= two[first:stop] - targets[first:stop] == two[at] - targets[at]
            if near.any() and self._one(int(targets[first:stop][near].max()), int(targets[at])):
                found.append(int(places[at]))
        for at in np.flatnonzero(there & ~good).tolist():
            texts = [self._text(side, int(address)) for side, address in enumerate((targets[at], two[at]))]
            if (texts[0] and texts[0] == texts[1]) or self._constant(int(targets[at]), int(two[at])):
                copies.append(int(places[at]))
        return np.array(found, np.int64), np.array(copies, np.int64)

    def _around(self, address: int) -> tuple[int, int] | None:
        """Return the bounds of the left function that an address lies in."""
        home = self.home(0, address)
        function = self._at(0, *home) if home else None
        if home is None or function is None:
            return None
        base = self._section(home[0], 0).place
        return base + function.start, base + function.start + function.size

    def _one(self, start: int, stop: int) -> bool:
        """Tell whether all between two left addresses has moved together."""
        index = int(np.searchsorted(self.starts, start, "right")) - 1
        shift = self.others[index] - self.starts[index]
        while index < len(self.starts) and self.stops[index] < stop:
            if index + 1 >= len(self.starts) or self.starts[index + 1] != self.stops[index]:
                return False
            index += 1
            if self.others[index] - self.starts[index] != shift:
                return False
        return True

    def _values(self, number: int) -> tuple[dict[int, Any], dict[int, Any]]:
        """Return what relocated words of a pair of sections lead to, as right addresses where they are known."""
        found: tuple[dict[int, Any], dict[int, Any]] = ({}, {})
        for side in (0, 1):
            section = self._section(number, side)
            places, targets = self.relative[side]
            here = (places >= section.place) & (places < section.place + section.size)
            places, targets = places[here], targets[here]
            targets = self.to(targets) if side == 0 else np.where(self.known(targets), targets, -1)
            found[side].update(zip((places - section.place).tolist(), targets.tolist(), strict=True))
        return found


def _padding(pieces: list[Piece], left: bytes, right: bytes) -> Iterator[Piece]:
    """Let what fills up between functions, and only that, correspond to nothing."""
    for piece in pieces:
        a, b = left[piece.l0 : piece.l1], right[piece.r0 : piece.r1]
        filled = len(a) < FILLED and NOPS_END.fullmatch(a) and NOPS_END.fullmatch(b)
        if piece.name is None and piece.equal and a != b and filled:
            yield Piece(piece.l0, piece.l1, 0, 0)
            yield Piece(0, 0, piece.r0, piece.r1)
        else:
            yield piece


def arrange(both: Both) -> None:
    """Give the sections of two programs that were linked in another order their maps, and say which references lead to
    the end of something."""
    arrangement = Arrangement(both)
    if arrangement.run():
        arrangement.take()
        both.ends, both.copies = arrangement.behind()
