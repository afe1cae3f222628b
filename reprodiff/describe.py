"""What bytes are that no format claimed, in the words of libmagic."""

from functools import cache
from typing import Any

from reprodiff.codecs import printable
from reprodiff.sources import Source

HEAD = 4096
LONGEST = 120
NO_NAME = {"data", "empty", ""}


def describe(source: Source) -> str:
    """Return what libmagic calls the first 4 KiB, '' where it has no name for them or is not installed."""
    magic = _magic()
    if magic is None:
        return ""
    try:
        name = printable(str(magic.from_buffer(source.read(0, HEAD))))
    except (magic.MagicException, UnicodeDecodeError):
        return ""
    return "" if name in NO_NAME else name[:LONGEST]


@cache
def _magic() -> Any:
    """Import python-magic, None where it or the library is missing; 20 ms that most runs do not need."""
    try:
        import magic
    except (ImportError, OSError, AttributeError):
        return None
    return magic


def kinds(left: Source, right: Source) -> str:
    """Return what both sides are, once where they are the same."""
    one, two = describe(left), describe(right)
    return one if one == two else f"{one or 'data'} → {two or 'data'}"
