"""The tree of a file, line by line: what `reprodiff inspect` shows."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from reprodiff import formats
from reprodiff.budget import Budget
from reprodiff.codecs import name_text, show_bytes
from reprodiff.derived import holds
from reprodiff.errors import ReprodiffError
from reprodiff.sources import Source
from reprodiff.tree import Group, Leaf, Node, Record, Role, children, fields, listed, open_content

SHOWN = 4096
SCHEMA = "reprodiff.inspect/1"


class Row(NamedTuple):
    """One node. span: offsets in its stream; role: "group", "record", or that of the leaf; note: why a leaf is not
    what its format says, or could not be entered."""

    path: str
    span: tuple[int, int]
    role: str
    value: str
    note: str

    def as_json(self) -> dict[str, Any]:
        return {"path": self.path, "span": list(self.span), "role": self.role, "value": self.value, "note": self.note}


def rows(source: Source, budget: Budget, path: str = "", level: int = 0) -> Iterator[Row]:
    """Yield the nodes of a stream and of those inside it, in order. Never raises for what is in the bytes."""
    entry = formats.identify(source) if source.size and level < budget.depth else None
    if entry is None:
        yield Row(f"{path}bytes", (0, source.size), "payload", show_bytes(source.read(0, SHOWN)), "")
        return
    try:
        root = formats.parse(entry, source, budget)
    except ReprodiffError as error:
        yield Row(f"{path}{entry.name}", (0, source.size), "payload", show_bytes(source.read(0, SHOWN)), str(error))
        return
    yield from _node(source, root, f"{path}{entry.name}", budget, level)


def _node(source: Source, node: Node, path: str, budget: Budget, level: int, *, enter: bool = True) -> Iterator[Row]:
    span = (node.start, node.stop)
    if isinstance(node, Leaf):
        yield from _leaf(source, node, path, budget, level, enter=enter)
    elif isinstance(node, Record):
        yield Row(path, span, "record", "", "")
        whole = source.read(node.start, node.stop)
        for leaf in fields(node):
            yield from _leaf(source, leaf, f"{path}/{leaf.name}", budget, level, whole)
    else:
        try:
            nodes, note = children(node), ""
        except (ReprodiffError, ValueError, IndexError, KeyError, OverflowError) as error:
            nodes, note = [], f"cannot be read: {error}"
        yield Row(path, span, "group", "", note)
        for child in nodes:
            key = child.key if isinstance(child, Group) else None
            name = child.name if key is None else f"{child.name}[{name_text(key)}]"
            yield from _node(source, child, f"{path}/{name}", budget, level, enter=enter)


def _leaf(
    source: Source,
    leaf: Leaf,
    path: str,
    budget: Budget,
    level: int,
    whole: bytes | None = None,
    *,
    enter: bool = True,
) -> Iterator[Row]:
    raw = source.read(leaf.start, min(leaf.stop, leaf.start + SHOWN))
    try:
        value = leaf.codec.show(leaf.codec.decode(raw))
    except (ValueError, IndexError):
        value = show_bytes(raw)
    note = ""
    if leaf.derive is not None:
        raw = source.read(leaf.start, leaf.stop)
        if not holds(source, leaf.derive, raw, raw if whole is None else whole, leaf.refs, budget):
            note = "does not follow from what it should"
    if leaf.role is not Role.PAYLOAD or leaf.stop == leaf.start or not enter:
        yield Row(path, (leaf.start, leaf.stop), leaf.role.value, value, note)
        return
    try:
        inner = open_content(source, leaf, budget)
    except ReprodiffError as error:
        yield Row(path, (leaf.start, leaf.stop), leaf.role.value, value, str(error))
        return
    entered = leaf.content is not None or formats.identify(inner) is not None
    yield Row(path, (leaf.start, leaf.stop), leaf.role.value, "" if entered else value, note)
    if leaf.content is not None and leaf.content.layout is not None:
        within = Group(leaf.name, leaf.start, leaf.stop, listed(leaf.content.layout()))
        for row in _node(source, within, path, budget, level, enter=False):
            if row.path != path:
                yield row
    if entered:
        yield from rows(inner, budget, f"{path.removesuffix('/content')}!/", level + 1)
