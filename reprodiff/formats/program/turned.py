"""A walk with its sides exchanged.

Two files are always compared in one order, whichever is the left one: what corresponds to what must not depend on it
where several answers are as good. What is found is turned back here.
"""

from reprodiff.codecs import Codec
from reprodiff.formats import Walk
from reprodiff.sources import Source
from reprodiff.spans import Span
from reprodiff.tree import Leaf, Node, Record

CHUNK = 1 << 16


def ordered(left: Source, right: Source) -> bool:
    """Tell whether the left stream comes first in the order in which two streams are compared."""
    if left.size != right.size:
        return left.size < right.size
    for at in range(0, left.size, CHUNK):
        one, two = (source.read(at, min(at + CHUNK, source.size)) for source in (left, right))
        if one != two:
            return one < two
    return True


class Turned:
    """A walk whose left is the right side of another one."""

    def __init__(self, walk: Walk) -> None:
        self._walk = walk
        self.left, self.right, self.budget = walk.right, walk.left, walk.budget

    def nodes(self, one: Node, two: Node, where: str, keys: tuple[bytes, ...]) -> None:
        self._walk.nodes(two, one, where, keys)

    def alone(self, one: Node | None, two: Node | None, where: str, keys: tuple[bytes, ...]) -> None:
        self._walk.alone(two, one, where, keys)

    def put(
        self,
        where: str,
        keys: tuple[bytes, ...],
        left: Span | None,
        right: Span | None,
        codec: Codec,
        *,
        runs: list[tuple[Span, Span]] | None = None,
        shown: tuple[str, str] | None = None,
    ) -> None:
        turned = [(two, one) for one, two in runs] if runs is not None else None
        self._walk.put(where, keys, right, left, codec, runs=turned, shown=(shown[1], shown[0]) if shown else None)

    def fields(self, one: Record, two: Record, a: bytes, b: bytes, where: str, keys: tuple[bytes, ...]) -> None:
        self._walk.fields(two, one, b, a, where, keys)

    def value(
        self, where: str, keys: tuple[bytes, ...], at: tuple[int, int], left: bytes, right: bytes, codec: Codec,
        *, follows: bool = False,
    ) -> None:  # fmt: skip
        self._walk.value(where, keys, (at[1], at[0]), right, left, codec, follows=follows)

    def put_follow(self, where: str, keys: tuple[bytes, ...], left: Span, right: Span, codec: Codec) -> None:
        self._walk.put_follow(where, keys, right, left, codec)

    def put_follows(self, where: str, count: int, size: int, left: Span, right: Span) -> None:
        self._walk.put_follows(where, count, size, right, left)

    def put_order(self, where: str, left: list[bytes], right: list[bytes]) -> None:
        self._walk.put_order(where, right, left)

    def enter(self, one: Leaf, two: Leaf, where: str, left: Source, right: Source) -> "Walk | None":
        inner = self._walk.enter(two, one, where, right, left)
        return Turned(inner) if inner is not None else None

    def notice(self, kind: str, text: str) -> None:
        self._walk.notice(kind, text)
