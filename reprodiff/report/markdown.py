"""The report as Markdown, for an issue or a merge request."""

from typing import Any

from reprodiff.report.text import amount, fix, inside, names, summary, values

MOST = 50
SPECIAL = set("\\`*_{}[]<>()#+-!|&~")


def render(report: dict[str, Any]) -> str:
    """Return the report as Markdown; nothing from an artifact can start markup."""
    left, right = map(code, names(report))
    if report["verdict"] == "identical":
        return f"{left} and {right} are identical.\n"
    lines = [f"{left} and {right} differ: **{escape(summary(report)[0])}**", ""]
    if report["causes"]:
        lines += ["| cause | how much | example | fix |", "|---|---|---|---|"]
    for cause in report["causes"]:
        example = cause["examples"][0] if cause["examples"] else None
        shown = f"{code(values(example, cause))} at {code(inside(example['path']))}" if example else ""
        fixes = escape(fix(cause["fixes"][0])) if cause["fixes"] else ""
        lines.append(f"| {code(cause['id'])} {escape(cause['title'])} | {escape(amount(cause))} | {shown} | {fixes} |")
    if report.get("hidden"):
        lines += ["", f"Hidden: {', '.join(map(code, report['hidden']))}"]
    lines += ["", "Unexplained: nothing" if not report["unexplained"] else "Unexplained:", ""]
    for item in report["unexplained"][:MOST]:
        lines.append(
            f"- {code(inside(item['path']))}: {code(item['left'] or 'absent')} → {code(item['right'] or 'absent')}"
        )
    if len(report["unexplained"]) > MOST:
        lines.append(f"- and {len(report['unexplained']) - MOST} more")
    for notice in report["notices"][:MOST]:
        lines.append(f"- {escape(notice['kind'])}: {code(notice['path'])}: {escape(notice['text'])}")
    return "\n".join(lines).rstrip() + "\n"


def escape(text: str) -> str:
    """Return text that Markdown shows as it is."""
    return "".join(f"\\{char}" if char in SPECIAL else char for char in text).replace("\n", " ")


def code(text: str) -> str:
    """Return a code span that holds the text whatever it is, also in a table."""
    text = text.replace("\n", " ").replace("|", "\\|")
    longest = max((len(run) for run in "".join(c if c == "`" else " " for c in text).split()), default=0)
    fence = "`" * (longest + 1)
    space = " " if text.startswith("`") or text.endswith("`") or not text else ""
    return f"{fence}{space}{text}{space}{fence}"
