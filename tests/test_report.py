"""What reports look like, and that nothing from an artifact can disturb them."""

import io
import json
import re
import tarfile
from html.parser import HTMLParser
from pathlib import Path

import pytest

from reprodiff.app import diff
from reprodiff.budget import Budget
from reprodiff.report import html, markdown, text
from reprodiff.report import json as json_report

EVIL = "a|b`c<script>alert(1)</script>&\"'\x1b[31m\u202egnp.exe\n# title *x* [l](javascript:0) \udcff"
SCREEN = 24

FIXTURES = Path(__file__).parents[1] / "fixtures"


def pair(case):
    return [str(next((FIXTURES / case / side).iterdir())) for side in ("left", "right")]


def report(left, right):
    return diff(str(left), str(right), Budget()).report


def archive(path, members, mtime, owner=0):
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.uid = len(data), mtime, owner
            tar.addfile(member, io.BytesIO(data))
    return path


@pytest.fixture(scope="module")
def evil(tmp_path_factory):
    top = tmp_path_factory.mktemp("evil")
    (top / "one").mkdir()
    name = EVIL.replace("\udcff", "").replace("/", "")
    left = archive(top / "one" / name, [(EVIL, b"one " + EVIL.encode("utf-8", "replace"))], 1)
    right = archive(top / "two", [(EVIL, b"two " + EVIL.encode("utf-8", "replace"))], 2)
    return report(left, right)


def test_the_form_of_the_design():
    lines = text.render(report(*pair("targz/mixed")), hint="reprodiff normalize …").splitlines()
    assert lines[0] == "left/data.tar.gz and right/data.tar.gz differ: 3 causes explain every differing byte (proved)"
    assert lines[1] == ""
    ids = [line.split()[1] for line in lines[2:] if re.match(r"  [a-z]", line) and "tar-" in line]
    assert ids == ["tar-owner", "tar-mtime", "tar-order"]
    amounts = [line.index(words) for line in lines for words in ("4 members, ", "1 archive ") if words in line]
    assert len(set(amounts)) == 1
    assert len(amounts) == 3
    assert any(
        line.startswith("  timestamp ") and "2023-11-14T22:13:20Z → 2024-11-13T23:51:54Z (+365 d" in line
        for line in lines
    )
    assert sum(line.strip().startswith("fix: GNU tar") for line in lines) == 3
    assert any(line.startswith("  follows ") and f"4 {text.TIMES} chksum" in line for line in lines)
    assert "  unexplained  nothing" in lines
    (arithmetic,) = [line for line in lines if line.startswith("  differing ")]
    total, *parts = [int(number) for number in re.findall(r"(\d+) (?:bytes|origin|consequence)", arithmetic)]
    assert total == sum(parts)
    assert lines[-2:] == ["", "  reprodiff normalize …"]


def test_one_cause_fits_on_a_screen_whatever_its_size(tmp_path):
    members = [(f"some/long/directory/name/{'x' * 40}/{n:05}", b"") for n in range(3000)]
    shown = text.render(report(archive(tmp_path / "a", members, 1), archive(tmp_path / "b", members, 2)), hint="x")
    assert len(shown.splitlines()) <= SCREEN
    assert max(map(len, shown.splitlines())) <= text.WIDE
    assert "3,000 members, 3,000 bytes" in shown
    assert "(+1 s on all)" in shown


def test_many_changes_fit_on_two_screens(tmp_path):
    left = archive(tmp_path / "a", [(f"m{n}", b"x" * 30) for n in range(300)], 1)
    right = archive(tmp_path / "b", [(f"m{n}", b"y" * 30) for n in range(300)], 1)
    shown = text.render(report(left, right))
    assert len(shown.splitlines()) <= 2 * SCREEN
    assert "more (--json - has all)" in shown
    assert len(report(left, right)["unexplained"]) == 300


def test_names_are_as_short_as_tells_them_apart():
    def names(left, right):
        return text.names({"left": {"path": left}, "right": {"path": right}})

    assert names("x/a.tar", "y/b.tar") == ("a.tar", "b.tar")
    assert names("x/1/a.tar", "x/2/a.tar") == ("1/a.tar", "2/a.tar")
    assert names("a.tar", "x/a.tar") == ("a.tar", "x/a.tar")
    assert names("x/a/lib/f", "x/b/lib/f") == ("a/lib/f", "b/lib/f")
    assert names("left/", "right/") == ("left", "right")
    assert names("same", "same") == ("same", "same")


def test_long_texts_are_cut_in_the_middle():
    long = "begin" + "x" * 500 + "end"
    assert len(text.middle(long, 60)) == 60
    assert text.middle(long, 60).startswith("begin")
    assert text.middle(long, 60).endswith("end")
    assert text.middle("short", 60) == "short"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(1, "+1 s"), (-5280, "-1 h 28 min"), (90061, "+1 d 1 h 1 min"), (0.25, "+0.25 s"), (31536000, "+365 d")],
)
def test_shifts(seconds, shown):
    assert text._shift(seconds) == shown


def test_colour_changes_nothing_but_colour():
    made = report(*pair("targz/mixed"))
    coloured = text.render(made, colour=True)
    assert "\x1b[1m" in coloured
    assert re.sub(r"\x1b\[\d+m", "", coloured) == text.render(made)


def test_amounts():
    cause = {"count": 6, "bytes": 0, "proof": "proved"}
    assert text.amount(cause) == "6 places"
    assert text.amount(cause | {"members": 1, "bytes": 1}) == "1 member, 1 byte"
    assert text.amount(cause | {"archives": 2, "proof": "consistent"}) == "2 archives (consistent)"


def unprintable(shown):
    return [char for char in shown if not char.isprintable() and char != "\n"]


def test_text_escapes_what_artifacts_hold(evil):
    shown = text.render(evil)
    assert unprintable(shown) == []
    assert "\\u202e" in shown
    assert "\\x1b" in shown


def test_json_is_ascii_and_escapes_what_artifacts_hold(evil):
    shown = json_report.render(evil)
    assert shown.isascii()
    assert json.loads(shown) == evil
    assert unprintable(json.dumps(evil, ensure_ascii=False)) == []


def test_markdown_escapes_what_artifacts_hold(evil):
    shown = markdown.render(evil)
    assert unprintable(shown) == []
    outside = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "CODE", shown)
    assert "<script" not in outside
    assert "`" not in outside
    assert "javascript:" not in outside
    for line in outside.splitlines():
        if line.startswith("| "):
            assert len(re.findall(r"(?<!\\)\|", line)) == 5


@pytest.mark.parametrize("value", ["plain", "`", "``a`", "a``", "", "x|y", "`|`"])
def test_code_spans_hold_anything(value):
    span = markdown.code(value)
    fence = re.match(r"`+", span)[0]
    assert span.endswith(fence)
    assert span.count(fence) >= 2
    body = span[len(fence) : -len(fence)]
    assert body.strip(" ") == value.replace("|", "\\|")
    assert fence not in body


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.open, self.attributes = set(), [], []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_html_is_one_safe_page(evil):
    for made in (evil, report(*pair("targz/mixed")), report(*pair("text/order")), report(*[pair("tar/mtime")[0]] * 2)):
        shown = html.render(made)
        page = Page()
        page.feed(shown)
        assert page.open == []
        assert page.tags <= {"html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "strong", "table", "tr",
                             "th", "td", "code", "br", "ul", "li"}  # fmt: skip
        assert {name for name, _value in page.attributes} <= {"lang", "charset", "class"}
        assert unprintable(shown) == []


@pytest.mark.parametrize("render", [text.render, markdown.render, html.render])
def test_every_report_names_causes_fixes_and_the_verdict(render):
    shown = render(report(*pair("targz/mixed")))
    for words in ("tar-mtime", "tar-owner", "tar-order", "sort=name", "explain every differing byte"):
        assert words in shown.replace("\\", "")
    assert "12 apples" not in shown
    changed = render(report(*pair("text/one-line")))
    assert "1 change unexplained" in changed
    assert "quinces" in changed


@pytest.mark.parametrize("case", ["targz/mixed", "text/one-line", "text/order", "tar/mixed"])
def test_reports_are_the_same_every_time(case):
    first, second = report(*pair(case)), report(*pair(case))
    for render in (text.render, markdown.render, html.render, json_report.render):
        assert render(first) == render(second)
