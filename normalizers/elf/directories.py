"""Paths: under the directory that was exchanged, of Rust and its crates, of coverage files and files that a linker took in."""

import re
from typing import Any

from normalizers.elf.claims import text_of
from normalizers.patterns import Sure
from reprodiff.formats.program.binary import heads
from reprodiff.paths import is_source, paths, spelled

# Where the sources of Rust's own library are said to be: no directory that anything is built in. Where they are
# installed, the compiler says their true place instead.
OWN, _INSTALLED = re.compile(rb"/rustc/|/rust/deps/"), re.compile(rb"/[^\0]*/lib/rustlib/src/rust/")


def under_root(change: Any, evidence: Any) -> Sure | None:
    """Claim a text whose paths become those of the other side when the directory that was built in is exchanged."""
    text = text_of(change)
    own = text and any(map(OWN.match, text)) and not any(map(_INSTALLED.match, text))
    root = evidence.shared.mapped(*text) if text and not own else None
    if root is None:
        return None
    return "suspected" if root in evidence.once(_kept) else "origin"


def _kept(evidence: Any) -> set[Any]:
    """Return the roots that do not hold for the whole file: the directory of one side is on the other side as well."""
    comparison = evidence.comparison
    found = set()
    for root in evidence.shared.roots:
        for path, other, source in (
            (root.left, root.right, comparison.right),
            (root.right, root.left, comparison.left),
        ):
            # One may lie inside the other.
            if not (other + b"/").startswith(path + b"/") and _holds(source, path):
                found.add(root)
    return found


def _holds(source: Any, path: bytes) -> bool:
    """Tell whether a stream has a path, or one below it."""
    spelling = spelled(path)
    pattern = re.compile(spelling + rb"[/\\\0]")
    one_way = spelling == re.escape(path)
    step = 1 << 20

    def held(block: bytes) -> bool:
        # A path that is spelled in one way is found, or not, in half the time.
        return (not one_way or path in block) and pattern.search(block) is not None

    return any(held(source.read(at, at + step + len(path) + 1)) for at in range(0, source.size, step))


def source_under_root(change: Any, evidence: Any) -> Sure | None:
    """As `under_root`, for strings of the program itself: the paths must end as source files do."""
    text = text_of(change)
    sure = under_root(change, evidence)
    if text is None or sure != "origin":
        return sure
    found = [one for one, two in paths(*text) or () if one != two]
    if all(is_source(path) for path in found):
        return "origin"
    # Another kind of path may be what a program reads at run time: only likely.
    return "suspected"


# Registers that a compiler copies a text with have so many bytes, or a multiple of it.
REGISTER, PIECE_MIN = 8, 16


def path_piece(change: Any, evidence: Any) -> Sure | None:
    """Claim the beginning of a path that stands on its own, as long as registers are, for code that copies the text with
    them: where the whole text is in the program as well, and is one under the exchanged directory."""
    text = text_of(change)
    if not text or any(len(side) % REGISTER or len(side) < PIECE_MIN for side in text):
        return None
    for other in evidence.comparison.changes.get(evidence.where, ()):
        whole = text_of(other)
        if whole and all(side != one and one.startswith(side) for side, one in zip(text, whole, strict=True)):
            return source_under_root(other, evidence)
    return None


def rust_source(change: Any, evidence: Any) -> Sure | None:
    """Claim a path of Rust code under the exchanged directory, or below Cargo's home."""
    text = text_of(change)
    rust = evidence.where.startswith(("elf/.rmeta", "elf/.rustc", "elf/.llvmbc"))
    if not text or not (rust or all(b".rs" in side or b"/registry/src/" in side for side in text)):
        return None
    return under_root(change, evidence)


_CRATE = re.compile(rb"(/registry/src/[^/\0]+/[\w.-]*?)-(\d+\.\d+[\w.+-]*)/")
_RUSTC = re.compile(rb"/rustc/([0-9a-f]{40})/")


def crate_version(change: Any, _evidence: Any) -> Sure | None:
    """Claim the path of a crate from a registry, in another version."""
    text = text_of(change)
    if not text or text[0] == text[1] or not all(_CRATE.search(side) for side in text):
        return None
    return "origin" if _CRATE.sub(rb"\1/", text[0]) == _CRATE.sub(rb"\1/", text[1]) else None


def rustc_commit(change: Any, evidence: Any) -> Sure | None:
    """Claim a path of Rust's own library that names another commit of the compiler, as all such paths do."""
    text = text_of(change)
    found = [_RUSTC.search(side) for side in text] if text else []
    if not text or not all(found) or _RUSTC.sub(b"/", text[0]) != _RUSTC.sub(b"/", text[1]):
        return None
    commits = [match[1] for match in found if match]
    kept = evidence.once(_commits)
    return None if commits[0] in kept[1] or commits[1] in kept[0] else "origin"


def _commits(evidence: Any) -> tuple[set[bytes], set[bytes]]:
    """Return the commits of the compiler that either side names."""
    comparison = evidence.comparison
    step = 1 << 24
    one, two = (
        {
            commit
            for at in range(0, source.size, step)
            for commit in _RUSTC.findall(source.read(at, min(at + step + 64, source.size)))
        }
        for source in (comparison.left, comparison.right)
    )
    return one, two


_NO_NAME = re.compile(rb"\W|_", re.ASCII)


def binary_symbol(change: Any, evidence: Any) -> Sure | None:
    """Claim the name that a linker made of a file's absolute path where the directory in it is exchanged; suspect it
    where nothing else says which directory that is."""
    text = text_of(change)
    found = heads(*text) if text else None
    # An absolute path begins with what became of its slash.
    if text is None or found is None or not all(side.startswith(b"_binary__") for side in text):
        return None
    for root in evidence.shared.roots:
        one, two = (_NO_NAME.sub(b"_", side.strip(b"/")) for side in root)
        cut = [side.removeprefix(b"_binary__") for side in text]
        if cut[0].startswith(one + b"_") and cut[1].startswith(two + b"_") and cut[0][len(one) :] == cut[1][len(two) :]:
            return "origin"
    others = {heads(*text_of(other) or (b"", b"")) for other in evidence.comparison.changes.get(evidence.where, ())}
    return "suspected" if others - {None} == {found} else None


_GCOV = re.compile(rb"__gcov_|\.LPBX|__llvm_pr")


def coverage(change: Any, evidence: Any) -> Sure | None:
    """Claim the path of a coverage file under the exchanged directory."""
    text = text_of(change)
    if not text or not all(side.endswith((b".gcda", b".profraw")) for side in text):
        return None
    return under_root(change, evidence)


def coverage_data(change: Any, evidence: Any) -> Sure | None:
    """Suspect the checksums of functions that coverage counts, where the path of the coverage file differs."""
    if not any(_GCOV.match(key) for key in change.keys) and change.keys:
        return None
    files = [
        other
        for where, changes in evidence.comparison.changes.items()
        if where.endswith("/string[*]")
        for other in changes
        if coverage(other, evidence)
    ]
    return "suspected" if files else None
