"""The order of a zip archive's members, and archives that must stay as they are."""

import re
from operator import attrgetter
from typing import Any

from normalizers.patterns import Sure
from reprodiff.rules import Contents, Policy
from reprodiff.sources import Source
from reprodiff.tree import Group, Leaf, Record, children

_SIGNATURE = re.compile(rb"META-INF/[^/]+\.(?:SF|RSA|DSA|EC)", re.IGNORECASE)
_SEALED = re.compile(rb"(?:.*/)?[^/]*\.p7s|META-INF/(?:mozilla\.rsa|cose\.sig)", re.IGNORECASE | re.DOTALL)
_FIRST = re.compile(rb"META-INF/(?:MANIFEST\.MF|[^/]+\.(?:SF|RSA|DSA|EC))?", re.IGNORECASE)
_RECORD = re.compile(rb"[^/]+\.dist-info/RECORD")
_DIGESTS = re.compile(rb"_xmlsignatures/.+|package/services/digital-signature/.+|META-INF/documentsignatures\.xml")
# Where members go that have no place of their own.
OTHERS = 4


def sortable(order: Any, _evidence: Any) -> Sure | None:
    """Claim an order in which no member leads on one side alone that readers look for at the start."""
    return "origin" if _leading(order.left) == _leading(order.right) else None


def _leading(keys: list[bytes]) -> list[bytes]:
    """Return `mimetype` and the parts of a jar that readers look for first, where they are."""
    found: list[bytes] = []
    for key in keys:
        if not (key == b"mimetype" or _FIRST.fullmatch(key)):
            break
        if key.upper() != b"META-INF/":
            found.append(key)
    return found


def in_order(members: list[Group]) -> list[Group]:
    """Sort members by name; members of one name keep their order.

    What readers look for at a certain place stays there: `mimetype` first (OCF, OpenDocument), then META-INF/ and the
    manifest of a jar and what signs it (JarInputStream), and the RECORD of a wheel last, after its metadata (PEP 427).
    """
    keys = {member.key or b"" for member in members}
    jar = any(key.upper() == b"META-INF/MANIFEST.MF" for key in keys)
    record = next((key for key in keys if _RECORD.fullmatch(key)), b"")
    info = record[:-6]

    def place(member: Group) -> tuple[int, bytes]:
        key = member.key or b""
        if key == b"mimetype":
            return 0, key
        if jar and key[:9].upper() == b"META-INF/":
            name = key[9:].upper()
            rank = {b"": 1, b"MANIFEST.MF": 2}.get(name, 3 if _SIGNATURE.fullmatch(key) else OTHERS)
            # A signature file comes before the block that signs it, though SF sorts after RSA.
            return rank, (
                name.rpartition(b".")[0] + (b" " if name.endswith(b".SF") else b"~") if rank == 3 else b""
            ) + key
        if info and key.startswith(info):
            return 7 if key == record else 6, key
        return OTHERS, key

    # Few members have a place of their own; the rest, of which there may be 100,000, is sorted by names alone.
    placed = [
        member
        for member in members
        if (key := member.key or b"") == b"mimetype"
        or (jar and key[:9].upper() == b"META-INF/")
        or (info and key.startswith(info))
    ]
    if not placed:
        return sorted(members, key=attrgetter("key"))
    ranks = {id(member): place(member) for member in placed}
    first = sorted((member for member in placed if ranks[id(member)][0] < OTHERS), key=place)
    last = sorted((member for member in placed if ranks[id(member)][0] > OTHERS), key=place)
    apart = {id(member) for member in (*first, *last)}
    rest = sorted((member for member in members if id(member) not in apart), key=attrgetter("key"))
    return [*first, *rest, *last]


def guard(source: Source, root: Group, _policy: Policy) -> str | None:
    """Return why an archive must stay as it is, or why its contents must."""
    reason: str | None = None
    for node in children(root):
        if isinstance(node, Group) and node.key is not None:
            key = node.key
            if _SEALED.fullmatch(key):
                return "a signature covers it"
            if _SIGNATURE.fullmatch(key):
                reason = Contents("the archive is signed, and the signature has their digests")
            elif _RECORD.fullmatch(key):
                reason = reason or Contents("RECORD has their digests")
            elif _DIGESTS.fullmatch(key):
                reason = reason or Contents("a signature has their digests")
        elif isinstance(node, Leaf) and node.name == "signing-block":
            return "an APK Signing Block covers every byte of it"
        elif isinstance(node, Record) and node.name == "end":
            disks = source.read(node.start + 4, node.start + 8)
            if disks not in {b"\0\0\0\0", b"\xff\xff\xff\xff"}:
                return "it is one disk of several"
    return reason
