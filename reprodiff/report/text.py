"""The text report: one screen for a person."""

from typing import Any

LEFT_MOST = 20
WIDE = 100
COLOURS = {"bold": "1", "red": "31", "green": "32", "yellow": "33", "dim": "2"}


def render(report: dict[str, Any], *, colour: bool = False, hint: str = "", hidden: int = 0) -> str:
    """Return the report as text; hint is the last line, a command to run; hidden counts causes left out."""
    paint = _painter(colour)
    lines = [_headline(report, paint), ""]
    width = max([len(c["family"]) for c in report["causes"]] + [11]) + 2
    id_width = max([len(c["id"]) for c in report["causes"]] + [10]) + 2
    for cause in report["causes"]:
        lines += _cause(cause, width, id_width, paint)
    if hidden:
        lines.append(f"  {'hidden':<{width}}{hidden} {_plural('cause', hidden)} (--hide)")
    if report["consequences"]:
        lines.append(f"  {'follows':<{width}}{_follows(report['consequences'])}")
    lines += _unexplained(report["unexplained"], width, paint)
    for notice in report["notices"][:LEFT_MOST]:
        lines.append(paint("yellow", f"  {notice['kind']:<{width}}{notice['path']}: {notice['text']}"))
    lines += _arithmetic(report["streams"], width)
    if hint:
        lines += ["", f"  {hint}"]
    return "\n".join(lines) + "\n"


def _painter(colour: bool) -> Any:  # noqa: ANN401, FBT001 - (name, text) to text
    if not colour:
        return lambda _name, text: text
    return lambda name, text: f"\x1b[{COLOURS[name]}m{text}\x1b[0m"


def _headline(report: dict[str, Any], paint: Any) -> str:  # noqa: ANN401
    names = f"{report['left']['path']} and {report['right']['path']}"
    count = len(report["causes"])
    causes = f"{count} {_plural('cause', count)}"
    verdict = report["verdict"]
    if verdict == "identical":
        return f"{names} are identical"
    if verdict == "explained":
        rest = f"{causes} {'explains' if count == 1 else 'explain'} every differing byte ({report['proof']})"
        return f"{names} differ: {paint('green', rest)}"
    open_ = len(report["unexplained"])
    if verdict == "suspected":
        likely = sum(cause["proof"] == "suspected" for cause in report["causes"])
        rest = f"{causes}, {likely} of them only suspected"
        return f"{names} differ: {paint('yellow', rest)}"
    if open_:
        rest = f"{open_} {_plural('change', open_)} unexplained" + (f", beside {causes}" if count else "")
    else:
        rest = "the comparison is not complete" + (f", beside {causes}" if count else "")
    return f"{names} differ: {paint('red', rest)}"


def _cause(cause: dict[str, Any], width: int, id_width: int, paint: Any) -> list[str]:  # noqa: ANN401
    amount = f"{cause['count']:,} {_plural('place', cause['count'])}"
    if cause["bytes"]:
        amount += f", {cause['bytes']:,} {_plural('byte', cause['bytes'])}"
    mark = "" if cause["proof"] == "proved" else f" ({cause['proof']})"
    lines = [f"  {cause['family']:<{width}}{paint('bold', cause['id'])}{' ' * (id_width - len(cause['id']))}{amount}{mark}"]
    pad = " " * (width + 2)
    examples = cause["examples"]
    for example in examples[: 1 if cause["proof"] != "suspected" else 5]:
        lines.append(f"{pad}{_values(example, cause)}")
        lines.append(paint("dim", f"{pad}at {_clip(_inside(example['path']), WIDE)}"))
    if cause["proof"] == "suspected" and len(examples) > 5:  # noqa: PLR2004 - as above
        lines.append(f"{pad}… and {len(examples) - 5} more")
    if cause["fixes"]:
        fix = cause["fixes"][0]
        tool = fix["tool"] + (f" ≥ {fix['since']}" if fix["since"] else "")
        lines.append(f"{pad}fix: {tool}: {fix['text']}")
    return lines


def _values(example: dict[str, Any], cause: dict[str, Any]) -> str:
    left, right = _clip(example["left"], 60) or "absent", _clip(example["right"], 60) or "absent"
    shift = cause.get("shift_seconds")
    note = f" ({_shift(shift)}{' on all' if cause['count'] > 1 else ''})" if shift else ""
    return f"{left} → {right}{note}"


def _shift(seconds: float) -> str:
    sign, rest = ("-" if seconds < 0 else "+"), abs(int(seconds))
    parts = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        amount, rest = divmod(rest, size)
        if amount:
            parts.append(f"{amount} {unit}")
    return sign + " ".join(parts[:3])


def _inside(path: str) -> str:
    """Leave out the file's own name: the headline has it."""
    return path.partition("!/")[2] or path


def _clip(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _follows(consequences: list[dict[str, Any]]) -> str:
    counts: dict[str, int] = {}
    for item in consequences:
        name = item["path"].rsplit("/", 1)[-1].replace("[*]", "")
        counts[name] = counts.get(name, 0) + item["count"]
    parts = [f"{count:,} × {name}" if count > 1 else name for name, count in counts.items()]
    shown = ", ".join(parts[:8])
    return shown + (f" and {len(parts) - 8} more" if len(parts) > 8 else "")  # noqa: PLR2004 - one line


def _unexplained(items: list[dict[str, Any]], width: int, paint: Any) -> list[str]:  # noqa: ANN401
    if not items:
        return [f"  {'unexplained':<{width}}nothing"]
    total = sum(item["bytes"] for item in items)
    head = f"{len(items):,} {_plural('change', len(items))}, {total:,} {_plural('byte', total)}"
    lines = [paint("red", f"  {'unexplained':<{width}}{head}")]
    pad = " " * (width + 2)
    for item in items[:LEFT_MOST]:
        where = [f"{side} {span[0]}–{span[1]}" for side, span in zip(("left", "right"), item["spans"], strict=True) if span]
        kind = {"left": "only left", "right": "only right"}.get(item["kind"], item["kind"])
        lines.append(f"{pad}{paint('bold', _clip(_inside(item['path']), WIDE))}  {kind}, bytes {', '.join(where)}")
        for side in ("left", "right"):
            if item[side]:
                lines.append(f"{pad}  {'-' if side == 'left' else '+'} {_clip(item[side], WIDE)}")
    if len(items) > LEFT_MOST:
        lines.append(f"{pad}… and {len(items) - LEFT_MOST:,} more (--json - has all)")
    return lines


def _arithmetic(streams: list[dict[str, Any]], width: int) -> list[str]:
    sums = {k: sum(s[k] for s in streams) for k in ("differing", "origin", "consequence", "suspected", "unexplained")}
    if not sums["differing"]:
        return []
    parts = [f"{sums[k]:,} {k}" for k in ("origin", "consequence", "suspected", "unexplained") if sums[k]]
    count = len(streams)
    return [f"  {'differing':<{width}}{sums['differing']:,} bytes in {count:,} {_plural('stream', count)} = {' + '.join(parts)}"]


def _plural(word: str, count: int) -> str:
    return word if count == 1 else word + "s"
