"""Opinions about plain text: what it looks like is only likely, for nothing says that a text's order or white space
has no meaning."""

from typing import Any, Literal

from normalizers.patterns import Sure
from normalizers.qt import TEXT as QT_LINES
from reprodiff.rules import Rule
from reprodiff.textdiff import classify, same_letters


def _class(evidence: Any) -> str | None:
    comparison = evidence.comparison
    hunks = [change for changes in comparison.changes.values() for change in changes]
    # Most texts have other letters as well: the lines that differ tell it, without a second look at the whole.
    if not same_letters((hunk.left or b"" for hunk in hunks), (hunk.right or b"" for hunk in hunks)):
        return None
    return classify(comparison.left.read(0, comparison.left.size), comparison.right.read(0, comparison.right.size))


def _is(kind: str) -> Any:
    def claim(_change: Any, evidence: Any) -> Sure | None:
        return "suspected" if evidence.once(_class) == kind else None

    return claim


LINE = "text/line[*]"


def _recorded(change: Any, evidence: Any) -> Literal["consequence"] | None:
    return "consequence" if evidence.follows_from(change) else None


def _under_root(change: Any, evidence: Any) -> Sure | None:
    """Claim lines that become those of the other side when the directory that was built in is exchanged."""
    if change.left is None or change.right is None:
        return None
    return "origin" if evidence.shared.mapped(change.left, change.right) else None


RULES: tuple[Rule, ...] = (
    Rule(LINE, "derived-hash-file", "the checksum of a content that differs, recorded", claim=_recorded),
    *QT_LINES,
    Rule(LINE, "text-build-path", "the directory that was built in, written into a text", claim=_under_root),
    Rule(LINE, "line-order-only", "the same lines in another order", claim=_is("order")),
    Rule(LINE, "line-ending", "the same lines with CR LF for LF", claim=_is("line-ending")),
    Rule(LINE, "whitespace-format", "the same text with other white space", claim=_is("white-space")),
)
