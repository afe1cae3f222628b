"""Go programs side by side: what their table of functions and the record of their module say of all other sections."""

from collections.abc import Collection
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from reprodiff.codecs import RAW, TEXT
from reprodiff.errors import FormatError
from reprodiff.formats import Walk
from reprodiff.formats.elf import gobuildinfo
from reprodiff.formats.elf.godata import Data, cut_by_uses
from reprodiff.formats.elf.golines import Field, Lines
from reprodiff.formats.elf.gopclntab import MAGICS, NAME, RECORD, Table
from reprodiff.formats.elf.image import Section
from reprodiff.formats.elf.names import SHF_WRITE
from reprodiff.formats.elf.pieces import Piece, Pieces, Symbol
from reprodiff.formats.elf.words import Differing, gather
from reprodiff.spans import Span, differing

STALE_MAX = 16
KEY_MAX = 120
# Where the linker of C puts what has to be relocated.
MERGED = (b".data.rel.ro", b".rodata")
# Words of the module's record behind the six slices of the table (runtime/symtab.go, moduledata), and how many of
# them releases of Go from 1.20 on have between the bounds of data and the other bases.
SLICES = 6
ADDED = (0, 2)
WORDS = 42


class Module(NamedTuple):
    """The record of a module: where it is, and the addresses that offsets count from; code, types: start and stop;
    sections: of the list of sections of code."""

    section: Section
    at: int
    findfunctab: int
    code: tuple[int, int]
    types: tuple[int, int]
    rodata: int
    funcs: int
    sections: int

    @property
    def text(self) -> int:
        """Where code begins."""
        return self.code[0]


class Place(NamedTuple):
    """Where the table of functions lies: start and stop in its section. A linker of C may put it among other data."""

    section: Section
    start: int
    stop: int
    table: Table

    @property
    def address(self) -> int:
        """Where the table is loaded."""
        return self.section.addr + self.start


def table_of(side: Any) -> Place | None:
    """Return the table of functions of one file, None where it has none that is understood."""
    order = side.image.order
    for section in side.image.sections:
        if section.name.endswith(NAME) and section.stored and not section.compressed:
            try:
                return Place(section, 0, section.size, Table(side.data(section), order))
            except (FormatError, IndexError, ValueError):
                return None
    heads = [magic.to_bytes(4, "little" if order == "<" else "big") + b"\0\0" for magic in MAGICS]
    for section in side.image.sections:
        if section.name not in MERGED or not section.stored:
            continue
        data = side.data(section)
        for head in heads:
            at = data.find(head)
            while at >= 0:
                try:
                    end = at + Table(data[at:], order).end
                    return Place(section, at, end, Table(data[at:end], order))
                except (FormatError, IndexError, ValueError):
                    at = data.find(head, at + 1)
    return None


def module_of(side: Any, place: Place) -> Module | None:
    """Return the record of the module that begins with the addresses of the table and its parts (Go 1.18 and later)."""
    table, address = place.table, place.address
    if table.version < 18:
        return None
    word, order = side.image.word, side.image.order
    for other in side.image.sections:
        if not other.alloc or other.code or not other.stored:
            continue
        data = np.frombuffer(side.data(other), np.uint8)
        base = -other.addr % word
        places = np.arange(base, len(data) - WORDS * word, word)
        if not len(places):
            continue
        # A program that is loaded anywhere may have its addresses in its relocations alone.
        hits = places[gather(data, places, word, order, signed=False) == address]
        moved = side.relocations()
        hits = np.append(hits, moved[0][moved[1] == address] - other.addr)
        for at in hits[(hits >= 0) & (hits < len(data) - WORDS * word)].tolist():
            spots = at + np.arange(WORDS) * word
            values = gather(data, spots, word, order, signed=False)
            known = side.relocated(other.addr + spots)
            row = np.where(values == 0, known, values).tolist()
            starts = [address + start for start, _stop in table.regions.values()]
            if [row[1 + 3 * i] for i in range(SLICES - 1)] != starts or row[16] != starts[-1]:
                continue
            for added in ADDED:
                types, stop, rodata, funcs = row[35 + added : 39 + added]
                if row[22] <= row[23] and types <= stop and types and rodata and funcs and table.text in {0, row[22]}:
                    return Module(other, at, row[19], (row[22], row[23]), (types, stop), rodata, funcs, row[39 + added])
    return None


def _text(side: Any, table: Table) -> int:
    """Return the address that code is counted from where the record of the module is not found."""
    section = side.image.by_name.get(b".text")
    return table.text or (section.addr if section is not None else 0)


def functions(side: Any) -> dict[int, list[Symbol]]:
    """Return the functions that the table of a program lists as symbols, by the number of their section."""
    place = table_of(side)
    if place is None:
        return {}
    table = place.table
    module = module_of(side, place)
    base = module.text if module else _text(side, table)
    starts = (table.entries + (base if table.version >= 18 else 0)).tolist()
    end = int(table.read(np.array([table.at_end]), table.step)[0]) + (base if table.version >= 18 else 0)
    rows: dict[int, list[Symbol]] = {}
    seen: dict[bytes, int] = {}
    for code in side.image.sections:
        if not code.code or not code.stored or not code.alloc:
            continue
        data = side.data(code)
        for start, stop, name in zip(starts, [*starts[1:], end], table.names, strict=True):
            if code.addr <= start < stop <= code.addr + code.size:
                # What fills up to the next function does not belong to it.
                size = len(data[start - code.addr : stop - code.addr].rstrip(b"\xcc"))
                seen[name] = seen.get(name, 0) + 1
                rows.setdefault(code.number, []).append(Symbol(start - code.addr, size, (name, b"", seen[name] - 1)))
    return rows


class Go:
    """Two Go programs. `pair`: the sections of their tables."""

    def __init__(self, both: Any) -> None:
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
            info = gobuildinfo.parse(data)
            found.append(data[slice(*info.whole)] if info else b"")
        return found[0], found[1]

    def pieces(self, pair: Any) -> Pieces | None:
        """Return the map of a section pair of the table or of read-only data that differs, None for all others."""
        if pair is self.pair and self.alone:
            return self.lines.pieces
        if pair is not self.pair and (
            not cut_by_uses(pair) or self.both.left.data(pair.one) == self.both.right.data(pair.two)
        ):
            return None
        self._data[pair.one.number] = data = Data(self, pair)
        return data.whole() if pair is self.pair else data.pieces

    def put(self, walk: Walk, pair: Any, where: str, stream: Any, found: Differing) -> Collection[Piece]:
        """Put what is known of read-only data; returns the pieces that were put."""
        data = self._data.get(pair.one.number)
        return data.put(walk, where, stream, found) if data is not None else ()

    def decide(self, pair: Any, found: Differing) -> None:
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
    def _before(side: Any, section: Section, data: Any, places: Any) -> Any:
        """Return the addresses at places of a section, as the loader makes them."""
        values = gather(data, np.maximum(places, 0), side.image.word, side.image.order, signed=False)
        return np.where(values == 0, side.relocated(places + section.addr), values)

    def _slices(self, pair: Any, found: Differing) -> None:
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

    def around(self, pair: Any) -> Pieces | None:
        """Return the map of what lies around the table in its sections, None for all others."""
        data = self._data.get(pair.one.number) if pair is self.pair else None
        return data.pieces if data is not None else None

    def compare(self, walk: Walk, where: str, stream: Any) -> None:
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
            else (_text(self.both.left, lines.one), _text(self.both.right, lines.two))
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
        put = _Put(walk, self, where, stream)
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


class _Put:
    """Collects what does not follow by the function that it belongs to."""

    def __init__(self, walk: Walk, go: Go, where: str, stream: Any) -> None:
        self.walk, self.where, self.stream = walk, where, stream
        self.lines = go.lines
        self.strings = {span for pairs in (go.lines.names, go.lines.files) for pair in pairs for span in pair if span}
        self.groups: dict[tuple[str, bytes], list[tuple[Span | None, Span | None]]] = {}

    def text(self, kind: str, one: Span | None, two: Span | None) -> None:
        """Put a name of a function or file that differs."""
        from reprodiff.formats.elf.contents import key_of

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
        """Put what was collected."""
        for (kind, name), rows in self.groups.items():
            place = f"{self.where}/function[*]" if kind == "function" else f"{self.where}/{kind}"
            keys = (name,) if kind == "function" else ()
            ones = sorted(one for one, _two in rows if one)
            twos = sorted(two for _one, two in rows if two)
            if not ones or not twos:
                for span in ones or twos:
                    self.walk.put(place, keys, self._shifted(span if ones else None, self.stream.one),
                                  self._shifted(span if twos else None, self.stream.two), RAW)  # fmt: skip
                continue
            whole = [(spans[0][0] + by, max(s[1] for s in spans) + by)
                     for spans, by in ((ones, self.stream.one), (twos, self.stream.two))]  # fmt: skip
            runs = [run for one, two in rows for run in self._runs(one, two, ones[0][0], twos[0][0])]
            self.walk.put(place, keys, whole[0], whole[1], RAW, runs=runs)

    def _runs(self, one: Span | None, two: Span | None, first: int, second: int) -> list[tuple[Span, Span]]:
        one, two = one or (first, first), two or (second, second)
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
