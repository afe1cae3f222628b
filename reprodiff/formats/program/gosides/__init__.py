"""Go programs side by side: what their table of functions and the record of their module say of all other sections."""

from collections.abc import Collection
from functools import cached_property
from typing import Any

import numpy as np

from reprodiff.errors import FormatError
from reprodiff.formats import Walk
from reprodiff.formats.program.around import Stream
from reprodiff.formats.program.go import buildinfo
from reprodiff.formats.program.go.lines import Lines
from reprodiff.formats.program.go.pclntab import RECORD
from reprodiff.formats.program.go.places import Module, module_of, table_of, text_of
from reprodiff.formats.program.gosides.data import Data, cut_by_uses
from reprodiff.formats.program.gosides.put import Put
from reprodiff.formats.program.image import Section
from reprodiff.formats.program.names import SHF_WRITE
from reprodiff.formats.program.pieces import Piece, Pieces
from reprodiff.formats.program.side import Side
from reprodiff.formats.program.sides import Both, Pair
from reprodiff.formats.program.words import Differing, gather

STALE_MAX = 16


class Go:
    """Two Go programs. `pair`: the sections of their tables."""

    def __init__(self, both: Both) -> None:
        """Raises FormatError where one of the two has no table that is understood, or they do not fit together."""
        self.both = both
        one, two = table_of(both.left), table_of(both.right)
        if one is None or two is None:
            raise FormatError("no table of Go's functions on both sides")
        pair = both.by_index.get(one.section.number)
        if pair is None or pair.two.number != two.section.number:
            raise FormatError("the tables of Go's functions do not correspond")
        self.pair = pair
        self.places = one, two
        self.lines = Lines(one.table, two.table)
        self._data: dict[int, Data] = {}

    @property
    def alone(self) -> bool:
        """Whether the sections of the tables hold nothing else."""
        return all((place.start, place.stop) == (0, place.section.size) for place in self.places)

    @cached_property
    def modules(self) -> tuple[Module, Module] | None:
        """The records of both modules, None where one is not found."""
        found = module_of(self.both.left, self.places[0]), module_of(self.both.right, self.places[1])
        return None if found[0] is None or found[1] is None else (found[0], found[1])

    @cached_property
    def recorded(self) -> tuple[bytes, bytes]:
        """What `go build` recorded in both programs, with its marks; b'' where it is not found."""
        found = []
        for side in (self.both.left, self.both.right):
            section = side.image.by_name.get(RECORD)
            data = side.data(section) if section is not None and section.stored else b""
            info = buildinfo.parse(data)
            found.append(data[slice(*info.whole)] if info else b"")
        return found[0], found[1]

    def pieces(self, pair: Pair) -> Pieces | None:
        """Return the map of a section pair of the table or of read-only data that differs, None for all others."""
        if pair is self.pair and self.alone:
            return self.lines.pieces
        if pair is not self.pair and (
            not cut_by_uses(pair) or self.both.left.data(pair.one) == self.both.right.data(pair.two)
        ):
            return None
        self._data[pair.one.number] = data = Data(self, pair)
        return data.whole() if pair is self.pair else data.pieces

    def put(self, walk: Walk, pair: Pair, where: str, stream: Stream, found: Differing) -> Collection[Piece]:
        """Put what is known of read-only data; returns the pieces that were put."""
        data = self._data.get(pair.one.number)
        return data.put(walk, where, stream, found) if data is not None else ()

    def decide(self, pair: Pair, found: Differing) -> None:
        """Accept the words of a section that only Go programs have."""
        data = self._data.get(pair.one.number)
        if data is not None:
            data.decide(found)
            return
        modules = self.modules
        word = self.both.left.image.word
        if modules is None or pair.one.code or not len(found.one):
            return
        if pair.one.number == modules[0].section.number:
            self._slices(pair, found)
        copies = [(data.pair, spans) for data in self._data.values() for spans in [data.copy] if spans]
        if copies and pair.one.flags & SHF_WRITE:
            target, (one, two) = copies[0]
            starts = target.one.addr + one[0], target.two.addr + two[0]

            def length(places: Any, others: Any, ones: Any, twos: Any) -> Any:
                at = self._before(self.both.left, pair.one, found.left, places - word) == starts[0]
                to = self._before(self.both.right, pair.two, found.right, others - word) == starts[1]
                return at & to & (ones == len(self.recorded[0])) & (twos == len(self.recorded[1]))

            found.accept(word, word, pair.one.addr, length)
        if pair.one.name.endswith(b".typelink"):
            types = modules[0].types[0], modules[1].types[0]
            found.accept(4, 4, pair.one.addr, lambda _s, _o, ones, twos: self.both.addresses.same(
                types[0] + ones, types[1] + twos))  # fmt: skip

    @staticmethod
    def _before(side: Side, section: Section, data: Any, places: Any) -> Any:
        """Return the addresses at places of a section, as the loader makes them."""
        values = gather(data, np.maximum(places, 0), side.image.word, side.image.order, signed=False)
        return np.where(values == 0, side.relocated(places + section.addr), values)

    def _slices(self, pair: Pair, found: Differing) -> None:
        """Accept how long the parts of the table are, as the record of the module says it twice."""
        assert self.modules is not None
        word = self.both.left.image.word
        ones, twos = ([*table.sizes, table.count + 1] for table in (self.lines.one, self.lines.two))
        starts = [module.at for module in self.modules]
        for number, (one, two) in enumerate(zip(ones, twos, strict=True)):
            # The files of units are counted in words, or in bytes by releases that take one for the other.
            unit = 4 if number == 1 else 1
            for again in (2, 3):
                step = (3 * number + again) * word

                def fits(_s: Any, others: Any, a: Any, b: Any, sizes: Any = (one, two, unit, step)) -> Any:
                    one, two, unit, step = sizes
                    same = ((a == one) & (b == two)) | ((a * unit == one) & (b * unit == two))
                    return (others == starts[1] + step) & same

                found.accept_fields(np.array([starts[0] + step]), fits, word)

    def around(self, pair: Pair) -> Pieces | None:
        """Return the map of what lies around the table in its sections, None for all others."""
        data = self._data.get(pair.one.number) if pair is self.pair else None
        return data.pieces if data is not None else None

    def compare(self, walk: Walk, where: str, stream: Stream) -> None:
        """Compare the two tables: what follows is counted, what does not is put at its function, file or field."""
        if not self.alone:
            here, there = self.places
            where = f"{where}/gopclntab"
            stream = type(stream)(stream.left[here.start : here.stop], stream.right[there.start : there.stop],
                                  stream.one + here.start, stream.two + there.start)  # fmt: skip
        lines = self.lines
        modules = self.modules
        texts = (
            (modules[0].text, modules[1].text)
            if modules
            else (text_of(self.both.left, lines.one), text_of(self.both.right, lines.two))
        )
        funcs = (modules[0].funcs, modules[1].funcs) if modules else None
        fields = lines.decided(self.both.addresses, texts, funcs)
        found = Differing(stream.left, stream.right, lines.pieces, lines.one.order)
        good = np.zeros(len(stream.left) + 8, bool)
        for field in fields:
            for k in range(field.width):
                good[field.one[field.fine] + k] = True
        follow = good[found.one]
        count = sum(int((field.fine & (field.left != field.right)).sum()) for field in fields)
        rest = ~follow
        put = Put(walk, lines, where, stream)
        # Words of what is not as long on both sides are put with it.
        if follow.any():
            first = int(np.flatnonzero(follow)[0])
            a, b = int(found.one[first]) + stream.one, int(found.two[first]) + stream.two
            walk.put_follows(where, max(count, 1), int(follow.sum()), (a, a + 1), (b, b + 1))
        for region, pairs in (("function", lines.names), ("file", lines.files)):
            for one, two in pairs:
                if one is None or two is None or stream.left[slice(*one)] != stream.right[slice(*two)]:
                    put.text(region, one, two)
                    if one is not None:
                        rest &= (found.one < one[0]) | (found.one >= one[1])
        for piece in [*lines.pieces.pieces, *lines.pieces.added]:
            if not piece.equal:
                put.piece(piece)
        found.open = rest
        for a, b, size in found.runs():
            put.add((a, a + size), (b, b + size))
        for field in fields:
            for index in np.flatnonzero(~field.fine & (field.left == field.right))[:STALE_MAX].tolist():
                put.stale(field, index)
        put.done()
