"""Opinions about Mach-O files."""

from typing import Any

from normalizers.common import clamp, suspect
from normalizers.patterns import Sure
from normalizers.programs import texts
from reprodiff.rules import Policy, Rederive, Rule, Set
from reprodiff.sources import Source
from reprodiff.tree import Group, Refs

LATEST = 1 << 31
SIGNATURE = "macho/codesignature"


def guard(_source: Source, root: Group, _policy: Policy) -> str | None:
    """Leave alone what is signed with a key; hashes of pages without one follow what they cover."""
    return "it is signed: the signature covers its bytes" if root.info.signed else None


def _time(change: Any, evidence: Any) -> Sure | None:
    values = evidence.values(change)
    if values is None:
        return None
    return "origin" if max(values) < LATEST else "suspected"


def _blank(raw: bytes, _refs: Refs) -> bytes:
    return bytes(len(raw))


def _never(_change: Any, _evidence: Any) -> Sure | None:
    return None


def _same_tail(change: Any, evidence: Any) -> Sure | None:
    """Claim two paths that end in the same component below other directories; others are only likely."""
    values = evidence.values(change)
    if values is None:
        return "suspected"
    left, right = (value.rstrip(b"/").split(b"/") for value in values)
    return "origin" if min(len(left), len(right)) > 1 and left[-1] == right[-1] else "suspected"


RULES: tuple[Rule, ...] = (
    Rule(
        "macho/commands/lc_uuid/uuid",
        "macho-uuid",
        "identifies the build; made from its content, or from paths and times",
        Rederive(_blank),
        opt_in=True,
    ),
    Rule(
        "macho/commands/lc_uuid/uuid",
        "macho-oso-mtime",
        "made from the symbols too",
        Rederive(_blank),
        claim=_never,
        opt_in=True,
    ),
    Rule(
        "macho/symbols/oso[*]/n_value",
        "macho-oso-mtime",
        "when the object was written that debuggers read",
        Set(clamp),
        claim=_time,
        opt_in=True,
    ),
    Rule("macho/strings/oso[*]/path", "macho-oso-mtime", "the object that debuggers read", claim=_same_tail),
    Rule("macho/strings/so[*]/path", "dwarf-comp-dir", "the directory and name of a source file", claim=_same_tail),
    Rule("macho/commands/lc_rpath/path", "rpath-build-path", "a library directory of the build tree", claim=_same_tail),
    Rule(
        "macho/commands/lc_id_dylib[*]/fields/timestamp",
        "epoch-integer-timestamp",
        "when the library was built, as old linkers wrote it",
        claim=suspect,
    ),
    *texts("macho/section[*]", b"__DWARF,"),
    Rule(f"{SIGNATURE}/blob", "code-signature", "a signature: made with a secret key, often with a time"),
    Rule(SIGNATURE, "code-signature", "one side is signed", None, "one-sided"),
    Rule("macho/commands/lc_code_signature", "code-signature", "one side is signed", None, "one-sided"),
)
