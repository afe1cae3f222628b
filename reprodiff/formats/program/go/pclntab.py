"""Go's table of functions, files and lines, `.gopclntab` (go/src/debug/gosym/pclntab.go, go/src/runtime/symtab.go).

A header, then five regions in a row: names of functions, files of each unit as offsets, names of files, tables that
map code to numbers, and one record per function that refers into all of them. Read here as Go 1.16 and later write it.
"""

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from reprodiff.errors import FormatError
from reprodiff.formats.program.words import gather

NAME = b".gopclntab"
# The first four bytes, by the release of Go that introduced them.
MAGICS = {0xFFFFFFFA: 16, 0xFFFFFFF0: 18, 0xFFFFFFF1: 20}
REGIONS = ("names", "units", "files", "tables", "functions")
# The section of what `go build` records: every Go program has one of the two.
RECORD = b".go.buildinfo"
NONE = 0xFFFFFFFF
FUNCTIONS_MAX = 1 << 22
# Buckets of code that the runtime finds functions by (runtime/symtab.go, findfuncbucket).
BUCKET, PARTS = 4096, 16


def go_program(image: Any) -> bool:
    """Tell whether the headers of a file name a section that only Go programs have."""
    return any(section.name == RECORD or section.name.endswith(NAME) for section in image.sections)


class Strings(NamedTuple):
    """The NUL-terminated strings of a region: where each starts in the section, and what it is."""

    starts: list[int]
    texts: list[bytes]


class Table:
    """One table. All places are offsets into the section; regions are (start, stop) by the names of REGIONS."""

    def __init__(self, data: bytes, order: str) -> None:
        """Raises FormatError where the bytes are no such table, or none that holds together."""
        self.data = data
        self.order = order
        self.array = np.frombuffer(data, np.uint8)
        little: Any = "little" if order == "<" else "big"
        self.version = MAGICS.get(int.from_bytes(data[:4], little), 0)
        if not self.version or len(data) < 72 or data[7] not in {4, 8}:
            raise FormatError("not a table of Go's functions")
        self.word = data[7]
        texts = self.version >= 18
        self.fields = ["nfunc", "nfiles", *(["textStart"] if texts else []),
                       "funcnameOffset", "cuOffset", "filetabOffset", "pctabOffset", "pclnOffset"]  # fmt: skip
        self.head = 8 + len(self.fields) * self.word
        values = [int.from_bytes(data[at : at + self.word], little) for at in range(8, self.head, self.word)]
        self.count = values[0]
        self.text = values[2] if texts else 0
        bounds = [*values[-5:], len(data)]
        if bounds != sorted(bounds) or bounds[0] < self.head:
            raise FormatError("the parts of Go's function table overlap")
        self.regions = {name: (bounds[i], bounds[i + 1]) for i, name in enumerate(REGIONS)}
        self._functions()

    def _functions(self) -> None:
        start, stop = self.regions["functions"]
        # What an entry of the list of functions is made of: where the code begins, and where the record lies.
        self.step = 4 if self.version >= 18 else self.word
        lead = 4 if self.version >= 18 else self.word
        self.size = lead + 36 + (4 if self.version >= 20 else 0)
        listed = self.count * 2 * self.step + self.step
        if self.count > FUNCTIONS_MAX or start + listed > stop:
            raise FormatError("the list of Go's functions does not fit")
        self.listed = start + listed
        at = start + np.arange(self.count, dtype=np.int64) * 2 * self.step
        self.at_entries, self.at_records = at, at + self.step
        self.at_end = self.listed - self.step
        self.entries = self.read(at, self.step)
        self.records = self.read(self.at_records, self.step) + start
        # The places of a record's fields, each counted from its start (runtime2.go, _func).
        self.places = {name: lead + 4 * i for i, name in enumerate(
            ("nameOff", "args", "deferreturn", "pcsp", "pcfile", "pcln", "npcdata", "cuOffset"))}  # fmt: skip
        if (
            not self.count
            or (self.records + self.size > stop).any()
            or (self.records < self.listed).any()
            or (np.diff(self.records) < self.size).any()
        ):
            raise FormatError("the records of Go's functions do not hold together")
        self.pcdata = self.field("npcdata")
        self.funcdata = self.array[self.records + self.size - 1].astype(np.int64)
        tail = 4 * (self.pcdata + self.funcdata)
        if self.version < 18:
            # Addresses, aligned.
            begin = self.records + self.size + 4 * self.pcdata
            tail = -(-begin // self.word) * self.word + self.word * self.funcdata - self.records - self.size
        self.stops = self.records + self.size + tail
        if (self.stops[:-1] > self.records[1:]).any() or self.stops[-1] > stop:
            raise FormatError("the records of Go's functions overlap")

    def read(self, places: Any, width: int = 4) -> Any:
        """Return the words at places, as an array of unsigned numbers."""
        return gather(self.array, places, width, self.order, signed=False)

    def field(self, name: str) -> Any:
        """Return a field of every function's record."""
        return self.read(self.records + self.places[name])

    def strings(self, region: str) -> Strings:
        """Return the strings of a region; what fills it up is none."""
        start, stop = self.regions[region]
        texts = self.data[start:stop].rstrip(b"\0").split(b"\0") if self.data[start:stop].strip(b"\0") else []
        sizes = np.fromiter((len(text) + 1 for text in texts), np.int64, len(texts))
        return Strings((start + np.concatenate([[0], np.cumsum(sizes)[:-1]])).tolist() if texts else [], texts)

    @cached_property
    def names(self) -> list[bytes]:
        """The name of every function."""
        start, stop = self.regions["names"]
        whole = self.data[start:stop]
        return [whole[at : max(whole.find(b"\0", at), at)] for at in self.field("nameOff").tolist()]

    @cached_property
    def of_pcdata(self) -> tuple[Any, Any]:
        """Where the words behind the records lie that refer to tables, and the numbers of their functions."""
        return _behind(self.records + self.size, self.pcdata, 4)

    @cached_property
    def of_funcdata(self) -> tuple[Any, Any]:
        """Where the words lie that refer to what else is known of a function, and the numbers of their functions."""
        begin = self.records + self.size + 4 * self.pcdata
        if self.version < 18:
            return _behind(-(-begin // self.word) * self.word, self.funcdata, self.word)
        return _behind(begin, self.funcdata, 4)

    @cached_property
    def units(self) -> Any:
        """Where the files of each unit begin, in order; the last is the end of the region's used part."""
        start, stop = self.regions["units"]
        places = self.field("cuOffset")
        found = np.unique(places[places != NONE]) * 4 + start
        return np.append(found[found < stop], stop - (stop - start) % 4)

    @cached_property
    def tables(self) -> Any:
        """Where the tables begin that map code to numbers, in order; the last is where they end."""
        start, stop = self.regions["tables"]
        at, _functions = self.of_pcdata
        used = np.concatenate([self.read(at), *(self.field(name) for name in ("pcsp", "pcfile", "pcln"))])
        found = np.unique(used[used > 0]) + start
        # What is behind the zero that ends the last one fills up.
        end = min(start + len(self.data[start:stop].rstrip(b"\0")) + 1, stop)
        return np.append(found[found < end], end)

    @property
    def end(self) -> int:
        """Where the last record ends, in whole words."""
        return -(-int(self.stops[-1]) // self.word) * self.word

    @cached_property
    def sizes(self) -> list[int]:
        """How many bytes of each region are used, in the order of REGIONS, in whole words as a linker counts them."""
        found = []
        for name, (start, stop) in self.regions.items():
            used = len(self.data[start:stop].rstrip(b"\0"))
            if name == "units":
                used = -(-used // 4) * 4
            elif name == "functions":
                used = int(self.stops[-1]) - start
            else:
                # Strings and tables end in a zero.
                used += 1
            found.append(-(-used // self.word) * self.word)
        return found

    def user(self, offset: int) -> int | None:
        """Return the number of the first function that uses the table at an offset of their region."""
        for name in ("pcsp", "pcfile", "pcln"):
            hits = np.flatnonzero(self.field(name) == offset)
            if len(hits):
                return int(hits[0])
        at, owners = self.of_pcdata
        hits = np.flatnonzero(self.read(at) == offset)
        return int(owners[hits[0]]) if len(hits) else None


def _behind(begin: Any, counts: Any, width: int) -> tuple[Any, Any]:
    """Return the places of as many words in a row behind each begin, and which begin each belongs to."""
    owners = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    first = np.cumsum(counts) - counts
    return begin[owners] + (np.arange(len(owners), dtype=np.int64) - first[owners]) * width, owners


def buckets(table: Table) -> bytes:
    """Return the table by which functions are found: of every 4,096 bytes of code the number of the first function, and
    of each sixteenth of them how much further its own first function is."""
    first, last = int(table.entries[0]), int(table.read(np.array([table.at_end]), table.step)[0])
    step = BUCKET // PARTS
    parts = -(-(last - first) // step)
    if parts <= 0 or parts > len(table.data):
        return b"\0"
    numbers = np.searchsorted(table.entries, first + np.arange(parts) * step, "right") - 1
    heads = numbers[::PARTS]
    rest = (numbers - np.repeat(heads, PARTS)[:parts]).astype(np.uint8)
    order: Any = "little" if table.order == "<" else "big"
    found = bytearray()
    for bucket, head in enumerate(heads.tolist()):
        found += head.to_bytes(4, order) + rest[bucket * PARTS : (bucket + 1) * PARTS].tobytes()
    return bytes(found)
