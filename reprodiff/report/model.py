"""The report as data: what the JSON report holds and every other rendering is made from."""

from typing import Any, NamedTuple

from reprodiff.codecs import printable
from reprodiff.findings import Example, Explanation, Finding

SCHEMA = "reprodiff.report/1"
ORDER = {"proved": 0, "consistent": 1, "suspected": 2}


class Input(NamedTuple):
    """One side as it was given: name, size in bytes, None for a directory, SHA-256 in hex, '' where not computed."""

    path: str
    size: int | None
    sha256: str


class Entry(NamedTuple):
    """What the catalogue says about a cause, as the report shows it."""

    family: str
    title: str
    normalizable: str
    fixes: tuple[tuple[str, str | None, str], ...]
    issues: tuple[str, ...]
    usertags: tuple[str, ...]
    references: tuple[str, ...]


def build(
    left: Input, right: Input, explanation: Explanation | None, proof: str, entries: dict[str, Entry]
) -> dict[str, Any]:
    """Return the report of a comparison; explanation is None where both sides are equal as bytes."""
    report: dict[str, Any] = {
        "schema": SCHEMA,
        "left": _input(left),
        "right": _input(right),
        "verdict": "identical" if explanation is None else explanation.verdict,
        "proof": proof,
        "causes": [],
        "consequences": [],
        "unexplained": [],
        "streams": [],
        "notices": [],
    }
    if explanation is None:
        return report
    findings = sorted(explanation.findings.values(), key=_rank)
    report["causes"] = [_cause(finding, entries) for finding in findings]
    report["consequences"] = [
        {"path": c.path, "of": list(c.of), "count": c.places, "bytes": c.bytes} for c in explanation.consequences
    ]
    report["unexplained"] = [
        {
            "path": u.path,
            "kind": u.kind,
            "bytes": u.bytes,
            "spans": [None if span is None else list(span) for span in u.spans],
            "left": u.left,
            "right": u.right,
            **({"type": u.type} if u.type else {}),
        }
        for u in explanation.unexplained
    ]
    report["streams"] = [account._asdict() for account in explanation.accounts]
    report["notices"] = [notice._asdict() for notice in dict.fromkeys(explanation.notices)]
    return report


def _input(side: Input) -> dict[str, Any]:
    return {"path": printable(side.path), "size": side.size, "sha256": side.sha256}


def _rank(finding: Finding) -> tuple[int, int, str]:
    return ORDER[finding.proof] // 2, -finding.bytes, finding.cause


def _cause(finding: Finding, entries: dict[str, Entry]) -> dict[str, Any]:
    entry = entries.get(finding.cause)
    cause: dict[str, Any] = {
        "id": finding.cause,
        "family": entry.family if entry else "",
        "title": entry.title if entry else finding.cause,
        "proof": finding.proof,
        "normalizable": entry.normalizable if entry else "no",
        "count": finding.count,
        "bytes": finding.bytes,
        "examples": [_example(example) for example in finding.examples],
        "fixes": [],
        "debian": {"issues": [], "usertags": []},
        "references": [],
    }
    members = _members(finding)
    if members:
        cause["members"] = members
    if finding.orders and not finding.claimed:
        cause["archives"] = len({id(comparison) for _rule, comparison, _order in finding.orders})
    if finding.shift is not None and finding.shifts_agree:
        cause["shift_seconds"] = finding.shift
    if entry:
        cause["fixes"] = [{"tool": tool, "since": since, "text": text} for tool, since, text in entry.fixes]
        cause["debian"] = {"issues": list(entry.issues), "usertags": list(entry.usertags)}
        cause["references"] = list(entry.references)
    return cause


def _members(finding: Finding) -> int:
    """Return how many archive members a finding speaks of, 0 where it speaks of something else."""
    if sum(len(claimed.changes) for claimed in finding.claimed) != finding.count:
        return 0
    found: set[tuple[int, tuple[bytes, ...]]] = set()
    for claimed in finding.claimed:
        before, member, _after = claimed.where.partition("member[*]")
        if not member:
            return 0
        keys = before.count("[*]") + 1
        found.update((id(claimed.comparison), change.keys[:keys]) for change in claimed.changes)
    return len(found)


def _example(example: Example) -> dict[str, Any]:
    return {
        "path": example.path,
        "left": example.left,
        "right": example.right,
        "spans": [None if span is None else list(span) for span in example.spans],
    }
