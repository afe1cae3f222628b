"""The text report: one screen for a person."""

import os
import re
from typing import Any

MOST = 10
SUSPECTED = 5
WIDE = 120
VALUE = 60
# Bytes in hex say little to a person: of more than so many some are shown.
BYTES = 16
HEX = re.compile(rf"(?:[0-9a-f]{{2}} ){{{BYTES}}}[0-9a-f]")
TIMES, TO = "\u00d7", "\u2013"
COLOURS = {"bold": "1", "red": "31", "green": "32", "yellow": "33", "dim": "2"}


def render(report: dict[str, Any], *, colour: bool = False, hint: str = "") -> str:
    """Return the report as text; hint is the last line, a command to run."""
    paint = _painter(colour)
    lines = [_headline(report, paint), ""]
    causes = report["causes"]
    kinds = [notice["kind"] for notice in report["notices"]]
    width = max(map(len, ["unexplained", *kinds, *(c["family"] for c in causes)])) + 2
    columns = [
        max([len(text) for text in column] + [0]) + 2 for column in ([c["id"] for c in causes], map(amount, causes))
    ]
    for cause in causes:
        lines += _cause(cause, width, columns, paint)
    hidden = report.get("hidden", [])
    if hidden:
        lines.append(f"  {'hidden':<{width}}{len(hidden)} {plural('cause', len(hidden))} (--hide)")
    if report.get("excluded"):
        lines.append(f"  {'excluded':<{width}}{report['excluded']:,} {plural('name', report['excluded'])} (--exclude)")
    if report["consequences"]:
        lines.append(f"  {'follows':<{width}}{_follows(report['consequences'])}")
    lines += _unexplained(report["unexplained"], width, paint)
    for notice in report["notices"][:MOST]:
        where = middle(notice["path"], VALUE)
        lines.append(paint("yellow", f"  {notice['kind']:<{width}}{where}: {notice['text']}"))
    if len(report["notices"]) > MOST:
        lines.append(f"  {'':<{width}}… and {len(report['notices']) - MOST:,} more notices (--json - has all)")
    lines += _arithmetic(report["streams"], width)
    if hint:
        lines += ["", f"  {hint}"]
    return "\n".join(lines) + "\n"


def _painter(colour: bool) -> Any:
    if not colour:
        return lambda _name, text: text
    return lambda name, text: f"\x1b[{COLOURS[name]}m{text}\x1b[0m"


def names(report: dict[str, Any]) -> tuple[str, str]:
    """Return what to call the two sides: their last parts, and as many before them as tell them apart."""
    left, right = report["left"]["path"], report["right"]["path"]
    one, two = left.rstrip("/").split("/"), right.rstrip("/").split("/")
    for count in range(1, max(len(one), len(two)) + 1):
        if one[-count:] != two[-count:]:
            return "/".join(one[-count:]), "/".join(two[-count:])
    return left, right


def summary(report: dict[str, Any]) -> tuple[str, str]:
    """Return the verdict in words, and the colour that goes with it."""
    count = len(report["causes"]) + len(report.get("hidden", []))
    causes = f"{count} {plural('cause', count)}"
    verdict = report["verdict"]
    if verdict == "explained":
        return f"{causes} {'explains' if count == 1 else 'explain'} every differing byte ({report['proof']})", "green"
    if verdict == "suspected":
        likely = sum(cause["proof"] == "suspected" for cause in report["causes"])
        which = "" if count == 1 else "all " if likely == count else f"{likely} of them "
        return f"{causes}, {which}only suspected", "yellow"
    changes = len(report["unexplained"])
    rest = f"{changes:,} {plural('change', changes)} unexplained" if changes else "the comparison is not complete"
    return rest + (f", beside {causes}" if count else ""), "red"


def _headline(report: dict[str, Any], paint: Any) -> str:
    left, right = names(report)
    if report["verdict"] == "identical":
        return f"{left} and {right} are identical"
    text, colour = summary(report)
    return f"{left} and {right} differ: {paint(colour, text)}"


def amount(cause: dict[str, Any]) -> str:
    """Return how much a cause changed: members, archives or places, and bytes."""
    for unit, key in (("member", "members"), ("archive", "archives"), ("place", "count")):
        if cause.get(key):
            text = f"{cause[key]:,} {plural(unit, cause[key])}"
            break
    else:
        text = "0 places"
    if cause["bytes"]:
        text += f", {cause['bytes']:,} {plural('byte', cause['bytes'])}"
    return text if cause["proof"] == "proved" else f"{text} ({cause['proof']})"


def _cause(cause: dict[str, Any], width: int, columns: list[int], paint: Any) -> list[str]:
    pad = " " * (width + 2)
    bold = paint("bold", cause["id"]) + " " * (columns[0] - len(cause["id"]))
    head = f"  {cause['family']:<{width}}{bold}{amount(cause):<{columns[1]}} "
    lines: list[str] = []
    shown = cause["examples"][: SUSPECTED if cause["proof"] == "suspected" else 1]
    for example in shown:
        text = values(example, cause)
        if not lines and len(text) + width + sum(columns) < WIDE:
            lines.append(head + text)
        else:
            lines += [pad + text] if lines else [head.rstrip(), pad + text]
        lines.append(paint("dim", f"{pad}at {middle(inside(example['path']), WIDE - width - 5)}"))
    lines = lines or [head.rstrip()]
    if cause["proof"] == "suspected" and len(cause["examples"]) > len(shown):
        lines.append(f"{pad}… and {len(cause['examples']) - len(shown):,} more (--json - has all)")
    if cause["fixes"]:
        lines.append(f"{pad}fix: {fix(cause['fixes'][0])}")
    return lines


def fix(entry: dict[str, Any]) -> str:
    """Return a fix as text: tool, version from which it works, what to do."""
    since = f" ≥ {entry['since']}" if entry["since"] else ""
    return f"{entry['tool']}{since}: {entry['text']}"


def values(example: dict[str, Any], cause: dict[str, Any]) -> str:
    """Return both sides of an example, and by how much a time moved."""
    left, right = (text or "absent" for text in brief(example["left"], example["right"], VALUE))
    if not example["left"] and not example["right"]:
        return "other order" if cause.get("archives") else "differs"
    shift = cause.get("shift_seconds")
    note = f" ({_shift(shift)}{' on all' if cause['count'] > 1 else ''})" if shift else ""
    return f"{left} → {right}{note}"


def _shift(seconds: float) -> str:
    sign, rest = ("-" if seconds < 0 else "+"), abs(seconds)
    if rest < 1:
        return f"{sign}{rest:.9f}".rstrip("0") + " s"
    rest = int(rest)
    parts = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        units, rest = divmod(rest, size)
        if units:
            parts.append(f"{units} {unit}")
    return sign + " ".join(parts[:3])


def inside(path: str) -> str:
    """Leave out the file's own name: the headline has it."""
    return path.partition("!/")[2] or os.path.basename(path)


def brief(left: str, right: str, width: int) -> tuple[str, str]:
    """Cut two long values: of bytes in hex some from where they begin to differ, of texts both ends."""
    start = 0
    if left and right:
        first = next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), 0)
        start = max(first // 3 - 2, 0) * 3
    return _window(left, start, width), _window(right, start, width)


def _window(text: str, start: int, width: int) -> str:
    if not HEX.match(text):
        return middle(text, width)
    cut = text[start : start + 3 * BYTES].rstrip()
    return f"{'… ' if start else ''}{cut}{' …' if start + 3 * BYTES < len(text) else ''}"


def middle(text: str, width: int) -> str:
    """Cut a long text in the middle: both ends of a path say more than what is between them."""
    if len(text) <= width:
        return text
    head = (width - 1) // 3
    return f"{text[:head]}…{text[head + 1 - width :]}"


def _follows(consequences: list[dict[str, Any]]) -> str:
    counts: dict[str, int] = {}
    for item in consequences:
        name = item["path"].rsplit("/", 1)[-1].replace("[*]", "")
        counts[name] = counts.get(name, 0) + item["count"]
    parts = [f"{count:,} {TIMES} {name}" if count > 1 else name for name, count in counts.items()]
    shown = ", ".join(parts[:8])
    return shown + (f" and {len(parts) - 8} more" if len(parts) > 8 else "")


def _unexplained(items: list[dict[str, Any]], width: int, paint: Any) -> list[str]:
    if not items:
        return [f"  {'unexplained':<{width}}nothing"]
    total = sum(item["bytes"] for item in items)
    head = f"{len(items):,} {plural('change', len(items))}, {total:,} {plural('byte', total)}"
    lines = [paint("red", f"  {'unexplained':<{width}}{head}")]
    pad = " " * (width + 2)
    # Of many, first those that have a name of their own: a function, a text, a member.
    for item in sorted(items, key=lambda item: not item["path"].endswith("]"))[:MOST] if len(items) > MOST else items:
        where = [
            f"{side} {span[0]}{TO}{span[1]}"
            for side, span in zip(("left", "right"), item["spans"], strict=True)
            if span
        ]
        kind = {"left": "only left", "right": "only right"}.get(item["kind"], item["kind"])
        lines.append(f"{pad}{paint('bold', middle(inside(item['path']), WIDE))}  {kind}, bytes {', '.join(where)}")
        if "type" in item:
            lines.append(f"{pad}  {middle(item['type'], WIDE)}")
        both = brief(item["left"], item["right"], WIDE)
        lines += [f"{pad}  {sign} {text}" for text, sign in zip(both, "-+", strict=True) if text]
    if len(items) > MOST:
        lines.append(f"{pad}… and {len(items) - MOST:,} more (--json - has all)")
    return lines


def _arithmetic(streams: list[dict[str, Any]], width: int) -> list[str]:
    sums = {k: sum(s[k] for s in streams) for k in ("differing", "origin", "consequence", "suspected", "unexplained")}
    if not sums["differing"]:
        return []
    parts = [f"{sums[k]:,} {k}" for k in ("origin", "consequence", "suspected", "unexplained") if sums[k]]
    count = len(streams)
    return [
        f"  {'differing':<{width}}{sums['differing']:,} bytes in {count:,} {plural('stream', count)} = {' + '.join(parts)}"
    ]


def plural(word: str, count: int) -> str:
    """Return a word as it is counted."""
    return word if count == 1 else word + "s"
