"""What the README and the page on the command line show is what happens."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
BLOCK = r"```{}\n(.*?)```"


def reprodiff(*arguments):
    environment = {name: value for name, value in os.environ.items() if name not in {"SOURCE_DATE_EPOCH", "COLUMNS"}}
    command = [sys.executable, "-m", "reprodiff", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)


def test_transcripts_are_true():
    blocks = re.findall(BLOCK.format("console"), README, re.DOTALL)
    assert blocks
    for block in blocks:
        command, _newline, shown = block.partition("\n")
        words = command.split()
        assert words[:2] == ["$", "reprodiff"]
        assert reprodiff(*words[2:]).stdout == shown


def squeezed(code):
    """Code without what a formatter may change."""
    return re.sub(r",(?=[)\]])", "", re.sub(r"\s+", "", code))


def test_quoted_code_is_what_is_there():
    quotes = re.findall(r"<!-- from: (\S+) -->\n" + BLOCK.format("python"), README, re.DOTALL)
    assert len(quotes) >= 3
    assert README.count("```python") == len(quotes)
    for path, code in quotes:
        assert squeezed(code) in squeezed((ROOT / path).read_text(encoding="utf-8")), code


def test_commands_are_true():
    (block,) = re.findall(r"<!-- run -->\n" + BLOCK.format("sh"), README, re.DOTALL)
    install, run = block.splitlines()
    assert install == "python3 -m venv .venv && .venv/bin/pip install ."
    program, *arguments = run.split()
    assert program == ".venv/bin/reprodiff"
    assert reprodiff(*arguments).returncode == 1


def test_ci_runs_what_the_readme_says():
    (block,) = re.findall(r"^<!-- ci:test -->\n" + BLOCK.format("sh"), README, re.DOTALL | re.MULTILINE)
    assert block == "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/pytest\n"


@pytest.mark.parametrize("page", ["README.md", "docs/command-line.md"])
def test_links_lead_somewhere(page):
    path = ROOT / page
    for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target
    for target in re.findall(r"`((?:reprodiff|normalizers|tests|fixtures|docs|\.ci)/[\w./]+)`", README):
        assert (ROOT / target).exists(), target


@pytest.mark.parametrize("command", ["diff", "normalize"])
def test_every_option_is_on_the_page(command):
    options = set(re.findall(r"(?<![\w-])--[a-z][\w-]+|(?<![\w-])-j", reprodiff(command, "--help").stdout)) - {"--help"}
    assert options
    assert {option for option in options if f"`{option}" not in PAGE} == set()


def test_every_option_on_the_page_exists():
    known = "".join(reprodiff(command, "--help").stdout for command in ("diff", "normalize", "inspect"))
    for option in set(re.findall(r"`(--[a-z][\w-]+)", PAGE)):
        assert option in known, option


def test_variables_on_the_page_are_read():
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "reprodiff").rglob("*.py"))
    for name in re.findall(r"^\| `([A-Z_]+)` \|", PAGE, re.MULTILINE):
        # TMPDIR is read by the standard library.
        assert name in code or name == "TMPDIR"
