"""Walk two trees of one format side by side, and put down what differs."""

from collections.abc import Callable
from typing import TypeAlias

from reprodiff import formats
from reprodiff.align import Aligned, align
from reprodiff.budget import Budget
from reprodiff.codecs import RAW, Codec, name_text
from reprodiff.comparison import (
    PIECE,
    Change,
    Comparison,
    Notice,
    Order,
    Place,
    Tally,
    both,
    measure,
    measure_ends,
)
from reprodiff.derived import holds
from reprodiff.errors import FormatError, LimitError, MissingLibraryError
from reprodiff.sources import Slice, Source, same
from reprodiff.spans import Differing, Span, differing
from reprodiff.tree import (
    Field,
    Group,
    Leaf,
    Linked,
    Node,
    Record,
    Role,
    Table,
    children,
    fields,
    open_content,
    step,
)

# (left, right, path, budget, level) to the comparison of two streams, None where they are equal
Compare: TypeAlias = Callable[[Source, Source, str, Budget, int], Comparison | None]

KEPT = 1 << 16
SHORT = 32
# Fields of a record that are compared at once: most records that differ do in one or two.
BLOCK = 4


def trouble(error: FormatError | LimitError) -> str:
    """Return the kind of notice that an error makes."""
    if isinstance(error, MissingLibraryError):
        return "missing-library"
    return "limit" if isinstance(error, LimitError) else "damaged"


def encoding(leaf: Leaf) -> str:
    """Return the name of a payload's encoding: equal bytes under two encodings are two contents."""
    return leaf.content.name if leaf.content is not None else ""


class Walk:
    """Walks two trees of one format side by side and fills a Comparison."""

    def __init__(
        self, found: Comparison, budget: Budget, compare: Compare, described: formats.Format | None = None
    ) -> None:
        self.compare = compare
        self.quick = described.quick if described is not None else None
        self.found = found
        self.budget = budget
        self.left = found.left
        self.right = found.right
        self.values: dict[bytes, bytes] = {}
        self.wheres: dict[tuple[Table, str], list[tuple[int, int, list[tuple[int, int, Field, str]]]]] = {}
        # What was aligned so far outside of members, and of it, once it is asked for, twins by identity.
        self.rows: list[list[tuple[Node, Node]]] = []
        self.alike = False
        self.lefts: dict[int, Node] = {}
        self.rights: dict[int, Node] = {}

    def groups(self, left: Group, right: Group, where: str, keys: tuple[bytes, ...]) -> None:
        aligned = align(children(left), children(right))
        if self.budget.exclude is not None:
            aligned = self.included(aligned)
        if not keys:
            self.rows.append(aligned.pairs)
            self.alike = self.alike or aligned.alike
        for one, two in aligned.pairs:
            self.nodes(one, two, f"{where}/{step(one)}", keys)
        for node in aligned.left:
            self.alone(node, None, f"{where}/{step(node)}", keys)
        for node in aligned.right:
            self.alone(None, node, f"{where}/{step(node)}", keys)
        if aligned.moved:
            self.order(aligned.pairs, where, keys)

    def twins(self, one: Group | None, two: Group | None) -> bool:
        """Tell whether two groups were aligned with each other, or neither of them with any."""
        if one is None or two is None:
            return one is two
        if one.key == two.key and one.name == two.name and not self.alike:
            return True
        for pairs in self.rows:
            self.lefts.update((id(left), right) for left, right in pairs)
            self.rights.update((id(right), left) for left, right in pairs)
        self.rows = []
        return self.lefts.get(id(one), two) is two and self.rights.get(id(two), one) is one

    def stray(self, one: Linked, two: Linked, where: str, keys: tuple[bytes, ...]) -> None:
        """Note two groups that say the same of what does not correspond, whatever bytes say it."""
        change = Change(keys, one.start, one.stop, two.start, two.stop, None, None, 0)
        change.nodes = (one, two)
        change.shown = _about(one.target), _about(two.target)
        self.change(where, change, Role.VALUE, RAW)

    def included(self, aligned: Aligned) -> Aligned:
        """Leave out what is not to be compared, and count it."""

        def wanted(node: Node) -> bool:
            exclude = self.budget.exclude
            if exclude is None or not isinstance(node, Group) or node.key is None or not exclude(node.key):
                return True
            self.budget.excluded += 1
            return False

        pairs = [pair for pair in aligned.pairs if wanted(pair[0])]
        left, right = [n for n in aligned.left if wanted(n)], [n for n in aligned.right if wanted(n)]
        return Aligned(pairs, left, right, aligned.moved)

    def nodes(self, one: Node, two: Node, where: str, keys: tuple[bytes, ...]) -> None:
        if isinstance(one, Group) and isinstance(two, Group):
            if one.key is not None:
                keys = (*keys, one.key)
                self.found.members.append((one, two))
                self.budget.check_time()
                if isinstance(one, Linked) and isinstance(two, Linked) and not self.twins(one.target, two.target):
                    self.stray(one, two, where, keys)
                if self.quick is not None and self.quick(self, one, two, where, keys):
                    return
            if (isinstance(one, Linked) and one.target is None) or not self.equal(one, two):
                self.groups(one, two, where, keys)
        elif isinstance(one, Record) and isinstance(two, Record):
            self.records(one, two, where, keys)
        elif isinstance(one, Leaf) and isinstance(two, Leaf):
            if not self.equal(one, two) or encoding(one) != encoding(two):
                self.leaves(one, two, where, keys)
        else:
            self.alone(one, None, where, keys)
            self.alone(None, two, where, keys)

    def equal(self, one: Node, two: Node) -> bool:
        size = one.stop - one.start
        if size != two.stop - two.start:
            return False
        at = 0
        while at < size:
            stop = min(at + PIECE, size)
            if self.left.read(one.start + at, one.start + stop) != self.right.read(two.start + at, two.start + stop):
                return False
            at = stop
        return True

    def records(self, one: Record, two: Record, where: str, keys: tuple[bytes, ...]) -> None:
        a, b = self.left.read(one.start, one.stop), self.right.read(two.start, two.stop)
        if a == b and one.table is two.table:
            return
        if one.table is not two.table:
            self.other_tables(one, two, where, keys)
            return
        self.fields(one, two, a, b, where, keys)

    def fields(self, one: Record, two: Record, a: bytes, b: bytes, where: str, keys: tuple[bytes, ...]) -> None:
        blocks = self.wheres.get((one.table, where))
        if blocks is None:
            places = [(f.start, f.stop, f, f"{where}/{f.name}") for f in one.table.fields]
            parts = [places[at : at + BLOCK] for at in range(0, len(places), BLOCK)]
            blocks = self.wheres[one.table, where] = [(part[0][0], part[-1][1], part) for part in parts]
        for first, last, part in blocks:
            if a[first:last] == b[first:last]:
                continue
            for start, stop, field, place in part:
                x, y = a[start:stop], b[start:stop]
                if x == y:
                    continue
                size = stop - start if stop - start == 1 else sum(map(int.__ne__, x, y))
                change = Change(
                    keys, one.start + start, one.start + stop, two.start + start, two.start + stop, x, y, size
                )
                derive = field.derive
                if derive and (
                    holds(self.left, derive, x, a, one.refs, self.budget)
                    and holds(self.right, derive, y, b, two.refs, self.budget)
                ):
                    self.follow(place, change, field.codec)
                else:
                    self.change(place, change, Role.VALUE if derive else field.role, field.codec)

    def other_tables(self, one: Record, two: Record, where: str, keys: tuple[bytes, ...]) -> None:
        aligned = align(list(fields(one)), list(fields(two)))
        for left, right in aligned.pairs:
            if not self.equal(left, right):
                assert isinstance(left, Leaf) and isinstance(right, Leaf)
                whole = self.left.read(one.start, one.stop), self.right.read(two.start, two.stop)
                self.leaves(left, right, f"{where}/{left.name}", keys, whole)
        # What one table has and the other has not lies in the same places: blank under both, it does not differ.
        if self.bytes_of(self.left, aligned.left) == self.bytes_of(self.right, aligned.right):
            return
        for left in aligned.left:
            self.alone(left, None, f"{where}/{step(left)}", keys)
        for right in aligned.right:
            self.alone(None, right, f"{where}/{step(right)}", keys)

    @staticmethod
    def bytes_of(source: Source, nodes: list[Node]) -> bytes:
        return b"".join(source.read(node.start, node.stop) for node in nodes)

    def leaves(
        self, one: Leaf, two: Leaf, where: str, keys: tuple[bytes, ...], whole: tuple[bytes, bytes] | None = None
    ) -> None:
        if one.role is Role.PAYLOAD and two.role is Role.PAYLOAD:
            self.payloads(one, two, where, keys)
            return
        a, b = self.left.read(one.start, one.stop), self.right.read(two.start, two.stop)
        change = self.changed(one, two, keys, a, b)
        change.nodes = (one, two)
        # Two ways to derive it (another record size) are a difference, whatever each side holds.
        if one.derive and one.derive is two.derive:
            left, right = whole or (a, b)
            if holds(self.left, one.derive, a, left, one.refs, self.budget) and holds(
                self.right, two.derive, b, right, two.refs, self.budget
            ):
                self.follow(where, change, one.codec)
                return
        # Two dialects spell a value in two ways: neither's codec can read both.
        codec = one.codec if one.codec.decode == two.codec.decode else RAW
        self.change(where, change, Role.VALUE if one.derive else one.role, codec)

    def changed(self, one: Node, two: Node, keys: tuple[bytes, ...], a: bytes, b: bytes) -> Change:
        where_differs = differing(a, b)
        kept = len(a) <= KEPT and len(b) <= KEPT
        change = Change(
            keys, one.start, one.stop, two.start, two.stop, a if kept else None, b if kept else None, where_differs.size
        )
        change.spans = tuple(
            ((one.start + p, one.start + q), (two.start + r, two.start + s)) for (p, q), (r, s) in where_differs.spans
        )
        return change

    def payloads(self, one: Leaf, two: Leaf, where: str, keys: tuple[bytes, ...]) -> None:
        """Compare what two payloads hold; equal contents leave the encoding as the change."""
        path = self.found.path_of(where.removesuffix("/content"), keys)
        change = Change(keys, one.start, one.stop, two.start, two.stop, None, None, 0)
        change.nodes = (one, two)
        size = one.stop - one.start + two.stop - two.start
        try:
            left, right = both(
                lambda: open_content(self.left, one, self.budget),
                lambda: open_content(self.right, two, self.budget),
                size,
            )
        except (FormatError, LimitError) as error:
            self.found.notices.append(Notice(trouble(error), path, str(error)))
            where_differs = self.measured(one, two)
            change.size, change.spans = where_differs.size, where_differs.spans
            self.change(where, change, Role.PAYLOAD, one.codec)
            return
        inner = self.compare(left, right, path, self.budget, self.found.level + 1)
        if inner is not None and inner.empty and self.budget.exclude is not None:
            return
        if inner is not None and one.content is None and two.content is None:
            # A stored payload's bytes are counted by the comparison of the stream that they are.
            change.size = (
                inner.differing if one.stop - one.start == two.stop - two.start else self.measured(one, two).size
            )
        else:
            change.size = self.measured(one, two).size
        if inner is None and self.equal(one, two):
            return
        if inner is None:
            change.spans = (((one.start, one.stop), (two.start, two.stop)),)
            change.same = True
            self.change(where, change, Role.PAYLOAD, one.codec)
            return
        change.inner = inner
        self.found.inner.append(inner)
        self.found.through.setdefault(where, []).append(change)
        self.found.differing += change.size

    def measured(self, one: Leaf, two: Leaf) -> Differing:
        """Encoded bytes have no counterpart on the other side: between common prefix and suffix all of them count."""
        left, right = Slice(self.left, one.start, one.stop), Slice(self.right, two.start, two.stop)
        if one.content is None and two.content is None:
            found = measure(left, right)
        else:
            found = measure_ends(left, right)
        return Differing(
            found.size,
            tuple(((one.start + p, one.start + q), (two.start + r, two.start + s)) for (p, q), (r, s) in found.spans),
        )

    def alone(self, one: Node | None, two: Node | None, where: str, keys: tuple[bytes, ...]) -> None:
        node = one or two
        if node is None or node.stop == node.start:
            return
        if isinstance(node, Group) and node.key is not None:
            keys = (*keys, node.key)
        size = node.stop - node.start
        left = self.left.read(one.start, one.stop) if one and size <= KEPT else None
        right = self.right.read(two.start, two.stop) if two and size <= KEPT else None
        l0, l1 = (one.start, one.stop) if one else (-1, -1)
        r0, r1 = (two.start, two.stop) if two else (-1, -1)
        change = Change(keys, l0, l1, r0, r1, left, right, size)
        change.nodes = (one, two)
        self.change(where, change, node.role if isinstance(node, Leaf) else Role.VALUE, RAW)

    def change(self, where: str, change: Change, role: Role, codec: Codec) -> None:
        if change.left is not None and change.right is not None and len(change.left) <= SHORT:
            change.left = self.values.setdefault(change.left, change.left)
            change.right = self.values.setdefault(change.right, change.right)
        changes = self.found.changes.get(where)
        if changes is None:
            changes = self.found.changes[where] = []
            self.found.places[where] = Place(role, codec)
        change.codec = codec
        changes.append(change)
        self.found.differing += change.size

    def follow(self, where: str, change: Change, codec: Codec) -> None:
        tally = self.found.follows.get(where)
        if tally is None:
            tally = self.found.follows[where] = Tally(change)
            self.found.places[where] = Place(Role.DERIVED, codec)
        tally.count += 1
        tally.bytes += change.size
        self.found.differing += change.size

    def put(
        self,
        where: str,
        keys: tuple[bytes, ...],
        left: Span | None,
        right: Span | None,
        codec: Codec,
        *,
        runs: list[tuple[Span, Span]] | None = None,
        shown: tuple[str, str] | None = None,
    ) -> None:
        if left is None or right is None:
            span = left or right or (0, 0)
            size = span[1] - span[0]
            data = (self.right if left is None else self.left).read(*span) if size <= KEPT else None
            ends = (left or (-1, -1)) + (right or (-1, -1))
            change = Change(keys, *ends, None if left is None else data, None if right is None else data, size)
        elif runs is None:
            change = self.between(keys, left, right)
        else:
            size = sum(max(one[1] - one[0], two[1] - two[0]) for one, two in runs)
            change = Change(keys, *left, *right, None, None, size)
            change.spans = tuple(runs)
        change.shown = shown
        self.change(where, change, Role.VALUE, codec)

    def value(
        self, where: str, keys: tuple[bytes, ...], at: Span, left: bytes, right: bytes, codec: Codec,
        *, follows: bool = False,
    ) -> None:  # fmt: skip
        differing_bytes = sum(map(int.__ne__, left, right))
        tally = self.found.follows.get(where) if follows else None
        if tally is not None:
            tally.count += 1
            tally.bytes += differing_bytes
            self.found.differing += differing_bytes
            return
        size = len(left)
        change = Change(keys, at[0], at[0] + size, at[1], at[1] + size, left, right, differing_bytes)
        if follows:
            self.follow(where, change, codec)
        else:
            self.change(where, change, Role.VALUE, codec)

    def put_follow(self, where: str, keys: tuple[bytes, ...], left: Span, right: Span, codec: Codec) -> None:
        self.follow(where, self.between(keys, left, right), codec)
        self.found.moved = True

    def put_follows(self, where: str, count: int, size: int, left: Span, right: Span) -> None:
        first = self.between((), left, right)
        first.size = 0
        self.follow(where, first, RAW)
        tally = self.found.follows[where]
        tally.count += count - 1
        tally.bytes += size
        self.found.differing += size
        self.found.moved = True

    def put_order(self, where: str, left: list[bytes], right: list[bytes]) -> None:
        self.found.orders.append(Order(where, (), left, right))

    def enter(self, one: Leaf, two: Leaf, where: str, left: Source, right: Source) -> "Walk | None":
        change = Change((), one.start, one.stop, two.start, two.stop, None, None, self.measured(one, two).size)
        change.nodes = (one, two)
        if same(left, right):
            change.spans = (((one.start, one.stop), (two.start, two.stop)),)
            change.same = True
            self.change(where, change, Role.PAYLOAD, RAW)
            return None
        inner = Comparison(self.found.path_of(where.removesuffix("/content"), ()), left, right)
        inner.format, inner.level = self.found.format, self.found.level + 1
        inner.part = True
        change.inner = inner
        self.found.inner.append(inner)
        self.found.through.setdefault(where, []).append(change)
        self.found.differing += change.size
        return Walk(inner, self.budget, self.compare)

    def notice(self, kind: str, text: str) -> None:
        self.found.notices.append(Notice(kind, self.found.path, text))

    def between(self, keys: tuple[bytes, ...], left: Span, right: Span) -> Change:
        """Return the change of two spans that correspond."""
        a, b = self.left.read(*left), self.right.read(*right)
        return self.changed(Leaf("span", *left), Leaf("span", *right), keys, a, b)

    def order(self, pairs: list[tuple[Node, Node]], where: str, keys: tuple[bytes, ...]) -> None:
        """Note the order of the children that both sides have; a move itself has no bytes."""
        keyed = [pair for pair in pairs if isinstance(pair[0], Group) and pair[0].key is not None]
        # Members are what has an order of its own; parts without a key count where those stand as they did.
        for some in (keyed, pairs):
            right = sorted((two for _one, two in some), key=lambda node: node.start)
            if [two for _one, two in some] != right:
                pairs = some
                break
        else:
            return
        self.found.orders.append(
            Order(
                where,
                keys,
                [_label(one) for one, _two in pairs],
                [_label(two) for two in right],
            )
        )


def _about(node: Group | None) -> str:
    return "of nothing" if node is None else f"of {name_text(_label(node))} at {node.start}"


def _label(node: Node) -> bytes:
    key = node.key if isinstance(node, Group) else None
    return node.name.encode() if key is None else key
