"""The tar header block, the pax record, and how both spell their values (POSIX.1-2017 pax; GNU tar manual)."""

from functools import lru_cache
from zlib import adler32

from reprodiff.codecs import RAW, TEXT, Codec, show_mode, show_time
from reprodiff.tree import Field, Refs, Role, Table

BLOCK = 512


@lru_cache(4096)
def number(raw: bytes) -> int:
    """Return the value of a numeric field: octal text, or base 256 where the first bit is set (GNU)."""
    if raw[0] & 0x80:
        value = int.from_bytes(raw, "big", signed=False)
        bits = 8 * len(raw)
        return value - (1 << bits) if raw[0] & 0x40 else value & ((1 << (bits - 1)) - 1)
    digits = raw.split(b"\0", 1)[0].strip(b" ")
    return int(digits, 8) if digits else 0


@lru_cache(4096)
def spell_number(value: int, size: int) -> bytes:
    """Return a numeric field of `size` bytes: octal with leading zeros and a NUL, base 256 where that is too short."""
    if 0 <= value < 8 ** (size - 1):
        return b"%0*o\0" % (size - 1, value)
    if value < 0:
        return (value + (1 << (8 * size))).to_bytes(size, "big")
    return (value | 1 << (8 * size - 1)).to_bytes(size, "big")


NUMBER = Codec(number, spell_number, str)
MODE = Codec(number, spell_number, show_mode)
TIME = Codec(number, spell_number, show_time)
# Of incremental archives only: where it is not used it is not spelled.
OLD_TIME = Codec(number, lambda value, size: spell_number(value, size) if value else bytes(size), show_time)


def checksum(header: bytes) -> int:
    """Return the sum of a header's bytes with the checksum field read as spaces (POSIX pax, "chksum")."""
    blank = header[:148] + b"        " + header[156:BLOCK]
    # Half a block sums to less than Adler-32's modulus, so its low half is the exact sum plus one.
    return (adler32(blank[:256]) & 0xFFFF) + (adler32(blank[256:]) & 0xFFFF) - 2


def derive_checksum(header: bytes, _refs: Refs) -> bytes:
    """Return the checksum of a header, spelled as the old one: tools differ in leading zeros and in what ends it."""
    old = header[148:156]
    digits = old.rstrip(b" \0")
    text = b"%o" % checksum(header)
    if len(text) > len(digits):
        return b"%06o\0 " % checksum(header)
    return text.rjust(len(digits), b" " if digits.startswith(b" ") else b"0") + old[len(digits) :]


def derive_size(header: bytes, refs: Refs) -> bytes:
    """Return the size of the content, spelled as it is where the value is right."""
    old = header[124:136]
    size = refs.size("content")
    if number(old) == size:
        return old
    return spell_number(size, 12)


def _common() -> tuple[Field, ...]:
    return (
        Field("name", 100, TEXT),
        Field("mode", 8, MODE),
        Field("uid", 8, NUMBER),
        Field("gid", 8, NUMBER),
        Field("size", 12, NUMBER, Role.DERIVED, derive_size),
        Field("mtime", 12, TIME),
        Field("chksum", 8, NUMBER, Role.DERIVED, derive_checksum),
        Field("typeflag", 1, RAW),
        Field("linkname", 100, TEXT),
        Field("magic", 6, RAW),
        Field("version", 2, RAW),
        Field("uname", 32, TEXT),
        Field("gname", 32, TEXT),
        Field("devmajor", 8, NUMBER),
        Field("devminor", 8, NUMBER),
    )


HEADER = Table(*_common(), Field("prefix", 155, TEXT), Field("reserved", 12, RAW))
GNU_HEADER = Table(
    *_common(),
    Field("atime", 12, OLD_TIME),
    Field("ctime", 12, OLD_TIME),
    Field("offset", 12, NUMBER),
    Field("longnames", 4, RAW),
    Field("unused", 1, RAW),
    Field("sparse", 96, RAW),
    Field("isextended", 1, RAW),
    Field("realsize", 12, NUMBER),
    Field("pad", 17, RAW),
)


def keywords(body: bytes) -> dict[bytes, bytes]:
    """Return the pax records that can be read, by keyword; the last of several alike counts (POSIX pax)."""
    return {key: value for _start, _mark, _stop, key, value in records(body)}


def records(body: bytes) -> list[tuple[int, int, int, bytes, bytes]]:
    """Return (start, offset of the keyword, stop, keyword, value) of the pax records that can be read."""
    found = []
    at = 0
    while at < len(body):
        space = body.find(b" ", at, at + 20)
        digits = body[at:space]
        if space < 0 or not digits.isdigit():
            break
        stop = at + int(digits)
        equals = body.find(b"=", space, stop)
        if stop > len(body) or equals < 0 or body[stop - 1 : stop] != b"\n":
            break
        found.append((at, space + 1, stop, body[space + 1 : equals], body[equals + 1 : stop - 1]))
        at = stop
    return found


def record_length(size: int) -> int:
    """Return the length of a pax record whose keyword and value have `size` bytes; it counts its own digits."""
    rest = size + len(" =\n")
    total = rest + len(str(rest))
    return rest + len(str(total))


def _pax_number(raw: bytes) -> float:
    return float(raw) if b"." in raw else int(raw)


def _spell_pax_number(value: float, _size: int) -> bytes:
    return str(value).encode()


PAX_TIME = Codec(_pax_number, _spell_pax_number, show_time)
PAX_NUMBER = Codec(_pax_number, _spell_pax_number, str)
PAX_CODECS = {"mtime": PAX_TIME, "atime": PAX_TIME, "ctime": PAX_TIME, "uid": PAX_NUMBER, "gid": PAX_NUMBER}
