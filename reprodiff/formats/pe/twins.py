"""Which parts of two trees stand for the same: those of one name and key, in order."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from reprodiff.tree import Group, Node


class Twins(NamedTuple):
    """Parts that correspond, in the order of the left side, and those that one side alone has."""

    pairs: list[tuple[Node, Node]]
    left: list[Node]
    right: list[Node]


def twins(ones: Sequence[Node], twos: Sequence[Node]) -> Twins:
    """Pair the nodes of two lists."""
    places: dict[tuple[str, Any], list[Node]] = {}
    for node in reversed(twos):
        places.setdefault(_key(node), []).append(node)
    pairs: list[tuple[Node, Node]] = []
    alone: list[Node] = []
    for node in ones:
        there = places.get(_key(node))
        if there:
            pairs.append((node, there.pop()))
        else:
            alone.append(node)
    taken = {id(two) for _one, two in pairs}
    return Twins(pairs, alone, [node for node in twos if id(node) not in taken])


def _key(node: Node) -> tuple[str, Any]:
    return node.name, node.key if isinstance(node, Group) else None
