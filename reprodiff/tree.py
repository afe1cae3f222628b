"""The tree of a stream: a stream is the concatenation of its leaves.

A format describes its bytes as `Group` (children made on demand), `Record` (fixed layout, a static table of
fields) and `Leaf`. Comparing, explaining, proving and rewriting all walk this one description.
"""

from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import Any, NamedTuple, Protocol, TypeAlias

from reprodiff.budget import Budget
from reprodiff.codecs import RAW, Codec
from reprodiff.sources import Slice, Source


class Role(Enum):
    """What the bytes of a leaf are to the stream."""

    FIXED = "fixed"
    VALUE = "value"
    DERIVED = "derived"
    PAYLOAD = "payload"
    GAP = "gap"


class Refs(Protocol):
    """What a DERIVED leaf may ask about the nodes that it was bound to, in the original or a rewritten stream."""

    def size(self, name: str, /) -> int:
        """Size in bytes of the bound node."""

    def offset(self, name: str, /) -> int:
        """Offset in bytes of the bound node from the start of the stream."""

    def raw(self, name: str, /) -> bytes:
        """The bytes of the bound node."""

    def decoded(self, name: str, /) -> Iterator[bytes]:
        """The decoded content of the bound PAYLOAD leaf."""

    def decoded_size(self, name: str, /) -> int:
        """Size in bytes of the decoded content of the bound PAYLOAD leaf."""

    def changed(self, name: str, /) -> bool:
        """Whether the bound node differs from the original stream; False also where it was dropped and never was."""

    def has(self, name: str, /) -> bool:
        """Whether a node is bound under that name and still in the stream."""


# (current bytes of the leaf or of its whole record, refs) -> bytes of the leaf
Derive: TypeAlias = Callable[[bytes, Refs], bytes]


class Field:
    """One row of a specification's table: `size` bytes in the byte order of the codec."""

    __slots__ = ("codec", "derive", "name", "role", "size", "start", "stop")

    def __init__(
        self, name: str, size: int, codec: Codec = RAW, role: Role = Role.VALUE, derive: Derive | None = None
    ) -> None:
        self.name = name
        self.size = size
        self.codec = codec
        self.role = role
        self.derive = derive
        self.start = 0
        self.stop = 0


class Table:
    """The layout of a record: fields in order, each at the end of the one before. A Field belongs to one Table."""

    __slots__ = ("by_name", "derived", "fields", "size")

    def __init__(self, *fields: Field) -> None:
        at = 0
        for field in fields:
            field.start, field.stop = at, at + field.size
            at = field.stop
        self.size = at
        self.fields = fields
        self.by_name = {field.name: field for field in fields}
        # In the order in which they must be computed: a checksum over the record comes after what it covers.
        self.derived = tuple(field for field in fields if field.derive)


class Traits(NamedTuple):
    """What encoded bytes show of how they were made: what the encoder was told, whatever the content is, and what
    may as well follow from the content (sizes, counts). Name to value, both for people."""

    settings: Mapping[str, str]
    loose: Mapping[str, str] = {}


class Content(NamedTuple):
    """How a PAYLOAD leaf encodes another stream.

    encode   name of the encoder that can write it again, if any
    layout   the encoded bytes partitioned as their specification names them, for people to inspect: comparing and
             rewriting take the leaf as one, because an encoder writes it as one
    traits   what shows of the encoder and its settings
    partial  the inner stream says less than the bytes do: where these differ, that does not follow from it alone
    peek     encoded bytes to the first ones of what they decode to, and whether that is all; for contents that follow
             from their bytes alone. Raises FormatError
    """

    name: str
    open: Callable[[Budget], Source]
    encode: str | None = None
    layout: "Callable[[], list[Node]] | None" = None
    traits: Callable[[], Traits] | None = None
    partial: bool = False
    peek: Callable[[bytes], tuple[bytes, bool]] | None = None


class Leaf:
    """The smallest named span. `content` is None for a payload that is stored as it is."""

    __slots__ = ("codec", "content", "derive", "name", "refs", "role", "start", "stop")

    def __init__(
        self,
        name: str,
        start: int,
        stop: int,
        role: Role = Role.VALUE,
        codec: Codec = RAW,
        *,
        content: Content | None = None,
        derive: Derive | None = None,
        refs: Mapping[str, "Node"] | None = None,
    ) -> None:
        self.name = name
        self.start = start
        self.stop = stop
        self.role = role
        self.codec = codec
        self.content = content
        self.derive = derive
        self.refs = refs


class Record:
    """Fields at fixed places. refs: the nodes that its DERIVED fields follow from, by name."""

    __slots__ = ("name", "refs", "start", "stop", "table")

    def __init__(self, name: str, start: int, table: Table, refs: Mapping[str, "Node"] | None = None) -> None:
        self.name = name
        self.start = start
        self.stop = start + table.size
        self.table = table
        self.refs = refs


class Group:
    """Nodes in a row. key aligns it with its twin on the other side (a member's name); info is the format's own."""

    __slots__ = ("expand", "info", "key", "name", "start", "stop")

    def __init__(
        self,
        name: str,
        start: int,
        stop: int,
        expand: "Callable[[Group], list[Node]]",
        key: bytes | None = None,
        info: Any = None,
    ) -> None:
        self.name = name
        self.start = start
        self.stop = stop
        self.expand = expand
        self.key = key
        self.info = info


class Linked(Group):
    """A group that says something of a group elsewhere: equal bytes may be about another one.

    target: the keyed group that it is about, of which the twin on the other side must be what its own twin is about;
    None for a group that holds such groups, and is looked into also where its bytes are equal.
    """

    __slots__ = ("target",)

    def __init__(
        self,
        name: str,
        start: int,
        stop: int,
        expand: "Callable[[Group], list[Node]]",
        key: bytes | None = None,
        info: Any = None,
        *,
        target: Group | None = None,
    ) -> None:
        super().__init__(name, start, stop, expand, key, info)
        self.target = target


class Closed(Group):
    """A group that holds no payloads, and of which no DERIVED leaf follows from anything outside of it.

    A rewrite copies it without making its children where no rule acts on any of them.
    """

    __slots__ = ()


Node: TypeAlias = Leaf | Record | Group


def children(group: Group) -> list[Node]:
    """Return the children of a group, in order; bytes that none of them claims become GAP leaves."""
    nodes = group.expand(group)
    at = group.start
    for node in nodes:
        if node.start != at:
            return _fill(group, nodes)
        at = node.stop
    return nodes if at == group.stop else _fill(group, nodes)


def _fill(group: Group, nodes: list[Node]) -> list[Node]:
    filled: list[Node] = []
    at = group.start
    for node in nodes:
        if node.start < at or node.stop > group.stop:
            raise AssertionError(f"{group.name}: {node.name} at {node.start} overlaps what lies before it")
        if node.start > at:
            filled.append(Leaf("gap", at, node.start, Role.GAP))
        filled.append(node)
        at = node.stop
    if at < group.stop:
        filled.append(Leaf("gap", at, group.stop, Role.GAP))
    return filled


def listed(nodes: list[Node]) -> Callable[[Group], list[Node]]:
    """Return an `expand` for children that are known already."""
    return lambda _group: nodes


def open_content(source: Source, leaf: Leaf, budget: Budget) -> Source:
    """Return the stream inside a PAYLOAD leaf, decoded. Raises FormatError or LimitError."""
    if leaf.content is None:
        return Slice(source, leaf.start, leaf.stop)
    return leaf.content.open(budget)


def step(node: Node) -> str:
    """Return the node's step in a path pattern: its name, with `[*]` for a key."""
    return f"{node.name}[*]" if isinstance(node, Group) and node.key is not None else node.name


def fields(record: Record) -> list[Leaf]:
    """Return the fields of a record as leaves, for walks that want every leaf alike."""
    at = record.start
    return [
        Leaf(f.name, at + f.start, at + f.stop, f.role, f.codec, derive=f.derive, refs=record.refs)
        for f in record.table.fields
    ]


def leaves(node: Node, where: str = "", key: str = "") -> Iterator[tuple[str, Leaf]]:
    """Yield (path, leaf) for every leaf under a node, in stream order; keys are shown as they are."""
    path = (where + "/" if where else "") + node.name + key
    if isinstance(node, Leaf):
        yield path, node
    elif isinstance(node, Record):
        for leaf in fields(node):
            yield f"{path}/{leaf.name}", leaf
    else:
        for child in children(node):
            name = child.key if isinstance(child, Group) else None
            yield from leaves(child, path, "" if name is None else f"[{name.decode('utf-8', 'surrogateescape')}]")
