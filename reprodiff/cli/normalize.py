"""`reprodiff normalize`: rewrite files, and say what became of each."""

import os
import sys
from typing import TYPE_CHECKING

from reprodiff.cli.options import (
    UsageError,
    add_limits,
    command_parser,
    epoch_or_default,
    given_limits,
    known,
    number,
    say,
    write,
)

if TYPE_CHECKING:
    from argparse import Namespace

IDENTICAL, DIFFER, TROUBLE = 0, 1, 2


def run(argv: list[str]) -> int:
    """Run the command; returns the exit status."""
    import signal
    import time

    from reprodiff.app import Job, normalize_all
    from reprodiff.codecs import printable

    options = _normalize_options(argv)
    if options.output is not None and (len(options.paths) != 1 or os.path.isdir(options.paths[0])):
        raise UsageError("--output takes exactly one file to normalize")
    if options.mode == "unify" and options.output is None:
        raise UsageError("--mode unify loses information and so never changes a file in place: give --output FILE")
    if options.output is not None and options.check:
        raise UsageError("--check writes nothing: leave --output out")
    if options.output not in {None, "-"} and _same_file(options.output, options.paths[0]):
        raise UsageError("--output is the file itself: leave --output out to rewrite it in place")
    if "-" in {options.output} & {options.json}:
        raise UsageError("only one of --output and --json can go to standard output")
    job = Job(
        epoch_or_default(options.epoch),
        options.mode,
        frozenset(known(options.enable, everything=True)),
        frozenset(known(options.disable)),
        options.check,
        options.output,
        options.json is not None,
        tuple(given_limits(options).items()),
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
            say(f"{name}: {notice}")
    if options.json is not None:
        import json

        from reprodiff.normalize import as_json

        write(options.json, [json.dumps(as_json(done), indent=1) + "\n"])
    if failed:
        return TROUBLE
    return DIFFER if options.check and changed else IDENTICAL


def _same_file(one: str, two: str) -> bool:
    try:
        return os.path.samefile(one, two)
    except OSError:
        return False


def _normalize_options(argv: list[str]) -> "Namespace":
    parser = command_parser(
        "normalize",
        "Rewrite files in place so that builds which differ in nothing but their surroundings become identical.\n"
        "Directories are walked; symbolic links are never followed. One line for each changed file.\n"
        "Exit status: 0 done, 1 with --check when something would change, 2 when a file failed.",
    )
    parser.add_argument("paths", metavar="PATH", nargs="+")
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 if something would change")
    parser.add_argument("--output", metavar="FILE", help="write the result there; takes one PATH; - is standard output")
    parser.add_argument(
        "--epoch", metavar="SECONDS", type=number, help="no time stays later ($SOURCE_DATE_EPOCH, else 0)"
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
    parser.add_argument("-j", dest="jobs", metavar="N", type=number, default=1, help="files at the same time")
    parser.add_argument("--json", metavar="FILE", help="what became of every file; - is standard output")
    add_limits(parser)
    return parser.parse_intermixed_args(argv)
