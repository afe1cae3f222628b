"""The canonical order of tar members: none of them means, or leaves behind, anything else than before."""

from bisect import bisect_left
from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from itertools import groupby, pairwise
from typing import Any

from normalizers.patterns import Sure
from normalizers.tar.claims import links_or_copies
from reprodiff.formats.tar import LINK, member_key
from reprodiff.tree import Group, children

# Volume labels, parts of files that began in another volume, and renamings: what they are about is their neighbour.
BOUND = frozenset({b"V", b"M", b"N"})


def in_order(members: list[Group], free: frozenset[int] = frozenset()) -> list[Group]:
    """Sort members by the components of their names, as `tar --sort=name` does.

    Members of one name keep their order, and so do a hard link and all members that have the name of its target: what
    it is a link to is the last of them before it. Nothing passes a global header. Where a file or a link lies in the
    way of another member, which of both is left depends on the order: then that stays as it is.
    free: identities of links that are known to have the same content anywhere.
    """
    names = [_place(member.key or b"") for member in members]
    links = [at for at, member in enumerate(members) if member.info.typeflag == LINK]
    if _in_the_way(members, names, links):
        return members
    out: list[Group] = []
    numbers = list(_rows(members))
    for _number, row in groupby(range(len(members)), key=numbers.__getitem__):
        part = list(row)
        some = slice(part[0], part[-1] + 1)
        out += _sorted(members[some], names[some], free)
    return out


def same_order(_order: Any, evidence: Any) -> Sure | None:
    """Claim an order by which no member means or leaves behind anything else than by the other."""
    comparison = evidence.comparison
    if comparison.roots is None:
        return None
    pairs = [(one, two) for one, two in comparison.members if one.key == two.key]
    whole = [_members(root) for root in comparison.roots]
    twins = {id(one): id(two) for one, two in pairs}
    rows = [dict(zip(map(id, some), _rows(some), strict=True)) for some in whole]
    heads = [_heads(root) for root in comparison.roots]
    if any(rows[0][one] != rows[1][two] or heads[0][one] != heads[1][two] for one, two in twins.items()):
        return None
    # That a link on one side is a copy on the other says already what either has for content.
    copies = evidence.once(links_or_copies)
    ordered = []
    for side, some in enumerate(whole):
        known = {id(pair[side]) for pair in pairs}
        free = frozenset(id(pair[side]) for pair in pairs if id(pair[0]) in copies)
        ordered.append([id(one) for one in in_order(some, free) if id(one) in known])
    return "origin" if [twins[one] for one in ordered[0]] == ordered[1] else None


def _members(root: Group) -> list[Group]:
    return [node for node in children(root) if isinstance(node, Group) and node.key is not None]


def _heads(root: Group) -> dict[int, int]:
    """Return how many global headers come before each member."""
    found: dict[int, int] = {}
    count = 0
    for node in children(root):
        if isinstance(node, Group) and node.key is not None:
            found[id(node)] = count
        else:
            count += node.name == "global"
    return found


def _rows(members: list[Group]) -> Iterator[int]:
    """Yield the number of the row that each member may be sorted within: between two of them lies a global header, or
    a member that must stay where it is."""
    row = 0
    last: Group | None = None
    for member in members:
        alone = _stays(member)
        if last is not None and (alone or last.stop != member.start or _stays(last)):
            row += 1
        yield row
        last = member


def _stays(member: Group) -> bool:
    return member.info.typeflag in BOUND or (b".." in (key := member.key or b"") and b".." in key.split(b"/"))


def _sorted(members: list[Group], names: list[bytes], free: frozenset[int]) -> list[Group]:
    ordered = sorted(range(len(members)), key=lambda at: (members[at].key or b"").split(b"/"))
    links = [at for at, member in enumerate(members) if member.info.typeflag == LINK and id(member) not in free]
    if not links and len(set(names)) == len(names):
        return [members[at] for at in ordered]
    rank = [0] * len(members)
    for number, at in enumerate(ordered):
        rank[at] = number
    return [members[at] for at in _arranged(_bounds(members, names, links), rank, ordered)]


def _place(key: bytes) -> bytes:
    """Return where a member goes: the same for all spellings of its name."""
    if b"//" in key or b"/." in key or key[:1] in {b"/", b"."}:
        return b"/".join(part for part in key.split(b"/") if part not in {b"", b"."})
    return key


def _in_the_way(members: list[Group], names: list[bytes], links: list[int]) -> bool:
    """Tell whether something that is no directory has the name of a directory above another member or a target."""
    others = {name for member, name in zip(members, names, strict=True) if not member.info.directory}
    below = {name.rpartition(b"/")[0] for name in names}
    below.update(_place(member_key(members[at].info.linkname)).rpartition(b"/")[0] for at in links)
    seen: set[bytes] = set()
    for name in below:
        while name and name not in seen:
            if name in others:
                return True
            seen.add(name)
            name = name.rpartition(b"/")[0]  # noqa: PLW2901 - up to the root
    return False


def _bounds(members: list[Group], names: list[bytes], links: list[int]) -> list[tuple[int, int]]:
    """Return the pairs of members, by their numbers, the first of which must stay before the second."""
    places: dict[bytes, list[int]] = {}
    for at, name in enumerate(names):
        places.setdefault(name, []).append(at)
    bounds = [pair for same in places.values() if len(same) > 1 for pair in pairwise(same)]
    for at in links:
        target = _place(member_key(members[at].info.linkname))
        same = places.get(target, [])
        if target == names[at] or not same:
            continue
        place = bisect_left(same, at)
        if place:
            bounds.append((same[place - 1], at))
        if place < len(same):
            bounds.append((at, same[place]))
    return bounds


def _arranged(bounds: list[tuple[int, int]], rank: list[int], ordered: list[int]) -> Iterator[int]:
    """Yield the members by rank, each as soon as those before it are placed. All bounds hold in the order that the
    members have, so none of them wait for each other."""
    after: dict[int, list[int]] = {}
    waits = [0] * len(rank)
    for one, two in bounds:
        after.setdefault(one, []).append(two)
        waits[two] += 1
    free = [rank[at] for at, count in enumerate(waits) if not count]
    heapify(free)
    while free:
        at = ordered[heappop(free)]
        yield at
        for other in after.get(at, ()):
            waits[other] -= 1
            if not waits[other]:
                heappush(free, rank[other])
