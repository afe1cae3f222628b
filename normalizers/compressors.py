"""What can be told about the encoder of a compressed payload."""

import re
from typing import Any

from normalizers.patterns import Sure
from reprodiff.budget import Budget
from reprodiff.encoders import identify_deflate
from reprodiff.tree import Leaf, open_content

PREFIX = 1 << 18
PLAIN = 4 << 20
# Below this, GNU gzip and zlib may give the same bytes: that only one of two streams is zlib's says nothing.
DISTINCT = 1 << 16
MOST_TRIALS = 16
UNKNOWN = "deflate, not by zlib"


def _name(source: Any, leaf: Leaf) -> str:
    assert leaf.content is not None
    kind = leaf.content.name
    if kind != "deflate":
        return kind
    complete = leaf.stop - leaf.start <= PREFIX
    raw = source.read(leaf.start, min(leaf.stop, leaf.start + PREFIX))
    plain = open_content(source, leaf, Budget())
    return identify_deflate(raw, plain.read(0, PLAIN), complete=complete) or UNKNOWN


def _names(change: Any, evidence: Any) -> tuple[str, str]:
    left, right = change.nodes
    return _name(evidence.comparison.left, left), _name(evidence.comparison.right, right)


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
    left, right = _names(change, evidence)
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
