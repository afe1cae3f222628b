"""`reprodiff diff`: compare, and write the reports that are asked for."""

import os
import sys
from typing import TYPE_CHECKING, Any

from reprodiff.cli.options import UsageError, add_limits, command_parser, epoch_or_default, given_limits, known, write

if TYPE_CHECKING:
    from argparse import Namespace

    from reprodiff.app import Outcome
    from reprodiff.budget import Budget

IDENTICAL, DIFFER = 0, 1


def run(argv: list[str]) -> int:
    """Run the command; returns the exit status."""
    from reprodiff.app import diff
    from reprodiff.budget import Budget

    if len(argv) == 2 and not (argv[0].startswith("-") or argv[1].startswith("-")):
        # Two paths alone, as hooks call it thousands of times: argparse would be a quarter of the time.
        budget = Budget()
        with _progress(budget, wanted=True):
            outcome = diff(argv[0], argv[1], budget)
        return _show(outcome, None, argv[0], argv[1])
    options = _diff_options(argv)
    if sum(getattr(options, kind) == "-" for kind in ("text", "json", "markdown", "html")) > 1:
        raise UsageError("only one report can go to standard output")
    known([*options.hide, *options.accept])
    budget = Budget(seconds=options.timeout, exclude=_matcher(options.exclude), **given_limits(options))
    with _progress(budget, wanted=not options.no_progress):
        outcome = diff(
            options.left,
            options.right,
            budget,
            digests=options.json is not None,
            directory_metadata=not options.exclude_directory_metadata,
        )
    return _show(outcome, options, options.left, options.right)


def _diff_options(argv: list[str]) -> "Namespace":
    parser = command_parser(
        "diff",
        "Say why two files or directories differ, whether that is all, and what makes it go away.\n"
        "Silent when they are identical. Exit status: 0 identical, 1 different, 2 trouble.",
    )
    parser.add_argument("left", metavar="LEFT")
    parser.add_argument("right", metavar="RIGHT")
    reports = parser.add_argument_group("reports", "FILE may be - for standard output; the default is --text -")
    for kind in ("text", "json", "markdown", "html"):
        reports.add_argument(f"--{kind}", metavar="FILE")
    reports.add_argument("--no-progress", action="store_true", help="nothing on standard error while it works")
    what = parser.add_argument_group("what counts")
    what.add_argument("--exclude", metavar="GLOB", action="append", default=[], help="members and files not to compare")
    what.add_argument("--exclude-directory-metadata", action="store_true", help="compare the contents of files only")
    what.add_argument(
        "--hide", metavar="CAUSE", action="append", default=[], help="leave out of the report; the exit status stays"
    )
    what.add_argument(
        "--accept", metavar="CAUSE", action="append", default=[], help="exit with 0 if nothing else is left"
    )
    add_limits(parser)
    return parser.parse_args(argv)


def _matcher(globs: list[str]) -> Any:
    """Return a test for the keys of members and files, None without a pattern: whole names or their last parts."""
    if not globs:
        return None
    import re
    from fnmatch import translate

    match = re.compile("|".join(translate(glob) for glob in globs)).match

    def excluded(key: bytes) -> bool:
        name = os.fsdecode(key).rstrip("/")
        return match(name) is not None or match(name.rpartition("/")[2]) is not None

    return excluded


def _show(outcome: "Outcome", options: "Namespace | None", left: str, right: str) -> int:
    """Write the reports that are asked for; returns the exit status."""
    report = outcome.report
    hide = set(options.hide) if options else set()
    hidden = [cause["id"] for cause in report["causes"] if cause["id"] in hide]
    if hidden:
        report = report | {"causes": [c for c in report["causes"] if c["id"] not in hide], "hidden": hidden}
    if outcome.excluded:
        report = report | {"excluded": outcome.excluded}
    targets = {kind: getattr(options, kind, None) for kind in ("text", "json", "markdown", "html")}
    if not any(targets.values()):
        targets["text"] = "-"
    if targets["text"] and report["verdict"] == "identical":
        write(targets["text"], [""])
    elif targets["text"]:
        from reprodiff.report import text

        colour = targets["text"] == "-" and sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        write(targets["text"], [text.render(report, colour=colour, hint=_hint(outcome, left, right))])
    if targets["json"]:
        from reprodiff.report import json

        write(targets["json"], [json.render(report)])
    if targets["markdown"]:
        from reprodiff.report import markdown

        write(targets["markdown"], [markdown.render(report)])
    if targets["html"]:
        from reprodiff.report import html

        write(targets["html"], [html.render(report)])
    if outcome.status == DIFFER and options and options.accept and outcome.accepted(options.accept):
        return IDENTICAL
    return outcome.status


def _hint(outcome: "Outcome", left: str, right: str) -> str:
    """Return the command that makes both sides identical, and what it does; '' where there is none."""
    try:
        epoch = epoch_or_default(None)
    except UsageError:
        return ""
    advice = outcome.advice(epoch)
    names = [_quoted(path) for path in (left, right)]
    trees = os.path.isdir(left)
    if advice is None or not all(names) or (trees and advice.mode == "unify"):
        return ""
    if advice.mode == "unify":
        return "reprodiff normalize --mode unify --output NEW OLD   makes copies of both that are identical"
    enable = "".join(f"--enable {cause} " for cause in advice.enable)
    return f"reprodiff normalize {enable}{' '.join(names)}   makes {'their files' if trees else 'them'} identical"


def _quoted(path: str) -> str:
    """Return a path as a shell reads it, '' for one that cannot be printed."""
    if not path.isprintable():
        return ""
    if path.startswith("-"):
        path = f"./{path}"
    plain = all(char.isalnum() or char in "@%+=:,./-_" for char in path) and path.isascii()
    return path if plain else "'" + path.replace("'", "'\"'\"'") + "'"


class _Progress:
    """Says on a terminal how far it is, once a second has passed; wipes its line at the end."""

    def __init__(self, budget: "Budget") -> None:
        self.budget = budget
        self.decoded = budget.decoded
        self.members = budget.members

    def __enter__(self) -> None:
        import threading

        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        seconds = 1
        wipe = ""
        while not self.over.wait(1):
            amount = f"{(self.decoded - self.budget.decoded) >> 20:,} MiB decoded"
            members = f"{self.members - self.budget.members:,} members"
            sys.stderr.write(f"\rreprodiff: {seconds} s, {amount}, {members} ")
            sys.stderr.flush()
            seconds += 1
            wipe = "\r\x1b[K"
        sys.stderr.write(wipe)
        sys.stderr.flush()

    def __exit__(self, *_error: object) -> None:
        self.over.set()
        self.thread.join()


class _Silence:
    def __enter__(self) -> None:
        return

    def __exit__(self, *_error: object) -> None:
        return


def _progress(budget: "Budget", *, wanted: bool) -> "_Progress | _Silence":
    return _Progress(budget) if wanted and sys.stderr.isatty() else _Silence()
