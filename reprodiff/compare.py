"""Compare two streams: what differs, where, and how many bytes of it. No opinions."""

from collections.abc import Iterator

from reprodiff import formats
from reprodiff.budget import Budget
from reprodiff.codecs import RAW
from reprodiff.comparison import (
    Change,
    Comparison,
    Notice,
    Place,
    both,
    measure,
)
from reprodiff.derived import holds
from reprodiff.errors import FormatError, LimitError
from reprodiff.sources import Source, chunks, same, spool
from reprodiff.spans import differing
from reprodiff.tree import (
    Content,
    Group,
    Leaf,
    Record,
    Role,
    children,
    fields,
    open_content,
)
from reprodiff.walk import KEPT, Walk, trouble


def compare(left: Source, right: Source, path: str, budget: Budget, level: int = 0) -> Comparison | None:
    """Compare two streams; None when they are equal as bytes.

    Nothing is recognized, parsed or decoded for bytes that are equal.
    """
    if same(left, right):
        return None
    budget.check_time()
    found = Comparison(path, left, right)
    found.level = level
    entry, other = formats.identify(left), formats.identify(right)
    if entry is not None and other is not None and entry.name == other.name and level < budget.depth:
        described = formats.load(entry)
        if described.hunks is not None and max(left.size, right.size) <= budget.memory:
            _compare_hunks(found, described)
            return found
        if described.hunks is not None:
            found.notices.append(Notice("limit", path, "too long to be aligned by content: compared as bytes"))
            _compare_bytes(found)
            return found
        try:
            one, two = both(
                lambda: formats.parse(entry, left, budget),
                lambda: formats.parse(entry, right, budget),
                left.size + right.size,
            )
        except (FormatError, LimitError) as error:
            found.notices.append(Notice(trouble(error), path, f"{entry.name}: {error}"))
        else:
            found.format = entry.name
            found.roots = (one, two)
            walk = Walk(found, budget, compare, described)
            if described.walk is None:
                walk.groups(one, two, entry.name, ())
                return found
            try:
                described.walk(walk, one, two)
            except FormatError as error:
                # What was found until then would not account for all bytes.
                found = Comparison(path, left, right)
                found.level = level
                found.notices.append(Notice(trouble(error), path, str(error)))
            else:
                return found
    elif level >= budget.depth:
        found.notices.append(Notice("limit", path, "streams lie too deep inside each other (--max-depth raises it)"))
    elif entry is not None and other is not None and _compare_decoded(found, entry, other, budget):
        return found
    _compare_bytes(found)
    return found


def _compare_bytes(found: Comparison) -> None:
    found.format = "bytes"
    where = "bytes"
    where_differs = measure(found.left, found.right)
    change = Change((), 0, found.left.size, 0, found.right.size, *_kept(found), where_differs.size)
    change.spans = where_differs.spans
    found.places[where] = Place(Role.PAYLOAD, RAW)
    found.changes[where] = [change]
    found.differing = where_differs.size


def _kept(found: Comparison) -> tuple[bytes | None, bytes | None]:
    left, right = found.left, found.right
    if left.size > KEPT or right.size > KEPT:
        return None, None
    return left.read(0, left.size), right.read(0, right.size)


def _compare_hunks(found: Comparison, described: formats.Format) -> None:
    """Compare two streams that are aligned by content: one change a hunk."""
    found.format = described.name
    one, two = found.left, found.right
    left, right = both(lambda: one.read(0, one.size), lambda: two.read(0, two.size), one.size + two.size)
    assert described.hunks is not None
    where = f"{described.name}/line[*]"
    found.places[where] = Place(Role.PAYLOAD, RAW)
    changes = found.changes[where] = []
    for hunk in described.hunks(left, right):
        (l0, l1), (r0, r1) = hunk.left, hunk.right
        a, b = left[l0:l1], right[r0:r1]
        where_differs = differing(a, b)
        change = Change((hunk.key.encode(),), l0, l1, r0, r1, a, b, where_differs.size)
        change.spans = tuple(((l0 + p, l0 + q), (r0 + r, r0 + s)) for (p, q), (r, s) in where_differs.spans)
        changes.append(change)
        found.differing += change.size


def _compare_decoded(found: Comparison, left: formats.Entry, right: formats.Entry, budget: Budget) -> bool:
    """Compare what two different compressors hold; False when one of the sides is no compressed stream.

    The whole of both streams is one payload then: nothing in one header has a place in the other.
    """
    if not (left.payload and right.payload):
        return False
    try:
        one, two = both(
            lambda: _only_payload(left, found.left, budget),
            lambda: _only_payload(right, found.right, budget),
            found.left.size + found.right.size,
        )
    except (FormatError, LimitError) as error:
        found.notices.append(Notice(trouble(error), found.path, str(error)))
        return False
    where = "compressed"
    found.format = where
    nodes = (
        Leaf(where, 0, found.left.size, Role.PAYLOAD, content=Content(left.name, lambda _b: one)),
        Leaf(where, 0, found.right.size, Role.PAYLOAD, content=Content(right.name, lambda _b: two)),
    )
    Walk(found, budget, compare).payloads(*nodes, where, ())
    return True


def _only_payload(entry: formats.Entry, source: Source, budget: Budget) -> Source:
    """Return the decoded stream of a compressed one. Raises FormatError when it holds something else beside it."""
    root = formats.parse(entry, source, budget)
    payloads = []
    for node in _flat(root):
        if isinstance(node, Leaf) and node.content is not None:
            payloads.append(node)
        elif node.name in {"trailing", "skippable", "extra", "comment"} or not _sound(source, node, budget):
            raise FormatError(f"{entry.name}: more than compressed parts")
    if len(payloads) == 1:
        return open_content(source, payloads[0], budget)
    return spool((piece for leaf in payloads for piece in chunks(open_content(source, leaf, budget))), budget)


def _flat(group: Group) -> Iterator[Leaf | Record]:
    for node in children(group):
        if isinstance(node, Group):
            yield from _flat(node)
        else:
            yield node


def _sound(source: Source, node: Leaf | Record, budget: Budget) -> bool:
    """Tell whether all that is derived in a node follows from what it should."""
    whole = source.read(node.start, node.stop)
    parts = fields(node) if isinstance(node, Record) else [node]
    return all(
        leaf.derive is None or holds(source, leaf.derive, source.read(leaf.start, leaf.stop), whole, leaf.refs, budget)
        for leaf in parts
    )
