"""How C++ and Python spell the bytes of Qt's resources, as rcc, pyrcc5 and pyside6-rcc write them."""

import re
from typing import NamedTuple

from reprodiff.codecs import Codec, show_time
from reprodiff.formats.qtresources import TIME, milliseconds
from reprodiff.tree import Derive, Refs

CPP_ARRAY = re.compile(rb"^static const unsigned char qt_resource_(data|name|struct)()\[\] = \{\n", re.MULTILINE)
PYTHON_ARRAY = re.compile(rb"^qt_resource_(data|name|struct)((?:_v\d)?) = b?\"\\\n", re.MULTILINE)
CPP_BYTE = re.compile(rb"//[^\n]*|0x([0-9A-Fa-f]{1,2})")
PYTHON_BYTE = re.compile(rb"\\\n|\\x([0-9A-Fa-f]{2})|([ -!#-\[\]-~])")
# What the text of an array consists of, and nothing else: no code hides between two numbers.
CPP_TEXT = re.compile(rb"(?:\s*+(?://[^\n]*+\n|0x[0-9A-Fa-f]{1,2}+,?))*+\s*+")
CPP_RUN = re.compile(rb"(?:0x[0-9A-Fa-f]{1,2}+,?\s*+)*+")
PYTHON_TEXT = re.compile(rb"(?:\\\n|\\x[0-9A-Fa-f]{2}|[ -!#-\[\]-~])*+")


class Spelling(NamedTuple):
    """How a language writes bytes. byte: finds one, or what is none and has no group; text, run: what an array and
    a part of it without comments consist of; close: what ends an array; time, number: codecs of big-endian numbers; follows: derives one that was seen to follow from the rest."""

    array: re.Pattern[bytes]
    byte: re.Pattern[bytes]
    text: re.Pattern[bytes]
    run: re.Pattern[bytes]
    close: bytes
    gap: re.Pattern[bytes]
    time: Codec
    number: Codec
    follows: Derive


def _cpp_bytes(text: bytes) -> bytes:
    return bytes(int(digits, 16) for digits in CPP_BYTE.findall(text) if digits)


def _python_bytes(text: bytes) -> bytes:
    return bytes(int(digits, 16) if digits else char[0] for digits, char in PYTHON_BYTE.findall(text) if digits or char)


def _cpp_spell(data: bytes) -> bytes:
    return b",".join(b"0x%x" % byte for byte in data)


def _python_spell(data: bytes) -> bytes:
    return b"".join(bytes([byte]) if 32 <= byte < 127 and byte not in b'"\\' else b"\\x%02x" % byte for byte in data)


def _cpp_time(text: bytes) -> float:
    return _seconds(_cpp_bytes(text))


def _python_time(text: bytes) -> float:
    return _seconds(_python_bytes(text))


def _seconds(raw: bytes) -> float:
    if len(raw) != 8:
        raise ValueError("no time of eight bytes")
    seconds: float = TIME.decode(raw)
    return seconds


def _show(value: bytes) -> str:
    return str(int.from_bytes(value, "big"))


def _follows_cpp(raw: bytes, _refs: Refs) -> bytes:
    """Return the spelling of a number that was seen to follow when the file was read."""
    return _cpp_spell(_cpp_bytes(raw))


def _follows_python(raw: bytes, _refs: Refs) -> bytes:
    """Return the same in Python: pyrcc5 spells all bytes in hexadecimal."""
    value = _python_bytes(raw)
    plain = b"".join(b"\\x%02x" % byte for byte in value)
    return plain if raw == plain else _python_spell(value)


CPP = Spelling(
    CPP_ARRAY,
    CPP_BYTE,
    CPP_TEXT,
    CPP_RUN,
    b"\n};",
    re.compile(rb",?"),
    Codec(_cpp_time, lambda value, _size: _cpp_spell(milliseconds(value)), show_time),
    Codec(_cpp_bytes, lambda value, _size: _cpp_spell(value), _show),
    _follows_cpp,
)
PYTHON = Spelling(
    PYTHON_ARRAY,
    PYTHON_BYTE,
    PYTHON_TEXT,
    PYTHON_TEXT,
    b'\n"',
    re.compile(rb"(?:\\\n)?"),
    Codec(_python_time, lambda value, _size: _python_spell(milliseconds(value)), show_time),
    Codec(_python_bytes, lambda value, _size: _python_spell(value), _show),
    _follows_python,
)
