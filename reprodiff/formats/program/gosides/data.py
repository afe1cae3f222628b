"""Read-only data of Go programs: strings without an end, types, and what the runtime knows of functions.

Nothing but what refers to it says where one thing ends and the next begins: so it is cut wherever code, data or the
table of functions lead to, and the parts are paired by the functions that use them, by symbol, and by content.
"""

from collections import Counter
from collections.abc import Callable
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from reprodiff.formats import Walk
from reprodiff.formats.program.around import Stream
from reprodiff.formats.program.contents import string_changed
from reprodiff.formats.program.go.pclntab import NAME, NONE, buckets
from reprodiff.formats.program.image import Section
from reprodiff.formats.program.names import SHT_PROGBITS
from reprodiff.formats.program.pieces import Piece, Pieces, pair_strings, texts
from reprodiff.formats.program.sequence import matched
from reprodiff.formats.program.sides import Pair
from reprodiff.formats.program.words import gather
from reprodiff.spans import Span, differing

# What further data of a function is, by its number (go/src/internal/abi/funcdata.go).
STACK_OBJECTS, INLINED, WRAPPED = 2, 3, 7
SECTIONS = (b".rodata", b".data.rel.ro")
COMMON_MIN = 8


def cut_by_uses(pair: Pair) -> bool:
    """Tell whether a section pair is data that is cut by what refers to it."""
    one, two = pair.one, pair.two
    read_only = one.alloc and not one.code and one.type == two.type == SHT_PROGBITS and one.size and two.size
    return bool(read_only) and one.name in SECTIONS and not one.name.endswith(NAME)


class Data:
    """One pair of sections of read-only data of two Go programs. go: gosides.Go."""

    def __init__(self, go: Any, pair: Pair) -> None:
        self.go, self.pair = go, pair
        self.left: bytes = go.both.left.data(pair.one)
        self.right: bytes = go.both.right.data(pair.two)
        # Parts that both sides hold exactly as the rest of the file makes them.
        self.copy = self._copy()
        self.derived = [spans for spans in (self._buckets(), self.copy) if spans is not None]
        # The table of functions, where it lies among other data: compared apart.
        self.table: tuple[Span, Span] | None = None
        if pair is go.pair:
            one, two = go.places
            self.table = (one.start, one.stop), (two.start, two.stop)

    def _functions(self, side: int) -> tuple[Any, Any, Any]:
        """Return of all words behind the functions' records: function, number, and the offset in the section (-1)."""
        table = (self.go.lines.one, self.go.lines.two)[side]
        at, owners = table.of_funcdata
        if table.version < 18 or self.go.modules is None:
            return (np.zeros(0, np.int64),) * 3
        section = (self.pair.one, self.pair.two)[side]
        values = table.read(at)
        counts = table.funcdata
        first = np.cumsum(counts) - counts
        places = np.where(values == NONE, -1, values + self.go.modules[side].funcs - section.addr)
        return owners, np.arange(len(owners)) - first[owners], np.where(places < section.size, places, -1)

    @cached_property
    def functions(self) -> tuple[tuple[Any, Any, Any], tuple[Any, Any, Any]]:
        """What the functions of both sides refer to."""
        return self._functions(0), self._functions(1)

    @property
    def fixed(self) -> list[tuple[Span, Span]]:
        """The parts whose bounds are known."""
        return [*self.derived, *([self.table] if self.table else [])]

    def whole(self) -> Pieces:
        """Return the map of the section with the table of functions in it."""
        assert self.table is not None
        (one, _end), (two, _stop) = self.table
        lines = self.go.lines.pieces
        found = [*self.pieces.pieces, *self.pieces.added]
        found += [
            Piece(
                p.l0 + one if p.l1 else 0,
                p.l1 + one if p.l1 else 0,
                p.r0 + two if p.r1 else 0,
                p.r1 + two if p.r1 else 0,
            )
            for p in (*lines.pieces, *lines.added)
        ]
        return Pieces(found, self.left, self.right)

    @cached_property
    def cuts(self) -> tuple[Any, Any]:
        """Where parts begin on both sides, in order: 0 and the section's size among them."""
        return self._cuts(0), self._cuts(1)

    def _cuts(self, side: int) -> Any:
        files = self.go.both.left, self.go.both.right
        section: Section = (self.pair.one, self.pair.two)[side]
        found = [np.array([0, section.size], np.int64), files[side].references(section)]
        found += [np.array(span[side], np.int64) for span in self.fixed]
        for symbol in files[side].named(section):
            found.append(np.array([symbol.start, symbol.start + symbol.size], np.int64))
        word = files[side].image.word
        for other in files[side].image.sections:
            if (
                not other.alloc
                or other.code
                or not other.stored
                or other.type != SHT_PROGBITS
                or other.name.endswith(NAME)
            ):
                continue
            data = np.frombuffer(files[side].data(other), np.uint8)
            places = np.arange(-other.addr % word, len(data) - word + 1, word)
            values = gather(data, places, word, files[side].image.order, signed=False) - section.addr
            found.append(values)
        found.append(files[side].relocations()[1] - section.addr)
        found.append(self.functions[side][2])
        if self.go.modules is not None:
            module = self.go.modules[side]
            found.append(np.array([module.funcs, module.rodata, *module.types], np.int64) - section.addr)
        whole = np.concatenate(found)
        whole = np.unique(whole[(whole >= 0) & (whole <= section.size)])
        # What has a name and a size is one thing.
        spans = [(symbol.start, symbol.start + symbol.size) for symbol in files[side].named(section) if symbol.size]
        whole = np.union1d(_outside(whole, spans), [0, section.size])
        fixed = [span[side] for span in self.fixed]
        return _outside(np.union1d(whole, [end for span in fixed for end in span]).astype(np.int64), fixed)

    @cached_property
    def pieces(self) -> Pieces:
        """The map of the section, without the table of functions."""
        sides = self.cuts
        bounds = [side.tolist() for side in sides]
        parts = [
            [data[a:b] for a, b in pairwise(side)] for data, side in zip((self.left, self.right), bounds, strict=True)
        ]
        twin: dict[int, int] = {}
        taken: set[int] = set()
        names: dict[int, bytes] = {}

        def pair(i: int, j: int, name: bytes | None = None) -> None:
            if i not in twin and j not in taken:
                twin[i] = j
                taken.add(j)
                if name:
                    names[i] = name

        starts = [{start: number for number, start in enumerate(side[:-1])} for side in bounds]
        # Parts whose bounds are known on both sides.
        bounded = {starts[0][one[0]] for one, _two in self.fixed}
        for one, two in self.fixed:
            pair(starts[0][one[0]], starts[1][two[0]])
        symbols = {symbol.key: symbol for symbol in self.go.both.right.named(self.pair.two) if symbol.size}
        for symbol in self.go.both.left.named(self.pair.one):
            other = symbols.get(symbol.key)
            if other is not None and symbol.size and symbol.start in starts[0] and other.start in starts[1]:
                pair(starts[0][symbol.start], starts[1][other.start], symbol.name)
                bounded.add(starts[0][symbol.start])
        self._by_function(sides, pair)
        stretches = self._by_content(parts, twin, taken, pair)
        found: list[Piece] = []
        for ones, twos in stretches:
            found.append(
                Piece(bounds[0][ones[0]], bounds[0][ones[-1] + 1], bounds[1][twos[0]], bounds[1][twos[-1] + 1])
            )
        within = {i for ones, _twos in stretches for i in ones}
        for i, j in sorted((i, j) for i, j in twin.items() if i not in within):
            a, b = parts[0][i], parts[1][j]
            one, two = (bounds[0][i], bounds[0][i + 1]), (bounds[1][j], bounds[1][j + 1])
            ends = [len(part.rstrip(b"\0")) + 1 for part in (a, b)]
            if ends[0] <= len(a) and ends[1] <= len(b) and texts(a[: ends[0] - 1], b[: ends[1] - 1]):
                # A text ends in one zero: what is more of them fills up.
                found.append(Piece(one[0], one[0] + ends[0], two[0], two[0] + ends[1]))
                found.append(Piece(one[0] + ends[0], one[1], two[0] + ends[1], two[1]))
                continue
            most = min(len(a), len(b))
            if i in bounded or a[most:].strip(b"\0") or b[most:].strip(b"\0"):
                found.append(Piece(*one, *two, names.get(i)))
                continue
            # What comes next may be aligned otherwise.
            found.append(Piece(one[0], one[0] + most, two[0], two[0] + most, names.get(i)))
            found.append(Piece(one[0] + most, one[1], two[0] + most, two[1]))
        alone = [
            [(side[i], side[i + 1]) for i in range(len(side) - 1) if i not in used]
            for side, used in zip(bounds, (twin, taken), strict=True)
        ]
        found += self._rest(*alone)
        found = [piece for piece in found if piece.l1 > piece.l0 or piece.r1 > piece.r0]
        if self.table is not None:
            found = [piece for piece in found if ((piece.l0, piece.l1), (piece.r0, piece.r1)) != self.table]
        return Pieces(self._joined(found), self.left, self.right)

    def _by_function(self, sides: tuple[Any, Any], pair: Callable[..., None]) -> None:
        """Pair what the same function refers to under the same number, what most of them agree on first."""
        i, j = self.go.lines.functions
        (owners, numbers, places), (others, slots, targets) = self.functions
        if not len(owners) or not len(others):
            return
        right = np.full(self.go.lines.one.count, -1, np.int64)
        right[i] = j
        # One number for a function of the right side and which of its words it is.
        keys = right[owners] * 256 + numbers
        known = others * 256 + slots
        index = np.clip(np.searchsorted(known, keys), 0, len(known) - 1)
        good = (right[owners] >= 0) & (known[index] == keys) & (places >= 0) & (targets[index] >= 0)
        a, b = np.searchsorted(sides[0], places[good]), np.searchsorted(sides[1], targets[index][good])
        votes = Counter(zip(a.tolist(), b.tolist(), strict=True))
        table = self.go.lines.one
        first = dict(zip(reversed(a.tolist()), reversed(owners[good].tolist()), strict=True))
        for (x, y), _count in sorted(votes.items(), key=lambda item: (-item[1], item[0])):
            pair(x, y, table.names[first[x]])

    @staticmethod
    def _by_content(
        parts: list[list[bytes]], twin: dict[int, int], taken: set[int], pair: Callable[..., None]
    ) -> list[tuple[list[int], list[int]]]:
        """Pair parts that are equal, in order and then wherever they stand, and as many between two such.

        Returns stretches of parts in a row that are cut otherwise on both sides and yet much alike: a reference may lie.
        """
        stretches: list[tuple[list[int], list[int]]] = []
        rest = [[i for i in range(len(parts[0])) if i not in twin], [j for j in range(len(parts[1])) if j not in taken]]
        contents = [[side[i] for i in numbers] for side, numbers in zip(parts, rest, strict=True)]
        runs = matched(*contents)
        for a, b, count in runs:
            for step in range(count):
                pair(rest[0][a + step], rest[1][b + step])
        places: dict[bytes, list[int]] = {}
        for j in reversed(rest[1]):
            if j not in taken:
                places.setdefault(parts[1][j], []).append(j)
        for i in rest[0]:
            if i not in twin and places.get(parts[0][i]):
                pair(i, places[parts[0][i]].pop())
        at_a = at_b = 0
        for a, b, count in [*runs, (len(rest[0]), len(rest[1]), 0)]:
            ones = [i for i in rest[0][at_a:a] if i not in twin]
            twos = [j for j in rest[1][at_b:b] if j not in taken]
            if _one_stretch([parts[0][i] for i in ones], [parts[1][j] for j in twos], ones, twos):
                stretches.append((ones, twos))
                twin.update(dict.fromkeys(ones, -1))
                taken.update(twos)
            elif len(ones) == len(twos):
                for i, j in zip(ones, twos, strict=True):
                    pair(i, j)
            at_a, at_b = a + count, b + count
        return stretches

    def _rest(self, ones: list[Span], twos: list[Span]) -> list[Piece]:
        """Pair texts that changed by what they have in common; what is left has one side alone."""
        lefts = [span for span in ones if texts(self.left[slice(*span)], b" ")]
        rights = [span for span in twos if texts(self.right[slice(*span)], b" ")]
        found = [Piece(*one, 0, 0) for one in ones if one not in set(lefts)]
        found += [Piece(0, 0, *two) for two in twos if two not in set(rights)]
        for one, two in pair_strings(self.left, self.right, lefts, rights):
            if one and two and not _alike(self.left[slice(*one)], self.right[slice(*two)]):
                found += [Piece(*one, 0, 0), Piece(0, 0, *two)]
            else:
                found.append(Piece(*(one or (0, 0)), *(two or (0, 0))))
        return found

    def _joined(self, pieces: list[Piece]) -> list[Piece]:
        """Join parts that are equal and go on where the one before ends: those that differ stay what they are."""
        found: list[Piece] = []
        whole = False
        for piece in sorted(pieces):
            same = self.left[piece.l0 : piece.l1] == self.right[piece.r0 : piece.r1]
            last = found[-1] if found else None
            if last and whole and same and last.l1 == piece.l0 and last.r1 == piece.r0:
                found[-1] = Piece(last.l0, piece.l1, last.r0, piece.r1)
            else:
                # What differs in nothing but the zeros that fill it up is nobody's.
                ends = [self.left[piece.l0 : piece.l1].rstrip(b"\0"), self.right[piece.r0 : piece.r1].rstrip(b"\0")]
                found.append(piece._replace(name=None) if ends[0] == ends[1] else piece)
            whole = same
        return found

    def put(self, walk: Walk, where: str, stream: Stream, found: Any) -> set[Piece]:
        """Put what is known to be one text that differs, and what follows as a whole; returns these pieces."""
        done: set[Piece] = set()
        for piece in found.pieces.pieces:
            a, b = self.left[piece.l0 : piece.l1], self.right[piece.r0 : piece.r1]
            if a == b:
                continue
            spans = (piece.l0 + stream.one, piece.l1 + stream.one), (piece.r0 + stream.two, piece.r1 + stream.two)
            if ((piece.l0, piece.l1), (piece.r0, piece.r1)) in self.derived:
                if not piece.equal:
                    walk.put_follows(where, 1, differing(a, b).size, *spans)
                    done.add(piece)
            elif texts(a.rstrip(b"\0"), b.rstrip(b"\0")):
                here = (found.one >= piece.l0) & (found.one < piece.l1)
                if not piece.equal or found.open[here].all():
                    string_changed(walk, self.go.both, self.pair, where, a, b, *spans)
                    found.drop(here)
                    done.add(piece)
        return done

    def decide(self, found: Any) -> None:
        """Accept what of the section follows, besides addresses."""
        addresses, lines, modules = self.go.both.addresses, self.go.lines, self.go.modules
        for one, _two in self.derived:
            found.open[(found.one >= one[0]) & (found.one < one[1])] = False
        if modules is None:
            return
        one, two = modules
        names = lines.one.regions["names"][0], lines.two.regions["names"][0]
        begins = np.array(lines.one.strings("names").starts, np.int64)
        entries = np.unique(lines.one.entries)
        cuts = self.cuts[0]
        slots: dict[int, Any] = {
            slot: np.unique(self.functions[0][2][self.functions[0][1] == slot]) for slot in (STACK_OBJECTS, INLINED, WRAPPED)
        }  # fmt: skip

        def inside(starts: Any, slot: int) -> Any:
            return np.isin(cuts[np.searchsorted(cuts, starts, "right") - 1], slots[slot])

        def inlined(starts: Any, _others: Any, ones: Any, twos: Any) -> Any:
            exact = np.isin(ones + names[0], begins)
            return inside(starts, INLINED) & exact & (lines.pieces.to(ones + names[0]) == twos + names[1])

        def objects(starts: Any, _others: Any, ones: Any, twos: Any) -> Any:
            return inside(starts, STACK_OBJECTS) & addresses.same(one.rodata + ones, two.rodata + twos)

        def wrapped(starts: Any, _others: Any, ones: Any, twos: Any) -> Any:
            return inside(starts, WRAPPED) & np.isin(ones, entries) & addresses.same(one.text + ones, two.text + twos)

        # What a linker puts into one section says of all of it that it is types; they come before all else.
        stop = one.funcs if one.types[0] < one.funcs < one.types[1] else one.types[1]

        def types(starts: Any, _others: Any, ones: Any, twos: Any) -> Any:
            here = (starts + self.pair.one.addr >= one.types[0]) & (starts + self.pair.one.addr < stop)
            method = np.isin(ones, entries) & addresses.same(one.text + ones, two.text + twos)
            within = (one.types[0] + ones < stop) & (ones > 0)
            return here & (method | (within & addresses.same(one.types[0] + ones, two.types[0] + twos)))

        for check in (inlined, objects, wrapped, types):
            found.accept(4, 4, self.pair.one.addr, check)
        length = self.go.both.left.image.word
        sections = one.sections - self.pair.one.addr + length
        if found.open.any() and 0 <= sections < len(self.left):
            sizes = one.code[1] - one.code[0], two.code[1] - two.code[0]
            found.accept_fields(np.array([sections]), lambda _s, _o, a, b: (a == sizes[0]) & (b == sizes[1]), length)

    def _buckets(self) -> tuple[Span, Span] | None:
        """Return the table that the runtime finds functions by, where it is on both sides what their functions make it."""
        if self.go.modules is None:
            return None
        found: list[Span] = []
        for module, table, data, section in zip(
            self.go.modules, (self.go.lines.one, self.go.lines.two), (self.left, self.right),
            (self.pair.one, self.pair.two), strict=True,
        ):  # fmt: skip
            made = buckets(table)
            start = module.findfunctab - section.addr
            if start < 0 or data[start : start + len(made)] != made:
                return None
            found.append((start, start + len(made)))
        return found[0], found[1]

    def _copy(self) -> tuple[Span, Span] | None:
        """Return the copy of what `go build` recorded, which the program itself reads."""
        found: list[Span] = []
        for text, data in zip(self.go.recorded, (self.left, self.right), strict=True):
            at = data.find(text) if text else -1
            if at < 0 or data.find(text, at + 1) >= 0:
                return None
            # Its symbol counts a zero behind it.
            found.append((at, at + len(text) + (data[at + len(text) : at + len(text) + 1] == b"\0")))
        return found[0], found[1]


def _outside(places: Any, spans: list[Span]) -> Any:
    """Return the places, in order, that lie in none of the spans; their bounds lie outside."""
    starts, stops = (np.sort(np.array([span[end] for span in spans], np.int64)) for end in (0, 1))
    # Where as many begin before a place as end there or before, it lies in none.
    return places[np.searchsorted(starts, places) <= np.searchsorted(stops, places, "right")]


def _one_stretch(lefts: list[bytes], rights: list[bytes], ones: list[int], twos: list[int]) -> bool:
    """Tell whether parts in a row, by their numbers, are cut otherwise on both sides and yet as a whole much alike."""
    rows = [bool(numbers) and numbers[-1] - numbers[0] == len(numbers) - 1 for numbers in (ones, twos)]
    if not all(rows) or list(map(len, lefts)) == list(map(len, rights)):
        return False
    a, b = b"".join(lefts), b"".join(rights)
    return len(a) == len(b) and 4 * int((np.frombuffer(a, np.uint8) != np.frombuffer(b, np.uint8)).sum()) <= len(a)


def _alike(one: bytes, two: bytes) -> bool:
    """Tell whether two texts have enough in common to be one that changed."""
    from reprodiff.spans import common_prefix, common_suffix

    most = min(len(one), len(two))
    tail = common_suffix(one, two, most)
    both = tail + common_prefix(one[: len(one) - tail], two[: len(two) - tail])
    return 2 * both >= most or both >= COMMON_MIN
