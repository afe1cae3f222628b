"""Which tools made a file, as far as it says so itself: advice for another tool comes last."""

import re
from typing import Any

COMPILERS = frozenset({"GCC", "Clang", "Rust", "Go"})
# What has no part in making a program out of C or C++.
STRANGERS = frozenset({"Maven", "Java", "Sphinx", "Doxygen", "Info-ZIP"})
# What compilers write into .comment. A program that Clang compiled has GCC's name as well, from the C library's start files.
_SIGNS = (
    (re.compile(rb"clang version|clang LLVM"), "Clang"),
    (re.compile(rb"rustc version"), "Rust"),
    (re.compile(rb"GCC: \("), "GCC"),
)
_LIBTOOL = re.compile(r"/\.libs(?:$|[:/])")


def made_by(comparison: Any) -> str | None:
    """Return the compiler that made both files of a comparison, "" where they are programs that name none or two, None
    where they are no programs."""
    if comparison.format != "elf" or comparison.roots is None:
        return None
    found = set()
    for root in comparison.roots:
        section = root.info.by_name.get(b".comment")
        text = root.info.data(section) if section is not None and section.stored else b""
        found.add(next((tool for sign, tool in _SIGNS if sign.search(text)), None))
    return (found.pop() or "") if len(found) == 1 else ""


def rank(tool: str, compilers: set[str | None], examples: list[str]) -> int:
    """Return what to sort a fix for a tool by: first what fits, last what is for a compiler that was not used.

    examples: the values that a report shows of the cause."""
    if tool == "Autotools" and any(_LIBTOOL.search(text) for text in examples):
        return 0
    programs = compilers - {None}
    known = programs - {""}
    unfit = (programs and tool in STRANGERS) or (known and tool in COMPILERS - known)
    return 2 if unfit else 1
