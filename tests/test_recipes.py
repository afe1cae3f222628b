"""The fixtures are what their recipes say, and the recipes still make them."""

import functools
import os
import platform
import re
import stat
import subprocess
from pathlib import Path

import pytest

from fixtures import FIXTURES, RECIPES, Recipe, unavailable
from normalizers.catalogue import load

VERDICTS = {"explained", "suspected", "unexplained"}
VERSION_COMMANDS = {
    "7z": ["7z", "i"],
    "zip": ["zip", "-v"],
    "pyrcc5": ["pyrcc5", "-version"],
    "python3": ["python3", "-c", "import platform; print(platform.python_version())"],
    "zlib": ["python3", "-c", "import zlib; print(zlib.ZLIB_RUNTIME_VERSION)"],
}


every_recipe = pytest.mark.parametrize("recipe", RECIPES, ids=[recipe.name for recipe in RECIPES])
every_stored_pair = pytest.mark.parametrize(
    "recipe",
    [recipe for recipe in RECIPES if not recipe.dynamic],
    ids=[recipe.name for recipe in RECIPES if not recipe.dynamic],
)


@functools.cache
def version(tool: str) -> str:
    """The version of a tool, as it gives it itself."""
    if tool == "machine":
        return platform.machine()
    command = VERSION_COMMANDS.get(tool, [tool, "--version"])
    said = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    number = re.search(rb"\d+(?:\.\d+)+", said.stdout + said.stderr)
    return number[0].decode() if number else "unknown"


def other_tools(recipe: Recipe) -> list[str]:
    """The tools that have another version here than when the fixture was made."""
    pairs = [tool.split("=") for tool in recipe.tools]
    return [f"{tool} {version(tool)}" for tool, then in pairs if not f"{version(tool)}.".startswith(f"{then}.")]


def snapshot(top: Path) -> dict[str, tuple[object, ...]]:
    """Everything of a tree that a report may speak of."""
    found: dict[str, tuple[object, ...]] = {}
    for path in [top, *sorted(top.rglob("*"))]:
        status = path.lstat()
        if path.is_symlink():
            content: object = path.readlink()
        else:
            content = path.read_bytes() if path.is_file() else None
        # A directory's number of links follows from what is in it.
        links = 0 if stat.S_ISDIR(status.st_mode) else status.st_nlink
        found[path.relative_to(top).as_posix()] = (status.st_mode, links, status.st_mtime_ns, content)
    return found


def test_there_are_recipes():
    assert len(RECIPES) > 150
    assert {path.parent.parent for path in FIXTURES.glob("*/*/*/*")} <= {recipe.path.parent for recipe in RECIPES}


@every_recipe
def test_head(recipe):
    assert os.access(recipe.path, os.X_OK)
    assert recipe.path.read_text(encoding="utf-8").startswith("#!/usr/bin/env bash\n")
    assert set(recipe.varied + recipe.may) - set(load()) == set()
    assert not set(recipe.varied) & set(recipe.may)
    assert recipe.expect in VERDICTS
    assert (recipe.expect == "unexplained") == bool(recipe.unexplained)
    assert recipe.varied or recipe.expect == "unexplained"
    for pattern in recipe.unexplained:
        re.compile(pattern)
    recorded = {tool.split("=")[0] for tool in recipe.tools}
    assert recorded - {"zlib", "machine"} == set(recipe.needs) - {"root"}


@every_stored_pair
def test_stored_pair(recipe):
    left, right = recipe.sides()
    assert left.name == right.name
    assert left.read_bytes() != right.read_bytes()
    assert max(left.stat().st_size, right.stat().st_size) < 20_000


def test_nothing_is_stored_for_a_dynamic_case():
    assert [recipe.name for recipe in RECIPES if recipe.dynamic and len(list(recipe.path.parent.iterdir())) > 1] == []


def test_all_fixtures_are_small():
    """Executables have their own share: headers and tables make the smallest one 3 kB."""
    sizes = {path.relative_to(FIXTURES): path.lstat().st_size for path in FIXTURES.rglob("*") if path.is_file()}
    executables = sum(size for path, size in sizes.items() if path.parts[0] in {"elf", "a", "pe", "macho"})
    assert executables < 2_600_000
    assert sum(sizes.values()) - executables < 1_500_000


@pytest.mark.slow
@every_recipe
def test_recipe_makes_the_pair(recipe, tmp_path):
    if reason := unavailable(recipe):
        pytest.skip(reason)
    done = subprocess.run([recipe.path, tmp_path], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    left, right = recipe.sides(tmp_path)
    if recipe.dynamic:
        assert snapshot(left) != snapshot(right)
        return
    assert left.read_bytes() != right.read_bytes()
    for made in left, right:
        data = made.read_bytes()
        assert str(FIXTURES.parent).encode() not in data
        assert str(tmp_path).encode() not in data
    if others := other_tools(recipe):
        pytest.skip(f"made by other versions than the stored files: {', '.join(others)}")
    for made, kept in zip((left, right), recipe.sides(), strict=True):
        assert made.read_bytes() == kept.read_bytes()
