"""Texts that say something of their build, and names with random numbers."""

import re
from typing import Any

from normalizers.elf.claims import Claim, split, text_of, without
from normalizers.elf.directories import OWN
from normalizers.patterns import Sure
from reprodiff.rules import Sureness

anonymous = without(re.compile(rb"(?<=_)[0-9A-Fa-f]{8}(?:_[0-9A-Fa-f]{8})*|(?<=_)0x[0-9a-f]+"))


def anonymous_symbol(change: Any, evidence: Any) -> Sure | None:
    """Claim a symbol of an anonymous namespace or a static constructor that a random number was put into."""
    text = text_of(change)
    if not text or not all(b"_GLOBAL__" in side for side in text):
        return None
    found = anonymous(change, evidence)
    return "origin" if found else None


def said(cause: str) -> Claim:
    """Return a claim for texts that differ in what they say of their build."""

    def claim(change: Any, _evidence: Any) -> Sure | None:
        from normalizers import texts

        text = text_of(change)
        found = texts.said(*text) if text and not all(map(OWN.match, text)) else None
        return found.sure if found and found.cause == cause else None

    return claim


def several(change: Any, _evidence: Any) -> Sure | None:
    """Claim texts that say several things of their build that differ: `parts_of` has each."""
    from normalizers import texts

    text = text_of(change)
    parts = texts.several(*text) if text and not any(map(OWN.match, text)) else ()
    if not parts:
        return None
    return "suspected" if any(part.sure == "suspected" for part in parts) else "origin"


def parts_of(change: Any, _evidence: Any) -> list[tuple[str, Sureness, Any]]:
    """Return what a text consists of that differs, each with its cause and how sure that is."""
    from normalizers import texts

    text = text_of(change)
    parts = texts.several(*text) if text else ()
    return split(change, [(part.cause, part.sure, part.left, part.right) for part in parts])


def random_name(change: Any, _evidence: Any) -> Sure | None:
    """Claim names that differ in the random part of a temporary file's name."""
    text = text_of(change)
    if not text:
        return None
    from normalizers import texts

    return "origin" if texts.random_name(*text) else None
