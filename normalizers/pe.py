"""Opinions about PE images and COFF objects."""

import re
from typing import Any

from normalizers.common import clamp, suspect
from normalizers.elf import SAID, directories, rust, said
from normalizers.patterns import Sure
from normalizers.programs import section_of, texts
from reprodiff.rules import UNIFY, Policy, Rederive, Rule, Set
from reprodiff.sources import Source
from reprodiff.tree import Group, Refs, children

# A later one is rather a hash of the content, which linkers wrote before they said so in the debug directory.
LATEST = 1 << 31
IN_SECTION = "pe/section[*]"
STAMPS = (
    "pe/header",
    f"{IN_SECTION}/export",
    f"{IN_SECTION}/debug[*]",
    f"{IN_SECTION}/loadconfig/fields",
    f"{IN_SECTION}/resourcedirectory[*]/fields",
)
CERTIFICATE = "pe/certificates/table/certificate[*]"


def guard(_source: Source, root: Group, policy: Policy) -> str | None:
    """Leave alone what is signed, and what is likely to check itself."""
    if root.info.signed:
        return "it is signed: the signature covers its bytes"
    if root.info.overlay and policy.mode != UNIFY:
        return "data follows its last section: an installer or archive, which may hold checksums of the whole file"
    return None


def _hashed(evidence: Any) -> bool:
    return any(root.info.hashed for root in evidence.comparison.roots)


def _time(change: Any, evidence: Any) -> Sure | None:
    """Claim a time stamp; one that is no plausible time, or a hash that differs alone, is only likely one."""
    values = evidence.values(change)
    if values is None:
        return None
    return "suspected" if _hashed(evidence) or max(values) >= LATEST else "origin"


def _never(_change: Any, _evidence: Any) -> Sure | None:
    return None


def _blank(raw: bytes, _refs: Refs) -> bytes:
    return bytes(len(raw))


def _program_database(change: Any, evidence: Any) -> Sure | None:
    """Claim the path of a PDB file: the same file name in other directories; another name may be a choice."""
    values = evidence.values(change)
    if values is None or not all(value.lower().endswith(b".pdb") for value in values):
        return None
    left, right = (re.split(rb"[\\/]", value)[-1] for value in values)
    return "origin" if left == right else "suspected"


def _tools(change: Any, evidence: Any) -> Sure | None:
    return None if evidence.values(change) is None else "origin"


def _no_tools(value: Any, _policy: Policy) -> Any:
    return tuple((0, 0, 0) for _entry in value)


def _is_zero(change: Any, _evidence: Any) -> Sure | None:
    kept = [data for data in (change.left, change.right) if data is not None]
    return "origin" if kept and not any(data.strip(b"\0") for data in kept) else None


def _stamps() -> tuple[Rule, ...]:
    why = "the clock when it was compiled or linked; with /Brepro a hash of the content"
    return tuple(
        Rule(f"{place}/timedatestamp", "pe-timestamp", why, Set(clamp), claim=_time, opt_in=True) for place in STAMPS
    )


_STRIPPED = "debug information or symbols that one side alone has"
# IMAGE_FILE_LINE_NUMS_STRIPPED, IMAGE_FILE_LOCAL_SYMS_STRIPPED, IMAGE_FILE_DEBUG_STRIPPED
_STRIPPED_FLAGS = 0x4 | 0x8 | 0x200


def _kept(evidence: Any) -> list[tuple[bool, bool]]:
    """Return for each side whether it has debug information, and whether symbols."""
    found = []
    for root in evidence.comparison.roots or ():
        nodes = children(root)
        debug = any(
            isinstance(n, Group) and n.name == "section" and (n.key or b"").startswith(b".debug_") for n in nodes
        )
        found.append((debug, any(n.name == "symbols" for n in nodes)))
    return found


def _stripped(change: Any, evidence: Any) -> Sure | None:
    """Claim what strip takes out, where the other side has nothing of its kind."""
    kept = evidence.once(_kept)
    kind = 1 if not change.keys else 0 if section_of(change).startswith(b".debug_") else None
    return "origin" if kind is not None and len(kept) == 2 and kept[0][kind] != kept[1][kind] else None


def _stripped_flags(change: Any, evidence: Any) -> Sure | None:
    """Claim the flags of the header that say what was stripped, where it was."""
    kept, values = evidence.once(_kept), evidence.values(change)
    if values is None or len(kept) != 2 or kept[0] == kept[1] or (values[0] ^ values[1]) & ~_STRIPPED_FLAGS:
        return None
    return "origin"


# A text in a resource, of two bytes a letter.
_WIDE = re.compile(rb"(?:[\x20-\x7e]\0){4,}")
_RESOURCE_MAX = 1 << 16


def _said(cause: str) -> Any:
    """Return a claim for a text in a resource that differs in what it says of its build."""

    def claim(change: Any, evidence: Any) -> Sure | None:
        from normalizers.texts import said

        comparison = evidence.comparison
        if change.l1 - change.l0 != change.r1 - change.r0 or change.l1 - change.l0 > _RESOURCE_MAX:
            return None
        one, two = comparison.left.read(change.l0, change.l1), comparison.right.read(change.r0, change.r1)
        texts_of = [[(match.start(), match[0][::2]) for match in _WIDE.finditer(side)] for side in (one, two)]
        if len(texts_of[0]) != len(texts_of[1]) or _WIDE.sub(b"", one) != _WIDE.sub(b"", two):
            return None
        found = [said(a[1], b[1]) if a[0] == b[0] else None for a, b in zip(*texts_of, strict=True) if a != b]
        if not found or any(each is None or each.cause != cause for each in found):
            return None
        return "origin" if all(each and each.sure == "origin" for each in found) else "suspected"

    return claim


def _along() -> tuple[Rule, ...]:
    """Blank what identifies the build together with whatever is normalized: it was made from that, or beside it."""
    return tuple(
        Rule(place, cause, "identifies the build", Rederive(_blank), claim=_never, opt_in=True)
        for place in (*(f"{stamps}/timedatestamp" for stamps in STAMPS), f"{IN_SECTION}/debugdata[*]/{{guid,hash}}")
        for cause in ("pe-timestamp", "pe-debug-guid-pdb", "pe-rich-header")
    )


RULES: tuple[Rule, ...] = (
    *_stamps(),
    Rule(
        f"{IN_SECTION}/import[*]/fields/timedatestamp",
        "pe-timestamp",
        "the time of the library that the image was bound to, or a mark that it was",
        claim=suspect,
    ),
    Rule("pe/boundimport[*]/fields/timedatestamp", "pe-timestamp", "the time of the library that the image was bound to",
         claim=suspect),
    Rule(
        f"{IN_SECTION}/debugdata[*]/guid",
        "pe-debug-guid-pdb",
        "drawn at random, or made from the PDB file, which keeps paths and command lines",
        Rederive(_blank),
        opt_in=True,
    ),
    Rule(
        f"{IN_SECTION}/debugdata[*]/hash",
        "pe-debug-guid-pdb",
        "made from the content by /Brepro",
        claim=suspect,
    ),
    Rule(
        f"{IN_SECTION}/debugdata[*]/age",
        "pe-debug-guid-pdb",
        "how often the PDB file was written",
        Set(lambda _value, _policy: 1),
        opt_in=True,
    ),
    Rule(f"{IN_SECTION}/debugdata[*]/timedatestamp", "pe-debug-guid-pdb", "names the PDB file, as its age does"),
    Rule(
        f"{IN_SECTION}/debugdata[*]/path",
        "pe-debug-guid-pdb",
        "where the linker wrote the PDB file",
        claim=_program_database,
    ),
    Rule(
        "pe/rich",
        "pe-rich-header",
        "which builds of which tools made the objects; nothing reads it",
        Set(_no_tools),
        claim=_tools,
        opt_in=True,
    ),
    *(Rule(f"{IN_SECTION}/resource[*]/data", cause, why, claim=_said(cause)) for cause, why in SAID.items()),
    Rule("pe/certificates", "code-signature", "one side is signed", None, "one-sided"),
    Rule(f"{CERTIFICATE}/data", "code-signature", "a signature: made with a secret key, often with a time"),
    Rule(CERTIFICATE, "code-signature", "one side has one signature more", None, "one-sided"),
    Rule(f"{CERTIFICATE}/padding", "code-signature", "aligns the next signature", None, "one-sided", _is_zero),
    Rule("pe/certificates/padding", "code-signature", "aligns the signature", None, "one-sided", _is_zero),
    *_along(),
    *texts(IN_SECTION, b".debug_"),
    Rule("pe/symbols/file[*]", "dwarf-comp-dir", "the path of a source file, in the symbol table", claim=directories.under_root),
    Rule("pe/strings/string[*]", "dwarf-comp-dir", "the path of a source file, in the symbol table", claim=directories.under_root),
    Rule("pe/strings/string[*]", "anon-namespace-random-symbol", "a name with a random number",
         claim=said.anonymous_symbol),
    Rule("pe/strings/string[*]", "rust-crate-hash", "the same Rust symbol with the hash of another crate",
         claim=rust.rust_hash),
    Rule(IN_SECTION, "stripped", _STRIPPED, None, "one-sided", _stripped),
    Rule("pe/sections/sectionheader[*]", "stripped", _STRIPPED, None, "one-sided", _stripped),
    Rule("pe/{symbols,strings}", "stripped", _STRIPPED, None, "one-sided", _stripped),
    Rule("pe/header/characteristics", "stripped", "says what was stripped", claim=_stripped_flags),
)  # fmt: skip
