"""What a pair of artifacts shares: which directory on the left is which on the right, inferred once from all that
differs and applied everywhere. One inferred constant explains many places; a place that needs another stays a change.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator

from reprodiff.compare import Comparison
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
        for root, count in self.counts.most_common():
            if _plausible(root) and (root in sure or len(tails[root]) > 1 or any(map(is_source, tails[root])) or len(places[root]) > 1) and count:
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
        found = paths(left, right)
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

    def supported(self, root: Root) -> int:
        """Return how many places differ by a root."""
        return self.counts[root]


def _plausible(root: Root) -> bool:
    """Tell whether both may be directories that something was built in: at least two components, none of the system."""
    return all(path.count(b"/") >= 2 or (path.count(b"/") >= 1 and len(path) > 1 and other.count(b"/") >= 2) for path, other in (root, root[::-1])) and not (
        system(root.left) or system(root.right)
    )


def _pairs(top: Comparison) -> Iterator[tuple[bytes, bytes, str, bool]]:
    """Yield texts that stand in one place on both sides, that place, and whether it holds nothing but build paths."""
    count = 0
    for comparison in top.all():
        for where, changes in comparison.changes.items():
            certain = "/.debug_" in where or where.startswith("elf/.debug")
            for change in changes:
                count += 1
                if count > CHANGES_MAX:
                    return
                left, right = change.left, change.right
                if not left or not right or len(left) > TEXT_MAX or len(right) > TEXT_MAX or b"/" not in left or b"/" not in right:
                    continue
                ones, twos = left.split(b"\n"), right.split(b"\n")
                if len(ones) != len(twos):
                    ones, twos = [left], [right]
                for one, two in zip(ones, twos, strict=True):
                    if one != two:
                        yield one.rstrip(b"\0"), two.rstrip(b"\0"), f"{comparison.path}!{where}", certain
