"""Align two sequences by the items that occur once on each side (patience), in near-linear time."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Hashable, Sequence

DEPTH_MAX = 12
# Item comparisons spent on a gap in which nothing is unique.
CELLS_MAX = 1 << 14


def matched(left: Sequence[Hashable], right: Sequence[Hashable]) -> list[tuple[int, int, int]]:
    """Return (left index, right index, length) of equal runs, in order on both sides."""
    found: list[tuple[int, int, int]] = []
    _match(left, right, (0, len(left), 0, len(right)), found, DEPTH_MAX)
    return found


def _match(
    left: Sequence[Hashable],
    right: Sequence[Hashable],
    area: tuple[int, int, int, int],
    found: list[tuple[int, int, int]],
    depth: int,
) -> None:
    l0, l1, r0, r1 = area
    start = l0
    while l0 < l1 and r0 < r1 and left[l0] == right[r0]:
        l0, r0 = l0 + 1, r0 + 1
    if l0 > start:
        found.append((start, r0 - (l0 - start), l0 - start))
    end = l1
    while l0 < l1 and r0 < r1 and left[l1 - 1] == right[r1 - 1]:
        l1, r1 = l1 - 1, r1 - 1
    if l0 < l1 and r0 < r1 and depth:
        pairs = _unique(left, right, (l0, l1, r0, r1))
        if pairs:
            at_l, at_r = l0, r0
            for i, j in pairs:
                if i >= at_l and j >= at_r:
                    _match(left, right, (at_l, i, at_r, j), found, depth - 1)
                    found.append((i, j, 1))
                    at_l, at_r = i + 1, j + 1
            _match(left, right, (at_l, l1, at_r, r1), found, depth - 1)
        elif (l1 - l0) * (r1 - r0) <= CELLS_MAX:
            _longest(left, right, (l0, l1, r0, r1), found)
    if end > l1:
        found.append((l1, r1, end - l1))


def _unique(
    left: Sequence[Hashable], right: Sequence[Hashable], area: tuple[int, int, int, int]
) -> list[tuple[int, int]]:
    """Return the longest chain of pairs of items that are unique on both sides."""
    l0, l1, r0, r1 = area
    counts, others = Counter(left[l0:l1]), Counter(right[r0:r1])
    places = {right[j]: j for j in range(r0, r1) if others[right[j]] == 1}
    pairs = [(i, places[left[i]]) for i in range(l0, l1) if counts[left[i]] == 1 and left[i] in places]
    tails: list[int] = []
    ends: list[int] = []
    before: list[int] = []
    for number, (_i, j) in enumerate(pairs):
        at = bisect_left(tails, j)
        before.append(ends[at - 1] if at else -1)
        if at == len(tails):
            tails.append(j)
            ends.append(number)
        else:
            tails[at] = j
            ends[at] = number
    chain = []
    number = ends[-1] if ends else -1
    while number >= 0:
        chain.append(pairs[number])
        number = before[number]
    return chain[::-1]


def _longest(
    left: Sequence[Hashable],
    right: Sequence[Hashable],
    area: tuple[int, int, int, int],
    found: list[tuple[int, int, int]],
) -> None:
    """Add a longest common subsequence of a small area."""
    l0, l1, r0, r1 = area
    rows, columns = l1 - l0, r1 - r0
    best = [[0] * (columns + 1) for _ in range(rows + 1)]
    for i in range(rows - 1, -1, -1):
        for j in range(columns - 1, -1, -1):
            if left[l0 + i] == right[r0 + j]:
                best[i][j] = best[i + 1][j + 1] + 1
            else:
                best[i][j] = max(best[i + 1][j], best[i][j + 1])
    i = j = 0
    while i < rows and j < columns:
        if left[l0 + i] == right[r0 + j]:
            found.append((l0 + i, r0 + j, 1))
            i, j = i + 1, j + 1
        elif best[i + 1][j] >= best[i][j + 1]:
            i += 1
        else:
            j += 1
