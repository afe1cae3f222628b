"""Names and numbers that a compiler makes for link-time optimization, of digests and random seeds."""

import re
from typing import Any, Literal

from normalizers.elf.claims import text_of, without
from normalizers.elf.directories import source_under_root
from normalizers.patterns import Sure
from reprodiff.paths import is_source

lto_section = without(re.compile(rb"(?<=\.)[0-9a-f]{6,16}(?:\.[0-9a-f]{8,16})?$"))
_UNIT_DIGEST = re.compile(rb"^[\w.+-]+\.[0-9a-f]{8}$")


def unit_digest(change: Any, evidence: Any) -> Literal["consequence"] | None:
    """Claim the name of a file's debug information, with a digest of it, where the directory in it differs."""
    text = text_of(change)
    if not text or not evidence.shared.roots or not all(_UNIT_DIGEST.match(side) for side in text):
        return None
    names = [side[:-9] for side in text]
    return "consequence" if names[0] == names[1] and is_source(names[0]) else None


def lto_digest(change: Any, evidence: Any) -> Sure | None:
    """Suspect a digest of what the compiler keeps for the linker, where paths differ that it is made of."""
    return "suspected" if change.kind == "changed" and evidence.shared.roots else None


# So much of a section's code may differ where its texts grew, and be so much longer.
LTO_SHARE, LTO_GROWN = 8, 8


def lto_numbers(change: Any, evidence: Any) -> Sure | None:
    """Suspect the numbers of a section for link-time optimization, packed in bits, where paths in the same section grew
    under the exchanged directory and nothing else of its texts differs."""
    if change.kind != "changed" or abs((change.l1 - change.l0) - (change.r1 - change.r0)) > LTO_GROWN:
        return None
    strings = evidence.comparison.changes.get(f"{evidence.where}/string[*]", ())
    grown = any(text.l1 - text.l0 != text.r1 - text.r0 for text in strings)
    if not grown or any(
        unit_digest(text, evidence) is None and source_under_root(text, evidence) is None for text in strings
    ):
        return None
    size = evidence.comparison.left.size
    return "suspected" if LTO_SHARE * change.size <= size else None
