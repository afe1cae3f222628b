"""What tells parts of two programs from others: their bytes, and what these lead to as far as that is known."""

from bisect import bisect_right
from typing import Any

import numpy as np

from reprodiff.formats.program import links
from reprodiff.formats.program.arrange.chart import Chart, Function
from reprodiff.formats.program.arrange.region import Region
from reprodiff.formats.program.names import ET_EXEC, SHF_WRITE
from reprodiff.formats.program.words import gather

TEXT_MIN, TEXT_MAX = 3, 64
# How much of a part tells it from others.
SHAPE_MAX = 128
EXTENT_MAX = 1 << 16
# Compilers store a number again for each unit; what is larger is an object.
CONSTANT_MAX = 64


class Like(Chart):
    """Compares parts, pointers by what they lead to."""

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
        for at, good in zip(both.tolist(), self._relocated(region, start + both, other + both, may), strict=True):
            odd[at : at + word] = not good
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

    def _relocated(self, region: Region, starts: Any, others: Any, may: Any) -> list[bool]:
        """Tell of words at offsets of both sides whether their relocations may lead to the same."""
        places = (starts + region.one.place).tolist(), (others + region.two.place).tolist()
        rows = [(self.targets[0].get(one), self.targets[1].get(two)) for one, two in zip(*places, strict=True)]
        found = [
            one is two is None and self.symbols[0].get(first) == self.symbols[1].get(second)
            for (one, two), first, second in zip(rows, *places, strict=True)
        ]
        both = [number for number, row in enumerate(rows) if None not in row]
        if both:
            ones, twos = np.array([rows[number] for number in both], np.int64).T
            for number, good in zip(both, may(ones, twos).tolist(), strict=True):
                found[number] = good
        return found

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
                texts.append(data[side][home[1] : home[1] + TEXT_MAX].split(b"\0")[0] if home and data else b"")
            found[index] = len(texts[0]) >= TEXT_MIN and texts[0] == texts[1] and texts[0].isascii()
        return found

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
