"""The canonical order of tar members."""

from reprodiff.formats.tar import LINK, member_key
from reprodiff.tree import Group


def in_order(members: list[Group]) -> list[Group]:
    """Sort members by the components of their names, as `tar --sort=name` does; members of one name keep their
    order, and a hard link never comes before its target."""
    ordered = sorted(members, key=lambda member: (member.key or b"").split(b"/"))
    names = {member.key for member in ordered}
    out: list[Group] = []
    seen: set[bytes | None] = set()
    waiting: dict[bytes, list[Group]] = {}
    for member in ordered:
        _place(member, names, out, seen, waiting)
    # Links in a circle wait for each other for ever: they keep the sorted order.
    left = {id(member) for rest in waiting.values() for member in rest}
    out += [member for member in ordered if id(member) in left]
    return out


def _place(
    member: Group,
    names: set[bytes | None],
    out: list[Group],
    seen: set[bytes | None],
    waiting: dict[bytes, list[Group]],
) -> None:
    """Append a member, or let it wait for its target; then those that waited for it. Links to links are chains."""
    queue = [member]
    while queue:
        one = queue.pop(0)
        info = one.info
        target = member_key(info.linkname) if info.typeflag == LINK else None
        if target is not None and target in names and target not in seen and target != one.key:
            waiting.setdefault(target, []).append(one)
            continue
        out.append(one)
        seen.add(one.key)
        queue[:0] = waiting.pop(one.key or b"", [])
