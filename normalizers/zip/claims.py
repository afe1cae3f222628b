"""What may be claimed of a zip archive's differences, and the values that undo them."""

import re
from collections.abc import Callable
from functools import cache
from typing import Any, Literal

from normalizers.common import umask_mode
from normalizers.compressors import another_encoder, encoders_named
from normalizers.patterns import Sure, builders, is_umask
from reprodiff.budget import Budget
from reprodiff.codecs import DOS_TIME, dos_from_seconds, dos_seconds
from reprodiff.derived import holds
from reprodiff.formats.zip.extra import known
from reprodiff.formats.zip.layout import (
    ATTRIBUTES,
    DIRECTORY,
    ENCRYPTED,
    FILE_TYPE,
    REGULAR,
    STREAMED,
    SYMLINK,
    UNIX_LIKE,
    UTF8,
    ClassTime,
    SourceTime,
    Told,
)
from reprodiff.formats.zip.members import Member
from reprodiff.rules import UNIFY, Policy
from reprodiff.sources import Source
from reprodiff.tree import Group, Record, Role, children

MEMBER, ENTRY = "zip/member[*]", "zip/directory/entry[*]"
FIRST_TIME = 315532800
QUARTER, FARTHEST = 15 * 60, 26 * 3600
FULL = 0xFFFFFFFF
OWNED = frozenset(("0x5855", "0x7855", "0x7875"))
MADE_BY = 3 << 8 | 20
# Flag bits that say how the member was written: 1 and 2 the level, 3 a data descriptor, 11 UTF-8 for a name in ASCII.
HABIT = 0b1110 | UTF8
LEVEL = 0b110
PERMISSIONS = 0o777
# Members that packers make up themselves, with a mode that no umask touched.
_MADE_WITHOUT_FILE = re.compile(rb"[^/]+\.dist-info/RECORD|META-INF/(?:MANIFEST\.MF)?")


def canonical_time(value: tuple[int, ...], policy: Policy) -> tuple[int, ...]:
    """Return the canonical DOS time, read as UTC: no earlier than 1980, and a Clojure source two seconds older than
    its class, which the loader would not take otherwise."""
    latest = _latest(policy.epoch, type(value))
    return latest if policy.mode == UNIFY or value > latest else value


@cache
def _latest(epoch: int, kind: type) -> tuple[int, ...]:
    latest = max(epoch, FIRST_TIME)
    if kind is ClassTime:
        latest = max(latest, FIRST_TIME + 2)
    elif kind is SourceTime:
        latest = max(latest & ~1, FIRST_TIME + 2) - 2
    return dos_from_seconds(latest & ~1)


def _utc(member: Group, entry: Group | None, source: Source) -> int | None:
    """Return the time of last change in UTC that an extra field tells, in the unit of that field."""
    for group in (member, entry):
        for node in children(group) if group else ():
            if isinstance(node, Group) and node.name in {"0x5455", "0x5855", "0x000a"}:
                for part in children(node):
                    row = part.table.by_name.get("mtime") if isinstance(part, Record) else None
                    if row is not None:
                        return int.from_bytes(source.read(part.start + row.start, part.start + row.stop), "little")
    return None


def _zone(evidence: Any) -> bool:
    """Tell whether another time zone is why the DOS times differ.

    All members are as far apart, by a multiple of 15 minutes, and the times in UTC agree; where there are none, a
    shift that several different times share to the second tells it.
    """
    comparison = evidence.comparison
    pairs = [(one, two) for one, two in comparison.members if one.name == "member"]
    shifts: set[int | None] = set()
    times: set[int | None] = set()
    for one, two in pairs:
        left, right = _seconds(comparison.left, one), _seconds(comparison.right, two)
        shifts.add(None if left is None or right is None else right - left)
        times.add(left)
        if len(shifts) > 1:
            return False
    shift = shifts.pop() if shifts else None
    if not shift or shift % QUARTER or abs(shift) > FARTHEST:
        return False
    known = [(_utc(one, one.info.directory, comparison.left), _utc(two, two.info.directory, comparison.right))
             for one, two in pairs]  # fmt: skip
    if all(left is None and right is None for left, right in known):
        return len(times) > 1
    return all(left is not None and left == right for left, right in known)


def _seconds(source: Source, group: Group) -> int | None:
    member: Member = group.info
    return dos_seconds(DOS_TIME.decode(source.read(member.local + 10, member.local + 14)))


def _checked(evidence: Any) -> set[bytes]:
    """Return the keys of encrypted members whose time a reader needs to check the password."""
    both = ENCRYPTED | STREAMED
    return {group.key for pair in evidence.comparison.members for group in pair if group.info.flags & both == both}


def clock(change: Any, evidence: Any) -> Sure | None:
    """Claim DOS times that no time zone explains, where no password is checked with them."""
    if evidence.once(_zone) or change.keys[-1] in evidence.once(_checked):
        return None
    return "origin"


def shifted(change: Any, evidence: Any) -> Sure | None:
    """Claim DOS times that another time zone explains, where no password is checked with them."""
    return None if change.keys[-1] in evidence.once(_checked) else "origin"


def _kept_flags(evidence: Any) -> dict[bytes, int]:
    """Return the flag bits that mean something, of members for which any do."""
    found: dict[bytes, int] = {}
    for one, two in evidence.comparison.members:
        if one.name == "member":
            kept = one.info.kept_flags | two.info.kept_flags
            if kept:
                found[one.key] = found.get(one.key, 0) | kept
    return found


def _changed_flags(change: Any, evidence: Any) -> int:
    """Return the flag bits that differ, 0 where any of them says something about the member."""
    values = evidence.values(change)
    if values is None:
        return 0
    changed: int = values[0] ^ values[1]
    return 0 if changed & (~HABIT | evidence.once(_kept_flags).get(change.keys[-1], 0)) else changed


def level(change: Any, evidence: Any) -> Sure | None:
    """Claim flags that differ in nothing but the level that the compressor was told."""
    changed = _changed_flags(change, evidence)
    return "origin" if changed and not changed & ~LEVEL else None


def habit(change: Any, evidence: Any) -> Sure | None:
    """Claim flags that say nothing about this member."""
    return "origin" if _changed_flags(change, evidence) & ~LEVEL else None


def without_habit(value: int, _policy: Policy) -> int:
    """Return flags without those bits that only say how a member was written."""
    return value & ~HABIT


def fits(raw: bytes, _policy: Policy) -> bool:
    """Tell whether a zip64 field holds nothing that needs it."""
    if len(raw) > 4 + 3 * 8 + 4:
        return False
    values = [int.from_bytes(raw[at : at + 8], "little") for at in range(4, len(raw) - 7, 8)]
    return all(value < FULL for value in values)


def ends_fit(raw: bytes, _policy: Policy) -> bool:
    """Tell whether the zip64 record holds nothing that needs it, and no data of its own."""
    entries, size, offset = (int.from_bytes(raw[at : at + 8], "little") for at in (32, 40, 48))
    return len(raw) == 76 and entries < 0xFFFF and size < FULL and offset < FULL


def _follows(source: Source, record: Record) -> bool:
    """Tell whether every DERIVED field of a record follows from what it is derived from, and all others are 0."""
    whole = source.read(record.start, record.stop)
    for field in record.table.fields:
        raw = whole[field.start : field.stop]
        if field.derive is None:
            if field.role is Role.VALUE and field.name not in {"made-by", "version", "disks"} and any(raw):
                return False
        elif not holds(source, field.derive, raw, whole, record.refs, Budget()):
            return False
    return True


def says_nothing(change: Any, evidence: Any) -> Sure | None:
    """Claim a zip64 part of one side alone that says what can be said without it, and nothing else."""
    node = change.nodes[0] or change.nodes[1]
    source = evidence.comparison.left if change.nodes[0] else evidence.comparison.right
    parts = children(node)
    return "origin" if all(isinstance(part, Record) and _follows(source, part) for part in parts) else None


def _entries(evidence: Any) -> dict[bytes, list[tuple[Group, Group]]]:
    """Return the aligned entries of the directory by name."""
    found: dict[bytes, list[tuple[Group, Group]]] = {}
    for pair in evidence.comparison.members:
        if pair[0].name == "entry":
            found.setdefault(pair[0].key, []).append(pair)
    return found


def _plain(source: Source, entry: Group) -> bool:
    """Tell whether a member is a file or a directory, under a name that no system reads in its own way."""
    attributes = ATTRIBUTES[entry.key is not None and entry.key.endswith(b"/")]
    kind = attributes.decode(source.read(entry.start + 38, entry.start + 42)) & FILE_TYPE
    return not entry.info.of_system and kind in {REGULAR, DIRECTORY}


def host(change: Any, evidence: Any) -> Sure | None:
    """Claim another version of the program, and another system where that decides nothing of the member."""
    values = evidence.values(change)
    if values is None or any(value >> 8 not in UNIX_LIKE for value in values):
        return None
    if values[0] >> 8 == values[1] >> 8:
        return "origin"
    comparison = evidence.comparison
    pairs = evidence.once(_entries).get(change.keys[-1], ()) if change.keys else ()
    plain = all(_plain(comparison.left, one) and _plain(comparison.right, two) for one, two in pairs)
    return "origin" if plain else None


def _modeless(evidence: Any) -> set[bytes]:
    """Return the names of members that have no mode on one of the sides."""
    sources = evidence.comparison.left, evidence.comparison.right
    return {
        key
        for key, pairs in evidence.once(_entries).items()
        for pair in pairs
        for source, entry in zip(sources, pair, strict=True)
        if not any(source.read(entry.start + 40, entry.start + 42))
    }


def host_of_modeless(change: Any, evidence: Any) -> Sure | None:
    """Claim as `host` does, for members that have no mode on one of the sides."""
    return host(change, evidence) if change.keys[-1] in evidence.once(_modeless) else None


def made_by(value: int, _policy: Policy) -> int:
    """Return the canonical program, for systems whose attributes are Unix modes or none."""
    return MADE_BY if value >> 8 in UNIX_LIKE else value


def told(value: int, _policy: Policy) -> int:
    """Return a value that is to be written whatever it decides."""
    return Told(value)


def made_by_told(value: int, policy: Policy) -> int:
    """Return what `made_by` does, to be written whatever it decides."""
    return Told(made_by(value, policy))


def _owners(source: Source, group: Group) -> tuple[int, ...] | None:
    """Return the owner and group that the extra fields of a member name, None where none does."""
    for node in children(group):
        if isinstance(node, Group) and node.name in OWNED:
            for part in children(node):
                if isinstance(part, Record) and "uid" in part.table.by_name:
                    rows = (part.table.by_name[name] for name in ("uid", "gid"))
                    return tuple(
                        int.from_bytes(source.read(part.start + row.start, part.start + row.stop), "little")
                        for row in rows
                    )
    return None


def _strangers(name: str) -> Callable[[Any], set[bytes]]:
    """Return what names the members, or entries, whose owners differ and are not the builder's.

    The builder's are those of most members; so is what one of the sides does not have at all."""

    def find(evidence: Any) -> set[bytes]:
        comparison = evidence.comparison
        pairs = [
            (one.key, _owners(comparison.left, one), _owners(comparison.right, two))
            for one, two in comparison.members
            if one.name == name
        ]
        if all(left is None for _key, left, _right in pairs) or all(right is None for _key, _left, right in pairs):
            return set()
        of_builder = builders((left, right) for _key, left, right in pairs)
        return {key for key, left, right in pairs if left != right and (left, right) not in of_builder}

    return find


_STRANGERS = {name: _strangers(name) for name in ("member", "entry")}


def of_builder(change: Any, evidence: Any) -> Sure | None:
    """Claim owners that are the builder's in the whole archive."""
    find = _STRANGERS["entry" if evidence.where.startswith(ENTRY) else "member"]
    return None if change.keys[-1] in evidence.once(find) else "origin"


def known_extra(change: Any, evidence: Any) -> Sure | None:
    """Claim a field of one side alone that its specification describes whole, its owners as those that differ."""
    raw = change.left or change.right
    if not raw or not known(raw):
        return None
    return of_builder(change, evidence) if evidence.where.rpartition("/")[2] in OWNED else "origin"


def known_owner(change: Any, _evidence: Any) -> Sure | None:
    """Claim as likely a field of one side alone whose owners are not the builder's."""
    raw = change.left or change.right
    return "suspected" if raw and known(raw) else None


def is_known(raw: bytes, _policy: Policy) -> bool:
    """Tell whether an extra field holds nothing but the values of its specification."""
    return known(raw)


def other_method(change: Any, evidence: Any) -> Sure | None:
    """Claim another method where both contents were decoded: they are equal, or what differs is told inside."""
    return "origin" if change.l0 in evidence.once(_decoded) else None


def _decoded(evidence: Any) -> set[int]:
    """Return where the left side says the method of those members whose contents were decoded on both sides."""
    comparison, place = evidence.comparison, f"{MEMBER}/content"
    seen = {change.l0 for change in comparison.changes.get(place, ()) if change.same}
    seen.update(change.l0 for change in comparison.through.get(place, ()))
    return {one.start + 8 for one, _two in comparison.members if one.name == "member" and one.info.start in seen}


def same_but_text(change: Any, evidence: Any) -> Sure | None:
    """Claim internal attributes that differ in the guess whether a content is text."""
    values = evidence.values(change)
    return "origin" if values is not None and values[0] | 1 == values[1] | 1 else None


def _is_link(mode: int) -> bool:
    return mode & FILE_TYPE == SYMLINK


def _modes(change: Any, evidence: Any) -> tuple[int, int] | None:
    """Return both sides' modes; a member without one has the usual mode of what its name says that it is."""
    values = evidence.values(change)
    if values is None or not isinstance(values[0], int):
        return None
    decode = ATTRIBUTES[change.keys[-1].endswith(b"/")].decode
    return decode(change.left), decode(change.right)


def same_mode(change: Any, evidence: Any) -> Sure | None:
    """Claim attributes that mean one mode and type."""
    modes = _modes(change, evidence)
    return "origin" if modes is not None and modes[0] == modes[1] else None


def same_as_none(change: Any, evidence: Any) -> Sure | None:
    """Claim attributes that mean one mode and type, where one of the sides has no mode."""
    return same_mode(change, evidence) if not (any(change.left[2:]) and any(change.right[2:])) else None


def _under_umask(evidence: Any) -> bool:
    return is_umask(
        (left & PERMISSIONS, right & PERMISSIONS)
        for key, left, right in evidence.members("header", "external")
        if not _is_link(left) and not _is_link(right) and not _MADE_WITHOUT_FILE.fullmatch(key)
    )


def umask(change: Any, evidence: Any) -> Sure | None:
    """Claim modes that two umasks explain over the whole archive."""
    modes = _modes(change, evidence)
    if modes is None or (modes[0] ^ modes[1]) & ~PERMISSIONS or _is_link(modes[0]):
        return None
    return "origin" if evidence.once(_under_umask) else None


def mode(value: int, policy: Policy) -> int:
    """Return a mode as if written under umask 022; those of links stay."""
    return value if _is_link(value) else umask_mode(value, policy)


def rewritable(change: Any, evidence: Any) -> Sure | None:
    """Claim equal contents that one encoder can write again on both sides.

    Where contents differ too, which encoder wrote each of thousands of members would cost more than it tells.
    """
    left, right = (node.content for node in change.nodes)
    if not change.same or not left or not right or left.name != right.name or left.encode is None:
        return None
    return another_encoder(change, evidence)


def encoders(change: Any, evidence: Any) -> tuple[str, str]:
    """Name the encoders of both sides."""
    left, right = (node.content for node in change.nodes)
    if left and right and left.name == right.name == "deflate":
        return encoders_named(change, evidence)
    return left.name if left else "stored", right.name if right else "stored"


def same_content(change: Any, _evidence: Any) -> Sure | None:
    """Claim equal contents in other bytes."""
    return "origin" if change.same else None


def listed(change: Any, evidence: Any) -> Literal["consequence"] | None:
    """Claim the directory entry of a member that one side alone has: it follows from the member."""
    return "consequence" if (change.kind, change.keys[-1]) in evidence.once(_members_alone) else None


def _members_alone(evidence: Any) -> set[tuple[str, bytes]]:
    changes = evidence.comparison.changes.get("zip/member[*]", ())
    return {(change.kind, change.keys[-1]) for change in changes}
