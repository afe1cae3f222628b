"""Opinions about tar archives."""

from typing import Any

from normalizers.common import (
    clamp,
    missing,
    new_name,
    orders,
    owner_name,
    renamed,
    same_value,
    suspect,
    umask_mode,
    zero,
)
from normalizers.patterns import Sure, builders, is_umask
from reprodiff.formats.tar import LINK, SYMLINK
from reprodiff.formats.tar.head import respell
from reprodiff.rules import UNIFY, Drop, DropEmpty, Policy, Rederive, Respell, Rule, Set, Sort
from reprodiff.tree import Group

HEADER = "tar/member[*]/header"
PAX = "tar/member[*]/pax"
PERMISSIONS = 0o777
TYPEFLAG_DEVICES = (b"3", b"4")
RESPELL = Respell(respell)


def _identity(field: str) -> Any:  # noqa: ANN401 - a Claim
    def of_builder(evidence: Any) -> set[tuple[Any, Any]]:  # noqa: ANN401 - an Evidence
        return builders((left, right) for _key, left, right in evidence.members("header", field))

    def claim(change: Any, evidence: Any) -> Sure | None:  # noqa: ANN401 - as rules.Claim
        return "origin" if evidence.values(change) in evidence.once(of_builder) else None

    return claim


def _under_umask(evidence: Any) -> bool:  # noqa: ANN401 - an Evidence
    links = {key for key, left, right in evidence.members("header", "typeflag") if SYMLINK in {left, right}}
    return is_umask(
        (left & PERMISSIONS, right & PERMISSIONS)
        for key, left, right in evidence.members("header", "mode")
        if key not in links
    )


def _umask(change: Any, evidence: Any) -> Sure | None:  # noqa: ANN401 - as rules.Claim
    values = evidence.values(change)
    if values is None or (values[0] ^ values[1]) & 0o7000:
        return None
    return "origin" if evidence.once(_under_umask) else None


def _same_permissions(change: Any, evidence: Any) -> Sure | None:  # noqa: ANN401 - as rules.Claim
    """Claim modes that differ in nothing but the file type bits, which the typeflag says already."""
    values = evidence.values(change)
    return "origin" if values is not None and values[0] & 0o7777 == values[1] & 0o7777 else None


def _no_device(change: Any, evidence: Any) -> Sure | None:  # noqa: ANN401 - as rules.Claim
    kinds = evidence.once(_typeflags).get(change.keys[-1], set())
    return None if kinds & set(TYPEFLAG_DEVICES) else "origin"


def _typeflags(evidence: Any) -> dict[bytes, set[bytes]]:  # noqa: ANN401 - an Evidence
    found: dict[bytes, set[bytes]] = {}
    for key, left, right in evidence.members("header", "typeflag"):
        found.setdefault(key, set()).update((left, right))
    return found


def _times_only(change: Any, _evidence: Any) -> Sure | None:  # noqa: ANN401 - as rules.Claim
    """Claim an extended header of one side alone that holds nothing but times."""
    raw = change.left or change.right
    words = set(_keywords(raw)) if raw else set()
    return "origin" if words and words <= {b"mtime", b"atime", b"ctime"} else None


def _names_only(change: Any, _evidence: Any) -> Sure | None:  # noqa: ANN401 - as rules.Claim
    """Claim an extended header of one side alone that holds nothing but what aligned members have in common."""
    raw = change.left or change.right
    words = set(_keywords(raw)) if raw else set()
    return "origin" if words and words <= {b"path", b"mtime", b"atime", b"ctime"} else None


def _keywords(raw: bytes) -> list[bytes]:
    from reprodiff.formats.tar.header import BLOCK, keywords  # noqa: PLC0415 - beside its only use

    size = int(raw[124:136].split(b"\0", 1)[0].strip() or b"0", 8)
    return list(keywords(raw[BLOCK : BLOCK + size]))


def _later(raw: bytes, policy: Policy) -> bool:
    """Tell whether a time record says no more than the clamped header will."""
    if policy.mode == UNIFY:
        return True
    try:
        return float(raw.split(b"=", 1)[1]) > policy.epoch
    except (IndexError, ValueError):
        return False


def _without_pid(value: bytes, _policy: Policy) -> bytes:
    head, mark, tail = value.partition(b"PaxHeaders.")
    return head + b"PaxHeaders" + tail.lstrip(b"0123456789") if mark else value


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
    return out


def _place(
    member: Group, names: set[bytes | None], out: list[Group], seen: set[bytes | None], waiting: dict[bytes, list[Group]]
) -> None:
    """Append a member, or let it wait for its target; then those that waited for it. Links to links are chains."""
    queue = [member]
    while queue:
        one = queue.pop(0)
        info = one.info[1]
        target = _target(info.linkname) if info.typeflag == LINK else None
        if target is not None and target in names and target not in seen and target != one.key:
            waiting.setdefault(target, []).append(one)
            continue
        out.append(one)
        seen.add(one.key)
        queue[:0] = waiting.pop(one.key or b"", [])


def _target(linkname: bytes) -> bytes:
    from reprodiff.formats.tar import member_key  # noqa: PLC0415 - beside its only use

    return member_key(linkname)


def _owner(record: str) -> tuple[Rule, ...]:
    why = "the account that packed the archive"
    return (
        Rule(f"{record}/{{uid,gid}}", "tar-owner", why, Set(zero)),
        Rule(f"{record}/{{uname,gname}}", "tar-owner", why, Set(owner_name)),
    )


_FORMAT_WHY = "another tar dialect, or another spelling of the same value"
_PAX_WHY = "times of access and status change, and the process id of tar: no content"

RULES: tuple[Rule, ...] = (
    Rule(
        f"{HEADER}/{{uid,gid,mtime,uname,gname,linkname,devmajor,devminor}}", "tar-format", _FORMAT_WHY, RESPELL,
        claim=same_value, opt_in=True,
    ),
    Rule(f"{HEADER}/mode", "tar-format", _FORMAT_WHY, RESPELL, claim=_same_permissions, opt_in=True),
    Rule(f"{HEADER}/{{magic,version,name,prefix}}", "tar-format", _FORMAT_WHY, RESPELL, opt_in=True),
    Rule("tar/member[*]/{longname,longlink}", "tar-format", _FORMAT_WHY, RESPELL, "one-sided", opt_in=True),
    Rule("tar/member[*]", "tar-format", _FORMAT_WHY, RESPELL, claim=lambda _c, _e: None, opt_in=True),
    Rule(f"{HEADER}/mtime", "tar-mtime", "when the file was written or unpacked by the build", Set(clamp)),
    *(Rule(f"{HEADER}/{field}", "tar-owner", "the account that packed the archive", Set(value), claim=_identity(field))
      for field, value in (("uid", zero), ("gid", zero), ("uname", owner_name), ("gname", owner_name))),
    Rule(f"{HEADER}/mode", "archive-mode-umask", "permissions that the builder's umask took away", Set(umask_mode),
         claim=_umask, opt_in=True),
    Rule(f"{HEADER}/{{uid,gid,uname,gname,mode}}", "single-member-metadata",
         "owner or mode of members that do not follow the pattern of the archive: likely content", claim=suspect),
    Rule(f"{HEADER}/{{devmajor,devminor}}", "tar-xattr-dev", "device of the file system that was packed", Set(zero),
         claim=_no_device, opt_in=True),
    Rule(f"{PAX}/records/{{atime,ctime}}", "tar-pax-records", _PAX_WHY, Drop()),
    Rule(f"{PAX}/records/{{atime,ctime}}", "tar-pax-records", _PAX_WHY, Drop(), "one-sided"),
    Rule(f"{PAX}/records/{{atime,ctime}}/value", "tar-pax-records", _PAX_WHY),
    Rule(f"{PAX}/records/mtime", "tar-mtime", "the part of a time below a second", Drop(_later), "one-sided"),
    Rule(f"{PAX}/records/mtime/value", "tar-mtime", "the part of a time below a second", Set(clamp)),
    Rule(PAX, "tar-pax-records", _PAX_WHY, DropEmpty("records"), "one-sided", claim=_times_only),
    Rule(PAX, "tar-format", _FORMAT_WHY, RESPELL, "one-sided", claim=_names_only, opt_in=True),
    Rule(f"{PAX}/header/name", "tar-pax-records", _PAX_WHY, Set(_without_pid)),
    Rule(f"{PAX}/header/mtime", "tar-pax-records", _PAX_WHY, Set(clamp)),
    *_owner(f"{PAX}/header"),
    Rule(f"{PAX}/records/{{SCHILY.xattr.*,LIBARCHIVE.xattr.*,RHT.security.selinux}}/value", "tar-xattr-dev",
         "extended attributes of the file system that was packed", claim=suspect),
    Rule("tar/global/records/{mtime,atime,ctime}/value", "tar-pax-records", _PAX_WHY, Set(clamp)),
    Rule("tar", "tar-order", "the order in which a directory was read or a shell sorted", Sort(in_order), "moved",
         detail=orders),
    Rule("tar/blocking", "sparse-or-padding", "how far the end was filled up with zeros", Rederive(), opt_in=True),
    Rule("tar/end", "sparse-or-padding", "how many zero blocks end the archive",
         Set(lambda _value, _policy: bytes(1024)), opt_in=True),
    Rule("tar/member[*]/padding", "sparse-or-padding", "bytes after a file's end that nobody reads", Rederive(), opt_in=True),
    Rule("tar/member[*]", "member-rename", "the same content under another name", None, "one-sided", renamed, new_name),
    Rule("tar/member[*]", "file-set-difference", "a member that one side alone has", None, "one-sided", missing),
)  # fmt: skip
