"""The map of two programs whose functions and objects were linked in another order.

What is known at first: functions and objects by their symbols, functions whose bytes without displacements occur once
on each side, places that relocations with a name write to. From there references lead on: the word at a place in a part
of the left side and the word at the same place of the same part on the right lead to what is the same, where that is
not contradicted: both must begin there, nothing else may claim either, and their bytes must agree but for pointers. This
goes on until nothing new is found. The map decides nothing by itself: every byte that differs must still be a pointer to
what corresponds, and every place corresponds to one place only.
"""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from reprodiff.formats.elf import links, x86
from reprodiff.formats.elf.functions import blanked
from reprodiff.formats.elf.image import Section
from reprodiff.formats.elf.names import (
    EM_386,
    EM_X86_64,
    ET_EXEC,
    SHF_TLS,
    SHF_WRITE,
    SHT_FINI_ARRAY,
    SHT_INIT_ARRAY,
    SHT_NOBITS,
    SHT_PREINIT_ARRAY,
    SHT_PROGBITS,
)
from reprodiff.formats.elf.contents import NOPS
from reprodiff.formats.elf.pieces import Piece, Symbol, by_symbols, identity
from reprodiff.formats.elf.region import TEXT, Region
from reprodiff.formats.elf.words import gather

ROUNDS_MAX = 64
TEXT_MIN, TEXT_MAX = 3, 64
# How far a part of an object lies from its start.
DISTANCE_MAX = 1 << 16
# How much of a part tells it from others.
SHAPE_MAX = 128
# Symbols have places of their own, beyond all addresses.
BEYOND = 1 << 62
EXTENT_MAX = 1 << 16
# Compilers store a number again for each unit; what is larger is an object.
CONSTANT_MAX = 64
# What fills up between functions is shorter.
FILLED = 64
# Instructions that do nothing, as assemblers write them.
NOPS_END = re.compile(rb"(?:(?:\x66)*\x2e?\x0f\x1f(?:\0|\x40\0|\x44\0\0|\x80\0{4}|\x84\0{5})|\x66*\x90|\xcc|\0)+\Z", re.DOTALL)
FIXED = (b".eh_frame", b".note", b".interp", b".gnu.", b".dyn", b".rela", b".rel.")
ARRAYS = {SHT_INIT_ARRAY, SHT_FINI_ARRAY, SHT_PREINIT_ARRAY}


class Function:
    """A function of one side. code: its bytes without displacements; keys: of its symbols."""

    __slots__ = ("code", "keys", "number", "region", "size", "start")

    def __init__(self, region: int, number: int, start: int, size: int, keys: tuple[Any, ...]) -> None:
        self.region, self.number, self.start, self.size, self.keys = region, number, start, size, keys
        self.code: Any = None


class Arrangement:
    """What corresponds to what in two files, in the making."""

    def __init__(self, both: Any) -> None:
        self.both = both
        self.left, self.right = both.left, both.right
        self.sides = self.left, self.right
        self.pairs = [p for p in both.pairs if _taken(p.one) and _taken(p.two)]
        self.regions = []
        for number, pair in enumerate(self.pairs):
            stored = pair.one.stored and pair.two.stored
            data = (self.left.data(pair.one), self.right.data(pair.two)) if stored else None
            self.regions.append(Region(number, pair.one, pair.two, data))
        self.orders, self.homes, self.ends = [], [], []
        for side in (0, 1):
            order = sorted(range(len(self.regions)), key=lambda n, s=side: self._section(n, s).place)  # type: ignore[misc]
            rows = [self._section(n, side) for n in order]
            self.orders.append(np.array(order, np.int64))
            self.homes.append(np.array([section.place for section in rows], np.int64))
            self.ends.append(np.array([section.place + section.size for section in rows], np.int64))
        self.functions: tuple[list[list[Function]], list[list[Function]]] = ([], [])
        self.twins: dict[tuple[int, int], int] = {}
        self.taken: set[tuple[int, int]] = set()
        self.classes: list[Any] = []
        self.heads: list[list[set[int]]] = [[set() for _region in self.regions] for _side in (0, 1)]
        self.more: tuple[list[Any], list[Any]] = ([], [])
        self.back: dict[tuple[int, int], Any] = {}

    def _section(self, number: int, side: int) -> Section:
        region = self.regions[number]
        return region.two if side else region.one

    # Where an address lies

    def home(self, side: int, address: int) -> tuple[int, int] | None:
        """Return (region, offset) of an address, None outside of all."""
        index = int(np.searchsorted(self.homes[side], address, "right")) - 1
        if index < 0:
            return None
        number = int(self.orders[side][index])
        section = self._section(number, side)
        offset = address - section.place
        return (number, offset) if offset < section.size else None

    def _homes(self, side: int, addresses: Any) -> Any:
        """Return the region of each address, -1 outside of all."""
        index = np.searchsorted(self.homes[side], addresses, "right") - 1
        number = self.orders[side][np.maximum(index, 0)]
        return np.where((index >= 0) & (addresses < self.ends[side][np.maximum(index, 0)]), number, -1)

    def _chart(self) -> None:
        """Make arrays of what is known so far."""
        self.shapes: dict[tuple[int, int], Any] = {}
        rows = []
        for region in self.regions:
            a, b = region.one.place, region.two.place
            rows += [(p.l0 + a, p.l1 + a, p.r0 + b) for p in region.found]
        rows.append((BEYOND, BEYOND + (1 << 40), BEYOND))
        known = np.array(sorted(rows), np.int64).reshape(-1, 3)
        self.starts, self.stops, self.others = known.T
        right = np.argsort(self.others, kind="stable")
        self.right_starts = self.others[right]
        self.right_stops = (self.others + self.stops - self.starts)[right]

    def to(self, places: Any) -> Any:
        """Return the right addresses of left ones, -1 where that is not known."""
        if not len(self.starts):
            return np.full(len(places), -1, np.int64)
        index = np.maximum(np.searchsorted(self.starts, places, "right") - 1, 0)
        inside = (places >= self.starts[index]) & (places < self.stops[index])
        return np.where(inside, self.others[index] + places - self.starts[index], -1)

    def known(self, places: Any) -> Any:
        """Tell which right addresses lie in what is known."""
        if not len(self.right_starts):
            return np.zeros(len(places), bool)
        index = np.maximum(np.searchsorted(self.right_starts, places, "right") - 1, 0)
        return (places >= self.right_starts[index]) & (places < self.right_stops[index])

    # What is known at first

    def run(self) -> None:
        """Find all that can be."""
        self._functions()
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

    def _functions(self) -> None:
        """Pair functions by symbol, then those whose code occurs once on each side."""
        for number, region in enumerate(self.regions):
            pair = self.pairs[number]
            for side in (0, 1):
                section = self._section(number, side)
                rows = list(_functions_of(self.sides[side], section)) if pair.one.code and region.data else []
                self.functions[side].append(
                    [Function(number, index, *row) for index, row in enumerate(rows)]
                )
                if rows:
                    self.sides[side].begin(section, [start for start, _size, _keys in rows])
        keys: tuple[dict[Any, list[Function]], dict[Any, list[Function]]] = ({}, {})
        for side in (0, 1):
            for functions in self.functions[side]:
                for function in functions:
                    for key in function.keys:
                        keys[side].setdefault((function.region, *key[:2]), []).append(function)
        single = {key: (ones[0], keys[1][key][0]) for key, ones in keys[0].items() if len(ones) == len(keys[1].get(key, ())) == 1}
        self.names = keys
        claims: tuple[dict[Any, set[int]], dict[Any, set[int]]] = ({}, {})
        for one, two in single.values():
            claims[0].setdefault((one.region, one.number), set()).add(two.number)
            claims[1].setdefault((two.region, two.number), set()).add(one.number)
        for one, two in single.values():
            # Symbols of one function that say different things say nothing.
            if len(claims[0][one.region, one.number]) == len(claims[1][two.region, two.number]) == 1:
                self._pair(one, two)
        rest = [[f for rows in side for f in rows if not self._done(n, f)] for n, side in enumerate(self.functions)]
        for side, rows in enumerate(rest):
            self._blank(side, rows)
        self._unique(*rest)

    def _done(self, side: int, function: Function) -> bool:
        key = function.region, function.number
        return key in (self.taken if side else self.twins)

    def _pair(self, one: Function, two: Function) -> bool:
        if self._done(0, one) or self._done(1, two):
            return False
        if one.size == two.size and not self.regions[one.region].add(one.start, two.start, one.size):
            return False
        self.twins[one.region, one.number] = two.number
        self.taken.add((two.region, two.number))
        return True

    def _blank(self, side: int, rows: list[Function]) -> None:
        """Give functions their code without displacements."""
        per: dict[int, list[Function]] = {}
        for function in rows:
            per.setdefault(function.region, []).append(function)
        reader = self.sides[side]
        machine = reader.image.machine
        for number, functions in per.items():
            section = self._section(number, side)
            fields = None
            if machine in {EM_386, EM_X86_64}:
                every = 2 * len(functions) > len(self.functions[side][number])
                starts = None if every else np.array([f.start for f in functions], np.int64)
                fields = reader.sweep(section) if every else reader.fields(section, starts)
            data = blanked(reader, section, fields)
            if fields is not None and section.name.startswith(b".plt"):
                # push of the number of a relocation
                code = np.frombuffer(data, np.uint8).copy()
                for i in range(4):
                    code[fields.at[fields.kind == x86.ABSOLUTE] + i] = 0
                data = code.tobytes()
            for function in functions:
                function.code = data[function.start : function.start + function.size]

    def _unique(self, ones: list[Function], twos: list[Function]) -> None:
        """Pair what occurs once, and keep what occurs more often for later."""
        classes: dict[Any, tuple[list[Function], list[Function]]] = {}
        for side, rows in enumerate((ones, twos)):
            for function in rows:
                several = [k[:2] for k in function.keys if len(self.names[side][function.region, *k[:2]]) > 1]
                label = several[0] if several else None
                classes.setdefault((function.region, label, function.code), ([], []))[side].append(function)
        self.classes = []
        for key, both in classes.items():
            if len(both[0]) == len(both[1]) == 1:
                self._pair(both[0][0], both[1][0])
            elif both[0] and both[1]:
                self.classes.append((key, *both))

    def _objects(self) -> None:
        """Collect the symbols of data: each is a reference to its object, from a place of its own."""
        self.objects: list[list[dict[int, Symbol]]] = [[], []]
        self.single: list[tuple[int, Symbol, Symbol]] = []
        self.namesakes: list[list[tuple[list[Symbol], list[Symbol]]]] = [[] for _region in self.regions]
        for number, region in enumerate(self.regions):
            rows: tuple[dict[Any, list[Symbol]], dict[Any, list[Symbol]]] = ({}, {})
            for side in (0, 1):
                found: dict[int, Symbol] = {}
                begins: set[int] = set()
                for symbol in self.sides[side].symbols(self._section(number, side)) if not self.pairs[number].one.code else ():
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

    def _relocations(self) -> None:
        """Collect what relocations put where."""
        self.relative: list[Any] = []
        self.targets: list[dict[int, int]] = []
        self.symbols: list[dict[int, bytes]] = []
        for side in (0, 1):
            pairs, others = links.from_relocations(self.sides[side])
            self.relative.append(pairs)
            self.targets.append(dict(zip(*pairs.tolist(), strict=True)))
            self.symbols.append(others)
            marks = np.unique(np.concatenate([pairs[0], np.array(list(others), np.int64)]))
            for number, region in enumerate(self.regions):
                section = self._section(number, side)
                here = marks[(marks >= section.place) & (marks < section.place + section.size)] - section.place
                region.marks = (here, region.marks[1]) if side == 0 else (region.marks[0], here)
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
                if self.regions[one[0]].one.name.startswith(b".got") == tables:
                    found |= self.regions[one[0]].add(one[1], two[1], word)
        return found

    # References

    def _references(self) -> None:
        """Collect what refers to what on both sides, and where by that parts begin."""
        rows: list[list[Any]] = [[], []]
        for side in (0, 1):
            reader = self.sides[side]
            for number, region in enumerate(self.regions):
                if self.pairs[number].one.code and region.data is not None and not (side and self._all_paired(number)):
                    rows[side].append(links.from_code(reader, self._section(number, side)))
            words = [
                self._section(n, side) for n, r in enumerate(self.regions) if not self.pairs[n].one.code and r.data
            ]
            rows[side] += [self.relative[side], links.from_words(reader, words), links.from_frames(reader)[:2]]
        for number, region in enumerate(self.regions):
            if self.pairs[number].one.code and region.data is not None and self._all_paired(number):
                rows[1].append(self._read_over(number))
        for side in (0, 1):
            targets = [row[1 + side].start + self._section(row[0], side).place for row in self.single]
            rows[side].append(np.stack([np.arange(len(targets)) + BEYOND, np.array(targets, np.int64)]))
        self.references = [_sorted(np.concatenate(each, axis=1)) for each in rows]
        for side in (0, 1):
            self._begins(side, self.references[side][1])

    def _all_paired(self, number: int) -> bool:
        """Tell whether every function of a section has an equally long twin, so that one side tells of both."""
        return len(self.functions[0][number]) == len(self.functions[1][number]) and not any(
            not self._done(0, one) for one in self.functions[0][number]
        )

    def _read_over(self, number: int) -> Any:
        """Return the references of the right side of a section from where the left has them."""
        region = self.regions[number]
        machine = self.left.image.machine
        if machine not in {EM_386, EM_X86_64} or region.data is None:
            return links.NOWHERE
        fields = self.left.sweep(region.one)
        to = self.to(fields.at + region.one.place)
        end = to + (fields.end - fields.at)
        data = np.frombuffer(region.data[1], np.uint8)
        good = (to >= 0) & (to - region.two.place + 4 <= len(data))
        relative = good & np.isin(fields.kind, (x86.BRANCH, x86.RIP) if machine == EM_X86_64 else (x86.BRANCH,))
        value = gather(data, to[relative] - region.two.place, 4, "<", True)
        found = [np.stack([to[relative], value + end[relative]])]
        if self.right.image.type == ET_EXEC or machine == EM_386:
            plain = good & ~np.isin(fields.kind, (x86.BRANCH, x86.RIP) if machine == EM_X86_64 else (x86.BRANCH,))
            found.append(np.stack([to[plain], gather(data, to[plain] - region.two.place, 4, "<", False)]))
        return np.concatenate(found, axis=1)

    def _begins(self, side: int, targets: Any) -> None:
        """Let parts of data begin where something refers to."""
        targets = np.unique(targets)
        for number, region in enumerate(self.regions):
            if self.pairs[number].one.code:
                continue
            section = self._section(number, side)
            here = targets[(targets >= section.place) & (targets < section.place + section.size)] - section.place
            begins = region.begins[side]
            begins[:] = sorted({*begins, *here.tolist()})
            if region.data is not None:
                heads = [at for at in begins if self._head(side, number, at)]
                self.heads[side][number] = set(heads)
                begins[:] = sorted({*begins, *(at - 2 * self.left.image.word for at in heads)})

    def _head(self, side: int, number: int, at: int) -> bool:
        """Tell whether functions of a virtual table begin at an offset: before them stand a distance and a pointer to the
        type (Itanium C++ ABI 2.5.2)."""
        region, word, image = self.regions[number], self.left.image.word, self.left.image
        place = self._section(number, side).place + at
        targets, symbols = self.targets[side], self.symbols[side]
        data = region.data[side] if region.data is not None else b""
        if at < 2 * word or at + word > len(data):
            return False
        if image.type != ET_EXEC and place - word not in targets and place - word not in symbols:
            return False
        far, kind, first = (
            targets.get(place + step, int.from_bytes(data[at + step : at + step + word], "little", signed=True))
            for step in (-2 * word, -word, 0)
        )
        if not -DISTANCE_MAX < far <= 0:
            return False
        home, code = self.home(side, kind), self.home(side, first)
        typed = place - word in symbols or (home is not None and not self.pairs[home[0]].one.code)
        return typed and (place in symbols or (code is not None and self.pairs[code[0]].one.code))

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

    def _at(self, side: int, number: int, offset: int) -> Function | None:
        rows = self.functions[side][number]
        low, high = 0, len(rows)
        while low < high:
            middle = (low + high) // 2
            if rows[middle].start <= offset:
                low = middle + 1
            else:
                high = middle
        function = rows[low - 1] if low else None
        return function if function is not None and offset < function.start + function.size else None

    def _function(self, number: int, start: int, other: int) -> bool:
        one, two = self._at(0, number, start), self._at(1, number, other)
        if one is None or two is None or one.code is None or two.code is None:
            return False
        if one.code != two.code or start - one.start != other - two.start:
            return False
        return self._agree(one, two) and self._pair(one, two)

    def _agree(self, one: Function, two: Function) -> bool:
        """Tell whether nothing that is known of what two functions refer to says that they are not the same."""
        leads = []
        for side, function in enumerate((one, two)):
            places, targets = self.references[side]
            start = self._section(function.region, side).place + function.start
            first, last = np.searchsorted(places, (start, start + function.size))
            leads.append(targets[first:last])
        if len(leads[0]) != len(leads[1]):
            return False
        lefts, rights = self.to(leads[0]), np.where(self.known(leads[1]), leads[1], -1)
        odd = np.flatnonzero((lefts != rights) & (lefts >= 0) & (rights >= 0))
        return all(self._text(0, int(leads[0][at])) == self._text(1, int(leads[1][at])) != b"" for at in odd.tolist())

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
                if right in self.heads[1][region.number] and region.cover[0].room(start - size) >= size:
                    if not self._odd(region, start - size, right - size, size, may=self._may).any():
                        found |= region.add(start - size, right - size, size)
        return found

    def _alike(self, region: Region, start: int, other: int, size: int) -> int:
        """Count the bytes from two offsets on that agree but for pointers to what corresponds, or may yet."""
        if not region.marked_at_all and region.equal(start, other, size) == size:
            return size
        odd = self._odd(region, start, other, size, begins=True, may=self._leads)
        word = self.left.image.word
        if odd[:word].any() and size >= word:
            # What a part begins with may lead to what is not known yet.
            odd[:word] = self._odd(region, start, other, word, may=self._may)
        return int(np.argmax(odd)) if odd.any() else size

    def _odd(self, region: Region, start: int, other: int, size: int, *, may: Any, begins: bool = False) -> Any:
        """Mark the bytes of two ranges that do not agree. may: tells of pairs of addresses that are not known whether
        they may be the same; begins: whether a table may begin there."""
        odd = np.zeros(size, bool)
        if region.data is None:
            return odd
        both, single = region.marked(start, other, size)
        odd[single] = True
        if region.equal(start, other, size) < size:
            a = np.frombuffer(region.data[0], np.uint8, size, start)
            b = np.frombuffer(region.data[1], np.uint8, size, other)
            odd |= a != b
        word = self.left.image.word
        for at in both.tolist():
            odd[at : at + word] = not self._relocated(region, start + at, other + at, may)
        if not odd.any() or region.equal(start, other, size) == size:
            return odd
        order = self.left.image.order
        words = size // 4
        if words and begins and not region.one.flags & SHF_WRITE:
            # A table of distances to itself.
            ones, twos = (
                np.frombuffer(data, f"{order}i4", words, at).astype(np.int64)
                for data, at in zip(region.data, (start, other), strict=True)
            )
            self._excuse(odd, 4, self._leads(region.one.place + start + ones, region.two.place + other + twos))
        if odd.any() and begins and region.one.name == b".gcc_except_table":
            at = np.array([x - start for x in links.within(region.data[0], start) if x - start + 4 <= size], np.int64)
            ones, twos = (gather(each, at, 4, order, True) for each in (a, b))
            good = self._may(region.one.place + start + at + ones, region.two.place + other + at + twos)
            good |= self._may(ones & 0xFFFFFFFF, twos & 0xFFFFFFFF)
            for place in at[good].tolist():
                odd[place : place + 4] = False
        if odd.any() and self.left.image.type == ET_EXEC:
            skip = -(region.one.place + start) % word
            if skip == -(region.two.place + other) % word and size - skip >= word:
                at = skip + np.arange((size - skip) // word) * word
                ones, twos = (gather(each, at, word, order, False) for each in (a, b))
                self._excuse(odd[skip:], word, may(ones, twos))
        return odd

    def _relocated(self, region: Region, start: int, other: int, may: Any) -> bool:
        """Tell whether the relocations of two words may lead to the same."""
        found = [
            self.targets[side].get(at + self._section(region.number, side).place)
            for side, at in enumerate((start, other))
        ]
        if found[0] is None or found[1] is None:
            places = [at + self._section(region.number, side).place for side, at in enumerate((start, other))]
            return found[0] is found[1] is None and self.symbols[0].get(places[0]) == self.symbols[1].get(places[1])
        return bool(may(np.array([found[0]]), np.array([found[1]]))[0])

    def _excuse(self, odd: Any, width: int, good: Any) -> None:
        rows = odd[: len(good) * width].reshape(-1, width)
        rows[good] = False

    def _may(self, ones: Any, twos: Any) -> Any:
        """Tell of pairs of addresses whether they are the same, or may be: both in one pair of sections and unknown."""
        to = self.to(ones)
        found = (to >= 0) & (to == twos)
        open_ = np.flatnonzero((to < 0) & ~self.known(twos))
        for index in open_.tolist():
            one, two = self.home(0, int(ones[index])), self.home(1, int(twos[index]))
            found[index] = one is not None and two is not None and one[0] == two[0]
        return found

    def _leads(self, ones: Any, twos: Any) -> Any:
        """Tell of pairs of addresses whether they are the same, or of the same text."""
        to = self.to(ones)
        found = (to >= 0) & (to == twos)
        for index in np.flatnonzero((to < 0) & ~self.known(twos)).tolist():
            texts = []
            for side, address in enumerate((int(ones[index]), int(twos[index]))):
                home = self.home(side, address)
                data = self.regions[home[0]].data if home else None
                texts.append(data[side][home[1] :][:TEXT_MAX].split(b"\0")[0] if home and data else b"")
            found[index] = len(texts[0]) >= TEXT_MIN and texts[0] == texts[1] and texts[0].isascii()
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
            lazily = region.data[0][start + 1] == links.UDATA
            if lazily:
                bases = at * 0, at * 0
        elif self.home(0, region.one.place + start + _word(region.data[0], start)) and self.home(
            1, region.two.place + other + _word(region.data[1], other)
        ):
            offsets = np.arange(size // 4) * 4
            bases = offsets * 0 + region.one.place + start, offsets * 0 + region.two.place + other
        else:
            return
        for side, (at, base) in enumerate(zip((start, other), bases, strict=True)):
            section = self._section(region.number, side)
            values = gather(np.frombuffer(region.data[side], np.uint8), offsets + at, 4, self.left.image.order, True)
            self.more[side].append(np.stack([offsets + at + section.place, base + values]))

    def _merge(self) -> None:
        """Take the references that tables were found to hold."""
        for side, rows in enumerate(self.more):
            if rows:
                self.references[side] = _sorted(np.concatenate([self.references[side], *rows], axis=1))
        self.more = ([], [])

    def _same_code(self) -> bool:
        """Pair functions of equal code by what they refer to and what refers to them, then by what stands beside."""
        for step in (self._by_references, self._by_shapes, self._by_neighbours, self._by_order):
            if step():
                return True
        return False

    def _open(self) -> Iterator[tuple[list[Function], list[Function]]]:
        rest = []
        for key, ones, twos in self.classes:
            here = [f for f in ones if not self._done(0, f)]
            there = [f for f in twos if not self._done(1, f)]
            if here and there:
                rest.append((key, here, there))
        self.classes = rest
        for _key, here, there in rest:
            yield here, there

    def _signature(self, side: int, function: Function) -> Any:
        """Return what a function refers to and what refers to it, as places of the right side, as far as is known."""
        places, targets = self.references[side]
        start = self._section(function.region, side).place + function.start
        first, last = np.searchsorted(places, (start, start + function.size))
        leads = targets[first:last]
        # A text may be stored twice, once for each unit.
        texts = [self._text(side, target) for target in leads.tolist()]
        back, sources = self._backward(side)
        first, last = np.searchsorted(back, (start, start + function.size))
        froms = sources[first:last]
        if side == 0:
            leads, froms = self.to(leads), self.to(froms)
        else:
            leads, froms = np.where(self.known(leads), leads, -1), froms[self.known(froms)]
        return (
            tuple(text or lead for text, lead in zip(texts, leads.tolist(), strict=True)),
            tuple(sorted(froms[froms >= 0].tolist())),
        )

    def _backward(self, side: int) -> Any:
        places, targets = self.references[side]
        found = self.back.get((side, len(places)))
        if found is None:
            order = np.argsort(targets, kind="stable")
            found = self.back[side, len(places)] = targets[order], places[order]
        return found

    def _by_references(self) -> bool:
        return self._by(self._signature)

    def _by_shapes(self) -> bool:
        return self._by(self._shapes)

    def _by(self, signature: Any) -> bool:
        """Pair functions of equal code that have a signature which occurs once on each side."""
        found = False
        for here, there in list(self._open()):
            rows: dict[Any, tuple[list[Function], list[Function]]] = {}
            for side, functions in enumerate((here, there)):
                for function in functions:
                    rows.setdefault(signature(side, function), ([], []))[side].append(function)
            for ones, twos in rows.values():
                if len(ones) == len(twos) == 1:
                    found |= self._pair(ones[0], twos[0])
        return found

    def _shapes(self, side: int, function: Function) -> Any:
        """Return as `_signature`, with what is not known yet told by its content."""
        places, targets = self.references[side]
        start = self._section(function.region, side).place + function.start
        first, last = np.searchsorted(places, (start, start + function.size))
        leads = tuple(self._shape(side, target) for target in targets[first:last].tolist())
        back, sources = self._backward(side)
        first, last = np.searchsorted(back, (start, start + function.size))
        return leads, tuple(sorted(hash(self._shape(side, place)) for place in sources[first:last].tolist()))

    def _shape(self, side: int, address: int) -> Any:
        """Return what an address is: its right place where that is known, else a function's code or a part of data with
        its pointers as far as they are known."""
        found = self.shapes.get((side, address))
        if found is None:
            found = self.shapes[side, address] = self._made(side, address)
        return found

    def _known(self, side: int, address: int) -> int:
        """Return the right address of what is known, -1 otherwise."""
        if side == 0:
            return int(self.to(np.array([address]))[0])
        return address if self.known(np.array([address]))[0] else -1

    def _made(self, side: int, address: int) -> Any:
        right = self._known(side, address)
        home = self.home(side, address)
        text = self._text(side, address)
        if text or right >= 0 or home is None:
            return text or right
        number, offset = home
        region = self.regions[number]
        if self.pairs[number].one.code:
            function = self._at(side, number, offset)
            return (number, offset - function.start, function.code) if function else number
        if region.data is None:
            return number
        begins = region.begins[side]
        index = bisect_right(begins, offset)
        start = begins[index - 1] if index else 0
        stop = min(begins[index] if index < len(begins) else region.cover[side].size, start + SHAPE_MAX)
        section = self._section(number, side)
        content: list[Any] = [number, offset - start]
        at = start
        word = self.left.image.word
        while at < stop:
            place = section.place + at
            target = self.targets[side].get(place)
            if target is None and self.left.image.type == ET_EXEC and place % word == 0 and at + word <= stop:
                value = int.from_bytes(region.data[side][at : at + word], "little")
                target = value if self.home(side, value) else None
            if target is not None:
                known = self._known(side, target)
                inside = self.home(side, target)
                if known < 0 and inside and self.pairs[inside[0]].one.code:
                    function = self._at(side, *inside)
                    content.append(function.code if function else None)
                else:
                    content.append(known)
                at += word
            elif place in self.symbols[side]:
                content.append(self.symbols[side][place])
                at += word
            else:
                content.append(region.data[side][at : min(at + 4, stop)])
                at += 4
        return tuple(content)

    def _by_neighbours(self) -> bool:
        found = False
        for here, there in list(self._open()):
            numbers = {f.number: f for f in there}
            for step in (1, -1):
                for function in here:
                    twin = self.twins.get((function.region, function.number - step))
                    other = numbers.get(twin + step) if twin is not None else None
                    if other is not None and self._shapes(0, function) == self._shapes(1, other):
                        found |= self._pair(function, other)
        return found

    def _by_order(self) -> bool:
        """Pair the first of what nothing tells apart."""
        for here, there in list(self._open()):
            known = {self._shapes(1, f): f for f in reversed(there)}
            for function in here:
                other = known.get(self._shapes(0, function))
                if other is not None and self._pair(function, other):
                    return True
        return False

    def _extent(self, side: int, number: int, start: int) -> Any:
        """Return what stands from where a part begins to the next one, without zeros at the end; None where that is
        nothing or too much."""
        region = self.regions[number]
        if region.data is None:
            return None
        begins = region.begins[side]
        index = bisect_right(begins, start)
        stop = begins[index] if index < len(begins) else region.cover[side].size
        text = region.data[side][start:stop].rstrip(b"\0")
        if not text or stop - start > EXTENT_MAX:
            return None
        return self._content(side, number, start, start + len(text) + -len(text) % 4)

    def _content(self, side: int, number: int, start: int, stop: int) -> Any:
        """Return bytes of data with what its pointers lead to; None where that is not known of one."""
        region, word = self.regions[number], self.left.image.word
        assert region.data is not None
        data, base = region.data[side], self._section(number, side).place
        stop = min(stop, len(data))
        marks = region.marks[side]
        first, last = np.searchsorted(marks, (start, stop))
        places = {int(at): self.targets[side].get(base + int(at)) for at in marks[first:last]}
        if self.left.image.type == ET_EXEC:
            for at in range(start + -(base + start) % word, stop - word + 1, word):
                value = int.from_bytes(data[at : at + word], "little")
                if value and self.home(side, value):
                    places[at] = value
        if not places:
            return data[start:stop].rstrip(b"\0")
        content: list[Any] = []
        at = start
        for place in sorted(places):
            content.append(data[at:place])
            target = places[place]
            if target is None:
                content.append(self.symbols[side].get(base + place))
            else:
                leads = self._text(side, target) or self._known(side, target)
                if leads == -1:
                    return None
                content.append(leads)
            at = place + word
        return (*content, data[at:stop].rstrip(b"\0"))

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
                if size > 0 and 2 * int(self._odd(region, start, other, size, may=self._may).sum()) < size:
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

    def _data(self) -> list[Region]:
        return [region for region, pair in zip(self.regions, self.pairs, strict=True) if not pair.one.code]

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

    # The result

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
                pair.moved = any(a.r0 > b.r0 for a, b in zip(names, names[1:], strict=False))
                pair.take(found, *(region.data or (b"", b"")))

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

    def _constant(self, address: int, right: int) -> bool:
        """Tell whether the same constant stands at a left and a right address, and whatever else is read there: all up to
        where the next one begins."""
        one, two = self.home(0, address), self.home(1, right)
        if one is None or two is None or one[0] != two[0]:
            return False
        region = self.regions[one[0]]
        if self.pairs[one[0]].one.code or region.data is None or region.one.flags & SHF_WRITE or region.marked_at_all:
            return False
        sizes = [
            (begins[index] if (index := bisect_right(begins, at)) < len(begins) else region.cover[side].size) - at
            for side, (begins, at) in enumerate(zip(region.begins, (one[1], two[1]), strict=True))
        ]
        if one[1] not in region.begins[0] or two[1] not in region.begins[1] or max(sizes) > CONSTANT_MAX:
            return False
        a, b = (data[at : at + max(sizes)] for data, at in zip(region.data, (one[1], two[1]), strict=True))
        return a == b and bool(a.strip(b"\0"))

    def _text(self, side: int, address: int) -> bytes:
        """Return the text at an address of data that is only read, b"" where there is none."""
        home = self.home(side, address)
        data = self.regions[home[0]].data if home else None
        if home is None or data is None or self.regions[home[0]].one.flags & SHF_WRITE or self.pairs[home[0]].one.code:
            return b""
        found = TEXT.match(data[side], home[1])
        return found[0] if found and data[side][found.end() : found.end() + 1] == b"\0" else b""

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

    def _code_rows(self, number: int) -> tuple[list[Symbol], list[Symbol]]:
        rows: tuple[list[Symbol], list[Symbol]] = ([], [])
        twins = {twin: one for (region, one), twin in self.twins.items() if region == number}
        for side in (0, 1):
            for function in self.functions[side][number]:
                one = twins.get(function.number) if side else function.number
                paired = one is not None and (side or (number, one) in self.twins)
                if paired:
                    first = self.functions[0][number][one]
                    key = (first.keys[0][0] if first.keys else b"#%d" % one, b"", one)
                else:
                    name = function.keys[0][0] if function.keys else b"#%s%d" % ((b"left", b"right")[side], function.number)
                    key = name, (b"left", b"right")[side], function.number
                rows[side].append(Symbol(function.start, function.size, key))
        return rows


def _single(names: dict[int, bytes]) -> dict[bytes, int]:
    """Return the places of what has a name and stands in one place only."""
    counts = Counter(names.values())
    return {name: place for place, name in names.items() if counts[name] == 1 and not name.endswith(b" ")}


def _padding(pieces: list[Piece], left: bytes, right: bytes) -> Iterator[Piece]:
    """Let what fills up between functions, and only that, correspond to nothing."""
    for piece in pieces:
        a, b = left[piece.l0 : piece.l1], right[piece.r0 : piece.r1]
        if piece.name is None and piece.equal and a != b and set(a) <= NOPS and set(b) <= NOPS and len(a) < FILLED:
            yield Piece(piece.l0, piece.l1, 0, 0)
            yield Piece(0, 0, piece.r0, piece.r1)
        else:
            yield piece


def _word(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little", signed=True)


def _sorted(rows: Any) -> Any:
    order = np.argsort(rows[0], kind="stable")
    rows = rows[:, order]
    keep = np.append(True, np.diff(rows[0]) != 0) if rows.shape[1] else np.zeros(0, bool)
    return rows[:, keep]


def _texts(region: Region, start: int, same: int) -> int:
    """Return as much of a part as is whole texts, where only its beginning is the same: nothing may refer to the rest."""
    if region.data is None:
        return 0
    text = region.data[0][start : start + same]
    first = TEXT.match(text)
    return text.rfind(b"\0") + 1 if first and text[first.end() : first.end() + 1] == b"\0" else 0


def _taken(section: Section) -> bool:
    return (
        section.alloc
        and section.size > 0
        and (section.type in {SHT_PROGBITS, *ARRAYS} or (section.type == SHT_NOBITS and not section.flags & SHF_TLS))
        and not section.name.startswith(FIXED)
    )


def _unlisted(data: bytes, section: Section, start: int, stop: int) -> tuple[int, int] | None:
    """Return the code between two functions that is more than what fills up: that of the C library's start files."""
    first = start + (-(section.addr + start) % 16)
    if start < first <= stop and set(data[start:first]) <= NOPS:
        start = first
    filling = NOPS_END.search(data, max(start, stop - FILLED), stop)
    stop = filling.start() if filling else stop
    return (start, stop) if stop > start and not set(data[start:stop]) <= NOPS else None


def _functions_of(side: Any, section: Section) -> Iterator[tuple[int, int, tuple[Any, ...]]]:
    """Yield (offset, size, keys of symbols) of the functions of a section, in order.

    The frame table says where functions are; symbols where it does not say it, so that one which says something else
    moves nothing.
    """
    if section.name.startswith(b".plt"):
        step = section.entsize or 16
        for start in range(0, section.size - step + 1, step):
            yield start, step, ()
        return
    sizes = {start: size for start, size in side.ranges(section) if size}
    listed = sorted(sizes)
    keys: dict[int, list[Any]] = {}
    for symbol in side.symbols(section):
        index = bisect_right(listed, symbol.start) - 1
        if index >= 0 and listed[index] < symbol.start < listed[index] + sizes[listed[index]]:
            continue
        keys.setdefault(symbol.start, []).append(symbol.key)
        if symbol.start not in sizes or index < 0 or listed[index] != symbol.start:
            sizes[symbol.start] = max(sizes.get(symbol.start, 0), symbol.size)
    starts = sorted(sizes)
    data = side.data(section)
    rows: list[tuple[int, int, tuple[Any, ...]]] = []
    stop = 0
    for start, after in pairwise([*starts, section.size]):
        if start < stop:
            continue
        if start > stop:
            between = _unlisted(data, section, stop, start)
            if between:
                rows.append((between[0], between[1] - between[0], ()))
        size = min(sizes[start], after - start)
        if not size:
            ends = NOPS_END.search(data, max(start + 1, after - FILLED), after)
            size = (ends.start() if ends else after) - start
        if size > 0:
            rows.append((start, size, tuple(sorted(keys.get(start, ())))))
            stop = start + size
    between = _unlisted(data, section, stop, section.size)
    if between:
        rows.append((between[0], between[1] - between[0], ()))
    yield from rows


def arrange(both: Any) -> None:
    """Give the sections of two programs that were linked in another order their maps, and say which references lead to
    the end of something."""
    arrangement = Arrangement(both)
    arrangement.run()
    arrangement.take()
    both.ends, both.copies = arrangement.behind()
