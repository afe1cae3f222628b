"""What the instructions of any machine refer to: the one interface behind which each family has a module.

A module finds in the code of one side the words that hold a displacement, and reads from such words what they refer
to. What is compared is always the left side's rows: where the bits around a displacement are the same on both sides,
the right word is read as the left one is.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from reprodiff.formats.program.words import gather

# What a row counts from: the file's global pointer, an instruction (a branch within code; data as well), nothing.
GLOBAL, BRANCH, DATA, ABSOLUTE = range(4)
# A kind is one of these and what the machine's module makes of it, above these bits.
ROLE = 3
FORM = 2
# The kind of a word that is a head itself, of what another one at `head` is the head of too, on another way there: it
# has no target, and is as good as that one. What distinguishes both is part of its core.
AGAIN = 31 << FORM | DATA


class Marks(NamedTuple):
    """What symbols say of code besides where functions begin.

    at, state: offsets in order and what begins there, a letter as the ABIs of Arm name it (ord of a, t, x or d: data).
    cold: offsets of parts of functions that were moved away from them; jumps go there.
    """

    at: Any
    state: Any
    cold: Any

    def within(self, start: int, stop: int) -> "Marks":
        """Return the marks of a range, counted from its start; the state that holds at its start included."""
        first = max(int(np.searchsorted(self.at, start, "right")) - 1, 0)
        last = int(np.searchsorted(self.at, stop))
        cold = self.cold[(self.cold >= start) & (self.cold < stop)] - start
        return Marks(np.maximum(self.at[first:last] - start, 0), self.state[first:last], cold)


class Fields(NamedTuple):
    """The words of code that say where something is, as arrays with a row for each, in order of `at`; in bytes.

    at      offset of the word, once for each
    size    its bytes: 2, 4 or 8
    kind    GLOBAL, BRANCH, DATA or ABSOLUTE, and the form
    head    how far from `at` the word with the other part of the target is, 0 where there is none
    top     the bytes of that: 2 or 4
    anchor  how far from `at` the instruction is from which it counts
    bias    what is added to the place of that
    starts  offsets of all instructions
    tidy    whether it is known that no instruction reaches beyond the start of the next function, or the end of all
    """

    at: Any
    size: Any
    kind: Any
    head: Any
    top: Any
    anchor: Any
    bias: Any
    starts: Any
    tidy: bool = False

    def moved(self, by: int) -> "Fields":
        """Return the same, counted from `by` bytes before."""
        return self._replace(at=self.at + by, starts=self.starts + by)

    def take(self, chosen: Any) -> "Fields":
        """Return some of the rows, without the instructions."""
        at, size, kind, head, top, anchor, bias = (column[chosen] for column in self[:7])
        return Fields(at, size, kind, head, top, anchor, bias, self.starts[:0])

    @property
    def end(self) -> Any:
        """The offsets from which the rows count."""
        return self.at + self.anchor + self.bias

    @property
    def role(self) -> Any:
        return self.kind & ROLE


class Read(NamedTuple):
    """What words hold: `core` and `head` their bits that are no displacement, `target` the address."""

    core: Any
    head: Any
    target: Any


class Held(NamedTuple):
    """Words as they are, those at their heads, and what they hold."""

    word: Any
    head: Any
    read: Read


class Family(NamedTuple):
    """A family of machines.

    find   code, its address, offsets of functions in order and marks to the fields
    read   kinds, words, words at the heads, the addresses that they count from and those of the words to what they hold,
           as arrays
    batch  how much code is looked at together
    calls  kinds and words to whether they call, None where nothing does: what is called begins a function
    local  how far behind the start of a function calls of its own module may lead
    width  the bytes of every instruction, 0 where these differ
    bare   whether nothing in a displacement says where instructions begin, what they are or what else is one
    through  kinds and words to which targets are places of the offset table, and what is added to the words there
    pointer  what tells of a side (`side.Side`) where its global pointer is, if no symbol does; 0 for unknown
    """

    find: Callable[[bytes, int, list[int], Marks], Fields]
    read: Callable[[Any, Any, Any, Any, Any], Read]
    batch: int = 1 << 21
    calls: Callable[[Any, Any], Any] | None = None
    pointer: Callable[[Any], int] | None = None
    local: int = 0
    width: int = 0
    bare: bool = False
    through: Callable[[Any, Any], tuple[Any, Any]] | None = None


def nothing() -> Fields:
    """Return no fields."""
    empty = np.zeros(0, np.int64)
    return Fields(empty, empty, empty, empty, empty, empty, empty, empty)


def joined(parts: list[Fields]) -> Fields:
    """Return the fields of stretches of code, in order, as one."""
    if len(parts) < 2:
        return parts[0] if parts else nothing()
    columns = [np.concatenate(column) for column in zip(*(part[:8] for part in parts), strict=True)]
    return Fields._make([*columns, all(part.tidy for part in parts)])


def begins(halves: Any, wide: Any, starts: list[int]) -> Any:
    """Return at which halves of code instructions begin, as bool; wide: which take two halves if they begin there.

    One begins behind each half that does not begin a wide one, whatever that half is; in a run of others every second.
    """
    count = len(halves)
    sure = np.append(True, ~wide[:-1])
    sure[np.array([start // 2 for start in starts if start // 2 < count], np.int64)] = True
    numbers = np.arange(count)
    return (numbers - np.maximum.accumulate(np.where(sure, numbers, 0))) & 1 == 0


def rows(parts: list[tuple[Any, int, int, Any]], starts: Any, places: Any, size: Any) -> Fields:
    """Return fields from lists of instructions.

    parts: (numbers, form, role, numbers of heads or None) each; what has a head counts from it.
    places, size: offset and bytes of every instruction.
    """
    numbers = np.concatenate([part[0] for part in parts]).astype(np.int64)
    kind = np.concatenate([np.full(len(part[0]), part[1] << FORM | part[2]) for part in parts])
    heads = np.concatenate([part[0] if part[3] is None else part[3] for part in parts]).astype(np.int64)
    order = np.argsort(numbers, kind="stable")
    numbers, kind, heads = numbers[order], kind[order], heads[order]
    far = places[heads] - places[numbers]
    return Fields(places[numbers], size[numbers], kind, far, size[heads], far, np.zeros(len(far), np.int8), starts)


def words(data: Any, at: Any, size: Any, order: str) -> Any:
    """Return the unsigned words of 2, 4 or 8 bytes at offsets of a byte array, as int64."""
    if (size == 4).all():
        return gather(data, at, 4, order, signed=False)
    found = np.zeros(len(at), np.int64)
    for width in (2, 4, 8):
        chosen = np.flatnonzero(size == width)
        found[chosen] = gather(data, at[chosen], width, order, signed=False)
    return found


def signed(values: Any, bits: int) -> Any:
    """Return numbers of so many bits in two's complement."""
    half = 1 << (bits - 1)
    return ((values & ((1 << bits) - 1)) ^ half) - half
