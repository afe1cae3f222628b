"""Opinions about pages by javadoc."""

import re
from typing import Any

from normalizers.common import clamp
from normalizers.patterns import Sure
from reprodiff.rules import Drop, Policy, Rule, Set

WHY = "the clock when javadoc ran"
# java.util.Date.toString(): `Mon Jan 01 10:20:30 UTC 2024`; the time and its zone may be missing.
DATE = re.compile(
    rb" on ([A-Z][a-z]{2}) ([A-Z][a-z]{2}) (\d\d) (?:([01]\d|2[0-3]):[0-5]\d:[0-6]\d [A-Za-z][\w/+:-]{0,31} )?(\d{4})",
    re.ASCII,
)
# The same with the names of another language, which are not known here.
FOREIGN = re.compile(rb" on (?:[^\s<>]{1,16},? ){2}\d\d?,? (?:\d\d:\d\d:\d\d \S{1,32} )?(?:19|20)\d\d")
DAYS = (b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun")
MONTHS = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")


def _is_date(raw: bytes, _policy: Policy | None = None) -> bool:
    """Tell whether a comment ends in a date that there was, on that day of the week."""
    import datetime as dt

    match = DATE.fullmatch(raw)
    if match is None or match[1] not in DAYS or match[2] not in MONTHS:
        return False
    try:
        day = dt.date(int(match[5]), MONTHS.index(match[2]) + 1, int(match[3]))
    except ValueError:
        return False
    return day.weekday() == DAYS.index(match[1])


def _dates(change: Any, _evidence: Any) -> Sure | None:
    """Claim dates, and a date where the other side has none; what may be one in another language as likely."""
    sides = [raw for raw in (change.left, change.right) if raw]
    if not sides or not all(_is_date(raw) or FOREIGN.fullmatch(raw) for raw in sides):
        return None
    return "origin" if all(map(_is_date, sides)) else "suspected"


def _days(change: Any, evidence: Any) -> Sure | None:
    return "origin" if evidence.values(change) is not None else None


RULES: tuple[Rule, ...] = (
    Rule("javadoc/generated", "javadoc-html", WHY, Drop(_is_date), claim=_dates),
    Rule("javadoc/{dc.created,date}", "javadoc-html", WHY, Set(clamp), claim=_days),
)
