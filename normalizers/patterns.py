"""Patterns of a whole archive: what tells the builder's identity and umask from a fact of one member."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Literal

Sure = Literal["origin", "suspected"]


def builders(pairs: Iterable[tuple[Any, Any]]) -> set[tuple[Any, Any]]:
    """Return the (left, right) values that are the builder's identity on either side.

    pairs: both values of every aligned member, equal ones too. Most members must have them, and on one of the
    sides all members that have the one value must have the other on the other side.
    """
    counts = Counter(pairs)
    total = sum(counts.values())
    lefts, rights = Counter(left for left, _ in counts), Counter(right for _, right in counts)
    return {
        (left, right)
        for (left, right), count in counts.items()
        if left != right and 2 * count >= total and 1 in {lefts[left], rights[right]}
    }


def is_umask(modes: Iterable[tuple[int, int]]) -> bool:
    """Tell whether two umasks explain all modes of an archive.

    modes: permission bits of both sides of every member that has its own. Each bit that one side lacks must
    be missing from every member of that side, and be one for group or others: a umask spares no member.
    """
    pairs = Counter(modes)
    cleared_left = cleared_right = present_left = present_right = 0
    for left, right in pairs:
        cleared_right |= left & ~right
        cleared_left |= right & ~left
        present_left |= left
        present_right |= right
    if not cleared_left | cleared_right or (cleared_left | cleared_right) & ~0o077:
        return False
    return not present_right & cleared_right and not present_left & cleared_left


def first(*claims: Callable[[Any, Any], Sure | None]) -> Callable[[Any, Any], Sure | None]:
    """Return a claim that makes the first of several that is made."""

    def claim(change: Any, evidence: Any) -> Sure | None:
        for one in claims:
            sure = one(change, evidence)
            if sure:
                return sure
        return None

    return claim
