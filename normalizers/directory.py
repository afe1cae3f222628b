"""Opinions about directory trees. What is found here lies in the file system, so that nothing is ever rewritten.

The listing of an archive that is not taken apart has the same form; what differs there is named by no rule for trees,
for nobody knows what else the archive says.
"""

import os
from typing import Any

from normalizers.common import MEMBER_MODE, MEMBER_OWNER, missing, new_name, renamed, suspect
from normalizers.patterns import Sure, builders, is_umask
from reprodiff.formats.directory import KIND, SYMLINK
from reprodiff.rules import Claim, Rule
from reprodiff.tree import children

PERMISSIONS = 0o777
ENTRY = "directory/entry[*]"
STATUS = f"{ENTRY}/status"


def _in_tree(claim: Claim) -> Claim:
    """Return a claim that is made for directories alone."""

    def of_tree(change: Any, evidence: Any) -> Any:
        return claim(change, evidence) if evidence.comparison.left.root else None

    return of_tree


def _certain(_change: Any, _evidence: Any) -> Sure | None:
    return "origin"


def _identity(field: str) -> Claim:
    def of_builder(evidence: Any) -> set[tuple[Any, Any]]:
        return builders((left, right) for _key, left, right in evidence.members("status", field))

    def claim(change: Any, evidence: Any) -> Sure | None:
        return "origin" if evidence.values(change) in evidence.once(of_builder) else None

    return _in_tree(claim)


def _under_umask(evidence: Any) -> bool:
    links = {key for key, left, right in evidence.members("status", "type") if SYMLINK in {left, right}}
    return is_umask(
        (left & PERMISSIONS, right & PERMISSIONS)
        for key, left, right in evidence.members("status", "mode")
        if key not in links
    )


def _umask(change: Any, evidence: Any) -> Sure | None:
    values = evidence.values(change)
    if values is None or (values[0] ^ values[1]) & ~PERMISSIONS:
        return None
    return "origin" if evidence.once(_under_umask) else None


def _one_member(change: Any, evidence: Any) -> Sure | None:
    """Claim modes and owners as likely content; the mode of what became something else follows from that."""
    return None if change.keys[-1] in evidence.once(_other_types) else "suspected"


def _other_types(evidence: Any) -> set[bytes]:
    return {key for key, left, right in evidence.members("status", "type") if left != right}


def _own_root(change: Any, evidence: Any) -> Sure | None:
    """Claim targets that name the same place below the two trees."""
    tails = []
    for target, listing in ((change.left, evidence.comparison.left), (change.right, evidence.comparison.right)):
        root = os.fsencode(listing.root).rstrip(b"/") + b"/"
        if not target or not target.startswith(root):
            return None
        tails.append(target.removeprefix(root))
    return "origin" if tails[0] == tails[1] else None


def _what(change: Any, evidence: Any) -> tuple[str, str]:
    """Say what an entry is that one side alone has."""
    left = change.kind == "left"
    comparison = evidence.comparison
    listing = comparison.left if left else comparison.right
    node = change.nodes[0 if left else 1]
    kind = KIND.show(listing.read(node.start, node.start + 1))
    size = sum(child.stop - child.start for child in children(node) if child.name == "content")
    text = f"{kind}, {size:,} bytes" if size else kind
    return (text, "") if left else ("", text)


_LINK_WHY = "names of one file on one side, copies of it on the other: their contents are compared all the same"

RULES: tuple[Rule, ...] = (
    Rule(f"{STATUS}/mtime", "directory-mtime", "when the file was written or unpacked", claim=_in_tree(_certain)),
    *(Rule(f"{STATUS}/{field}", "directory-owner", "the account that wrote or unpacked the tree", claim=_identity(field))
      for field in ("uid", "gid")),
    Rule(f"{STATUS}/mode", "archive-mode-umask", "permissions that the builder's umask took away",
         claim=_in_tree(_umask)),
    Rule(f"{STATUS}/{{uid,gid}}", "member-owner", MEMBER_OWNER, claim=_in_tree(_one_member)),
    Rule(f"{STATUS}/mode", "member-mode", MEMBER_MODE, claim=_in_tree(_one_member)),
    Rule(f"{ENTRY}/target", "symlink-target-path", "a link to a place in its own tree, by its full path",
         claim=_in_tree(_own_root)),
    Rule(f"{ENTRY}/link", "hardlink-grouping", _LINK_WHY, claim=_in_tree(_certain)),
    Rule(f"{ENTRY}/link", "hardlink-grouping", _LINK_WHY, None, "one-sided", _in_tree(_certain)),
    Rule(f"{ENTRY}/xattr[*]/value", "tar-xattr-dev", "extended attributes of the file system",
         claim=_in_tree(suspect)),
    Rule(f"{ENTRY}/xattr[*]", "tar-xattr-dev", "extended attributes of the file system", None, "one-sided",
         _in_tree(suspect)),
    Rule(ENTRY, "member-rename", "the same content under another name", None, "one-sided", renamed, new_name),
    Rule(ENTRY, "file-set-difference", "an entry that one side alone has", None, "one-sided", missing,
         _what),
)  # fmt: skip
