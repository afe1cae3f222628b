"""Which function is which: by symbol, by code that occurs once, by what it refers to and what refers to it."""

import re
from bisect import bisect_right
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from reprodiff.formats.program.arrange.chart import Function
from reprodiff.formats.program.arrange.like import Like
from reprodiff.formats.program.functions import blanked, emptied
from reprodiff.formats.program.image import Section
from reprodiff.formats.program.machines import x86
from reprodiff.formats.program.machines.x86 import NOPS
from reprodiff.formats.program.names import EM_386, EM_X86_64
from reprodiff.formats.program.pieces import Symbol

# What fills up between functions is shorter.
FILLED = 64
# Instructions that do nothing, as assemblers write them.
NOPS_END = re.compile(
    rb"(?:(?:\x66)*\x2e?\x0f\x1f(?:\0|\x40\0|\x44\0\0|\x80\0{4}|\x84\0{5})|\x66*\x90|\xcc|\0)+\Z", re.DOTALL
)


class Code(Like):
    """Pairs functions."""

    def _functions(self) -> None:
        """Pair functions by symbol, then those whose code occurs once on each side."""
        for number, region in enumerate(self.regions):
            pair = self.pairs[number]
            for side in (0, 1):
                section = self._section(number, side)
                rows = list(_functions_of(self.sides[side], section)) if pair.one.code and region.data else []
                self.functions[side].append([Function(number, index, *row) for index, row in enumerate(rows)])
                if rows:
                    self.sides[side].begin(section, [start for start, _size, _keys in rows])
        keys: tuple[dict[Any, list[Function]], dict[Any, list[Function]]] = ({}, {})
        for side in (0, 1):
            for functions in self.functions[side]:
                for function in functions:
                    for key in function.keys:
                        keys[side].setdefault((function.region, *key[:2]), []).append(function)
        single = {
            key: (ones[0], keys[1][key][0])
            for key, ones in keys[0].items()
            if len(ones) == len(keys[1].get(key, ())) == 1
        }
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
        for side in (0, 1):
            self._blank(side, rest[side])
        self._unique(*rest)

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
            data = blanked(reader, section, fields) if fields is not None else emptied(reader, section)[0]
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

    def _code_rows(self, number: int) -> tuple[list[Symbol], list[Symbol]]:
        """Return the functions of a section as symbols that have one key where they correspond."""
        rows: tuple[list[Symbol], list[Symbol]] = ([], [])
        twins = {twin: one for (region, one), twin in self.twins.items() if region == number}
        for side in (0, 1):
            for function in self.functions[side][number]:
                one = twins.get(function.number) if side else function.number
                if one is not None and (side or (number, one) in self.twins):
                    first = self.functions[0][number][one]
                    key = first.keys[0][0] if first.keys else b"#%d" % one, b"", one
                else:
                    which = (b"left", b"right")[side]
                    name = function.keys[0][0] if function.keys else b"#%s%d" % (which, function.number)
                    key = name, which, function.number
                rows[side].append(Symbol(function.start, function.size, key))
        return rows


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
    if section.name in {b".init", b".fini"}:
        # One function, whatever its symbol says.
        yield 0, section.size, tuple(symbol.key for symbol in side.symbols(section) if not symbol.start)
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


def _unlisted(data: bytes, section: Section, start: int, stop: int) -> tuple[int, int] | None:
    """Return the code between two functions that is more than what fills up: that of the C library's start files."""
    first = start + (-(section.addr + start) % 16)
    if start < first <= stop and set(data[start:first]) <= NOPS:
        start = first
    filling = NOPS_END.search(data, max(start, stop - FILLED), stop)
    stop = filling.start() if filling else stop
    return (start, stop) if stop > start and not set(data[start:stop]) <= NOPS else None
