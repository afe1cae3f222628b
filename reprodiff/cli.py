"""The command line. `main` never raises and never answers 1 for its own mistakes."""

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from reprodiff.app import Outcome
    from reprodiff.budget import Budget

IDENTICAL, DIFFER, TROUBLE = 0, 1, 2
INTERRUPTED, BROKEN_PIPE = 130, 141
COMMANDS = ("diff", "normalize", "inspect", "causes", "formats")
UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
USAGE = """\
usage: reprodiff LEFT RIGHT            say why two files or directories differ
       reprodiff normalize PATH...     rewrite files so that nothing but their content is left
       reprodiff inspect PATH          show the tree of a file: names, spans, roles, values
       reprodiff causes [ID]           the catalogue of causes, or one entry in full
       reprodiff formats               what is understood, and how deep
       reprodiff --version

`reprodiff COMMAND --help` has the options. `reprodiff LEFT RIGHT` is short for `reprodiff diff LEFT RIGHT`; a file
that is called like a command is given as ./normalize.

exit status: 0 identical, 1 different, 2 trouble
"""


class _UsageError(Exception):
    """Ends the run with exit status 2 and a sentence."""


def main(argv: list[str] | None = None) -> int:
    """Run a command line; returns the exit status."""
    try:
        try:
            status = _run(sys.argv[1:] if argv is None else argv)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # What is still buffered has no reader either; the interpreter would complain about it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return BROKEN_PIPE
    except KeyboardInterrupt:
        return INTERRUPTED
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else TROUBLE
    except BaseException as error:  # noqa: BLE001 - a crash must not look like "the files differ"
        return _fail(error)
    return status


def _fail(error: BaseException) -> int:
    """Print one sentence about an exception, and where it comes from when REPRODIFF_TRACEBACK asks for it."""
    from reprodiff.codecs import printable
    from reprodiff.errors import ReprodiffError

    if isinstance(error, ReprodiffError | _UsageError):
        text = str(error)
    elif isinstance(error, OSError) and error.filename is not None:
        text = f"{os.fsdecode(error.filename)}: {(error.strerror or 'failed').lower()}"
    elif isinstance(error, OSError):
        text = (error.strerror or str(error)).lower()
    elif isinstance(error, MemoryError):
        text = "out of memory (--max-memory lowers what is kept in it)"
    else:
        text = f"internal error, please report it: {type(error).__name__}: {error} (REPRODIFF_TRACEBACK=1 shows more)"
    _say(printable(text))
    if os.environ.get("REPRODIFF_TRACEBACK"):
        import traceback

        traceback.print_exception(error)
    return TROUBLE


def _say(text: str) -> None:
    try:
        print(f"reprodiff: {text}", file=sys.stderr)
    except OSError:
        return


def _run(argv: list[str]) -> int:
    if not argv or argv[0] in {"-h", "--help", "--version"}:
        return _about(argv)
    command = argv[0] if argv[0] in COMMANDS else ""
    rest = argv[1:] if command else argv
    run = {"normalize": _normalize, "inspect": _inspect, "causes": _causes, "formats": _formats}.get(command, _diff)
    return run(rest)


def _about(argv: list[str]) -> int:
    if argv and argv[0] == "--version":
        import reprodiff

        print(f"reprodiff {reprodiff.__version__}")
        return IDENTICAL
    print(USAGE, end="", file=sys.stdout if argv else sys.stderr)
    return IDENTICAL if argv else TROUBLE


# The arguments that commands have in common.


def _parser(command: str, text: str) -> "ArgumentParser":
    from argparse import ArgumentParser, RawDescriptionHelpFormatter

    name = f"reprodiff {command}"
    return ArgumentParser(name, description=text, allow_abbrev=False, formatter_class=RawDescriptionHelpFormatter)


def _limits(parser: "ArgumentParser") -> None:
    group = parser.add_argument_group("limits")
    group.add_argument("--timeout", type=_seconds, metavar="SECONDS", help="stop after so much wall time")
    group.add_argument("--max-decoded", type=_size, metavar="SIZE", help="bytes that decoders may produce (16G)")
    group.add_argument("--max-members", type=_count, metavar="N", help="members that archives may have (5000000)")
    group.add_argument("--max-depth", type=_count, metavar="N", help="streams inside each other (16)")
    group.add_argument("--max-memory", type=_size, metavar="SIZE", help="of a decoded stream in memory (256M)")


def _size(text: str) -> int:
    unit = UNITS.get(text[-1:].upper())
    return _count(text[:-1] if unit else text) * (unit or 1)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(text)
    return int(text)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < 1e9:
        raise ValueError(text)
    return seconds


# What argparse says about a bad value: "invalid size value".
_size.__name__, _count.__name__, _seconds.__name__ = "size", "number", "time"


def _given(options: "Namespace") -> dict[str, Any]:
    """Return the limits that were given, as arguments of Budget."""
    found = {name: getattr(options, f"max_{name}", None) for name in ("decoded", "members", "depth", "memory")}
    return {name: value for name, value in found.items() if value is not None}


def _epoch(given: int | None) -> int:
    """Return --epoch, else $SOURCE_DATE_EPOCH, else 0."""
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    if given is not None or not text:
        return given or 0
    if not (text.isascii() and text.isdigit()):
        raise _UsageError(f"SOURCE_DATE_EPOCH is not a number of seconds: {text!r}")
    return int(text)


def _known(causes: list[str], *, everything: bool = False) -> list[str]:
    """Return cause ids as given, once the catalogue has them all."""
    if causes:
        from reprodiff.app import catalogue

        known = catalogue()
        for cause in causes:
            if cause not in known and not (everything and cause == "all"):
                raise _UsageError(f"there is no cause {cause!r}: `reprodiff causes` lists them")
    return causes


# reprodiff diff


def _diff(argv: list[str]) -> int:
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
        raise _UsageError("only one report can go to standard output")
    _known([*options.hide, *options.accept])
    budget = Budget(seconds=options.timeout, exclude=_matcher(options.exclude), **_given(options))
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
    parser = _parser(
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
    _limits(parser)
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
        _write(targets["text"], [""])
    elif targets["text"]:
        from reprodiff.report import text

        colour = targets["text"] == "-" and sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        _write(targets["text"], [text.render(report, colour=colour, hint=_hint(outcome, left, right))])
    if targets["json"]:
        from reprodiff.report import json

        _write(targets["json"], [json.render(report)])
    if targets["markdown"]:
        from reprodiff.report import markdown

        _write(targets["markdown"], [markdown.render(report)])
    if targets["html"]:
        from reprodiff.report import html

        _write(targets["html"], [html.render(report)])
    if outcome.status == DIFFER and options and options.accept and outcome.accepted(options.accept):
        return IDENTICAL
    return outcome.status


def _hint(outcome: "Outcome", left: str, right: str) -> str:
    """Return the command that makes both sides identical, and what it does; '' where there is none."""
    try:
        epoch = _epoch(None)
    except _UsageError:
        return ""
    advice = outcome.advice(epoch)
    names = [_quoted(path) for path in (left, right)]
    if advice is None or not all(names):
        return ""
    if advice.mode == "unify":
        return "reprodiff normalize --mode unify --output NEW OLD   makes copies of both that are identical"
    enable = "".join(f"--enable {cause} " for cause in advice.enable)
    return f"reprodiff normalize {enable}{' '.join(names)}   makes them identical"


def _quoted(path: str) -> str:
    """Return a path as a shell reads it, '' for one that cannot be printed."""
    if not path.isprintable():
        return ""
    if path.startswith("-"):
        path = f"./{path}"
    plain = all(char.isalnum() or char in "@%+=:,./-_" for char in path) and path.isascii()
    return path if plain else "'" + path.replace("'", "'\"'\"'") + "'"


def _write(target: str, parts: "list[str] | Iterator[str]") -> None:
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


# reprodiff normalize


def _normalize(argv: list[str]) -> int:
    import signal
    import time

    from reprodiff.app import Job, normalize_all
    from reprodiff.codecs import printable

    options = _normalize_options(argv)
    if options.output is not None and (len(options.paths) != 1 or os.path.isdir(options.paths[0])):
        raise _UsageError("--output takes exactly one file to normalize")
    if options.mode == "unify" and options.output is None:
        raise _UsageError("--mode unify loses information and so never changes a file in place: give --output FILE")
    if options.output is not None and options.check:
        raise _UsageError("--check writes nothing: leave --output out")
    if options.output not in {None, "-"} and _same_file(options.output, options.paths[0]):
        raise _UsageError("--output is the file itself: leave --output out to rewrite it in place")
    if "-" in {options.output} & {options.json}:
        raise _UsageError("only one of --output and --json can go to standard output")
    job = Job(
        _epoch(options.epoch),
        options.mode,
        frozenset(_known(options.enable, everything=True)),
        frozenset(_known(options.disable)),
        options.check,
        options.output,
        options.json is not None,
        tuple(_given(options).items()),
        None if options.timeout is None else time.monotonic() + options.timeout,
    )
    # A temporary file is better removed at once than swept up by the next run.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    changed, failed, done = 0, 0, []
    lines = "-" not in {options.json, options.output}
    for item in normalize_all(options.paths, job, options.jobs):
        if options.json is not None:
            done.append(item)
        name = printable(item.path)
        if item.status in {"normalized", "would-change"}:
            changed += 1
            if lines:
                encoders = f" (compressed again: {'; '.join(item.encoders)})" if item.encoders else ""
                verb = "normalized" if item.status == "normalized" else "would change"
                print(f"{verb} {name}: {', '.join(item.causes)}{encoders}")
        failed += item.status == "failed"
        for notice in item.notices:
            _say(f"{name}: {notice}")
    if options.json is not None:
        import json

        from reprodiff.normalize import as_json

        _write(options.json, [json.dumps(as_json(done), indent=1) + "\n"])
    if failed:
        return TROUBLE
    return DIFFER if options.check and changed else IDENTICAL


def _same_file(one: str, two: str) -> bool:
    try:
        return os.path.samefile(one, two)
    except OSError:
        return False


def _normalize_options(argv: list[str]) -> "Namespace":
    parser = _parser(
        "normalize",
        "Rewrite files in place so that builds which differ in nothing but their surroundings become identical.\n"
        "Directories are walked; symbolic links are never followed. One line for each changed file.\n"
        "Exit status: 0 done, 1 with --check when something would change, 2 when a file failed.",
    )
    parser.add_argument("paths", metavar="PATH", nargs="+")
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 if something would change")
    parser.add_argument("--output", metavar="FILE", help="write the result there; takes one PATH; - is standard output")
    parser.add_argument(
        "--epoch", metavar="SECONDS", type=_count, help="no time stays later ($SOURCE_DATE_EPOCH, else 0)"
    )
    parser.add_argument(
        "--mode",
        choices=("clamp", "unify"),
        default="clamp",
        help="clamp: to ship; unify: constants everywhere, to compare; needs --output",
    )
    parser.add_argument(
        "--enable", metavar="CAUSE", action="append", default=[], help="undo an opt-in cause too, or `all`"
    )
    parser.add_argument("--disable", metavar="CAUSE", action="append", default=[], help="leave a cause as it is")
    parser.add_argument("-j", dest="jobs", metavar="N", type=_count, default=1, help="files at the same time")
    parser.add_argument("--json", metavar="FILE", help="what became of every file; - is standard output")
    _limits(parser)
    return parser.parse_intermixed_args(argv)


# reprodiff inspect, causes, formats


def _inspect(argv: list[str]) -> int:
    from reprodiff.budget import Budget
    from reprodiff.listing import rows
    from reprodiff.sources import open_file

    parser = _parser("inspect", "Show the tree of a file: path, span in its stream, role and value of every node.")
    parser.add_argument("path", metavar="PATH")
    parser.add_argument("--json", metavar="FILE", help="the same as JSON; - is standard output")
    _limits(parser)
    options = parser.parse_args(argv)
    source = open_file(options.path)
    found = rows(source, Budget(seconds=options.timeout, **_given(options)))
    if options.json is not None:
        from reprodiff.report.listing import as_json

        _write(options.json, as_json(options.path, source.size, found))
    else:
        from reprodiff.report.listing import as_text

        _write("-", as_text(found))
    return IDENTICAL


def _causes(argv: list[str]) -> int:
    from reprodiff.app import catalogue, cause_in_full

    parser = _parser("causes", "List the catalogue of causes, or show one entry in full.")
    parser.add_argument("id", metavar="ID", nargs="?")
    options = parser.parse_args(argv)
    if options.id is not None:
        _known([options.id])
        _write("-", [cause_in_full(options.id)])
        return IDENTICAL
    entries = catalogue()
    width = max(map(len, entries))
    family = max(len(entry.family) for entry in entries.values())
    for cause, entry in sorted(entries.items(), key=lambda item: (item[1].family, item[0])):
        _write("-", [f"{entry.family:<{family}}  {cause:<{width}}  {entry.normalizable:<6}  {entry.title}\n"])
    return IDENTICAL


def _formats(argv: list[str]) -> int:
    from reprodiff.formats import FORMATS

    _parser("formats", "List the formats that are understood, and how deep.").parse_args(argv)
    width = max(len(entry.name) for entry in FORMATS)
    for entry in FORMATS:
        print(f"{entry.name:<{width}}  {entry.depth}")
    return IDENTICAL
