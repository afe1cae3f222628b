"""Which part of data is which: by what refers to it and what it holds."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from reprodiff.formats.program import links
from reprodiff.formats.program.arrange.code import Code
from reprodiff.formats.program.arrange.region import TEXT, Region
from reprodiff.formats.program.names import SHF_WRITE
from reprodiff.formats.program.pieces import Symbol
from reprodiff.formats.program.words import gather


class Data(Code):
    """Pairs parts of data."""

    def _objects(self) -> None:
        """Collect the symbols of data: each is a reference to its object, from a place of its own."""
        self.objects: list[list[dict[int, Symbol]]] = [[], []]
        self.namesakes: list[list[tuple[list[Symbol], list[Symbol]]]] = [[] for _region in self.regions]
        for number, region in enumerate(self.regions):
            rows: tuple[dict[Any, list[Symbol]], dict[Any, list[Symbol]]] = ({}, {})
            for side in (0, 1):
                found: dict[int, Symbol] = {}
                begins: set[int] = set()
                for symbol in (
                    self.sides[side].symbols(self._section(number, side)) if not self.pairs[number].one.code else ()
                ):
                    rows[side].setdefault(symbol.key[:2], []).append(symbol)
                    begins.update((symbol.start, symbol.start + symbol.size))
                    old = found.get(symbol.start)
                    if old is None or (-symbol.size, symbol.key) < (-old.size, old.key):
                        found[symbol.start] = symbol
                self.objects[side].append(found)
                region.begins[side][:] = sorted(begins)
            for key, ones in rows[0].items():
                twos = rows[1].get(key, [])
                if len(ones) == len(twos) == 1:
                    self.single.append((number, ones[0], twos[0]))
                elif twos:
                    self.namesakes[number].append((ones, twos))

    def _by_names(self) -> bool:
        """Pair objects by their symbols alone, whatever they hold."""
        found = False
        for number, one, two in self.single:
            if one.size == two.size and one.size:
                found |= self.regions[number].add(one.start, two.start, one.size, one.name)
        return found

    def _slots_left(self) -> bool:
        return self._slots(False)

    def _slots(self, tables: bool) -> bool:
        """Pair what relocations of the same name write to. tables: in tables of addresses, or elsewhere."""
        found = False
        word = self.left.image.word
        keys = [_single(others) for others in self.symbols]
        for key, place in keys[0].items():
            other = keys[1].get(key)
            one = self.home(0, place)
            two = self.home(1, other) if other is not None else None
            if one and two and one[0] == two[0] and self.regions[one[0]].data is not None:
                region = self.regions[one[0]]
                found |= region.one.name.startswith(b".got") == tables and region.add(one[1], two[1], word)
        return found

    def _candidates(self) -> Iterator[tuple[int, int, list[tuple[int, int]]]]:
        """Yield what is referred to from places that correspond and is not known yet: region, left address, (votes, right
        address) by votes."""
        (places, targets), (others, rights) = self.references
        to = self.to(places)
        index = np.searchsorted(others, to)
        index = np.minimum(index, max(len(others) - 1, 0))
        there = (to >= 0) & (others[index] == to) if len(others) else np.zeros(len(places), bool)
        one, two = targets[there], rights[index[there]]
        lies = self._homes(0, one)
        fresh = (self.to(one) < 0) & ~self.known(two) & (lies >= 0) & (lies == self._homes(1, two))
        one, two, lies = one[fresh], two[fresh], lies[fresh]
        if not len(one):
            return
        order = np.lexsort((two, one))
        one, two, lies = one[order], two[order], lies[order]
        numbers = dict(zip(one.tolist(), lies.tolist(), strict=True))
        cuts = np.flatnonzero((np.diff(one) != 0) | (np.diff(two) != 0)) + 1
        firsts = np.concatenate([[0], cuts])
        counts = np.diff(np.append(firsts, len(one)))
        best: dict[int, int] = {}
        rows: dict[int, list[tuple[int, int]]] = {}
        for a, b, count in zip(one[firsts].tolist(), two[firsts].tolist(), counts.tolist(), strict=True):
            rows.setdefault(a, []).append((count, b))
            best[b] = max(best.get(b, 0), count)
        for a, found in rows.items():
            most = max(count for count, _b in found)
            good = [(count, b) for count, b in found if count == most and best[b] == count]
            if good:
                yield numbers[a], a, good

    def _follow(self) -> bool:
        """Take what references lead to and what nothing contradicts; return whether there was any."""
        found = False
        for number, address, rights in self._candidates():
            one, two = self.regions[number].one.place, self.regions[number].two.place
            take = self._function if self.pairs[number].one.code else self._part
            found |= any(take(number, address - one, right - two) for _votes, right in rights)
        self._merge()
        return found

    def _part(self, number: int, start: int, other: int) -> bool:
        """Take a part of data that begins at two offsets, as far as it is the same."""
        region = self.regions[number]
        rooms = region.room(start, other)
        size = min(rooms)
        if size <= 0:
            return False
        named = self.objects[0][number].get(start)
        if named is not None and named.size:
            # All of an object, or nothing.
            free = min(region.cover[0].room(start), region.cover[1].room(other))
            inside = any(other < at < other + named.size for at in self._symbols_at(number, other, named.size))
            if free < named.size or inside or self._alike(region, start, other, named.size) < named.size:
                return False
            region.add(start, other, named.size, named.name)
            self._table(region, start, other, named.size)
            return True
        same = self._alike(region, start, other, size)
        if same < size:
            same = _texts(region, start, same)
        if not same or not region.add(start, other, same):
            return False
        self._table(region, start, other, same)
        return True

    def _symbols_at(self, number: int, start: int, size: int) -> list[int]:
        """Return where symbols of the right side begin in a range."""
        begins = self.regions[number].begins[1]
        first, last = bisect_right(begins, start), bisect_right(begins, start + size - 1)
        return [at for at in begins[first:last] if at in self.objects[1][number]]

    def _virtual(self) -> bool:
        """Take what stands before the functions of virtual tables that are known."""
        found = False
        size = 2 * self.left.image.word
        for region in self._data():
            base, other = region.one.place, region.two.place
            for start in self.heads[0][region.number]:
                right = self._known(0, base + start) - other
                if right not in self.heads[1][region.number] or region.cover[0].room(start - size) < size:
                    continue
                if not self._odd(region, start - size, right - size, size, may=self._may).any():
                    found |= region.add(start - size, right - size, size)
        return found

    def _table(self, region: Region, start: int, other: int, size: int) -> None:
        """Follow what a table of distances to itself, or the types of an exception table, lead to."""
        if region.data is None or size < 8 or start % 4 or region.one.flags & SHF_WRITE:
            return
        if region.equal(start, other, size) == size:
            return
        if region.one.name == b".gcc_except_table":
            at = np.array([a for a in links.within(region.data[0], start) if a + 4 <= start + size], np.int64)
            offsets = at - start
            bases = at + region.one.place, offsets + other + region.two.place
            if region.data[0][start + 1] == links.UDATA:
                bases = at * 0, at * 0
        elif self.home(0, region.one.place + start + _word(region.data[0], start)) and self.home(
            1, region.two.place + other + _word(region.data[1], other)
        ):
            offsets = np.arange(0, size // 4 * 4, 4)
            for side, begin in enumerate((start, other)):
                place = self._section(region.number, side).place + begin
                values = np.frombuffer(region.data[side], f"{self.left.image.order}i4", size // 4, begin)
                self.more[side].append(np.stack([offsets + place, values + np.int64(place)]))
            return
        else:
            return
        for side, (begin, base) in enumerate(zip((start, other), bases, strict=True)):
            place = self._section(region.number, side).place + begin
            values = gather(np.frombuffer(region.data[side], np.uint8), offsets + begin, 4, self.left.image.order, True)
            self.more[side].append(np.stack([offsets + place, base + values]))

    def _by_content(self) -> bool:
        """Pair parts that something refers to by what they hold, where there is one such on each side."""
        found = False
        for region in self._data():
            if region.data is None:
                continue
            rows: tuple[dict[Any, list[int]], dict[Any, list[int]]] = ({}, {})
            for side in (0, 1):
                for start in region.begins[side]:
                    content = self._extent(side, region.number, start) if region.cover[side].room(start) else None
                    if content is not None:
                        rows[side].setdefault(content, []).append(start)
            for content, ones in rows[0].items():
                twos = rows[1].get(content, [])
                if len(ones) == len(twos) == 1:
                    found |= region.add(ones[0], twos[0], min(region.room(ones[0], twos[0])))
        return found

    def _loosely(self) -> bool:
        """Take what references lead to although it is not the same, where most of it is."""
        found = False
        for number, address, rights in self._candidates():
            region = self.regions[number]
            if self.pairs[number].one.code or region.data is None:
                continue
            start = address - region.one.place
            for _votes, right in rights:
                other = right - region.two.place
                size = min(region.room(start, other))
                # A text that begins on one side must not be the end of one on the other.
                bounds = {
                    data[at - 1 : at] in {b"\0", b""} for data, at in zip(region.data, (start, other), strict=True)
                }
                if (
                    size > 0
                    and len(bounds) == 1
                    and 2 * int(self._odd(region, start, other, size, may=self._may).sum()) < size
                ):
                    found |= region.add(start, other, size)
        return found

    def _bridge(self) -> bool:
        """Take what lies between parts that moved together, and what the start files of the C library begin with."""
        found = False
        for region in self._data():
            found |= region.bridge()
            size = min(region.room(0, 0))
            odd = self._odd(region, 0, 0, size, may=self._leads) if size > 0 and region.data is not None else None
            found |= odd is not None and not odd.any() and region.add(0, 0, size)
            rooms = region.cover[0].room(0), region.cover[1].room(0)
            if region.one.name.startswith(b".got") and rooms[0] == rooms[1]:
                # What the loader keeps there for itself.
                found |= region.add(0, 0, rooms[0])
        return found

    def _grow(self) -> bool:
        """Let parts take what lies around them."""
        found = False
        for region in self._data():
            found |= region.grow(lambda s, o, n, r=region: self._odd(r, s, o, n, may=self._may))
        return found

    def _by_namesakes(self) -> bool:
        """Pair objects of one name and equal content that nothing refers to."""
        found = False
        for number, groups in enumerate(self.namesakes):
            for ones, twos in groups:
                rows: dict[Any, tuple[list[Symbol], list[Symbol]]] = {}
                for side, symbols in enumerate((ones, twos)):
                    section = self._section(number, side)
                    for symbol in symbols:
                        if symbol.size and self._known(side, section.place + symbol.start) < 0:
                            key = symbol.size, self._shape(side, section.place + symbol.start)
                            rows.setdefault(key, ([], []))[side].append(symbol)
                for here, there in rows.values():
                    for one, two in zip(here, there, strict=False):
                        found |= self.regions[number].add(one.start, two.start, one.size, one.name)
        return found

    def _by_targets(self) -> bool:
        """Pair words that lead to what is known, and that nothing refers to, where there is one such on each side."""
        rows: list[dict[tuple[int, int], list[int]]] = [{}, {}]
        for side in (0, 1):
            places, targets = self.relative[side]
            if side == 0:
                open_, targets = self.to(places) < 0, self.to(targets)
            else:
                open_, targets = ~self.known(places), np.where(self.known(targets), targets, -1)
            for place, target in zip(places[open_].tolist(), targets[open_].tolist(), strict=True):
                home = self.home(side, place)
                if target >= 0 and home and self.regions[home[0]].alone(side, home[1], self.left.image.word):
                    rows[side].setdefault((home[0], target), []).append(home[1])
        found = False
        for (number, target), ones in rows[0].items():
            twos = rows[1].get((number, target), [])
            if len(ones) == len(twos) == 1:
                found |= self.regions[number].add(ones[0], twos[0], self.left.image.word)
        return found

    def _by_text(self) -> bool:
        """Pair texts that nothing refers to, where there is one such on each side."""
        found = False
        for region in self.regions:
            if self.pairs[region.number].one.code or region.data is None:
                continue
            ones, twos = (region.parts(side, {})[0] for side in (0, 1))
            for content, spans in ones.items():
                twins = twos.get(content, [])
                text = isinstance(content, bytes) and TEXT.match(content)
                if len(spans) == len(twins) == 1 and text and text.end() == len(content) - 1:
                    found |= region.add(spans[0][0], twins[0][0], spans[0][1] - spans[0][0])
        return found


def _single(names: dict[int, bytes]) -> dict[bytes, int]:
    """Return the places of what has a name and stands in one place only."""
    counts = Counter(names.values())
    return {name: place for place, name in names.items() if counts[name] == 1 and name and not name.endswith(b" ")}


def _texts(region: Region, start: int, same: int) -> int:
    """Return as much of a part as is whole texts, where only its beginning is the same: nothing may refer to the rest."""
    if region.data is None:
        return 0
    text = region.data[0][start : start + same]
    first = TEXT.match(text)
    return text.rfind(b"\0") + 1 if first and text[first.end() : first.end() + 1] == b"\0" else 0


def _word(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little", signed=True)
