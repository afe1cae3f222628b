"""Names of Rust that are the same but for a digest: which name of the right side is which of the left.

The digests of a crate change all at once when its version, flags or source path do. Names that say the same besides
are many (one for each type that a function was made for): which is which is told by the code that they name, and by
what that code refers to.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from reprodiff.formats.program.digests import by_plain, digested, plain
from reprodiff.formats.program.machines import x86
from reprodiff.formats.program.names import EM_X86_64
from reprodiff.formats.program.words import among, gather

# So much of what code refers to tells it from other code.
TEXT_MAX = 24
ROUNDS = 4


def renamed(left: Any, right: Any) -> dict[bytes, bytes]:
    """Return which symbol of the right side is which of the left, of those that one side alone has by their names."""
    if left.strings() == right.strings():
        return {}
    labels = left.labels(), right.labels()
    known = set(labels[0]), set(labels[1])
    rest = [[name for name in labels[i] if name not in known[1 - i] and digested(name)] for i in (0, 1)]
    if not rest[0] or not rest[1]:
        return {}
    homes = _Homes(left), _Homes(right)
    found: dict[bytes, bytes] = {}
    others = by_plain(rest[1])
    groups = [(names, others[key]) for key, names in by_plain(rest[0]).items() if key in others]
    for ones, twos in groups:
        if len(ones) == len(twos) == 1:
            found[ones[0]] = twos[0]
    groups = [group for group in groups if group[0][0] not in found]
    # What code refers to tells more once it is known what that is on the other side.
    for _ in range(ROUNDS):
        before = len(found)
        homes[0].calls, homes[1].calls = found, {two: two for two in found.values()}
        for ones, twos in groups:
            _alone(ones, twos, homes[0].look(0), homes[1].look(0), found)
        _called(homes, groups, found)
        used = set(found.values())
        groups = [([n for n in ones if n not in found], [n for n in twos if n not in used]) for ones, twos in groups]
        if len(found) == before:
            break
    for names, twins in groups:
        ones, twos = names, twins
        for step in range(3):
            ones, twos = _matched(ones, twos, homes[0].look(step), homes[1].look(step), found)
        if len(ones) == len(twos):
            found.update(zip(ones, twos, strict=True))
    return found


def _alone(
    ones: list[bytes], twos: list[bytes], one: Callable[[bytes], Any], two: Callable[[bytes], Any], found: Any
) -> None:
    """Pair names that look like one of the other side and like none of their own."""
    looks = [defaultdict[Any, list[bytes]](list), defaultdict[Any, list[bytes]](list)]
    for side, names, look in ((looks[0], ones, one), (looks[1], twos, two)):
        for name in names:
            side[look(name)].append(name)
    for key, names in looks[0].items():
        twins = looks[1].get(key, ())
        if key is not None and len(names) == len(twins) == 1:
            found[names[0]] = twins[0]


def _matched(
    ones: list[bytes], twos: list[bytes], one: Callable[[bytes], Any], two: Callable[[bytes], Any], found: Any
) -> tuple[list[bytes], list[bytes]]:
    """Pair names that look the same, the first with the first; return what is left."""
    places: defaultdict[Any, list[bytes]] = defaultdict(list)
    for name in reversed(twos):
        places[two(name)].append(name)
    rest = []
    used = set()
    for name in ones:
        look = one(name)
        hits = places.get(look) if look is not None else None
        if hits:
            found[name] = hits.pop()
            used.add(found[name])
        else:
            rest.append(name)
    return rest, [name for name in twos if name not in used]


def _called(
    homes: "tuple[_Homes, _Homes]", groups: list[tuple[list[bytes], list[bytes]]], found: dict[bytes, bytes]
) -> None:
    """Pair names by the places in functions known to be the same that lead to them."""
    used = set(found.values())
    wanted = (
        {name for ones, _twos in groups for name in ones if name not in found},
        {name for _ones, twos in groups for name in twos if name not in used},
    )
    votes: Counter[tuple[bytes, bytes]] = Counter()
    right = {(caller, place): name for caller, place, name in homes[1].callers(wanted[1])}
    for caller, place, name in homes[0].callers(wanted[0]):
        twin = right.get((found.get(caller, caller), place))
        if twin is not None and plain(twin) == plain(name):
            votes[name, twin] += 1
    taken: set[bytes] = set()
    for (name, twin), count in votes.most_common():
        rivals = [other for other in votes if (other[0] == name) != (other[1] == twin) and votes[other] >= count]
        if name not in found and twin not in taken and not rivals:
            found[name] = twin
            taken.add(twin)


class _Homes:
    """What the symbols of one side name."""

    def __init__(self, side: Any) -> None:
        self.side = side
        self.at: dict[bytes, tuple[Any, Any]] = {}
        self.sections = [s for s in side.image.sections if s.alloc and s.size]
        for section in self.sections:
            for symbol in side.named(section):
                self.at.setdefault(symbol.name, (section, symbol))
        # What names are called on the right side, as far as it is known.
        self.calls: dict[bytes, bytes] = {}
        self._blank: dict[int, bytes] = {}
        self._places: dict[int, tuple[Any, list[bytes]]] = {}

    def look(self, step: int) -> Callable[[bytes], Any]:
        """Return what tells a symbol from others: its code and what that refers to, its code alone, its size."""
        return (self._referring, self._code, self._size)[step]

    def _size(self, name: bytes) -> Any:
        return self.at[name][1].size if name in self.at else None

    def _code(self, name: bytes) -> Any:
        if name not in self.at:
            return None
        section, symbol = self.at[name]
        return self._blanked(section)[symbol.start : symbol.start + symbol.size]

    def _blanked(self, section: Any) -> bytes:
        found = self._blank.get(section.number)
        if found is None:
            data = self.side.data(section) if section.stored else b""
            if section.code and self.side.image.machine == EM_X86_64 and data:
                code = np.frombuffer(data, np.uint8).copy()
                fields = self.side.sweep(section)
                at = fields.at[fields.kind != x86.ABSOLUTE]
                for i in range(4):
                    code[at + i] = 0
                data = code.tobytes()
            found = self._blank[section.number] = data
        return found

    def _referring(self, name: bytes) -> Any:
        code = self._code(name)
        if code is None:
            return None
        section, symbol = self.at[name]
        if not section.code or self.side.image.machine != EM_X86_64:
            return code
        fields = self.side.sweep(section)
        first, last = np.searchsorted(fields.at, (symbol.start, symbol.start + symbol.size)).tolist()
        kinds = fields.kind[first:last] != x86.ABSOLUTE
        at, end = fields.at[first:last][kinds], fields.end[first:last][kinds]
        targets = gather(np.frombuffer(self.side.data(section), np.uint8), at, 4, "<", True) + end + section.place
        return code, tuple(self._target(address) for address in targets.tolist())

    def callers(self, names: set[bytes]) -> Iterator[tuple[bytes, int, bytes]]:
        """Yield (function, offset in it, name) of the references to symbols of these names."""
        if self.side.image.machine != EM_X86_64:
            return
        places = {self.at[n][0].place + self.at[n][1].start: n for n in names if n in self.at}
        known = np.array(sorted(places), np.int64)
        for section in self.sections if len(known) else ():
            rows = self.side.named(section)
            if not section.code or not section.stored or not rows:
                continue
            fields = self.side.sweep(section)
            kinds = fields.kind != x86.ABSOLUTE
            at, end = fields.at[kinds], fields.end[kinds]
            targets = gather(np.frombuffer(self.side.data(section), np.uint8), at, 4, "<", True) + end + section.place
            hits = among(targets, known)
            starts = np.array([row.start for row in rows], np.int64)
            for place, target in zip(at[hits].tolist(), targets[hits].tolist(), strict=True):
                index = int(np.searchsorted(starts, place, "right")) - 1
                if index >= 0:
                    yield rows[index].name, place - rows[index].start, places[target]

    def _target(self, address: int) -> bytes:
        """Return what an address says of who refers to it: the name there, without digests, else the text."""
        section = next((s for s in self.sections if s.place <= address < s.place + s.size), None)
        if section is None:
            return b""
        if section.name.startswith(b".got"):
            to = int(self.side.relocated(np.array([address], np.int64))[0])
            return self._target(to) if to else b""
        offset = address - section.place
        if section.number not in self._places:
            rows = self.side.named(section)
            self._places[section.number] = (
                np.array([row.start for row in rows], np.int64), [row.name for row in rows]
            )  # fmt: skip
        starts, names = self._places[section.number]
        index = int(np.searchsorted(starts, offset, "right")) - 1
        if section.code or (index >= 0 and offset == starts[index]):
            name = names[index] if index >= 0 else b""
            return self.calls.get(name) or plain(name)
        text: bytes = self.side.data(section)[offset : offset + TEXT_MAX] if section.stored else b""
        return text.split(b"\0", 1)[0]
