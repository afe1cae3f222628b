"""Digests of what an artifact contains: a recorded checksum that differs because the content differs follows from it."""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from reprodiff.comparison import Comparison
from reprodiff.sources import Source, chunks

# Hexadecimal or base64 of a digest of 16 bytes or more, or a number that may be a size.
_TOKEN = re.compile(rb"([0-9A-Za-z_+/-]{22,}={0,2}|\d+)")
_NAMED = re.compile(rb"(?:md5|sha\d+)-")
_HEX = b"0123456789abcdefABCDEF"
_BY_LENGTH = {
    32: ("md5", "hex"),
    40: ("sha1", "hex"),
    56: ("sha224", "hex"),
    64: ("sha256", "hex"),
    96: ("sha384", "hex"),
    128: ("sha512", "hex"),
    24: ("md5", "base64"),
    28: ("sha1", "base64"),
    43: ("sha256", "url"),
    44: ("sha256", "base64"),
    88: ("sha512", "base64"),
}


class Pair(NamedTuple):
    """A content that differs: sizes in bytes of both sides, and the comparison of it."""

    left: int
    right: int
    comparison: Comparison


class Digests:
    """Looks up what digests belong to the contents of two artifacts; computes only the kinds that are asked for."""

    def __init__(self, top: Comparison) -> None:
        # The listing of a directory is no content: nobody has its digest, and it is as long as all files together.
        contents = [found for found in top.all() if found.format != "directory"]
        self._contents = [found for found in contents if found.left.size and found.right.size]
        self._known: dict[tuple[str, str], dict[bytes, list[tuple[bytes, Pair]]]] = {}

    def pair(self, left: bytes, right: bytes) -> Pair | None:
        """Return the content whose digest is `left` on the left and `right` on the right, None if there is none."""
        if len(left) != len(right):
            return None
        kind = _BY_LENGTH.get(len(left))
        if kind is None or not (_may_be(left, kind[1]) and _may_be(right, kind[1])):
            return None
        for other, found in self._table(*kind).get(_plain(left, kind[1]), ()):
            if other == _plain(right, kind[1]):
                return found
        return None

    def _table(self, algorithm: str, spelling: str) -> dict[bytes, list[tuple[bytes, Pair]]]:
        table = self._known.get((algorithm, spelling))
        if table is None:
            table = self._known[algorithm, spelling] = {}
            for found in self._contents:
                left = _digest(found.left, algorithm, spelling)
                pair = Pair(found.left.size, found.right.size, found)
                table.setdefault(left, []).append((_digest(found.right, algorithm, spelling), pair))
        return table


def _may_be(token: bytes, spelling: str) -> bool:
    """Tell whether a token of the right length is spelled as a digest is: words are no reason to hash all contents."""
    if spelling == "hex":
        return not token.translate(None, _HEX)
    if spelling == "url":
        return not token.endswith(b"=")
    return token.endswith(b"=") and b"_" not in token and b"-" not in token


def _plain(token: bytes, spelling: str) -> bytes:
    return token.lower() if spelling == "hex" else token


def _digest(source: Source, algorithm: str, spelling: str) -> bytes:
    import base64
    import hashlib

    digest = hashlib.new(algorithm, usedforsecurity=False)
    for chunk in chunks(source):
        digest.update(chunk)
    if spelling == "hex":
        return digest.hexdigest().encode()
    if spelling == "url":
        return base64.urlsafe_b64encode(digest.digest()).rstrip(b"=")
    return base64.b64encode(digest.digest())


def followed(left: bytes, right: bytes, digests: Callable[[], Digests]) -> list[Comparison]:
    """Return the contents that all differences between two texts follow from; [] where any other difference is left.

    Line by line: what differs must be a digest of one content as each side has it, or the size of a content whose
    digest stands in the same line.
    """
    ones, twos = left.split(b"\n"), right.split(b"\n")
    if len(ones) != len(twos):
        return []
    found: list[Comparison] = []
    for one, two in zip(ones, twos, strict=True):
        if one != two:
            pairs = _line(_TOKEN.split(one), _TOKEN.split(two), digests)
            if not pairs:
                return []
            found += [pair.comparison for pair in pairs]
    return found


def _line(one: list[bytes], two: list[bytes], digests: Callable[[], Digests]) -> list[Pair]:
    if len(one) != len(two):
        return []
    differing = [(a, b) for a, b in zip(one, two, strict=True) if a != b]
    numbers = [(a, b) for a, b in differing if a.isdigit() and b.isdigit()]
    tokens = [(a, b) for a, b in differing if not (a.isdigit() and b.isdigit())]
    if not tokens or any(len(a) < 22 or len(b) < 22 for a, b in tokens):
        return []
    pairs = list(_pairs(tokens, digests()))
    if len(pairs) != len(tokens):
        return []
    sizes = {(b"%d" % pair.left, b"%d" % pair.right) for pair in pairs}
    return pairs if all(number in sizes for number in numbers) else []


def _pairs(tokens: Iterable[tuple[bytes, bytes]], digests: Digests) -> Iterator[Pair]:
    for left, right in tokens:
        pair = digests.pair(_NAMED.sub(b"", left, count=1), _NAMED.sub(b"", right, count=1))
        if pair is None:
            return
        yield pair
