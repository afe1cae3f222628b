"""Opinions about ar archives: static libraries and Debian packages."""

from typing import Any

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
    zero,
)
from normalizers.elf.rust import rust_hash
from normalizers.patterns import Sure, builders, is_umask
from reprodiff.formats.ar import Archive, Symbol, derive_padding, index, movable
from reprodiff.rules import UNIFY, Policy, Rederive, Rule, Set, Sort
from reprodiff.sources import Source
from reprodiff.tree import Group, Refs

HEADER = "ar/member[*]/header"
TABLES = "ar/{symbols,symdef,linker,names}/header"
PADDING = "ar/{member[*],symbols,symdef,linker,names}/padding"
SUFFIXES = {"gzip": b".gz", "xz": b".xz", "zstd": b".zst", "bzip2": b".bz2", "lz4": b".lz4", "lzma": b".lzma"}
# What makes a member's size even: a newline (ar(5)), or NUL by some writers.
EVEN = b"\n\0"
PERMISSIONS, REGULAR = 0o777, 0o100000


def guard(_source: Source, root: Group, policy: Policy) -> str | None:
    """Leave alone what is reproducible by other means, and what could not follow a member that moves."""
    if root.info.deb and policy.mode != UNIFY:
        return (
            "a Debian package: dpkg-deb writes it reproducibly when SOURCE_DATE_EPOCH is set, and its parts are what "
            "signatures and checksums were made of"
        )
    return None if movable(root) else "its symbol table does not refer to its members"


def library_mode(value: int, policy: Policy) -> int:
    """Return the mode that deterministic writers give a member; to ship, an executable one stays executable, and what
    is no plain file stays as it is."""
    if value & ~PERMISSIONS not in {0, REGULAR}:
        return value
    return 0o755 if value & 0o100 and policy.mode != UNIFY else 0o644


def _same(value: Any, _policy: Policy) -> Any:
    return value


def _differs(change: Any, evidence: Any) -> Sure | None:
    values = evidence.values(change)
    return None if values is None or values[0] == values[1] else "origin"


def _sides(evidence: Any, field: str) -> tuple[list[Any], list[Any]]:
    pairs = [(left, right) for _key, left, right in evidence.members("header", field)]
    return [left for left, _ in pairs], [right for _, right in pairs]


def _deterministic(evidence: Any) -> bool:
    """Tell whether one side was written without times and owners, as `ar D` does, and the other was not."""
    bare = [True, True]
    for field in ("date", "uid", "gid"):
        for side, values in enumerate(_sides(evidence, field)):
            bare[side] = bare[side] and not any(values)
    return bare[0] != bare[1]


def _identity(field: str) -> Any:
    def of_builder(evidence: Any) -> set[tuple[Any, Any]]:
        return builders((left, right) for _key, left, right in evidence.members("header", field))

    def claim(change: Any, evidence: Any) -> Sure | None:
        values = evidence.values(change)
        if values is None or values[0] == values[1]:
            return None
        return "origin" if values in evidence.once(of_builder) or evidence.once(_deterministic) else None

    return claim


def _modes(evidence: Any) -> bool:
    """Tell whether two umasks, or two writers, explain the modes of all members.

    Objects are no programs: that all of them have one mode on each side tells a umask as well.
    """
    left, right = _sides(evidence, "mode")
    if len(left) > 1 and len(set(left)) == len(set(right)) == 1 and not (left[0] ^ right[0]) & ~(REGULAR | 0o22):
        return True
    if is_umask((one & PERMISSIONS, two & PERMISSIONS) for one, two in zip(left, right, strict=True)):
        return True
    return any(set(side) == {0o644} for side in (left, right)) and _deterministic(evidence)


def _mode(change: Any, evidence: Any) -> Sure | None:
    """Claim permissions that umasks or writers explain; of the other bits no more than that of a regular file, which
    deterministic writers leave out."""
    values = evidence.values(change)
    if values is None or values[0] == values[1]:
        return None
    if (values[0] ^ values[1]) & ~PERMISSIONS:
        if {value & ~PERMISSIONS for value in values} != {0, REGULAR}:
            return None
        if values[0] & PERMISSIONS == values[1] & PERMISSIONS:
            return "origin"
    return "origin" if evidence.once(_modes) else None


def _renamed_keys(evidence: Any) -> set[bytes]:
    return {one.key for one, two in evidence.comparison.members if one.key != two.key}


def _same_name(change: Any, evidence: Any) -> Sure | None:
    """Claim another spelling of a member's name: aligned members have one name but for a compressor's suffix."""
    return None if change.keys[-1] in evidence.once(_renamed_keys) else "origin"


def _other_compressors(evidence: Any) -> set[bytes]:
    """Return the keys of members that two compressors wrote, and that are called after them on each side."""
    found = set()
    for change in evidence.comparison.through.get("ar/member[*]/content", ()):
        inner = change.inner
        if inner.format == "compressed":
            payload = [*inner.changes.get("compressed", ()), *inner.through.get("compressed", ())][0]
            kinds = [node.content.name for node in payload.nodes]
            names = next((one.key, two.key) for one, two in evidence.comparison.members if one.key == change.keys[-1])
            if all(name.endswith(SUFFIXES.get(kind, b"/")) for kind, name in zip(kinds, names, strict=True)):
                found.add(change.keys[-1])
    return found


def _suffix(change: Any, evidence: Any) -> Sure | None:
    """Claim names of two suffixes that each side's content agrees with."""
    return "origin" if change.keys[-1] in evidence.once(_other_compressors) else None


def _one_name_table(change: Any, evidence: Any) -> Sure | None:
    """Claim a table of long names that one side alone has, when the other spells the same names elsewhere."""
    side = 0 if change.kind == "left" else 1
    aligned = {pair[side].key for pair in evidence.comparison.members}
    names = set(evidence.comparison.roots[side].info.long_names())
    return "origin" if names and names <= aligned else None


def _same_index(_change: Any, evidence: Any) -> Sure | None:
    """Claim a symbol table that one side alone has, when the other has one of another kind that says the same."""
    left, right = evidence.once(_indices)
    return "origin" if left and left == right else None


def _indices(evidence: Any) -> tuple[list[Any], list[Any]]:
    one, two = evidence.comparison.roots
    return index(one), index(two)


def _alone(change: Any, evidence: Any) -> bool:
    """Tell whether the member that a part of a table is about is on one side alone."""
    return any(
        other.kind == change.kind and other.keys == change.keys
        for other in evidence.comparison.changes.get("ar/member[*]", ())
    )


def _missing_entry(change: Any, evidence: Any) -> Sure | None:
    return missing(change, evidence) if _alone(change, evidence) else None


def _renamed_entry(change: Any, evidence: Any) -> Sure | None:
    return renamed(change, evidence) if _alone(change, evidence) else None


def _padding(change: Any, _evidence: Any) -> Sure | None:
    """Claim bytes that do nothing but make a size even."""
    return None if (change.left or b"").strip(EVEN) or (change.right or b"").strip(EVEN) else "origin"


def _left_out(change: Any, evidence: Any) -> Sure | None:
    return None if change.left and change.right else _padding(change, evidence)


def padding(raw: bytes, refs: Refs) -> bytes:
    """Return the byte that makes a member's size even; one that no writer writes stays, as long as one is needed."""
    byte = derive_padding(raw, refs)
    return raw if raw.strip(EVEN) and len(raw) == len(byte) else byte


def _sortable(_order: Any, evidence: Any) -> Sure | None:
    return "origin" if all(_may_sort(root.info) for root in evidence.comparison.roots) else None


def _may_sort(archive: Archive) -> bool:
    # dpkg reads a package's parts in their order; a second linker member counts members.
    return not archive.deb and not archive.linker


def in_order(members: list[Group]) -> list[Group]:
    """Sort members by name; those of one name keep their order."""
    if not members or not _may_sort(members[0].info.archive):
        return members
    return sorted(members, key=lambda member: member.key or b"")


def names_in_order(entries: list[Group]) -> list[Group]:
    """Sort the table of long names as `in_order` does the members that refer to it."""
    if not entries or not _may_sort(entries[0].info):
        return entries
    return sorted(entries, key=lambda entry: entry.key or b"")


def symbols_in_order(parts: list[Group]) -> list[Group]:
    """Sort the parts of a symbol table by the member that they are about, where the table is not by symbol."""
    if not parts or not _may_sort(parts[0].info.archive):
        return parts

    def place(part: Group) -> tuple[bytes, int]:
        symbol: Symbol = part.info
        if symbol.sorted:
            return part.key or b"", 0
        return symbol.member.key or b"", symbol.member.start

    return sorted(parts, key=place)


_WHY = "when and by whom the members were written or packed: no linker looks at it"
_SPELLING = "another ar dialect, or another spelling of the same value"
_EVEN = "the byte that makes a member's size even"
_ORDER = "the order in which a directory was read or a shell sorted"
_FOLLOWS = "what the tables say of a member that one side alone has"

RULES: tuple[Rule, ...] = (
    *(Rule(f"{header}/date", "ar-metadata", _WHY, Set(clamp), claim=_differs) for header in (HEADER, TABLES)),
    *(
        Rule(f"{HEADER}/{field}", "ar-metadata", _WHY, Set(zero), claim=_identity(field)) for field in ("uid", "gid")
    ),
    Rule(f"{TABLES}/{{uid,gid}}", "ar-metadata", _WHY, Set(zero), claim=_differs),
    Rule(f"{HEADER}/mode", "ar-metadata", "permissions as the builder's umask left them", Set(library_mode), claim=_mode),
    Rule(f"{TABLES}/mode", "ar-metadata", "permissions of what is no file", Set(zero), claim=_differs, opt_in=True),
    *(
        Rule(f"{header}/{field}", "ar-format", _SPELLING, Set(value, respell=True), claim=same_value, opt_in=True)
        for header in (HEADER, TABLES)
        for field, value in (
            ("date", clamp), ("uid", zero), ("gid", zero), ("mode", library_mode if header == HEADER else zero),
        )
    ),
    Rule(f"{HEADER}/{{uid,gid}}", "member-owner", MEMBER_OWNER, claim=suspect),
    Rule(f"{HEADER}/mode", "member-mode", MEMBER_MODE, claim=suspect),
    Rule(f"{HEADER}/name", "ar-format", _SPELLING, claim=_same_name),
    Rule(f"{HEADER}/name", "compressor-params", "a part is called after the compressor that packed it", claim=_suffix),
    *(
        Rule(place, "rust-crate-hash", "a name of Rust with the digest of another crate", claim=rust_hash)
        for place in (f"{HEADER}/name", "ar/member[*]/name", "ar/names/table/name[*]/name", "ar/symbols/map/names/member[*]/symbols",
                      "ar/symbols/map/names/member[*]")
    ),
    Rule("ar/{symbols,symdef,linker}/header/name", "ar-format", _SPELLING),
    Rule("ar/member[*]/name", "ar-format", _SPELLING, claim=_same_name),
    Rule("ar/member[*]/name", "ar-format", _SPELLING, None, "one-sided", _same_name),
    Rule("ar/names", "ar-format", _SPELLING, None, "one-sided", _one_name_table),
    Rule("ar/{symbols,symdef}", "ar-format", _SPELLING, None, "one-sided", _same_index),
    Rule("ar/names/table/name[*]/end", "ar-format", _SPELLING),
    Rule(PADDING, "sparse-or-padding", _EVEN, Rederive(padding), claim=_left_out, opt_in=True),
    Rule(PADDING, "sparse-or-padding", _EVEN, None, "one-sided", _padding, opt_in=True),
    Rule(PADDING, "ar-format", "another byte makes a member's size even", Rederive(padding), claim=_padding, opt_in=True),
    Rule("ar", "ar-member-order", _ORDER, Sort(in_order), "moved", _sortable, orders, opt_in=True),
    Rule("ar/names/table", "ar-member-order", _ORDER, Sort(names_in_order), "moved", _sortable, orders, opt_in=True),
    *(
        Rule(f"ar/{table}", "ar-member-order", _ORDER, Sort(symbols_in_order), "moved", _sortable, orders, opt_in=True)
        for table in ("symbols/map/names", "symdef/map/ranlibs", "symdef/map/strings")
    ),
    # Whatever is moved behind an odd member must not touch it.
    Rule("ar/member[*]/padding", "ar-member-order", _ORDER, Rederive(padding), claim=lambda _c, _e: None, opt_in=True),
    Rule("ar/member[*]", "member-rename", "the same content under another name", None, "one-sided", renamed, new_name),
    Rule("ar/member[*]", "file-set-difference", "a member that one side alone has", None, "one-sided", missing),
    *(
        rule
        for place in ("ar/names/table/name[*]", "ar/symbols/map/names/member[*]")
        for rule in (
            Rule(place, "member-rename", _FOLLOWS, None, "one-sided", _renamed_entry, new_name),
            Rule(place, "file-set-difference", _FOLLOWS, None, "one-sided", _missing_entry),
        )
    ),
)  # fmt: skip
