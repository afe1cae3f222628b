"""Which places of two sections their symbols name, where a single symbol may say something that is not so.

A symbol is believed where the bytes and its neighbours do not contradict it. One whose value or size was edited must
not move the code that it names: then the map would justify the edit.
"""

from bisect import bisect_left
from collections import Counter
from itertools import accumulate, pairwise

from reprodiff.formats.program.pieces import Symbol, unlike

# How much of a function or object is looked at to tell where it is.
LOOK_MAX = 4096
# What compilers fill code up with.
FILLING = b"\0\xcc\x90\x66\x2e\x0f\x1f\x84\x80\x40\x44"
Key = tuple[bytes, bytes, int]


class _Twins:
    """The symbols of two sections that correspond. data: the bytes of both, None where there are none."""

    def __init__(
        self, ones: list[Symbol], twos: list[Symbol], data: tuple[bytes, bytes] | None, sizes: tuple[int, int]
    ) -> None:
        self.ones, self.data, self.sizes = ones, data, sizes
        self.at = {symbol.key: symbol for symbol in twos}
        self.places: dict[int, list[Symbol]] = {}
        for symbol in ones:
            self.places.setdefault(symbol.start, []).append(symbol)
        self.order = sorted(self.places)
        self.homes = {symbol.key: symbol.start for symbol in ones}
        self.lengths = {symbol.key: symbol.size for symbol in ones}
        self.claimed = sorted((symbol.start, symbol.key) for symbol in twos)
        self.starts = [start for start, _key in self.claimed]
        # How far what begins at or before each of them reaches.
        self.extents = list(accumulate((self.at[key].start + self.at[key].size for _start, key in self.claimed), max))
        self.shifts: list[int | None] = []
        for place in self.order:
            found = [self.at[s.key].start - place for s in self.places[place] if s.key in self.at]
            if len(found) < 2:
                self.shifts.append(found[0] if found else None)
                continue
            before = self.shifts[-1] if self.shifts else 0
            counts = Counter(found)
            self.shifts.append(max(counts, key=lambda d: (counts[d], d == before, -abs(d), d)))

    def around(self, index: int) -> tuple[int, int]:
        """Return by how much what lies before and behind a place has moved."""
        shifts = self.shifts
        before = shifts[index - 1] if index else None
        if before is None:
            before = next((s for s in reversed(shifts[max(0, index - 8) : index]) if s is not None), 0)
        behind = shifts[index + 1] if index + 1 < len(shifts) else None
        if behind is None:
            behind = next((s for s in shifts[index + 1 : index + 9] if s is not None), self.sizes[1] - self.sizes[0])
        return before, behind

    def free(self, place: int, start: int, size: int) -> bool:
        """Tell whether no symbol of another left place names anything in a range of the right side."""
        first, last = bisect_left(self.starts, start), bisect_left(self.starts, start + max(size, 1))
        return all(self.homes.get(key) == place for _start, key in self.claimed[first:last])

    def inside(self, symbol: Symbol, start: int) -> bool:
        """Tell whether a place of the right side lies within what another symbol names there, as long as on the left,
        where that one names nothing of the kind around the symbol's own place."""
        first = bisect_left(self.starts, start)
        for at, key in self.claimed[max(0, first - 8) : first]:
            size, home = self.at[key].size, self.homes.get(key)
            if key == symbol.key or home is None or size != self.lengths[key]:
                continue
            if start < at + size and not home <= symbol.start < home + size:
                return True
        return False

    def unlike(self, start: int, other: int, size: int) -> int | None:
        """Count the bytes in which two ranges differ, None where nothing is stored."""
        if self.data is None:
            return None
        a, b = self.data[0][start : start + size], self.data[1][other : other + size]
        most = min(len(a), len(b))
        return unlike(a[:most], b[:most]) + size - most

    def begins(self, twin: Symbol, size: int, start: int) -> bool:
        """Tell whether a symbol of the right side, with another size than the left one has, names what stands before a
        place: bytes that are its own, and neither another symbol's nor filling."""
        cut = twin.start + twin.size == self.sizes[1] and start + size == self.sizes[0] == self.sizes[1]
        if (
            self.data is None
            # What ends with its section may have been cut there.
            or twin.size == size
            or cut
            or twin.start >= start
            or not self.data[1][twin.start : start].strip(FILLING)
        ):
            return False
        first = bisect_left(self.starts, twin.start)
        before = self.extents[first - 1] if first else 0
        return before <= twin.start and all(
            key == twin.key for _at, key in self.claimed[first : bisect_left(self.starts, start)]
        )

    def truth(self, index: int, symbol: Symbol) -> int | None:
        """Return where on the right a symbol really is, None where that is where it says."""
        twin = self.at[symbol.key]
        here = self.shifts[index]
        around = self.around(index)
        size = min(max(min(symbol.size, twin.size), 1) if symbol.size else 16, LOOK_MAX)
        after = self.order[index + 1] if index + 1 < len(self.order) else self.sizes[0]
        room = min(size, max(after - symbol.start, 1))
        own = twin.start - symbol.start
        for shift in dict.fromkeys((here, *around)):
            start = symbol.start + (shift or 0)
            if shift is None or shift == own or not 0 <= start <= self.sizes[1] - min(size, symbol.size):
                continue
            if not self.free(symbol.start, start, room) or self.begins(twin, symbol.size, start):
                continue
            if self.inside(symbol, start):
                continue
            there, claimed = self.unlike(symbol.start, start, size), self.unlike(symbol.start, twin.start, size)
            if there is None or there == claimed:
                if around[0] == around[1] == shift:
                    return start
            elif claimed is not None and there < claimed:
                return start
        return None


def agreed(
    ones: list[Symbol], twos: list[Symbol], data: tuple[bytes, bytes] | None, sizes: tuple[int, int]
) -> tuple[list[Symbol], list[Symbol]]:
    """Return one symbol for each place of either side, with what one of them alone says otherwise put right.

    ones, twos: all symbols of two sections, by offset; data: the bytes of both; sizes: of both sections.
    """
    if ones == twos:
        rows = _first_of(ones, {})
        return rows, rows
    twins = _Twins(ones, twos, data, sizes)
    moved: dict[Key, int] = {}
    for index, place in enumerate(twins.order):
        here, (before, behind) = twins.shifts[index], twins.around(index)
        for symbol in twins.places[place]:
            twin = twins.at.get(symbol.key)
            if twin is not None and not here == before == behind == twin.start - place:
                start = twins.truth(index, symbol)
                if start is not None:
                    moved[symbol.key] = start
    right = [s._replace(start=moved[s.key]) if s.key in moved else s for s in twos] if moved else twos
    lengths = {s.key: max(s.size, twins.at[s.key].size) for s in ones if s.key in twins.at}
    left, right = _first_of(ones, lengths), _first_of(right, lengths)
    return _sized(twins, *_renamed(twins, left, right))


def _first_of(symbols: list[Symbol], lengths: dict[Key, int]) -> list[Symbol]:
    """Return one symbol of each place: one that both sides have, the longest, the first by name."""
    if all(one.start < two.start for one, two in pairwise(symbols)):
        return list(symbols)
    found: dict[int, tuple[tuple[bool, int, Key], Symbol]] = {}
    for symbol in symbols:
        rank = symbol.key not in lengths, -lengths.get(symbol.key, symbol.size), symbol.key
        old = found.get(symbol.start)
        if old is None or rank < old[0]:
            found[symbol.start] = rank, symbol
    return [found[start][1] for start in sorted(found)]


def _renamed(twins: _Twins, left: list[Symbol], right: list[Symbol]) -> tuple[list[Symbol], list[Symbol]]:
    """Pair symbols that only their names tell apart, and drop those of one side where the bytes go on as they were."""
    keys = {s.key for s in left}, {s.key for s in right}
    places = {s.start: number for number, s in enumerate(right)}
    shift = 0
    rows: list[Symbol] = []
    names: dict[int, Key] = {}
    for symbol in left:
        if symbol.key in keys[1]:
            shift = twins.at[symbol.key].start - symbol.start
        else:
            start = symbol.start + shift
            size = min(symbol.size or 16, LOOK_MAX)
            number = places.get(start)
            unlike = twins.unlike(symbol.start, start, size)
            if unlike is None or 2 * unlike <= size:
                if number is None and twins.free(symbol.start, start, size):
                    continue
                if unlike is not None and number is not None and right[number].key not in keys[0]:
                    names[number] = symbol.key
        rows.append(symbol)
    twins_of = {s.key: s.start for s in left}
    homes = {s.start for s in left}
    shift = 0
    found: list[Symbol] = []
    for number, symbol in enumerate(right):
        if symbol.key in twins_of:
            shift = symbol.start - twins_of[symbol.key]
        elif number not in names and symbol.start - shift not in homes:
            size = min(symbol.size or 16, LOOK_MAX)
            unlike = twins.unlike(symbol.start - shift, symbol.start, size) if symbol.start >= shift else size
            if unlike is None or 2 * unlike <= size:
                continue
        found.append(symbol._replace(key=names[number]) if number in names else symbol)
    return rows, found


def _sized(twins: _Twins, left: list[Symbol], right: list[Symbol]) -> tuple[list[Symbol], list[Symbol]]:
    """Believe sizes that differ only where the bytes do, and drop what lies inside another symbol on both sides."""
    numbers = {symbol.key: number for number, symbol in enumerate(right)}

    def extent(symbols: list[Symbol], number: int, size: int) -> int:
        stop = symbols[number + 1].start if number + 1 < len(symbols) else size
        return stop - symbols[number].start

    sizes: tuple[dict[int, int], dict[int, int]] = ({}, {})
    inside: tuple[set[int], set[int]] = (set(), set())
    outer: tuple[int, int] | None = None
    for number, symbol in enumerate(left):
        other = numbers.get(symbol.key)
        if other is None:
            continue
        twin = right[other]
        if outer is not None:
            one, two = left[outer[0]], right[outer[1]]
            far = symbol.start - one.start
            if far < one.size and far == twin.start - two.start and far < two.size:
                inside[0].add(number)
                inside[1].add(other)
                continue
        outer = number, other
        if symbol.size == twin.size:
            continue
        room = extent(left, number, twins.sizes[0])
        if room == extent(right, other, twins.sizes[1]):
            unlike = twins.unlike(symbol.start, twin.start, min(room, LOOK_MAX))
            if unlike is None or 2 * unlike <= min(room, LOOK_MAX):
                sizes[0][number] = sizes[1][other] = min(max(symbol.size, twin.size), room)
    found = [
        [
            symbol._replace(size=sizes[side][number]) if number in sizes[side] else symbol
            for number, symbol in enumerate(rows)
            if number not in inside[side]
        ]
        for side, rows in enumerate((left, right))
    ]
    return found[0], found[1]
