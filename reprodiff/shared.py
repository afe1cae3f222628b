"""What a pair of artifacts shares: which directory on the left is which on the right, inferred once from all that
differs and applied everywhere. One inferred constant explains many places; a place that needs another stays a change.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator

from reprodiff.comparison import Comparison
from reprodiff.paths import Root, applies, heads, is_source, paths, system

CHANGES_MAX = 20_000
TEXT_MAX = 1 << 16


class Shared:
    """What was inferred. roots: the best supported first; count: how many places each explains."""

    def __init__(self, top: Comparison) -> None:
        self.roots: list[Root] = []
        self.counts: Counter[Root] = Counter()
        self._known: dict[tuple[bytes, bytes], Root | None] = {}
        self._infer(top)

    def _infer(self, top: Comparison) -> None:
        places: defaultdict[Root, set[str]] = defaultdict(set)
        tails: defaultdict[Root, set[bytes]] = defaultdict(set)
        sure: set[Root] = set()
        for left, right, where, certain in _pairs(top):
            for one, two in paths(left, right) or ():
                if one == two:
                    continue
                root, tail = heads(one, two)
                places[root].add(where)
                tails[root].add(tail)
                self.counts[root] += 1
                if certain:
                    sure.add(root)
        good = [
            root
            for root in self.counts
            if plausible(root)
            and (root in sure or len(tails[root]) > 1 or any(map(is_source, tails[root])) or len(places[root]) > 1)
        ]
        # Where one directory would stand for two, what more places say holds; as many on both sides say nothing.
        for root in sorted(good, key=lambda root: (-self.counts[root], root)):
            rivals = [other for other in good if other != root and contradict(root, other)]
            if all(self.counts[other] < self.counts[root] for other in rivals):
                self.roots.append(root)
        # A longer directory first: /a/b says more than /a.
        self.roots.sort(key=lambda root: (-len(root.left) - len(root.right), root))

    def mapped(self, left: bytes, right: bytes) -> Root | None:
        """Return the root that makes the left text the right one, None where none does, or where nothing differs."""
        key = left, right
        if key not in self._known:
            self._known[key] = self._map(left, right)
        return self._known[key]

    def _map(self, left: bytes, right: bytes) -> Root | None:
        found = paths(left, right) or _unrooted(left, right)
        if not found:
            return None
        used: Root | None = None
        for one, two in found:
            if one == two:
                continue
            root = next((r for r in self.roots if applies(r, one, two)), None)
            if root is None:
                return None
            used = used or root
        return used


def _unrooted(left: bytes, right: bytes) -> list[tuple[bytes, bytes]] | None:
    """Return two texts that are one path each, written without the slash at its start, with it."""
    if b"/" not in left or b"/" not in right or left[:1] in b"./" or right[:1] in b"./":
        return None
    found = paths(b"/" + left, b"/" + right)
    return found if found == [(b"/" + left, b"/" + right)] else None


def contradict(one: Root, two: Root) -> bool:
    """Tell whether two roots take one directory, or one below it, to different places."""
    for side, other in ((0, 1), (1, 0)):
        for a, b in ((one, two), (two, one)):
            if within(a[side], b[side]) and not (
                within(a[other], b[other]) and a[side][len(b[side]) :] == a[other][len(b[other]) :]
            ):
                return True
    return False


def within(path: bytes, directory: bytes) -> bool:
    """Tell whether a path is a directory or lies below it."""
    return path == directory or path.startswith(directory.rstrip(b"/") + b"/")


def plausible(root: Root) -> bool:
    """Tell whether both may be directories that something was built in: at least two components, none of the system."""
    if is_source(root.left) or is_source(root.right):
        return False
    deep = max(root.left.count(b"/"), root.right.count(b"/")) >= 2 and min(len(root.left), len(root.right)) > 1
    return deep and not (system(root.left) or system(root.right))


def _pairs(top: Comparison) -> Iterator[tuple[bytes, bytes, str, bool]]:
    """Yield texts that stand in one place on both sides, that place, and whether it holds nothing but build paths."""
    count = 0
    for comparison in top.all():
        for where, changes in comparison.changes.items():
            debug = "/.debug_" in where or where.startswith("elf/.debug")
            for change in changes:
                inside = where.startswith(("pe/section[*]", "macho/section[*]"))
                certain = debug or (inside and change.keys[0].startswith((b".debug_", b"__DWARF,")))
                count += 1
                if count > CHANGES_MAX:
                    return
                left, right = change.left, change.right
                if (
                    not left
                    or not right
                    or len(left) > TEXT_MAX
                    or len(right) > TEXT_MAX
                    or (b"/" not in left and b":\\" not in left)
                    or (b"/" not in right and b":\\" not in right)
                ):
                    continue
                ones, twos = left.split(b"\n"), right.split(b"\n")
                if len(ones) != len(twos):
                    ones, twos = [left], [right]
                for one, two in zip(ones, twos, strict=True):
                    if one != two:
                        yield one.rstrip(b"\0"), two.rstrip(b"\0"), f"{comparison.path}!{where}", certain
