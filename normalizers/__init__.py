"""Opinions about formats: which difference has which cause, what undoes it, and what must be left alone.

One module a format, named as in `reprodiff.formats`, with `RULES` and, where some streams must not be touched,
`guard`.
"""

from collections.abc import Callable
from functools import cache
from importlib import import_module

from reprodiff.rules import Policy, Rule, Rules
from reprodiff.sources import Source
from reprodiff.tree import Group

FORMATS = (
    "ar",
    "bzip2",
    "compressed",
    "cpio",
    "directory",
    "elf",
    "gzip",
    "javadoc",
    "lz4",
    "lzma",
    "macho",
    "manifest",
    "pe",
    "qrc",
    "rcc",
    "tar",
    "text",
    "xz",
    "zip",
    "zstd",
)


@cache
def rules(name: str) -> tuple[Rule, ...]:
    """Return the rules for a format, () for one without any."""
    if name not in FORMATS:
        return ()
    found: tuple[Rule, ...] = import_module(f"normalizers.{name}").RULES
    return found


@cache
def rulebook(name: str) -> Rules:
    """Return all rules for a format, ready to be asked."""
    return Rules(rules(name))


def select(wanted: Callable[[Rule], bool]) -> Callable[[str], Rules]:
    """Return a function from format to those of its rules that are wanted."""

    @cache
    def chosen(name: str) -> Rules:
        return Rules(tuple(rule for rule in rules(name) if wanted(rule)))

    return chosen


def guard(name: str, source: Source, root: Group, policy: Policy) -> str | None:
    """Return why a stream must be left as it is, None where it may change."""
    if name not in FORMATS:
        return None
    check = getattr(import_module(f"normalizers.{name}"), "guard", None)
    reason: str | None = check(source, root, policy) if check else None
    return reason
