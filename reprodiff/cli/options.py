"""What the commands have in common: arguments, limits, files to write to."""

import contextlib
import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from reprodiff.errors import ReprodiffError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


class UsageError(ReprodiffError):
    """What was typed asks for something that is not done."""


def command_parser(command: str, text: str) -> "ArgumentParser":
    """Return a parser for a command's arguments, with a text for its --help."""
    from argparse import ArgumentParser, RawDescriptionHelpFormatter

    name = f"reprodiff {command}"
    return ArgumentParser(name, description=text, allow_abbrev=False, formatter_class=RawDescriptionHelpFormatter)


def add_limits(parser: "ArgumentParser") -> None:
    """Add the options that bound what a run may cost."""
    group = parser.add_argument_group("limits")
    group.add_argument("--timeout", type=seconds, metavar="SECONDS", help="stop after so much wall time")
    group.add_argument("--max-decoded", type=size, metavar="SIZE", help="bytes that decoders may produce (16G)")
    group.add_argument("--max-members", type=number, metavar="N", help="members that archives may have (5000000)")
    group.add_argument("--max-depth", type=number, metavar="N", help="streams inside each other (16)")
    group.add_argument("--max-memory", type=size, metavar="SIZE", help="of a decoded stream in memory (256M)")


def size(text: str) -> int:
    """Return bytes; K, M and G are powers of 1024. Raises ValueError."""
    unit = UNITS.get(text[-1:].upper())
    return number(text[:-1] if unit else text) * (unit or 1)


def number(text: str) -> int:
    """Return a number without sign. Raises ValueError."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError(text)
    return int(text)


def seconds(text: str) -> float:
    """Return a time in seconds, more than none. Raises ValueError."""
    amount = float(text)
    if not 0 < amount < 1e9:
        raise ValueError(text)
    return amount


# What argparse says about a bad value: "invalid size value".
size.__name__, number.__name__, seconds.__name__ = "size", "number", "time"


def given_limits(options: "Namespace") -> dict[str, Any]:
    """Return the limits that were given, as arguments of Budget."""
    found = {name: getattr(options, f"max_{name}", None) for name in ("decoded", "members", "depth", "memory")}
    return {name: value for name, value in found.items() if value is not None}


def epoch_or_default(given: int | None) -> int:
    """Return --epoch, else $SOURCE_DATE_EPOCH, else 0."""
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    if given is not None or not text:
        return given or 0
    if not (text.isascii() and text.isdigit()):
        raise UsageError(f"SOURCE_DATE_EPOCH is not a number of seconds: {text!r}")
    return int(text)


def known(causes: list[str], *, everything: bool = False) -> list[str]:
    """Return cause ids as given, once the catalogue has them all."""
    if causes:
        from reprodiff.app import catalogue

        known = catalogue()
        for cause in causes:
            if cause not in known and not (everything and cause == "all"):
                raise UsageError(f"there is no cause {cause!r}: `reprodiff causes` lists them")
    return causes


def write(target: str, parts: Iterable[str]) -> None:
    """Write text to a file, or to standard output for `-`."""
    if target == "-":
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
        for part in parts:
            sys.stdout.write(part)
        return
    with open(target, "w", encoding="utf-8", errors="backslashreplace") as file:
        for part in parts:
            file.write(part)


def say(text: str) -> None:
    """Print a line to standard error."""
    # Without a standard error print() would take standard output.
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            print(f"reprodiff: {text}", file=sys.stderr)
