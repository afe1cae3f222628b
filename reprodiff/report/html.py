"""The report as one HTML page: no script, nothing loaded from elsewhere."""

from typing import Any

from reprodiff.report.text import amount, fix, inside, names, summary, values

MOST = 200
STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 75em; padding: 0 1em }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; vertical-align: top; padding: .3em .6em;
border-bottom: 1px solid #ccc } code { overflow-wrap: anywhere } .explained { color: #176b2c } .suspected { color: #8a5a00 }
.unexplained { color: #a4161a }
""".strip()


def render(report: dict[str, Any]) -> str:
    """Return the report as HTML; everything from an artifact is escaped."""
    left, right = map(escape, names(report))
    verdict = report["verdict"]
    if verdict == "identical":
        body = [f"<h1>{left} and {right} are identical</h1>"]
    else:
        words = escape(summary(report)[0])
        body = [f'<h1>{left} and {right} differ</h1>\n<p class="{verdict}"><strong>{words}</strong></p>']
        body += _causes(report["causes"])
        if report.get("hidden"):
            body.append(f"<p>Hidden: {escape(', '.join(report['hidden']))}</p>")
        body += _unexplained(report["unexplained"])
        body += _list("Notices", [f"{n['kind']}: {n['path']}: {n['text']}" for n in report["notices"]])
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{left} and {right}</title>\n<style>\n{STYLE}\n</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def _causes(causes: list[dict[str, Any]]) -> list[str]:
    if not causes:
        return []
    rows = ["<table>", "<tr><th>cause</th><th>how much</th><th>example</th><th>fixes</th></tr>"]
    for cause in causes:
        example = cause["examples"][0] if cause["examples"] else None
        shown = (
            f"<code>{escape(values(example, cause))}</code><br>at <code>{escape(inside(example['path']))}</code>"
            if example
            else ""
        )
        fixes = "<br>".join(escape(fix(entry)) for entry in cause["fixes"])
        rows.append(
            f"<tr><td><code>{escape(cause['id'])}</code><br>{escape(cause['title'])}</td>"
            f"<td>{escape(amount(cause))}</td><td>{shown}</td><td>{fixes}</td></tr>"
        )
    return [*rows, "</table>"]


def _unexplained(items: list[dict[str, Any]]) -> list[str]:
    if not items:
        return ["<p>Unexplained: nothing</p>"]
    rows = ["<h2>Unexplained</h2>", "<table>", "<tr><th>where</th><th>left</th><th>right</th></tr>"]
    for item in items[:MOST]:
        cells = (inside(item["path"]), item["left"] or "absent", item["right"] or "absent")
        rows.append("<tr>" + "".join(f"<td><code>{escape(cell)}</code></td>" for cell in cells) + "</tr>")
    rows.append("</table>")
    if len(items) > MOST:
        rows.append(f"<p>and {len(items) - MOST} more</p>")
    return rows


def _list(title: str, items: list[str]) -> list[str]:
    if not items:
        return []
    rest = [f"<li>and {len(items) - MOST} more</li>"] if len(items) > MOST else []
    return [f"<h2>{title}</h2>", "<ul>", *(f"<li>{escape(item)}</li>" for item in items[:MOST]), *rest, "</ul>"]


def escape(text: str) -> str:
    """Return text that HTML shows as it is, in attributes too."""
    for char, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#39;")):
        text = text.replace(char, entity)
    return text
