"""Give every change its cause, where a rule can justify one, and account for every differing byte."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from reprodiff.codecs import RAW, Codec, show_bytes, show_time
from reprodiff.compare import Change, Comparison, Notice, Order
from reprodiff.digests import Digests, followed
from reprodiff.rules import Rule, Rules
from reprodiff.sources import Source
from reprodiff.spans import Span
from reprodiff.tree import Group, Leaf, Node, Record, Table, children

if TYPE_CHECKING:
    from reprodiff.shared import Shared

T = TypeVar("T")
EXAMPLES = 3
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

    recorded: whether checksums of differing contents are recorded in other contents, where no rewrite follows them,
    or contents differ inside payloads that no encoder can write again.
    """

    findings: dict[str, Finding]
    consequences: list[Consequence]
    unexplained: list[Unexplained]
    accounts: list[Account]
    notices: list[Notice]
    recorded: bool
    spans: dict[str, list[tuple[Span | None, Span | None]]]

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


class Evidence:
    """What a rule's claim may look at: the stream pair around a change."""

    def __init__(self, comparison: Comparison, outer: "Evidence | None", run: "_Run") -> None:
        self.comparison = comparison
        self.outer = outer
        self.run = run
        self.where = ""
        self._known: dict[Callable[..., Any], Any] = {}
        self._rows: dict[str, list[tuple[bytes, _Row, _Row]]] = {}

    def once(self, find: Callable[["Evidence"], T]) -> T:
        """Return find(self), computed once for this stream pair."""
        if find not in self._known:
            self._known[find] = find(self)
        found: T = self._known[find]
        return found

    def values(self, change: Change) -> tuple[Any, Any] | None:
        """Return both decoded values of a change, None where a side is absent or unreadable."""
        codec = self.comparison.places[self.where].codec
        if change.left is None or change.right is None:
            return None
        try:
            return codec.decode(change.left), codec.decode(change.right)
        except (ValueError, IndexError):
            return None

    def members(self, record: str, field: str) -> Iterator[tuple[bytes, Any, Any]]:
        """Yield (key, left value, right value) of a record's field for all aligned members of the stream."""
        known: dict[tuple[Table, bytes], Any] = {}
        for key, left, right in self._records(record):
            one, two = _value(left, field, known), _value(right, field, known)
            if one is not None and two is not None:
                yield key, one, two

    def _records(self, name: str) -> "list[tuple[bytes, _Row, _Row]]":
        """Return key, and table and bytes of both sides' record of that name, for all aligned members that have it."""
        rows = self._rows.get(name)
        if rows is None:
            rows = self._rows[name] = []
            for one, two in self.comparison.members:
                left, right = _row(self.comparison.left, one, name), _row(self.comparison.right, two, name)
                if left is not None and right is not None:
                    rows.append((one.key or b"", left, right))
        return rows

    def payload(self, side: int, member: Group) -> bytes | None:
        """Return the stored payload of a member of one side, 0 for left, None where it has none."""
        return payload_of((self.comparison.left, self.comparison.right)[side], member)

    def follows_from(self, change: Change) -> bool:
        """Tell whether all that differs are recorded digests and sizes of contents that differ as well."""
        if change.left is None or change.right is None:
            return False
        found = followed(change.left, change.right, self.run.digests)
        if found:
            self.run.recorded[id(change)] = found
        return bool(found)

    def follows_rest(self, change: Change) -> None:
        """Note that a change follows from all else that differs in its stream, for a claim of "consequence"."""
        self.run.recorded[id(change)] = [self.comparison]

    @property
    def shared(self) -> "Shared":
        """What the whole pair of artifacts shares: build roots."""
        return self.run.shared()

    def twin(self, change: Change) -> bytes | None:
        """Return the key of a member that the other side alone has and whose content is the same."""
        return self.once(_twins).get((change.kind, change.keys))


_Row = tuple[Table, bytes]


def _row(source: Source, group: Group, name: str) -> _Row | None:
    for node in children(group):
        if isinstance(node, Record) and node.name == name:
            return node.table, source.read(node.start, node.stop)
    return None


def _value(row: _Row, name: str, known: dict[tuple[Table, bytes], Any]) -> Any:
    """Return the decoded value of a field of a record, None where it has none or it cannot be read."""
    table, whole = row
    field = table.by_name.get(name)
    if field is None:
        return None
    raw = whole[field.start : field.stop]
    if (table, raw) not in known:
        try:
            known[table, raw] = field.codec.decode(raw)
        except (ValueError, IndexError):
            known[table, raw] = None
    return known[table, raw]


def payload_of(source: Source, node: Node | None) -> bytes | None:
    """Return the stored payload of a member as bytes, None where it has none."""
    if isinstance(node, Group):
        for child in children(node):
            if child.name in {"content", "data"}:
                return source.read(child.start, child.stop)
    return None


def _twins(evidence: Evidence) -> dict[tuple[str, tuple[bytes, ...]], bytes]:
    """Match members of one side alone by content: exactly one on each side."""
    sides: dict[str, dict[bytes, list[Change]]] = {"left": {}, "right": {}}
    comparison = evidence.comparison
    for where, changes in comparison.changes.items():
        if not where.endswith("[*]"):
            continue
        for change in changes:
            if change.kind in sides and change.nodes is not None:
                left = change.kind == "left"
                source = comparison.left if left else comparison.right
                content = payload_of(source, change.nodes[0 if left else 1])
                if content:
                    sides[change.kind].setdefault(content, []).append(change)
    twins = {}
    for content, lefts in sides["left"].items():
        rights = sides["right"].get(content, [])
        if len(lefts) == len(rights) == 1:
            twins["left", lefts[0].keys] = rights[0].keys[-1]
            twins["right", rights[0].keys] = lefts[0].keys[-1]
    return twins


def explain(top: Comparison, rules_for: Callable[[str], Rules]) -> Explanation:
    """Ask the rules about every change of a comparison and of all inside it."""
    run = _Run(rules_for, top)
    run.stream(top, None)
    run.settle()
    recorded = bool(run.recorded) or run.closed
    return Explanation(
        run.findings, run.consequences, run.unexplained, run.accounts, run.notices, recorded, run.spans
    )


class _Run:
    def __init__(self, rules_for: Callable[[str], Rules], top: Comparison) -> None:
        self.rules_for = rules_for
        self.top = top
        self.findings: dict[str, Finding] = {}
        self.consequences: list[Consequence] = []
        self.unexplained: list[Unexplained] = []
        self.accounts: list[Account] = []
        self.notices: list[Notice] = []
        self.spans: dict[str, list[tuple[Span | None, Span | None]]] = {}
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

    def stream(self, comparison: Comparison, outer: Evidence | None) -> set[str]:
        """Explain one stream and those inside it; returns the causes, with `unexplained` among them if any is."""
        rules = self.rules_for(comparison.format)
        evidence = Evidence(comparison, outer, self)
        slot = len(self.accounts)
        self.accounts.append(Account(comparison.path, 0, 0, 0, 0, 0))
        self.notices += comparison.notices
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
            self.spans.setdefault(comparison.path, []).append(spans)
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
        claimed: dict[tuple[int, str], tuple[Rule, str, list[Change]]] = {}
        for change in changes:
            rule, sure = self.judge(change, rules, evidence)
            if rule is None:
                self.leave(comparison, where, change)
                sums[UNEXPLAINED] += change.size
                causes.add(UNEXPLAINED)
                continue
            bucket = claimed.get((id(rule), sure))
            if bucket is None:
                bucket = claimed[id(rule), sure] = (rule, sure, [])
            bucket[2].append(change)
            sums[sure] += change.size
        for rule, sure, found in claimed.values():
            if sure == "consequence":
                self.record(comparison, where, found)
                continue
            causes.add(rule.cause)
            self.fold(comparison, where, rule, sure, found, evidence)

    def record(self, comparison: Comparison, where: str, changes: list[Change]) -> None:
        """Note changes that follow from contents elsewhere, or from what else differs in the same stream."""
        sources = [source for change in changes for source in self.recorded.get(id(change), [comparison])]
        self._pending.append((len(self.consequences), sources))
        path = f"{comparison.path}!/{where}"
        self.consequences.append(Consequence(path, (), len(changes), sum(change.size for change in changes)))

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
            _shift(finding, codec, changes)

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
                self.spans.setdefault(comparison.path, []).append(spans)
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
        self.spans.setdefault(comparison.path, []).extend(pairs)
        if len(pairs) <= 1:
            spans = pairs[0]
        else:
            spans = (_hull(pair[0] for pair in pairs), _hull(pair[1] for pair in pairs))
        if change.shown is None and _is_long(comparison, where, change):
            left, right = _preview(comparison, spans)
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


def _hull(spans: Iterator[Span | None]) -> Span:
    found = [span for span in spans if span is not None]
    return found[0][0], found[-1][1]


def _is_long(comparison: Comparison, where: str, change: Change) -> bool:
    """Tell whether the start of the bytes of both sides says little about where they differ."""
    if change.kind != "changed" or not change.size:
        return False
    if where == "bytes":
        return change.left is not None and change.right is not None
    raw = comparison.roots is not None and comparison.places[where].codec is RAW
    return raw and change.inner is None and max(change.l1 - change.l0, change.r1 - change.r0) > SHOWN


def _preview(comparison: Comparison, spans: tuple[Span | None, Span | None]) -> tuple[str, str]:
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


def _shift(finding: Finding, codec: Codec, changes: list[Change]) -> None:
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
