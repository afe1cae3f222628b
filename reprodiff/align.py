"""Which child on the left corresponds to which child on the right."""

import re
from itertools import islice
from operator import gt
from typing import NamedTuple

from reprodiff.tree import Group, Node

# Objects of Rust: a crate and its file have digests, a unit of code generation is one or has a number.
DIGEST = re.compile(rb"(?<=[.-])(?:[0-9a-f]{16}|(?=[a-z]*\d)[0-9a-z]{24,25})(?=[.-])")
OBJECT = b".rcgu.o"
COMPRESSED = (b".gz", b".xz", b".zst", b".bz2", b".lz4", b".lzma")
FEW = 4


class Aligned(NamedTuple):
    """pairs in the order of the left side; moved: whether the right side has them in another order; alike: whether
    several nodes of one side are called the same."""

    pairs: list[tuple[Node, Node]]
    left: list[Node]
    right: list[Node]
    moved: bool
    alike: bool = False


def align(left: list[Node], right: list[Node]) -> Aligned:
    """Pair the children that have the same name and key; of several alike the first with the first, and so on."""
    if len(left) == len(right) <= FEW and _plain(left, right):
        return Aligned(list(zip(left, right, strict=True)), [], [], moved=False)
    ids, others = _identities(left), _identities(right)
    alike = len(set(ids)) < len(ids) or len(set(others)) < len(others)
    if not alike:
        if ids == others:
            return Aligned(list(zip(left, right, strict=True)), [], [], moved=False)
        pairs, alone, rest, moved = _unique(left, ids, right, others)
    else:
        pairs, alone, rest, moved = _several(left, ids, right, others)
    pairs += _same_stem(alone, rest)
    return Aligned(pairs, alone, rest, moved, alike)


_Parts = tuple[list[tuple[Node, Node]], list[Node], list[Node], bool]
_Identity = tuple[str, bytes | None]


def _unique(left: list[Node], ids: list[_Identity], right: list[Node], others: list[_Identity]) -> _Parts:
    """Pair children of which no two are called the same: tens of thousands of members are mostly such."""
    places = dict(zip(others, range(len(others)), strict=True))
    found = [places.get(identity, -1) for identity in ids]
    taken = [at for at in found if at >= 0]
    pairs = [(node, right[at]) for node, at in zip(left, found, strict=True) if at >= 0]
    alone = [node for node, at in zip(left, found, strict=True) if at < 0]
    used = set(taken)
    rest = [node for at, node in enumerate(right) if at not in used] if len(used) < len(right) else []
    return pairs, alone, rest, any(map(gt, taken, islice(taken, 1, None)))


def _several(left: list[Node], ids: list[_Identity], right: list[Node], others: list[_Identity]) -> _Parts:
    places: dict[_Identity, list[int]] = {}
    for index, identity in enumerate(others):
        places.setdefault(identity, []).append(index)
    for indexes in places.values():
        indexes.reverse()
    pairs: list[tuple[Node, Node]] = []
    alone: list[Node] = []
    used = [False] * len(right)
    moved, last = False, -1
    for node, identity in zip(left, ids, strict=True):
        indexes = places.get(identity, [])
        if not indexes:
            alone.append(node)
            continue
        index = indexes.pop()
        used[index] = True
        moved = moved or index < last
        last = max(last, index)
        pairs.append((node, right[index]))
    rest = [node for node, taken in zip(right, used, strict=True) if not taken]
    return pairs, alone, rest, moved


def _plain(left: list[Node], right: list[Node]) -> bool:
    """Tell whether the few nodes of both sides have no keys, other names each, and the same."""
    names = [node.name for node in left]
    if names != [node.name for node in right] or len(set(names)) != len(names):
        return False
    return not any(isinstance(node, Group) and node.key is not None for side in (left, right) for node in side)


def _identities(nodes: list[Node]) -> list[_Identity]:
    return [(node.name, node.key if isinstance(node, Group) else None) for node in nodes]


def _stem(node: Node) -> bytes | None:
    key = node.key if isinstance(node, Group) else None
    if key:
        for suffix in COMPRESSED:
            if key.endswith(suffix):
                return key[: -len(suffix)]
        if key.endswith(OBJECT):
            return DIGEST.sub(b"", key)
    return None


def _same_stem(left: list[Node], right: list[Node]) -> list[tuple[Node, Node]]:
    """Pair members whose names differ in the compressor's suffix or in digests alone; takes them out of both lists.

    Their names still differ and are reported: a packager that changes its compressor renames its parts.
    """
    stems: tuple[dict[bytes, list[Node]], dict[bytes, list[Node]]] = {}, {}
    for nodes, found in zip((left, right), stems, strict=True):
        for node in nodes:
            stem = _stem(node)
            if stem is not None:
                found.setdefault(stem, []).append(node)
    pairs = [
        (ones[0], stems[1][stem][0]) for stem, ones in stems[0].items() if len(ones) == len(stems[1].get(stem, ())) == 1
    ]
    if pairs:
        taken = {id(node) for pair in pairs for node in pair}
        left[:] = [node for node in left if id(node) not in taken]
        right[:] = [node for node in right if id(node) not in taken]
    return pairs
