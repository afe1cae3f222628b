"""`reprodiff inspect`, `causes` and `formats`: what there is to see without comparing."""

from reprodiff.cli.options import add_limits, command_parser, given_limits, known, write

IDENTICAL = 0


def inspect(argv: list[str]) -> int:
    """Run the command; returns the exit status."""
    from reprodiff.budget import Budget
    from reprodiff.listing import rows
    from reprodiff.sources import open_file

    parser = command_parser(
        "inspect", "Show the tree of a file: path, span in its stream, role and value of every node."
    )
    parser.add_argument("path", metavar="PATH")
    parser.add_argument("--json", metavar="FILE", help="the same as JSON; - is standard output")
    add_limits(parser)
    options = parser.parse_args(argv)
    source = open_file(options.path)
    found = rows(source, Budget(seconds=options.timeout, **given_limits(options)))
    if options.json is not None:
        from reprodiff.report.listing import as_json

        write(options.json, as_json(options.path, source.size, found))
    else:
        from reprodiff.report.listing import as_text

        write("-", as_text(found))
    return IDENTICAL


def causes(argv: list[str]) -> int:
    """Run the command; returns the exit status."""
    from reprodiff.app import catalogue, cause_in_full

    parser = command_parser("causes", "List the catalogue of causes, or show one entry in full.")
    parser.add_argument("id", metavar="ID", nargs="?")
    options = parser.parse_args(argv)
    if options.id is not None:
        known([options.id])
        write("-", [cause_in_full(options.id)])
        return IDENTICAL
    entries = catalogue()
    width = max(map(len, entries))
    family = max(len(entry.family) for entry in entries.values())
    for cause, entry in sorted(entries.items(), key=lambda item: (item[1].family, item[0])):
        write("-", [f"{entry.family:<{family}}  {cause:<{width}}  {entry.normalizable:<6}  {entry.title}\n"])
    return IDENTICAL


def formats(argv: list[str]) -> int:
    """Run the command; returns the exit status."""
    from reprodiff.formats import FORMATS

    command_parser("formats", "List the formats that are understood, and how deep.").parse_args(argv)
    width = max(len(entry.name) for entry in FORMATS)
    for entry in FORMATS:
        print(f"{entry.name:<{width}}  {entry.depth}")
    return IDENTICAL
