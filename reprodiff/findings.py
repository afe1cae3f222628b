"""What explaining gives: findings, consequences, what is unexplained, and how a person reads a change."""

from collections.abc import Iterator
from typing import NamedTuple

from reprodiff.codecs import RAW, Codec, show_bytes
from reprodiff.comparison import Change, Comparison, Notice, Order
from reprodiff.rules import Rule
from reprodiff.spans import Span
from reprodiff.tree import Group

SHOWN = 200
UNEXPLAINED = "unexplained"


class Example(NamedTuple):
    """One place of a cause, as a person reads it."""

    path: str
    left: str
    right: str
    spans: tuple[Span | None, Span | None]


class Claimed(NamedTuple):
    """Changes at one place of one stream that one rule claims."""

    rule: Rule
    comparison: Comparison
    where: str
    changes: list[Change]


class Finding:
    """A cause with all its changes folded into one. suspected: none of them is more than likely."""

    def __init__(self, cause: str) -> None:
        self.cause = cause
        self.count = 0
        self.bytes = 0
        self.suspected = True
        self.examples: list[Example] = []
        self.claimed: list[Claimed] = []
        self.orders: list[tuple[Rule, Comparison, Order]] = []
        self.shift: float | None = None
        self.shifts_agree = True
        self.proof = "consistent"


class Consequence(NamedTuple):
    """Places that follow from causes: a path pattern under a stream's path, how many places and bytes."""

    path: str
    of: tuple[str, ...]
    places: int
    bytes: int
    rule: Rule | None = None


class Unexplained(NamedTuple):
    """A change without a cause. type: what the bytes are that no format claimed, where a library knows it."""

    path: str
    kind: str
    bytes: int
    spans: tuple[Span | None, Span | None]
    left: str
    right: str
    type: str = ""


class Account(NamedTuple):
    """The differing bytes of one stream, by what they are."""

    path: str
    differing: int
    origin: int
    consequence: int
    suspected: int
    unexplained: int


class Explanation(NamedTuple):
    """Everything that a report is made from; causes in the order of the streams that they were found in.

    recorded: whether something follows that no rewrite computes anew: checksums of differing contents in other
    contents, addresses, or contents differ inside payloads that no encoder can write again.
    """

    findings: dict[str, Finding]
    consequences: list[Consequence]
    unexplained: list[Unexplained]
    accounts: list[Account]
    notices: list[Notice]
    recorded: bool

    @property
    def complete(self) -> bool:
        """Whether everything could be opened and read."""
        return not any(notice.kind in {"limit", "damaged", "missing-library"} for notice in self.notices)

    @property
    def verdict(self) -> str:
        """'explained', 'suspected' or 'unexplained'."""
        if self.unexplained or not self.complete:
            return UNEXPLAINED
        return "suspected" if any(finding.suspected for finding in self.findings.values()) else "explained"


def hull(spans: Iterator[Span | None]) -> Span:
    """Return the span from the start of the first to the end of the last of some spans."""
    found = [span for span in spans if span is not None]
    return found[0][0], found[-1][1]


def is_long(comparison: Comparison, where: str, change: Change) -> bool:
    """Tell whether the start of the bytes of both sides says little about where they differ."""
    if change.kind != "changed" or not change.size:
        return False
    if where == "bytes":
        return change.left is not None and change.right is not None
    raw = comparison.roots is not None and comparison.places[where].codec is RAW
    return raw and change.inner is None and max(change.l1 - change.l0, change.r1 - change.r0) > SHOWN


def preview(comparison: Comparison, spans: tuple[Span | None, Span | None]) -> tuple[str, str]:
    """Return the bytes of both sides from where they differ on."""
    texts = []
    for source, span in ((comparison.left, spans[0]), (comparison.right, spans[1])):
        assert span is not None
        texts.append(show_bytes(source.read(span[0], min(span[1], span[0] + 32)), 32))
    return texts[0], texts[1]


def spans_of(change: Change) -> tuple[Span | None, Span | None]:
    """Return the spans of both sides, None where a side is absent."""
    return (
        (change.l0, change.l1) if change.l0 >= 0 else None,
        (change.r0, change.r1) if change.r0 >= 0 else None,
    )


def sides(change: Change, codec: Codec) -> tuple[str, str]:
    """Return both values as a person reads them; '' for an absent side."""
    if change.shown is not None:
        return change.shown
    if change.kind != "changed" and change.nodes and isinstance(change.nodes[0] or change.nodes[1], Group):
        text = f"{change.size:,} bytes"
        return (text, "") if change.kind == "left" else ("", text)
    left, right = _side(change.left, change.l0, codec), _side(change.right, change.r0, codec)
    if left == right and change.left and change.right:
        # One value in two spellings: the spelling is what differs.
        return show_bytes(change.left), show_bytes(change.right)
    return left, right


def _side(raw: bytes | None, start: int, codec: Codec) -> str:
    if start < 0:
        return ""
    if raw is None:
        return "…"
    try:
        return codec.show(codec.decode(raw))[:SHOWN]
    except (ValueError, IndexError):
        return show_bytes(raw)


def note_shift(finding: Finding, codec: Codec, changes: list[Change]) -> None:
    """Note by how much times moved, as long as all moved alike."""
    for change in changes:
        if not finding.shifts_agree:
            return
        if change.left is None or change.right is None:
            finding.shifts_agree = False
            return
        try:
            shift = codec.decode(change.right) - codec.decode(change.left)
        except (ValueError, IndexError):
            shift = None
        if finding.shift is None:
            finding.shift = shift
        elif shift != finding.shift:
            finding.shifts_agree = False
