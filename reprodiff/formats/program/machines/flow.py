"""Which instruction gave a register the value that another one uses, over arrays and for any machine.

An address is often made by two instructions, with others between them. The value that an instruction uses is the one
that the last write before it left there, on the way that leads there: backwards to the start of the straight stretch,
from there to a jump that leads into it, and so on. Where a compiler made two instructions as a pair the first lies on
all ways to the second: several ways are tried, and must not say different things.
"""

from typing import Any

import numpy as np

from reprodiff.formats.program.words import distinct

# How many jumps are followed back.
HOPS = 24


class Flow:
    """The instructions of a stretch of code, by number.

    writes      (numbers, registers) of what writes registers, in any order; places on the stack are registers too
    copies      (numbers, registers, registers) of what gives one of these the value of another
    calls       numbers of what calls functions, which may change the registers `changed`, a table of bool
    stops       whether what follows an instruction is not reached from it, by number
    jumps       (numbers, numbers of where they lead) of jumps that are no calls
    leaps       numbers of jumps to anywhere
    begins      numbers at which functions begin
    """

    def __init__(
        self, writes: tuple[Any, Any], copies: tuple[Any, Any, Any], calls: Any, changed: Any, stops: Any,
        jumps: tuple[Any, Any], leaps: Any, begins: Any,
    ) -> None:  # fmt: skip
        self.count = len(stops)
        self.writes = np.sort(writes[1].astype(np.int64) * self.count + writes[0])
        self.calls, self.changed = calls, changed
        made = copies[1].astype(np.int64) * self.count + copies[0]
        order = np.argsort(made, kind="stable")
        self.copies = made[order], copies[2][order].astype(np.int64)
        starts = np.flatnonzero(stops) + 1
        self.starts = distinct(np.concatenate([np.zeros(1, np.int64), starts[starts < self.count], begins]))
        source, target = jumps
        fixed = np.zeros(self.count + 1, bool)
        fixed[begins] = True
        # A jump to where a function begins is its call.
        inner = (target >= 0) & (target < self.count)
        inner[inner] = ~fixed[target[inner]]
        source, target = source[inner], target[inner]
        order = np.argsort(target, kind="stable")
        source, target = source[order], target[order]
        ahead = source < target
        self.ahead = source[ahead], target[ahead]
        into = source < self.starts[np.searchsorted(self.starts, target, "right") - 1]
        self.into = source[into], target[into]
        self.back = source[~ahead], target[~ahead]
        # What no jump leads to is reached by one to anywhere, the last one before it or the first of the function.
        self.leaps = np.full(len(self.starts), -1, np.int64), np.full(len(self.starts), -1, np.int64)
        if len(leaps):
            functions = np.append(begins, 0) if not len(begins) else begins
            first = functions[np.maximum(np.searchsorted(functions, self.starts, "right") - 1, 0)]
            last = np.searchsorted(leaps, self.starts) - 1
            known = (last >= 0) & (leaps[np.maximum(last, 0)] >= first) & ~fixed[self.starts]
            self.leaps[0][known] = leaps[last[known]]
            self.leaps[1][known] = leaps[np.searchsorted(leaps, first[known])]

    def definitions(self, at: Any, registers: Any, values: Any) -> Any:
        """Return which instructions gave registers the values that they have at instructions, -1 where unknown.

        values: by number of instruction; two with the same value give the same.
        """
        found = self._followed(at, registers, (self.into, self.back), first=True)
        sure = np.ones(len(at), bool)
        for ways, first in (((self.into, self.back), False), ((self.back, self.into), True)):
            other = self._followed(at, registers, ways, first=first)
            sure &= (found < 0) | (other < 0) | (values[found] == values[other])
            found = np.where(found < 0, other, found)
        return np.where(sure, found, -1)

    def _followed(self, at: Any, registers: Any, ways: tuple[tuple[Any, Any], ...], *, first: bool) -> Any:
        """Return what one way to each instruction says; ways: the jumps to try, in order."""
        found = np.full(len(at), -1, np.int64)
        active = np.arange(len(at))
        place, wanted = at.astype(np.int64), registers.astype(np.int64)
        for _ in range(HOPS):
            if not len(active):
                break
            register, here = wanted[active], place[active]
            write = _last(self.writes, register * self.count + here)
            write = np.where(write >= register * self.count, write - register * self.count, -1)
            call = np.where(self.changed[np.minimum(register, len(self.changed) - 1)], _last(self.calls, here), -1)
            stretch = np.searchsorted(self.starts, here, "right") - 1
            start = self.starts[stretch]
            written = (write >= start) & (write > call)
            copied = self._copied(register * self.count + write)
            moving = written & (copied >= 0)
            found[active] = np.where(written & ~moving, write, -1)
            # What follows a call that does not return is reached only by jumps.
            called = ~written & (call >= start)
            onward = _jump(ways[0], start, here, first)
            onward = np.where(onward < 0, _jump(ways[1], start, here, first), onward)
            onward = np.where(onward < 0, self.leaps[0 if first else 1][stretch], onward)
            onward = np.where(called, _jump(self.ahead, call + 1, here, first), onward)
            going = ~written & (onward >= 0) & (onward != here)
            place[active] = np.where(moving, write, onward)
            wanted[active] = np.where(moving, copied, register)
            active = active[going | moving]
        return found

    def _copied(self, made: Any) -> Any:
        """Return whose value writes copy, -1 where they do something else."""
        known, registers = self.copies
        if not len(known):
            return np.full(len(made), -1)
        index = np.minimum(np.searchsorted(known, made), len(known) - 1)
        return np.where(known[index] == made, registers[index], -1)


def _last(numbers: Any, before: Any) -> Any:
    """Return the last of numbers in order before others, -1 where there is none."""
    if not len(numbers):
        return np.full(len(before), -1)
    index = np.searchsorted(numbers, before) - 1
    return np.where(index >= 0, numbers[np.maximum(index, 0)], -1)


def _jump(jumps: tuple[Any, Any], start: Any, last: Any, first: bool) -> Any:
    """Return a jump that leads to a range of instructions, both ends included, -1 where none does; the first or last of
    the range."""
    source, target = jumps
    if not len(target):
        return np.full(len(start), -1, np.int64)
    index = np.searchsorted(target, start) if first else np.searchsorted(target, last, "right") - 1
    index = np.clip(index, 0, len(target) - 1)
    fits = (target[index] >= start) & (target[index] <= last)
    return np.where(fits, source[index], -1)
