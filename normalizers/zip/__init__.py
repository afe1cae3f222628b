"""Opinions about zip archives, and so about jars, wheels, apks, epubs and office documents."""

from typing import Literal

from normalizers.common import MEMBER_MODE, MEMBER_OWNER, missing, new_name, orders, renamed, suspect
from normalizers.streams import zeros
from normalizers.zip.claims import (
    ENTRY,
    MEMBER,
    canonical_time,
    clock,
    encoders,
    ends_fit,
    fits,
    habit,
    host,
    host_of_modeless,
    is_known,
    known_extra,
    known_owner,
    level,
    listed,
    made_by,
    made_by_told,
    mode,
    of_builder,
    other_method,
    rewritable,
    same_as_none,
    same_but_text,
    same_content,
    same_mode,
    says_nothing,
    shifted,
    told,
    umask,
    without_habit,
)
from normalizers.zip.order import guard, in_order, sortable
from reprodiff.rules import Drop, Reencode, Rule, Set, Sort

__all__ = ["RULES", "canonical_time", "guard", "in_order"]

# Info-ZIP's times and owners, NTFS times, and the mark of the jar tool.
EXTRAS = "0x5455,0x5855,0x7855,0x7875,0x000a,0xcafe"
TIMES = "flags,mtime,atime,ctime,uid-size,gid-size"
_KINDS: tuple[Literal["changed", "one-sided"], ...] = ("changed", "one-sided")
_TIME = "when the file was written or unpacked by the build"
_EXTRA = "times beside the DOS time, the account that packed the archive, a mark of the jar tool: no content"
_LAYOUT = "another way to write the same: no reader that uses the directory sees it"
_HOST = "the program and system that packed the archive"
_ENCODER = "the same content, compressed by another encoder or at another level"


def _extras(place: str) -> tuple[Rule, ...]:
    found: list[Rule] = []
    group, values = f"{place}/{{{EXTRAS}}}", f"{place}/{{{EXTRAS}}}/field"
    found.append(Rule(group, "zip-extra-fields", _EXTRA, Drop(is_known), "one-sided", known_extra))
    found.append(Rule(group, "member-owner", MEMBER_OWNER, None, "one-sided", known_owner))
    for kind in _KINDS:
        found += [
            Rule(f"{values}/{{{TIMES}}}", "zip-extra-fields", _EXTRA, Drop(), kind),
            Rule(f"{values}/{{uid,gid}}", "zip-extra-fields", _EXTRA, Drop(), kind, of_builder),
            Rule(f"{values}/{{uid,gid}}", "member-owner", MEMBER_OWNER, None, kind, suspect),
        ]
    return tuple(found)


RULES: tuple[Rule, ...] = (
    Rule(f"{MEMBER}/header/time", "zip-dos-time", _TIME, Set(canonical_time), claim=clock),
    Rule(f"{MEMBER}/header/time", "timezone-shift", "one instant, written in the local time of two zones",
         Set(canonical_time), claim=shifted),
    *_extras(MEMBER),
    *_extras(ENTRY),
    Rule(f"{MEMBER}/descriptor", "zip-layout", _LAYOUT, Drop(), "one-sided"),
    Rule(f"{MEMBER}/descriptor/signature", "zip-layout", _LAYOUT, Drop(), "one-sided"),
    Rule(f"{MEMBER}/0x0001", "zip-layout", _LAYOUT, Drop(fits), "one-sided", says_nothing),
    Rule(f"{ENTRY}/0x0001", "zip-layout", _LAYOUT, Drop(fits), "one-sided", says_nothing),
    Rule("zip/zip64", "zip-layout", _LAYOUT, Drop(ends_fit), "one-sided", says_nothing),
    Rule(f"{MEMBER}/descriptor/*", "zip-layout", _LAYOUT, Drop()),
    Rule(f"{MEMBER}/header/flags", "zip-layout", _LAYOUT, Set(without_habit), claim=habit),
    Rule(f"{MEMBER}/header/flags", "compressor-params", "the level that the compressor was told", Set(without_habit),
         claim=level),
    Rule(f"{MEMBER}/header/version", "zip-layout", _LAYOUT, Set(lambda _value, _policy: 20)),
    Rule(f"{ENTRY}/header/version", "zip-layout", _LAYOUT, Set(lambda _value, _policy: 20)),
    Rule("zip/zip64/end/version", "zip-layout", _LAYOUT, Set(lambda _value, _policy: 45)),
    Rule(f"{ENTRY}/header/made-by", "zip-host-made-by", _HOST, Set(made_by_told), claim=host_of_modeless,
         opt_in=True),
    Rule(f"{ENTRY}/header/made-by", "zip-host-made-by", _HOST, Set(made_by), claim=host),
    Rule("zip/zip64/end/made-by", "zip-host-made-by", _HOST, Set(made_by), claim=host),
    Rule(f"{ENTRY}/header/internal", "zip-host-made-by", "a guess of the program whether the content is text",
         Set(lambda value, _policy: value & ~1), claim=same_but_text),
    # Before the spelling: what this one writes is spelled canonically as well.
    Rule(f"{ENTRY}/header/external", "archive-mode-umask", "permissions that the builder's umask took away",
         Set(mode), claim=umask, opt_in=True),
    Rule(f"{ENTRY}/header/external", "zip-host-made-by", "the mode that a member without one has on most systems",
         Set(told, respell=True), claim=same_as_none, opt_in=True),
    Rule(f"{ENTRY}/header/external", "zip-host-made-by", "another spelling of the same mode and type",
         Set(lambda value, _policy: value, respell=True), claim=same_mode),
    Rule(f"{ENTRY}/header/external", "member-mode", MEMBER_MODE, claim=suspect),
    Rule(f"{MEMBER}/header/method", "compressor-params", _ENCODER, claim=other_method),
    Rule(f"{MEMBER}/content", "compressor-params", _ENCODER, Reencode(), "encoding", rewritable, encoders,
         opt_in=True),
    Rule(f"{MEMBER}/content", "compressor-params", _ENCODER, None, "encoding", same_content, encoders),
    Rule("zip", "zip-entry-order", "the order in which a directory was read or a build added files", Sort(in_order),
         "moved", sortable, orders),
    Rule("zip/directory", "zip-entry-order", "the order in which a directory was read or a build added files",
         Sort(in_order), "moved", sortable, orders),
    Rule("zip/trailing", "sparse-or-padding", "zeros that a tape or a block device added", None, "changed", zeros),
    Rule("zip/trailing", "sparse-or-padding", "zeros that a tape or a block device added", None, "one-sided", zeros),
    Rule(ENTRY, "file-set-difference", "the directory entry of a member that one side alone has", None, "one-sided", listed),
    *(rule for place in (MEMBER, ENTRY) for rule in (
        Rule(place, "member-rename", "the same content under another name", None, "one-sided", renamed, new_name),
        Rule(place, "file-set-difference", "a member that one side alone has", None, "one-sided", missing),
    )),
)  # fmt: skip
