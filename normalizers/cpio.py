"""Opinions about cpio archives."""

from bisect import bisect_right
from typing import Any, NamedTuple

from normalizers.common import (
    MEMBER_MODE,
    MEMBER_OWNER,
    clamp,
    missing,
    new_name,
    orders,
    renamed,
    same_value,
    suspect,
    umask_mode,
    zero,
)
from normalizers.patterns import Sure, builders, is_umask
from normalizers.streams import zeros
from reprodiff.formats.cpio import BLOCK, IFDIR, IFLNK, IFMT, Member, Stat, fill_block, stat
from reprodiff.rules import UNIFY, Number, Policy, Rederive, Rule, Set, Sort
from reprodiff.sources import Source
from reprodiff.tree import Group, children

PERMISSIONS = 0o777


def guard(_source: Source, root: Group, _policy: Policy) -> str | None:
    """Leave alone what has more files than its headers can number."""
    for row in (root, *(node for node in children(root) if isinstance(node, Group) and node.name == "archive")):
        members = [node for node in children(row) if isinstance(node, Group) and node.name == "member"]
        if members and len(members) > members[0].info.dialect.inodes:
            return "more members than inode numbers of its dialect"
    return None


# Values


def stat_or_none(group: Group) -> Stat | None:
    """Return what a header says of a file, None where it is damaged."""
    try:
        return stat(group)
    except ValueError:
        return None


def inodes(members: list[Group], _policy: Policy) -> list[int]:
    """Return a number for every member from 0, the same for the links of one file: as `cpio --renumber-inodes`."""
    numbers: list[int] = []
    known: dict[Any, int] = {}
    following = 0
    for member in members:
        found = stat_or_none(member)
        file = found.file if found else None
        if file is None or file not in known:
            if file is not None:
                known[file] = following
            numbers.append(following)
            following += 1
        else:
            numbers.append(known[file])
    return numbers


def link_counts(members: list[Group], policy: Policy) -> list[int | None]:
    """Return how many names of a file are in the archive; a directory's count is left, in "unify" mode it is 2."""
    stats = [stat_or_none(member) for member in members]
    counts: dict[Any, int] = {}
    for found in stats:
        if found is not None and found.file is not None:
            counts[found.file] = counts.get(found.file, 0) + 1
    out: list[int | None] = []
    for found in stats:
        if found is None:
            out.append(None)
        elif found.mode & IFMT == IFDIR:
            out.append(2 if policy.mode == UNIFY else found.nlink)
        else:
            out.append(counts.get(found.file, 1))
    return out


def in_order(members: list[Group]) -> list[Group]:
    """Sort members by the components of their names; members of one name keep their order, and the link that
    carries a file's content comes after those that do not."""
    if not members or not isinstance(members[0].info, Member):
        return members

    def place(member: Group) -> tuple[bool, list[bytes]]:
        key = member.key or b""
        return key != b".", key.split(b"/")

    files = {id(member): found.file for member in members if (found := stat_or_none(member)) and found.file is not None}
    empty: dict[Any, int] = {}
    for member in members:
        if id(member) in files and not member.info.size:
            empty[files[id(member)]] = empty.get(files[id(member)], 0) + 1
    out: list[Group] = []
    waiting: dict[Any, list[Group]] = {}
    for member in sorted(members, key=place):
        file = files.get(id(member))
        if member.info.size and empty.get(file, 0):
            waiting.setdefault(file, []).append(member)
            continue
        out.append(member)
        if file in empty and not member.info.size:
            empty[file] -= 1
            if not empty[file]:
                out += waiting.pop(file, [])
    return out


# Claims


def _name(evidence: Any) -> str:
    name: str = evidence.where.rpartition("/")[2]
    return name


class _Aligned(NamedTuple):
    """Aligned members in the order of the left side; starts: where they begin on each side, with their number."""

    pairs: list[tuple[Group, Group]]
    starts: tuple[list[tuple[int, int]], list[tuple[int, int]]]


def _aligned(evidence: Any) -> _Aligned:
    pairs = [(one, two) for one, two in evidence.comparison.members if one.name == "member"]
    left = sorted((one.start, number) for number, (one, _two) in enumerate(pairs))
    right = sorted((two.start, number) for number, (_one, two) in enumerate(pairs))
    return _Aligned(pairs, (left, right))


def _number(change: Any, evidence: Any) -> int | None:
    """Return the number of the pair of members that a change lies in."""
    aligned = evidence.once(_aligned)
    side, place = (0, change.l0) if change.l0 >= 0 else (1, change.r0)
    at = bisect_right(aligned.starts[side], (place, len(aligned.pairs))) - 1
    if at < 0:
        return None
    number: int = aligned.starts[side][at][1]
    return number if place < aligned.pairs[number][side].stop else None


def _pair(change: Any, evidence: Any) -> tuple[Group, Group] | None:
    number = _number(change, evidence)
    if number is None:
        return None
    pair: tuple[Group, Group] = evidence.once(_aligned).pairs[number]
    return pair


def _values(change: Any, evidence: Any) -> tuple[Any, Any] | None:
    """Return both values of a header's field, also where two dialects spell them."""
    pair = _pair(change, evidence)
    if pair is None or pair[0].info.dialect is pair[1].info.dialect:
        values: tuple[Any, Any] | None = evidence.values(change)
        return values
    name = _name(evidence)
    sources = evidence.comparison.left, evidence.comparison.right
    found = []
    for member, source in zip(pair, sources, strict=True):
        field = member.info.dialect.plain.by_name.get(name)
        if field is None:
            return None
        try:
            found.append(field.codec.decode(source.read(member.start + field.start, member.start + field.stop)))
        except ValueError:
            return None
    return found[0], found[1]


def _dialects(evidence: Any) -> tuple[set[str], set[str]]:
    sides: tuple[set[str], set[str]] = (set(), set())
    for side, root in enumerate(evidence.comparison.roots):
        rows = (root, *(node for node in children(root) if isinstance(node, Group) and node.name == "archive"))
        for row in rows:
            for node in children(row):
                if isinstance(node, Group) and isinstance(node.info, Member):
                    sides[side].add(node.info.dialect.name)
    return sides


def _other_dialect(_change: Any, evidence: Any) -> Sure | None:
    left, right = evidence.once(_dialects)
    return "origin" if left != right else None


def _spelling(change: Any, evidence: Any) -> Sure | None:
    values = _values(change, evidence)
    return "origin" if values is not None and values[0] == values[1] else None


def _differs(change: Any, evidence: Any) -> Sure | None:
    values = _values(change, evidence)
    return "origin" if values is not None and values[0] != values[1] else None


def _same_device(change: Any, evidence: Any) -> Sure | None:
    """Claim device numbers that two dialects hold in one field or in two: the same ones."""
    pair = _pair(change, evidence)
    if pair is None or pair[0].info.dialect is pair[1].info.dialect:
        return None
    left, right = stat_or_none(pair[0]), stat_or_none(pair[1])
    return "origin" if left is not None and right is not None and left.rdev == right.rdev else None


def _no_sum(change: Any, evidence: Any) -> Sure | None:
    """Claim a checksum that one dialect has, and is right, and the other has not, or has as 0."""
    pair = _pair(change, evidence)
    if pair is None or pair[0].info.dialect is pair[1].info.dialect:
        return None
    return "origin" if all(map(_checks, pair)) else None


def _checks(member: Group) -> bool:
    """Tell whether the checksum of a member is right: 0 where its dialect has none, or it has no content."""
    field = member.info.dialect.plain.by_name.get("check")
    if field is None:
        return True
    start = member.start + field.start
    try:
        check = field.codec.decode(member.info.source.read(start, start + field.size))
    except ValueError:
        return False
    sums = member.info.dialect.sums is not member.info.dialect.plain
    return check == 0 or (sums and check == sum(_content(member)) & 0xFFFFFFFF)


def _other_padding(change: Any, evidence: Any) -> Sure | None:
    return zeros(change, evidence) and _other_dialect(change, evidence)


def _identity(field: str) -> Any:
    def of_builder(evidence: Any) -> set[tuple[Any, Any]]:
        return builders((left, right) for _key, left, right in evidence.members("header", field))

    def claim(change: Any, evidence: Any) -> Sure | None:
        return "origin" if _values(change, evidence) in evidence.once(of_builder) else None

    return claim


def _under_umask(evidence: Any) -> bool:
    modes = [(left, right) for _key, left, right in evidence.members("header", "mode")]
    return is_umask(
        (left & PERMISSIONS, right & PERMISSIONS) for left, right in modes if IFLNK not in {left & IFMT, right & IFMT}
    )


def _umask(change: Any, evidence: Any) -> Sure | None:
    values = _values(change, evidence)
    if values is None or (values[0] ^ values[1]) & ~PERMISSIONS:
        return None
    return "origin" if evidence.once(_under_umask) else None


def _archives(root: Group) -> list[int]:
    """Return where the archives of a stream start: a file's number means something within one of them."""
    return [node.start for node in children(root) if isinstance(node, Group) and node.name == "archive"]


def _links(evidence: Any) -> tuple[dict[int, frozenset[int]], dict[int, frozenset[int]]]:
    """Return for each side the members, by number, that share a file with each of them."""
    sides: list[dict[int, frozenset[int]]] = []
    for side in (0, 1):
        archives = _archives(evidence.comparison.roots[side])
        files: dict[Any, set[int]] = {}
        for number, pair in enumerate(evidence.once(_aligned).pairs):
            found = stat_or_none(pair[side])
            if found is not None and found.file is not None:
                files.setdefault((bisect_right(archives, pair[side].start), found.file), set()).add(number)
        sides.append({one: frozenset(names) for names in files.values() for one in names if len(names) > 1})
    return sides[0], sides[1]


def _same_links(change: Any, evidence: Any) -> Sure | None:
    number = _number(change, evidence)
    left, right = evidence.once(_links)
    return "origin" if number is not None and left.get(number) == right.get(number) else None


def _content(member: Group) -> bytes:
    """Return what a member itself carries."""
    source: Source = member.info.source
    return b"".join(source.read(node.start, node.stop) for node in children(member) if node.name == "content")


def _content_of(side: int, number: int, evidence: Any) -> bytes | None:
    """Return the content of a file, which any of its links may carry; None where they carry several."""
    pairs = evidence.once(_aligned).pairs
    names = {number, *evidence.once(_links)[side].get(number, ())}
    found = {_content(pairs[one][side]) for one in names} - {b""}
    return None if len(found) > 1 else next(iter(found), b"")


def _regrouped(change: Any, evidence: Any) -> Sure | None:
    """Claim what differs because a file is a link on one side and a copy on the other: with the same content."""
    number = _number(change, evidence)
    if number is None:
        return None
    left, right = evidence.once(_aligned).pairs[number]
    if _same_links(change, evidence) and left.info.size == right.info.size:
        return None
    links = evidence.once(_links)
    for one in {number, *links[0].get(number, ()), *links[1].get(number, ())}:
        content = _content_of(0, one, evidence)
        if content is None or content != _content_of(1, one, evidence):
            return None
    return "origin"


_WHY = "what the file system and the account that packed the archive gave: time, numbers, owner"
_FORMAT = "another cpio dialect, or another spelling of the same value"
_ENDS = ("cpio/trailer", "cpio/archive[*]/trailer")


def _same(value: Any, _policy: Policy) -> Any:
    return value


def _rules(row: str) -> tuple[Rule, ...]:
    header = f"{row}/member[*]/header"
    trailer = f"{row}/trailer/header"
    padding = "zeros that fill up the archive"
    return (
        Rule(f"{header}/mtime", "cpio-meta", _WHY, Set(clamp), claim=_differs),
        Rule(f"{header}/ino", "hardlink-grouping", _GROUPING, claim=_regrouped),
        Rule(f"{header}/nlink", "hardlink-grouping", _GROUPING, claim=_regrouped),
        Rule(f"{header}/check", "hardlink-grouping", _GROUPING, claim=_regrouped),
        Rule(f"{row}/member[*]/{{content,padding}}", "hardlink-grouping", _GROUPING, None, "one-sided", _regrouped),
        Rule(f"{header}/ino", "cpio-meta", _WHY, Number(inodes), claim=_same_links),
        Rule(f"{header}/nlink", "cpio-meta", _WHY, Number(link_counts), claim=_same_links),
        Rule(f"{header}/{{dev,devmajor,devminor}}", "hardlink-grouping", _GROUPING, claim=_regrouped),
        Rule(f"{header}/{{dev,devmajor,devminor}}", "cpio-meta", _WHY, Set(zero), claim=_same_links),
        *(Rule(f"{header}/{field}", "cpio-meta", _WHY, Set(zero), claim=_identity(field)) for field in ("uid", "gid")),
        Rule(f"{header}/mode", "archive-mode-umask", "permissions that the builder's umask took away",
             Set(umask_mode), claim=_umask, opt_in=True),
        *(
            Rule(f"{header}/{field}", "cpio-format", _FORMAT, Set(value, respell=True), claim=_spelling, opt_in=True)
            for field, value in (("mtime", clamp), ("uid", zero), ("gid", zero), ("mode", umask_mode))
        ),
        *(
            Rule(f"{header}/{field}", "cpio-format", _FORMAT, Set(_same, respell=True), claim=_spelling, opt_in=True)
            for field in ("rdev", "rdevmajor", "rdevminor", "check")
        ),
        Rule(f"{header}/check", "cpio-format", _FORMAT, claim=_no_sum),
        Rule(f"{header}/check", "cpio-format", _FORMAT, None, "one-sided", _no_sum),
        Rule(f"{header}/{{uid,gid}}", "member-owner", MEMBER_OWNER, claim=suspect),
        Rule(f"{header}/mode", "member-mode", MEMBER_MODE, claim=suspect),
        Rule(f"{header}/{{dev,devmajor,devminor}}", "cpio-meta", _WHY, None, "one-sided", _same_links),
        Rule(f"{header}/{{rdev,rdevmajor,rdevminor}}", "cpio-format", _FORMAT, None, "one-sided", _same_device),
        Rule(f"{header}/{{magic,namesize,filesize}}", "cpio-format", _FORMAT, claim=_spelling_of_sizes),
        Rule(f"{row}/member[*]/{{namepad,padding}}", "cpio-format", _FORMAT, None, "one-sided", _other_padding),
        Rule(f"{row}/member[*]/{{namepad,padding}}", "sparse-or-padding", padding, Rederive(), claim=zeros,
             opt_in=True),
        Rule(f"{row}/trailer/namepad", "cpio-format", _FORMAT, None, "one-sided", _other_padding),
        Rule(f"{row}/trailer/header", "cpio-format", _FORMAT, None, "one-sided", _other_dialect),
        Rule(f"{trailer}/*", "cpio-format", _FORMAT, Set(_same, respell=True), claim=same_value, opt_in=True),
        Rule(f"{trailer}/*", "cpio-format", _FORMAT, None, "one-sided", _other_dialect),
        Rule(f"{trailer}/*", "cpio-format", _FORMAT, claim=_other_dialect),
        *(
            Rule(f"{trailer}/{field}", "cpio-meta", _WHY, Set(one if field == "nlink" else zero))
            for field in ("ino", "mode", "uid", "gid", "nlink", "mtime", "dev", "devmajor", "devminor", "rdev",
                          "rdevmajor", "rdevminor", "check")
        ),
        Rule(row, "cpio-member-order", "the order in which a directory was read or a shell sorted", Sort(in_order),
             "moved", detail=orders),
        Rule(f"{row}/blocking", "sparse-or-padding", padding, Rederive(fill_block(BLOCK)), opt_in=True),
        Rule(f"{row}/{{blocking,zeros}}", "sparse-or-padding", padding, None, "one-sided"),
        Rule(f"{row}/zeros", "sparse-or-padding", padding, Set(lambda _value, _policy: bytes(BLOCK)), opt_in=True),
        Rule(f"{row}/member[*]", "member-rename", "the same content under another name", None, "one-sided", renamed,
             new_name),
        Rule(f"{row}/member[*]", "file-set-difference", "a member that one side alone has", None, "one-sided", missing),
    )  # fmt: skip


def one(_value: int, _policy: Policy) -> int:
    """Return 1, the links of what is no file."""
    return 1


def _spelling_of_sizes(change: Any, evidence: Any) -> Sure | None:
    """Claim a magic, or sizes that two dialects spell, each with what it measures equal on both sides."""
    pair = _pair(change, evidence)
    if pair is None or pair[0].info.dialect is pair[1].info.dialect:
        return same_value(change, evidence)
    return "origin" if _name(evidence) == "magic" else _spelling(change, evidence)


_GROUPING = "the same content, once as another name of a file and once as a copy of it"
RULES: tuple[Rule, ...] = (*_rules("cpio"), *_rules("cpio/archive[*]"))
