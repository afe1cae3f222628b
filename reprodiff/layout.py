"""The layout of a rewritten stream: where each node lies, what is derived from that, and the bytes that come out.

The second pass of a rewrite; the first one (`rewrite`) decides what each node becomes.
"""

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from reprodiff.budget import Budget
from reprodiff.derived import holds
from reprodiff.errors import NormalizeError
from reprodiff.sources import Source, chunks
from reprodiff.tree import Derive, Leaf, Node, Record, open_content

# Copied bytes (source, start, stop), or new ones.
Piece: TypeAlias = tuple[Source, int, int] | bytes


def size_of(pieces: list[Piece]) -> int:
    """Return the size of a stream of pieces in bytes."""
    return sum(len(piece) if isinstance(piece, bytes) else piece[2] - piece[1] for piece in pieces)


def emit(pieces: list[Piece]) -> Iterator[bytes]:
    """Yield the bytes of a stream of pieces."""
    for piece in pieces:
        if isinstance(piece, bytes):
            if piece:
                yield piece
        else:
            yield from chunks(*piece)


class Out:
    """A node of the rewritten stream. parts: the children of a group; decoded: the new content of a payload;
    forced: how a DERIVED leaf is computed even where it did not follow, and the cause that it is called then."""

    __slots__ = ("cause", "changed", "decoded", "forced", "node", "offset", "parts", "pieces", "size")

    def __init__(self, node: Node) -> None:
        self.node = node
        self.pieces: list[Piece] = []
        self.parts: list[Out] | None = None
        self.decoded: list[Piece] | None = None
        self.size = 0
        self.offset = 0
        self.changed = False
        self.forced: Derive | None = None
        self.cause = ""


class Layout:
    """The nodes of one rewritten stream, by the id of what they were made from. notices, causes: as in `Rewritten`;
    derived: whether a DERIVED leaf has changed."""

    def __init__(self, source: Source, budget: Budget) -> None:
        self.source = source
        self.budget = budget
        self.outs: dict[int, Out] = {}
        self.notices: list[tuple[str, str]] = []
        self.causes: set[str] = set()
        self.derived = False

    def place(self, out: Out, offset: int) -> int:
        """Give every node its offset; DERIVED leaves get their size. Returns the offset after the node."""
        out.offset = offset
        if out.parts is not None:
            at = offset
            for part in out.parts:
                at = self.place(part, at)
            out.size = at - offset
            return at
        node = out.node
        if isinstance(node, Leaf) and node.derive:
            self.derive_leaf(out, node)
        return offset + out.size

    def resolve(self, out: Out) -> None:
        """Compute DERIVED leaves, in stream order."""
        if out.parts is not None:
            for part in out.parts:
                self.resolve(part)
            return
        node = out.node
        if isinstance(node, Record):
            if node.table.derived:
                self.derive_fields(out, node)
        elif node.name != "head" and isinstance(node, Leaf) and node.derive:
            size = out.size
            self.derive_leaf(out, node)
            if out.size != size:
                raise NormalizeError(f"{node.name} has no stable size")
            if out.forced and out.changed:
                raw = self.source.read(node.start, node.stop)
                if not holds(self.source, out.forced, raw, raw, node.refs, self.budget):
                    self.causes.add(out.cause)

    def derive_leaf(self, out: Out, leaf: Leaf) -> None:
        derive = out.forced or leaf.derive
        assert derive is not None
        raw = self.source.read(leaf.start, leaf.stop)
        try:
            new = derive(raw, _Refs(self, leaf.refs or {}))
        except KeyError:
            return
        if new != raw and not out.forced and not holds(self.source, derive, raw, raw, leaf.refs, self.budget):
            self.demoted(leaf.name)
            return
        out.pieces, out.size, out.changed = [new], len(new), new != raw
        self.derived = self.derived or new != raw

    def derive_fields(self, out: Out, record: Record) -> None:
        data = out.pieces[0]
        assert isinstance(data, bytes)
        refs = _Refs(self, record.refs or {})
        for field in record.table.derived:
            assert field.derive is not None
            old = data[field.start : field.stop]
            new = field.derive(data, refs)
            if new != old:
                raw = self.source.read(record.start, record.stop)
                if not holds(self.source, field.derive, raw[field.start : field.stop], raw, record.refs, self.budget):
                    self.demoted(f"{record.name}/{field.name}")
                    continue
                data = data[: field.start] + new + data[field.stop :]
                out.changed = True
        out.pieces = [data]

    def demoted(self, name: str) -> None:
        self.notices.append((name, "does not follow from what it should: left as it is"))

    def collect(self, out: Out, pieces: list[Piece]) -> None:
        """Append the pieces of a node; copies of neighbouring bytes are joined."""
        if out.parts is not None:
            for part in out.parts:
                self.collect(part, pieces)
            return
        for piece in out.pieces:
            last = pieces[-1] if pieces else b""
            if isinstance(piece, tuple) and isinstance(last, tuple) and last[0] is piece[0] and last[2] == piece[1]:
                pieces[-1] = (last[0], last[1], piece[2])
            else:
                pieces.append(piece)


class _Refs:
    """`Refs` over the rewritten stream."""

    __slots__ = ("_layout", "_refs")

    def __init__(self, layout: Layout, refs: Mapping[str, Node]) -> None:
        self._layout = layout
        self._refs = refs

    def _out(self, name: str) -> Out:
        return self._layout.outs[id(self._refs[name])]

    def size(self, name: str, /) -> int:
        node = self._refs[name]
        out = self._layout.outs.get(id(node))
        return out.size if out is not None else node.stop - node.start

    def offset(self, name: str, /) -> int:
        return self._out(name).offset

    def raw(self, name: str, /) -> bytes:
        if not self.has(name):
            return b""
        out = self._out(name)
        if len(out.pieces) == 1 and isinstance(out.pieces[0], bytes):
            return out.pieces[0]
        pieces: list[Piece] = []
        self._layout.collect(out, pieces)
        return b"".join(emit(pieces))

    def decoded(self, name: str, /) -> Iterator[bytes]:
        out = self._out(name)
        if out.decoded is not None:
            return emit(out.decoded)
        leaf = out.node
        assert isinstance(leaf, Leaf)
        return chunks(open_content(self._layout.source, leaf, self._layout.budget))

    def decoded_size(self, name: str, /) -> int:
        out = self._out(name)
        if out.decoded is not None:
            return size_of(out.decoded)
        leaf = out.node
        assert isinstance(leaf, Leaf)
        return open_content(self._layout.source, leaf, self._layout.budget).size

    def changed(self, name: str, /) -> bool:
        out = self._layout.outs.get(id(self._refs[name])) if name in self._refs else None
        return out is not None and out.changed

    def has(self, name: str, /) -> bool:
        return name in self._refs and id(self._refs[name]) in self._layout.outs
