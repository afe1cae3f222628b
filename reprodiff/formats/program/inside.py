"""What formats share whose trees name sections by a key: a walk inside of one section, what tells its size, zeros."""

from typing import Any

from reprodiff.codecs import Codec, name_text
from reprodiff.formats import Walk
from reprodiff.spans import Span
from reprodiff.tree import Node

# Linkers align the end of a section, and what no input file aligns more.
FILLED = 16


def grown(left: bytes, right: bytes) -> bool:
    """Tell whether more than zeros at the end tells two sections apart, and these follow from their alignment."""
    ones, twos = left.rstrip(b"\0"), right.rstrip(b"\0")
    behind = len(left) - len(ones), len(right) - len(twos)
    fills = abs(behind[0] - behind[1]) < FILLED and not (len(left) % 4 or len(right) % 4)
    return ones != twos and (behind[0] == behind[1] or fills)


class Inside:
    """A walk whose places begin with `where`, the pattern of a section, and lie in the one with a key."""

    def __init__(self, walk: Walk, where: str, key: bytes) -> None:
        self._walk, self._where, self._key = walk, where, key
        self._filled = where.replace("[*]", f"[{name_text(key)}]".replace("/", "|"))
        self.left, self.right, self.budget = walk.left, walk.right, walk.budget

    def put(
        self,
        where: str,
        keys: tuple[bytes, ...],
        left: Span | None,
        right: Span | None,
        codec: Codec,
        *,
        runs: Any = None,
        shown: tuple[str, str] | None = None,
    ) -> None:
        if where == self._where:
            where = f"{where}/data"
        self._walk.put(where, (self._key, *keys), left, right, codec, runs=runs, shown=shown)

    def _literal(self, where: str) -> str:
        return where.replace(self._where, self._filled, 1)

    def put_follow(self, where: str, keys: tuple[bytes, ...], left: Span, right: Span, codec: Codec) -> None:
        self._walk.put_follow(self._literal(where), keys, left, right, codec)

    def put_follows(self, where: str, count: int, size: int, left: Span, right: Span) -> None:
        self._walk.put_follows(self._literal(where), count, size, left, right)

    def put_order(self, where: str, left: list[bytes], right: list[bytes]) -> None:
        self._walk.put_order(self._literal(where), left, right)


def filling(walk: Any, one: Node | None, two: Node | None, most: int, where: str) -> bool:
    """Put zeros that fill up, fewer than `most` of them; False, and nothing put, where it is anything else."""
    spans = [(node.start, node.stop) if node else (0, 0) for node in (one, two)]
    if any(stop - start >= most for start, stop in spans):
        return False
    sides = [source.read(*span) for source, span in zip((walk.left, walk.right), spans, strict=True)]
    if any(side.strip(b"\0") for side in sides):
        return False
    if sides[0] != sides[1]:
        walk.put_follows(where, 1, abs(len(sides[0]) - len(sides[1])), *spans)
    return True
