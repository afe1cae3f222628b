"""What a rule's claim may look at: the stream pair around a change, its members, and what the whole pair shares."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from reprodiff.comparison import Change, Comparison
from reprodiff.digests import Digests, followed
from reprodiff.sources import Source
from reprodiff.tree import Group, Node, Record, Table, children

if TYPE_CHECKING:
    from reprodiff.shared import Shared

T = TypeVar("T")


class Run(Protocol):
    """One explanation under way, as far as evidence needs it.

    recorded: by id of a change, the comparisons that it follows from"""

    recorded: dict[int, list[Comparison]]

    def digests(self) -> Digests:
        """Return the digests of all contents that differ."""

    def shared(self) -> "Shared":
        """Return what was inferred for the whole pair."""


class Evidence:
    """What a rule's claim may look at: the stream pair around a change, and what it lies in (None: in nothing)."""

    def __init__(self, comparison: Comparison, run: Run, outer: "Evidence | None" = None) -> None:
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
