"""Prove an explanation: what the named rules make of both sides is the same.

The comparison has shown every leaf that differs. A stream pair is proved when each of these is rewritten to the
same bytes on both sides, or dropped on both, or is DERIVED and was seen to follow on both; all other leaves are
equal as bytes already. The tests hold this against rewriting whole files and comparing those.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Any

from reprodiff.budget import Budget
from reprodiff.codecs import Codec
from reprodiff.comparison import Change, Comparison, Order
from reprodiff.findings import Claimed, Explanation
from reprodiff.layout import emit
from reprodiff.rewrite import Rulebook, canonical, rewrite
from reprodiff.rules import UNIFY, Drop, DropEmpty, Number, Policy, Rederive, Reencode, Respell, Rule, Rules, Set, Sort
from reprodiff.tree import Group, Leaf, children

POLICY = Policy(0, UNIFY)


def prove(explanation: Explanation, rules_for: Callable[[str], Rules], budget: Budget) -> str:
    """Set the proof of every finding; return that of the whole: proved, consistent, suspected or none."""
    for finding in explanation.findings.values():
        if finding.suspected:
            finding.proof = "suspected"
            continue
        shown = all(_shown(claimed, rules_for, budget) for claimed in finding.claimed)
        ordered = all(_ordered(rule, comparison, order) for rule, comparison, order in finding.orders)
        finding.proof = "proved" if shown and ordered else "consistent"
    verdict = explanation.verdict
    if verdict != "explained":
        return "suspected" if verdict == "suspected" else "none"
    proofs = {finding.proof for finding in explanation.findings.values()}
    return "proved" if proofs <= {"proved"} and not explanation.recorded else "consistent"


def _shown(claimed: Claimed, rules_for: Callable[[str], Rules], budget: Budget) -> bool:
    rule = claimed.rule
    action = rule.action
    if isinstance(action, Drop) and action.when is not None:
        sides = [raw for change in claimed.changes for raw in _present(change)]
        return all(raw is not None and action.when(raw, POLICY) for raw in sides)
    if isinstance(action, Drop | DropEmpty | Rederive | Reencode):
        return True
    if isinstance(action, Set):
        return _set_alike(rule, claimed)
    if isinstance(action, Number):
        return _numbered_alike(action, claimed, rules_for)
    if isinstance(action, Respell):
        return _rewritten_alike(claimed.comparison, rules_for, budget)
    return False


def _present(change: Change) -> list[bytes | None]:
    """Return the bytes of each side that has the node, None where they were not kept."""
    return [raw for raw, start in ((change.left, change.l0), (change.right, change.r0)) if start >= 0]


def _set_alike(rule: Rule, claimed: Claimed) -> bool:
    codec = claimed.comparison.places[claimed.where].codec
    first = claimed.changes[0].nodes if claimed.changes else None
    varies = first is not None and isinstance(first[0], Leaf)
    known: dict[tuple[bytes, bytes], bool] = {}
    for change in claimed.changes:
        left, right = change.left, change.right
        if left is None or right is None:
            return False
        alike = known.get((left, right))
        if alike is None:
            alike = _alike(left, right, rule, codec, varies=varies)
            known[left, right] = alike
        if not alike:
            return False
    return True


def _alike(left: bytes, right: bytes, rule: Rule, codec: Codec, *, varies: bool) -> bool:
    one = canonical(left, rule, codec, POLICY, -1 if varies else len(left))
    return one == canonical(right, rule, codec, POLICY, -1 if varies else len(right))


def _ordered(rule: Rule, comparison: Comparison, order: Order) -> bool:
    """Tell whether sorting gives both sides the same order; members of one side alone are left out."""
    if not isinstance(rule.action, Sort) or comparison.roots is None:
        return False
    sides = []
    for root in comparison.roots:
        group = _find(root, order.where, comparison.format, order.keys)
        if group is None:
            return False
        keyed = [node for node in children(group) if isinstance(node, Group) and node.key is not None]
        sides.append([node.key for node in rule.action.arrange(keyed)])
    if sides[0] == sides[1]:
        return True
    common = set(sides[0]) & set(sides[1])
    return [key for key in sides[0] if key in common] == [key for key in sides[1] if key in common]


def _numbered_alike(action: Number, claimed: Claimed, rules_for: Callable[[str], Rules]) -> bool:
    """Tell whether the members that differ get the same values on both sides, in the canonical order."""
    comparison = claimed.comparison
    if comparison.roots is None:
        return False
    where = claimed.where.rpartition("[*]")[0].rpartition("/")[0]
    sorts = [rule.action for rule in rules_for(comparison.format).at(where) if isinstance(rule.action, Sort)]
    known: dict[tuple[int, tuple[bytes, ...]], list[tuple[int, int, Any]]] = {}
    for change in claimed.changes:
        values = []
        for side, (root, place) in enumerate(zip(comparison.roots, (change.l0, change.r0), strict=True)):
            row = known.get((side, change.keys[:-1]))
            if row is None:
                group = _find(root, where, comparison.format, change.keys)
                nodes = [] if group is None else children(group)
                keyed = [node for node in nodes if isinstance(node, Group) and node.key is not None]
                for sort in sorts:
                    keyed = sort.arrange(keyed)
                numbered = zip(keyed, action.values(keyed, POLICY), strict=True)
                row = known[side, change.keys[:-1]] = sorted((node.start, node.stop, value) for node, value in numbered)
            at = bisect_right(row, place, key=lambda found: found[0]) - 1
            if at < 0 or place >= row[at][1]:
                return False
            values.append(row[at][2])
        if values[0] != values[1]:
            return False
    return True


def _find(root: Group, where: str, name: str, keys: tuple[bytes, ...]) -> Group | None:
    """Return the group at a path pattern; keys: those of its steps, outermost first."""
    group = root
    rest = iter(keys)
    for step in where.removeprefix(name).strip("/").split("/"):
        if not step:
            break
        key = next(rest, None) if step.endswith("[*]") else None
        name = step.removesuffix("[*]")
        nodes = (node for node in children(group) if isinstance(node, Group))
        found = next((node for node in nodes if (node.name, node.key) == (name, key)), None)
        if found is None:
            return None
        group = found
    return group


def _rewritten_alike(comparison: Comparison, rules_for: Callable[[str], Rules], budget: Budget) -> bool:
    """Rewrite both streams as a whole and compare them as bytes."""
    book = Rulebook(rules_for, lambda _name, _source, _root: None)
    sides = []
    for source in (comparison.left, comparison.right):
        pieces = rewrite(source, book, POLICY, budget).pieces
        sides.append(iter(emit([(source, 0, source.size)] if pieces is None else pieces)))
    return same_bytes(*sides)


def same_bytes(left: Iterator[bytes], right: Iterator[bytes]) -> bool:
    """Compare two streams that come in pieces of different sizes."""
    a = b = b""
    while True:
        a = a or next(left, b"")
        b = b or next(right, b"")
        if not a or not b:
            return a == b
        size = min(len(a), len(b))
        if a[:size] != b[:size]:
            return False
        a, b = a[size:], b[size:]
