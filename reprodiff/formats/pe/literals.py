"""How compilers for Microsoft's C++ ABI name string literals: by length, checksum and beginning of the text."""

import zlib

SHOWN = 32
# What stands for itself, and what has a digit of its own.
PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_$")
MARKS = b",/\\:. \n\t'-"
LETTERS = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
PREFIX = b"??_C@_0"


def _number(value: int) -> bytes:
    if 1 <= value <= 10:
        return b"%d" % (value - 1)
    return bytes(0x41 + int(digit, 16) for digit in f"{value:x}") + b"@"


def _byte(value: int) -> bytes:
    if value in PLAIN:
        return bytes((value,))
    if value & 0x7F in LETTERS:
        return b"?" + bytes((value & 0x7F,))
    place = MARKS.find(value)
    return b"?%d" % place if place >= 0 else b"?$" + bytes((0x41 + (value >> 4), 0x41 + (value & 15)))


def name(text: bytes) -> bytes:
    """Return the name of a literal; text: its bytes with the NUL at the end."""
    shown = b"".join(map(_byte, text[:SHOWN]))
    return PREFIX + _number(len(text)) + _number(zlib.crc32(text) ^ 0xFFFFFFFF) + shown + b"@"
