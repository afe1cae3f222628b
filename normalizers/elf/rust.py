"""What justifies a cause that Rust's compiler has: digests in names, units of code generation, lists of crates."""

import re
from typing import Any, Literal

from normalizers.elf.claims import images, text_of, without
from normalizers.patterns import Sure
from reprodiff.formats.elf.rust.audit import packages

# So many names do not change by accident.
RENAMED_MIN = 4
# A part of a text that stands elsewhere as well, and how long a text is looked at.
PART, TEXT_MAX = 8, 4096
_HASHES = re.compile(
    rb"17h[0-9a-f]{16}E?|(?<=Cs)[0-9a-zA-Z]{5,13}_|(?<=[-.])[0-9a-f]{16}(?=[-.])|\.llvm\.\d+$"
    rb"|(?:(?<=[./])|^)(?=[a-z]*\d)[0-9a-z]{24,25}(?=$|\.rcgu)|(?<=anon\.)[0-9a-f]{32}|(?<=alloc_)[0-9a-f]{32}"
)

_rust_hash = without(_HASHES)


def _others(pattern: "re.Pattern[bytes]", left: bytes, right: bytes) -> bool:
    """Tell whether the digests of two names are the same or others altogether: a third of their digits differs."""
    ones, twos = pattern.findall(left), pattern.findall(right)
    return len(ones) == len(twos) and all(
        a == b or len(a) != len(b) or 3 * sum(x != y for x, y in zip(a, b, strict=True)) >= len(a)
        for a, b in zip(ones, twos, strict=True)
    )


def rust_hash(change: Any, evidence: Any) -> Sure | None:
    """Claim a name of Rust that is the same but for digests, and for the directory that was built in."""
    text = text_of(change)
    if not text or not all(_HASHES.search(side) for side in text):
        return None
    bare = _HASHES.sub(b"", text[0]), _HASHES.sub(b"", text[1])
    if not _others(_HASHES, *text):
        return None
    return "origin" if _rust_hash(change, evidence) or evidence.shared.mapped(*bare) else None


def other_versions(change: Any, evidence: Any) -> Sure | None:
    """Claim a list of crates that has the same ones in other versions; suspect one that has others."""
    comparison = evidence.comparison
    one, two = (
        packages(comparison.left.read(change.l0, change.l1)),
        packages(comparison.right.read(change.r0, change.r1)),
    )
    if one is None or two is None:
        return None
    names = [sorted(str(row.get("name")) for row in rows) for rows in (one, two)]
    return "origin" if names[0] == names[1] else "suspected"


_UNIT = re.compile(rb"(?:^|[/\0])([\w-]+)\.[0-9a-f]{16}-cgu\.\d+(?=\0)")

# Names that a Rust compiler makes, of functions, constants, tables and units.
_MADE = re.compile(
    rb"_ZN|_R[A-Z]|GCC_except_table\d|\.?L?anon\.|alloc_[0-9a-f]{32}|DW\.ref\.rust|vtable\.|switch\.table|str\.|.*-cgu\.\d+$"
)


def _units(image: Any) -> dict[bytes, int]:
    """Return how many units of code generation each crate of a program was cut into, by their names."""
    found: dict[bytes, set[bytes]] = {}
    for section in image.sections:
        if section.name in {b".strtab", b".debug_str"} and section.stored and not section.compressed:
            for match in _UNIT.finditer(image.data(section)):
                found.setdefault(match[1], set()).add(match[0].rpartition(b"/")[2].strip(b"\0"))
    return {crate: len(names) for crate, names in found.items()}


def units_differ(evidence: Any) -> bool:
    """Tell whether a crate that both sides have was cut into another number of units."""
    both = images(evidence)
    if both is None:
        return False
    one, two = map(_units, both)
    return any(one[crate] != two[crate] for crate in one.keys() & two.keys())


def codegen_units(change: Any, evidence: Any) -> Sure | None:
    """Suspect what a crate that was cut into another number of units may change: code and where it lies, names that
    the compiler made, but no text, no import and no flag."""
    if not evidence.once(units_differ):
        return None
    named = evidence.where.endswith(("/symbol[*]", "/string[*]"))
    if not named:
        return "suspected"
    names = change.keys if evidence.where.endswith("/symbol[*]") else (change.left or b"", change.right or b"")
    return "suspected" if all(_MADE.match(name.rstrip(b"\0")) for name in names if name) else None


def _constants(evidence: Any) -> tuple[bytes, bytes]:
    one, two = (
        b"".join(image.data(s) for s in image.sections if s.name.startswith(b".rodata") and s.stored)
        for image in images(evidence) or ()
    )
    return one, two


def moved_text(change: Any, evidence: Any) -> Sure | None:
    """Suspect texts of a crate that was cut into another number of units where every part of them is among the
    constants of the other side: what has no end stands beside other texts there."""
    if not evidence.once(units_differ):
        return None
    for whole, other in zip((change.left, change.right), reversed(evidence.once(_constants)), strict=True):
        text = (whole or b"").strip(b"\0")
        width = min(len(text), PART)
        places = [at for at in range(len(text) - width + 1) if text[at : at + width] in other]
        reach = 0
        for at in places:
            if at > reach:
                return None
            reach = at + width
        if len(text) > TEXT_MAX or reach < len(text):
            return None
    return "suspected"


def codegen_units_order(_order: Any, evidence: Any) -> Sure | None:
    """Suspect another order where a crate was cut into another number of units."""
    return "suspected" if evidence.once(units_differ) else None


_NUMBERED = re.compile(rb"GCC_except_table\d+\0*")


def reordered_by_names(change: Any, evidence: Any) -> Sure | None:
    """Suspect debug information, and names with numbers, beside names that differ in their digests: compilers sort by
    these."""
    if evidence.where == "elf/.strtab/string[*]" and not all(
        map(_NUMBERED.fullmatch, filter(None, (change.left, change.right)))
    ):
        return None
    names = evidence.comparison.changes.get("elf/.strtab/string[*]", ())
    hashed = sum(rust_hash(change, evidence) is not None for change in names)
    return "suspected" if hashed >= RENAMED_MIN and 2 * hashed > len(names) else None


_NUMBER = re.compile(rb"\.llvm\.\d{4,20}$")

_promoted = without(_NUMBER)


def promoted(change: Any, evidence: Any) -> Sure | Literal["consequence"] | None:
    """Claim a name that ends in the digest of its module, as link-time optimization gives names of one file to the
    whole program: it follows where anything but names differs."""
    text = text_of(change)
    if not text or not _promoted(change, evidence) or not _others(_NUMBER, *text):
        return None
    names = ("elf/.strtab/", "elf/.dynstr/", "elf/.debug_str/")
    comparison = evidence.comparison
    return "consequence" if any(not where.startswith(names) for where in comparison.changes) else "suspected"


def other_crate(_change: Any, evidence: Any) -> Sure | None:
    """Suspect what differs in metadata whose crate is told from others by another number."""
    return "suspected" if "elf/.rmeta/crate-id" in evidence.comparison.changes else None
