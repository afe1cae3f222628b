"""What bytes are that no format claimed, in the words of libmagic."""

from functools import cache
from typing import Any

from reprodiff.codecs import printable
from reprodiff.sources import Source

HEAD = 4096
LONGEST = 120
NO_NAME = {"data", "empty", ""}
CLASS = b"\xca\xfe\xba\xbe"
# Class file versions: of Java 1.1, whose successors follow one by one, and of the first that is called SE.
OLDEST, JAVA_SE = 45, 53
JAVA_1_0 = 44


def describe(source: Source) -> str:
    """Return what libmagic calls the first 4 KiB, '' where it has no name for them or is not installed."""
    head = source.read(0, HEAD)
    # The magic of a fat Mach-O file is the same; where that counts its parts, in few, a class has its version.
    if head.startswith(CLASS) and int.from_bytes(head[6:8], "big") >= OLDEST:
        return _class(head)
    magic = _magic()
    if magic is None:
        return ""
    try:
        name = printable(str(magic.from_buffer(head)))
    except (magic.MagicException, UnicodeDecodeError):
        return ""
    return "" if name in NO_NAME else name[:LONGEST]


def _class(head: bytes) -> str:
    """Return what libmagic says of a Java class (JVMS 4.1): what jars consist of is not worth importing it."""
    minor, major = int.from_bytes(head[4:6], "big"), int.from_bytes(head[6:8], "big")
    release = f" (Java {'1.' if major < JAVA_SE else 'SE '}{major - JAVA_1_0})" if major > OLDEST else ""
    return f"compiled Java class data, version {major}.{minor}{release}"


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
