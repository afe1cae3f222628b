"""Give every change its cause, where a rule can justify one, and account for every differing byte."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from reprodiff.codecs import show_bytes, show_time
from reprodiff.comparison import Change, Comparison, Notice, Order
from reprodiff.digests import Digests
from reprodiff.evidence import Evidence
from reprodiff.findings import (
    SHOWN,
    UNEXPLAINED,
    Account,
    Claimed,
    Consequence,
    Example,
    Explanation,
    Finding,
    Unexplained,
    hull,
    is_long,
    note_shift,
    preview,
    sides,
    spans_of,
)
from reprodiff.rules import Rule, Rules
from reprodiff.tree import Leaf

if TYPE_CHECKING:
    from reprodiff.shared import Shared

EXAMPLES = 3


def explain(top: Comparison, rules_for: Callable[[str], Rules]) -> Explanation:
    """Ask the rules about every change of a comparison and of all inside it."""
    run = _Run(rules_for, top)
    run.stream(top)
    run.settle()
    recorded = bool(run.recorded) or run.closed
    return Explanation(run.findings, run.consequences, run.unexplained, run.accounts, run.notices, recorded)


class _Run:
    def __init__(self, rules_for: Callable[[str], Rules], top: Comparison) -> None:
        self.rules_for = rules_for
        self.top = top
        self.findings: dict[str, Finding] = {}
        self.consequences: list[Consequence] = []
        self.unexplained: list[Unexplained] = []
        self.accounts: list[Account] = []
        self.notices: list[Notice] = []
        self.recorded: dict[int, list[Comparison]] = {}
        self.closed = False
        self._digests: Digests | None = None
        self._shared: Shared | None = None
        self._causes: dict[int, set[str]] = {}
        self._pending: list[tuple[int, list[Comparison]]] = []

    def shared(self) -> "Shared":
        """Return what all that differs shares, inferred when first asked for."""
        if self._shared is None:
            from reprodiff.shared import Shared

            self._shared = Shared(self.top)
        return self._shared

    def digests(self) -> Digests:
        """Return the digests of all contents that differ, made when first asked for."""
        if self._digests is None:
            self._digests = Digests(self.top)
        return self._digests

    def settle(self) -> None:
        """Say what recorded digests follow from: known once all streams are explained."""
        for slot, sources in self._pending:
            of = set().union(*(self._causes.get(id(source), set()) for source in sources))
            self.consequences[slot] = self.consequences[slot]._replace(of=tuple(sorted(of)))

    def stream(self, comparison: Comparison, outer: Evidence | None = None) -> set[str]:
        """Explain one stream and those inside it; returns the causes, with `unexplained` among them if any is."""
        rules = self.rules_for(comparison.format)
        evidence = Evidence(comparison, self, outer)
        slot = len(self.accounts)
        self.accounts.append(Account(comparison.path, 0, 0, 0, 0, 0))
        self.notices += comparison.notices
        self.closed = self.closed or comparison.moved
        sums = {"origin": 0, "suspected": 0, UNEXPLAINED: 0, "consequence": 0}
        causes: set[str] = set()
        for where, changes in comparison.changes.items():
            evidence.where = where
            self.place(comparison, where, changes, rules.at(where), evidence, sums, causes)
        for order in comparison.orders:
            evidence.where = order.where
            self.order(comparison, order, rules.at(order.where), evidence, causes)
        for where, changes in comparison.through.items():
            evidence.where = where
            self.through(comparison, where, changes, rules.at(where), evidence, sums, causes)
        if not causes and not comparison.part:
            # What follows has to follow from something: where nothing else differs, it is the change itself.
            causes = self.unfounded(comparison, sums)
        else:
            for where, tally in comparison.follows.items():
                sums["consequence"] += tally.bytes
                path = f"{comparison.path}!/{where}"
                self.consequences.append(Consequence(path, tuple(sorted(causes)), tally.count, tally.bytes))
        self.accounts[slot] = Account(
            comparison.path,
            comparison.differing,
            sums["origin"],
            sums["consequence"],
            sums["suspected"],
            sums[UNEXPLAINED],
        )
        self._causes[id(comparison)] = causes
        return causes

    def unfounded(self, comparison: Comparison, sums: dict[str, int]) -> set[str]:
        """Leave DERIVED places that follow from nothing that differs; returns the causes of the stream."""
        for where, tally in comparison.follows.items():
            sums[UNEXPLAINED] += tally.bytes
            path = comparison.path_of(where, tally.first.keys)
            left, right = sides(tally.first, comparison.places[where].codec)
            spans = spans_of(tally.first)
            self.unexplained.append(Unexplained(path, "changed", tally.bytes, spans, left, right))
        return {UNEXPLAINED} if comparison.follows else set()

    def place(
        self,
        comparison: Comparison,
        where: str,
        changes: list[Change],
        rules: tuple[Rule, ...],
        evidence: Evidence,
        sums: dict[str, int],
        causes: set[str],
    ) -> None:
        """Fold the changes of one place."""
        claimed: dict[tuple[int, str, str], tuple[Rule, str, list[Change]]] = {}
        for change in changes:
            rule, sure = self.judge(change, rules, evidence)
            if rule is None:
                self.leave(comparison, where, change)
                sums[UNEXPLAINED] += change.size
                causes.add(UNEXPLAINED)
                continue
            several = rule.parts(change, evidence) if rule.parts else []
            parts: list[tuple[str, str, Change]] = [*several] or [(rule.cause, sure, change)]
            for cause, certain, part in parts:
                bucket = claimed.get((id(rule), cause, certain))
                if bucket is None:
                    own = rule if cause == rule.cause else rule._replace(cause=cause)
                    bucket = claimed[id(rule), cause, certain] = (own, certain, [])
                bucket[2].append(part)
                sums[certain] += part.size
        for rule, sure, found in claimed.values():
            if sure == "consequence":
                self.record(comparison, where, found, rule)
                continue
            causes.add(rule.cause)
            self.fold(comparison, where, rule, sure, found, evidence)

    def record(self, comparison: Comparison, where: str, changes: list[Change], rule: Rule) -> None:
        """Note changes that follow from contents elsewhere, or from what else differs in the same stream."""
        sources = [source for change in changes for source in self.recorded.get(id(change), [comparison])]
        self._pending.append((len(self.consequences), sources))
        path = f"{comparison.path}!/{where}"
        size = sum(change.size for change in changes)
        self.consequences.append(Consequence(path, (), len(changes), size, rule))

    def judge(self, change: Change, rules: tuple[Rule, ...], evidence: Evidence) -> tuple[Rule | None, str]:
        kind = change.kind
        wanted = "encoding" if change.same else "changed" if kind == "changed" else "one-sided"
        for rule in rules:
            if rule.kind == wanted:
                sure = "origin" if rule.claim is None else rule.claim(change, evidence)
                if sure:
                    return rule, sure
        return None, ""

    def fold(
        self, comparison: Comparison, where: str, rule: Rule, sure: str, changes: list[Change], evidence: Evidence
    ) -> None:
        finding = self.finding(rule.cause, sure)
        finding.count += len(changes)
        finding.bytes += sum(change.size for change in changes)
        finding.claimed.append(Claimed(rule, comparison, where, changes))
        codec = comparison.places[where].codec
        # What is only suspected may be content: a report names every place of it.
        room = EXAMPLES if rule.detail else max(0, EXAMPLES - len(finding.examples))
        examples = []
        for number, change in enumerate(changes if sure == "suspected" else changes[:room]):
            detail = rule.detail if number < EXAMPLES else None
            left, right = detail(change, evidence) if detail else sides(change, codec)
            examples.append(Example(comparison.path_of(where, change.keys), left, right, spans_of(change)))
        # What a rule says of both sides in words tells more than a field's two values.
        both = (examples, finding.examples) if rule.detail else (finding.examples, examples)
        finding.examples = [*both[0], *both[1]]
        if sure != "suspected":
            del finding.examples[EXAMPLES:]
        if codec.show is show_time:
            note_shift(finding, codec, changes)

    def order(
        self, comparison: Comparison, order: Order, rules: tuple[Rule, ...], evidence: Evidence, causes: set[str]
    ) -> None:
        for rule in rules:
            if rule.kind == "moved":
                sure = "origin" if rule.claim is None else rule.claim(order, evidence)
                if sure:
                    finding = self.finding(rule.cause, sure)
                    # One archive, in however many of its tables the order shows.
                    finding.count += all(known is not comparison for _rule, known, _order in finding.orders)
                    finding.orders.append((rule, comparison, order))
                    left, right = rule.detail(order, evidence) if rule.detail else ("", "")
                    path = comparison.path_of(order.where, order.keys)
                    finding.examples.append(Example(path, left, right, (None, None)))
                    causes.add(rule.cause)
                    return
        causes.add(UNEXPLAINED)
        path = comparison.path_of(order.where, order.keys)
        names = [" ".join(show_bytes(key) for key in side[:SHOWN])[:SHOWN] for side in (order.left, order.right)]
        self.unexplained.append(Unexplained(path, "moved", 0, (None, None), names[0], names[1]))

    def through(
        self,
        comparison: Comparison,
        where: str,
        changes: list[Change],
        rules: tuple[Rule, ...],
        evidence: Evidence,
        sums: dict[str, int],
        causes: set[str],
    ) -> None:
        """Payloads whose decoded streams differ follow from what lies inside them."""
        of: set[str] = set()
        total = follow = 0
        for change in changes:
            assert change.inner is not None
            of |= self.stream(change.inner, evidence)
            evidence.where = where
            if _is_partial(change):
                # What lies inside is told above; that it is all that differs is not known.
                spans = spans_of(change)
                path = comparison.path_of(where, change.keys)
                self.unexplained.append(Unexplained(path, change.kind, change.size, spans, "…", "…"))
                sums[UNEXPLAINED] += change.size
                of.add(UNEXPLAINED)
                continue
            self.closed = self.closed or _has_no_encoder(change)
            total += change.size
            follow += 1
            for rule in rules:
                sure = rule.claim(change, evidence) if rule.kind == "encoding" and rule.claim else None
                if sure:
                    # Another encoder as well: its bytes cannot be told from those that follow from the content.
                    self.fold_encoder(comparison, where, rule, sure, change, evidence)
                    of.add(rule.cause)
                    break
        sums["consequence"] += total
        causes |= of
        if follow:
            path = f"{comparison.path}!/{where}"
            self.consequences.append(Consequence(path, tuple(sorted(of)), follow, total))

    def fold_encoder(
        self, comparison: Comparison, where: str, rule: Rule, sure: str, change: Change, evidence: Evidence
    ) -> None:
        finding = self.finding(rule.cause, sure)
        finding.count += 1
        if rule.action is None:
            finding.claimed.append(Claimed(rule, comparison, where, []))
        if len(finding.examples) < EXAMPLES and rule.detail:
            left, right = rule.detail(change, evidence)
            finding.examples.append(Example(comparison.path_of(where, change.keys), left, right, spans_of(change)))

    def finding(self, cause: str, sure: str) -> Finding:
        # What is sure and what is only likely under one name are two findings: neither lends the other its weight.
        key = cause if sure == "origin" else f"{cause}?"
        found = self.findings.get(key)
        if found is None:
            found = self.findings[key] = Finding(cause)
            found.suspected = sure != "origin"
        return found

    def leave(self, comparison: Comparison, where: str, change: Change) -> None:
        codec = comparison.places[where].codec
        left, right = sides(change, codec)
        path = comparison.path_of(where, change.keys)
        pairs = change.spans or ((spans_of(change)),)
        if len(pairs) <= 1:
            spans = pairs[0]
        else:
            spans = (hull(pair[0] for pair in pairs), hull(pair[1] for pair in pairs))
        if change.shown is None and is_long(comparison, where, change):
            left, right = preview(comparison, spans)
        named = ""
        if where == "bytes":
            from reprodiff.describe import kinds

            named = kinds(comparison.left, comparison.right)
        self.unexplained.append(Unexplained(path, change.kind, change.size, spans, left, right, named))


def _is_partial(change: Change) -> bool:
    """Tell whether the bytes of a payload say more than its decoded content."""
    node = change.nodes[0] if change.nodes else None
    return isinstance(node, Leaf) and node.content is not None and node.content.partial


def _has_no_encoder(change: Change) -> bool:
    """Tell whether one of two payloads is encoded and cannot be written again."""
    contents = [node.content for node in change.nodes or () if isinstance(node, Leaf)]
    return any(content is not None and content.encode is None for content in contents)
