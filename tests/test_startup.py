"""What a tiny run imports: start-up is part of speed, and a list of modules says the same on every machine."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

# Each of these costs more than comparing two tiny files.
HEAVY = {
    "argparse",
    "asyncio",
    "backports.zstd",
    "concurrent.futures",
    "ctypes",
    "dataclasses",
    "elftools",
    "email",
    "importlib.metadata",
    "importlib.resources",
    "inspect",
    "libarchive",
    "lief",
    "logging",
    "lz4",
    "magic",
    "multiprocessing",
    "numpy",
    "pathlib",
    "subprocess",
    "tempfile",
    "urllib",
    "xml",
    "zipfile",
}
PROGRAM = """
import json, sys
before = set(sys.modules)
from reprodiff.cli import main
status = main(sys.argv[1:])
print(json.dumps([status, sorted(set(sys.modules) - before)]), file=sys.stderr)
"""

FIXTURES = Path(__file__).parents[1] / "fixtures"


def imported(*arguments):
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True)
    status, modules = json.loads(done.stderr)
    return status, set(modules)


def pair(case):
    return [str(next((FIXTURES / case / side).iterdir())) for side in ("left", "right")]


@pytest.mark.parametrize("case", ["text/one-line", "targz/mtime"])
def test_a_tiny_pair_imports_nothing_heavy(case):
    status, modules = imported(*pair(case))
    assert status == 1
    assert modules & HEAVY == set()


def test_formats_are_imported_when_met():
    _status, modules = imported(*pair("targz/mtime"))
    formats = {name for name in modules if name.startswith(("reprodiff.formats.", "normalizers."))}
    assert {name.split(".")[2] for name in formats if name.startswith("reprodiff")} <= {"gzip", "tar"}


def test_a_text_needs_no_formats_that_are_texts_too():
    _status, modules = imported(*pair("text/one-line"))
    assert {
        name for name in modules if name.startswith(("reprodiff.formats.qrc", "reprodiff.formats.javadoc"))
    } == set()


@pytest.mark.parametrize("case", ["elf/file-macro-longer", "elf/file-macro-aarch64-longer"])
def test_a_program_needs_no_masked_arrays(case):
    """numpy.unique and numpy.isin bring these in, which takes as long as all rules."""
    _status, modules = imported(*pair(case))
    assert "numpy" in modules
    assert "numpy.ma" not in modules


def test_equal_files_need_no_rules(tmp_path):
    (tmp_path / "one").write_text("the same\n")
    (tmp_path / "two").write_text("the same\n")
    status, modules = imported(str(tmp_path / "one"), str(tmp_path / "two"))
    assert status == 0
    assert {name for name in modules if name.split(".")[0] in {"normalizers", "json", "argparse"}} == set()
    assert {"reprodiff.rewrite", "reprodiff.prove"} & modules == set()


def test_version_imports_next_to_nothing():
    status, modules = imported("--version")
    assert status == 0
    assert {name for name in modules if name.startswith("reprodiff")} == {"reprodiff", "reprodiff.cli"}
