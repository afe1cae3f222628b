"""How fields spell their values: bytes to a value and back, and the value as a person reads it."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

ESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\"}


class Codec(NamedTuple):
    """decode: bytes to value, raises ValueError; encode: (value, size in bytes, -1 where it may vary) to canonical
    bytes, raises ValueError when the value does not fit; show: value to text."""

    decode: Callable[[bytes], Any]
    encode: Callable[[Any, int], bytes]
    show: Callable[[Any], str]


def printable(text: str) -> str:
    """Escape control, bidirectional and other unprintable characters, and lone surrogates."""
    if text.isascii() and text.isprintable() and "\\" not in text:
        return text
    return "".join(c if c.isprintable() and c != "\\" else _escape(c) for c in text)


def _escape(char: str) -> str:
    code = ord(char)
    if char in ESCAPES:
        return ESCAPES[char]
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def name_text(name: bytes) -> str:
    """Show a name from an artifact: UTF-8 where it is, escapes where it is not."""
    return printable(name.decode("utf-8", "surrogateescape"))


def show_bytes(value: bytes, most: int = 64) -> str:
    """Show bytes as text where they are text, else in hex."""
    cut, more = value[:most], "…" if len(value) > most else ""
    try:
        text = cut.decode("utf-8")
    except UnicodeDecodeError:
        return cut.hex(" ") + more
    bare = text.rstrip("\0")
    if any(c < " " and c not in "\t\n\r" for c in bare) or (cut and not bare):
        return cut.hex(" ") + more
    return printable(bare) + more


def show_time(seconds: float) -> str:
    """Show seconds since the epoch as UTC, ISO 8601."""
    whole = int(seconds // 1)
    try:
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
    except (OverflowError, ValueError, OSError):
        return f"@{seconds}"
    part = f"{seconds - whole:.9f}"[1:].rstrip("0").rstrip(".") if seconds != whole else ""
    return f"{text}{part}Z"


def show_mode(value: int) -> str:
    """Show permission bits in octal."""
    return f"{value:04o}"


def _fit(value: bytes, size: int) -> bytes:
    if len(value) > size >= 0:
        raise ValueError(f"{len(value)} bytes do not fit into {size}")
    return value.ljust(size, b"\0")


def _same_size(value: bytes, size: int) -> bytes:
    if size not in (len(value), -1):
        raise ValueError(f"{len(value)} bytes do not fit into {size}")
    return value


def integer(order: str, show: Callable[[Any], str] = str) -> Codec:
    """An unsigned integer, `order` 'little' or 'big'."""
    if order == "little":
        return Codec(
            lambda raw: int.from_bytes(raw, "little"), lambda value, size: int(value).to_bytes(size, "little"), show
        )
    return Codec(lambda raw: int.from_bytes(raw, "big"), lambda value, size: int(value).to_bytes(size, "big"), show)


def _hex(value: int) -> str:
    return hex(value)


RAW = Codec(bytes, _same_size, show_bytes)
TEXT = Codec(lambda raw: raw.split(b"\0", 1)[0], _fit, show_bytes)
LE = integer("little")
BE = integer("big")
LE_HEX = integer("little", _hex)
BE_HEX = integer("big", _hex)
LE_TIME = integer("little", show_time)


def _dos_decode(raw: bytes) -> tuple[int, ...]:
    clock, date = int.from_bytes(raw[:2], "little"), int.from_bytes(raw[2:4], "little")
    return (1980 + (date >> 9), date >> 5 & 15, date & 31, clock >> 11, clock >> 5 & 63, (clock & 31) * 2)


def _dos_encode(value: tuple[int, ...], size: int) -> bytes:
    year, month, day, hour, minute, second = value
    if not 1980 <= year <= 2107:
        raise ValueError(f"the year {year} does not fit into a DOS date")
    clock = hour << 11 | minute << 5 | second >> 1
    date = (year - 1980) << 9 | month << 5 | day
    return _fit(clock.to_bytes(2, "little") + date.to_bytes(2, "little"), size)


def _dos_show(value: tuple[int, ...]) -> str:
    return "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}".format(*value)


# MS-DOS time, then date: local time of an unknown zone, steps of two seconds (APPNOTE.TXT 4.4.6).
DOS_TIME = Codec(_dos_decode, _dos_encode, _dos_show)


def dos_seconds(value: tuple[int, ...]) -> int | None:
    """Return the seconds since the epoch of a DOS time read as UTC, None where it is no date."""
    import calendar

    year, month, day, hour, minute, second = value
    if not (1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 60):
        return None
    return calendar.timegm((year, month, day, hour, minute, second, 0, 0, 0))


def dos_from_seconds(seconds: int) -> tuple[int, ...]:
    """Return the DOS time of seconds since the epoch in UTC, not before 1980-01-01."""
    return time.gmtime(max(seconds, 315532800))[:6]
