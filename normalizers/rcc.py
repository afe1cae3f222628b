"""Opinions about Qt's binary resource files."""

from typing import Any

from normalizers.common import clamp
from normalizers.compressors import another_encoder, encoders_named
from normalizers.patterns import Sure
from normalizers.qt import FORMAT, MTIME
from reprodiff.rules import Policy, Reencode, Rule, Set

CONTENT = "rcc/file[*]/content"
DEFAULT_ZLIB = b"\x78\x9c"
WHY = "the same content, compressed by another encoder, at another level, or not at all"


def _same_contents(evidence: Any) -> set[tuple[bytes, ...]]:
    return {change.keys for change in evidence.comparison.changes.get(CONTENT, ()) if change.same}


def _as_content(change: Any, evidence: Any) -> Sure | None:
    """Claim what says how a content is compressed, when that is all that differs in it."""
    return "origin" if change.keys in evidence.once(_same_contents) else None


def _deflated(change: Any, evidence: Any) -> Sure | None:
    kinds = {node.content.name if node.content else "" for node in change.nodes}
    return another_encoder(change, evidence) if kinds == {"deflate"} else None


def _same(change: Any, _evidence: Any) -> Sure | None:
    return "origin" if change.same else None


def _named(change: Any, _evidence: Any) -> tuple[str, str]:
    left, right = (node.content.name if node.content else "stored" for node in change.nodes)
    return left, right


def _same_stream(value: bytes) -> bool:
    """Tell whether a zlib header (RFC 1950) says no more than the level: 32 kB of window, no dictionary."""
    return len(value) == 2 and value[0] == 0x78 and not value[1] & 0x20 and (value[0] << 8 | value[1]) % 31 == 0


def _level(change: Any, evidence: Any) -> Sure | None:
    """Claim the level in a zlib header, which no decoder needs, whatever the content is."""
    values = evidence.values(change)
    return "origin" if values is not None and all(map(_same_stream, values)) else None


def _usual(value: bytes, _policy: Policy) -> bytes:
    return DEFAULT_ZLIB if _same_stream(value) else value


VERSIONS = {1, 2, 3}
FLAGGED = 3
NODE, NODE_FLAGS, ENCODED = 22, 5, 1 | 4


def _version(change: Any, evidence: Any) -> Sure | None:
    """Claim a header's version where both are known."""
    values = evidence.values(change)
    return "origin" if values is not None and VERSIONS.issuperset(values) else None


def _flags(change: Any, evidence: Any) -> Sure | None:
    """Claim the flags that a header of version 3 has beside one without: all those of the nodes together."""
    source = evidence.comparison.left if change.kind == "left" else evidence.comparison.right
    words = [int.from_bytes(source.read(at, at + 4), "big") for at in range(4, 24, 4)]
    version, tree, *others, flags = words
    stop = min((at for at in [*others, source.size] if at > tree), default=tree)
    data = source.read(tree, stop)
    found = 0
    for value in data[NODE_FLAGS::NODE]:
        found |= value & ENCODED
    return "origin" if version == FLAGGED and flags == found else None


RULES: tuple[Rule, ...] = (
    Rule("rcc/header/version", "qt-rcc-format-version", FORMAT, claim=_version),
    Rule("rcc/header/flags", "qt-rcc-format-version", FORMAT, None, "one-sided", _flags),
    # A node has a time or none as its file's version has it.
    Rule("rcc/tree/resource[*]/node/lastmodified", "qt-rcc-format-version", FORMAT, None, "one-sided"),
    Rule("rcc/tree/resource[*]/node/lastmodified", "qt-rcc-mtime", MTIME, Set(clamp), opt_in=True),
    Rule(CONTENT, "compressor-params", WHY, Reencode(), "encoding", _deflated, encoders_named, opt_in=True),
    Rule(CONTENT, "compressor-params", WHY, None, "encoding", _same, _named),
    Rule(f"{CONTENT.rpartition('/')[0]}/zlib", "compressor-params", WHY, Set(_usual), claim=_level, opt_in=True),
    Rule("rcc/tree/resource[*]/node/flags", "compressor-params", WHY, claim=_as_content),
    Rule("rcc/file[*]/{size,zlib,adler32}", "compressor-params", WHY, None, "one-sided", _as_content),
)
