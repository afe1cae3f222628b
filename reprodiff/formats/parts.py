"""What formats share whose parts lie where tables of the file say: executables and objects.

Parts are claimed one by one, in any order; a claim that overlaps an earlier one is refused, so what a hostile file
says twice is described once.
"""

from bisect import bisect_right, insort
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import NamedTuple

from reprodiff.codecs import RAW, Codec
from reprodiff.errors import FormatError
from reprodiff.formats import Walk
from reprodiff.sources import CHUNK
from reprodiff.tree import Derive, Group, Leaf, Node, Refs, Role, listed


class Parts:
    """Disjoint nodes of one span of a stream."""

    __slots__ = ("_nodes", "_starts", "start", "stop")

    def __init__(self, start: int, stop: int) -> None:
        self.start = start
        self.stop = stop
        self._starts: list[int] = []
        self._nodes: dict[int, Node] = {}

    def add(self, node: Node) -> bool:
        """Take a node in; False where it is empty, leaves the span or overlaps a node that is in."""
        if not self.fits(node.start, node.stop):
            return False
        insort(self._starts, node.start)
        self._nodes[node.start] = node
        return True

    def fits(self, start: int, stop: int) -> bool:
        """Tell whether a span is not empty, lies inside and is still free."""
        if start >= stop or start < self.start or stop > self.stop:
            return False
        at = bisect_right(self._starts, start)
        if at and self._nodes[self._starts[at - 1]].stop > start:
            return False
        return at == len(self._starts) or self._starts[at] >= stop

    def nodes(self) -> list[Node]:
        """Return the nodes in order."""
        return [self._nodes[start] for start in self._starts]

    def filled(self, name: str) -> list[Node]:
        """Return the nodes in order, with leaves of that name between them."""
        found: list[Node] = []
        at = self.start
        for node in self.nodes():
            if node.start > at:
                found.append(Leaf(name, at, node.start))
            found.append(node)
            at = node.stop
        if at < self.stop:
            found.append(Leaf(name, at, self.stop))
        return found

    @property
    def end(self) -> int:
        """Offset after the last node."""
        return self._nodes[self._starts[-1]].stop if self._starts else self.start


class Row(NamedTuple):
    """One field of a group whose fields are leaves: those that rules set although they are derived."""

    name: str
    size: int
    codec: Codec = RAW
    role: Role = Role.VALUE
    derive: Derive | None = None


@cache
def _sized(codec: Codec, size: int) -> Codec:
    """Return a codec that spells values in `size` bytes where a leaf does not say how many it has."""
    return Codec(codec.decode, lambda value, _size: codec.encode(value, size), codec.show)


def rows(
    name: str, start: int, layout: Sequence[Row], key: bytes | None = None, refs: dict[str, Node] | None = None
) -> Group:
    """Return a group with a leaf for each row, one after the other from `start`."""
    nodes: list[Node] = []
    at = start
    for row in layout:
        nodes.append(
            Leaf(row.name, at, at + row.size, row.role, _sized(row.codec, row.size), derive=row.derive, refs=refs)
        )
        at += row.size
    return Group(name, start, at, listed(nodes), key)


def itself(raw: bytes, _refs: Refs) -> bytes:
    """Derive an identifier: made from the rest of the file by a tool, in a way that nobody else can repeat."""
    return raw


class Identifiers(NamedTuple):
    """Leaves of a stream that identify the rest of it.

    first   identifiers that a tool may as well draw at random; second: those that are made from all else, these too
    loose   leaves that follow from the bytes of the whole file
    """

    first: list[Leaf]
    second: list[Leaf]
    loose: list[Leaf]


def notice(walk: Walk, left: Sequence[str], right: Sequence[str]) -> None:
    """Say what of two files could not be described: damage where only one of them is so."""
    for text in dict.fromkeys([*left, *right]):
        walk.notice("unsupported" if text in left and text in right else "damaged", text)


def settle(walk: Walk, left: Identifiers, right: Identifiers) -> None:
    """Make identifiers values where nothing differs that they could follow from."""
    for one, two in ((left.first, right.first), (left.second, right.second)):
        spans = [(leaf.start, leaf.stop) for leaf in one]
        if spans != [(leaf.start, leaf.stop) for leaf in two]:
            return
        if any(walk.left.read(*span) != walk.right.read(*span) for span in spans):
            if _equal_without(walk, (*left.first, *left.second, *left.loose)):
                for leaf in (*one, *two):
                    leaf.role, leaf.derive = Role.VALUE, None
            return


def _equal_without(walk: Walk, leaves: Sequence[Leaf]) -> bool:
    """Tell whether both streams are equal outside of these leaves."""
    if walk.left.size != walk.right.size:
        return False
    at = 0
    ends = [(walk.left.size, walk.left.size)]
    for start, stop in sorted((leaf.start, leaf.stop) for leaf in leaves) + ends:
        while at < start:
            until = min(at + CHUNK, start)
            if walk.left.read(at, until) != walk.right.read(at, until):
                return False
            at = until
        at = max(at, stop)
    return True


def differ(walk: Walk, ones: Sequence[Node], twos: Sequence[Node]) -> bool:
    """Tell whether parts of both files lie elsewhere or hold other bytes."""
    return [(part.start, part.stop) for part in ones] != [(part.start, part.stop) for part in twos] or any(
        walk.left.read(at, min(at + CHUNK, part.stop)) != walk.right.read(at, min(at + CHUNK, part.stop))
        for part in ones
        for at in range(part.start, part.stop, CHUNK)
    )


def followed(walk: Walk, left: Group, right: Group, name: str) -> bool:
    """Compare two trees by what addresses in them lead to, with the module `follow` of a format's package.

    False, and nothing noted, where that cannot be done. Raises FormatError when tables that are well-formed each for
    itself make no sense together.
    """
    import struct

    try:
        compare = import_module(f"reprodiff.formats.{name}.follow").compare
    except ImportError as error:
        if error.name != "numpy":
            raise
        walk.notice("missing-library", "following addresses needs numpy (pip install numpy, or python3-numpy)")
        return False
    try:
        return bool(compare(walk, left, right))
    except (ValueError, IndexError, KeyError, OverflowError, struct.error) as error:
        raise FormatError(f"not a well-formed {name} file ({error})") from error
