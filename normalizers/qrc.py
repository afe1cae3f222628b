"""Opinions about Qt resources as source code."""

from typing import Any

from normalizers.common import clamp
from normalizers.patterns import Sure
from normalizers.qt import FORMAT, MTIME, versions
from reprodiff.rules import Policy, Rule, Set

CONTENT = "qrc/file[*]/content"
SOURCE = "qrc/file[*]/source"
WHY = "the same content, compressed by another encoder, at another level, or not at all"
COMMENT = "a comment that rcc writes: where it read the resource; no compiler looks at it"


def _encoded(change: Any, _evidence: Any) -> Sure | None:
    """Claim equal contents of which at least one is compressed: else only the text that spells them differs."""
    return "origin" if change.same and {node.content.name for node in change.nodes} != {"bytes"} else None


def _names(change: Any, _evidence: Any) -> tuple[str, str]:
    left, right = (node.content.name for node in change.nodes)
    return left, right


def _same_contents(evidence: Any) -> set[tuple[bytes, ...]]:
    return {change.keys for change in evidence.comparison.changes.get(CONTENT, ()) if _encoded(change, evidence)}


def _as_content(change: Any, evidence: Any) -> Sure | None:
    return "origin" if change.keys in evidence.once(_same_contents) else None


def roots(left: bytes | None, right: bytes | None) -> tuple[bytes, bytes] | None:
    """Return what stands before the equal last components of two absolute paths, None where none are equal."""
    if not left or not right or left[:1] != b"/" or right[:1] != b"/":
        return None
    one, two = left.split(b"/"), right.split(b"/")
    same = 0
    while same < min(len(one), len(two)) and one[-1 - same] == two[-1 - same]:
        same += 1
    return (b"/".join(one[: len(one) - same]), b"/".join(two[: len(two) - same])) if same else None


def _all_roots(evidence: Any) -> set[tuple[bytes, bytes] | None]:
    return {roots(change.left, change.right) for change in evidence.comparison.changes.get(SOURCE, ())}


def _moved(_change: Any, evidence: Any) -> Sure | None:
    """Claim paths that differ in one directory alone, the same for all of the file."""
    found = evidence.once(_all_roots)
    return "origin" if len(found) == 1 and None not in found else None


def _name(value: bytes, _policy: Policy) -> bytes:
    return value.rpartition(b"/")[2]


def _said(evidence: Any) -> tuple[set[int], set[int]]:
    comparison = evidence.comparison
    left, right = (versions(side.read(0, side.size)) for side in (comparison.left, comparison.right))
    return left, right


def _timed(change: Any, evidence: Any) -> Sure | None:
    """Claim the times of nodes that one side alone has where each side's code says so of its version: 1 has none."""
    with_times, without = evidence.once(_said)[:: 1 if change.kind == "left" else -1]
    return "origin" if without == {1} and with_times and min(with_times) > 1 else None


RULES: tuple[Rule, ...] = (
    *(
        Rule(f"qrc/struct/resource[*]/{name}", "qt-rcc-format-version", FORMAT, None, "one-sided", _timed)
        for name in ("lastmodified", "before lastmodified")
    ),
    Rule("qrc/{struct,struct_v2,struct_v3}/resource[*]/lastmodified", "qt-rcc-mtime", MTIME, Set(clamp), opt_in=True),
    Rule(SOURCE, "text-build-path", COMMENT, Set(_name), claim=_moved, opt_in=True),
    Rule(CONTENT, "compressor-params", WHY, None, "encoding", _encoded, _names),
    Rule("qrc/{struct,struct_v1,struct_v2,struct_v3}/resource[*]/flags", "compressor-params", WHY, claim=_as_content),
)
