"""Which differences between tar archives a rule may claim, and on what evidence."""

import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

from normalizers.common import DIRECTORY, REGULAR, umask_mode
from normalizers.patterns import Sure, is_umask, owners
from reprodiff.formats.tar import LINK, Member, member_key
from reprodiff.formats.tar import REGULAR as REGULAR_FLAGS
from reprodiff.formats.tar.header import BLOCK, number, records
from reprodiff.tree import Group, children

PERMISSIONS = 0o777
DEVICES = {b"3", b"4"}
TIMES = {b"mtime", b"atime", b"ctime"}
# Types that people set permissions of, which a umask cuts: not links and devices.
MASKED = REGULAR_FLAGS | {b"5", b"1"}
# (magic, version) of ustar, GNU and v7.
MAGICS = {b"ustar\0", b"ustar ", bytes(6)}
VERSIONS = {b"00", b" \0", bytes(2)}
# What the type bits of a mode say, where a tool writes them (stat(2)), by typeflag.
TYPES = {b"\0": REGULAR, b"0": REGULAR, b"7": REGULAR, b"1": REGULAR, b"2": 0o120000, b"3": 0o020000, b"4": 0o060000,
         b"5": DIRECTORY, b"6": 0o010000}  # fmt: skip
CUT = 100
_SPARSE_PID = re.compile(rb"GNUSparseFile\.\d+/")
_PAX_PID = re.compile(rb"PaxHeaders\.\d+")
_PAX_NAME = re.compile(rb"(^|/)@?PaxHeaders?(\.\d+|\.X)?(/|$)")


def _pairs(evidence: Any) -> list[list[tuple[int, tuple[Group, Group]]]]:
    """Return, for either side, where each aligned member starts, in order, with its pair."""
    pairs = evidence.comparison.members
    return [sorted(((pair[side].start, pair) for pair in pairs), key=lambda row: row[0]) for side in (0, 1)]


def pair_of(change: Any, evidence: Any) -> tuple[Group, Group] | None:
    """Return both members that a change lies in; by where they are, since several may have one name."""
    side, at = (0, change.l0) if change.l0 >= 0 else (1, change.r0)
    rows = evidence.once(_pairs)[side]
    place = bisect_right(rows, at, key=lambda row: row[0]) - 1
    if place < 0:
        return None
    pair: tuple[Group, Group] = rows[place][1]
    return pair if pair[side].start <= at < pair[side].stop else None


def infos(change: Any, evidence: Any) -> tuple[Member, Member] | None:
    """Return what the headers of both members say that a change lies in."""
    pair = pair_of(change, evidence)
    return None if pair is None else (pair[0].info, pair[1].info)


def one_name(change: Any, evidence: Any) -> bytes | None:
    """Return the name of both members that a change lies in, None where they have two."""
    pair = pair_of(change, evidence)
    return pair[0].key if pair is not None and pair[0].key == pair[1].key else None


def ends_clean(raw: bytes | None) -> bool:
    """Tell whether a text field holds nothing after the NUL that ends it."""
    return raw is not None and not raw.partition(b"\0")[2].strip(b"\0")


def clean(change: Any) -> bool:
    """Tell whether both sides of a change in a text field hold nothing after the NUL that ends them."""
    return ends_clean(change.left) and ends_clean(change.right)


def same_text(change: Any, evidence: Any) -> Sure | None:
    """Claim two spellings of one value, where neither hides more bytes than the value."""
    values = evidence.values(change)
    return "origin" if values is not None and values[0] == values[1] and clean(change) else None


def identity(field: str) -> Any:
    """Return a claim on an owner that changed as the whole archive's did."""

    def of_builder(evidence: Any) -> set[tuple[Any, Any]]:
        return owners(evidence.members("header", field))

    def claim(change: Any, evidence: Any) -> Sure | None:
        return "origin" if evidence.values(change) in evidence.once(of_builder) else None

    return claim


def _under_umask(evidence: Any) -> bool:
    return is_umask(_modes(evidence))


def _modes(evidence: Any) -> Iterator[tuple[int, int]]:
    """Yield the permissions of both sides of every aligned member that has its own."""
    for one, two in evidence.comparison.members:
        if {one.info.typeflag, two.info.typeflag} <= MASKED:
            try:
                yield _mode(one.info) & PERMISSIONS, _mode(two.info) & PERMISSIONS
            except ValueError:
                continue


def _mode(info: Member) -> int:
    return number(info.source.read(info.header + 100, info.header + 108))


def umask(change: Any, evidence: Any) -> Sure | None:
    """Claim permissions where two umasks explain those of the whole archive."""
    values = evidence.values(change)
    both = infos(change, evidence)
    if values is None or both is None or (values[0] ^ values[1]) & ~PERMISSIONS:
        return None
    if not {info.typeflag for info in both} <= MASKED:
        return None
    return "origin" if evidence.once(_under_umask) else None


def modes(members: list[Group], policy: Any) -> list[int]:
    """Return the canonical modes of members, in order: only those that a umask cuts have another than they had, and one
    that cannot be read, here 0, is left alone by who asks."""
    found = []
    for member in members:
        info: Member = member.info
        try:
            mode = _mode(info)
        except ValueError:
            mode = 0
        found.append(umask_mode(mode, policy) if info.typeflag in MASKED else mode)
    return found


def same_permissions(change: Any, evidence: Any) -> Sure | None:
    """Claim modes that differ in nothing but the file type bits, where these say what the typeflag says."""
    values, both = evidence.values(change), infos(change, evidence)
    if values is None or both is None or values[0] & 0o7777 != values[1] & 0o7777:
        return None
    for value, info in zip(values, both, strict=True):
        wanted = DIRECTORY if info.directory else TYPES.get(info.typeflag)
        if value & ~0o7777 not in {0, wanted}:
            return None
    return "origin"


def same_type(change: Any, evidence: Any) -> Sure | None:
    """Claim the typeflag that v7 lacks: NUL is a file, or a directory where the name ends in a slash."""
    values, both = evidence.values(change), infos(change, evidence)
    if values is None or both is None or both[0].directory != both[1].directory:
        return None
    return "origin" if set(values) == {b"\0", b"5" if both[0].directory else b"0"} else None


def dialect(known: set[bytes]) -> Any:
    """Return a claim on a field that has one of the known values on both sides."""

    def claim(change: Any, _evidence: Any) -> Sure | None:
        return "origin" if {change.left, change.right} <= known else None

    return claim


def no_device(change: Any, evidence: Any) -> Sure | None:
    """Claim device numbers of members that are no devices."""
    both = infos(change, evidence)
    return "origin" if both is not None and not {info.typeflag for info in both} & DEVICES else None


def pax_records(raw: bytes | None) -> dict[bytes, bytes]:
    """Return the records of an extended header, {} where it holds anything else or a keyword twice."""
    if not raw:
        return {}
    size = number(raw[124:136])
    body, rest = raw[BLOCK : BLOCK + size], raw[BLOCK + size :]
    found = records(body)
    known = {keyword: value for _start, _mark, _stop, keyword, value in found}
    whole = bool(found) and found[-1][2] == len(body) and len(known) == len(found)
    return known if whole and not rest.strip(b"\0") else {}


def times_only(change: Any, _evidence: Any) -> Sure | None:
    """Claim an extended header of one side alone that holds nothing but times."""
    words = pax_records(change.left or change.right).keys()
    return "origin" if words and words <= TIMES else None


def fraction_only(change: Any, _evidence: Any) -> Sure | None:
    """Claim an extended header of one side alone that holds nothing but the time below a second."""
    return "origin" if pax_records(change.left or change.right).keys() == {b"mtime"} else None


def header_time_only(change: Any, evidence: Any) -> Sure | None:
    """Claim an extended header of one side alone that holds nothing but the time that the member's header has."""
    found = pax_records(change.left or change.right)
    return "origin" if found.keys() == {b"mtime"} and _is_header_time(found[b"mtime"], change, evidence) else None


def header_time(change: Any, evidence: Any) -> Sure | None:
    """Claim a record of one side alone that gives the time that the member's header has."""
    raw = change.left or change.right or b""
    return "origin" if _is_header_time(raw.partition(b"=")[2].rstrip(b"\n"), change, evidence) else None


def _is_header_time(value: bytes, change: Any, evidence: Any) -> bool:
    both = infos(change, evidence)
    if both is None:
        return False
    info = both[0 if change.l0 >= 0 else 1]
    try:
        return float(value) == number(info.source.read(info.header + 136, info.header + 148))
    except ValueError:
        return False


def same_name(change: Any, evidence: Any) -> Sure | None:
    """Claim names that both stand for the member's own: cut or split as each dialect does."""
    values, key = evidence.values(change), one_name(change, evidence)
    if values is None or key is None or not clean(change):
        return None
    return "origin" if all(_stands_for(value, key) for value in values) else None


def same_target(change: Any, evidence: Any) -> Sure | None:
    """Claim targets of links that both stand for the same: cut where a record or a long link says all of it."""
    values, both = evidence.values(change), infos(change, evidence)
    if values is None or both is None or both[0].linkname != both[1].linkname or not clean(change):
        return None
    target = both[0].linkname
    return "origin" if all(value in {target, target[:CUT], _in_ascii(target)[:CUT]} for value in values) else None


def same_prefix(change: Any, evidence: Any) -> Sure | None:
    """Claim prefixes that are none, or with the name of the same header give the member's own."""
    key, both = one_name(change, evidence), infos(change, evidence)
    if key is None or both is None:
        return None
    for raw, info in zip((change.left, change.right), both, strict=True):
        prefix = (raw or b"").rstrip(b"\0")
        name = info.source.read(info.header, info.header + 100).partition(b"\0")[0]
        if b"\0" in prefix or (prefix and not _stands_for(prefix + b"/" + name, key)):
            return None
    return "origin"


def _stands_for(name: bytes, key: bytes) -> bool:
    bare = member_key(name) if name else b""
    return any(full.startswith(bare) or full.endswith(b"/" + bare) for full in (key, _in_ascii(key)))


def _in_ascii(name: bytes) -> bytes:
    """Return a name as Python writes it beside a record: `?` for each character that is not ASCII."""
    return name.decode("utf-8", "surrogateescape").encode("ascii", "replace")


def same_but_pid(change: Any, evidence: Any) -> Sure | None:
    """Claim names that differ in nothing but the process id that GNU tar gives sparse members."""
    values = evidence.values(change)
    if not values or not clean(change) or not all(_SPARSE_PID.search(value) for value in values):
        return None
    return "origin" if without_sparse_pid(values[0]) == without_sparse_pid(values[1]) else None


def without_sparse_pid(value: bytes) -> bytes:
    """Return the name of a sparse member's header without the process id of tar."""
    return _SPARSE_PID.sub(b"GNUSparseFile.0/", value)


def without_pax_pid(value: bytes) -> bytes:
    """Return the name of an extended header without the process id of tar."""
    return _PAX_PID.sub(b"PaxHeaders", value)


def same_but_pax_pid(change: Any, evidence: Any) -> Sure | None:
    """Claim names of extended headers that differ in nothing but the process id of tar."""
    values = evidence.values(change)
    if not values or not clean(change):
        return None
    return "origin" if without_pax_pid(values[0]) == without_pax_pid(values[1]) else None


def pax_names(change: Any, evidence: Any) -> Sure | None:
    """Claim names of extended headers that two dialects make up."""
    values = evidence.values(change)
    return "origin" if values and clean(change) and all(_PAX_NAME.search(value) for value in values) else None


def same_record(change: Any, evidence: Any) -> Sure | None:
    """Claim a record of one side alone that gives the name, or the target, that both members have."""
    raw = change.left or change.right or b""
    keyword, _equals, value = raw.partition(b" ")[2].removesuffix(b"\n").partition(b"=")
    return _says_nothing({keyword: value}, change, evidence)


def names_only(change: Any, evidence: Any) -> Sure | None:
    """Claim an extended header of one side alone that holds nothing but times and what both members have."""
    return _says_nothing(pax_records(change.left or change.right), change, evidence)


def same_long(keyword: bytes) -> Any:
    """Return a claim on a long name or long link of one side alone that gives what both members have."""

    def claim(change: Any, evidence: Any) -> Sure | None:
        raw = change.left or change.right or b""
        value, _nul, rest = raw[BLOCK:].partition(b"\0")
        return None if rest.strip(b"\0") else _says_nothing({keyword: value}, change, evidence)

    return claim


def _says_nothing(found: dict[bytes, bytes], change: Any, evidence: Any) -> Sure | None:
    """Claim records, by keyword, that give nothing but times and what both members have."""
    both = infos(change, evidence)
    if not found or both is None or not found.keys() <= TIMES | {b"path", b"linkpath"}:
        return None
    if b"path" in found and member_key(found[b"path"]) != one_name(change, evidence):
        return None
    target = found.get(b"linkpath")
    return "origin" if target is None or target == both[0].linkname == both[1].linkname else None


def linked(change: Any, evidence: Any) -> Sure | None:
    """Claim what makes a member a hard link on one side and the same content in full on the other."""
    pair = pair_of(change, evidence)
    return "origin" if pair is not None and id(pair[0]) in evidence.once(links_or_copies) else None


def linked_padding(change: Any, evidence: Any) -> Sure | None:
    """Claim the zeros after a copy that the other side has a link for."""
    return None if (change.left or change.right or b"").strip(b"\0") else linked(change, evidence)


def links_or_copies(evidence: Any) -> set[int]:
    """Return the left members that are a hard link to a file on one side, and that file's content on the other."""
    targets: dict[int, _Targets] = {}
    found = set()
    for pair in evidence.comparison.members:
        flags = [group.info.typeflag for group in pair]
        if (flags[0] == LINK) == (flags[1] == LINK):
            continue
        side = 0 if flags[0] == LINK else 1
        link, copy = pair[side], pair[1 - side]
        if side not in targets:
            targets[side] = _Targets(evidence.comparison.roots[side])
        target = targets[side].of(link)
        if target is None or not _is_file(target) or not _is_file(copy) or copy.info.linkname:
            continue
        content = evidence.payload(side, target) or b""
        if content == (evidence.payload(1 - side, copy) or b"") and not evidence.payload(side, link):
            found.add(id(pair[0]))
    return found


def _is_file(member: Group) -> bool:
    return member.info.typeflag in REGULAR_FLAGS and not member.info.directory


class _Targets:
    """What the hard links of an archive are links to."""

    def __init__(self, root: Group) -> None:
        self.places: dict[bytes | None, list[Group]] = {}
        for node in children(root):
            if isinstance(node, Group) and node.key is not None:
                self.places.setdefault(node.key, []).append(node)

    def of(self, link: Group) -> Group | None:
        """Return the member whose content a link has, None where there is none before it."""
        member: Group | None = link
        while member is not None and member.info.typeflag == LINK:
            same = self.places.get(member_key(member.info.linkname), [])
            place = bisect_right(same, member.start - 1, key=lambda one: one.start)
            member = same[place - 1] if place else None
        return member
