"""Opinions about pages by javadoc."""

import re
from typing import Any

from normalizers.common import clamp
from normalizers.patterns import Sure
from reprodiff.rules import Drop, Policy, Rule, Set

WHY = "the clock when javadoc ran"
DATE = re.compile(rb" on (?=.*\b(?:19|20)\d\d\b)(?=.*\b\d{1,2}\b).{6,60}")


def _is_date(raw: bytes, _policy: Policy | None = None) -> bool:
    return DATE.fullmatch(raw) is not None


def _dates(change: Any, _evidence: Any) -> Sure | None:
    """Claim dates, and a date where the other side has none."""
    sides = [raw for raw in (change.left, change.right) if raw]
    return "origin" if sides and all(map(_is_date, sides)) else None


def _days(change: Any, evidence: Any) -> Sure | None:
    return "origin" if evidence.values(change) is not None else None


RULES: tuple[Rule, ...] = (
    Rule("javadoc/generated", "javadoc-html", WHY, Drop(_is_date), claim=_dates),
    Rule("javadoc/{dc.created,date}", "javadoc-html", WHY, Set(clamp), claim=_days),
)
