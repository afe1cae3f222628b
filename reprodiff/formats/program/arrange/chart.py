"""What is known of two programs so far: which right address each left one has, and what refers to what."""

from typing import Any

import numpy as np

from reprodiff.formats.program import links
from reprodiff.formats.program.arrange.region import TEXT, Region
from reprodiff.formats.program.image import Section
from reprodiff.formats.program.machines import x86
from reprodiff.formats.program.names import (
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
from reprodiff.formats.program.pieces import Symbol
from reprodiff.formats.program.sides import Both
from reprodiff.formats.program.words import distinct, gather

# How far a part of an object lies from its start.
DISTANCE_MAX = 1 << 16
# Symbols have places of their own, beyond all addresses.
BEYOND = 1 << 62
FIXED = (b".eh_frame", b".note", b".interp", b".gnu.", b".dyn", b".rela", b".rel.")
ARRAYS = {SHT_INIT_ARRAY, SHT_FINI_ARRAY, SHT_PREINIT_ARRAY}


class Function:
    """A function of one side. code: its bytes without displacements; keys: of its symbols."""

    __slots__ = ("code", "keys", "number", "region", "size", "start")

    def __init__(self, region: int, number: int, start: int, size: int, keys: tuple[Any, ...]) -> None:
        self.region, self.number, self.start, self.size, self.keys = region, number, start, size, keys
        self.code: Any = None


class Chart:
    """Two programs section by section, with what corresponds so far and what refers to what."""

    def __init__(self, both: Both) -> None:
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
        self.single: list[tuple[int, Symbol, Symbol]] = []

    def _section(self, number: int, side: int) -> Section:
        region = self.regions[number]
        return region.two if side else region.one

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

    def _known(self, side: int, address: int) -> int:
        """Return the right address of what is known, -1 otherwise."""
        if side == 0:
            return int(self.to(np.array([address]))[0])
        return address if self.known(np.array([address]))[0] else -1

    def _data(self) -> list[Region]:
        return [region for region, pair in zip(self.regions, self.pairs, strict=True) if not pair.one.code]

    def _done(self, side: int, function: Function) -> bool:
        key = function.region, function.number
        return key in (self.taken if side else self.twins)

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

    def _text(self, side: int, address: int) -> bytes:
        """Return the text at an address of data that is only read, b"" where there is none."""
        home = self.home(side, address)
        data = self.regions[home[0]].data if home else None
        if home is None or data is None or self.regions[home[0]].one.flags & SHF_WRITE or self.pairs[home[0]].one.code:
            return b""
        found = TEXT.match(data[side], home[1])
        return found[0] if found and data[side][found.end() : found.end() + 1] == b"\0" else b""

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
            marks = distinct(np.concatenate([pairs[0], np.array(list(others), np.int64)]))
            for number, region in enumerate(self.regions):
                section = self._section(number, side)
                here = marks[(marks >= section.place) & (marks < section.place + section.size)] - section.place
                region.marks = (here, region.marks[1]) if side == 0 else (region.marks[0], here)

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
            targets = [
                (two if side else one).start + self._section(number, side).place for number, one, two in self.single
            ]
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
        if region.data is None:
            return links.NOWHERE
        if machine not in {EM_386, EM_X86_64}:
            return links.from_code(self.right, region.two)
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
            value = gather(data, to[plain] - region.two.place, 4, "<", True)
            found.append(np.stack([to[plain], x86.address(value, to[plain])]))
        return np.concatenate(found, axis=1)

    def _begins(self, side: int, targets: Any) -> None:
        """Let parts of data begin where something refers to."""
        targets = distinct(targets)
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

    def _merge(self) -> None:
        """Take the references that tables were found to hold."""
        for side, rows in enumerate(self.more):
            if rows:
                self.references[side] = _sorted(np.concatenate([self.references[side], *rows], axis=1))
        self.more = ([], [])


def _sorted(rows: Any) -> Any:
    order = np.argsort(rows[0], kind="stable")
    rows = rows[:, order]
    keep = np.append(True, np.diff(rows[0]) != 0) if rows.shape[1] else np.zeros(0, bool)
    return rows[:, keep]


def _taken(section: Section) -> bool:
    return (
        section.alloc
        and section.size > 0
        and (section.type in {SHT_PROGBITS, *ARRAYS} or (section.type == SHT_NOBITS and not section.flags & SHF_TLS))
        and not section.name.startswith(FIXED)
    )
