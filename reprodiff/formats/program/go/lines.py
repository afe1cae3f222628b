"""Two of Go's tables of functions side by side: which function, file and table is which, and every field decided.

All fields are known, so all are checked, those that are the same on both sides as well: an offset that stayed while
what it leads to moved is a change.
"""

from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from reprodiff.errors import FormatError
from reprodiff.formats.program.go.pclntab import NONE, Strings, Table
from reprodiff.formats.program.pieces import Piece, Pieces, pair_strings
from reprodiff.formats.program.sequence import matched
from reprodiff.formats.program.units import joined
from reprodiff.spans import Span


class Field(NamedTuple):
    """The same words of both tables, as arrays: places, width in bytes, values, and whether they mean the same."""

    name: str
    one: Any
    two: Any
    width: int
    left: Any
    right: Any
    fine: Any


class Lines:
    """Two tables, and what corresponds in them."""

    def __init__(self, one: Table, two: Table) -> None:
        """Raises FormatError when they are of different layouts."""
        if (one.version, one.word, one.order) != (two.version, two.word, two.order):
            raise FormatError("the tables of Go's functions are of different layouts")
        self.one, self.two = one, two
        self.functions = _functions(one.names, two.names)
        self.names = _strings(one.strings("names"), two.strings("names"))
        self.files = _strings(one.strings("files"), two.strings("files"))
        # Where the tables of each side begin, and a number for the content of each.
        self.contents: list[tuple[Any, Any]] = _contents(one, two)

    @cached_property
    def pieces(self) -> Pieces:
        """The map of the section."""
        one, two = self.one, self.two
        found = [
            Piece(0, one.head, 0, two.head),
            Piece(one.head, one.regions["names"][0], two.head, two.regions["names"][0]),
        ]
        for region, strings in (("names", self.names), ("files", self.files)):
            found += self._texts(region, strings)
        found += self.units + self._tables() + self._records()
        found = [piece for piece in found if piece.l1 > piece.l0 or piece.r1 > piece.r0]
        return Pieces(joined(sorted(found)), one.data, two.data)

    def _texts(self, region: str, pairs: "list[tuple[Span | None, Span | None]]") -> list[Piece]:
        ends = [max((pair[side][1] for pair in pairs if pair[side]), default=table.regions[region][0])  # type: ignore[index]
                for side, table in enumerate((self.one, self.two))]  # fmt: skip
        stops = self.one.regions[region][1], self.two.regions[region][1]
        return [Piece(*(one or (0, 0)), *(two or (0, 0))) for one, two in pairs] + [
            Piece(min(ends[0], stops[0]), stops[0], min(ends[1], stops[1]), stops[1])
        ]

    @cached_property
    def units(self) -> list[Piece]:
        """Pair the lists of files of each unit by the functions of both sides that use them."""
        bounds = self.one.units.tolist(), self.two.units.tolist()
        i, j = self.functions
        starts = self.one.regions["units"][0], self.two.regions["units"][0]
        votes = Counter(
            zip(self.one.field("cuOffset")[i].tolist(), self.two.field("cuOffset")[j].tolist(), strict=True)
        )
        ends = [dict(pairwise(side)) for side in bounds]
        found: list[Piece] = []
        used: tuple[set[int], set[int]] = (set(), set())
        for (one, two), _count in sorted(votes.items(), key=lambda item: (-item[1], item[0])):
            a, b = starts[0] + 4 * one, starts[1] + 4 * two
            if a in ends[0] and b in ends[1] and a not in used[0] and b not in used[1]:
                used[0].add(a)
                used[1].add(b)
                found.append(Piece(a, ends[0][a], b, ends[1][b]))
        for side in (0, 1):
            for start, stop in ends[side].items():
                if start not in used[side]:
                    found.append(Piece(0, 0, start, stop) if side else Piece(start, stop, 0, 0))
        stops = self.one.regions["units"][1], self.two.regions["units"][1]
        return [*found, Piece(bounds[0][-1], stops[0], bounds[1][-1], stops[1])]

    def _tables(self) -> list[Piece]:
        """Pair the tables that map code to numbers: equal ones, then those that a function has on both sides."""
        (starts, ones), (others, twos) = ((s.tolist(), n.tolist()) for s, n in self.contents)
        places: dict[int, list[int]] = {}
        for number in reversed(range(len(twos))):
            places.setdefault(twos[number], []).append(number)
        twin = {}
        for number, content in enumerate(ones):
            hits = places.get(content)
            if hits:
                twin[number] = hits.pop()
        taken = set(twin.values())
        if len(twin) < len(ones):
            for a, b in sorted(self._used()):
                # Beside tables that correspond: another table that is there as well is none that changed.
                beside = twin.get(a - 1, -1) == b - 1 or twin.get(a + 1, len(twos)) == b + 1
                if a not in twin and b not in taken and beside:
                    twin[a] = b
                    taken.add(b)
        begin = self.one.regions["tables"][0], self.two.regions["tables"][0]
        ends = self.one.regions["tables"][1], self.two.regions["tables"][1]
        found = [Piece(begin[0], starts[0], begin[1], others[0]), Piece(starts[-1], ends[0], others[-1], ends[1])]
        found += [
            Piece(starts[a], starts[a + 1], others[twin[a]], others[twin[a] + 1])
            if a in twin else Piece(starts[a], starts[a + 1], 0, 0) for a in range(len(ones))
        ]  # fmt: skip
        return found + [Piece(0, 0, others[b], others[b + 1]) for b in range(len(twos)) if b not in taken]

    def _used(self) -> Iterator[tuple[int, int]]:
        """Yield the numbers of tables that stand in one field of one function on both sides."""
        for name, _one, _two, left, right in self._table_fields():
            del name
            numbers = []
            there = (left > 0) & (right > 0)
            for (starts, contents), table, values in zip(
                self.contents, (self.one, self.two), (left, right), strict=True
            ):
                places = values + table.regions["tables"][0]
                index = np.minimum(np.searchsorted(starts, places), max(len(contents) - 1, 0))
                there &= (starts[index] == places) if len(contents) else False
                numbers.append(index)
            a, b = numbers[0][there], numbers[1][there]
            odd = self.contents[0][1][a] != self.contents[1][1][b]
            yield from zip(a[odd].tolist(), b[odd].tolist(), strict=True)

    def _table_fields(self) -> Iterator[tuple[str, Any, Any, Any, Any]]:
        """Yield name, places and values of the fields that refer to tables."""
        i, j = self.functions
        for name in ("pcsp", "pcfile", "pcln"):
            one, two = self.one.records[i] + self.one.places[name], self.two.records[j] + self.two.places[name]
            yield name, one, two, self.one.read(one), self.two.read(two)
        one, two = self._behind(self.one.of_pcdata, self.two.of_pcdata)
        yield "pcdata", one, two, self.one.read(one), self.two.read(two)

    def _behind(self, ones: tuple[Any, Any], twos: tuple[Any, Any]) -> tuple[Any, Any]:
        """Return the places of words behind records of functions that correspond and have as many."""
        i, j = self.functions
        counts = [np.bincount(owners, minlength=table.count)
                  for (_at, owners), table in ((ones, self.one), (twos, self.two))]  # fmt: skip
        firsts = [np.cumsum(count) - count for count in counts]
        fits = counts[0][i] == counts[1][j]
        sizes = counts[0][i][fits]
        owners = np.repeat(np.arange(len(sizes)), sizes)
        step = np.arange(len(owners)) - (np.cumsum(sizes) - sizes)[owners]
        return ones[0][firsts[0][i][fits][owners] + step], twos[0][firsts[1][j][fits][owners] + step]

    def _records(self) -> list[Piece]:
        one, two = self.one, self.two
        i, j = (column.tolist() for column in self.functions)
        step = 2 * one.step
        found: list[Piece] = []
        # A record reaches to the next one: what fills it up is zeros.
        nexts = [np.append(table.records[1:], table.stops[-1]).tolist() for table in (one, two)]
        starts = one.records.tolist(), two.records.tolist()
        entries = one.at_entries.tolist(), two.at_entries.tolist()
        for a, b in zip(i, j, strict=True):
            found.append(Piece(entries[0][a], entries[0][a] + step, entries[1][b], entries[1][b] + step))
            found.append(Piece(starts[0][a], nexts[0][a], starts[1][b], nexts[1][b]))
        for a in sorted(set(range(one.count)) - set(i)):
            found += [Piece(entries[0][a], entries[0][a] + step, 0, 0), Piece(starts[0][a], nexts[0][a], 0, 0)]
        for b in sorted(set(range(two.count)) - set(j)):
            found += [Piece(0, 0, entries[1][b], entries[1][b] + step), Piece(0, 0, starts[1][b], nexts[1][b])]
        found.append(Piece(one.at_end, one.listed, two.at_end, two.listed))
        found.append(Piece(one.listed, starts[0][0], two.listed, starts[1][0]))
        found.append(Piece(one.stops[-1].item(), len(one.data), two.stops[-1].item(), len(two.data)))
        return found

    def decided(self, addresses: Any, texts: tuple[int, int], funcs: tuple[int, int] | None) -> list[Field]:
        """Return every field with whether it means the same on both sides.

        addresses: the map of the address spaces; texts: where the code of each side begins; funcs: what further data of
        functions is counted from, None where it is not known.
        """
        one, two = self.one, self.two
        i, j = self.functions
        found: list[Field] = []

        def add(name: str, places: tuple[Any, Any], width: int, check: Any) -> None:
            left, right = one.read(places[0], width), two.read(places[1], width)
            found.append(Field(name, *places, width, left, right, check(left, right)))

        def into(region: str, unit: int = 1) -> Any:
            first, second = one.regions[region][0], two.regions[region][0]
            return lambda a, b: self.pieces.to(first + a * unit) == second + b * unit

        def code(left: Any, right: Any) -> Any:
            bases = texts if one.version >= 18 else (0, 0)
            return addresses.same(left + bases[0], right + bases[1])

        self._header(add, addresses)
        add("entry", (one.at_entries[i], two.at_entries[j]), one.step, code)
        add("end", (np.array([one.at_end]), np.array([two.at_end])), one.step, code)
        add("record", (one.at_records[i], two.at_records[j]), one.step, lambda a, _b: np.ones(len(a), bool))
        add("entryOff", (one.records[i], two.records[j]), one.step, code)
        add("nameOff", self._of("nameOff"), 4, into("names"))
        units = into("units", 4)
        add("cuOffset", self._of("cuOffset"), 4, lambda a, b: np.where(a == NONE, a == b, units(a, b)))
        for name, places_one, places_two, left, right in self._table_fields():
            found.append(Field(name, places_one, places_two, 4, left, right, self._tables_fit(left, right)))
        places = self._behind(one.of_funcdata, two.of_funcdata)
        if one.version < 18:
            add("funcdata", places, one.word, lambda a, b: ((a == 0) & (b == 0)) | addresses.same(a, b))
        else:
            first, second = funcs or (0, 0)
            still = np.zeros(len(places[0]), bool) if funcs else np.ones(len(places[0]), bool)
            add("funcdata", places, 4, lambda a, b: np.where(
                (a == NONE) | still, a == b, addresses.same(first + a, second + b)))  # fmt: skip
        files = into("files")
        for piece in self.units:
            if piece.l1 > piece.l0 and piece.l1 - piece.l0 == piece.r1 - piece.r0:
                steps = np.arange(0, piece.l1 - piece.l0 - 3, 4)
                add("file", (piece.l0 + steps, piece.r0 + steps), 4,
                    lambda a, b: np.where(a == NONE, a == b, files(a, b)))  # fmt: skip
        return found

    def _of(self, name: str) -> tuple[Any, Any]:
        i, j = self.functions
        return self.one.records[i] + self.one.places[name], self.two.records[j] + self.two.places[name]

    def _header(self, add: Any, addresses: Any) -> None:
        one, two = self.one, self.two
        counts = [len(table.strings("files").texts) for table in (one, two)]

        def read(ones: Any, _twos: Any) -> Any:
            """Where parts lie, and how many functions there are, was believed to find all that is compared."""
            return np.ones(len(ones), bool)

        def files(ones: Any, twos: Any) -> Any:
            return (ones == twos) | ((ones == counts[0]) & (twos == counts[1]))

        def start(ones: Any, twos: Any) -> Any:
            return ((ones == 0) & (twos == 0)) | addresses.same(ones, twos)

        checks = {"nfiles": files, "textStart": start}
        for number, name in enumerate(one.fields):
            at = np.array([8 + number * one.word])
            add(name, (at, at), one.word, checks.get(name, read))

    def _tables_fit(self, left: Any, right: Any) -> Any:
        """Tell of pairs of offsets whether both lead to the same table, or to two that are held against each other."""
        first, second = self.one.regions["tables"][0], self.two.regions["tables"][0]
        sides = []
        for (starts, numbers), places in zip(self.contents, (left + first, right + second), strict=True):
            index = np.clip(np.searchsorted(starts, places), 0, max(len(numbers) - 1, 0))
            sides.append(np.where(starts[index] == places, numbers[index] if len(numbers) else -1, -1))
        same = (sides[0] == sides[1]) & (sides[0] >= 0)
        none = (left == 0) | (right == 0)
        return np.where(none, left == right, same | (self.pieces.to(left + first) == right + second))


def _contents(one: Table, two: Table) -> list[tuple[Any, Any]]:
    """Return where the tables of each side begin, the end of the last as well, and one number for each content."""
    found = []
    known: dict[bytes, int] = {}
    for table in (one, two):
        bounds = table.tables.tolist()
        whole = [table.data[a:b] for a, b in pairwise(bounds)]
        numbers = [known.setdefault(text, len(known)) for text in whole]
        found.append((table.tables, np.array(numbers, np.int64)))
    return found


def _functions(ones: list[bytes], twos: list[bytes]) -> tuple[Any, Any]:
    """Pair functions by name: in order where they can be, then wherever they stand."""
    if ones == twos:
        return np.arange(len(ones)), np.arange(len(ones))
    twin: dict[int, int] = {}
    at_a = at_b = 0
    for i, j, count in [*matched(ones, twos), (len(ones), len(twos), 0)]:
        # As many between two that are the same: their names differ.
        if i - at_a == j - at_b:
            twin.update((at_a + k, at_b + k) for k in range(i - at_a))
        twin.update((i + k, j + k) for k in range(count))
        at_a, at_b = i + count, j + count
    taken = set(twin.values())
    places: dict[bytes, list[int]] = {}
    for j in reversed(range(len(twos))):
        if j not in taken:
            places.setdefault(twos[j], []).append(j)
    for i, name in enumerate(ones):
        if i not in twin and places.get(name):
            twin[i] = places[name].pop()
    found = sorted(twin.items())
    return np.array([i for i, _j in found], np.int64), np.array([j for _i, j in found], np.int64)


def _strings(ones: Strings, twos: Strings) -> "list[tuple[Span | None, Span | None]]":
    """Pair strings: equal ones, and those between them where there are as many; the rest by what they have in common."""

    def span(side: Strings, number: int) -> Span:
        return side.starts[number], side.starts[number] + len(side.texts[number]) + 1

    found: list[tuple[Span | None, Span | None]] = []
    rest: tuple[list[int], list[int]] = ([], [])
    at_a = at_b = 0
    for i, j, count in [*matched(ones.texts, twos.texts), (len(ones.texts), len(twos.texts), 0)]:
        if i - at_a == j - at_b:
            found += [(span(ones, at_a + k), span(twos, at_b + k)) for k in range(i - at_a)]
        else:
            rest[0].extend(range(at_a, i))
            rest[1].extend(range(at_b, j))
        found += [(span(ones, i + k), span(twos, j + k)) for k in range(count)]
        at_a, at_b = i + count, j + count
    places = {twos.texts[j]: j for j in reversed(rest[1])}
    alone = []
    for i in rest[0]:
        twin = places.pop(ones.texts[i], None)
        if twin is None:
            alone.append(span(ones, i))
        else:
            found.append((span(ones, i), span(twos, twin)))
            rest[1].remove(twin)
    left, right = _data(ones), _data(twos)
    return found + list(pair_strings(left, right, alone, [span(twos, j) for j in rest[1]]))


def _data(strings: Strings) -> bytes:
    """Return strings at the offsets that they have in their section."""
    return bytes(strings.starts[0] if strings.starts else 0) + b"\0".join(strings.texts) + b"\0"
