"""What a comparison of two streams is: changes by place, what follows, what lies inside, and how bytes are counted."""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

from reprodiff.codecs import RAW, Codec, name_text
from reprodiff.sources import Source
from reprodiff.spans import Differing, differing
from reprodiff.tree import Group, Node, Role

T = TypeVar("T")
SMALL = 1 << 18
PIECE = 1 << 20


class Change:
    """One difference at one place. A side that does not have it has start -1.

    keys: the keys of the path, outermost first; left, right: the bytes, None when long or absent;
    size: differing bytes; spans: where they are, relative to the stream; inner: the comparison of the
    decoded payloads, None when those are equal or it is no payload; same: a payload whose decoded streams
    are equal; codec: of the values; nodes: both nodes where a rule may want to look at them.
    """

    __slots__ = (
        "codec",
        "inner",
        "keys",
        "l0",
        "l1",
        "left",
        "nodes",
        "r0",
        "r1",
        "right",
        "same",
        "shown",
        "size",
        "spans",
    )

    def __init__(
        self,
        keys: tuple[bytes, ...],
        l0: int,
        l1: int,
        r0: int,
        r1: int,
        left: bytes | None,
        right: bytes | None,
        size: int,
    ) -> None:
        self.keys = keys
        self.l0 = l0
        self.l1 = l1
        # Equal numbers and values are shared: an archive may have a change for each of a million members.
        self.r0 = l0 if r0 == l0 else r0
        self.r1 = l1 if r1 == l1 else r1
        self.left = left
        self.right = right
        self.size = size
        self.spans: tuple[tuple[tuple[int, int], tuple[int, int]], ...] = ()
        self.inner: Comparison | None = None
        self.same = False
        self.codec = RAW
        self.nodes: tuple[Node | None, Node | None] | None = None
        self.shown: tuple[str, str] | None = None

    @property
    def kind(self) -> str:
        """'changed', 'left' or 'right'."""
        return "right" if self.l0 < 0 else "left" if self.r0 < 0 else "changed"

    def split(self, parts: "list[tuple[tuple[int, int], tuple[int, int]]]") -> "list[Change]":
        """Return the changes of parts of a change whose bytes are kept, (start, stop) in it on either side; their sizes
        add up to its own."""
        found: list[Change] = []
        rest = self.size
        assert self.left is not None
        assert self.right is not None
        for number, ((a, b), (c, d)) in enumerate(parts, 1):
            left, right = self.left[a:b], self.right[c:d]
            size = rest if number == len(parts) else min(differing(left, right).size, rest)
            rest -= size
            part = Change(self.keys, self.l0 + a, self.l0 + b, self.r0 + c, self.r0 + d, left, right, size)
            part.codec = self.codec
            found.append(part)
        return found


class Place(NamedTuple):
    """What is the same for all changes at one path pattern."""

    role: Role
    codec: Codec


class Tally:
    """Changes of one DERIVED place, counted and not kept: what follows needs no list."""

    __slots__ = ("bytes", "count", "first")

    def __init__(self, first: Change) -> None:
        self.first = first
        self.count = 0
        self.bytes = 0


class Order(NamedTuple):
    """Members that both sides have, in another order: their keys as each side has them."""

    where: str
    keys: tuple[bytes, ...]
    left: list[bytes]
    right: list[bytes]


class Notice(NamedTuple):
    """Something that kept the comparison from being complete, or that a person should know."""

    kind: str
    path: str
    text: str


class Comparison:
    """Two streams that differ.

    changes  by path pattern; follows: DERIVED places that differ and hold on both sides
    through  PAYLOAD places whose decoded streams differ, by path pattern: explained by what lies inside
    inner    the comparisons of those streams
    part     whether it is a part of the stream around it, which what differs here may follow from
    moved    whether something follows that no rewrite computes anew: addresses of what lies elsewhere
    roots    both trees, None where the streams are compared as bytes
    """

    def __init__(self, path: str, left: Source, right: Source) -> None:
        self.path = path
        self.left = left
        self.right = right
        self.format = ""
        self.roots: tuple[Group, Group] | None = None
        self.changes: dict[str, list[Change]] = {}
        self.places: dict[str, Place] = {}
        self.follows: dict[str, Tally] = {}
        self.through: dict[str, list[Change]] = {}
        self.orders: list[Order] = []
        self.members: list[tuple[Group, Group]] = []
        self.inner: list[Comparison] = []
        self.notices: list[Notice] = []
        self.differing = 0
        self.level = 0
        self.part = False
        self.moved = False

    @property
    def empty(self) -> bool:
        """Whether nothing differs but what was excluded and what follows from it."""
        return not (self.changes or self.orders or self.through or self.notices)

    def path_of(self, where: str, keys: tuple[bytes, ...]) -> str:
        """Return the full path of a place in this stream."""
        return f"{self.path}!/{fill(where, keys)}"

    def all(self) -> "list[Comparison]":
        """Return this comparison and all inside it, outermost first."""
        found = [self]
        for comparison in found:
            found.extend(comparison.inner)
        return found


def fill(where: str, keys: tuple[bytes, ...]) -> str:
    """Put keys into a path pattern."""
    parts = where.split("[*]")
    out = parts[0]
    for part, key in zip(parts[1:], keys, strict=False):
        out += f"[{name_text(key)}]{part}"
    return out


def both(left: Callable[[], T], right: Callable[[], T], work: int) -> tuple[T, T]:
    """Do the same for both sides, each on its own thread when there is much to do: decoders release the GIL."""
    if work < SMALL:
        return left(), right()
    import threading

    result: list[T] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            result.append(left())
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread
            failure.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        second = right()
    finally:
        thread.join()
    if failure:
        raise failure[0]
    return result[0], second


def measure(left: Source, right: Source) -> Differing:
    """Say where two streams differ as bytes, in bounded memory."""
    if left.size <= PIECE and right.size <= PIECE:
        return differing(left.read(0, left.size), right.read(0, right.size))
    if left.size == right.size:
        size = 0
        spans: list[tuple[tuple[int, int], tuple[int, int]]] = []
        for at in range(0, left.size, PIECE):
            one, two = left.read(at, at + PIECE), right.read(at, at + PIECE)
            if one != two:
                found = differing(one, two)
                size += found.size
                spans += [((at + a, at + b), (at + a, at + b)) for (a, b), _ in found.spans]
        return Differing(size, tuple(spans))
    return measure_ends(left, right)


def measure_ends(left: Source, right: Source) -> Differing:
    """As `differing` for other lengths: between the common prefix and the common suffix."""
    most = min(left.size, right.size)
    start = 0
    while start < most:
        one, two = left.read(start, min(start + PIECE, most)), right.read(start, min(start + PIECE, most))
        if one != two:
            start += differing(one, two).spans[0][0][0]
            break
        start += len(one)
    tail = 0
    while tail < most - start:
        width = min(PIECE, most - start - tail)
        one = left.read(left.size - tail - width, left.size - tail)
        two = right.read(right.size - tail - width, right.size - tail)
        if one != two:
            tail += width - differing(one, two).spans[-1][0][1]
            break
        tail += width
    ends = ((start, left.size - tail), (start, right.size - tail))
    return Differing(max(ends[0][1], ends[1][1]) - start, (ends,))
