"""Compare COFF symbol tables, their string tables and the relocations of objects, entry by entry."""

import zlib
from typing import Any

import numpy as np

from reprodiff.codecs import LE, LE_HEX, RAW, TEXT
from reprodiff.formats import Walk
from reprodiff.formats.pe import literals
from reprodiff.formats.pe.decide import relocations
from reprodiff.formats.pe.sides import PeBoth
from reprodiff.formats.pe.view import C_FILE, C_WEAK, FUNCTION, SYMBOL, Entry
from reprodiff.formats.program.keys import key_of
from reprodiff.formats.program.names import ET_REL
from reprodiff.formats.program.pieces import Pieces
from reprodiff.formats.program.sequence import matched
from reprodiff.formats.program.stringtable import strings
from reprodiff.spans import Span

WHERE = "pe/symbols/symbol[*]"
FIELDS = (("name", 0, 8, RAW), ("value", 8, 12, LE_HEX), ("sectionnumber", 12, 14, LE), ("type", 14, 16, LE_HEX),
          ("storageclass", 16, 17, LE), ("numberofauxsymbols", 17, 18, LE))  # fmt: skip


class Symbols:
    """Both symbol tables. twins: pairs of entries; numbers: left to right number in the table."""

    def __init__(self, both: PeBoth) -> None:
        self.both = both
        self.views = both.left.view, both.right.view
        self.ones, self.twos = self.views[0].entries, self.views[1].entries
        self.texts = Pieces(strings(self.views[0].strings[4:], self.views[1].strings[4:], both.names))
        self._ends: list[dict[int, int]] = []
        self.twins = self._pair()
        self.numbers = {one.number: two.number for one, two in self.twins}

    def _pair(self) -> list[tuple[Entry, Entry]]:
        ones = [_key(entry) for entry in self.ones]
        twos = [_key(entry) for entry in self.twos]
        if len(ones) == len(twos) and sum(a != b for a, b in zip(ones, twos, strict=True)) <= 4:
            return list(zip(self.ones, self.twos, strict=True))
        found = []
        for i, j, count in matched(ones, twos):
            found += list(zip(self.ones[i : i + count], self.twos[j : j + count], strict=True))
        return found

    def places(self) -> dict[int, bool]:
        """Return for the left number of each pair with a section whether its value is the place that it moved to."""
        by_section: dict[int, list[tuple[Entry, Entry]]] = {}
        for one, two in self.twins:
            if one.section > 0:
                by_section.setdefault(one.section, []).append((one, two))
        found: dict[int, bool] = {}
        for number, rows in by_section.items():
            pair = self.both.by_index.get(number)
            ones = np.array([one.value for one, _two in rows], np.int64)
            twos = np.array([two.value for _one, two in rows], np.int64)
            if pair is None:
                fine = ones == twos
            else:
                pieces = self.both.pieces(pair)
                to = pieces.to(ones)
                fine = (to == twos) | ((ones == pair.one.size) & (twos == pair.two.size))
                if pair.one.alloc and self.both.left.view.type != ET_REL:
                    # One that has two counterparts may be either.
                    fine |= self.both.addresses.same(ones + pair.one.addr, twos + pair.two.addr)
                fine |= np.array([self._behind(one, two) for one, two in rows], bool)
                # Beyond its section, or at the end of what grew, a symbol has no place of its own.
                fine |= (ones == twos) & ((ones > pair.one.size) | (pair.one.size == pair.two.size == 0))
                fine |= (pieces.to(ones - 1) == twos - 1) & (ones > 0) & (to < 0)
                headers = self.views[0].headers[number - 1], self.views[1].headers[pair.two.number - 1]
                fine |= (ones > pair.one.size) & (ones - headers[0].raw == twos - headers[1].raw)
            found.update(zip((one.number for one, _two in rows), fine.tolist(), strict=True))
        return found

    def _behind(self, one: Entry, two: Entry) -> bool:
        """Tell whether two parts of a section begin as far behind the part before them."""
        if not (one.part and two.part):
            return False
        if not self._ends:
            self._ends = [_ends(view.entries) for view in self.views]
        return one.value - self._ends[0][one.number] == two.value - self._ends[1][two.number]


def _ends(entries: list[Entry]) -> dict[int, int]:
    """Return for each part of a section where the one before it ends."""
    found: dict[int, int] = {}
    ends: dict[int, int] = {}
    for entry in sorted((e for e in entries if e.part), key=lambda e: (e.section, e.value, e.number)):
        found[entry.number] = ends.get(entry.section, 0)
        ends[entry.section] = entry.value + int.from_bytes(entry.aux[:4], "little")
    return found


def _key(entry: Entry) -> tuple[Any, ...]:
    return entry.name, entry.storage, entry.type, len(entry.aux)


def compare(walk: Walk, both: PeBoth, symbols: Symbols) -> None:
    """Compare two symbol tables."""
    views = symbols.views
    places = symbols.places()
    tables = [
        source.read(view.symbols_at, view.symbols_at + view.symbols_count * SYMBOL)
        for source, view in zip((walk.left, walk.right), views, strict=True)
    ]
    for one, two in symbols.twins:
        i, j = one.number * SYMBOL, two.number * SYMBOL
        rows = tables[0][i : i + SYMBOL], tables[1][j : j + SYMBOL]
        moved = places.get(one.number, True)
        if moved and rows[0] == rows[1] and one.aux == two.aux:
            continue
        a, b = views[0].symbols_at + i, views[1].symbols_at + j
        label = (one.name if one.storage != C_FILE else views[0].file(one),)
        if rows[0] != rows[1] or not moved:
            good = {
                "name": _named(symbols, rows, one, two),
                "value": moved and one.section > 0,
                "sectionnumber": one.section == two.section or both.to_right.get(one.section, -9) == two.section,
            }
            for name, start, stop, codec in FIELDS:
                spans = (a + start, a + stop), (b + start, b + stop)
                if rows[0][start:stop] == rows[1][start:stop]:
                    if name == "value" and not moved and not one.part:
                        walk.put(f"{WHERE}/value", label, *spans, codec)
                    continue
                (walk.put_follow if good.get(name) else walk.put)(f"{WHERE}/{name}", label, *spans, codec)
        if one.aux != two.aux:
            _aux(walk, symbols, one, two, (a + SYMBOL, b + SYMBOL), label)
    used = {one.number for one, _two in symbols.twins}, {two.number for _one, two in symbols.twins}
    for number, view in enumerate(views):
        for entry in view.entries:
            if entry.number not in used[number]:
                start = view.symbols_at + entry.number * SYMBOL
                span = start, start + SYMBOL + len(entry.aux)
                walk.put(WHERE, (entry.name,), None if number else span, span if number else None, RAW)


def _named(symbols: Symbols, rows: tuple[bytes, bytes], one: Entry, two: Entry) -> bool:
    """Tell whether two names in the string table are the same, or a string that is told to have changed."""
    if rows[0][:4] != bytes(4) or rows[1][:4] != bytes(4):
        return False
    offsets = [int.from_bytes(row[4:8], "little") for row in rows]
    return one.name == two.name or _text(symbols, *offsets)


def _text(symbols: Symbols, one: int, two: int) -> bool:
    return one >= 4 and int(symbols.texts.to(np.array([one - 4], np.int64))[0]) == two - 4


def _aux(walk: Walk, symbols: Symbols, one: Entry, two: Entry, at: tuple[int, int], label: tuple[bytes, ...]) -> None:
    """Compare what belongs to a symbol (section 5.5)."""
    spans = (at[0], at[0] + len(one.aux)), (at[1], at[1] + len(two.aux))
    views = symbols.views
    if one.storage == C_FILE:
        offsets = [int.from_bytes(entry.aux[4:8], "little") for entry in (one, two)]
        if one.aux[:4] == two.aux[:4] == bytes(4) and all(offsets):
            fine = _text(symbols, *offsets) or views[0].file(one) == views[1].file(two)
            (walk.put_follow if fine else walk.put)("pe/symbols/file[*]", label, *spans, RAW)
        else:
            walk.put("pe/symbols/file[*]", (key_of(views[0].file(one), views[1].file(two)),), *spans, TEXT)
        return
    good: tuple[tuple[int, int, bool], ...] = ()
    if one.part:
        lengths = [int.from_bytes(entry.aux[:4], "little") for entry in (one, two)]
        pair = symbols.both.by_index.get(one.section)
        fine = pair is not None and _spans(symbols.both, pair, one, two, *lengths)
        good = ((0, 4, fine), (8, 12, _summed(symbols, one, two)))
        if fine and pair is not None and pair.one.code and lengths[0] != lengths[1]:
            # How many relocations it had before it was linked; other code has another number.
            good = (*good, (4, 6, True))
        if pair is not None and symbols.both.left.view.type == ET_REL:
            counts = [view.headers[entry.section - 1].relocated for view, entry in zip(views, (one, two), strict=True)]
            good = (*good, (4, 6, counts == [int.from_bytes(entry.aux[4:6], "little") for entry in (one, two)]))
    elif one.storage == C_WEAK or one.type == FUNCTION:
        numbers = [[int.from_bytes(entry.aux[i : i + 4], "little") for i in (0, 12)] for entry in (one, two)]
        good = tuple((i, i + 4, symbols.numbers.get(numbers[0][n]) == numbers[1][n]) for n, i in ((0, 0), (1, 12)))
    rest = bytearray(two.aux) if len(one.aux) == len(two.aux) else None
    for start, stop, fine in good:
        if fine and rest is not None and rest[start:stop] != one.aux[start:stop]:
            rest[start:stop] = one.aux[start:stop]
            walk.put_follow(f"{WHERE}/aux", label, (at[0] + start, at[0] + stop), (at[1] + start, at[1] + stop), LE)
    if rest is None:
        walk.put(f"{WHERE}/aux", label, *spans, RAW)
        return
    runs = [i for i in range(len(rest)) if rest[i] != one.aux[i]]
    if runs:
        walk.put(f"{WHERE}/aux", label, (at[0] + runs[0], at[0] + runs[-1] + 1), (at[1] + runs[0], at[1] + runs[-1] + 1),
                 RAW, runs=[((at[0] + i, at[0] + i + 1), (at[1] + i, at[1] + i + 1)) for i in runs])  # fmt: skip


def _spans(both: PeBoth, pair: Any, one: Entry, two: Entry, first: int, second: int) -> bool:
    """Tell whether two parts of a section end where corresponding bytes do."""
    if both.left.view.type == ET_REL:
        return (first, second) == (pair.one.size, pair.two.size)
    pieces = both.pieces(pair)
    ends = np.array([one.value + first - 1, one.value + first], np.int64)
    to = pieces.to(ends).tolist()
    return two.value + second in {to[0] + 1 if to[0] >= 0 else -1, to[1]}


def _summed(symbols: Symbols, one: Entry, two: Entry) -> bool:
    """Tell whether checksums are those of the sections' contents, as COMDAT sections of objects have."""
    for view, entry in zip(symbols.views, (one, two), strict=True):
        data = view.data(view.sections[entry.section])
        if int.from_bytes(entry.aux[8:12], "little") != zlib.crc32(data, 0xFFFFFFFF) ^ 0xFFFFFFFF:
            return False
    return True


def texts(walk: Walk, symbols: Symbols, one: Span, two: Span) -> None:
    """Compare two string tables: their spans in the files."""
    a, b = walk.left.read(*one), walk.right.read(*two)
    if a == b:
        return
    where = "pe/strings"
    if a[:4] != b[:4]:
        fine = [int.from_bytes(side[:4], "little") for side in (a, b)] == [len(a), len(b)]
        (walk.put_follow if fine else walk.put)(f"{where}/size", (), (one[0], one[0] + 4), (two[0], two[0] + 4), LE)
    for p in [*symbols.texts.pieces, *symbols.texts.added]:
        x, y = a[4 + p.l0 : 4 + p.l1], b[4 + p.r0 : 4 + p.r1]
        if x == y:
            continue
        spans = (one[0] + 4 + p.l0, one[0] + 4 + p.l1), (two[0] + 4 + p.r0, two[0] + 4 + p.r1)
        if p.l0 == p.l1 or p.r0 == p.r1:
            walk.put(
                f"{where}/string[*]", ((x or y).rstrip(b"\0"),), spans[0] if x else None, spans[1] if y else None, TEXT
            )
        elif _literals(symbols, x, y):
            walk.put_follow(f"{where}/string[*]", (), *spans, TEXT)
        else:
            walk.put(f"{where}/string[*]", (key_of(x, y),), *spans, TEXT)


def _literals(symbols: Symbols, one: bytes, two: bytes) -> bool:
    """Tell whether two strings are the names of literals that say what both literals are."""
    found = []
    for view, raw in zip(symbols.views, (one, two), strict=True):
        text = raw.rstrip(b"\0")
        if not text.startswith(literals.PREFIX):
            return False
        for entry in view.entries:
            if entry.name == text and 0 < entry.section <= len(view.headers):
                data = view.data(view.sections[entry.section])
                stop = data.find(b"\0", entry.value)
                found.append(stop >= 0 and literals.name(data[entry.value : stop + 1]) == text)
                break
    return found == [True, True]


def moves(walk: Walk, both: PeBoth, symbols: Symbols, pair: Any) -> None:
    """Compare the relocations of two sections of objects."""
    views = symbols.views
    rows = [relocations(view, section.number) for view, section in zip(views, (pair.one, pair.two), strict=True)]
    heads = views[0].headers[pair.one.number - 1], views[1].headers[pair.two.number - 1]
    if not len(rows[0]) and not len(rows[1]):
        return
    pieces = both.pieces(pair)
    ones, twos = rows
    index = np.arange(min(len(ones), len(twos)))
    pairs = list(zip(index.tolist(), index.tolist(), strict=True))
    to = pieces.to(ones["at"].astype(np.int64))
    if len(ones) != len(twos):
        there = {place: number for number, place in enumerate(twos["at"].tolist())}
        pairs = [(number, there[place]) for number, place in enumerate(to.tolist()) if place in there]
    where, key = "pe/relocations[*]/relocation", (pair.one.name,)
    firsts, seconds = (np.array([row[side] for row in pairs], np.int64) for side in (0, 1))
    x, y = ones[firsts], twos[seconds]
    numbers = [symbols.numbers.get(number, -1) for number in x["symbol"].tolist()]
    good = {
        "virtualaddress": to[firsts] == y["at"],
        "symboltableindex": np.array(numbers, np.int64) == y["symbol"],
        "type": x["type"] == y["type"],
    }
    for name, start, stop, field in (
        ("virtualaddress", 0, 4, "at"), ("symboltableindex", 4, 8, "symbol"), ("type", 8, 10, "type"),
    ):  # fmt: skip
        for row in np.flatnonzero((x[field] != y[field]) | ~good[name]).tolist():
            a, b = (head.relocations + 10 * pairs[row][side] for side, head in enumerate(heads))
            put = walk.put_follow if good[name][row] else walk.put
            put(f"{where}/{name}", key, (a + start, a + stop), (b + start, b + stop), LE_HEX)
    used = {i for i, _j in pairs}, {j for _i, j in pairs}
    for side, (table, head) in enumerate(zip(rows, heads, strict=True)):
        for number in sorted(set(range(len(table))) - used[side]):
            span = head.relocations + 10 * number, head.relocations + 10 * number + 10
            walk.put(where, key, None if side else span, span if side else None, RAW)
