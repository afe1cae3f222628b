"""Which differences between tar archives a rule may claim, and on what evidence."""

import re
from typing import Any

from normalizers.patterns import Sure, builders, is_umask
from reprodiff.formats.tar import LINK, SYMLINK, member_key
from reprodiff.formats.tar.header import BLOCK, keywords

PERMISSIONS = 0o777
DEVICES = {b"3", b"4"}
_SPARSE_PID = re.compile(rb"GNUSparseFile\.\d+/")


def identity(field: str) -> Any:
    def of_builder(evidence: Any) -> set[tuple[Any, Any]]:
        return builders((left, right) for _key, left, right in evidence.members("header", field))

    def claim(change: Any, evidence: Any) -> Sure | None:
        return "origin" if evidence.values(change) in evidence.once(of_builder) else None

    return claim


def _under_umask(evidence: Any) -> bool:
    links = {key for key, left, right in evidence.members("header", "typeflag") if SYMLINK in {left, right}}
    return is_umask(
        (left & PERMISSIONS, right & PERMISSIONS)
        for key, left, right in evidence.members("header", "mode")
        if key not in links
    )


def umask(change: Any, evidence: Any) -> Sure | None:
    values = evidence.values(change)
    if values is None or (values[0] ^ values[1]) & 0o7000:
        return None
    return "origin" if evidence.once(_under_umask) else None


def same_permissions(change: Any, evidence: Any) -> Sure | None:
    """Claim modes that differ in nothing but the file type bits, which the typeflag says already."""
    values = evidence.values(change)
    return "origin" if values is not None and values[0] & 0o7777 == values[1] & 0o7777 else None


def no_device(change: Any, evidence: Any) -> Sure | None:
    kinds = evidence.once(_typeflags).get(change.keys[-1], set())
    return None if kinds & DEVICES else "origin"


def _typeflags(evidence: Any) -> dict[bytes, set[bytes]]:
    found: dict[bytes, set[bytes]] = {}
    for key, left, right in evidence.members("header", "typeflag"):
        found.setdefault(key, set()).update((left, right))
    return found


def times_only(change: Any, _evidence: Any) -> Sure | None:
    """Claim an extended header of one side alone that holds nothing but times."""
    raw = change.left or change.right
    words = set(_keywords(raw)) if raw else set()
    return "origin" if words and words <= {b"mtime", b"atime", b"ctime"} else None


def fraction_only(change: Any, _evidence: Any) -> Sure | None:
    """Claim an extended header of one side alone that holds nothing but the time below a second."""
    raw = change.left or change.right
    return "origin" if raw and set(_keywords(raw)) == {b"mtime"} else None


def same_name(change: Any, evidence: Any) -> Sure | None:
    """Claim names that both stand for the member's own: cut or split as each dialect does."""
    values = evidence.values(change)
    key = change.keys[-1]
    return "origin" if values is not None and all(_stands_for(value, key) for value in values) else None


def _stands_for(name: bytes, key: bytes) -> bool:
    bare = member_key(name) if name else b""
    return key.startswith(bare) or key.endswith(b"/" + bare)


def same_but_pid(change: Any, evidence: Any) -> Sure | None:
    """Claim names that differ in nothing but the process id that GNU tar gives sparse members."""
    values = evidence.values(change)
    return "origin" if values and without_sparse_pid(values[0]) == without_sparse_pid(values[1]) else None


def without_sparse_pid(value: bytes) -> bytes:
    """Return the name of a sparse member's header without the process id of tar."""
    return _SPARSE_PID.sub(b"GNUSparseFile.0/", value)


def linked(change: Any, evidence: Any) -> Sure | None:
    """Claim what makes a member a hard link on one side and the same content in full on the other."""
    return "origin" if change.keys[-1] in evidence.once(_links_or_copies) else None


def _links_or_copies(evidence: Any) -> set[bytes]:
    comparison = evidence.comparison
    by_key = [{pair[side].key: pair[side] for pair in comparison.members} for side in (0, 1)]
    found = set()
    for pair in comparison.members:
        flags = [group.info.typeflag for group in pair]
        if (flags[0] == LINK) == (flags[1] == LINK):
            continue
        link = 0 if flags[0] == LINK else 1
        target = by_key[link].get(member_key(pair[link].info.linkname))
        if target is not None and evidence.payload(link, target) == evidence.payload(1 - link, pair[1 - link]):
            found.add(pair[0].key)
    return found


def names_only(change: Any, _evidence: Any) -> Sure | None:
    """Claim an extended header of one side alone that holds nothing but what aligned members have in common."""
    raw = change.left or change.right
    words = set(_keywords(raw)) if raw else set()
    return "origin" if words and words <= {b"path", b"mtime", b"atime", b"ctime"} else None


def _keywords(raw: bytes) -> list[bytes]:
    size = int(raw[124:136].split(b"\0", 1)[0].strip() or b"0", 8)
    return list(keywords(raw[BLOCK : BLOCK + size]))
