"""LLVM bitcode (LLVM Bitcode File Format, "Bitstream Format" and "LLVM IR Encoding") as objects embed it: the texts of
its metadata, and the fields that follow from where things stand.

Only what is needed is read: blocks of instructions and constants are passed over by their length.
"""

import hashlib
from typing import NamedTuple

from reprodiff.spans import Span

MAGIC = b"BC\xc0\xde"
IDENTIFICATION, MODULE, CONSTANTS, SYMBOLS, METADATA = 13, 8, 11, 14, 15
TYPES = 17
# Records of constants, and of types.
INTEGER, STRING, CSTRING = 4, 8, 9
ARRAY_TYPE = 11
VSTOFFSET, HASH = 13, 17
STRINGS, INDEX_OFFSET, INDEX = 35, 38, 39
FNENTRY = 3
END, ENTER, DEFINE, UNABBREVIATED = 0, 1, 2, 3
FIXED, VBR, ARRAY, CHAR6, BLOB = 1, 2, 3, 4, 5
SIZE_MAX = 1 << 22
RECORDS_MAX = 200_000


class Strings(NamedTuple):
    """The texts of one block of metadata. head: the bytes from the record to its blob; lengths: how long each text is,
    packed; texts: where each stands; blob: the whole, with what fills it up to words."""

    head: Span
    lengths: Span
    texts: list[Span]
    blob: Span


class Block(NamedTuple):
    """A block of constants or types of a module: where its records stand, as bits, and how they are read."""

    number: int
    start: int
    stop: int
    width: int
    known: list[list[tuple[int, int]]]


class Bitcode(NamedTuple):
    """strings: in order; fields: bits (start, stop) that were found to be what the rest makes them; digests: bits of
    the digests of modules, to the end of the block with the zeros that fill it up, and whether they were reproduced."""

    strings: list[Strings]
    fields: list[Span]
    digests: list[tuple[int, int, bool]]
    blocks: list[Block]


class _Reader:
    """Reads numbers of bits from an offset on."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data = data
        self.at = at

    def fixed(self, width: int) -> int:
        if self.at + width > 8 * len(self.data):
            raise ValueError
        first = self.at >> 3
        word = int.from_bytes(self.data[first : first + 9], "little") >> (self.at & 7)
        self.at += width
        return word & ((1 << width) - 1)

    def vbr(self, width: int) -> int:
        value = shift = 0
        high = 1 << (width - 1)
        while True:
            part = self.fixed(width)
            value |= (part & (high - 1)) << shift
            if not part & high:
                return value
            shift += width - 1
            if shift > 64:
                raise ValueError

    def align(self) -> None:
        self.at = (self.at + 31) & ~31


# The operands of an abbreviation: (encoding, value); 0 is a literal.
_Abbreviation = list[tuple[int, int]]


class _Record(NamedTuple):
    code: int
    operands: list[int]
    blob: Span | None
    start: int
    stop: int
    # Where the last operands of a record of fixed width begin, in bits.
    places: list[int]


def parse(data: bytes) -> Bitcode | None:
    """Return what was understood, None where it is no bitcode or too much."""
    if not data.startswith(MAGIC) or len(data) > SIZE_MAX:
        return None
    try:
        return _Parser(data).run()
    except (ValueError, IndexError):
        return None


def records(data: bytes, block: Block) -> list[tuple[int, list[int]]] | None:
    """Return (code, operands) of the records of a block, None where they cannot be read."""
    parser = _Parser(data)
    reader = _Reader(data, block.start)
    known = list(block.known)
    found: list[tuple[int, list[int]]] = []
    try:
        while reader.at < block.stop:
            code = reader.fixed(block.width)
            if code == END:
                return (
                    None
                    if int.from_bytes(data[reader.at // 8 : block.stop // 8], "little") >> (reader.at % 8)
                    else found
                )
            if code == ENTER:
                return None
            if code == DEFINE:
                known.append(parser.define(reader))
                continue
            record = parser.record(reader, code, block.width, known)
            found.append((record.code, record.operands))
    except (ValueError, IndexError):
        pass
    return None


class _Parser:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.found = Bitcode([], [], [], [])
        self.known: dict[int, list[_Abbreviation]] = {}
        self.base = 0
        self.records = 0

    def run(self) -> Bitcode:
        reader = _Reader(self.data, 32)
        while reader.at + 64 <= 8 * len(self.data):
            if reader.fixed(2) != ENTER:
                break
            number, width, stop = self._enter(reader, 2)
            if number == IDENTIFICATION:
                # Offsets of a module count from the word before this block.
                self.base = self._start - 32
            elif number == MODULE:
                self._module(reader, width, stop)
            reader.at = stop
        return self.found

    def _enter(self, reader: _Reader, outer: int) -> tuple[int, int, int]:
        """Read the head of a block behind its ENTER, of so many bits; return its number, the width of its codes and
        its end."""
        self._start = reader.at - outer
        number, width = reader.vbr(8), reader.vbr(4)
        reader.align()
        at = reader.at
        stop = at + 32 + 32 * reader.fixed(32)
        if not 2 <= width <= 32 or stop > 8 * len(self.data):
            raise ValueError
        self.found.fields.append((at, at + 32))
        return number, width, stop

    def define(self, reader: _Reader) -> _Abbreviation:
        """Read an abbreviation behind its code."""
        found: _Abbreviation = []
        for _ in range(reader.vbr(5)):
            if reader.fixed(1):
                found.append((0, reader.vbr(8)))
            else:
                encoding = reader.fixed(3)
                found.append((encoding, reader.vbr(5) if encoding in {FIXED, VBR} else 0))
        return found

    def _scalar(self, reader: _Reader, operand: tuple[int, int]) -> int:
        encoding, value = operand
        if encoding == 0:
            return value
        if encoding == FIXED:
            return reader.fixed(value) if value else 0
        if encoding == VBR:
            return reader.vbr(value) if value else 0
        if encoding == CHAR6:
            return reader.fixed(6)
        raise ValueError

    def record(self, reader: _Reader, code: int, width: int, known: list[_Abbreviation]) -> _Record:
        """Read a record behind its abbreviation number."""
        self.records += 1
        if self.records > RECORDS_MAX:
            raise ValueError
        start = reader.at - width
        values: list[int] = []
        places: list[int] = []
        blob: Span | None = None
        if code == UNABBREVIATED:
            values.append(reader.vbr(6))
            for _ in range(reader.vbr(6)):
                places.append(reader.at)
                values.append(reader.vbr(6))
        else:
            operands = known[code - 4]
            at = 0
            while at < len(operands):
                encoding = operands[at][0]
                if encoding == ARRAY:
                    for _ in range(reader.vbr(6)):
                        places.append(reader.at)
                        values.append(self._scalar(reader, operands[at + 1]))
                    break
                if encoding == BLOB:
                    size = reader.vbr(6)
                    reader.align()
                    blob = reader.at // 8, reader.at // 8 + size
                    reader.at += 8 * size
                    reader.align()
                    if blob[1] > len(self.data):
                        raise ValueError
                else:
                    if values:
                        places.append(reader.at)
                    values.append(self._scalar(reader, operands[at]))
                at += 1
        return _Record(values[0], values[1:], blob, start, reader.at, places)

    def _module(self, reader: _Reader, width: int, stop: int) -> None:
        begin = reader.at // 8
        known: list[_Abbreviation] = []
        blocks: dict[int, list[int]] = {}
        table: _Record | None = None
        entries: list[_Record] = []
        while reader.at < stop:
            code = reader.fixed(width)
            if code == END:
                break
            if code == ENTER:
                number, inner, end = self._enter(reader, width)
                blocks.setdefault(number, []).append(self._start)
                if number == 0:
                    self._info(reader, inner, end)
                elif number in {CONSTANTS, TYPES}:
                    self.found.blocks.append(Block(number, reader.at, end, inner, list(self.known.get(number, ()))))
                elif number == METADATA:
                    self._metadata(reader, inner, end)
                elif number == SYMBOLS:
                    entries += self._symbols(reader, inner, end)
                reader.at = end
            elif code == DEFINE:
                known.append(self.define(reader))
            else:
                record = self.record(reader, code, width, known)
                if record.code == VSTOFFSET:
                    table = record
                elif record.code == HASH:
                    self._hash(record, begin, stop)
        if table and table.operands and any(self.base + 32 * table.operands[0] == at for at in blocks.get(SYMBOLS, ())):
            self.found.fields.append((table.places[-1], table.stop))
        functions = set(blocks.get(12, ()))
        for record in entries:
            if len(record.operands) >= 2 and self.base + 32 * record.operands[1] in functions:
                end = record.places[2] if len(record.places) > 2 else record.stop
                self.found.fields.append((record.places[1], end))

    def _info(self, reader: _Reader, width: int, stop: int) -> None:
        """Read BLOCKINFO: the abbreviations of other blocks."""
        block = -1
        while reader.at < stop:
            code = reader.fixed(width)
            if code == END:
                return
            if code == DEFINE:
                self.known.setdefault(block, []).append(self.define(reader))
            else:
                record = self.record(reader, code, width, [])
                if record.code == 1:
                    block = record.operands[0]

    def _symbols(self, reader: _Reader, width: int, stop: int) -> list[_Record]:
        known = list(self.known.get(SYMBOLS, ()))
        found = []
        while reader.at < stop:
            code = reader.fixed(width)
            if code == END:
                break
            if code == DEFINE:
                known.append(self.define(reader))
                continue
            record = self.record(reader, code, width, known)
            if record.code == FNENTRY:
                found.append(record)
        return found

    def _metadata(self, reader: _Reader, width: int, stop: int) -> None:
        known = list(self.known.get(METADATA, ()))
        while reader.at < stop:
            code = reader.fixed(width)
            if code == END:
                return
            if code == ENTER:
                return
            if code == DEFINE:
                known.append(self.define(reader))
                continue
            record = self.record(reader, code, width, known)
            if record.code == STRINGS and record.blob:
                self._texts(record)
            elif record.code == INDEX_OFFSET and len(record.operands) == 2:
                target = record.stop + record.operands[0] + (record.operands[1] << 32)
                if record.stop < target < stop:
                    there = _Reader(self.data, target)
                    if self.record(there, there.fixed(width), width, known).code == INDEX:
                        self.found.fields.append((record.stop - 64, record.stop))
                return

    def _texts(self, record: _Record) -> None:
        assert record.blob is not None
        first, last = record.blob
        count, offset = record.operands[:2]
        reader = _Reader(self.data, 8 * first)
        at = first + offset
        texts = []
        for _ in range(count):
            size = reader.vbr(6)
            texts.append((at, at + size))
            at += size
        if at != last or reader.at > 8 * (first + offset):
            raise ValueError
        self.found.strings.append(
            Strings((record.start // 8, first), (first, first + offset), texts, (first, record.stop // 8))
        )

    def _hash(self, record: _Record, begin: int, stop: int) -> None:
        """Take the digest of a module: the SHA-1 of the module up to it, where it holds no functions."""
        value = b"".join((word & 0xFFFFFFFF).to_bytes(4, "big") for word in record.operands)
        # Only whole words had been written when it was made, from behind the head of the block.
        digest = hashlib.sha1(self.data[begin : record.start // 32 * 4], usedforsecurity=False).digest()
        rest = int.from_bytes(self.data[record.stop // 8 : stop // 8], "little") >> (record.stop % 8)
        if len(value) == len(digest) and not rest:
            self.found.digests.append((record.start, stop, digest == value))
