"""What can be told about the encoder of a compressed payload."""

import re
from typing import Any

from normalizers.patterns import Sure
from reprodiff.budget import Budget
from reprodiff.encoders import LEVELS, identify_deflate
from reprodiff.tree import Leaf, open_content

PREFIX = 1 << 18
PLAIN = 4 << 20
# What is read to see whether two encoders are the same; most are, at the usual level.
GLANCE = 1 << 19
USUAL = (6,)
# Below this, GNU gzip and zlib may give the same bytes: that only one of two streams is zlib's says nothing.
DISTINCT = 1 << 16
MOST_TRIALS = 16
UNKNOWN = "deflate, not by zlib"


def _name(source: Any, leaf: Leaf, levels: tuple[int, ...] = LEVELS, plain: int = PLAIN) -> str:
    assert leaf.content is not None
    kind = leaf.content.name
    if kind != "deflate":
        return kind
    decoded = open_content(source, leaf, Budget())
    complete = leaf.stop - leaf.start <= PREFIX and decoded.size <= plain
    raw = source.read(leaf.start, min(leaf.stop, leaf.start + PREFIX))
    return identify_deflate(raw, decoded.read(0, plain), complete=complete, levels=levels) or UNKNOWN


def _names(change: Any, evidence: Any, levels: tuple[int, ...] = LEVELS, plain: int = PLAIN) -> tuple[str, str]:
    left, right = change.nodes
    return (
        _name(evidence.comparison.left, left, levels, plain),
        _name(evidence.comparison.right, right, levels, plain),
    )


def _levels(name: str) -> set[tuple[str, int]]:
    """Return the (encoder, level) pairs that a name leaves open."""
    match = re.fullmatch(r"zlib level ([\d, -]+?)( memLevel 9)?", name)
    if not match:
        return {(name, 0)}
    levels = set()
    for part in match[1].split(", "):
        low, _, high = part.partition("-")
        levels |= {(f"zlib{match[2] or ''}", level) for level in range(int(low), int(high or low) + 1)}
    return levels


def another_encoder(change: Any, evidence: Any) -> Sure | None:
    """Claim equal contents in other bytes; where the contents differ too, two encoders that can be told apart."""
    if change.same:
        return "origin"
    trials = evidence.once(_trials)
    if len(trials) >= MOST_TRIALS:
        return None
    trials.append(change)
    left, right = _names(change, evidence, USUAL, GLANCE)
    if left == right != UNKNOWN:
        return None
    left, right = _names(change, evidence, plain=GLANCE)
    if _levels(left) & _levels(right):
        return None
    if UNKNOWN in {left, right} and min(change.l1 - change.l0, change.r1 - change.r0) < DISTINCT:
        return None
    return "origin"


def _trials(_evidence: Any) -> list[Any]:
    """Return the list of changes whose encoders were tried: a few tell, and each costs milliseconds."""
    return []


def encoders_named(change: Any, evidence: Any) -> tuple[str, str]:
    """Name both encoders."""
    return _names(change, evidence)
