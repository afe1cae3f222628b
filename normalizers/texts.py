"""What a text says of the build that it was written by: when, by whom, on which machine, from which revision, with
which flags. Two texts are told apart by taking all of one kind out of both: what is left must be the same.

A moment with its seconds is claimed. Whatever a person may have written as well (a date alone, a name) is suspected.
"""

import re
from datetime import date
from functools import lru_cache
from typing import NamedTuple

from normalizers.patterns import Sure
from reprodiff.paths import system

TEXT_MAX = 1 << 12
MONTHS = [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"]
_MONTH = rb"(?P<{0}m>(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]{{0,6}})"
_TIME = rb"(?P<{0}t>(?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d|:60)?(?:[.,]\d+)?(?: [AP]M)?)"
_ZONE = rb"(?P<{0}z> ?(?:Z|UTC|GMT|[A-Z]{{3,4}}|[+-]\d\d:?\d\d)(?![A-Za-z0-9]))?"
_YEAR, _DAY = rb"(?P<{0}y>(?:19|20)\d\d)", rb"(?P<{0}d>[ 0-3]?\d)"
_WEEK = rb"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]{{0,6}},? )?"
# RFC 5322, date(1) and asctime(3), ISO 8601, and digits alone.
_FORMS = (
    _WEEK + _DAY + rb"[ -]" + _MONTH + rb"[ -]" + _YEAR + rb"(?:,? " + _TIME + _ZONE + rb")?",
    _WEEK + _MONTH + rb" +" + _DAY + rb",? (?:" + _TIME + _ZONE + rb" )?" + _YEAR + rb"(?:,? (?P<{0}t2>[0-2]?\d:[0-5]\d(?::[0-5]\d)?))?",
    _YEAR + rb"[-/.](?P<{0}n>0[1-9]|1[0-2])[-/.]" + _DAY + rb"(?:[T _]" + _TIME + _ZONE + rb")?",
    _YEAR + rb"(?P<{0}n>0[1-9]|1[0-2])(?P<{0}d>[0-3]\d)(?:[T_.-]?(?P<{0}t>[0-2]\d[0-5]\d(?:[0-5]\d)?)(?P<{0}z>Z)?)?",
)  # fmt: skip
_STAMP = re.compile(
    rb"(?<![\w.])(?:"
    + b"|".join(b"(?:" + form.replace(b"{0}", b"abcd"[i : i + 1]).replace(b"{{", b"{").replace(b"}}", b"}") + b")"
                for i, form in enumerate(_FORMS))
    + rb")(?![\w])"
)  # fmt: skip
_EPOCH = re.compile(rb"(?<![\w.])1\d{9}(?![\w.])")
_KERNEL = re.compile(
    rb"(?<![\w-])(?:GNU/)?Linux (?:\S+ )?\d+\.\d+[\w.+~-]*(?: #\d+[^\n;,]*)?|(?<=vermagic=)\S+|"
    rb"(?<![\w.])\d+\.\d+\.\d+-[\w.+~-]*-(?:generic|amd64|arm64|686|lowlatency|default)\b"
)
_DESCRIBED = re.compile(rb"(?:-\d+)?-g[0-9a-f]{7,40}(?:[-+.]?dirty|\+)?(?![0-9a-z])|[-+.]dirty(?![0-9a-z])")
_COMMIT = re.compile(rb"(?<![0-9a-zA-Z])(?:[0-9a-f]{40}|(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{7,12})(?:[-+.]?dirty|\+)?(?![0-9a-zA-Z])")  # fmt: skip
_ACCOUNT = re.compile(rb"(?<![\w.@-])[\w.+-]+@[\w-]+(?:\.[\w-]+)*(?![\w@])")
_USER = re.compile(rb"(?i)(?<=\bby )[\w.-]+|(?<=\buser[:= ])[\w.-]+|(?<=\busername[:= ])[\w.-]+")
_HOST = re.compile(
    rb"(?i)(?<=\bon )[\w-]*[\w](?:\.[\w-]+)*|(?<=\bhost[:= ])[\w.-]+|(?<=\bhostname[:= ])[\w.-]+|(?<=\bmachine[:= ])[\w.-]+|"
    rb"(?<=\bat )(?=[\w-]*[a-z])[\w-]+(?:\.[\w-]+)*"
)
_MAP = re.compile(rb"-f(?:file|debug|macro|profile|canon|coverage)-prefix-map=(/[^\s=\"']+)=[^\s\"']*")
_FLAG = re.compile(rb"(?:^|(?<=[\s\"']))-(?:O\w*|g\w*|[fmWDIUL][^\s\"']+|std=[^\s\"']+|pipe|pthread|fPIC)")
_COPYRIGHT = re.compile(rb"(?i)copyright|\(c\)|\xc2\xa9|&copy;")
_ANY_YEAR = re.compile(rb"(?<![\w.])(?:19|20)\d\d(?![\w.])")
_WORD, DAY_AND_MONTH = re.compile(rb"[^\W\d_]+"), 2
_NUMBER, _CLOCK = re.compile(rb"\d+"), re.compile(rb"[0-2]?\d[:h.][0-5]\d")
_RANDOM = re.compile(
    rb"(?<=cc)\w{6}(?![0-9A-Za-z])|(?<=tmp[._-])\w{6,12}(?![0-9A-Za-z])|(?<=tmp)[0-9A-Za-z_]{6,8}(?![0-9A-Za-z])"
)
_HEX = rb"[0-9a-fA-F]"
# RFC 9562.
_UUID = re.compile(rb"(?<![\w-])%(h)s{8}(?:-%(h)s{4}){3}-%(h)s{12}(?![\w-])" % {b"h": _HEX})
# Versions that are made of a clock or of random numbers; the others stand for something.
_MADE = re.compile(rb".{14}[1467].{4}[89abAB]")
# Of 30 digits that are chosen at random 28 differ, on average.
UUID_OTHERS = 20
_COUNTER = re.compile(
    rb"(?i)(?:(?<=\bbuild )|(?<=\bbuild #)|(?<=\bbuild: )|(?<=\bbuild-)|(?<=\bbuild number )|(?<=\bbuild number: )|"
    rb"(?<=\bbuild no\. )|(?<=\bbuild id )|(?<=\bbuild id: ))(?<![\d.])\d+(?![\w.])"
)
# The number of a build, right before its date.
_NUMBERED = re.compile(rb"#\d+(?= ?\x01)")
# Where "by" and "on" tell a person and a machine.
_BUILT = re.compile(
    rb"(?i)\b(?:built|build|compiled|compile|configured|generated|linked|packaged|host|hostname|user|username)\b"
)
HOLE = b"\1"


class Said(NamedTuple):
    """The cause of a difference between two texts, and how sure that is."""

    cause: str
    sure: Sure


class _Moment(NamedTuple):
    day: int
    seconds: float | None
    offset: int | None


@lru_cache(maxsize=4096)
def said(left: bytes, right: bytes) -> Said | None:
    """Return what two texts differ in, None where it is nothing that is told here."""
    if left == right or not left or not right or max(len(left), len(right)) > TEXT_MAX:
        return None
    for find in (_moments, _flags, _revisions, _kernels, _people, _years, _epochs, _names_of_days, _uuids, _counters):
        found = find(left, right)
        if found:
            return found
    return None


class Part(NamedTuple):
    """A part of two texts with a cause of its own: where it is in each, as (start, stop)."""

    cause: str
    sure: Sure
    left: tuple[int, int]
    right: tuple[int, int]


# What stands in a text beside other things of the kind, the first that matches at a place. An account is two things.
_PARTS = re.compile(
    b"(?P<stamp>" + re.sub(rb"\?P<\w+>", b"?:", _STAMP.pattern) + b")|(?P<account>" + _ACCOUNT.pattern + b")|(?P<kernel>"
    + _KERNEL.pattern + b")|(?P<described>" + _DESCRIBED.pattern + b")|(?P<commit>" + _COMMIT.pattern + b")"
)  # fmt: skip
_NAMED = re.compile(
    _PARTS.pattern + b"|(?P<user>" + _USER.pattern.removeprefix(b"(?i)") + b")|(?P<host>"
    + _HOST.pattern.removeprefix(b"(?i)") + b")", re.IGNORECASE
)  # fmt: skip
_CAUSES = {
    "user": "username",
    "host": "hostname",
    "kernel": "kernel-version",
    "described": "vcs-describe",
    "commit": "vcs-describe",
}


@lru_cache(maxsize=4096)
def several(left: bytes, right: bytes) -> tuple[Part, ...]:
    """Return the parts that two texts differ in where these have several causes; nothing where they have one, or where
    anything else differs."""
    if left == right or not left or not right or max(len(left), len(right)) > TEXT_MAX:
        return ()
    parts = _parts(_PARTS, left, right)
    if not parts and _BUILT.search(left) and _BUILT.search(right):
        parts = _parts(_NAMED, left, right)
    return tuple(parts) if len({part.cause for part in parts}) > 1 else ()


def _parts(pattern: "re.Pattern[bytes]", left: bytes, right: bytes) -> list[Part]:
    ones, twos = list(pattern.finditer(left)), list(pattern.finditer(right))
    same = len(ones) == len(twos) and pattern.sub(HOLE, left) == pattern.sub(HOLE, right)
    found: list[Part] = []
    for one, two in zip(ones, twos, strict=True) if same else ():
        kind = one.lastgroup
        if kind is None or kind != two.lastgroup:
            return []
        if one[0] == two[0]:
            continue
        if kind == "stamp":
            moments = _moments(one[0], two[0])
            if moments is None:
                return []
            found.append(Part(*moments, one.span(), two.span()))
        elif kind == "account":
            cuts = [match.start() + match[0].index(b"@") for match in (one, two)]
            whole = [Part("username", "suspected", (one.start(), cuts[0]), (two.start(), cuts[1])),
                     Part("hostname", "suspected", (cuts[0] + 1, one.end()), (cuts[1] + 1, two.end()))]  # fmt: skip
            found += [part for part in whole if left[slice(*part.left)] != right[slice(*part.right)]]
        else:
            found.append(Part(_CAUSES[kind], "suspected", one.span(), two.span()))
    return found


def _without(pattern: "re.Pattern[bytes]", left: bytes, right: bytes) -> list[tuple[bytes, bytes]] | None:
    """Return the pairs of what matches where nothing else differs, None where it does or nothing matches."""
    ones, twos = ([match[0] for match in pattern.finditer(side)] for side in (left, right))
    if not ones or len(ones) != len(twos) or pattern.sub(HOLE, left) != pattern.sub(HOLE, right):
        return None
    return list(zip(ones, twos, strict=True))


def _moments(left: bytes, right: bytes) -> Said | None:
    pairs = _without(_STAMP, left, right)
    if pairs is None:
        return None
    sure: Sure = "origin"
    zones = True
    for one, two in pairs:
        if one == two:
            continue
        a, b = _moment(one), _moment(two)
        if a is None or b is None:
            return None
        zones = zones and a.offset != b.offset and _instant(a) is not None and _instant(a) == _instant(b)
        # Somebody who writes a date writes no seconds.
        if not (_precise(a) and _precise(b)):
            sure = "suspected"
    return Said("timezone-shift" if zones else "embedded-build-date-string", sure)


def _precise(moment: _Moment) -> bool:
    return moment.seconds is not None and moment.seconds % 3600 != 0


def _instant(moment: _Moment) -> float | None:
    if moment.seconds is None or moment.offset is None:
        return None
    return moment.day * 86400 + moment.seconds - moment.offset


def _moment(text: bytes) -> _Moment | None:
    """Read a date, None where it is none of the calendar."""
    match = _STAMP.fullmatch(text)
    if match is None:
        return None
    kind = next(k for k in "abcd" if match[f"{k}y"])
    part = {k[1:]: v for k, v in match.groupdict().items() if k[0] == kind and v}
    month = int(part["n"]) if "n" in part else MONTHS.index(part["m"][:3].lower()) + 1
    try:
        day = date(int(part["y"]), month, int(part["d"])).toordinal()
    except ValueError:
        return None
    clock = part.get("t") or part.get("t2")
    return _Moment(day, None if clock is None else _seconds(clock), _offset(part.get("z", b"").strip()))


def _seconds(clock: bytes) -> float:
    late = 12 * 3600 if clock.endswith(b"PM") and not clock.startswith(b"12") else 0
    digits = clock.removesuffix(b" AM").removesuffix(b" PM").replace(b",", b".")
    parts = digits.split(b":") if b":" in digits else [digits[i : i + 2] for i in range(0, len(digits), 2)]
    return late + sum(float(part) * unit for part, unit in zip(parts, (3600, 60, 1), strict=False))


def _offset(zone: bytes) -> int | None:
    """Return the seconds east of Greenwich of a zone, None for a name that may be several."""
    if zone in {b"Z", b"UTC", b"GMT"}:
        return 0
    if zone[:1] in {b"+", b"-"}:
        digits = zone[1:].replace(b":", b"")
        return (1 if zone[:1] == b"+" else -1) * (int(digits[:2]) * 3600 + int(digits[2:]) * 60)
    return None


def _flags(left: bytes, right: bytes) -> Said | None:
    maps = _without(_MAP, left, right)
    if maps:
        places = [_MAP.match(side) for pair in maps for side in pair]
        if not any(system(place[1]) for place in places if place):
            return Said("recorded-build-flags", "origin")
    counts = [len(_FLAG.findall(side)) for side in (left, right)]
    if min(counts) >= 1 and max(counts) >= 2:
        words = [[w for w in side.split() if not w.lstrip(b"\"'").startswith(b"-")] for side in (left, right)]
        if words[0] == words[1]:
            return Said("recorded-build-flags", "suspected")
    return None


def _revisions(left: bytes, right: bytes) -> Said | None:
    # Half of an identifier is no revision.
    known = _UUID.sub(HOLE, left), _UUID.sub(HOLE, right)
    named = len(_UUID.findall(left)) == len(_UUID.findall(right)) and _without(_COMMIT, *known)
    if _DESCRIBED.sub(b"", left) == _DESCRIBED.sub(b"", right) or (
        named and _UUID.findall(left) == _UUID.findall(right)
    ):
        return Said("vcs-describe", "suspected")
    return None


def _kernels(left: bytes, right: bytes) -> Said | None:
    return Said("kernel-version", "suspected") if _without(_KERNEL, left, right) else None


def _people(left: bytes, right: bytes) -> Said | None:
    """Tell names of users and machines, beside whatever else is told here."""
    rest = left, right
    for pattern in (_STAMP, _KERNEL, _NUMBERED):
        if _without(pattern, *rest) or len(pattern.findall(rest[0])) == len(pattern.findall(rest[1])):
            rest = pattern.sub(HOLE, rest[0]), pattern.sub(HOLE, rest[1])
    accounts = [_ACCOUNT.findall(side) for side in rest]
    if accounts[0] and len(accounts[0]) == len(accounts[1]):
        names = [[account.partition(b"@")[0] for account in side] for side in accounts]
        if _ACCOUNT.sub(HOLE, rest[0]) == _ACCOUNT.sub(HOLE, rest[1]):
            return Said("username" if names[0] != names[1] else "hostname", "suspected")
    if not (_BUILT.search(left) and _BUILT.search(right)):
        return None
    for pattern, cause in ((_USER, "username"), (_HOST, "hostname")):
        pairs = _without(pattern, *rest)
        if pairs and any(one != two for one, two in pairs):
            return Said(cause, "suspected")
    both = _HOST.sub(HOLE, _USER.sub(HOLE, rest[0])), _HOST.sub(HOLE, _USER.sub(HOLE, rest[1]))
    users = _USER.findall(rest[0]), _USER.findall(rest[1])
    return Said("username", "suspected") if both[0] == both[1] and users[0] != users[1] else None


def _years(left: bytes, right: bytes) -> Said | None:
    if not _COPYRIGHT.search(left) or not _COPYRIGHT.search(right):
        return None
    return Said("copyright-year", "suspected") if _without(_ANY_YEAR, left, right) else None


def _epochs(left: bytes, right: bytes) -> Said | None:
    return Said("epoch-integer-timestamp", "suspected") if _without(_EPOCH, left, right) else None


def _names_of_days(left: bytes, right: bytes) -> Said | None:
    """Tell a date that two languages spell: the same numbers, a time and a year among them, and other words."""
    numbers = [sorted(_NUMBER.findall(side)) for side in (left, right)]
    if numbers[0] != numbers[1] or len(numbers[0]) < 4:
        return None
    words = [set(_WORD.findall(side)) for side in (left, right)]
    odd = words[0] - words[1], words[1] - words[0]
    if not (odd[0] and odd[1]) or max(map(len, odd)) > DAY_AND_MONTH:
        return None
    spelled = all(_CLOCK.search(side) and _ANY_YEAR.search(side) for side in (left, right))
    return Said("locale-messages", "suspected") if spelled else None


def _uuids(left: bytes, right: bytes) -> Said | None:
    """Tell identifiers that are others altogether: one that somebody edited is content."""
    pairs = _without(_UUID, left, right)
    if not pairs or any(
        one != two
        and not (
            _MADE.match(one)
            and _MADE.match(two)
            and sum(a != b for a, b in zip(one.lower(), two.lower(), strict=True)) >= UUID_OTHERS
        )
        for one, two in pairs
    ):
        return None
    return Said("random-uuid", "suspected")


def _counters(left: bytes, right: bytes) -> Said | None:
    return Said("build-counter", "suspected") if _without(_COUNTER, left, right) else None


def random_name(left: bytes, right: bytes) -> bool:
    """Tell whether two names differ in nothing but the random part of a temporary file's name."""
    pairs = _without(_RANDOM, left, right)
    return pairs is not None and all(
        one == two or (_mixed(one) and _mixed(two) and len(one) == len(two)) for one, two in pairs
    )


def _mixed(text: bytes) -> bool:
    """Tell whether a name reads as random: of upper and lower case and digits at least two."""
    return (any(map(bytes.isdigit, _each(text))) + any(map(bytes.isupper, _each(text))) + any(map(bytes.islower, _each(text)))) > 1  # fmt: skip


def _each(text: bytes) -> list[bytes]:
    return [text[i : i + 1] for i in range(len(text))]
