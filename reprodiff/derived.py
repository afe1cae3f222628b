"""Whether DERIVED leaves follow from what they are derived from, in a stream as it stands."""

from collections.abc import Iterator, Mapping

from reprodiff.budget import Budget
from reprodiff.errors import ReprodiffError
from reprodiff.sources import Source, chunks
from reprodiff.tree import Derive, Leaf, Node, open_content


class Original:
    """`Refs` over an unchanged stream. Nothing counts as unchanged: a check computes everything anew."""

    __slots__ = ("_budget", "_refs", "_source")

    def __init__(self, source: Source, refs: Mapping[str, Node], budget: Budget) -> None:
        self._source = source
        self._refs = refs
        self._budget = budget

    def size(self, name: str, /) -> int:
        node = self._refs[name]
        return node.stop - node.start

    def offset(self, name: str, /) -> int:
        return self._refs[name].start

    def raw(self, name: str, /) -> bytes:
        node = self._refs.get(name)
        return self._source.read(node.start, node.stop) if node else b""

    def decoded(self, name: str, /) -> Iterator[bytes]:
        return chunks(self._open(name))

    def decoded_size(self, name: str, /) -> int:
        return self._open(name).size

    def changed(self, name: str, /) -> bool:
        return name in self._refs

    def has(self, name: str, /) -> bool:
        return name in self._refs

    def _open(self, name: str) -> Source:
        leaf = self._refs[name]
        assert isinstance(leaf, Leaf)
        return open_content(self._source, leaf, self._budget)


def holds(
    source: Source, derive: Derive, raw: bytes, whole: bytes, refs: Mapping[str, Node] | None, budget: Budget
) -> bool:
    """Tell whether the bytes `raw` of a DERIVED leaf are what `derive` gives; whole: the bytes of its record."""
    try:
        return derive(whole, Original(source, refs or {}, budget)) == raw
    except (ReprodiffError, ValueError, KeyError, IndexError, OverflowError):
        return False
