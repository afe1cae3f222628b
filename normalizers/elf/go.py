"""What justifies a cause of a difference in a Go program."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from normalizers.elf.claims import Claim, either, images, text_of
from normalizers.elf.directories import under_root
from normalizers.patterns import Sure
from reprodiff.formats.program.go import buildinfo
from reprodiff.formats.program.go.pclntab import RECORD, go_program
from reprodiff.paths import Root, applies, heads

_SETTING = re.compile(rb"build\t(-?[\w.]+)=(.*)", re.DOTALL)
_MODULE = re.compile(rb"(dep|mod|=>)\t([^\t]+)\t([^\t\n]*)(?:\t([^\t\n]*))?\n?")
_RELEASE = re.compile(rb"(?:go|devel go)\d[\w.+-]*(?: [ -~]*)?")
# Versions that Go makes of a revision: the time and the first digits of the commit, maybe of changed files.
_REVISION = re.compile(
    rb"\(devel\)|v\d+\.\d+\.\d+(?:-[\w.]+)?-?(?:\d\.)?\d{14}-[0-9a-f]{12}(?:\+dirty)?|v[\d.]+\+dirty"
)
# So many files of the runtime are in every program.
RUNTIME_MIN = 8


def programs(evidence: Any) -> tuple[Any, Any] | None:
    """Return the headers of both files, None where one of them is no Go program."""
    both = images(evidence) or (images(evidence.outer) if evidence.outer is not None else None)
    if both is None or not all(map(go_program, both)):
        return None
    return both


def _settings(evidence: Any) -> tuple[dict[bytes, bytes], dict[bytes, bytes]]:
    """Return the settings that `go build` recorded on both sides."""
    found: list[dict[bytes, bytes]] = []
    for image in evidence.once(programs) or ():
        section = image.by_name.get(RECORD)
        data = image.data(section) if section is not None else b""
        info = buildinfo.parse(data)
        rows = [_SETTING.match(data[line.start : line.stop]) for line in info.lines] if info else []
        found.append({row[1]: row[2].rstrip(b"\n") for row in rows if row})
    return (found[0], found[1]) if len(found) == 2 else ({}, {})


def built_in(change: Any, evidence: Any) -> Sure | None:
    """Claim the path of a source file, where the directory that was built in is exchanged, or trimmed on one side."""
    if evidence.once(programs) is None:
        return None
    return under_root(change, evidence) or _trimmed(change, evidence) or of_toolchain(change, evidence)


def of_toolchain(change: Any, evidence: Any) -> Sure | None:
    """Claim a path below the directory that Go itself is installed in, or that directory, where it is another one."""
    text = text_of(change)
    if text is None or evidence.once(programs) is None:
        return None
    root = evidence.once(_goroot)
    return "origin" if root is not None and applies(root, *text) else None


def _goroot(evidence: Any) -> Root | None:
    """Return which directory of Go is which, None where it is the same: most files of the runtime lie below it."""
    counts: Counter[Root] = Counter()
    for left, right in _files(evidence):
        if left.startswith(b"/") and right.startswith(b"/"):
            root, tail = heads(left, right)
            counts[root] += tail.startswith(b"src/runtime/")
    best = [*counts.most_common(2), (None, 0), (None, 0)]
    return best[0][0] if best[0][1] >= max(RUNTIME_MIN, 2 * best[1][1]) else None


def _files(evidence: Any) -> Iterator[tuple[bytes, bytes]]:
    """Yield the names of source files in the table of functions that differ."""
    top = evidence.comparison if images(evidence) else evidence.outer.comparison
    for where, changes in top.changes.items():
        for change in changes if where.endswith("/file[*]") else ():
            text = text_of(change)
            if text is not None:
                yield text


def _trimmed(change: Any, evidence: Any) -> Sure | None:
    """Claim a path that -trimpath made one of the module, where one side alone recorded that it was given."""
    text = text_of(change)
    if text is None:
        return None
    given = [settings.get(b"-trimpath") == b"true" for settings in evidence.once(_settings)]
    if len(given) != 2 or given[0] == given[1]:
        return None
    short, long = text if given[0] else text[::-1]
    root = _root(short, long, evidence.once(_modules))
    return "origin" if root is not None and root in evidence.once(_roots) else None


def _root(short: bytes, long: bytes, modules: set[bytes]) -> tuple[bytes, bytes] | None:
    """Return what a trimmed path begins with and the directory that stood there: the standard library keeps its path
    below src, b'' for it; of a module the path begins with what it is called."""
    if short.startswith(b"/") or not long.startswith(b"/"):
        return None
    for module in sorted(modules, key=len, reverse=True):
        found = re.match(re.escape(module) + rb"(?:@[\w.+-]+)?(?=/|$)", short)
        if found and long.endswith(short[found.end() :]):
            return found[0], long[: len(long) - len(short) + found.end()]
    return (b"", long[: -len(short) - 1]) if long.endswith(b"/" + short) else None


def _roots(evidence: Any) -> set[tuple[bytes, bytes]]:
    """Return which directory was trimmed to what, as most names of files in the program say."""
    modules = evidence.once(_modules)
    counts: Counter[tuple[bytes, bytes]] = Counter()
    for left, right in _files(evidence):
        root = _root(left, right, modules) or _root(right, left, modules)
        if root:
            counts[root] += 1
    return {
        root
        for root, count in counts.items()
        if all(count > other for rival, other in counts.items() if rival[0] == root[0] and rival != root)
    }


def _modules(evidence: Any) -> set[bytes]:
    """Return what the modules of a program are called, as `go build` recorded it."""
    found = set()
    for image in evidence.once(programs) or ():
        section = image.by_name.get(RECORD)
        data = image.data(section) if section is not None else b""
        info = buildinfo.parse(data)
        for line in info.lines if info else ():
            row = _MODULE.fullmatch(data[line.start : line.stop])
            if row:
                found.add(row[2])
    return found


def _copied(evidence: Any) -> bool:
    """Tell whether both programs hold what `go build` recorded twice: for others to read, and for themselves."""
    counts = []
    for image in evidence.once(programs) or ():
        section = image.by_name.get(RECORD)
        data = image.data(section) if section is not None else b""
        info = buildinfo.parse(data)
        text = data[slice(*info.whole)] if info else b""
        places = [s for s in image.sections if s.alloc and not s.code and s.stored and s is not section]
        counts.append(sum(image.data(s).count(text) for s in places) if text else 0)
    return counts == [1, 1]


def stamped(change: Any, evidence: Any) -> Sure | None:
    """Claim what Go recorded of the revision in the working directory: settings, and the version made of it."""
    if not evidence.once(_copied):
        return None
    sides = [side for side in (change.left, change.right) if side is not None]
    settings = [_SETTING.match(side) for side in sides]
    if all(row and (row[1] == b"vcs" or row[1].startswith(b"vcs.")) for row in settings):
        return "origin"
    modules = [_MODULE.fullmatch(side) for side in sides]
    if len(sides) == 2 and all(row and row[1] == b"mod" for row in modules):
        left, right = modules
        assert left and right
        if left[2] == right[2] and any(_REVISION.fullmatch(row[3]) for row in (left, right)):
            return "origin"
    return None


def setting(change: Any, evidence: Any) -> Sure | None:
    """Claim a setting that `go build` recorded."""
    return "origin" if _SETTING.match(either(change)) and evidence.once(_copied) else None


def module_version(change: Any, evidence: Any) -> Sure | None:
    """Claim a module that the program was built with, in another version."""
    text = text_of(change)
    rows = [_MODULE.fullmatch(side) for side in text or ()]
    if len(rows) != 2 or rows[0] is None or rows[1] is None:
        return None
    same = rows[0][1] == rows[1][1] != b"mod" and rows[0][2] == rows[1][2]
    return "origin" if same and rows[0][3] != rows[1][3] and evidence.once(_copied) else None


def release(change: Any, _evidence: Any) -> Sure | None:
    """Claim the release of Go."""
    text = text_of(change)
    return "origin" if text and all(_RELEASE.fullmatch(side) for side in text) else None


_COMPILER = re.compile(rb"(Go cmd/compile (?:go|devel )[\w.+-]+)(?:; (.*))?")


def compiled_with(change: Any, _evidence: Any) -> Sure | None:
    """Claim other flags of Go's compiler, of the same release."""
    text = text_of(change)
    rows = [_COMPILER.fullmatch(side) for side in text or ()]
    return "origin" if len(rows) == 2 and rows[0] and rows[1] and rows[0][1] == rows[1][1] else None


def told_setting(cause: str) -> Claim:
    """Return a claim for flags that `go build` recorded and that differ in what they say of the build."""

    def claim(change: Any, evidence: Any) -> Sure | None:
        text = text_of(change)
        rows = [_SETTING.fullmatch(side) for side in text or ()]
        if text is None or len(rows) != 2 or not all(row and row[1].startswith(b"-") for row in rows):
            return None
        from normalizers import texts

        found = texts.said(*text)
        return "origin" if found and found.cause == cause and evidence.once(_copied) else None

    return claim


def told(cause: str) -> Claim:
    """Return a claim for a string that the linker was told to put into a variable (-X), as both sides recorded it."""

    def claim(change: Any, evidence: Any) -> Sure | None:
        text = text_of(change)
        if text is None or evidence.once(programs) is None:
            return None
        names = [_told(settings, side) for settings, side in zip(evidence.once(_settings), text, strict=True)]
        from normalizers import texts

        found = texts.said(*text)
        return "origin" if names[0] and names[0] == names[1] and found and found.cause == cause else None

    return claim


_ASSIGNED = re.compile(rb"-X[ =]['\"\\]*([\w./~-]+)=")


def _told(settings: dict[bytes, bytes], value: bytes) -> bytes | None:
    """Return the variable that -ldflags=-X sets to a value."""
    flags = settings.get(b"-ldflags", b"")
    for found in _ASSIGNED.finditer(flags):
        rest = flags[found.end() :]
        if rest.startswith(value) and not re.match(rb"[\w.:+-]", rest[len(value) :]):
            return found[1]
    return None


_VCS = re.compile(rb"build\tvcs(?:\.\w+)?=[^\n]*\n?")


def stamped_text(change: Any, _evidence: Any) -> Sure | None:
    """Claim a text of the program that is what Go recorded, with another revision."""
    text = text_of(change)
    if not text or not any(_VCS.search(side) for side in text):
        return None
    return "origin" if _VCS.sub(b"", text[0]) == _VCS.sub(b"", text[1]) else None
