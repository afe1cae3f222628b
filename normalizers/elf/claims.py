"""What claims about ELF files share: both sides as text, what stands alone, what follows from the rest."""

import re
from collections.abc import Callable
from typing import Any, Literal

from normalizers.patterns import Sure
from reprodiff.rules import Sureness

Claim = Callable[[Any, Any], Sure | Literal["consequence"] | None]
BUILD_ID = "/build-id/desc"
DERIVED = (BUILD_ID, ".gnu_debuglink/crc", "/go-build-id/desc", ".rmeta/crate-hash", ".llvmbc/module-hash")


def text_of(change: Any) -> tuple[bytes, bytes] | None:
    """Return both sides as text without the NUL at the end, None where a side is absent or not kept."""
    if change.left is None or change.right is None:
        return None
    return change.left.rstrip(b"\0"), change.right.rstrip(b"\0")


def either(change: Any) -> bytes:
    """Return what the side that is there holds."""
    found: bytes = change.left if change.left is not None else change.right or b""
    return found.rstrip(b"\0")


def without(pattern: "re.Pattern[bytes]") -> Claim:
    """Return a claim for names that are equal but for random or derived digits."""

    def claim(change: Any, _evidence: Any) -> Sure | None:
        text = text_of(change)
        if not text or text[0] == text[1] or not all(pattern.search(side) for side in text):
            return None
        return "origin" if pattern.sub(b"", text[0]) == pattern.sub(b"", text[1]) else None

    return claim


Place = tuple[int, int]


def split(change: Any, parts: list[tuple[str, Sureness, Place, Place]]) -> list[tuple[str, Sureness, Any]]:
    """Return changes for the parts of a text, given as cause, how sure that is, and (start, stop) on either side."""
    found = change.split([(left, right) for _cause, _sure, left, right in parts])
    return [(cause, sure, part) for (cause, sure, _left, _right), part in zip(parts, found, strict=True)]


def images(evidence: Any) -> tuple[Any, Any] | None:
    """Return the headers of both files, None inside of a section that was compressed."""
    roots = evidence.comparison.roots
    return None if roots is None else (roots[0].info, roots[1].info)


def alone(evidence: Any) -> bool:
    """Tell whether nothing differs but what is derived from all the rest."""
    comparison = evidence.comparison
    rest = [where for where in comparison.changes if not where.endswith(DERIVED)]
    return not (rest or comparison.through or comparison.orders or comparison.follows)


def derived(change: Any, evidence: Any) -> Literal["consequence"] | None:
    """Claim what follows from the rest of the file, where anything else differs."""
    if evidence.once(alone):
        return None
    # One of the same size can be blanked; another cannot.
    if change.left is None or change.right is None or len(change.left) != len(change.right):
        evidence.follows_rest(change)
    return "consequence"


def perhaps(_change: Any, _evidence: Any) -> Sure:
    """Suspect what has no better reason."""
    return "suspected"


def follows_id(change: Any, evidence: Any) -> Literal["consequence"] | None:
    """Claim a checksum of the debug file where anything at all differs beside it."""
    if set(evidence.comparison.changes) == {evidence.where}:
        return None
    evidence.follows_rest(change)
    return "consequence"
