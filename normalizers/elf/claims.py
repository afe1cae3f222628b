"""What justifies a cause of a difference in an ELF file."""

import re
from collections.abc import Callable
from typing import Any, Literal

from normalizers.patterns import Sure
from reprodiff.formats.program.binary import heads
from reprodiff.formats.program.names import STT_FILE
from reprodiff.paths import is_source, paths, spelled
from reprodiff.rules import Sureness

Claim = Callable[[Any, Any], Sure | Literal["consequence"] | None]

BUILD_ID = "/build-id/desc"
# So many names of a new order are shown.
NAMED = 4
# Nor are so many wide instructions, in a function of which so many bytes differ.
WIDE_MIN, CHANGED_MIN = 3, 16
# Where the sources of Rust's own library are said to be: no directory that anything is built in. Where they are
# installed, the compiler says their true place instead.
_OWN, _INSTALLED = re.compile(rb"/rustc/|/rust/deps/"), re.compile(rb"/[^\0]*/lib/rustlib/src/rust/")
DERIVED = (BUILD_ID, ".gnu_debuglink/crc", "/go-build-id/desc", ".rmeta/crate-hash", ".llvmbc/module-hash")


def text_of(change: Any) -> tuple[bytes, bytes] | None:
    """Return both sides as text without the NUL at the end, None where a side is absent or not kept."""
    if change.left is None or change.right is None:
        return None
    return change.left.rstrip(b"\0"), change.right.rstrip(b"\0")


def either(change: Any) -> bytes:
    """Return what the side that is there holds."""
    found: bytes = change.left if change.left is not None else change.right or b""
    return found.rstrip(b"\0")


def under_root(change: Any, evidence: Any) -> Sure | None:
    """Claim a text whose paths become those of the other side when the directory that was built in is exchanged."""
    text = text_of(change)
    own = text and any(map(_OWN.match, text)) and not any(map(_INSTALLED.match, text))
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


_PRODUCER = re.compile(
    rb"^(?:GNU (?:C|C\+\+|Ada|Fortran|GIMPLE|AS|D|Go|Rust|Objective|Modula)|(?:\w+ )*clang |(?:\w+ )*(?:LLVM|rustc|LLD)|GCC: \(|"
    rb"Linker: |Go cmd/compile|mold |Apple |Intel|NVIDIA|clang LLVM)"
)
_VERSION = re.compile(rb"\d+\.\d+[\w.+~-]*(?: \d{8})?(?: \[[^\]]*\])?|\([^()]*\)")
# What remains of such a name without its versions.
_NAME = re.compile(rb"[A-Za-z+#/:;, -]*\d{0,2}[a-z ]*")
_CACHES = re.compile(
    rb"--param[= ]l[12]-cache-(?:line-)?size=\d+|-march=native|-mtune=native|-Ctarget-cpu=native|target-cpu=native"
)


def version_of_tool(change: Any, _evidence: Any) -> Sure | None:
    """Claim what a compiler or linker calls itself, in another version or another one altogether."""
    text = text_of(change)
    if text is None:
        return "origin" if _PRODUCER.match(either(change)) else None
    if not all(_PRODUCER.match(side) for side in text):
        return None
    heads = [side.split(b" -", 1)[0] for side in text]
    if not all(_NAME.fullmatch(_VERSION.sub(b"", head)) for head in heads):
        return None
    return "origin" if heads[0] != heads[1] else None


def tool_alone(change: Any, evidence: Any) -> Sure | None:
    """Claim a tool that debug information of one side alone names, where both sides store it alike."""
    both = images(evidence)
    name = evidence.where.split("/")[1].encode()
    if both is not None:
        stored = [image.by_name.get(name) for image in both]
        if None in stored or len({(section.compressed, section.type) for section in stored}) > 1:
            return None
    return version_of_tool(change, evidence)


def as_text(change: Any, _evidence: Any) -> tuple[str, str]:
    """Show a table of strings of one side alone as what it says."""
    text = either(change).replace(b"\0", b", ").decode("utf-8", "replace")
    return (text, "") if change.kind == "left" else ("", text)


def native(change: Any, _evidence: Any) -> Sure | None:
    """Claim flags that only -march=native expands to: sizes of the caches of the machine."""
    text = text_of(change)
    if text is None or not any(_CACHES.search(side) for side in text) or not any(_flags(side) for side in text):
        return None
    return "origin"


def _flags(text: bytes) -> bool:
    return bool(_PRODUCER.match(text)) or text.startswith(b"-") or b" -" in text


def flags(change: Any, _evidence: Any) -> Sure | None:
    """Claim the flags that a compiler recorded."""
    text = text_of(change)
    if text is None:
        return None
    return "origin" if all(_PRODUCER.match(side) and b" -" in side for side in text) else None


def without(pattern: "re.Pattern[bytes]") -> Claim:
    """Return a claim for names that are equal but for random or derived digits."""

    def claim(change: Any, _evidence: Any) -> Sure | None:
        text = text_of(change)
        if not text or text[0] == text[1] or not all(pattern.search(side) for side in text):
            return None
        return "origin" if pattern.sub(b"", text[0]) == pattern.sub(b"", text[1]) else None

    return claim


lto_section = without(re.compile(rb"(?<=\.)[0-9a-f]{6,16}(?:\.[0-9a-f]{8,16})?$"))
anonymous = without(re.compile(rb"(?<=_)[0-9A-Fa-f]{8}(?:_[0-9A-Fa-f]{8})*|(?<=_)0x[0-9a-f]+"))


_UNIT_DIGEST = re.compile(rb"^[\w.+-]+\.[0-9a-f]{8}$")


def unit_digest(change: Any, evidence: Any) -> Literal["consequence"] | None:
    """Claim the name of a file's debug information, with a digest of it, where the directory in it differs."""
    text = text_of(change)
    if not text or not evidence.shared.roots or not all(_UNIT_DIGEST.match(side) for side in text):
        return None
    names = [side[:-9] for side in text]
    return "consequence" if names[0] == names[1] and is_source(names[0]) else None


def anonymous_symbol(change: Any, evidence: Any) -> Sure | None:
    """Claim a symbol of an anonymous namespace or a static constructor that a random number was put into."""
    text = text_of(change)
    if not text or not all(b"_GLOBAL__" in side for side in text):
        return None
    found = anonymous(change, evidence)
    return "origin" if found else None


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


def lto_digest(change: Any, evidence: Any) -> Sure | None:
    """Suspect a digest of what the compiler keeps for the linker, where paths differ that it is made of."""
    return "suspected" if change.kind == "changed" and evidence.shared.roots else None


# So much of a section's code may differ where its texts grew, and be so much longer.
LTO_SHARE, LTO_GROWN = 8, 8


def lto_numbers(change: Any, evidence: Any) -> Sure | None:
    """Suspect the numbers of a section for link-time optimization, packed in bits, where paths in the same section grew
    under the exchanged directory and nothing else of its texts differs."""
    if change.kind != "changed" or abs((change.l1 - change.l0) - (change.r1 - change.r0)) > LTO_GROWN:
        return None
    strings = evidence.comparison.changes.get(f"{evidence.where}/string[*]", ())
    grown = any(text.l1 - text.l0 != text.r1 - text.r0 for text in strings)
    if not grown or any(
        unit_digest(text, evidence) is None and source_under_root(text, evidence) is None for text in strings
    ):
        return None
    size = evidence.comparison.left.size
    return "suspected" if LTO_SHARE * change.size <= size else None


def said(cause: str) -> Claim:
    """Return a claim for texts that differ in what they say of their build."""

    def claim(change: Any, _evidence: Any) -> Sure | None:
        from normalizers import texts

        text = text_of(change)
        found = texts.said(*text) if text and not all(map(_OWN.match, text)) else None
        return found.sure if found and found.cause == cause else None

    return claim


def several(change: Any, _evidence: Any) -> Sure | None:
    """Claim texts that say several things of their build that differ: `parts_of` has each."""
    from normalizers import texts

    text = text_of(change)
    parts = texts.several(*text) if text and not any(map(_OWN.match, text)) else ()
    if not parts:
        return None
    return "suspected" if any(part.sure == "suspected" for part in parts) else "origin"


def parts_of(change: Any, _evidence: Any) -> list[tuple[str, Sureness, Any]]:
    """Return what a text consists of that differs, each with its cause and how sure that is."""
    from normalizers import texts

    text = text_of(change)
    parts = texts.several(*text) if text else ()
    return split(change, [(part.cause, part.sure, part.left, part.right) for part in parts])


Place = tuple[int, int]


def split(change: Any, parts: list[tuple[str, Sureness, Place, Place]]) -> list[tuple[str, Sureness, Any]]:
    """Return changes for the parts of a text, given as cause, how sure that is, and (start, stop) on either side."""
    found = change.split([(left, right) for _cause, _sure, left, right in parts])
    return [(cause, sure, part) for (cause, sure, _left, _right), part in zip(parts, found, strict=True)]


def random_name(change: Any, _evidence: Any) -> Sure | None:
    """Claim names that differ in the random part of a temporary file's name."""
    text = text_of(change)
    if not text:
        return None
    from normalizers import texts

    return "origin" if texts.random_name(*text) else None


_VCS = re.compile(rb"build\tvcs(?:\.\w+)?=[^\n]*\n?")


def stamped(change: Any, _evidence: Any) -> Sure | None:
    """Claim Go's record of the revision that was built."""
    text = text_of(change)
    if not text or not any(_VCS.search(side) for side in text):
        return None
    return "origin" if _VCS.sub(b"", text[0]) == _VCS.sub(b"", text[1]) else None


def images(evidence: Any) -> tuple[Any, Any] | None:
    """Return the headers of both files, None inside of a section that was compressed."""
    roots = evidence.comparison.roots
    return None if roots is None else (roots[0].info, roots[1].info)


def alone(evidence: Any) -> bool:
    """Tell whether nothing differs but what is derived from all the rest."""
    comparison = evidence.comparison
    rest = [where for where in comparison.changes if not where.endswith(DERIVED)]
    return not (rest or comparison.through or comparison.orders or comparison.follows)


def derived(change: Any, evidence: Any) -> Literal["consequence"] | None:
    """Claim what follows from the rest of the file, where anything else differs."""
    if evidence.once(alone):
        return None
    # One of the same size can be blanked; another cannot.
    if change.left is None or change.right is None or len(change.left) != len(change.right):
        evidence.follows_rest(change)
    return "consequence"


def perhaps(_change: Any, _evidence: Any) -> Sure:
    """Suspect what has no better reason."""
    return "suspected"


def other_crate(_change: Any, evidence: Any) -> Sure | None:
    """Suspect what differs in metadata whose crate is told from others by another number."""
    return "suspected" if "elf/.rmeta/crate-id" in evidence.comparison.changes else None


def follows_id(change: Any, evidence: Any) -> Literal["consequence"] | None:
    """Claim a checksum of the debug file where anything at all differs beside it."""
    if set(evidence.comparison.changes) == {evidence.where}:
        return None
    evidence.follows_rest(change)
    return "consequence"


def wide_instructions(evidence: Any) -> tuple[int, int]:
    """Return how many instructions of each side have an encoding of AVX or later."""
    both = images(evidence)
    if both is None:
        return 0, 0
    from reprodiff.formats.elf.isa import wide

    return wide(both[0]), wide(both[1])


def drift(change: Any, evidence: Any) -> Sure | None:
    """Suspect another instruction set where one side has instructions of AVX or later and the other has none."""
    left, right = evidence.once(wide_instructions)
    # A single byte may read as such an instruction.
    enough = min(left, right) == 0 and max(left, right) >= WIDE_MIN and change.size >= CHANGED_MIN
    return "suspected" if enough else None


def wide_counts(_change: Any, evidence: Any) -> tuple[str, str]:
    """Say how many instructions of AVX or later each side has."""
    left, right = evidence.once(wide_instructions)
    return f"{left} instructions of AVX or later", f"{right} instructions of AVX or later"


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


def stripped(change: Any, evidence: Any) -> Sure | None:
    """Claim a whole section of one side alone, where that side has symbols or debug information and the other none."""
    both = images(evidence)
    if both is None or change.nodes is None:
        return None
    node = change.nodes[0] or change.nodes[1]
    return _removed(node.name.encode(), both)


def file_symbol(change: Any, evidence: Any) -> Sure | None:
    """Claim the symbol of a source file, which is stripped with debug information."""
    both = images(evidence)
    raw = change.left if change.left is not None else change.right
    if both is None or raw is None:
        return None
    kind = raw[4 if both[0].wide else 12] & 15
    return _removed(b".debug_", both) if kind == STT_FILE and _lacks(change, both) else None


def _lacks(change: Any, both: tuple[Any, Any]) -> bool:
    """Tell whether the side that does not have something is the one without debug information."""
    without = both[1] if change.kind == "left" else both[0]
    return not any(section.name.startswith(_KINDS[1]) for section in without.sections)


def _file_names(evidence: Any) -> set[bytes]:
    changes = evidence.comparison.changes.get("elf/.symtab/symbol[*]", ())
    return {
        key for change in changes if change.kind != "changed" and file_symbol(change, evidence) for key in change.keys
    }


def file_name(change: Any, evidence: Any) -> Sure | None:
    """Claim the name of a source file whose symbol was stripped."""
    return "origin" if either(change) in evidence.once(_file_names) else None


def stripped_name(change: Any, evidence: Any) -> Sure | None:
    """Claim the name of a section that was stripped with its section."""
    both = images(evidence)
    return _removed(either(change), both) if both is not None else None


_KINDS = ((b".symtab", b".strtab"), (b".debug_", b".zdebug_", b".gdb_index", b".rela.debug_", b".rel.debug_"))


def _removed(name: bytes, both: tuple[Any, Any]) -> Sure | None:
    for kind in _KINDS:
        if name.startswith(kind):
            has = [any(section.name.startswith(kind) for section in image.sections) for image in both]
            return "origin" if has[0] != has[1] else None
    return "origin" if name in {b".gnu_debuglink", b".gnu_debugaltlink", b".gnu_debugdata"} else None


def _tools_differ(evidence: Any) -> bool:
    return any(where.startswith(("elf/.comment", "elf/.GCC.command.line")) for where in evidence.comparison.changes)


def linked_otherwise(order: Any, evidence: Any) -> Sure | None:
    """Claim code and data in another order: the same functions, most of them unchanged, by the same tools."""
    if order.where in {"elf/.symtab", "elf/.dynsym", "elf/.strtab"}:
        moved = any(
            other.where not in {"elf/.symtab", "elf/.dynsym", "elf/.strtab"} for other in evidence.comparison.orders
        )
        if not moved:
            return None
    changed = sum(
        len(changes)
        for where, changes in evidence.comparison.changes.items()
        if where.endswith(("/function[*]", "/object[*]"))
    )
    total = max(len(other.left) for other in evidence.comparison.orders)
    # Functions that other flags made anew stand in another order too, but have another length.
    resized = sum(
        change.l1 - change.l0 != change.r1 - change.r0
        for where, changes in evidence.comparison.changes.items()
        if where.startswith("elf/.text")
        for change in changes
    )
    if _tools_differ(evidence) or 2 * changed > max(total, 2) or 4 * resized > max(total, 4):
        return None
    # A function or symbol of one side alone may have moved others: compilers write what is inline where it is first
    # used. Without symbols data that nothing names cannot be followed. Then less is certain.
    alone = any(
        change.l0 < 0 or change.r0 < 0 or change.l0 == change.l1 or change.r0 == change.r1
        for where, changes in evidence.comparison.changes.items()
        if where.endswith(("/function[*]", "/symbol[*]"))
        for change in changes
    )
    return "origin" if 10 * changed <= max(total, 10) and not alone else "suspected"


def permutation(order: Any, _evidence: Any) -> tuple[str, str]:
    """Name what comes first, from where both sides begin to differ."""
    pairs = zip(order.left, order.right, strict=False)
    start = next((index for index, (one, two) in enumerate(pairs) if one != two), 0)
    left, right = (
        ", ".join(name.decode("utf-8", "replace") for name in side[start : start + NAMED])
        + (", …" if len(side) > start + NAMED else "")
        for side in (order.left, order.right)
    )
    return left, right


def same_symbols(_order: Any, evidence: Any) -> Sure | None:
    """Claim symbols in another order, where neither side has one that the other lacks."""
    changes = evidence.comparison.changes
    if _tools_differ(evidence) or any(where.endswith(("/symbol[*]", "/DT_NEEDED")) for where in changes):
        return None
    return "origin"
