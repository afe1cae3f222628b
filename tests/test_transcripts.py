"""What a person sees: each stored fixture has the command and its output in expect.txt.

`REPRODIFF_WRITE_TRANSCRIPTS=1 pytest tests/test_transcripts.py` writes them anew; read the difference before
committing it.
"""

import os

import pytest

from fixtures import STORED, label
from reprodiff.cli import main


@pytest.mark.parametrize("recipe", STORED, ids=label)
def test_transcript(recipe, capsys, monkeypatch):
    folder = recipe.path.parent
    left, right = (side.relative_to(folder).as_posix() for side in recipe.sides())
    monkeypatch.chdir(folder)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    status = main([left, right])
    seen = capsys.readouterr()
    assert seen.err == ""
    transcript = f"$ reprodiff {left} {right}\n{seen.out}$ echo $?\n{status}\n"
    kept = folder / "expect.txt"
    if os.environ.get("REPRODIFF_WRITE_TRANSCRIPTS"):
        kept.write_text(transcript, encoding="utf-8")
    assert transcript == kept.read_text(encoding="utf-8")


@pytest.mark.parametrize("recipe", STORED, ids=label)
def test_a_pair_fits_on_a_screen(recipe):
    lines = (recipe.path.parent / "expect.txt").read_text(encoding="utf-8").splitlines()
    causes = sum(line.lstrip().startswith("fix:") for line in lines)
    if causes == 1 and not any("unexplained  " in line and "nothing" not in line for line in lines):
        assert len(lines) <= 24
    assert max(map(len, lines)) <= 260
