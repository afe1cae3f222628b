"""What justifies a cause of a difference in a Go program."""

import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from normalizers.elf.claims import either, images, text_of, under_root
from normalizers.patterns import Sure
from reprodiff.formats.elf import gobuildinfo
from reprodiff.formats.elf.gopclntab import RECORD, go_program
from reprodiff.paths import Root, applies, heads

_SETTING = re.compile(rb"build\t(-?[\w.]+)=(.*)", re.DOTALL)
_MODULE = re.compile(rb"(dep|mod|=>)\t([^\t]+)\t([^\t\n]*)(?:\t([^\t\n]*))?\n?")
_RELEASE = re.compile(rb"(?:go|devel go)\d[\w.+-]*(?: [ -~]*)?")
# Versions that Go makes of a revision: the time and the first digits of the commit, maybe of changed files.
_REVISION = re.compile(
    rb"\(devel\)|v\d+\.\d+\.\d+(?:-[\w.]+)?-?(?:\d\.)?\d{14}-[0-9a-f]{12}(?:\+dirty)?|v[\d.]+\+dirty"
)
_MONTH = rb"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_CLOCK = rb"(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d+)?)?"
_DAY = rb"(?:19|20)\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"
# Dates and times as date(1) and build scripts write them: ISO 8601, RFC 2822 and the C locale's own form.
DATE = re.compile(
    rb"(?<![\w.:/-])(?:" + _DAY + rb"(?:[T_ ]" + _CLOCK + rb"(?: ?(?:Z|UTC|GMT|[+-]\d\d:?\d\d))?)?"
    rb"|(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:T?(?:[01]\d|2[0-3])[0-5]\d[0-5]\dZ?)?"
    rb"|(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? )?[ 0-3]?\d " + _MONTH + rb" (?:19|20)\d\d(?: " + _CLOCK + rb"(?: [+-]\d{4}| [A-Z]{3,4})?)?"
    rb"|(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) " + _MONTH + rb" [ 0-3]\d " + _CLOCK + rb"(?: [AP]M)?(?: [A-Z]{3,4})? (?:19|20)\d\d"
    rb")(?![\w.:/-])"
)  # fmt: skip
# So many files of the runtime are in every program.
RUNTIME_MIN = 8
# Seconds since the epoch: 2001 to 2065.
SECONDS = re.compile(rb"[1-2]\d{9}")


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
        info = gobuildinfo.parse(data)
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
        info = gobuildinfo.parse(data)
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
        info = gobuildinfo.parse(data)
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


def _dated(left: bytes, right: bytes) -> bool:
    """Tell whether two texts are equal but for dates and times in the same form, which are such."""
    ones, twos = DATE.findall(left), DATE.findall(right)
    if not ones or len(ones) != len(twos) or DATE.sub(b"", left) != DATE.sub(b"", right):
        return False
    return all(_real(one) and _real(two) and _form(one) == _form(two) for one, two in zip(ones, twos, strict=True))


def _form(text: bytes) -> bytes:
    return re.sub(rb"[A-Za-z]+", b"a", re.sub(rb"\d", b"0", text))


_ISO = re.compile(rb"((?:19|20)\d\d)-?(\d\d)-?(\d\d)")


def _real(text: bytes) -> bool:
    """Tell whether a date is a day of the calendar."""
    found = _ISO.match(text)
    if found is None:
        return True
    try:
        datetime(int(found[1]), int(found[2]), int(found[3]), tzinfo=UTC)
    except ValueError:
        return False
    return True


def dated_setting(change: Any, evidence: Any) -> Sure | None:
    """Claim flags that `go build` recorded, where nothing but dates in them differs."""
    text = text_of(change)
    rows = [_SETTING.fullmatch(side) for side in text or ()]
    if text is None or len(rows) != 2 or not all(row and row[1].startswith(b"-") for row in rows):
        return None
    return "origin" if _dated(*text) and evidence.once(_copied) else None


def linked_date(change: Any, evidence: Any) -> Sure | None:
    """Claim a date that is a string of its own: sure where both sides recorded that the linker was told to put it there
    (-X), else suspected."""
    text = text_of(change)
    if text is None or evidence.once(programs) is None:
        return None
    told = [_told(settings, side) for settings, side in zip(evidence.once(_settings), text, strict=True)]
    if all(told) and told[0] == told[1] and (_dated(*text) or all(SECONDS.fullmatch(side) for side in text)):
        return "origin"
    return "suspected" if _dated(*text) and all(DATE.fullmatch(side) for side in text) else None


_ASSIGNED = re.compile(rb"-X[ =]['\"\\]*([\w./~-]+)=")


def _told(settings: dict[bytes, bytes], value: bytes) -> bytes | None:
    """Return the variable that -ldflags=-X sets to a value."""
    flags = settings.get(b"-ldflags", b"")
    for found in _ASSIGNED.finditer(flags):
        rest = flags[found.end() :]
        if rest.startswith(value) and not re.match(rb"[\w.:+-]", rest[len(value) :]):
            return found[1]
    return None
