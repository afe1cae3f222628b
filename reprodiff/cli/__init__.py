"""The command line. `main` never raises and never answers 1 for its own mistakes."""

import gc
import os
import sys

IDENTICAL, DIFFER, TROUBLE = 0, 1, 2
INTERRUPTED, BROKEN_PIPE = 130, 141
COMMANDS = ("diff", "normalize", "inspect", "causes", "formats")
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


def main(argv: list[str] | None = None) -> int:
    """Run a command line; returns the exit status."""
    if sys.stdout is None:
        return _fail(OSError("standard output is closed"))
    if argv is None:
        # Trees are many small objects and few cycles: collecting as often as by default costs a third of the time.
        gc.set_threshold(200_000, 20, 100)
        # numpy is used for integers only, but the library behind its linear algebra starts threads when it is loaded.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        status = _run(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
    except BrokenPipeError:
        status = BROKEN_PIPE
    except KeyboardInterrupt:
        status = INTERRUPTED
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else TROUBLE
    except BaseException as error:  # noqa: BLE001 - a crash must not look like "the files differ"
        status = _fail(error)
    try:
        sys.stdout.flush()
    except OSError:
        # What is still buffered cannot be written; the interpreter would fail over it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if argv is None:
        # The process ends: that nobody looks for cycles once more saves a tenth of a small comparison.
        gc.freeze()
    return status


def _fail(error: BaseException) -> int:
    try:
        _explain(error)
    except BaseException:  # noqa: BLE001 - not even that could be imported; the exit status still has to be right
        os.write(2, f"reprodiff: {type(error).__name__}\n".encode())
    return TROUBLE


def _explain(error: BaseException) -> None:
    """Print one sentence about an exception, and where it comes from when REPRODIFF_TRACEBACK asks for it."""
    from reprodiff.cli.options import say
    from reprodiff.codecs import printable
    from reprodiff.errors import ReprodiffError

    if isinstance(error, ReprodiffError):
        text = str(error)
    elif isinstance(error, OSError) and error.filename is not None:
        text = f"{os.fsdecode(error.filename)}: {(error.strerror or 'failed').lower()}"
    elif isinstance(error, OSError):
        text = (error.strerror or str(error)).lower()
    elif isinstance(error, MemoryError):
        text = "out of memory (--max-memory lowers what is kept in it)"
    else:
        text = f"internal error, please report it: {type(error).__name__}: {error} (REPRODIFF_TRACEBACK=1 shows more)"
    say(printable(text))
    if os.environ.get("REPRODIFF_TRACEBACK"):
        import traceback

        traceback.print_exception(error)


def _run(argv: list[str]) -> int:
    if not argv or argv[0] in {"-h", "--help", "--version"}:
        return _about(argv)
    command = argv[0] if argv[0] in COMMANDS else ""
    rest = argv[1:] if command else argv
    if command == "normalize":
        from reprodiff.cli import normalize

        return normalize.run(rest)
    if command in {"inspect", "causes", "formats"}:
        from reprodiff.cli import show

        return {"inspect": show.inspect, "causes": show.causes, "formats": show.formats}[command](rest)
    from reprodiff.cli import diff

    return diff.run(rest)


def _about(argv: list[str]) -> int:
    if argv and argv[0] == "--version":
        import reprodiff

        print(f"reprodiff {reprodiff.__version__}")
        return IDENTICAL
    print(USAGE, end="", file=sys.stdout if argv else sys.stderr)
    return IDENTICAL if argv else TROUBLE
