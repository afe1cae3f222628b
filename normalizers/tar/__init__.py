"""Opinions about tar archives."""

from normalizers.common import (
    MEMBER_MODE,
    MEMBER_OWNER,
    clamp,
    missing,
    new_name,
    orders,
    owner_name,
    renamed,
    same_value,
    suspect,
    zero,
)
from normalizers.streams import zeros
from normalizers.tar.claims import (
    MAGICS,
    VERSIONS,
    dialect,
    fraction_only,
    header_time,
    header_time_only,
    identity,
    linked,
    linked_padding,
    modes,
    names_only,
    no_device,
    pax_names,
    same_but_pax_pid,
    same_but_pid,
    same_long,
    same_name,
    same_permissions,
    same_prefix,
    same_record,
    same_target,
    same_text,
    same_type,
    times_only,
    umask,
    without_pax_pid,
    without_sparse_pid,
)
from normalizers.tar.order import in_order, same_order
from reprodiff.formats.tar import fill_record
from reprodiff.formats.tar.head import respell
from reprodiff.rules import UNIFY, Drop, DropEmpty, Number, Policy, Rederive, Respell, Rule, Set, Sort

HEADER = "tar/member[*]/header"
PAX = "tar/member[*]/pax"
RESPELL = Respell("tar/member[*]", respell)


def _no_sparse_pid(value: bytes, _policy: Policy) -> bytes:
    return without_sparse_pid(value)


def _later(raw: bytes, policy: Policy) -> bool:
    """Tell whether a time record says no more than the clamped header will."""
    if policy.mode == UNIFY:
        return True
    try:
        return float(raw.split(b"=", 1)[1]) > policy.epoch
    except (IndexError, ValueError):
        return False


def _without_pid(value: bytes, _policy: Policy) -> bytes:
    return without_pax_pid(value)


def _owner(record: str) -> tuple[Rule, ...]:
    why = "the account that packed the archive"
    return (
        Rule(f"{record}/{{uid,gid}}", "tar-owner", why, Set(zero)),
        Rule(f"{record}/{{uname,gname}}", "tar-owner", why, Set(owner_name)),
    )


_FORMAT_WHY = "another tar dialect, or another spelling of the same value"
_PAX_WHY = "times of access and status change, and the process id of tar: no content"

_UMASK_WHY = "permissions that the builder's umask took away; shipped archives lose what umask 022 takes and are never given more"
# Fields that ustar or GNU tar has and the other has not.
_ONE_DIALECT = (
    "reserved",
    "atime",
    "ctime",
    "offset",
    "longnames",
    "unused",
    "sparse",
    "isextended",
    "realsize",
    "pad",
)
_XATTR_WHY = "extended attributes of the file system that was packed"
_XATTRS = ("SCHILY.xattr.*", "LIBARCHIVE.xattr.*", "RHT.security.selinux", "SCHILY.acl.*")
_TIME_WHY = "the part of a time below a second"

RULES: tuple[Rule, ...] = (
    Rule(
        f"{HEADER}/{{uid,gid,mtime,devmajor,devminor}}", "tar-format", _FORMAT_WHY, RESPELL, claim=same_value,
        opt_in=True,
    ),
    Rule(f"{HEADER}/{{uname,gname}}", "tar-format", _FORMAT_WHY, RESPELL, claim=same_text, opt_in=True),
    Rule(f"{HEADER}/mode", "tar-format", _FORMAT_WHY, RESPELL, claim=same_permissions, opt_in=True),
    Rule(f"{HEADER}/typeflag", "tar-format", _FORMAT_WHY, RESPELL, claim=same_type, opt_in=True),
    Rule(f"{HEADER}/name", "tar-pax-records", _PAX_WHY, Set(_no_sparse_pid), claim=same_but_pid),
    Rule(f"{HEADER}/magic", "tar-format", _FORMAT_WHY, RESPELL, claim=dialect(MAGICS), opt_in=True),
    Rule(f"{HEADER}/version", "tar-format", _FORMAT_WHY, RESPELL, claim=dialect(VERSIONS), opt_in=True),
    Rule(f"{HEADER}/prefix", "tar-format", _FORMAT_WHY, RESPELL, claim=same_prefix, opt_in=True),
    Rule(f"{HEADER}/prefix", "tar-format", _FORMAT_WHY, RESPELL, "one-sided", same_prefix, opt_in=True),
    Rule(f"{HEADER}/{{{','.join(_ONE_DIALECT)}}}", "tar-format", _FORMAT_WHY, RESPELL, "one-sided", zeros, opt_in=True),
    Rule(f"{HEADER}/name", "tar-format", _FORMAT_WHY, RESPELL, claim=same_name, opt_in=True),
    Rule(f"{HEADER}/linkname", "tar-format", _FORMAT_WHY, RESPELL, claim=same_target, opt_in=True),
    Rule(f"{PAX}/records/{{path,linkpath}}", "tar-format", _FORMAT_WHY, RESPELL, "one-sided", same_record, opt_in=True),
    *(Rule(f"tar/member[*]/{place}", "hardlink-grouping", "the same content, once as a link and once as a copy",
           None, kind, linked_padding if place == "padding" else linked)
      for place in ("header/typeflag", "header/linkname", "header/size", "content", "padding")
      for kind in ("changed", "one-sided")),
    *(Rule(f"tar/member[*]/{place}", "tar-format", _FORMAT_WHY, RESPELL, "one-sided", same_long(keyword), opt_in=True)
      for place, keyword in (("longname", b"path"), ("longlink", b"linkpath"))),
    Rule("tar/member[*]", "tar-format", _FORMAT_WHY, RESPELL, claim=lambda _c, _e: None, opt_in=True),
    Rule(f"{HEADER}/mtime", "tar-mtime", "when the file was written or unpacked by the build", Set(clamp)),
    *(Rule(f"{HEADER}/{field}", "tar-owner", "the account that packed the archive", Set(value), claim=identity(field))
      for field, value in (("uid", zero), ("gid", zero), ("uname", owner_name), ("gname", owner_name))),
    Rule(f"{HEADER}/mode", "archive-mode-umask", _UMASK_WHY, Number(modes), claim=umask, opt_in=True),
    Rule(f"{HEADER}/{{uid,gid,uname,gname}}", "member-owner", MEMBER_OWNER, claim=suspect),
    Rule(f"{HEADER}/mode", "member-mode", MEMBER_MODE, claim=suspect),
    Rule(f"{HEADER}/{{devmajor,devminor}}", "tar-xattr-dev", "device of the file system that was packed", RESPELL,
         claim=no_device, opt_in=True),
    Rule(f"{PAX}/records/{{atime,ctime}}", "tar-pax-records", _PAX_WHY, Drop()),
    Rule(f"{PAX}/records/{{atime,ctime}}", "tar-pax-records", _PAX_WHY, Drop(), "one-sided"),
    Rule(f"{PAX}/records/{{atime,ctime}}/value", "tar-pax-records", _PAX_WHY),
    Rule(f"{PAX}/records/mtime", "tar-format", _FORMAT_WHY, RESPELL, "one-sided", header_time, opt_in=True),
    Rule(f"{PAX}/records/mtime", "tar-mtime", _TIME_WHY, Drop(_later), "one-sided"),
    Rule(f"{PAX}/records/mtime/value", "tar-mtime", _TIME_WHY, Set(clamp)),
    Rule(PAX, "tar-format", _FORMAT_WHY, RESPELL, "one-sided", header_time_only, opt_in=True),
    Rule(PAX, "tar-mtime", _TIME_WHY, DropEmpty("records"), "one-sided", fraction_only),
    Rule(PAX, "tar-pax-records", _PAX_WHY, DropEmpty("records"), "one-sided", claim=times_only),
    Rule(PAX, "tar-format", _FORMAT_WHY, RESPELL, "one-sided", claim=names_only, opt_in=True),
    Rule(f"{PAX}/header/name", "tar-pax-records", _PAX_WHY, Set(_without_pid), claim=same_but_pax_pid),
    Rule(f"{PAX}/header/name", "tar-format", _FORMAT_WHY, RESPELL, claim=pax_names, opt_in=True),
    Rule(f"{PAX}/header/mtime", "tar-mtime", "when tar wrote the extended header", Set(clamp)),
    Rule(f"{HEADER}/{{atime,ctime}}", "tar-pax-records", _PAX_WHY, Set(zero)),
    *_owner(f"{PAX}/header"),
    *(Rule(f"{PAX}/records/{keyword}/value", "tar-xattr-dev", _XATTR_WHY, claim=suspect) for keyword in _XATTRS),
    *(Rule(f"{PAX}/records/{keyword}", "tar-xattr-dev", _XATTR_WHY, None, "one-sided", suspect) for keyword in _XATTRS),
    Rule("tar/global/records/{mtime,atime,ctime}/value", "tar-pax-records", _PAX_WHY, Set(clamp)),
    Rule("tar", "tar-order", "the order in which a directory was read or a shell sorted", Sort(in_order), "moved",
         same_order, orders),
    Rule("tar/blocking", "sparse-or-padding", "how far the end was filled up with zeros", Rederive(fill_record),
         claim=zeros, opt_in=True),
    Rule("tar/end", "sparse-or-padding", "how many zero blocks end the archive",
         Set(lambda _value, _policy: bytes(1024)), claim=zeros, opt_in=True),
    Rule("tar/member[*]/padding", "sparse-or-padding", "bytes after a file's end that nobody reads", Rederive(), claim=zeros,
         opt_in=True),
    Rule("tar/member[*]", "member-rename", "the same content under another name", None, "one-sided", renamed, new_name),
    Rule("tar/member[*]", "file-set-difference", "a member that one side alone has", None, "one-sided", missing),
)  # fmt: skip
