"""What justifies calling a difference in an ELF file a moment: dates and times in texts, numbers in code and data."""

import re
from datetime import date
from typing import Any

from normalizers.elf.claims import Claim, images, split, text_of
from normalizers.patterns import Sure
from reprodiff.formats.program.names import EM_386, EM_X86_64
from reprodiff.rules import Sureness

_DATE = rb"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) (?: [1-9]|[12]\d|3[01]) (?:19|20)\d\d"
_MONTHS = b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_TIME = rb"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d"
_STAMP = re.compile(rb"(?<![\w:])(?:" + _DATE + rb"|" + _TIME + rb")(?![\w:])")
_TIMESTAMP = re.compile(
    rb"(?<!\w)(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ 1-3]\d "
    + _TIME
    + rb" (?:19|20)\d\d(?!\w)"
)


def compiled_at(pattern: "re.Pattern[bytes]") -> Claim:
    """Return a claim for strings that are equal but for dates in the form of the C macros."""

    def claim(change: Any, _evidence: Any) -> Sure | None:
        text = text_of(change)
        if not text or not all(pattern.search(side) and _real_dates(side) for side in text):
            return None
        return "origin" if pattern.sub(b"", text[0]) == pattern.sub(b"", text[1]) else None

    return claim


_DAY = re.compile(rb"\b(" + b"|".join(_MONTHS) + rb") ([ 0-3]\d)(?: " + _TIME + rb")? (\d{4})\b")


def _real_dates(text: bytes) -> bool:
    """Tell whether every date in a text is a day of the calendar."""
    for month, day, year in _DAY.findall(text):
        try:
            date(int(year), _MONTHS.index(month) + 1, int(day))
        except ValueError:
            return False
    return True


date_time = compiled_at(_STAMP)


timestamp = compiled_at(_TIMESTAMP)


_BANNER = re.compile(rb"Linux version \d+\.\d+")


def banner(change: Any, _evidence: Any) -> Sure | None:
    """Claim the kernel's banner: release, builder, compiler, number and date of the build, but not another release."""
    text = text_of(change)
    if not text or not all(_BANNER.search(side) for side in text):
        return None
    return "origin" if _BANNER.findall(text[0]) == _BANNER.findall(text[1]) else None


_BUILDER = re.compile(rb"Linux version \S+ \(([^@()\s]+)@([^@()\s]+)\) (\(.*\)) (#.*)", re.DOTALL)
_BUILT_BY = ("username", "hostname", "kernel-banner", "kernel-banner")


def builder(change: Any, _evidence: Any) -> list[tuple[str, Sureness, Any]]:
    """Return what a kernel's banner consists of that differs: who built it, where, and the tools, number and date."""
    text = text_of(change)
    both = [_BUILDER.search(side) for side in text or ()]
    if len(both) != 2 or not both[0] or not both[1]:
        return []
    one, two = both[0], both[1]
    if text is None or text[0][: one.start()] != text[1][: two.start()]:
        return []
    parts: list[tuple[str, Sureness, tuple[int, int], tuple[int, int]]] = [
        (cause, "origin", one.span(group), two.span(group))
        for group, cause in enumerate(_BUILT_BY, 1)
        if one[group] != two[group]
    ]
    return split(change, parts) if len({part[0] for part in parts}) > 1 else []


def _plain(image: Any) -> bool:
    """Tell whether instructions of a file hold numbers as they are, byte by byte: on x86 alone."""
    return image.machine in {EM_386, EM_X86_64}


def year(change: Any, evidence: Any) -> Sure | None:
    """Suspect a single number in an instruction that reads as a year on both sides, the later one where it is later."""
    both = images(evidence)
    if change.kind != "changed" or change.size > 2 or change.l1 - change.l0 > 2 or both is None or not _plain(both[0]):
        return None
    comparison = evidence.comparison
    for back in range(2):
        one = int.from_bytes(comparison.left.read(change.l0 - back, change.l0 - back + 4), "little")
        two = int.from_bytes(comparison.right.read(change.r0 - back, change.r0 - back + 4), "little")
        if 2000 <= one < 2100 and 2000 <= two < 2100 and one != two and change.l1 <= change.l0 - back + 2:
            return "suspected"
    return None


# 2010 and 2036 in seconds since the epoch; two builds are less than twenty years apart.
EPOCHS, APART = range(1262304000, 2082758400), 20 * 31556952


# What stands before a number of four bytes in x86 code: mov to a register or to memory, push.
_MOVES = re.compile(
    rb"[\xb8-\xbf\x68]|\xc7[\xc0-\xc7\x00-\x03\x06\x07]|\xc7[\x40-\x47]?[\x04\x24\x44]?.{1,4}", re.DOTALL
)


def epoch(change: Any, evidence: Any) -> Sure | None:
    """Suspect a single number that reads as seconds since the epoch on both sides: one that an instruction moves, or
    one in data. It differs in its lowest byte and in another one: two moments hardly do otherwise."""
    comparison, both = evidence.comparison, images(evidence)
    size = change.l1 - change.l0
    if change.kind != "changed" or both is None or not 2 <= size <= 4 or size != change.r1 - change.r0:
        return None
    code = evidence.where.startswith("elf/.text")
    low = both[0].order == "<"
    for back in range(5 - size):
        a, b = change.l0 - back, change.r0 - back
        if (low and back) or (not low and size + back != 4) or min(a, b) < 8 or (not code and (a % 4 or b % 4)):
            continue
        one, two = comparison.left.read(a, a + 4), comparison.right.read(b, b + 4)
        numbers = [int.from_bytes(side, "little" if low else "big") for side in (one, two)]
        if not all(number in EPOCHS for number in numbers) or abs(numbers[0] - numbers[1]) >= APART:
            continue
        if not code and (_lettered(comparison.left, a) or _lettered(comparison.right, b)):
            continue
        if code and not (_plain(both[0]) and _moved(comparison.left.read(a - 7, a))):
            continue
        return "suspected"
    return None


def _lettered(source: Any, at: int) -> bool:
    """Tell whether four bytes are letters of a text: they are printed, and so are those before or behind them."""
    parts = [source.read(at + far, min(at + far + 4, source.size)) for far in (0, -4, 4)]
    word, before, behind = (len(part) == 4 and all(32 <= byte < 127 for byte in part) for part in parts)
    return word and (before or behind)


def _moved(before: bytes) -> bool:
    """Tell whether bytes before a number are those of an instruction that moves it."""
    return any(_MOVES.fullmatch(before, len(before) - count) for count in range(1, 8))


_PART = re.compile(rb"(?:" + b"|".join(_MONTHS) + rb") [ 1-3]\d|[0-2]\d:[0-5]\d:[0-5]")
_LETTERS = re.compile(rb"[A-Za-z0-9 :]+")


def inlined_date(change: Any, evidence: Any) -> Sure | None:
    """Suspect __DATE__ or __TIME__ in pieces, as numbers in instructions: dates on both sides, and nothing but letters
    and digits that differ."""
    size = change.l1 - change.l0
    if change.kind != "changed" or not 0 < size <= 96 or size != change.r1 - change.r0:
        return None
    comparison = evidence.comparison
    for source, start in ((comparison.left, change.l0), (comparison.right, change.r0)):
        if not _PART.search(source.read(max(start - 24, 0), start + size + 24)):
            return None
    one, two = comparison.left.read(change.l0, change.l1), comparison.right.read(change.r0, change.r1)
    odd = bytes(x for pair in zip(one, two, strict=True) if pair[0] != pair[1] for x in pair)
    return "suspected" if _LETTERS.fullmatch(odd) else None
