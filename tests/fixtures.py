"""The fixtures, as the tests see them: recipes with a head, and the pairs that they make."""

import functools
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from reprodiff.app import Outcome, diff
from reprodiff.budget import Budget

FIXTURES = Path(__file__).parents[1] / "fixtures"
KEYS = {"varied", "may", "expect", "unexplained", "needs", "tools", "dynamic"}


@dataclass(frozen=True)
class Recipe:
    """The head of one recipe."""

    path: Path
    varied: tuple[str, ...]
    may: tuple[str, ...]
    expect: str
    unexplained: tuple[str, ...]
    needs: tuple[str, ...]
    tools: tuple[str, ...]
    dynamic: bool

    @property
    def name(self) -> str:
        return self.path.parent.relative_to(FIXTURES).as_posix()

    def sides(self, directory: Path | None = None) -> tuple[Path, Path]:
        """What to compare: the two trees of a dynamic case, otherwise the one file in each."""
        directory = directory or self.path.parent
        if self.dynamic:
            return directory / "left", directory / "right"
        (left,), (right,) = ((directory / side).iterdir() for side in ("left", "right"))
        return left, right


def read(path: Path) -> Recipe:
    lines: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines()[1:]:
        if not line.startswith("#"):
            break
        if match := re.fullmatch(r"# ([a-z]+):(?: (\S.*))?", line):
            lines.setdefault(match[1], []).append(match[2] or "")
    assert set(lines) <= KEYS, f"{path}: unknown key"
    assert {"varied", "expect", "needs", "tools"} <= set(lines), f"{path}: key missing"
    assert all(len(values) == 1 for key, values in lines.items() if key != "unexplained"), f"{path}: key twice"

    def words(key: str) -> tuple[str, ...]:
        return tuple(lines.get(key, [""])[0].split())

    return Recipe(
        path=path,
        varied=words("varied"),
        may=words("may"),
        expect=lines["expect"][0],
        unexplained=tuple(lines.get("unexplained", [])),
        needs=words("needs"),
        tools=words("tools"),
        dynamic=lines.get("dynamic") == ["yes"],
    )


RECIPES = [read(path) for path in sorted(FIXTURES.glob("*/*/recipe"))]
STORED = [recipe for recipe in RECIPES if not recipe.dynamic]
FILES = sorted({side for recipe in STORED for side in recipe.sides()})


def label(value):
    """A test id: the case, with the side where it is one file."""
    if isinstance(value, Recipe):
        return value.name
    if isinstance(value, Path):
        return value.relative_to(FIXTURES).as_posix()
    return None


def unavailable(recipe: Recipe) -> str:
    """Why a recipe cannot run here; empty where it can."""
    lacking = [tool for tool in ("bash", "awk", *recipe.needs) if tool != "root" and not shutil.which(tool)]
    if lacking:
        return f"not installed: {', '.join(lacking)}"
    if "root" in recipe.needs and os.geteuid() != 0:
        return "gives files to another user: needs root"
    return ""


@functools.cache
def outcome(recipe: Recipe) -> Outcome:
    """The report on a stored fixture."""
    left, right = recipe.sides()
    return diff(os.fspath(left), os.fspath(right), Budget())


def make(recipe: Recipe, directory: Path) -> tuple[Path, Path]:
    """Build a fixture in a directory."""
    subprocess.run([recipe.path, directory], check=True, capture_output=True, timeout=120)
    return recipe.sides(directory)
