"""Patterns of a whole archive: what tells the builder's identity and umask from a fact of one member."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Literal

Sure = Literal["origin", "suspected"]
ROOT = b"."
# What the owner may do with files that can be run, and with directories.
RUN = 0o100


# Members that must agree before one of them may be left out.
ENOUGH = 3


def builders(pairs: Iterable[tuple[Any, Any]]) -> set[tuple[Any, Any]]:
    """Return the (left, right) values that are the builder's identity on either side.

    pairs: both values of every aligned member, equal ones too. Most members must have them, on one of the sides all
    members that have the one value must have the other on the other side, and no member may have either of the values
    on both sides: a builder that is another one leaves none behind.
    """
    counts = Counter(pairs)
    total = sum(counts.values())
    lefts, rights = Counter(left for left, _ in counts), Counter(right for _, right in counts)
    return {
        (left, right)
        for (left, right), count in counts.items()
        if left != right
        and 2 * count >= total
        and 1 in {lefts[left], rights[right]}
        and (left, left) not in counts
        and (right, right) not in counts
    }


def owners(members: Iterable[tuple[bytes, Any, Any]]) -> set[tuple[Any, Any]]:
    """Return what `builders` does for (key, left, right) of every aligned member of an archive of a tree.

    The root of the tree may have kept its owner: whoever made the empty directory need not be who filled it. All other
    members must agree then.
    """
    rows = list(members)
    found = builders((left, right) for _key, left, right in rows)
    if found:
        return found
    rest = {(left, right) for key, left, right in rows if key != ROOT}
    roots = [(left, right) for key, left, right in rows if key == ROOT]
    if len(rest) == len(roots) == 1 and len(rows) > ENOUGH and roots[0][0] == roots[0][1]:
        return builders(rest)
    return set()


def is_umask(modes: Iterable[tuple[int, int]]) -> bool:
    """Tell whether two umasks explain all modes of an archive.

    modes: permission bits of both sides of every member that has its own. Each bit that one side lacks must be missing
    from every member of that side: a umask spares no member. For group and for others each umask must be one that
    people set: nothing, writing or everything. A few members alone must be files that can be run, or directories, and
    such that cannot: one file's mode is as well what somebody wanted it to be.
    """
    pairs = Counter(modes)
    differing = Counter({pair: count for pair, count in pairs.items() if pair[0] != pair[1]})
    if not differing:
        return False
    masks = [0, 0]
    present = [0, 0]
    for left, right in pairs:
        masks[0] |= right & ~left
        masks[1] |= left & ~right
        present[0] |= left
        present[1] |= right
    seen = present[0] | present[1]
    for mask, kept in zip(masks, present, strict=True):
        if mask & kept or not all(_is_usual(mask >> shift & 7, seen >> shift & 7) for shift in (0, 3)) or mask & ~0o77:
            return False
    count = differing.total()
    if (masks[0] | masks[1]) & ~0o22 and 2 * count < pairs.total():
        return False
    return count >= ENOUGH or len({left & RUN for left, _right in differing}) > 1


def _is_usual(mask: int, seen: int) -> bool:
    """Tell whether three bits that a umask took away are none, writing, or all that were seen on either side."""
    return mask in {0, 0o2} or (mask == seen and mask not in {0o1, 0o3})


def first(*claims: Callable[[Any, Any], Sure | None]) -> Callable[[Any, Any], Sure | None]:
    """Return a claim that makes the first of several that is made."""

    def claim(change: Any, evidence: Any) -> Sure | None:
        for one in claims:
            sure = one(change, evidence)
            if sure:
                return sure
        return None

    return claim
