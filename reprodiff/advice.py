"""What to run so that two files become identical: decided from facts, never promised on a guess."""

from collections.abc import Callable
from typing import Literal, NamedTuple

from reprodiff.budget import Budget
from reprodiff.comparison import Change, Comparison
from reprodiff.errors import ReprodiffError
from reprodiff.findings import Claimed, Explanation
from reprodiff.layout import emit
from reprodiff.prove import same_bytes
from reprodiff.rewrite import Rulebook, canonical, rewrite
from reprodiff.rules import CLAMP, Drop, Policy, Reencode, Rule, Set, Sort
from reprodiff.tree import Leaf

SMALL = 2 << 20
# Name of the format of trees and of archives that a library lists.
DIRECTORY = "directory"


class Advice(NamedTuple):
    """mode: of `normalize`, None where it would not help; enable: the opt-in causes that it has to be given."""

    mode: Literal["clamp", "unify"] | None
    enable: tuple[str, ...] = ()


def advise(
    top: Comparison, explanation: Explanation, proof: str, books: Callable[[frozenset[str]], Rulebook], epoch: int
) -> Advice:
    """Return what makes both sides of a proved explanation identical.

    books: causes to enable to the rules and guards for mode "clamp"; epoch: seconds that times are clamped to.
    """
    rules = [claimed.rule for finding in explanation.findings.values() for claimed in finding.claimed]
    rules += [rule for finding in explanation.findings.values() for rule, _comparison, _order in finding.orders]
    rules += [item.rule for item in explanation.consequences if item.rule is not None and item.rule.action is not None]
    reencoded = any(isinstance(rule.action, Reencode) for rule in rules)
    enable = tuple(sorted({rule.cause for rule in rules if rule.opt_in and not isinstance(rule.action, Reencode)}))
    book = books(frozenset(enable))
    if proof != "proved" or not all(_can_be_written(comparison, book) for comparison in top.all()):
        return Advice(None)
    policy = Policy(epoch, CLAMP)
    if (not reencoded and _alike(top, explanation, policy)) or _made_alike(top, book, policy):
        return Advice("clamp", enable)
    return Advice("unify")


def _can_be_written(comparison: Comparison, book: Rulebook) -> bool:
    """Tell whether both streams may be rewritten and all that changes inside them can be encoded again."""
    if comparison.roots is None:
        return False
    if comparison.format == DIRECTORY:
        # The files in a tree can be rewritten; what the tree says of them cannot, nor an archive that is only listed.
        return bool(getattr(comparison.left, "root", "")) and not (comparison.changes or comparison.orders)
    sides = zip((comparison.left, comparison.right), comparison.roots, strict=True)
    if any(book.guard(comparison.format, source, root) for source, root in sides):
        return False
    payloads = [node for changes in comparison.through.values() for change in changes for node in change.nodes or ()]
    return all(_encodable(node) for node in payloads if isinstance(node, Leaf))


def _encodable(leaf: Leaf) -> bool:
    return leaf.content is None or leaf.content.encode is not None


def _alike(top: Comparison, explanation: Explanation, policy: Policy) -> bool:
    """Tell, from the changes alone, that clamping gives both sides the same bytes; False where it takes more."""
    changed: dict[int, list[bool]] = {}
    for finding in explanation.findings.values():
        if not all(isinstance(rule.action, Sort) for rule, _comparison, _order in finding.orders):
            return False
        for claimed in finding.claimed:
            if not _same_values(claimed, policy, changed.setdefault(id(claimed.comparison), [False, False])):
                return False
    _touched, sure = _touches(top, changed)
    return sure


def _touches(comparison: Comparison, changed: dict[int, list[bool]]) -> tuple[list[bool], bool]:
    """Return which sides of a stream change for certain, and whether every payload that is encoded again is so on
    both sides: the encoder of a payload that stays as it is need not be the canonical one."""
    touched = list(changed.get(id(comparison), [False, False]))
    sure = True
    for changes in comparison.through.values():
        for change in changes:
            assert change.inner is not None
            inner, inner_sure = _touches(change.inner, changed)
            encoded = any(isinstance(node, Leaf) and node.content is not None for node in change.nodes or ())
            sure = sure and inner_sure and (all(inner) or not encoded)
            touched = [touched[0] or inner[0], touched[1] or inner[1]]
    return touched, sure


def _same_values(claimed: Claimed, policy: Policy, changed: list[bool]) -> bool:
    rule = claimed.rule
    known: dict[tuple[int, bytes | None, bytes | None], tuple[bytes, bytes] | None] = {}
    for change in claimed.changes:
        if isinstance(rule.action, Drop):
            if not _dropped(change, rule.action, policy):
                return False
            now = (change.l0 >= 0, change.r0 >= 0)
        elif isinstance(rule.action, Set):
            pair = (id(change.codec), change.left, change.right)
            if pair not in known:
                known[pair] = _values(change, rule, policy)
            values = known[pair]
            if values is None or values[0] != values[1]:
                return False
            now = (values[0] != change.left, values[1] != change.right)
        else:
            return False
        changed[0], changed[1] = changed[0] or now[0], changed[1] or now[1]
    return True


def _dropped(change: Change, action: Drop, policy: Policy) -> bool:
    sides = ((change.l0, change.left), (change.r0, change.right))
    present = [raw for start, raw in sides if start >= 0]
    return action.when is None or all(raw is not None and action.when(raw, policy) for raw in present)


def _values(change: Change, rule: Rule, policy: Policy) -> tuple[bytes, bytes] | None:
    if change.left is None or change.right is None:
        return None
    varies = change.nodes is not None and isinstance(change.nodes[0], Leaf)
    sizes = (-1, -1) if varies else (len(change.left), len(change.right))
    left, right = (
        canonical(raw, rule, change.codec, policy, size)
        for raw, size in zip((change.left, change.right), sizes, strict=True)
    )
    return left, right


def _made_alike(top: Comparison, book: Rulebook, policy: Policy) -> bool:
    """Do it, where that is cheap: rewrite both sides and compare them as bytes."""
    if sum(comparison.left.size + comparison.right.size for comparison in top.all()) > SMALL:
        return False
    sides = []
    try:
        for source in (top.left, top.right):
            pieces = rewrite(source, book, policy, Budget(decoded=16 * SMALL)).pieces
            sides.append(iter(emit([(source, 0, source.size)] if pieces is None else pieces)))
        return same_bytes(*sides)
    except ReprodiffError:
        return False
