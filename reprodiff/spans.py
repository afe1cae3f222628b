"""Spans of bytes, and where two byte strings differ. A span is half-open: (start, stop)."""

from typing import NamedTuple

Span = tuple[int, int]

WINDOW = 1 << 16
MOST_RUNS = 4096
# So many bytes are compared as one number.
SHORT = 128


class Differing(NamedTuple):
    """Where two aligned byte strings differ.

    size: how many bytes differ: positions of equal-length strings, else the longer of what lies
    between the common prefix and the common suffix.
    spans: pairs of (left span, right span), in order; outside of them both sides are equal.
    """

    size: int
    spans: tuple[tuple[Span, Span], ...]


def common_prefix(left: bytes, right: bytes) -> int:
    """Return the length of the longest common prefix in bytes."""
    end = min(len(left), len(right))
    if end <= SHORT:
        return _alike(int.from_bytes(left[:end], "little") ^ int.from_bytes(right[:end], "little"), end)
    at = 0
    while at < end and left[at : at + WINDOW] == right[at : at + WINDOW] and at + WINDOW <= end:
        at += WINDOW
    low, high = at, min(at + WINDOW, end)
    while low < high:
        middle = (low + high + 1) // 2
        if left[low:middle] == right[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _alike(differing: int, most: int) -> int:
    """Return how many of the lowest bytes of a number are zeros, at most so many."""
    return ((differing & -differing).bit_length() - 1) // 8 if differing else most


def common_suffix(left: bytes, right: bytes, most: int) -> int:
    """Return the length of the longest common suffix, at most `most` bytes."""
    a, b = len(left), len(right)
    if 0 <= most <= SHORT:
        return _alike(int.from_bytes(left[a - most :], "big") ^ int.from_bytes(right[b - most :], "big"), most)
    at = 0
    while at + WINDOW <= most and left[a - at - WINDOW : a - at] == right[b - at - WINDOW : b - at]:
        at += WINDOW
    low, high = at, min(at + WINDOW, most)
    while low < high:
        middle = (low + high + 1) // 2
        if left[a - middle : a - low] == right[b - middle : b - low]:
            low = middle
        else:
            high = middle - 1
    return low


def trimmed(left: bytes, right: bytes) -> tuple[Span, Span]:
    """Return the spans that remain when the common prefix and suffix are taken away."""
    start = common_prefix(left, right)
    tail = common_suffix(left, right, min(len(left), len(right)) - start)
    return (start, len(left) - tail), (start, len(right) - tail)


def differing(left: bytes, right: bytes) -> Differing:
    """Say where two byte strings differ, position by position where their lengths agree."""
    if len(left) != len(right):
        one, two = trimmed(left, right)
        return Differing(max(one[1] - one[0], two[1] - two[0]), ((one, two),))
    runs: list[list[int]] = []
    size = 0
    for base in range(0, len(left), WINDOW):
        a, b = left[base : base + WINDOW], right[base : base + WINDOW]
        if a != b:
            size += _window_runs(a, b, base, runs)
    return Differing(size, tuple(((start, stop), (start, stop)) for start, stop in runs))


def _window_runs(left: bytes, right: bytes, base: int, runs: list[list[int]]) -> int:
    """Add the differing runs of two unequal windows to `runs`; return how many bytes differ.

    Past MOST_RUNS runs the last one is stretched: a report names few of them, and a list as long as
    the data would cost more than the data.
    """
    import re

    mask = (int.from_bytes(left, "little") ^ int.from_bytes(right, "little")).to_bytes(len(left), "little")
    for match in re.finditer(rb"[^\0]+", mask):
        start, stop = base + match.start(), base + match.end()
        if runs and (runs[-1][1] == start or len(runs) >= MOST_RUNS):
            runs[-1][1] = stop
        else:
            runs.append([start, stop])
    return len(mask) - mask.count(0)
