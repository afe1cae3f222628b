"""What does not follow in two tables of Go's functions, put at the function, file or field that it belongs to."""

import numpy as np

from reprodiff.codecs import RAW, TEXT, show_bytes
from reprodiff.formats import Walk
from reprodiff.formats.program.around import Stream
from reprodiff.formats.program.go.lines import Field, Lines
from reprodiff.formats.program.go.pclntab import Table
from reprodiff.formats.program.keys import key_of
from reprodiff.formats.program.pieces import Piece
from reprodiff.spans import Span, differing

KEY_MAX = 120
SHOWN = 32


class Put:
    """Collects what does not follow by the function that it belongs to."""

    def __init__(self, walk: Walk, lines: Lines, where: str, stream: Stream) -> None:
        self.walk, self.where, self.stream = walk, where, stream
        self.lines = lines
        self.strings = {span for pairs in (lines.names, lines.files) for pair in pairs for span in pair if span}
        self.groups: dict[tuple[str, bytes], list[tuple[Span | None, Span | None]]] = {}

    def text(self, kind: str, one: Span | None, two: Span | None) -> None:
        """Put a name of a function or file that differs."""
        left = self.stream.left[slice(*one)] if one else b""
        right = self.stream.right[slice(*two)] if two else b""
        key = key_of(left, right) if one and two else (left or right).rstrip(b"\0")[:KEY_MAX]
        spans = self._shifted(one, self.stream.one), self._shifted(two, self.stream.two)
        self.walk.put(f"{self.where}/{kind}[*]", (key,), *spans, TEXT)

    @staticmethod
    def _shifted(span: Span | None, by: int) -> Span | None:
        return (span[0] + by, span[1] + by) if span else None

    def piece(self, piece: Piece) -> None:
        """Put a piece that is not equally long on both sides."""
        one, two = (piece.l0, piece.l1), (piece.r0, piece.r1)
        if one in self.strings or two in self.strings:
            return
        a, b = self.stream.left[slice(*one)], self.stream.right[slice(*two)]
        if not a.strip(b"\0") and not b.strip(b"\0"):
            size = abs(len(a) - len(b))
            self.walk.put_follows(self.where, 1, size, (one[0] + self.stream.one, one[1] + self.stream.one),
                                  (two[0] + self.stream.two, two[1] + self.stream.two))  # fmt: skip
            return
        self.add(one if a else None, two if b else None)

    def add(self, one: Span | None, two: Span | None) -> None:
        """Note bytes that do not follow."""
        side = self.lines.one if one else self.lines.two
        self.groups.setdefault(_owner(side, (one or two or (0, 0))[0]), []).append((one, two))

    def stale(self, field: Field, index: int) -> None:
        """Put a field that is the same although what it leads to is not."""
        one, two = int(field.one[index]), int(field.two[index])
        kind, name = _owner(self.lines.one, one)
        spans = (
            (one + self.stream.one, one + field.width + self.stream.one),
            (two + self.stream.two, two + field.width + self.stream.two),
        )
        value = f"{field.name} {int(field.left[index]):#x}"
        place = f"{self.where}/function[*]" if kind == "function" else f"{self.where}/{kind}" if kind else self.where
        self.walk.put(place, (name,) if kind == "function" else (), *spans, RAW,
                      shown=(value, f"{value}, which is something else"))  # fmt: skip

    def done(self) -> None:
        """Put what was collected: what has both sides as one, in order on both; what one side alone has by itself."""
        for (kind, name), rows in self.groups.items():
            place = f"{self.where}/function[*]" if kind == "function" else f"{self.where}/{kind}"
            keys = (name,) if kind == "function" else ()
            runs: list[tuple[Span, Span]] = []
            for here, there in sorted((one, two) for one, two in rows if one and two):
                for run in self._runs(here, there):
                    if runs and run[1][0] < runs[-1][1][1]:
                        self._put(place, keys, runs)
                        runs = []
                    runs.append(run)
            if runs:
                self._put(place, keys, runs)
            for one, two in rows:
                if one is None or two is None:
                    self.walk.put(
                        place, keys, self._shifted(one, self.stream.one), self._shifted(two, self.stream.two), RAW
                    )

    def _put(self, place: str, keys: tuple[bytes, ...], runs: list[tuple[Span, Span]]) -> None:
        whole = [(runs[0][side][0], runs[-1][side][1]) for side in (0, 1)]
        more = "…" if len(runs) > 1 else ""
        shown = [show_bytes(data[run[0] - base : run[1] - base], SHOWN) + more for data, base, run in (
            (self.stream.left, self.stream.one, runs[0][0]), (self.stream.right, self.stream.two, runs[0][1]))]  # fmt: skip
        self.walk.put(place, keys, whole[0], whole[1], RAW, runs=runs, shown=(shown[0], shown[1]))

    def _runs(self, one: Span, two: Span) -> list[tuple[Span, Span]]:
        spans = differing(self.stream.left[slice(*one)], self.stream.right[slice(*two)]).spans
        a, b = one[0] + self.stream.one, two[0] + self.stream.two
        return [((a + x, a + y), (b + z, b + w)) for (x, y), (z, w) in spans]


def _owner(table: Table, at: int) -> tuple[str, bytes]:
    """Return what a place of a table belongs to: a function by name, or a part."""
    region = next((name for name, (start, stop) in table.regions.items() if start <= at < stop), "header")
    if region == "functions":
        if at < table.at_end:
            return "function", table.names[min((at - table.regions[region][0]) // (2 * table.step), table.count - 1)]
        if at >= table.records[0]:
            return "function", table.names[int(np.searchsorted(table.records, at, "right")) - 1]
    if region == "tables":
        index = int(np.searchsorted(table.tables, at, "right")) - 1
        if index >= 0:
            number = table.user(int(table.tables[index]) - table.regions[region][0])
            if number is not None:
                return "function", table.names[number]
    return region, b""
