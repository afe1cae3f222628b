"""Rewrite a stream by rules: named leaves change, what is derived from them follows, all else is copied.

Two passes over a tree of `Out`: this one decides what each node becomes, the second (`layout`) where it lies and what
is derived from that.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from reprodiff import encoders, formats
from reprodiff.budget import Budget
from reprodiff.codecs import Codec
from reprodiff.errors import FormatError, LimitError
from reprodiff.layout import Layout, Out, Piece, emit, size_of
from reprodiff.rules import (
    UNIFY,
    Contents,
    Drop,
    DropEmpty,
    Number,
    Policy,
    Rederive,
    Reencode,
    Respell,
    Rule,
    Rules,
    Set,
    Sort,
)
from reprodiff.sources import Bytes, Source, spool
from reprodiff.tree import (
    Closed,
    Content,
    Field,
    Group,
    Leaf,
    Node,
    Record,
    Role,
    Table,
    children,
    open_content,
    step,
)

# Payloads in which nothing is to be rewritten: level, encoding, size, hash of the bytes (not one that they record).
_Key: TypeAlias = tuple[int, str, int, int]
Idle: TypeAlias = set[_Key | None]

SMALLEST = 22
LONGEST = 1 << 20


class Rulebook(NamedTuple):
    """What a rewrite is allowed to do.

    rules  format name to its rules, already reduced to those that are wanted
    guard  (format name, source, tree) to the reason why a stream must stay as it is, None where it may change
    idle   remembers, for further rewrites by one policy, payloads in which nothing is to be rewritten
    """

    rules: Callable[[str], Rules]
    guard: Callable[[str, Source, Group], str | None]
    idle: "Idle | None" = None


class Rewritten(NamedTuple):
    """pieces: the new stream, None when nothing changes; notices: (path in the stream, text) of what was left
    alone; causes: ids of the rules that changed something; encoders: names of those that ran; broken: the stream
    itself could not be read as the format that it looks like."""

    pieces: list[Piece] | None
    notices: tuple[tuple[str, str], ...]
    causes: frozenset[str]
    encoders: frozenset[str]
    broken: bool = False


def rewrite(
    source: Source, book: Rulebook, policy: Policy, budget: Budget, level: int = 0, *, always: bool = False
) -> Rewritten:
    """Rewrite a stream and the streams inside it. Raises NormalizeError when an encoder cannot be trusted.

    Bytes that are not understood stay as they are, with a notice where a format broke off. always: lay the stream
    out anew, with what is derived, even where no rule changes it.
    """
    entry = formats.identify(source) if source.size >= SMALLEST and level < budget.depth else None
    if entry is None:
        return Rewritten(None, (), frozenset(), frozenset())
    if formats.load(entry).hunks is not None and not (book.rules(entry.name).acting or always):
        # Nothing lies inside a text, so without a rule for it there is nothing to find.
        return Rewritten(None, (), frozenset(), frozenset())
    try:
        root = formats.parse(entry, source, budget)
    except (FormatError, LimitError) as error:
        return Rewritten(None, ((entry.name, f"left as it is: {error}"),), frozenset(), frozenset(), broken=True)
    reason = book.guard(entry.name, source, root)
    if reason and not isinstance(reason, Contents):
        return Rewritten(None, ((entry.name, f"left as it is: {reason}"),), frozenset(), frozenset())
    rewriter = _Rewriter(source, book, policy, budget, level)
    if reason:
        rewriter.sealed = True
        rewriter.notices.append((f"{entry.name}/contents", f"left as they are: {reason}"))
    return rewriter.run(root, entry.name, always=always)


class _At(NamedTuple):
    """A place, and the rules by which what lies there is dropped, or dropped once it is empty."""

    place: str
    drops: tuple[Rule, ...]
    empties: tuple[Rule, ...]


class _Ruled(NamedTuple):
    """A field of a record that rules may change. stays: values that were seen to stay, whatever the member."""

    field: Field
    rules: tuple[Rule, ...]
    numbered: bool
    stays: set[bytes]


class _Rewriter:
    def __init__(self, source: Source, book: Rulebook, policy: Policy, budget: Budget, level: int) -> None:
        self.source = source
        self.book = book
        self.policy = policy
        self.budget = budget
        self.level = level
        self.rules = Rules(())
        self.layout = Layout(source, budget)
        self.notices = self.layout.notices
        self.causes = self.layout.causes
        self.encoders: set[str] = set()
        self.idle: Idle = set() if book.idle is None else book.idle
        self.known: dict[tuple[int, int, bytes], bytes] = {}
        self.wheres: dict[tuple[Table, str], list[_Ruled]] = {}
        self.places: dict[tuple[str, str], _At] = {}
        # The innermost keyed group around the node at hand, and the row that it stands in.
        self.member: Group | None = None
        self.row: list[Node] = []
        self.numbers: dict[tuple[int, int], tuple[list[Node], dict[int, Any]]] = {}
        self.forced = False
        self.sealed = False
        self.whole = False

    def run(self, root: Group, name: str, *, always: bool) -> Rewritten:
        self.rules = self.book.rules(name)
        self.whole = always
        out = self.group(root, name)
        pieces: list[Piece] | None = None
        if out.changed or self.forced or always:
            self.layout.place(out, 0)
            self.layout.resolve(out)
        if out.changed or self.layout.derived or always:
            pieces = []
            self.layout.collect(out, pieces)
        return Rewritten(pieces, tuple(self.notices), frozenset(self.causes), frozenset(self.encoders))

    def node(self, node: Node, where: str) -> Out:
        if isinstance(node, Group):
            return self.group(node, where)
        out = self.record(node, where) if isinstance(node, Record) else self.leaf(node, where)
        self.layout.outs[id(node)] = out
        return out

    def group(self, group: Group, where: str) -> Out:
        out = Out(group)
        self.layout.outs[id(group)] = out
        if isinstance(group, Closed) and not self.whole and not self.rules.act_below(where):
            out.size = group.stop - group.start
            out.pieces = [(self.source, group.start, group.stop)]
            return out
        nodes = children(group)
        respell: Rule | None = None
        for rule in self.rules.at(where):
            if isinstance(rule.action, Sort):
                nodes = self.sorted(nodes, rule, out)
            elif isinstance(rule.action, Respell) and rule.action.at == where:
                respell = rule
        parts = out.parts = []
        around = self.member, self.row
        for child in nodes:
            if isinstance(child, Group) and child.key is not None:
                self.member, self.row = child, nodes
            place, drops, empties = self.at(where, child)
            if drops and child.stop > child.start and self.drops(child, drops):
                out.changed = True
                continue
            part = self.node(child, place)
            if empties and self.emptied(part, empties):
                out.changed = True
                continue
            parts.append(part)
            if part.changed:
                out.changed = True
        self.member, self.row = around
        if respell is not None:
            self.respell(out, respell)
        return out

    def at(self, where: str, child: Node) -> _At:
        """Return the place of a child, and the rules that drop it."""
        name = step(child)
        found = self.places.get((where, name))
        if found is None:
            place = f"{where}/{name}"
            rules = self.rules.at(place)
            drops = tuple(rule for rule in rules if isinstance(rule.action, Drop))
            empties = tuple(rule for rule in rules if isinstance(rule.action, DropEmpty))
            found = self.places[where, name] = _At(place, drops, empties)
        return found

    def drops(self, node: Node, rules: tuple[Rule, ...]) -> bool:
        for rule in rules:
            if isinstance(rule.action, Drop):
                when = rule.action.when
                if when is None or when(self.source.read(node.start, node.stop), self.policy):
                    self.causes.add(rule.cause)
                    return True
        return False

    def emptied(self, out: Out, rules: tuple[Rule, ...]) -> bool:
        for rule in rules:
            if isinstance(rule.action, DropEmpty) and out.changed:
                child = rule.action.child
                if any(part.node.name == child and part.parts == [] for part in out.parts or ()):
                    return True
        return False

    def sorted(self, nodes: list[Node], rule: Rule, out: Out) -> list[Node]:
        assert isinstance(rule.action, Sort)
        keyed = [node for node in nodes if isinstance(node, Group) and node.key is not None]
        arranged = rule.action.arrange(keyed)
        if arranged == keyed:
            return nodes
        self.causes.add(rule.cause)
        out.changed = True
        rest = iter(arranged)
        return [next(rest) if isinstance(node, Group) and node.key is not None else node for node in nodes]

    def respell(self, out: Out, rule: Rule) -> None:
        """Spell everything before the payload of a group anew."""
        assert isinstance(rule.action, Respell)
        assert out.parts is not None
        count = 0
        for part in out.parts:
            if isinstance(part.node, Leaf) and part.node.role is Role.PAYLOAD:
                break
            count += 1
        for part in out.parts[:count]:
            self.layout.place(part, 0)
            self.layout.resolve(part)
        before: list[Piece] = []
        for part in out.parts[:count]:
            self.layout.collect(part, before)
        old = b"".join(emit(before))
        try:
            new = rule.action.head(old)
        except ValueError:
            return
        if new != old:
            head = Out(Leaf("head", out.node.start, out.node.start))
            head.pieces, head.size, head.changed = [new], len(new), True
            out.parts[:count] = [head]
            out.changed = True
            self.causes.add(rule.cause)

    def record(self, record: Record, where: str) -> Out:
        out = Out(record)
        raw = self.source.read(record.start, record.stop)
        out.size = len(raw)
        patched: bytearray | None = None
        for field, rules, numbered, stays in self.ruled(record.table, where):
            old = raw[field.start : field.stop]
            if old in stays:
                continue
            new = self.value(old, rules, field.codec, field.size)
            if new == old:
                if not numbered:
                    stays.add(old)
            else:
                if patched is None:
                    patched = bytearray(raw)
                patched[field.start : field.stop] = new
        out.changed = patched is not None
        out.pieces = [raw if patched is None else bytes(patched)]
        return out

    def ruled(self, table: Table, where: str) -> list[_Ruled]:
        """Return the fields of a record that rules may change, with those rules."""
        found = self.wheres.get((table, where))
        if found is None:
            free = [field for field in table.fields if field.role is not Role.FIXED and not field.derive]
            pairs = [(field, self.rules.at(f"{where}/{field.name}")) for field in free]
            found = self.wheres[table, where] = [
                _Ruled(field, rules, any(isinstance(rule.action, Number) for rule in rules), set())
                for field, rules in pairs
                if rules
            ]
        return found

    def value(self, old: bytes, rules: tuple[Rule, ...], codec: Codec, size: int) -> bytes:
        """Return the canonical spelling of a value; one that no rule can read stays."""
        for rule in rules:
            if isinstance(rule.action, Set):
                # Records of one name may spell a field in different ways: the codec is part of the question.
                key = (id(rule), id(codec), old)
                new = self.known.get(key)
                if new is None:
                    new = self.known[key] = canonical(old, rule, codec, self.policy, size)
                if new != old:
                    self.causes.add(rule.cause)
                    return new
            elif isinstance(rule.action, Number):
                new = self.numbered(old, rule, codec, size)
                if new != old:
                    self.causes.add(rule.cause)
                    return new
        return old

    def numbered(self, old: bytes, rule: Rule, codec: Codec, size: int) -> bytes:
        """Return the spelling of what a member's place in its row gives; one that cannot be spelled stays."""
        assert isinstance(rule.action, Number)
        found = self.numbers.get((id(rule), id(self.row)))
        if found is None:
            keyed = [node for node in self.row if isinstance(node, Group) and node.key is not None]
            values = rule.action.values(keyed, self.policy)
            # The row is kept, so that nothing else can get its id.
            found = self.row, {id(node): value for node, value in zip(keyed, values, strict=True)}
            self.numbers[id(rule), id(self.row)] = found
        try:
            value = found[1][id(self.member)]
            return old if codec.decode(old) == value and self.policy.mode != UNIFY else codec.encode(value, size)
        except (ValueError, OverflowError, IndexError, KeyError):
            return old

    def leaf(self, leaf: Leaf, where: str) -> Out:
        out = Out(leaf)
        out.size = leaf.stop - leaf.start
        out.pieces = [(self.source, leaf.start, leaf.stop)]
        if leaf.role is Role.PAYLOAD:
            self.payload(leaf, where, out)
        elif leaf.derive is not None:
            for rule in self.rules.at(where):
                if isinstance(rule.action, Rederive) and out.forced is None:
                    out.cause = rule.cause
                    out.forced = rule.action.derive or leaf.derive
                    self.forced = True
        elif leaf.role is not Role.FIXED:
            rules = self.rules.at(where)
            if rules:
                old = self.source.read(leaf.start, leaf.stop)
                new = self.value(old, rules, leaf.codec, -1)
                if new != old:
                    out.pieces, out.size, out.changed = [new], len(new), True
        return out

    def payload(self, leaf: Leaf, where: str, out: Out) -> None:
        reencode = next((rule for rule in self.rules.at(where) if isinstance(rule.action, Reencode)), None)
        forced = reencode is not None and self.policy.mode == UNIFY
        if not forced and (self.sealed or not self.may_change(leaf)):
            return
        key, raw = (None, b"") if forced else self.key(leaf)
        if key in self.idle:
            return
        if key and leaf.content and self.is_idle(raw, leaf.content):
            self.idle.add(key)
            return
        try:
            source = open_content(self.source, leaf, self.budget)
        except (FormatError, LimitError) as error:
            self.notices.append((where, f"left as it is: {error}"))
            return
        if self.sealed:
            found = Rewritten(None, (), frozenset(), frozenset())
        else:
            found = rewrite(source, self.book, self.policy, self.budget, self.level + 1)
            if key and found.pieces is None and not found.notices:
                self.idle.add(key)
        self.notices += [(f"{where}!/{path}", text) for path, text in found.notices]
        if found.pieces is None and not (forced and leaf.content):
            return
        decoded: list[Piece] = [(source, 0, source.size)] if found.pieces is None else found.pieces
        if leaf.content is None:
            self.causes.update(found.causes)
            out.pieces, out.size, out.changed = decoded, size_of(decoded), True
            out.decoded = decoded
            return
        if leaf.content.encode is None:
            self.notices.append((where, f"left as it is: there is no encoder for {leaf.content.name}"))
            return
        self.causes.update(found.causes)
        self.encoders |= {leaf.content.encode, *found.encoders}
        encoded = encode(leaf.content.encode, emit(decoded), self.budget)
        if found.pieces is None and reencode and not _same_pieces(encoded, self.source, leaf):
            self.causes.add(reencode.cause)
        elif found.pieces is None:
            return
        out.pieces, out.size, out.changed = [(encoded, 0, encoded.size)], encoded.size, True
        out.decoded = decoded

    def key(self, leaf: Leaf) -> tuple[_Key | None, bytes]:
        """Return what a payload is known by, None where more than its bytes decides what it holds, and these bytes."""
        size = leaf.stop - leaf.start
        if size > LONGEST or (leaf.content is not None and leaf.content.peek is None):
            return None, b""
        raw = self.source.read(leaf.start, leaf.stop)
        return (self.level, leaf.content.name if leaf.content else "", size, hash(raw)), raw

    def is_idle(self, raw: bytes, content: Content) -> bool:
        """Tell from the first bytes that no rule acts on what a payload holds: most members need not be decoded."""
        assert content.peek is not None
        try:
            head, whole = content.peek(raw)
            entry = formats.identify(Bytes(head) if whole else formats.Head(head), head)
        except (FormatError, formats.BehindError):
            return False
        return entry is None or (formats.load(entry).hunks is not None and not self.book.rules(entry.name).acting)

    def may_change(self, leaf: Leaf) -> bool:
        """Tell without decoding whether a payload could hold something to rewrite."""
        if leaf.content is not None:
            return True
        return leaf.stop - leaf.start >= SMALLEST


def canonical(old: bytes, rule: Rule, codec: Codec, policy: Policy, size: int) -> bytes:
    """Return what a rule's `Set` makes of a field's bytes; bytes that the codec cannot read or spell stay."""
    assert isinstance(rule.action, Set)
    try:
        value = codec.decode(old)
        new = rule.action.value(value, policy)
        if new == value and policy.mode != UNIFY and not rule.action.respell:
            return old
        return codec.encode(new, size)
    except (ValueError, OverflowError, IndexError):
        return old


def encode(name: str, data: Iterator[bytes], budget: Budget) -> Source:
    """Encode a stream with the canonical encoder of that name. Raises NormalizeError when this host's library
    gives other bytes than the documented ones."""
    encoders.check(name)
    encoder: Mapping[str, Callable[[Iterator[bytes]], Iterator[bytes]]] = {
        "deflate": encoders.deflate,
        "xz": encoders.xz,
        "bzip2": encoders.bzip2,
        "zstd": encoders.zstd,
    }
    return spool(encoder[name](data), budget)


def _same_pieces(encoded: Source, source: Source, leaf: Leaf) -> bool:
    if encoded.size != leaf.stop - leaf.start:
        return False
    return encoded.read(0, encoded.size) == source.read(leaf.start, leaf.stop)
