"""Which child on the left corresponds to which child on the right."""

from typing import NamedTuple

from reprodiff.tree import Group, Node

COMPRESSED = (b".gz", b".xz", b".zst", b".bz2", b".lz4", b".lzma")
FEW = 4


class Aligned(NamedTuple):
    """pairs in the order of the left side; moved: whether the right side has them in another order."""

    pairs: list[tuple[Node, Node]]
    left: list[Node]
    right: list[Node]
    moved: bool


def align(left: list[Node], right: list[Node]) -> Aligned:
    """Pair the children that have the same name and key; of several alike the first with the first, and so on."""
    if len(left) == len(right) <= FEW and _plain(left, right):
        return Aligned(list(zip(left, right, strict=True)), [], [], moved=False)
    ids = [_identity(node) for node in left]
    if ids == [_identity(node) for node in right] and len(set(ids)) == len(ids):
        return Aligned(list(zip(left, right, strict=True)), [], [], moved=False)
    places: dict[tuple[str, bytes | None], list[int]] = {}
    for index, node in enumerate(right):
        places.setdefault(_identity(node), []).append(index)
    for indexes in places.values():
        indexes.reverse()
    pairs: list[tuple[Node, Node]] = []
    alone: list[Node] = []
    used = [False] * len(right)
    moved, last = False, -1
    for node in left:
        indexes = places.get(_identity(node), [])
        if not indexes:
            alone.append(node)
            continue
        index = indexes.pop()
        used[index] = True
        moved = moved or index < last
        last = max(last, index)
        pairs.append((node, right[index]))
    rest = [node for node, taken in zip(right, used, strict=True) if not taken]
    pairs += _same_stem(alone, rest)
    return Aligned(pairs, alone, rest, moved)


def _plain(left: list[Node], right: list[Node]) -> bool:
    """Tell whether the few nodes of both sides have no keys, other names each, and the same."""
    names = [node.name for node in left]
    if names != [node.name for node in right] or len(set(names)) != len(names):
        return False
    return not any(isinstance(node, Group) and node.key is not None for side in (left, right) for node in side)


def _identity(node: Node) -> tuple[str, bytes | None]:
    return node.name, node.key if isinstance(node, Group) else None


def _stem(node: Node) -> bytes | None:
    key = node.key if isinstance(node, Group) else None
    if key:
        for suffix in COMPRESSED:
            if key.endswith(suffix):
                return key[: -len(suffix)]
    return None


def _same_stem(left: list[Node], right: list[Node]) -> list[tuple[Node, Node]]:
    """Pair members whose names differ in the compressor's suffix alone; takes them out of both lists.

    Their names still differ and are reported: a packager that changes its compressor renames its parts.
    """
    stems: dict[bytes, list[Node]] = {}
    for node in right:
        stem = _stem(node)
        if stem is not None:
            stems.setdefault(stem, []).append(node)
    pairs = []
    for node in list(left):
        stem = _stem(node)
        twins = stems.get(stem, []) if stem is not None else []
        if len(twins) == 1 and sum(_stem(other) == stem for other in left) == 1:
            pairs.append((node, twins[0]))
            left.remove(node)
            right.remove(twins[0])
    return pairs
